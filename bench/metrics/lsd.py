"""Log-spectral distance."""

from __future__ import annotations

import numpy as np

from . import register
from ._metric import Metric, Signal
from ._spectra import Spectra, above_floor, decibels, power_spectra


def prepare(reference: Signal, rate: int) -> tuple[Spectra, float]:
    """The reference's log spectra and their floor, once for all codecs."""
    return above_floor(power_spectra(reference, rate))


def lsd(reference: Signal, degraded: Signal, rate: int, prepared: tuple[Spectra, float]) -> float:
    """Root mean square over frequency of the difference of the log spectra, mean over frames, in dB.

    Gray and Markel, Distance measures for speech processing, IEEE TASSP 24 (1976), L2 of log power spectra; window and
    floor as in `_spectra`.
    """
    levels, floor = prepared
    difference = levels - decibels(power_spectra(degraded, rate), floor)
    return float(np.mean(np.sqrt(np.mean(np.square(difference), axis=1))))


register(
    Metric(
        name="lsd",
        title="Log-spectral distance",
        function=lsd,
        prepare=prepare,
        low=0.0,
        high=float("inf"),
        ceiling=0.0,
        higher_is_better=False,
        domain="any audio; at the reference's own rate, so that values at different rates do not compare",
        reference="Gray and Markel, IEEE TASSP 24 (1976)",
        package="numpy",
        unit="dB",
        min_seconds=0.05,
        variant="40 ms Hann, floor 80 dB below the reference's peak",
    )
)
