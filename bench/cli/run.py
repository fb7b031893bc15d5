"""Encode, decode, score and time codecs over a suite.

The same command goes on where it was stopped, whatever stopped it. Results lie in the run folder: results.sqlite,
scores.csv, scores.parquet, summary.csv, summary.md, run.json, plots and index.html.

exit codes: 0 all well, 1 some clips or codecs failed, or a cluster is gone, 2 usage, a folder that cannot be written (a
full disk, a lock) or a cluster that is refused, 3 a self-check failed, 130 interrupted (143 by SIGTERM, 129 by SIGHUP);
with --reproduce: 0 equal, 1 not, 2 it cannot be repeated here
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from . import _reproduce
from ._arguments import add_codec_modules, add_jobs, names, positive, seconds
from ._console import emit_json, err, out
from ._executor import add_executor, contradiction, make_executor
from ._signals import ended_by_signals, exit_code

if TYPE_CHECKING:
    from ..plan import Plan

EPILOG = """\
examples:
  bench run --suite speech
  bench run --suite speech --codecs opus,amr_wb@12.65+23.85 --limit 8
  bench run --suite music --metrics visqol_audio,mel --out runs/mine
  bench run --suite speech --corpus librispeech:/data/LibriSpeech/test-clean --limit 50
  bench run --corpus ./recordings --codecs opus --points 6,12
  bench run --codec-module my_codec.py --codecs my_codec,opus
  bench run --codecs soundstream:model.safetensors@6,encodec:/models/mine,opus
  bench run --suite our_suite.toml --dry-run
  bench run --suite speech --executor dask --scheduler tcp://10.0.0.1:8786 --timing-on driver
  bench run --reproduce runs/speech-1a2b3c4d
  bench run --reproduce appendix/run.json --corpus librispeech:/data/LibriSpeech/test-clean
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to run")
    what.add_argument("--suite", default="speech", metavar="NAME|FILE", help="a suite, or a TOML file (speech)")
    what.add_argument("--corpus", action="append", metavar="SPEC", help="instead of the suite's; may be given again")
    what.add_argument(
        "--codecs",
        metavar="A,B@P+P",
        help="instead of the suite's: names, each with points if wanted; *,-A is all but A; A:PATH: your own weights",
    )
    what.add_argument("--points", metavar="P,P", help="only the operating points with these labels")
    what.add_argument("--metrics", metavar="A,B", help="instead of the suite's")
    what.add_argument("--limit", type=positive, metavar="N", help="at most N clips of each corpus")
    what.add_argument("--seed", type=int, metavar="N", help="of the choice of clips and of the bootstrap (0)")
    what.add_argument("--no-timing", action="store_true", help="leave the timing phase out")
    add_codec_modules(what)
    _reproduce.add_reproduce(what)
    how = parser.add_argument_group("how to run it")
    how.add_argument("--out", type=Path, metavar="DIR", help="the run folder (runs/SUITE-HASH)")
    add_jobs(how)
    add_executor(how)
    how.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="for codecs that can use a GPU (cpu)")
    how.add_argument("--timeout", type=seconds, default=300.0, metavar="S", help="seconds one stage may take (300)")
    how.add_argument("--no-cache", action="store_true", help="neither use nor fill the cache")
    how.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True, help="go on with what is there")
    how.add_argument("--retry-failed", action="store_true", help="try again what failed before")
    how.add_argument("--offline", action="store_true", help="fetch no weights, as CODECBENCH_OFFLINE=1 does")
    how.add_argument("--fetch-models", action="store_true", help="fetch the large weights too (see bench models list)")
    how.add_argument("--dry-run", action="store_true", help="show the plan and stop")
    how.add_argument("--quiet", action="store_true", help="no progress and no summary")
    how.add_argument("--json", action="store_true", help="print the outcome as JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    from ...codecs._device import DeviceError
    from ...codecs._load import LoadError
    from ...corpora import CorpusError
    from ..api import default_folder, resolve
    from ..reproduce import ReproduceError
    from ..store import StoreError
    from ..suite import SuiteError

    if problem := contradiction(args) or _reproduce.contradiction(args):
        err.print(f"bench run: {problem}", style="red", markup=False)
        return 2
    record = None
    try:
        if args.reproduce:
            record, plan = _reproduce.plan_again(args)
        else:
            plan = resolve(
                args.suite,
                corpora=args.corpus,
                codecs=_names(args.codecs, "--codecs"),
                points=_names(args.points, "--points") or (),
                metrics=_names(args.metrics, "--metrics"),
                limit=args.limit,
                seed=args.seed,
                timing=not args.no_timing,
                codec_modules=args.codec_module,
                device=args.device,
                offline=args.offline or args.dry_run,
                fetch_models=args.fetch_models,
                say=lambda line: err.print(line, markup=False),
            )
    except (ReproduceError, StoreError, SuiteError, CorpusError, LoadError, DeviceError) as error:
        err.print(f"bench run: {error}", style="red", markup=False)
        return 2
    folder = args.out or (record.again if record else default_folder(plan))
    code = _carry_out(args, plan, folder)
    if record is None or args.dry_run:
        return code
    return _reproduce.conclude(args, record, folder, code) if plan.units() and code != 2 else 2


def _carry_out(args: argparse.Namespace, plan: Plan, folder: Path) -> int:
    if args.dry_run:
        _show_plan(plan, folder, args.json)
        return 0
    if not plan.units():
        why = [f"{name}: {reason}" for name, reason in _missing(plan).items()] or ["there is no clip"]
        err.print("bench run: nothing can run", *why, sep="\n  ", markup=False, soft_wrap=True)
        return 1
    return _execute(args, plan, folder)


def _execute(args: argparse.Namespace, plan: Plan, folder: Path) -> int:
    from ...reports.terminal import print_summary
    from ..api import now, physical_cores, run_plan
    from ..cache import CacheError, cache_folder
    from ..cluster import ClusterLost
    from ..executor import ExecutorError
    from ..runner import Settings
    from ..store import StoreError
    from ._progress import Reporter

    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    settings = Settings(
        jobs=args.jobs or physical_cores(),
        timeout=args.timeout,
        cache=None if args.no_cache else cache_folder(),
        retry_failed=args.retry_failed,
        command=command,
        created=now(),
    )
    began = time.monotonic()
    try:
        executor = make_executor(args, plan)
        with ended_by_signals(), Reporter(err, quiet=args.quiet or args.json) as reporter:
            outcome = run_plan(plan, folder, settings, resume=args.resume, progress=reporter.update, executor=executor)
    except ClusterLost as error:
        err.print(f"\n{error}\nwhat is done is kept in {folder}; go on with: {command}", markup=False)
        return 1
    except (StoreError, CacheError, ExecutorError) as error:
        err.print(f"bench run: {error}", style="red", markup=False)
        return 2
    except KeyboardInterrupt as error:
        with suppress(OSError):  # the terminal may be gone
            err.print(f"\ninterrupted; what is done is kept in {folder}\ngo on with: {command}", markup=False)
        return exit_code(error)
    if args.json and not args.reproduce:
        emit_json({**dataclasses.asdict(outcome), "folder": str(folder), "exit_code": outcome.exit_code})
    elif not (args.quiet or args.json):
        print_summary(folder, out)
        took = f"{time.monotonic() - began:.1f} s"
        err.print(f"{outcome.units} clips x points, {outcome.computed} computed now, {took}", markup=False)
        err.print(f"page: {folder / 'index.html'}", markup=False)
    return outcome.exit_code


def _missing(plan: Plan) -> dict[str, str]:
    """Codecs that cannot run, and why."""
    return {p.codec.name: p.unavailable for p in plan.points if p.unavailable}


def _show_plan(plan: Plan, folder: Path, as_json: bool) -> None:
    runs = [p for p in plan.points if not p.unavailable]
    facts = {
        "folder": str(folder),
        "clips": len(plan.clips),
        "points": [f"{p.codec.name}@{p.point.label} ({p.content})" for p in runs],
        "metrics": [metric.name for metric in plan.metrics],
        "units": len(plan.units()),
        "unavailable": _missing(plan),
    }
    if as_json:
        emit_json(facts)
        return
    for key, value in facts.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        if isinstance(value, dict):
            text = "".join(f"\n  {name}: {why}" for name, why in value.items()) or "none"
        out.print(f"{key}: {text}", markup=False)


def _names(text: str | None, option: str) -> list[str] | None:
    """The names in an option, None where it was not given. Raises SuiteError where it names nothing."""
    from ..suite import SuiteError

    if text is None:
        return None
    if found := names(text):
        return found
    raise SuiteError(f"{option} {text!r} names nothing; leave it out for the suite's own")
