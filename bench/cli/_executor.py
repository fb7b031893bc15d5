"""The options that say what runs the tasks of a run: this machine, a Dask cluster, jobs of Slurm."""

from __future__ import annotations

import argparse
import functools
from typing import TYPE_CHECKING

from ._arguments import positive
from ._console import err

if TYPE_CHECKING:
    from ..executor import Executor
    from ..plan import Plan


def add_executor(group: argparse._ArgumentGroup) -> None:
    """The options."""
    group.add_argument(
        "--executor", choices=["local", "dask", "slurm"], default="local", help="what runs it (local); docs/cluster.md"
    )
    group.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster, such as tcp://10.0.0.1:8786")
    group.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="Dask workers to start: processes here (physical cores), or of Slurm jobs",
    )
    group.add_argument(
        "--timing-on",
        metavar="driver|WORKER",
        help="on a cluster: time here, or on the worker of this name, address or host, with nothing else there",
    )


def contradiction(args: argparse.Namespace) -> str | None:
    """What is wrong with the options together, None if nothing is."""
    if args.executor == "local":
        for option in ("scheduler", "workers", "timing_on"):
            if getattr(args, option) is not None:
                return f"--{option.replace('_', '-')} goes with --executor dask or slurm"
        return None
    if args.jobs is not None:
        return f"--jobs goes with --executor local; --executor {args.executor} takes --workers"
    if args.scheduler and args.workers:
        return "--scheduler is a cluster that has its workers; leave --workers out"
    if args.executor == "slurm":
        if args.scheduler:
            return "--executor slurm starts its own scheduler; leave --scheduler out, or give --executor dask"
        if not args.workers:
            return "--executor slurm needs --workers N"
    if args.timing_on is not None and args.no_timing:
        return "--timing-on and --no-timing contradict each other"
    return None


def make_executor(args: argparse.Namespace, plan: Plan) -> Executor | None:
    """What the options ask for, None for this machine's own processes.

    Raises ClusterError if it cannot be had.
    """
    if args.executor == "local":
        return None
    from ..api import physical_cores
    from ..cluster import ClusterError

    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise ClusterError(f"Dask is not installed ({error}): pip install 'codecbench[dask]'") from error
    from ..cluster.executor import DaskExecutor
    from ..cluster.start import local_cluster, slurm_cluster

    start = slurm_cluster if args.executor == "slurm" else local_cluster
    return DaskExecutor(
        args.scheduler or functools.partial(start, args.workers or physical_cores()),
        plan,
        args.timeout,
        timing_on=args.timing_on or "",
        say=lambda line: None if args.quiet else err.print(line, markup=False),
    )
