"""Export the tables of a run as CSV, Parquet, LaTeX, Markdown or HTML.

RUN is a run folder. CSV and Parquet hold every digit; LaTeX (booktabs), Markdown and HTML are rounded as the report is,
means with half of their 95 % interval and the measured rate. A missing score is its reason. A run that is not complete
or failed a self-check is exported with a warning.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ._console import err

EPILOG = """\
examples:
  bench export runs/speech --format latex -o table.tex
  bench export runs/speech --format markdown
  bench export runs/speech --format csv --what scores > scores.csv
  bench export runs/speech --format parquet --what scores -o scores.parquet
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="RUN", type=Path, help="a run folder")
    forms = ["csv", "parquet", "latex", "markdown", "html"]
    parser.add_argument("--format", choices=forms, required=True)
    help_what = "summary: a row a codec and point; scores: a row a clip, codec and point (summary)"
    parser.add_argument("--what", choices=["summary", "scores"], default="summary", help=help_what)
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="instead of stdout; Parquet needs it")


def run(args: argparse.Namespace) -> int:
    from ...reports import export
    from ...reports.view import View
    from ..store import StoreError

    if args.format == "parquet" and args.out is None:
        err.print("bench export: Parquet is no text; say where to with -o FILE", style="red")
        return 2
    try:
        view = View(args.folder)
        for warning in export.warnings(view):
            err.print(f"warning: {warning}", style="yellow", markup=False)
        if args.format in ("csv", "parquet"):
            made = export.data(view, args.format, args.what)
        else:
            made = export.text(view, args.format, args.what).encode()
        _write(args.out, made)
    except StoreError as error:
        err.print(f"bench export: {error}", style="red", markup=False)
        return 2
    except BrokenPipeError:
        raise  # `bench export ... | head`
    except OSError as error:
        err.print(f"bench export: {args.out} cannot be written: {error.strerror}", style="red", markup=False)
        return 2
    return 0


def _write(path: Path | None, made: bytes) -> None:
    from ..files import replace

    if path is None:
        sys.stdout.write(made.decode())
    else:
        replace(path, made)
