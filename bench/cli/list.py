"""List codecs, corpora, metrics or suites, with what is missing for those that cannot run here."""

from __future__ import annotations

import argparse
from typing import Any

from ._console import emit_json, out

EPILOG = """\
examples:
  bench list codecs
  bench list metrics --json
"""

_COLUMNS = {
    "codecs": ("name", "family", "points", "about"),
    "corpora": ("name", "content", "clips", "title", "layout", "licence"),
    "metrics": ("name", "title", "content", "package", "domain"),
    "suites": ("name", "corpora", "metrics", "title"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=sorted(_COLUMNS), help="what to list")
    parser.add_argument("--json", action="store_true", help="everything known, as JSON")


def run(args: argparse.Namespace) -> int:
    from rich.table import Table
    from rich.text import Text

    from .. import listing

    rows: list[dict[str, Any]] = getattr(listing, f"list_{args.what}")()
    if args.json:
        emit_json(rows)
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in _COLUMNS[args.what]:
        table.add_column(column, overflow="fold")
    for row in rows:
        if not row["unavailable"]:
            table.add_row(*(Text(_cell(row[column])) for column in _COLUMNS[args.what]))
    out.print(table)
    for row in rows:
        if row.get("note"):
            out.print(f"{row['name']}: {row['note']}.", markup=False, soft_wrap=True)
    missing = [row for row in rows if row["unavailable"]]
    if missing:
        out.print("\nnot available here:", style="bold")
        for row in missing:
            out.print(f"  {row['name']}: {row['unavailable']}", markup=False, soft_wrap=True)
    return 0


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is None else str(value)
