"""Print the summary of a run again.

RUN is the folder that `bench run` wrote. --csv prints summary.csv, --json everything that the summary shows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

EPILOG = """\
examples:
  bench show runs/speech                   the tables that ended the run
  bench show runs/speech --csv > it.csv    one row a codec and point, with intervals
  bench show runs/speech --json | jq .status
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="RUN", type=Path, help="a run folder")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print CSV")


def run(args: argparse.Namespace) -> int:
    from ..store import StoreError
    from ._console import emit_json, err, out

    try:
        if args.json:
            emit_json(_everything(args.folder))
        elif args.csv:
            from ...reports.frame import summary
            from ...reports.write import csv

            out.file.write(csv(summary(args.folder)).decode())
        else:
            from ...reports.terminal import print_summary

            print_summary(args.folder, out)
    except StoreError as error:
        err.print(f"bench show: {error}", markup=False)
        return 2
    return 0


def _everything(folder: Path) -> dict[str, object]:
    from dataclasses import asdict

    from ...reports.view import View

    view = View(folder)
    summary = view.summary.astype(object).where(view.summary.notna(), None)
    return {
        "status": asdict(view.status),
        "run": view.run.info,
        "summary": summary.to_dict("records"),
        "checks": view.checks,
        "failures": [asdict(failure) for failure in view.failures],
        "unavailable": view.unavailable,
    }
