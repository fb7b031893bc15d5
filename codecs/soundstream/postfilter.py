"""A long-term postfilter: where decoded speech is periodic, what came one or two pitch periods before is mixed in.

Noise of quantisation lies between the harmonics of voiced speech as well as on them, and there nothing masks it. Two
periods of speech are nearly alike and their noise is not, so their mean has less of it. The classic form is that of
Chen and Gersho (IEEE Trans. Speech and Audio Processing 3, 1995), used in CELP codecs and, as CELT's pitch postfilter,
in Opus (RFC 6716, section 4.3.7.1). Here the lag is found in the decoded signal itself: it costs no bits, and the
networks are trained through it. At low rates, where there is more noise, two periods are taken.

Signals are [B, T] at 24 kHz; a subframe is 160 samples, 6.7 ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

#: samples a subframe; of the window that is compared with what lies one lag before it
SUBFRAME, WINDOW = 160, 480
#: lags, samples: 400 to 75 Hz
SHORTEST, LONGEST = 60, 320
#: samples before the first that are looked at
HISTORY = 832
#: weight of the period before at a correlation of 1; correlation from which on it is mixed in
STRENGTH, THRESHOLD = 0.6, 0.3
#: weight of the second period, a share of the first one's: at most; stages from which on there is none; fall a stage
SECOND, _ALONE, _FALL = 0.5, 12, 1 / 16
#: what a longer lag must be better by, a sample: multiples of the period are as good as the period
_PREFER = 3e-4
#: the lag is first sought in every fourth sample
_STEP = 4

Array = NDArray[np.floating[Any]]


@dataclass
class Memory:
    """What lies before the next samples: signal [B, HISTORY]; of the last subframe lag, gain and the second period's
    gain, [B, 1]."""

    signal: Tensor
    lag: Tensor
    gain: Tensor
    second: Tensor

    @classmethod
    def silent(cls, like: Tensor) -> Memory:
        """Before the start of signals [B, T]."""
        rows = len(like)
        none = like.new_zeros(rows, 1)
        return cls(like.new_zeros(rows, HISTORY), like.new_full((rows, 1), float(SHORTEST)), none, none)


def postfilter(x: Tensor, stages: Tensor, memory: Memory | None = None) -> tuple[Tensor, Memory]:
    """Signals [B, T] of frames with so many stages [B, F], T a multiple of F subframes -> the same filtered, and the
    memory for what follows.

    Lag and gain are constants to the gradient. Between subframes one filter fades into the next.
    """
    memory = memory or Memory.silent(x)
    share = ((_ALONE - stages.to(x)) * _FALL).clamp(0, SECOND)
    share = share.repeat_interleave(x.shape[1] // SUBFRAME // max(1, stages.shape[1]), 1)
    signal = torch.cat([memory.signal, x], 1)
    lag, gain = (torch.from_numpy(one).to(x) for one in pitch(signal.detach().cpu().numpy()))
    second = torch.cat([memory.second, gain * share], 1)
    lag, gain = torch.cat([memory.lag, lag], 1), torch.cat([memory.gain, gain], 1)
    smooth = torch.nn.functional.pad(signal, (1, 1))
    smooth = (smooth[:, :-2] + 2 * signal + smooth[:, 2:]) / 4
    fade = (torch.arange(SUBFRAME, device=x.device) / SUBFRAME).repeat(x.shape[1] // SUBFRAME)
    old, new = (
        _mixed(x, smooth, *(one[:, some] for one in (lag, gain, second))) for some in (slice(0, -1), slice(1, None))
    )
    return (1 - fade) * old + fade * new, Memory(
        signal[:, -HISTORY:].detach(), lag[:, -1:], gain[:, -1:], second[:, -1:]
    )


def _mixed(x: Tensor, smooth: Tensor, lag: Tensor, gain: Tensor, second: Tensor) -> Tensor:
    """x [B, T] with `smooth` [B, HISTORY + T] one lag and two before; lag, gain, second : [B, subframes]."""
    lag, gain, second = (one.repeat_interleave(SUBFRAME, 1) for one in (lag, gain, second))
    mixed = x + gain * _before(smooth, lag) + second * _before(smooth, 2 * lag)
    return mixed / (1 + gain + second)


def _before(smooth: Tensor, lag: Tensor) -> Tensor:
    """`smooth` [B, HISTORY + T] so many samples, a fraction, before each of the last T; lag [B, T]."""
    whole = lag.floor()
    place = HISTORY + torch.arange(lag.shape[1], device=lag.device) - whole.long()
    return smooth.gather(1, place).lerp(smooth.gather(1, place - 1), lag - whole)


def pitch(signal: Array) -> tuple[Array, Array]:
    """Lag in samples, a fraction, and gain in [0, STRENGTH]: [B, HISTORY + T] -> [B, subframes] each."""
    x = np.nan_to_num(signal.astype(np.float64))  # a network that diverged is for the training to report
    low = np.convolve(np.ones(_STEP), np.ones(_STEP)) / _STEP**2
    pooled = np.stack([np.convolve(row, low)[: len(row)] for row in x])[:, _STEP - 1 :: _STEP]
    # coarsely: the windows that end with each subframe, [B, subframes, places], and those of all lags before
    first, last, size, hop = SHORTEST // _STEP, LONGEST // _STEP, WINDOW // _STEP, SUBFRAME // _STEP
    windows = sliding_window_view(pooled, size, axis=1)
    start = HISTORY // _STEP + hop - size
    before = sliding_window_view(windows, last - first + 1, axis=1)[:, start - last : -first : hop].swapaxes(2, 3)
    coarse = np.arange(last, first - 1, -1)
    found = _correlation(windows[:, start::hop], before)
    best = coarse[(found * (1 - _PREFER * _STEP * coarse)).argmax(2)] * _STEP
    # finely around the best, and between the samples by a parabola
    lags = best[..., None] + np.arange(-_STEP, _STEP + 1)
    windows = sliding_window_view(x, WINDOW, axis=1)
    places = np.arange(HISTORY + SUBFRAME - WINDOW, windows.shape[1], SUBFRAME)
    before = windows[np.arange(len(x))[:, None, None], places[:, None] - lags]
    r = _correlation(windows[:, places], before)
    peak = r[..., 1:-1].argmax(2)[..., None] + 1
    left, centre, right = (np.take_along_axis(r, peak + i, 2)[..., 0] for i in (-1, 0, 1))
    curve = np.minimum(left + right - 2 * centre, -1e-9)
    lag = np.take_along_axis(lags, peak, 2)[..., 0] + np.clip((left - right) / (2 * curve), -0.5, 0.5)
    gain = STRENGTH * np.clip((centre - THRESHOLD) / (1 - THRESHOLD), 0, 1)
    return lag.clip(SHORTEST, LONGEST), gain


def _correlation(now: Array, before: Array) -> Array:
    """Normalised, of windows [B, F, W] with windows [B, F, lags, W]: [B, F, lags]. Each is a sum of its own, so that
    it does not depend on what else is there."""
    energy = np.einsum("bfw,bfw->bf", now, now)[..., None] * np.einsum("bflw,bflw->bfl", before, before)
    correlation: Array = np.einsum("bfw,bflw->bfl", now, before) / np.sqrt(np.maximum(energy, 1e-30))
    return correlation
