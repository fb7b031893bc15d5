"""Alignment of ViSQOL: Google's envelope, the lag between two envelopes, and slices of a signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Array = NDArray[np.float64]


def upper_envelope(signal: Array) -> Array:
    """The envelope of Google's `envelope.cc`, in closed form.

    It takes an inverse *real* FFT of the one-sided spectrum, doubled but for DC, zero-padded to a power of two of at
    least 32 points, so that no imaginary part remains: the result is the magnitude of twice the signal less its DC
    term and its Nyquist term, plus the mean. The Nyquist term counts once where there was no padding and not at all
    where there was.
    """
    n = len(signal)
    mean = np.mean(signal)
    centred = signal - mean
    size = max(32, 1 << (n - 1).bit_length())
    signs = np.ones(n)
    signs[1::2] = -1
    nyquist = (1.0 if n == size else 2.0) * np.sum(centred * signs) / size
    envelope: Array = np.abs(2 * centred - np.sum(centred) / size - nyquist * signs) + mean
    return envelope


class Envelope:
    """A signal's envelope and its FFTs, each computed once."""

    def __init__(self, signal: Array) -> None:
        self.values = upper_envelope(signal)
        self._spectra: dict[int, Any] = {}

    def spectrum(self, points: int) -> Any:
        if points not in self._spectra:
            self._spectra[points] = scipy.fft.rfft(self.values, points)
        return self._spectra[points]


def best_lag(reference: Envelope, degraded: Array) -> int:
    """The lag in samples at which the envelopes correlate most; 0 if it is over half the reference's length."""
    n = len(reference.values)
    longest = max(n, len(degraded))
    points = 1 << (2 * longest - 2).bit_length()
    product = reference.spectrum(points) * np.conj(scipy.fft.rfft(upper_envelope(degraded), points))
    correlation = scipy.fft.irfft(product, points)
    both = np.concatenate((correlation[points - longest + 1 :], correlation[:longest]))
    lag = int(np.argmax(both)) - longest + 1
    return lag if abs(lag) <= n / 2 else 0


@dataclass(frozen=True)
class Slice:
    """Part of a signal; `start` is where in the signal it begins, None if it holds inserted silence."""

    data: Array
    start: int | None

    def cut(self, first: int, last: int | None = None) -> Slice:
        return Slice(self.data[first:last], None if self.start is None else self.start + first)


def slice_signal(signal: Array, rate: int, start: float, end: float) -> Slice:
    """The signal between two times, seconds; what is missing at its end is put as silence before it, as in the C++."""
    first = max(0, int(start * rate))
    data = signal[first : min(len(signal) - 1, int(end * rate))]
    missing = int(max(0.0, end * rate - len(signal)))
    if missing:
        return Slice(np.concatenate((np.zeros(missing), data)), None)
    return Slice(data, first)


def shift(part: Slice, lag: int) -> Slice:
    """The slice that begins `lag` samples later, silence before it; or earlier, its beginning cut off."""
    return part.cut(-lag) if lag <= 0 else Slice(np.concatenate((np.zeros(lag), part.data)), None)


def truncate(ref: Slice, deg: Slice, lag: int) -> tuple[Slice, Slice]:
    """Both at equal length; where the degraded one is longer, without the silence that `shift` put before it."""
    if len(ref.data) < len(deg.data) and lag > 0:
        ref = ref.cut(lag)
        deg = deg.cut(lag)
    n = min(len(ref.data), len(deg.data))
    return ref.cut(0, n), deg.cut(0, n)
