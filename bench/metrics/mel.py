"""Log-mel distance."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from . import register
from ._metric import Metric, Signal
from ._spectra import Spectra, above_floor, decibels, power_spectra, window_length

BANDS = 64


@lru_cache(maxsize=8)
def filterbank(rate: int) -> Spectra:
    """Triangles of unit height, evenly spaced in mel = 2595 log10(1 + f / 700) from 0 to rate / 2, [bins, bands]."""
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + rate / 1400), BANDS + 2) / 2595) - 1)
    bins = np.linspace(0, rate / 2, window_length(rate) // 2 + 1)[:, None]
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles: Spectra = np.maximum(0, np.minimum(rise, fall))
    return triangles


def mel_spectra(signal: Signal, rate: int) -> Spectra:
    # no matrix product: BLAS splits it over its threads and so rounds by their number
    spectra: Spectra = np.einsum("tf,fb->tb", power_spectra(signal, rate), filterbank(rate))
    return spectra


def prepare(reference: Signal, rate: int) -> tuple[Spectra, float]:
    """The reference's log-mel spectra and their floor, once for all codecs."""
    return above_floor(mel_spectra(reference, rate))


def mel(reference: Signal, degraded: Signal, rate: int, prepared: tuple[Spectra, float]) -> float:
    """Mean absolute difference of the log-mel power spectra over 64 bands and all frames, in dB.

    Window and floor as in `_spectra`. Neural codec papers report an L1 of log-mel spectra too, each with bands, windows
    and floor of its own: such numbers do not compare with these.
    """
    levels, floor = prepared
    return float(np.mean(np.abs(levels - decibels(mel_spectra(degraded, rate), floor))))


register(
    Metric(
        name="mel",
        title="Log-mel distance",
        function=mel,
        prepare=prepare,
        low=0.0,
        high=float("inf"),
        ceiling=0.0,
        higher_is_better=False,
        domain="any audio; at the reference's own rate, so that values at different rates do not compare",
        reference="mean absolute difference of 64-band log-mel power spectra",
        package="numpy",
        unit="dB",
        min_seconds=0.05,
        variant="64 HTK mel bands to half the rate, 40 ms Hann, floor 80 dB below the reference's peak",
    )
)
