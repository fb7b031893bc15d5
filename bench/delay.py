"""Measure how late a decoder's output is: probe signals, and two ways to find the lag.

`lag` is for codecs that keep the waveform: generalised cross-correlation with phase transform (Knapp and Carter,
IEEE Trans. ASSP 24(4), 1976) limited to 200-3600 Hz, the band that every speech codec keeps. `envelope_lag` is for
parametric codecs, which keep only the course of the energy.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from .audio import Clip, resample

Signal = NDArray[np.floating]
BAND = (200.0, 3600.0)
_RATE = 48000


def probe(rate: int, seconds: float, content: Literal["speech", "music"] = "speech", seed: int = 0) -> Clip:
    """A seeded mono signal that codecs treat as speech or as music; peak 0.8. No real recording is needed for delay.

    Speech: pulses of a wandering pitch and noise through three formants that change every 120 ms. Music: notes of six
    decaying partials, and bursts of noise.
    """
    random = np.random.default_rng(seed)
    n = round(_RATE * seconds)
    signal = _speech(n, random) if content == "speech" else _music(n, random)
    signal *= 0.8 / np.max(np.abs(signal))
    return resample(Clip(signal[None].astype(np.float32), _RATE), rate)


def _speech(n: int, random: np.random.Generator) -> NDArray[np.float64]:
    time = np.arange(n) / _RATE
    pitch = 120 * (1 + 0.2 * np.sin(2 * np.pi * 0.7 * time))
    pulses = np.diff(np.floor(np.cumsum(pitch / _RATE)), prepend=0) > 0
    source = 8.0 * pulses + 0.3 * random.standard_normal(n)
    out = np.zeros(n)
    for start in range(0, n, 5760):
        part = source[start : start + 5760]
        for low, high, width in ((300, 900, 90), (900, 2300, 120), (2300, 3400, 180)):
            radius = np.exp(-np.pi * width / _RATE)
            angle = 2 * np.pi * random.uniform(low, high) / _RATE
            part = lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius**2], part)
        out[start : start + 5760] = part / (np.std(part) + 1e-9) * random.uniform(0.1, 1)
    return out


def _music(n: int, random: np.random.Generator) -> NDArray[np.float64]:
    out = np.zeros(n)
    for start in range(0, n, 9600):
        time = np.arange(n - start) / _RATE
        for _ in range(3):
            pitch = 110 * 2 ** (random.integers(0, 36) / 12)
            for partial in range(1, 7):
                phase = random.uniform(0, 2 * np.pi)
                decay = np.exp(-time * 3 * partial)
                out[start:] += decay / partial * np.sin(2 * np.pi * pitch * partial * time + phase)
        out[start:] += 0.7 * np.exp(-time * 25) * random.standard_normal(n - start)
    return out


def lag(reference: Signal, delayed: Signal, rate: int, limit: float = 0.3) -> tuple[int, float]:
    """How many samples the second signal is behind the first, within `limit` seconds, and how clear that is.

    Clarity is the peak of the phase correlation: 1 for a pure delay, near 0 for signals that have nothing in common.
    """
    size = 1 << int(np.ceil(np.log2(len(reference) + len(delayed) + 1)))
    cross = np.fft.rfft(delayed, size) * np.conj(np.fft.rfft(reference, size))
    frequency = np.fft.rfftfreq(size, 1 / rate)
    band = (frequency >= BAND[0]) & (frequency <= BAND[1])
    magnitude = np.abs(cross)
    kept = band & (magnitude > 1e-9 * magnitude.max(initial=0.0))
    phase = np.zeros_like(cross)
    phase[kept] = cross[kept] / magnitude[kept]
    correlation = np.fft.irfft(phase, size) * size / (2 * max(1, band.sum()))
    return _peak(correlation, round(limit * rate))


def envelope_lag(reference: Signal, delayed: Signal, rate: int, limit: float = 0.3) -> tuple[int, float]:
    """As `lag`, from the energies in dB of 2.5 ms; clarity is Pearson's correlation at the peak."""
    hop = rate // 400
    one, two = _envelope(reference, hop), _envelope(delayed, hop)
    size = 1 << int(np.ceil(np.log2(len(one) + len(two) + 1)))
    correlation = np.fft.irfft(np.fft.rfft(two, size) * np.conj(np.fft.rfft(one, size)), size)
    norm = np.linalg.norm(one) * np.linalg.norm(two)
    steps, clarity = _peak(correlation / (norm or 1.0), round(limit * rate / hop))
    return steps * hop, clarity


def _envelope(signal: Signal, hop: int) -> NDArray[np.float64]:
    """Energy in dB above a floor of 40 dB under the loudest hop, smoothed over 20 ms, without its mean."""
    count = len(signal) // hop
    energy = np.mean(np.square(signal[: count * hop].astype(np.float64)).reshape(count, hop), axis=1)
    energy = np.convolve(energy, np.hanning(10)[1:-1] / 4.5, mode="same")
    level = 10 * np.log10(np.maximum(energy, 1e-4 * energy.max(initial=0.0)) + 1e-20)
    centred: NDArray[np.float64] = level - level.mean()
    return centred


def _peak(correlation: NDArray[np.float64], reach: int) -> tuple[int, float]:
    """The best lag from -reach to reach of a circular correlation, and its value."""
    reach = min(reach, len(correlation) // 2 - 1)
    window = np.concatenate([correlation[len(correlation) - reach :], correlation[: reach + 1]])
    best = int(np.argmax(window))
    return best - reach, float(window[best])
