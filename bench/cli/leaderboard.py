"""One static page that ranks the codecs of several runs.

RUN are run folders. Runs on the same clips with the same metrics stand in one table, ranked within classes of rates;
other runs become groups of their own, with the reason. Runs given as relative paths are linked.
"""

from __future__ import annotations

import argparse

from ._arguments import add_runs_and_page

EPILOG = """\
examples:
  bench leaderboard runs/* -o leaderboard.html
  bench leaderboard runs/speech runs/mine -o site      writes site/index.html
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_runs_and_page(parser, "leaderboard.html")


def run(args: argparse.Namespace) -> int:
    from ...reports import grouping, leaderboard, merge
    from ..files import replace
    from ..store import StoreError
    from ._console import err

    page = args.out if args.out.suffix == ".html" else args.out / "index.html"
    try:
        groups = merge.merge(grouping.sources(args.runs))
        page.parent.mkdir(parents=True, exist_ok=True)
        replace(page, leaderboard.render(groups, page.parent).encode())
    except StoreError as error:
        err.print(f"bench leaderboard: {error}", style="red", markup=False)
        return 2
    except OSError as error:
        err.print(f"bench leaderboard: {page} cannot be written: {error.strerror}", style="red", markup=False)
        return 2
    for number, group in enumerate(groups, 1):
        names = ", ".join(source.name for source in group.sources)
        why = "".join(f"; not with group {other}: {reason}" for other, reason in group.apart)
        err.print(f"group {number}: {names}{why}", markup=False)
    err.print(f"wrote {page}", markup=False)
    return 0
