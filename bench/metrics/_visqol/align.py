"""Alignment of ViSQOL: Google's envelope, the lag between two envelopes, and slices of a signal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Spectrum = NDArray[np.complex128]


@lru_cache(maxsize=8)
def _signs(n: int) -> Array:
    signs = np.ones(n)
    signs[1::2] = -1
    return signs


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
    signs = _signs(n)
    nyquist = (1.0 if n == size else 2.0) * np.sum(centred * signs) / size
    envelope: Array = np.abs(2 * centred - np.sum(centred) / size - nyquist * signs) + mean
    return envelope


class Envelope:
    """A signal's envelope and its FFTs, each computed once."""

    def __init__(self, signal: Array) -> None:
        self.values = upper_envelope(signal)
        self._spectra: dict[int, Spectrum] = {}

    def __len__(self) -> int:
        return len(self.values)

    def spectrum(self, points: int) -> Spectrum:
        import scipy.fft

        if points not in self._spectra:
            self._spectra[points] = scipy.fft.rfft(self.values, points)
        return self._spectra[points]


def best_lags(references: Sequence[Envelope], degraded: Sequence[Array]) -> list[int]:
    """Of each pair, the lag in samples at which the envelopes correlate most; 0 if over half the reference's length.

    Pairs of the same lengths are transformed together, which is faster. The FFT's length is any fast one of at least
    all lags, where the C++ takes a power of two: what is asked of the result is only where its maximum lies.
    """
    import scipy.fft

    lags = [0] * len(references)
    alike: dict[tuple[int, int], list[int]] = {}
    for i, (reference, signal) in enumerate(zip(references, degraded, strict=True)):
        alike.setdefault((len(reference), len(signal)), []).append(i)
    for (n, m), pairs in alike.items():
        longest = max(n, m)
        points = scipy.fft.next_fast_len(2 * longest - 1, real=True)
        product = scipy.fft.rfft(np.stack([upper_envelope(degraded[i]) for i in pairs]), points)
        np.conj(product, out=product)
        for row, i in zip(product, pairs, strict=True):
            row *= references[i].spectrum(points)
        for row, i in zip(scipy.fft.irfft(product, points), pairs, strict=True):
            lag = _peak(row, longest)
            lags[i] = lag if abs(lag) <= n / 2 else 0
    return lags


def _peak(correlation: Array, longest: int) -> int:
    """The lag of the maximum of a circular correlation, the lowest one of equals."""
    later = int(np.argmax(correlation[:longest]))
    if longest == 1:
        return later
    before = int(np.argmax(correlation[1 - longest :]))
    return before + 1 - longest if correlation[before + 1 - longest] >= correlation[later] else later


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
