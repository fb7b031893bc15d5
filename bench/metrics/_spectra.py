"""Short-time power spectra, which the spectral distances share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._metric import Signal, remembered

Spectra = NDArray[np.float64]

#: dB below the reference's strongest bin at which both sides are floored: what lies lower is not heard, and without
#: a floor the digital silence of a band that a codec cuts off would count for hundreds of dB
FLOOR = 80.0


def window_length(rate: int) -> int:
    """Samples of the analysis window: the power of two nearest to 40 ms (512 at 16 kHz, 2048 at 44.1 and 48 kHz)."""
    return int(2 ** round(np.log2(0.04 * rate)))


@remembered
def power_spectra(signal: Signal, rate: int) -> Spectra:
    """Power spectra [frames, bins]: periodic Hann window of `window_length`, hop of a quarter, end zero-padded."""
    size = window_length(rate)
    hop = size // 4
    frames = max(1, -(-(len(signal) - size) // hop) + 1)
    padded = np.zeros((frames - 1) * hop + size)
    padded[: len(signal)] = signal[: len(padded)]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    spectra = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, size)[::hop] * window)
    power: Spectra = np.square(spectra.real) + np.square(spectra.imag)
    return power


def decibels(power: Spectra, floor: float) -> Spectra:
    """Power in dB, nothing below `floor` (a power)."""
    result: Spectra = 10 * np.log10(np.maximum(power, floor))
    return result


def above_floor(reference: Spectra) -> tuple[Spectra, float]:
    """A reference's power in dB, and the power `FLOOR` dB below its strongest bin, under which neither side counts."""
    floor = float(np.max(reference)) * 10 ** (-FLOOR / 10)
    return decibels(reference, floor), floor
