"""Runs on many machines, by Dask.

`executor` gives tasks to a cluster's workers through a `connection` to its scheduler, `worker` is what runs there,
`versions` tells workers that would give other numbers, `start` has the clusters that a run starts itself.
"""

from __future__ import annotations

from ..executor import ExecutorError


class ClusterError(ExecutorError):
    """A cluster that cannot be used."""


class ClusterLost(ExecutorError):
    """A cluster that is gone."""
