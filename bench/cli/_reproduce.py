"""`bench run --reproduce`: the plan of a run that was, and after it how the two compare."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ._console import emit_json, err, out

if TYPE_CHECKING:
    from ..plan import Plan
    from ..reproduce import Comparison, Difference, Record

#: differences that a terminal shows; --json has all
SHOWN = 40


def add_reproduce(group: argparse._ArgumentGroup) -> None:
    """The option."""
    group.add_argument(
        "--reproduce",
        type=Path,
        metavar="RUN",
        help="repeat a run, of its folder or its run.json, without the cache, and compare; docs/reproduce.md",
    )


def contradiction(args: argparse.Namespace) -> str | None:
    """What is wrong with the options together, None if nothing is."""
    if args.reproduce is None:
        return None
    fixed = {"suite": "speech", "codecs": None, "points": None, "metrics": None, "device": "cpu"}
    for option, default in fixed.items():
        if getattr(args, option) != default:
            return f"--reproduce repeats a run as it was; leave --{option} out"
    if args.limit is not None or args.seed is not None:
        return "--reproduce repeats a run as it was; leave --limit and --seed out"
    if args.out is not None and args.out.resolve() == args.reproduce.resolve():
        return "--out is the run itself; give another folder, or leave it out"
    return None


def plan_again(args: argparse.Namespace) -> tuple[Record, Plan]:
    """The run's record and its plan; says what is not as it was. Raises what `reproduce.plan_again` does."""
    from .. import reproduce

    record = reproduce.load_record(args.reproduce)
    plan, notes = reproduce.plan_again(
        record,
        corpora=args.corpus,
        codec_modules=args.codec_module,
        timing=not args.no_timing,
        offline=args.offline or args.dry_run,
        fetch_models=args.fetch_models,
        say=lambda line: err.print(line, markup=False),
    )
    args.no_cache = True
    err.print("repeated without the cache, so that everything is computed", markup=False)
    if record.points is None:
        err.print("the record does not say which operating points could run: all are repeated", markup=False)
    for note in notes:
        err.print(f"not as it was: {note}", style="yellow", markup=False)
    return record, plan


def conclude(args: argparse.Namespace, record: Record, folder: Path, code: int) -> int:
    """Show how the repeat compares. code: the run's; returned where the repeat did not come to its end.

    Exit codes: 0 equal, 1 not.
    """
    from contextlib import closing

    from .. import reproduce
    from ..store import Store, StoreError

    try:
        with closing(Store(folder)) as store:
            if store.get("status") != "complete":
                return code
        comparison = reproduce.compare(record, folder)
    except StoreError as error:
        err.print(f"bench run: {error}", style="red", markup=False)
        return 2
    if args.json:
        emit_json(_plain(comparison, folder))
    else:
        _show(comparison)
    return 0 if comparison.equal else 1


def _plain(comparison: Comparison, folder: Path) -> dict[str, object]:
    from dataclasses import asdict

    return {"exit_code": 0 if comparison.equal else 1, "folder": str(folder), **asdict(comparison)}


def _show(comparison: Comparison) -> None:
    style = "green" if comparison.equal else "bold red"
    if not comparison.compared:
        same = "the same as" if comparison.equal else "another than"
        text = f"The hash of all values is {same} the record's."
        text += "" if comparison.equal else " Which differ only the run folder can tell."
        out.print(text, style=style, markup=False, soft_wrap=True)
        return
    what = ", ".join(f"{count} {_ROWS[kind]}" for kind, count in comparison.compared.items())
    if comparison.equal:
        out.print(f"Equal: all values of {what}; times are not compared.", style=style, markup=False, soft_wrap=True)
        return
    for one in comparison.differences[:SHOWN]:
        out.print(_line(one), markup=False, soft_wrap=True)
    if (more := len(comparison.differences) - SHOWN) > 0:
        out.print(f"and {more} more; --json has all", markup=False)
    rows = len({one.key for one in comparison.differences})
    out.print(f"{rows} rows differ, of {what}.", style=style, markup=False, soft_wrap=True)


_ROWS = {"clip": "clips", "result": "results", "score": "scores", "tokens": "rows of tokens"}


def _line(one: Difference) -> str:
    text = f"{' '.join(one.key)}: {one.field} {one.then} then, {one.now} now".replace(":  ", ": ")
    numbers = isinstance(one.then, (int, float)) and isinstance(one.now, (int, float))
    return text + (f" ({one.now - one.then:+.3g})" if numbers else "")
