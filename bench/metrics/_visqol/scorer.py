"""ViSQOL at parity with Google's C++, on the parts of visqol-python.

The steps are those of visqol-python (Google's `visqol.cc` of version 3.3.3) and so are the filters' coefficients, NSIM,
the pooling and the models. What differs, and why:

- the envelope by which signals are aligned is the C++ one (visqol-python takes the analytic signal's);
- the lattice model is required in speech mode (visqol-python may fall back to another mapping, up to 0.4 higher);
- what depends on the reference alone is computed once and serves every codec;
- a spectrogram's frames are filtered from rest, so that the frames of a slice that starts on a frame of the whole
  signal are frames that the whole signal's spectrogram already holds;
- the gammatone filters, the matching of patches and the voice activity detector are vectorised, the patches of a signal
  aligned together.

All but the first two leave the scores equal to the last bit. Nothing here starts a thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._metric import MetricError, Reason, Signal
from . import compiled
from .align import Envelope, Slice, best_lags, shift, slice_signal, truncate
from .models import SupportVectorRegression, lattice

Array = NDArray[np.float64]
Mode = Literal["speech", "audio"]
RATES: dict[Mode, int] = {"speech": 16000, "audio": 48000}
SEARCH_WINDOW = 60
#: dB below which nothing counts; dB below the louder side's strongest band of a frame below which nothing counts
FLOOR, RANGE = -45.0, 45.0


class Reference:
    """A reference signal with all that is computed of it alone."""

    def __init__(self, signal: Signal, scorer: Scorer) -> None:
        self.signal = np.asarray(signal, dtype=np.float64)
        self.rate = scorer.rate
        self.level = level(self.signal, self.rate)
        self.envelope = Envelope(self.signal)
        self.spectrogram = scorer.spectrogram(self.signal)
        self.patches = scorer.patch_starts(self.signal, self.spectrogram.shape[1])
        self._slices: dict[tuple[float, float], tuple[Slice, Envelope]] = {}

    def slice(self, start: float, end: float) -> tuple[Slice, Envelope]:
        """The signal between two times in seconds and its envelope."""
        if (start, end) not in self._slices:
            part = slice_signal(self.signal, self.rate, start, end)
            self._slices[start, end] = part, Envelope(part.data)
        return self._slices[start, end]


def level(signal: Array, rate: int) -> float:
    """Sound pressure level, dB; minus infinity for digital silence."""
    from visqol.audio_utils import AudioSignal, calc_sound_pressure_level

    return float(calc_sound_pressure_level(AudioSignal(signal, rate)))


def floored(ref: Array, deg: Array) -> tuple[Array, Array]:
    """Two spectrograms above their noise floor, relative to the lowest value of either."""
    n = min(ref.shape[1], deg.shape[1])
    floor = np.maximum(np.max(ref[:, :n], axis=0), np.max(deg[:, :n], axis=0)) - RANGE
    ref, deg = ref.copy(), deg.copy()
    for side in (ref, deg):
        np.maximum(side[:, :n], floor, out=side[:, :n])
    lowest = min(np.min(ref), np.min(deg))
    ref -= lowest
    deg -= lowest
    return ref, deg


class Scorer:
    """ViSQOL in one mode: filters, window and model, loaded once a process. Its rate is another one in tests only."""

    def __init__(self, mode: Mode, rate: int | None = None) -> None:
        from visqol import gammatone, visqol_manager
        from visqol.analysis_window import AnalysisWindow
        from visqol.nsim import GAUSSIAN_WINDOW

        speech = mode == "speech"
        self.speech = speech
        self.rate = rate or RATES[mode]
        self.patch_frames = visqol_manager.PATCH_SIZE_SPEECH if speech else visqol_manager.PATCH_SIZE_AUDIO
        self.window = AnalysisWindow(self.rate, visqol_manager.OVERLAP)
        self.hop = int(self.window.size * self.window.overlap)
        self.frame_seconds = self.hop / self.rate
        self.patch_seconds = self.frame_seconds * self.patch_frames
        self.weights = np.ascontiguousarray(GAUSSIAN_WINDOW)
        bands = visqol_manager.NUM_BANDS_SPEECH if speech else visqol_manager.NUM_BANDS_AUDIO
        top = gammatone.SPEECH_MODE_MAX_FREQ if speech else self.rate / 2
        filters = gammatone.make_erb_filters(self.rate, bands, visqol_manager.MINIMUM_FREQ, top).filter_coeffs[:, ::-1]
        a0, *a, a2, b0, b1, b2, gain = filters  # the library calls the numerators A and the denominator B
        if np.any(a2) or np.any(b0 != 1):
            raise RuntimeError("visqol-python's gammatone filters are not those that the kernel was written for")
        rows = [b1, b2, a0 / gain, a[0] / gain, a0, a[1], a0, a[2], a0, a[3]]
        self.bands = bands
        self.lanes = -(-bands // 8) * 8
        self.coefficients = np.pad(np.array(rows), ((0, 0), (0, self.lanes - bands))).ravel()
        self.mapper: Any = lattice() if speech else SupportVectorRegression(bands)

    def frames(self, n: int) -> int:
        return 1 + (n - self.window.size) // self.hop if n > self.window.size else 0

    def spectrogram(self, signal: Array) -> Array:
        """Level of each band in each frame, dB, not below FLOOR, [bands, frames]. Raises MetricError(TOO_SHORT)."""
        from visqol.gammatone import convert_to_db

        frames = self.frames(len(signal))
        if not frames:
            raise MetricError(Reason.TOO_SHORT, f"{len(signal)} samples, a frame has {self.window.size}")
        filterbank: Any = compiled.gammatone(self.lanes)
        signal = np.ascontiguousarray(signal)
        rms = filterbank(signal, self.window.hann_window, self.coefficients, self.hop, frames)[: self.bands]
        return np.maximum(convert_to_db(rms), FLOOR)

    def slice_spectrogram(self, whole: Array, part: Slice) -> Array:
        """The spectrogram of a slice, taken from that of the whole signal where the frames are the same ones."""
        if part.start is None or part.start % self.hop:
            return self.spectrogram(part.data)
        first = part.start // self.hop
        return whole[:, first : first + self.frames(len(part.data))]

    def patch_starts(self, signal: Array, frames: int) -> list[int]:
        """The frames at which the reference's patches begin. Raises MetricError if there is none."""
        size = self.patch_frames
        first = size // 2 - 1
        if not self.speech:
            starts = list(range(first, max(frames - size - 1, first + 1), size))
            if frames < size + size // 2:
                raise MetricError(Reason.TOO_SHORT, f"{frames} frames, ViSQOL needs {size + size // 2}")
            return starts
        count = (frames - first) // size
        if count < 1:
            raise MetricError(Reason.TOO_SHORT, f"{frames} frames, ViSQOL needs {size + first}")
        active = self._voice_activity(signal, first, count * size * self.hop)
        starts = [first + i * size for i in range(count) if active[i * size : (i + 1) * size].any()]
        if not starts:
            raise MetricError(Reason.NO_SPEECH, "ViSQOL's voice activity detector found none in the reference")
        return starts

    def _voice_activity(self, signal: Array, first: int, samples: int) -> NDArray[np.bool_]:
        """Active frames by `rms_vad.cc`: a frame is silent if it and the two before it lie below the threshold.

        The frames are hops from *sample* `first`: the C++ passes the index of a frame for that of a sample.
        """
        from visqol.patch_creator import RmsVad
        from visqol.signal_utils import normalize

        part = normalize(signal)[first : first + samples]
        chunks = part[: len(part) // self.hop * self.hop].reshape(-1, self.hop)
        pcm = np.trunc(np.clip(chunks * 32768, -32768, 32767))
        quiet = np.sqrt(np.mean(np.square(pcm), axis=1)) < RmsVad.RMS_THRESHOLD
        active = np.ones(max(2, len(quiet)), dtype=bool)
        active[2:] = ~(quiet[2:] & quiet[1:-1] & quiet[:-2])
        return active

    def score(self, reference: Reference, degraded: Signal) -> float:
        """MOS-LQO of a degraded signal."""
        from visqol import visqol_core as core

        aligned = shift(Slice(degraded, 0), *best_lags([reference.envelope], [degraded])).data
        audio = aligned * 10 ** ((reference.level - level(aligned, self.rate)) / 20)
        spectrogram = self.spectrogram(audio)
        ref, deg = floored(reference.spectrogram, spectrogram)
        matches = self.realigned(self.matches(ref, reference.patches, deg), reference, audio, spectrogram)
        means = core.calc_per_patch_mean_freq_band_means(matches)
        quality = self.mapper.predict_quality(
            means,
            core.calc_per_patch_freq_band_quantile(matches, 0.10),
            core.calc_per_patch_mean_freq_band_stddevs(matches, self.frame_seconds),
            core.calc_per_patch_mean_freq_band_deg_energy(matches),
        )
        return float(core.alter_for_similarity_extremes(float(np.mean(means)), quality))

    def compare(self, ref: Array, start: int, deg: Array, offset: int, frames: int) -> Any:
        """A patch of each spectrogram compared, as visqol-python's result without its times."""
        from visqol.nsim import PatchSimilarityResult

        similarity, bands = compiled.kernels().compare(ref, start, deg, offset, frames, self.weights)
        return PatchSimilarityResult(similarity, *bands)

    def matches(self, ref: Array, starts: list[int], deg: Array) -> list[Any]:
        """Each patch of the reference with the most similar one of the degraded spectrogram, in order of time."""
        size = self.patch_frames
        count = sum(start - size // 2 <= deg.shape[1] for start in starts)
        if not count:
            raise MetricError(Reason.FAILED, "the degraded clip is too short or misaligned for every reference patch")
        search = SEARCH_WINDOW * size
        total, back = compiled.kernels().match_patches(ref, deg, np.array(starts), count, size, search, self.weights)
        first = max(0, starts[count - 1] - search)
        offset = first + int(np.argmax(total[count - 1, first : starts[count - 1] + search + 1]))
        results = []
        for p in reversed(range(count)):
            result = self.compare(ref, starts[p], deg, offset, size)
            result.ref_patch_start_time = starts[p] * self.frame_seconds
            result.ref_patch_end_time = result.ref_patch_start_time + self.patch_seconds
            if back[p, offset] == offset:  # lost
                result.similarity = 0.0
                result.freq_band_means = np.zeros(self.bands)
            else:
                result.deg_patch_start_time = offset * self.frame_seconds
                result.deg_patch_end_time = result.deg_patch_start_time + self.patch_seconds
            results.append(result)
            offset = int(back[p, offset])
        return results[::-1]

    def realigned(self, matches: Sequence[Any], reference: Reference, audio: Array, spectrogram: Array) -> list[Any]:
        """The matches after their two sides were aligned to the sample; as they were where more similar before."""
        results = list(matches)
        which, envelopes, pairs = [], [], []
        for i, match in enumerate(matches):
            if match.deg_patch_start_time == match.deg_patch_end_time == 0.0:
                continue  # lost
            ref, envelope = reference.slice(match.ref_patch_start_time, match.ref_patch_end_time)
            deg = slice_signal(audio, self.rate, match.deg_patch_start_time, match.deg_patch_end_time)
            if min(len(ref.data), len(deg.data)) > self.window.size:
                which.append(i)
                envelopes.append(envelope)
                pairs.append((ref, deg))
        lags = best_lags(envelopes, [deg.data for _, deg in pairs])
        for i, (ref, deg), lag in zip(which, pairs, lags, strict=True):
            match, seconds = matches[i], lag / self.rate
            ref, deg = truncate(ref, shift(deg, lag), int(seconds * self.rate))
            if len(ref.data) <= self.window.size:
                continue
            a, b = floored(self.slice_spectrogram(reference.spectrogram, ref), self.slice_spectrogram(spectrogram, deg))
            new = self.compare(a, 0, b, 0, a.shape[1])
            if new.similarity < match.similarity:
                continue
            new.ref_patch_start_time = match.ref_patch_start_time + max(0.0, seconds)
            new.deg_patch_start_time = match.deg_patch_start_time - min(0.0, seconds)
            new.ref_patch_end_time = new.ref_patch_start_time + len(ref.data) / self.rate
            new.deg_patch_end_time = new.deg_patch_start_time + len(deg.data) / self.rate
            results[i] = new
        return results


@lru_cache(maxsize=2)
def scorer(mode: Mode) -> Scorer:
    """The scorer of a mode, one a process. Raises ImportError where a library or the model's runtime is missing."""
    return Scorer(mode)
