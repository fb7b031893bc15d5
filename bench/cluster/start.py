"""Clusters that a run starts itself: worker processes of this machine, or jobs of Slurm."""

from __future__ import annotations

import importlib
import logging
from typing import Any

from ..pool import ATTEMPTS
from . import ClusterError

#: seconds after which a worker that gives no sign of life is taken for dead, and its tasks are given to another
SILENCE = "60s"


def local_cluster(workers: int) -> Any:
    """A scheduler in this process and so many worker processes of one thread, on loopback, without a dashboard."""
    import dask
    from distributed import LocalCluster

    config = {
        "distributed.scheduler.allowed-failures": ATTEMPTS - 1,
        "distributed.scheduler.worker-ttl": SILENCE,
    }
    with dask.config.set(config):
        return LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",  # of the scheduler's HTTP server, which is always there
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
        )


def slurm_cluster(workers: int) -> Any:
    """A scheduler in this process and so many workers in Slurm jobs, as the user's dask-jobqueue configuration says.

    Raises ClusterError if dask-jobqueue is not installed, or its configuration names no cores and memory.
    """
    try:
        jobqueue: Any = importlib.import_module("dask_jobqueue")
    except ImportError as error:
        raise ClusterError(f"dask-jobqueue is not installed ({error}): pip install 'codecbench[slurm]'") from error
    try:
        cluster = jobqueue.SLURMCluster()
    except (ValueError, TypeError) as error:
        raise ClusterError(
            f"no Slurm cluster: {error}\nset jobqueue.slurm in ~/.config/dask/jobqueue.yaml (see docs/cluster.md)"
        ) from error
    cluster.scale(workers)
    return cluster
