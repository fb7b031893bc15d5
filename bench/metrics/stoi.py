"""STOI and ESTOI."""

from __future__ import annotations

import warnings

from . import register
from ._metric import Metric, MetricError, Reason, Signal


def stoi(reference: Signal, degraded: Signal, rate: int) -> float:
    """Short-time objective intelligibility (Taal et al., IEEE TASLP 19, 2011). Aligns nothing by itself."""
    return _pystoi(reference, degraded, rate, extended=False)


def estoi(reference: Signal, degraded: Signal, rate: int) -> float:
    """Extended STOI (Jensen and Taal, IEEE/ACM TASLP 24, 2016). Aligns nothing by itself."""
    return _pystoi(reference, degraded, rate, extended=True)


def _pystoi(reference: Signal, degraded: Signal, rate: int, extended: bool) -> float:
    import pystoi

    with warnings.catch_warnings():
        # pystoi answers 1e-5 with this warning where it has nothing to correlate
        warnings.filterwarnings("error", message="Not enough STFT frames", category=RuntimeWarning)
        try:
            return float(pystoi.stoi(reference, degraded, rate, extended=extended))
        except RuntimeWarning as warning:
            detail = "fewer than 30 frames (0.4 s) of the reference lie within 40 dB of its loudest"
            raise MetricError(Reason.NO_SPEECH, detail) from warning


for name, title, function, low, paper in (
    ("stoi", "STOI", stoi, 0.0, "Taal et al., IEEE TASLP 19 (2011)"),
    ("estoi", "ESTOI", estoi, -1.0, "Jensen and Taal, IEEE/ACM TASLP 24 (2016)"),
):
    register(
        Metric(
            name=name,
            title=title,
            function=function,
            low=low,
            high=1.0,
            ceiling=1.0,
            higher_is_better=True,
            domain="intelligibility of speech at the reference's own rate; judges 150 to 4300 Hz only",
            reference=paper,
            package="pystoi",
            content=("speech",),
            min_rate=8000,
            min_seconds=0.5,
            digits=3,
        )
    )
