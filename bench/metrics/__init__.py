"""Metrics, one file each; importing a file registers its metrics (see `_metric.py` for the contract)."""

from __future__ import annotations

from ..registry import Registry
from ._metric import Metric, MetricError, Reason, Score, evaluate

registry: Registry[Metric] = Registry("metric", __name__)
register = registry.register

__all__ = ["Metric", "MetricError", "Reason", "Score", "evaluate", "register", "registry"]
