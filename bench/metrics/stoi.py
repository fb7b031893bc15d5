"""STOI and ESTOI.

The steps and constants are pystoi's and so are its resampler, its removal of silent frames and its filterbank. What
both measures, and all codecs of a reference, need alike is computed once. The dither that ESTOI adds before it
normalises is always the same one; pystoi draws it anew each time, and where 0.4 s of a band is digital silence the
dither is all there is, so that one clip's score scatters by up to 0.005. Else both equal pystoi's (1e-12).
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import register
from ._metric import Metric, MetricError, Reason, Signal, missing

Array = NDArray[np.float64]


def stoi(reference: Signal, degraded: Signal, rate: int) -> float:
    """Short-time objective intelligibility (Taal et al., IEEE TASLP 19, 2011). Aligns nothing by itself."""
    from pystoi.stoi import BETA
    from pystoi.utils import EPS

    def unit(segments: Array) -> Array:
        centred = segments - np.mean(segments, axis=2, keepdims=True)
        result: Array = centred / (np.linalg.norm(centred, axis=2, keepdims=True) + EPS)
        return result

    x, y = _segments(reference.tobytes(), degraded.tobytes(), rate)
    gain = np.linalg.norm(x, axis=2, keepdims=True) / (np.linalg.norm(y, axis=2, keepdims=True) + EPS)
    clipped = np.minimum(y * gain, x * (1 + 10 ** (-BETA / 20)))
    return float(np.sum(unit(clipped) * unit(x)) / (x.shape[0] * x.shape[1]))


def estoi(reference: Signal, degraded: Signal, rate: int) -> float:
    """Extended STOI (Jensen and Taal, IEEE/ACM TASLP 24, 2016). Aligns nothing by itself."""
    from pystoi.stoi import N

    x, y = _segments(reference.tobytes(), degraded.tobytes(), rate)
    dither = _dither(x.shape)
    return float(np.sum(_normalised(x, dither[:2]) * _normalised(y, dither[2:]) / N) / x.shape[0])


def _normalised(segments: Array, dither: Array) -> Array:
    """Rows (bands in time), then columns (spectra) of each segment with zero mean and unit norm."""
    for axis, noise in ((2, dither[0]), (1, dither[1])):
        segments = segments + noise
        segments = segments - np.mean(segments, axis=axis, keepdims=True)
        segments = segments * (1 / np.sqrt(np.sum(np.square(segments), axis=axis, keepdims=True)))
    return segments


@lru_cache(maxsize=1)
def _dither(shape: tuple[int, ...]) -> Array:
    from pystoi.utils import EPS

    noise: Array = EPS * np.random.default_rng(0).standard_normal((4, *shape))
    return noise


@lru_cache(maxsize=1)
def _segments(reference: bytes, degraded: bytes, rate: int) -> tuple[Array, Array]:
    """Third-octave band envelopes of both signals in segments of 30 frames, [segments, bands 15, frames 30]."""
    from pystoi import utils
    from pystoi.stoi import DYN_RANGE, FS, N_FRAME, OBM, N

    x, y = _resampled(reference, rate), _resampled.__wrapped__(degraded, rate)
    speech = utils.remove_silent_frames(x, y, DYN_RANGE, N_FRAME, N_FRAME // 2)
    if (len(speech[0]) - N_FRAME - 1) // (N_FRAME // 2) + 1 < N:
        raise MetricError(Reason.NO_SPEECH, f"less than {N * N_FRAME / 2 / FS:.1f} s of the reference is speech")
    return _bands(speech[0], OBM), _bands(speech[1], OBM)


@lru_cache(maxsize=4)
def _resampled(signal: bytes, rate: int) -> Array:
    from pystoi import utils
    from pystoi.stoi import FS

    samples: Array = np.frombuffer(signal)
    return samples if rate == FS else utils.resample_oct(samples, FS, rate)


def _bands(signal: Array, matrix: Any) -> Array:
    from numpy.lib.stride_tricks import sliding_window_view
    from pystoi.stoi import N_FRAME, NFFT, N

    frames = sliding_window_view(signal, N_FRAME)[: len(signal) - N_FRAME : N_FRAME // 2]
    spectra = np.fft.rfft(frames * np.hanning(N_FRAME + 2)[1:-1], NFFT).T
    bands = np.sqrt(np.matmul(matrix, np.square(np.abs(spectra))))
    return np.ascontiguousarray(sliding_window_view(bands, N, axis=1).transpose(1, 0, 2))


for name, title, function, paper in (
    ("stoi", "STOI", stoi, "Taal et al., IEEE TASLP 19 (2011)"),
    ("estoi", "ESTOI", estoi, "Jensen and Taal, IEEE/ACM TASLP 24 (2016)"),
):
    register(
        Metric(
            name=name,
            title=title,
            function=function,
            available=partial(missing, "pystoi==0.4.1", "pystoi"),
            low=-1.0,
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
