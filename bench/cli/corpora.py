"""Corpora: list them, download those with a public address, check that their files are whole.

Corpora that have no public address, or that ask for an agreement, are brought by you: `bench list corpora` shows how
their folder must look, and `bench run --corpus NAME:/path` reads it.
"""

from __future__ import annotations

import argparse

from ...corpora import Corpus, CorpusError, registry
from ._console import emit_json, err, out

EPILOG = """\
examples:
  bench corpora list
  bench corpora get librispeech            into $CODECBENCH_DATA or the platform's data folder
  bench run --suite speech --corpus librispeech
  bench corpora verify                     the clips that ship, and all that was downloaded
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`bench corpora list|get|verify [NAME ...]`."""
    parser.add_argument("action", choices=["list", "get", "verify"])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="corpora (get: at least one; verify: all that are here)"
    )
    parser.add_argument("--json", action="store_true", help="list as JSON")


def run(args: argparse.Namespace) -> int:
    """0 all well, 1 a download failed or a file is damaged, 2 usage."""
    try:
        chosen = [registry.get(name) for name in args.names]
    except KeyError as error:
        err.print(error.args[0], markup=False)
        return 2
    if args.action == "get" and not chosen:
        err.print(f"which one? {', '.join(c.name for c in registry if c.downloads)} can be downloaded", markup=False)
        return 2
    action = {"list": _list, "get": _get, "verify": _verify}[args.action]
    return action(chosen, args.json)


def _list(chosen: list[Corpus], as_json: bool) -> int:
    from rich.table import Table

    from ...corpora._fetch import downloaded

    rows = [
        {
            "name": corpus.name,
            "content": corpus.content,
            "title": corpus.title,
            "licence": corpus.licence,
            "credit": corpus.credit,
            "layout": corpus.layout,
            "homepage": corpus.homepage,
            "download_bytes": sum(download.bytes for download in corpus.downloads),
            "here": corpus.embedded or downloaded(corpus),
        }
        for corpus in chosen or registry
    ]
    if as_json:
        emit_json(rows)
        return 0
    table = Table("name", "content", "title", "licence", "how to get it", box=None)
    for column in table.columns:
        column.overflow = "fold"
    for row in rows:
        size = f"bench corpora get {row['name']} ({int(str(row['download_bytes'])) / 1e9:.1f} GB)"
        how = "here" if row["here"] else size if row["download_bytes"] else f"{row['homepage']}, {row['name']}:/path"
        table.add_row(*(str(row[key]) for key in ("name", "content", "title", "licence")), how)
    out.print(table)
    return 0


def _get(chosen: list[Corpus], as_json: bool) -> int:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from ...corpora._fetch import get

    failed = 0
    for corpus in chosen:
        if corpus.embedded:
            err.print(f"{corpus.name} ships with codecbench, nothing to download", markup=False)
            continue
        err.print(f"{corpus.title}\n  licence: {corpus.licence}\n  credit: {corpus.credit}", markup=False)
        columns = (TextColumn(corpus.name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        try:
            with Progress(*columns, console=err, disable=not err.is_terminal) as bar:
                task = bar.add_task(corpus.name)
                folder = get(corpus, lambda done, total: bar.update(task, completed=done, total=total))  # noqa: B023
        except CorpusError as error:
            err.print(str(error), markup=False)
            failed += 1
        else:
            out.print(str(folder), markup=False)
    return 1 if failed else 0


def _verify(chosen: list[Corpus], as_json: bool) -> int:
    from ...corpora._fetch import downloaded, verify

    failed = 0
    for corpus in chosen or [c for c in registry if c.embedded or downloaded(c)]:
        try:
            problems = verify(corpus)
        except CorpusError as error:
            problems = [str(error)]
        for problem in problems:
            err.print(problem, markup=False)
        out.print(f"{corpus.name}: {f'{len(problems)} problems' if problems else 'all files are whole'}", markup=False)
        failed += bool(problems)
    return 1 if failed else 0
