"""Loudness difference."""

from __future__ import annotations

from functools import partial

import numpy as np

from . import register
from ._metric import Metric, MetricError, Reason, Signal, missing


def prepare(reference: Signal, rate: int) -> float:
    """The reference's integrated loudness, once for all codecs."""
    return _loudness(reference, rate, Reason.SILENT_REFERENCE)


def loudness_diff(reference: Signal, degraded: Signal, rate: int, loudness: float) -> float:
    """Integrated loudness of the degraded clip minus the reference's, LU (ITU-R BS.1770-4, gated)."""
    return _loudness(degraded, rate, Reason.SILENT_DEGRADED) - loudness


def _loudness(signal: Signal, rate: int, silent: Reason) -> float:
    import pyloudnorm

    value = float(pyloudnorm.Meter(rate).integrated_loudness(signal))
    if not np.isfinite(value):
        raise MetricError(silent, "every block lies below the absolute gate of BS.1770, -70 LUFS")
    return value


register(
    Metric(
        name="loudness_diff",
        title="Loudness difference",
        function=loudness_diff,
        available=partial(missing, "pyloudnorm", "pyloudnorm"),
        prepare=prepare,
        low=-100.0,
        high=100.0,
        ceiling=0.0,
        higher_is_better=None,
        domain="any audio; degraded minus reference, each channel as a mono signal; 0 is best",
        reference="ITU-R BS.1770-4",
        package="pyloudnorm",
        unit="LU",
        min_seconds=0.5,
    )
)
