"""A long-term postfilter: where decoded speech is periodic, it is mixed with itself a pitch period earlier and later.

Noise of quantisation lies between the harmonics of voiced speech as well as on them, and there nothing masks it.
Periods of speech that follow each other are nearly alike and their noise is not, so their mean has less of it. The
classic form is that of Chen and Gersho (IEEE Trans. Speech and Audio Processing 3, 1995), used in CELP codecs and, as
CELT's pitch postfilter, in Opus (RFC 6716, section 4.3.7.1); they take periods of the past. This one takes the period
after as well, which does much for quality and costs a frame of delay (docs/decisions/0015), and the more of them the
fewer stages frames have in the mean of late (0016, 0017). The lag is found in the decoded signal itself, so it costs
no bits, and the networks are trained through it.

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

Array = NDArray[np.floating[Any]]

#: samples a subframe; of the window that is compared with what lies one lag before it
SUBFRAME, WINDOW = 160, 400
#: lags, samples: 400 to 77 Hz
SHORTEST, LONGEST = 60, 312
#: samples by which the output is late: the longest lag, and what smoothing and interpolation reach beyond it
LOOKAHEAD = 320
#: samples before the first that are looked at
HISTORY = 960
#: weight of each period at a correlation of 1: this over the root of the mean of the stages, and the most
STRENGTH, STRONGEST = 1.3, 0.65
#: frames over which the mean of their stages is taken, the last counting most
_FRAMES = 50
#: weight of the period two before, relative to the square of that of the one before
SECOND = 0.8
#: correlation from which on periods are mixed in
THRESHOLD = 0.3
#: what is mixed in is low-passed, -3 dB at 2.2 kHz: above, harmonics are not as steady
_SMOOTH = torch.tensor([1.0, 8, 28, 56, 70, 56, 28, 8, 1]) / 256
#: what a longer lag must be better by, a sample: multiples of the period are as good as the period
_PREFER = 3e-4
#: the lag is first sought in every fourth sample
_STEP = 4
#: what a lag near the one of the subframe before has of that one's score
_KEEP = 0.7
#: lags of the coarse search, in steps
_COARSE = np.arange(LONGEST // _STEP, SHORTEST // _STEP - 1, -1)
#: subframes of a frame, and of the lookahead
_SUBFRAMES, _AHEAD = 2, LOOKAHEAD // SUBFRAME


@dataclass
class Memory:
    """What lies before the next samples: signal [B, HISTORY]; lag and gain [B, 3] of the last subframes; scores of all
    lags [B, lags] in the last one; the running mean of the stages [B], None at the start."""

    signal: Tensor
    lag: Tensor
    gain: Tensor
    scores: Array
    stages: Array | None = None

    @classmethod
    def silent(cls, like: Tensor) -> Memory:
        """Before the start of signals [B, T]."""
        rows, known = len(like), _AHEAD + 1
        lag = like.new_full((rows, known), float(SHORTEST))
        return cls(like.new_zeros(rows, HISTORY), lag, like.new_zeros(rows, known), np.zeros((rows, len(_COARSE))))


def postfilter(x: Tensor, stages: Tensor, memory: Memory | None = None) -> tuple[Tensor, Memory]:
    """Signals [B, T], T a multiple of the frame, of which each was coded with so many stages, [B, F] -> the same
    filtered, by what these stages are in the mean, `LOOKAHEAD` samples late, and the memory for what follows.

    Lag and gain are constants to the gradient. Between subframes one filter fades into the next.
    """
    memory = memory or Memory.silent(x)
    signal = torch.cat([memory.signal, x], 1)
    *found, scores = pitch(signal.detach().cpu().numpy(), memory.scores)
    lag, gain = (torch.from_numpy(one).to(x) for one in found)
    means, mean = _running(stages.cpu().numpy().astype(np.float32), memory.stages)
    gain = gain * strength(torch.from_numpy(means).to(x)).repeat_interleave(_SUBFRAMES, 1)
    lag, gain = torch.cat([memory.lag, lag], 1), torch.cat([memory.gain, gain], 1)
    smooth = torch.nn.functional.conv1d(signal[:, None], _SMOOTH.to(x)[None, None], padding=len(_SMOOTH) // 2)[:, 0]
    # The window that ends with the next subframe lies around a subframe.
    old, new = (_mixed(signal, smooth, lag, gain, one) for one in (1, 2))
    fade = (torch.arange(SUBFRAME, device=x.device) / SUBFRAME).repeat(x.shape[1] // SUBFRAME)
    y = (1 - fade) * old + fade * new
    return y, Memory(signal[:, -HISTORY:].detach(), lag[:, -_AHEAD - 1 :], gain[:, -_AHEAD - 1 :], scores, mean)


def _running(stages: Array, mean: Array | None) -> tuple[Array, Array | None]:
    """Stages [B, F] -> their running mean [B, F], which goes on from that of the frames before [B], and the last one.
    That of a constant is the constant."""
    means = np.empty_like(stages)
    for frame, now in enumerate(stages.T):
        mean = now if mean is None else mean + (now - mean) / _FRAMES
        means[:, frame] = mean
    return means, mean


def strength(stages: Tensor) -> Tensor:
    """Weight of a period at a correlation of 1: the more stages, the less noise there is to be rid of."""
    return (STRENGTH / stages.sqrt()).clamp_max(STRONGEST)


def _mixed(signal: Tensor, smooth: Tensor, lag: Tensor, gain: Tensor, first: int) -> Tensor:
    """The output [B, T] of signals [B, HISTORY + T] with the lags and gains [B, 3 + subframes] from number `first` on.

    The lag to the period after is that of the subframe in which it ends, or of the last that is known.
    """
    subframes = lag.shape[1] - _AHEAD - 1
    n = torch.arange(subframes * SUBFRAME, device=lag.device)
    place, number = HISTORY - LOOKAHEAD + n, (n // SUBFRAME).expand(len(lag), -1)
    back, weight = lag.gather(1, number + first), gain.gather(1, number + first)
    ends = number + 1 + ((n % SUBFRAME + back).long() // SUBFRAME).clamp_max(_AHEAD - 1)
    ahead, other = lag.gather(1, ends), gain.gather(1, ends)
    second = SECOND * weight.square()
    mixed = signal[:, place] + weight * _before(smooth, place, back) + second * _before(smooth, place, 2 * back)
    return (mixed + other * _before(smooth, place, -ahead)) / (1 + weight + second + other)


def _before(x: Tensor, place: Tensor, lag: Tensor) -> Tensor:
    """x [B, N] so many samples, a fraction, before each place; place [T], lag [B, T]."""
    whole = lag.floor()
    place = place - whole.long()
    return x.gather(1, place).lerp(x.gather(1, place - 1), lag - whole)


def pitch(signal: Array, scores: Array) -> tuple[Array, Array, Array]:
    """Lag in samples, a fraction, and periodicity in [0, 1]: [B, HISTORY + T] -> [B, subframes] each. Further the
    scores of all lags in the last subframe, [B, lags], as they are given of the one before the first.

    The lag is the best end of a path that moves by a step a subframe at most, as pitch trackers choose it (Talkin,
    RAPT, in Speech Coding and Synthesis, 1995), where scores of the past fade.
    """
    x = np.nan_to_num(signal.astype(np.float64))  # a network that diverged is for the training to report
    low = np.convolve(np.ones(_STEP), np.ones(_STEP)) / _STEP**2
    pooled = np.stack([np.convolve(row, low)[: len(row)] for row in x])[:, _STEP - 1 :: _STEP]
    # coarsely: the windows that end with each subframe, [B, subframes, places], and those of all lags before
    size, hop = WINDOW // _STEP, SUBFRAME // _STEP
    windows = sliding_window_view(pooled, size, axis=1)
    start = HISTORY // _STEP + hop - size
    before = sliding_window_view(windows, len(_COARSE), axis=1)[:, start - _COARSE[0] : -_COARSE[-1] : hop].swapaxes(
        2, 3
    )
    found = _correlation(windows[:, start::hop], before) * (1 - _PREFER * _STEP * _COARSE)
    best = np.empty(found.shape[:2], int)
    for subframe in range(found.shape[1]):
        near = scores.copy()
        np.maximum(near[:, 1:], scores[:, :-1], out=near[:, 1:])
        np.maximum(near[:, :-1], scores[:, 1:], out=near[:, :-1])
        scores = found[:, subframe] + _KEEP * near
        best[:, subframe] = scores.argmax(1)
    best = _COARSE[best] * _STEP
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
    return lag.clip(SHORTEST, LONGEST), np.clip((centre - THRESHOLD) / (1 - THRESHOLD), 0, 1), scores


def _correlation(now: Array, before: Array) -> Array:
    """Normalised, of windows [B, F, W] with windows [B, F, lags, W]: [B, F, lags]. Each is a sum of its own, so that
    it does not depend on what else is there."""
    energy = np.einsum("bfw,bfw->bf", now, now)[..., None] * np.einsum("bflw,bflw->bfl", before, before)
    correlation: Array = np.einsum("bfw,bflw->bfl", now, before) / np.sqrt(np.maximum(energy, 1e-30))
    return correlation
