"""Verify a run: compute a sample of its rows again from the stored bitstreams.

Each row's bits are counted, its stream is decoded, the decoded samples are hashed and scored, and all is compared with
what the run says. A clip whose stream is not in the cache any more is encoded anew. docs/reproduce.md says more.

exit codes: 0 what could be checked holds, 1 something differs, 2 usage, or nothing could be checked
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ._arguments import add_codec_modules, add_jobs, positive
from ._console import emit_json, err, out

if TYPE_CHECKING:
    from ..verify import Verification

EPILOG = """\
examples:
  bench verify runs/speech-1a2b3c4d
  bench verify runs/speech-1a2b3c4d --sample 200 --seed 7
  bench verify runs/speech-1a2b3c4d --all --json > verified.json
"""

_STYLES = {"holds": "green", "differs": "bold red", "unchecked": "yellow"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="RUN", type=Path, help="a run folder")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--sample", type=positive, default=20, metavar="N", help="rows, of every point in turn (20)")
    which.add_argument("--all", action="store_true", help="every row")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the choice (0)")
    add_jobs(parser)
    parser.add_argument("--no-cache", action="store_true", help="encode every clip anew")
    add_codec_modules(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    from ...codecs._load import LoadError
    from ..api import physical_cores
    from ..cache import cache_folder
    from ..store import StoreError
    from ..verify import verify
    from ._progress import Reporter

    try:
        with Reporter(err, quiet=args.json) as reporter:
            found = verify(
                args.folder,
                sample=None if args.all else args.sample,
                seed=args.seed,
                jobs=args.jobs or physical_cores(),
                cache=None if args.no_cache else cache_folder(),
                codec_modules=args.codec_module,
                progress=reporter.update,
            )
    except (StoreError, LoadError) as error:
        err.print(f"bench verify: {error}", style="red", markup=False)
        return 2
    if args.json:
        emit_json(_plain(found))
    else:
        _show(found)
    return found.exit_code


def _show(found: Verification) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("codec", "clip", "stream", "equal", "verdict"):
        table.add_column(heading)
    for verdict in found.verdicts:
        what = (f"{verdict.codec} {verdict.point}", f"{verdict.corpus}/{verdict.clip}", verdict.stream)
        table.add_row(*map(Text, what), str(verdict.checked), Text(verdict.state, style=_STYLES[verdict.state]))
    out.print(table)
    for verdict in found.verdicts:
        for finding in verdict.findings:
            where = f"{verdict.codec} {verdict.point} {verdict.corpus}/{verdict.clip}"
            out.print(f"{finding.state}: {where}: {finding.what}: {finding.detail}", markup=False, soft_wrap=True)
    for note in found.notes:
        out.print(f"not as it was: {note}", style="dim", markup=False, soft_wrap=True)
    out.print(summary(found), style=_STYLES[_state(found)], markup=False, soft_wrap=True)


def summary(found: Verification) -> str:
    """The verdict in a sentence."""
    anew = sum(verdict.stream == "encoded anew" for verdict in found.verdicts)
    text = f"{len(found.verdicts)} of {found.rows} rows computed again: {found.count('holds')} hold"
    text += f", {found.count('differs')} differ, {found.count('unchecked')} cannot be checked here"
    if by := found.largest:
        text += f"; the largest differences: {', '.join(f'{what} {value:+.3g}' for what, value in by.items())}"
    return text + (f"; {anew} clips were encoded anew, their streams are not in the cache." if anew else ".")


def _state(found: Verification) -> str:
    return {0: "holds", 1: "differs", 2: "unchecked"}[found.exit_code]


def _plain(found: Verification) -> dict[str, object]:
    from dataclasses import asdict

    verdicts = [asdict(verdict) | {"state": verdict.state} for verdict in found.verdicts]
    return {
        "exit_code": found.exit_code,
        "summary": summary(found),
        "rows": found.rows,
        "verdicts": verdicts,
        "largest": found.largest,
        "notes": found.notes,
    }
