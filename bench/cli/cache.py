"""Show, clear or shrink the cache of bitstreams, decoded clips, scores and fetched audio."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ._console import emit_json, err, out

if TYPE_CHECKING:
    from ..shared import Shared

EPILOG = """\
examples:
  bench cache info
  bench cache prune --max-size 1GB
  bench cache clear

The folder is CODECBENCH_CACHE or the platform's cache folder; runs prune it to CODECBENCH_CACHE_LIMIT (5 GB).
A cache that machines share (CODECBENCH_SHARED_CACHE, a path or URL) is shown only: nothing is removed from it.
"""

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["info", "clear", "prune"])
    parser.add_argument("--max-size", type=_size, metavar="SIZE", help="what prune leaves, such as 500MB (the limit)")
    parser.add_argument("--json", action="store_true", help="info as JSON")


def run(args: argparse.Namespace) -> int:
    from ..cache import CacheError, size_limit

    try:
        limit = size_limit()
    except CacheError as error:
        err.print(f"bench cache: {error}", style="red", markup=False)
        return 2
    return _run(args, limit)


def _run(args: argparse.Namespace, limit: int) -> int:
    from ..cache import cache_folder, clear, prune, stage_sizes
    from ..shared import shared_cache

    folder = cache_folder()
    if args.action == "clear":
        clear(folder)
        err.print(f"cleared {folder}", markup=False)
    elif args.action == "prune":
        removed, freed = prune(folder, args.max_size if args.max_size is not None else limit)
        err.print(f"removed {removed} files, {freed / 1e6:.1f} MB", markup=False)
    sizes = stage_sizes(folder)
    shared = shared_cache() if args.json or args.action == "info" else None
    theirs = {stage: (len(found), sum(found.values())) for stage, found in _listed(shared)} if shared else {}
    if args.json:
        beside = {"address": shared.address, "stages": theirs, "failure": shared.failure} if shared else None
        emit_json({"folder": str(folder), "limit": limit, "stages": sizes, "shared": beside})
    elif args.action == "info":
        out.print(f"{folder}, at most {limit / 1e9:g} GB", markup=False)
        _show(sizes)
        if shared:
            out.print(f"{shared.address}, shared{': ' if shared.failure else ''}{shared.failure}", markup=False)
            _show(theirs)
    return 0


def _listed(shared: Shared) -> list[tuple[str, dict[str, int]]]:
    """The files of each stage of the shared cache, none where it cannot be listed."""
    listed = [(stage, shared.sizes(stage)) for stage in ("stream", "wave")]
    return [] if shared.failure else listed


def _show(sizes: dict[str, tuple[int, int]]) -> None:
    for stage, (files, size) in sizes.items():
        out.print(f"  {stage:<7}{files:>8} files {size / 1e6:>10.1f} MB", markup=False)


def _size(text: str) -> int:
    number = text.rstrip("BbKkMmGg")
    unit = text[len(number) :].upper()
    if unit not in _UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 500MB or 2GB")
    try:
        return int(float(number) * _UNITS[unit])
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 500MB or 2GB") from error
