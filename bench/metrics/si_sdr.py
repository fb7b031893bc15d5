"""Scale-invariant signal-to-distortion ratio."""

from __future__ import annotations

import numpy as np

from . import register
from ._metric import Metric, Signal

#: Identical signals have an infinite ratio; means need a number, so the score is held within this many dB.
LIMIT = 100.0


def prepare(reference: Signal, rate: int) -> tuple[Signal, float]:
    """The reference without its mean, and its energy, once for all codecs."""
    x = reference - np.mean(reference)
    # sums, not dot products: BLAS splits those over its threads and so rounds by their number
    return x, float(np.sum(np.square(x)))


def si_sdr(reference: Signal, degraded: Signal, rate: int, prepared: tuple[Signal, float]) -> float:
    """SI-SDR in dB, means removed, held within -100 and 100 dB (Le Roux et al., ICASSP 2019, eq. 4)."""
    x, energy = prepared
    y = degraded - np.mean(degraded)
    target = np.sum(y * x) / energy * x
    signal = float(np.sum(np.square(target)))
    noise = float(np.sum(np.square(y - target)))
    if signal <= noise * 10 ** (-LIMIT / 10):
        return -LIMIT
    if noise <= signal * 10 ** (-LIMIT / 10):
        return LIMIT
    return 10 * float(np.log10(signal / noise))


register(
    Metric(
        name="si_sdr",
        title="SI-SDR",
        function=si_sdr,
        prepare=prepare,
        low=-LIMIT,
        high=LIMIT,
        ceiling=LIMIT,
        higher_is_better=True,
        domain="codecs that keep the waveform; says nothing about parametric and generative codecs",
        reference="Le Roux et al., SDR - half-baked or well done?, ICASSP 2019",
        package="numpy",
        unit="dB",
        min_seconds=0.02,
        digits=1,
    )
)
