"""STOI and ESTOI.

The steps and constants are pystoi's and so are its resampler, its overlap-add and its filterbank. What depends on the
reference alone (which frames are silent, its bands) is computed once for all codecs, what both measures need of a
degraded clip once for both. The dither that ESTOI adds before it normalises is always the same one; pystoi draws it
anew each time, and where 0.4 s of a band is digital silence the dither is all there is, so that one clip's score
scatters by up to 0.005. Else both equal pystoi's (1e-12).
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import register
from ._metric import Metric, MetricError, Reason, Signal, missing, remembered

Array = NDArray[np.float64]


class Reference:
    """What both measures need of a reference, at pystoi's rate of 10 kHz. Raises MetricError(NO_SPEECH).

    Attributes
    ----------
    length : samples. active : which frames are not silent.
    segments : third-octave band envelopes in segments of 30 frames, [segments, bands 15, frames 30].
    """

    def __init__(self, signal: Signal, rate: int) -> None:
        from pystoi.stoi import DYN_RANGE, FS, N_FRAME, N
        from pystoi.utils import EPS

        frames = _frames(_resampled(signal, rate))
        energies = 20 * np.log10(np.linalg.norm(frames, axis=1) + EPS)
        self.active = (np.max(energies) - DYN_RANGE - energies) < 0
        speech = _joined(frames[self.active])
        if (len(speech) - N_FRAME - 1) // (N_FRAME // 2) + 1 < N:
            raise MetricError(Reason.NO_SPEECH, f"less than {N * N_FRAME / 2 / FS:.1f} s of the reference is speech")
        self.segments = _segments(speech)

    @cached_property
    def norms(self) -> Array:
        return _norms(self.segments)

    @cached_property
    def unit(self) -> Array:
        return _unit(self.segments)

    @cached_property
    def limit(self) -> Array:
        """Beyond this an envelope counts as no more distorted."""
        from pystoi.stoi import BETA

        limit: Array = self.segments * (1 + 10 ** (-BETA / 20))
        return limit

    @cached_property
    def dither(self) -> Array:
        """Of the reference's rows and columns, then of the degraded clip's."""
        from pystoi.utils import EPS

        dither: Array = EPS * np.random.default_rng(0).standard_normal((4, *self.segments.shape))
        return dither

    @cached_property
    def normalised(self) -> Array:
        return _normalised(self.segments, self.dither[:2])


def stoi(reference: Signal, degraded: Signal, rate: int, prepared: Reference) -> float:
    """Short-time objective intelligibility (Taal et al., IEEE TASLP 19, 2011). Aligns nothing by itself."""
    from pystoi.utils import EPS

    y = _degraded_segments(degraded, rate, prepared)
    clipped = np.minimum(y * (prepared.norms / (_norms(y) + EPS)), prepared.limit)
    return float(np.sum(_unit(clipped) * prepared.unit) / (y.shape[0] * y.shape[1]))


def estoi(reference: Signal, degraded: Signal, rate: int, prepared: Reference) -> float:
    """Extended STOI (Jensen and Taal, IEEE/ACM TASLP 24, 2016). Aligns nothing by itself."""
    from pystoi.stoi import N

    y = _degraded_segments(degraded, rate, prepared)
    return float(np.sum(prepared.normalised * _normalised(y, prepared.dither[2:]) / N) / y.shape[0])


def _norms(segments: Array) -> Array:
    norms: Array = np.linalg.norm(segments, axis=2, keepdims=True)
    return norms


def _unit(segments: Array) -> Array:
    """Each band of each segment with zero mean and unit norm."""
    from pystoi.utils import EPS

    centred = segments - np.mean(segments, axis=2, keepdims=True)
    unit: Array = centred / (_norms(centred) + EPS)
    return unit


def _normalised(segments: Array, dither: Array) -> Array:
    """Rows (bands in time), then columns (spectra) of each segment with zero mean and unit norm."""
    for axis, noise in ((2, dither[0]), (1, dither[1])):
        segments = segments + noise
        segments -= np.mean(segments, axis=axis, keepdims=True)
        segments *= 1 / np.sqrt(np.sum(np.square(segments), axis=axis, keepdims=True))
    return segments


@remembered
def _degraded_segments(degraded: Signal, rate: int, reference: Reference) -> Array:
    """As `Reference.segments`, of the frames that are active in the reference."""
    return _segments(_joined(_frames(_resampled(degraded, rate))[reference.active]))


def _resampled(signal: Signal, rate: int) -> Array:
    from pystoi import utils
    from pystoi.stoi import FS

    samples: Array = signal if rate == FS else utils.resample_oct(signal, FS, rate)
    return samples


def _frames(signal: Array) -> Array:
    """Windowed frames with half their length of overlap; as in pystoi, none that ends on the last sample."""
    from numpy.lib.stride_tricks import sliding_window_view
    from pystoi.stoi import N_FRAME

    frames: Array = sliding_window_view(signal, N_FRAME)[: len(signal) - N_FRAME : N_FRAME // 2]
    return frames * np.hanning(N_FRAME + 2)[1:-1]


def _joined(frames: Array) -> Array:
    from pystoi import utils
    from pystoi.stoi import N_FRAME

    joined: Array = utils._overlap_and_add(frames, N_FRAME // 2)
    return joined


def _segments(speech: Array) -> Array:
    from numpy.lib.stride_tricks import sliding_window_view
    from pystoi.stoi import NFFT, OBM, N

    matrix: Any = OBM
    spectra = np.fft.rfft(_frames(speech), NFFT).T
    # no matrix product: BLAS splits it over its threads and so rounds by their number
    bands = np.sqrt(np.einsum("bf,ft->bt", matrix, np.square(np.abs(spectra))))
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
            prepare=Reference,
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
