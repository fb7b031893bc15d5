"""Write the page of one or several runs, with audio to listen to.

RUN are run folders. Runs on the same clips with the same metrics become one page; others get pages of their own and
an index with the reasons. FILE.html has everything in it; a folder has index.html and the audio beside it, loaded when
a clip is opened. No codec runs: what is heard is what the runs left in the cache.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ._arguments import add_runs_and_page, names

if TYPE_CHECKING:
    from ...reports.pages import Written

EPILOG = """\
examples:
  bench report runs/speech                               report.html, one file
  bench report runs/speech runs/mine -o both --open      a folder, shown in the browser
  bench report runs/speech -o r.html --clips 3           fewer clips to hear; 0: none
  bench report runs/speech -o r --clips cards-001,cards-002 --audio-budget 100
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_runs_and_page(parser, "report.html")
    parser.add_argument("--single-file", action="store_true", help="the audio inside index.html of a folder, too")
    parser.add_argument(
        "--clips",
        type=_clips,
        metavar="N|ID,ID",
        help="how many clips of each content to hear, the worst ones first, or which (8)",
    )
    help_budget = "how much the audio of a page may take (15 in a file, 40 in a folder)"
    parser.add_argument("--audio-budget", type=_megabytes, metavar="MB", help=help_budget)
    parser.add_argument("--open", action="store_true", help="show it in the browser")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def _clips(text: str) -> int | tuple[str, ...]:
    if text.isdecimal():
        return int(text)
    chosen = tuple(names(text))
    if not chosen:
        raise argparse.ArgumentTypeError("it is empty; give a number, or ids of clips with commas between them")
    return chosen


def _megabytes(text: str) -> int:
    try:
        size = int(float(text) * 1e6)
    except (ValueError, OverflowError):
        size = 0
    if size <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of megabytes; for no audio give --clips 0")
    return size


def run(args: argparse.Namespace) -> int:
    import time

    from ...reports import audio, grouping, merge, pages
    from ...reports.clips import ClipError
    from ..cache import Files, cache_folder
    from ..store import StoreError
    from ._console import emit_json, err

    start = time.monotonic()
    clips = audio.CLIPS if args.clips is None else args.clips
    try:
        groups = merge.merge(grouping.sources(args.runs))
        wanted = pages.Audio(Files(cache_folder()), clips, args.audio_budget)
        written = pages.write_pages(groups, args.out, args.single_file, wanted)
    except (StoreError, ClipError) as error:
        err.print(f"bench report: {error}", style="red", markup=False)
        return 2
    except OSError as error:
        what = error.filename or args.out
        err.print(f"bench report: {what} cannot be written: {error.strerror}", style="red", markup=False)
        return 2
    seconds = time.monotonic() - start
    if args.json:
        emit_json({"pages": [_plain(page) for page in written], "seconds": round(seconds, 3)})
    else:
        for group in groups:
            for note in group.notes:
                err.print(note, markup=False)
            for number, reason in group.apart:
                which = ", ".join(source.name for source in group.sources)
                err.print(f"{which}: not with group {number}: {reason}", markup=False)
        for page in written:
            beside = f" and {page.audio_bytes / 1e6:.1f} MB of audio beside it" if page.audio_bytes else ""
            err.print(f"wrote {page.path} ({page.bytes / 1e6:.1f} MB{beside})", markup=False)
    if args.open:
        import webbrowser

        webbrowser.open(written[0].path.resolve().as_uri())
    return 0


def _plain(page: Written) -> dict[str, object]:
    return {
        "path": str(page.path),
        "runs": list(page.runs),
        "bytes": page.bytes,
        "audio_bytes": page.audio_bytes,
    }
