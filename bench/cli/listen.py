"""A listening test made from a run, on a local page: MUSHRA, ABX or ACR.

`bench listen RUN --method mushra` opens a page on this machine; each rating is stored in RUN/listening.sqlite as it is
given. `bench listen results RUN` prints what came out. A run folder that is called "results" is written ./results.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ._arguments import names, positive

if TYPE_CHECKING:
    from ..listening.plan import Material
    from ..listening.results import Results

EPILOG = """\
examples:
  bench listen runs/speech --method mushra      hidden reference, 3.5 and 7 kHz anchors, all codecs (9 at most)
  bench listen runs/speech --method mushra --codecs opus@6+12,soundstream@6 --clips 6
  bench listen runs/speech --method abx --codecs opus@24 --trials 16   is it told from the original?
  bench listen runs/speech --method acr         1 to 5 a clip, heard once
  bench listen results runs/speech              means with intervals, who was excluded and why
  bench listen results runs/speech --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", metavar="[results] RUN", nargs="+", help="a run folder; with `results` before it, its results"
    )
    test = parser.add_argument_group("a test")
    test.add_argument("--method", choices=["mushra", "abx", "acr"], help="how it is judged")
    test.add_argument(
        "--codecs", metavar="A@P+P,B", help="which of the run's codecs and points (all that are no anchors)"
    )
    test.add_argument("--clips", type=positive, metavar="N", help="how many, besides the one for training (5, or more)")
    test.add_argument("--trials", type=positive, default=10, metavar="N", help="of ABX, for each codec and point (10)")
    test.add_argument("--seed", type=int, default=0, metavar="N", help="of the choice of clips and of each order (0)")
    test.add_argument("--port", type=int, default=0, metavar="N", help="of the page (any that is free)")
    test.add_argument("--no-browser", action="store_true", help="print the address, open nothing")
    parser.add_argument("--json", action="store_true", help="results as JSON")


def run(args: argparse.Namespace) -> int:
    from ..listening.store import ListeningError
    from ..store import StoreError
    from ._console import err

    results = args.what[0] == "results"
    folders = [Path(name) for name in args.what[results:]]
    try:
        if len(folders) != 1:
            raise ListeningError("give one run folder; one that is called results is written ./results")
        if results:
            return _results(folders[0], args.json)
        if args.method is None:
            raise ListeningError("say how it is judged: --method mushra, abx or acr")
        return _serve(folders[0], args)
    except (ListeningError, StoreError) as error:
        err.print(f"bench listen: {error}", style="red", markup=False)
        return 2


def _serve(folder: Path, args: argparse.Namespace) -> int:
    import webbrowser

    from ..cache import cache_folder
    from ..listening.material import gather
    from ..listening.server import Server
    from ..listening.session import Test
    from ..listening.store import Listening, ListeningError
    from ._console import err, out

    cache = cache_folder()
    codecs = names(args.codecs or "")
    material = gather(folder, args.method, cache, codecs, args.clips, args.seed)
    _tell(material)
    store = Listening(folder, create=True)
    try:
        title = folder.resolve().name
        try:
            server = Server(Test(store, material, args.method, title, cache, args.seed, args.trials), args.port)
        except (OSError, OverflowError) as error:
            raise ListeningError(f"port {args.port} cannot be used ({error}); give another --port") from error
        with server:
            out.print(server.url, markup=False, soft_wrap=True)
            err.print("Ctrl-C ends it; what was rated is kept, and the same command goes on", markup=False)
            if not args.no_browser:
                webbrowser.open(server.url)
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                err.print(f"\nbench listen results {folder}", markup=False)
    finally:
        store.close()
    return 0


def _tell(material: Material) -> None:
    from ._console import err

    for content, systems in material.systems.items():
        clips = sum(clip.content == content for clip in material.clips)
        err.print(f"{content}: {len(systems)} operating points on {clips} clips", markup=False)
    for note in material.notes:
        err.print(f"note: {note}", markup=False)


def _results(folder: Path, as_json: bool) -> int:
    from dataclasses import asdict

    from ..listening.results import read
    from ._console import emit_json

    found = read(folder)
    if as_json:
        emit_json(asdict(found))
    else:
        _print(found)
    return 0


def _print(found: Results) -> None:
    from rich import box
    from rich.table import Table

    from ..listening.results import NOTE
    from ._console import err, out

    for method, sessions in found.sessions.items():
        abx = method == "abx"
        title = f"{method.upper()}, {sessions} session{'s' if sessions > 1 else ''}"
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        table.add_column("codec")
        heads = ("right", "95 %", "p", "listeners", "trials") if abx else (
            "mean", "95 %", "median", "quartiles", "listeners", "ratings"
        )  # fmt: skip
        for head in ("content", *heads):
            table.add_column(head, justify="right")
        for s in sorted((s for s in found.scores if s.method == method), key=lambda s: (s.content, -s.mean)):
            digits = {"mushra": 1, "acr": 2, "abx": 3}[method]
            name = f"{s.codec} {s.point}".rstrip() + (
                "" if s.role == "system" else f" ({s.role})" if s.point else " (hidden)"
            )
            cells = [_number(s.mean, digits), f"{_number(s.low, digits)} to {_number(s.high, digits)}"]
            if abx:
                cells += ["< 0.001" if s.p < 0.001 else f"{s.p:.3f}"]
            else:
                cells += [_number(s.median, digits), f"{_number(s.q1, digits)} to {_number(s.q3, digits)}"]
            table.add_row(name, s.content, *cells, str(s.listeners), str(s.ratings))
        out.print(table, markup=False)
    out.print(NOTE if found.sessions else "no trial that counts is finished yet", soft_wrap=True)
    for one in found.excluded:
        out.print(f"excluded: {one.listener}: {one.reason}", markup=False)
    for line in found.outdated:
        out.print(f"outdated: {line}", markup=False)
    for line in found.unfinished:
        err.print(f"not finished: {line}", markup=False)


def _number(value: float, digits: int) -> str:
    return "-" if value != value else f"{value:.{digits}f}"
