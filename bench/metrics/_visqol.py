"""ViSQOL at parity with Google's C++, on the parts of visqol-python.

The steps are those of visqol-python (Google's `visqol.cc` of version 3.3.3) and so are the filters' coefficients, NSIM,
the pooling and the models. What differs, and why:

- the envelope by which signals are aligned is the C++ one (visqol-python takes the analytic signal's);
- the lattice model is required in speech mode (visqol-python may fall back to another mapping, up to 0.4 higher);
- what depends on the reference alone is computed once and serves every codec;
- a spectrogram's frames are filtered from rest, so that the frames of a slice that starts on a frame of the whole
  signal are frames that the whole signal's spectrogram already holds;
- the gammatone filters, the matching of patches and the voice activity detector are vectorised.

All but the first two leave the scores equal to the last bit. Nothing here starts a thread.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ._metric import MetricError, Reason, Signal
from ._visqol_align import Envelope, Slice, best_lag, shift, slice_signal, truncate
from ._visqol_models import SupportVectorRegression, lattice

Array = NDArray[np.float64]
Mode = Literal["speech", "audio"]
RATES: dict[Mode, int] = {"speech": 16000, "audio": 48000}
SEARCH_WINDOW = 60


class Reference:
    """A reference signal with all that is computed of it alone."""

    def __init__(self, signal: Signal, scorer: Scorer) -> None:
        from visqol.audio_utils import AudioSignal

        self.audio = AudioSignal(signal, scorer.rate)
        self.envelope = Envelope(self.audio.data)
        self.spectrogram = scorer.spectrogram(self.audio.data)
        self.patches = scorer.patch_starts(self.audio.data, self.spectrogram.shape[1])
        self._slices: dict[tuple[float, float], tuple[Slice, Envelope]] = {}

    def slice(self, start: float, end: float) -> tuple[Slice, Envelope]:
        """The signal between two times in seconds and its envelope."""
        if (start, end) not in self._slices:
            part = slice_signal(self.audio.data, self.audio.sample_rate, start, end)
            self._slices[start, end] = part, Envelope(part.data)
        return self._slices[start, end]


class Scorer:
    """ViSQOL in one mode: filters, window and model, loaded once a process."""

    def __init__(self, mode: Mode) -> None:
        from visqol import gammatone, visqol_manager
        from visqol.analysis_window import AnalysisWindow

        speech = mode == "speech"
        self.speech = speech
        self.rate = RATES[mode]
        self.patch_frames = visqol_manager.PATCH_SIZE_SPEECH if speech else visqol_manager.PATCH_SIZE_AUDIO
        self.window = AnalysisWindow(self.rate, visqol_manager.OVERLAP)
        self.hop = int(self.window.size * self.window.overlap)
        self.frame_seconds = self.hop / self.rate
        self.patch_seconds = self.frame_seconds * self.patch_frames
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
        """Band RMS values [bands, frames]. Raises MetricError(TOO_SHORT)."""
        from ._visqol_kernels import gammatone

        frames = self.frames(len(signal))
        if not frames:
            raise MetricError(Reason.TOO_SHORT, f"{len(signal)} samples, a frame has {self.window.size}")
        signal = np.ascontiguousarray(signal)
        return gammatone(self.lanes)(signal, self.window.hann_window, self.coefficients, self.hop, frames)[: self.bands]

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
        from visqol.audio_utils import AudioSignal, scale_to_match_sound_pressure_level
        from visqol.gammatone import Spectrogram, prepare_spectrograms_for_comparison

        aligned = shift(Slice(degraded, 0), best_lag(reference.envelope, degraded))
        audio = scale_to_match_sound_pressure_level(reference.audio, AudioSignal(aligned.data, self.rate))
        spectrogram = self.spectrogram(audio.data)
        ref_db, deg_db = prepare_spectrograms_for_comparison(
            Spectrogram(reference.spectrogram), Spectrogram(spectrogram)
        )
        matches = [
            self.realigned(match, reference, audio.data, spectrogram)
            for match in self.matches(ref_db, reference.patches, deg_db)
        ]
        means = core.calc_per_patch_mean_freq_band_means(matches)
        quality = self.mapper.predict_quality(
            means,
            core.calc_per_patch_freq_band_quantile(matches, 0.10),
            core.calc_per_patch_mean_freq_band_stddevs(matches, self.frame_seconds),
            core.calc_per_patch_mean_freq_band_deg_energy(matches),
        )
        return float(core.alter_for_similarity_extremes(float(np.mean(means)), quality))

    def matches(self, ref: Array, starts: list[int], deg: Array) -> list[Any]:
        """Each patch of the reference with the most similar one of the degraded spectrogram, in order of time."""
        from numpy.lib.stride_tricks import sliding_window_view
        from visqol.nsim import GAUSSIAN_WINDOW, measure_patch_similarity

        from ._visqol_kernels import match_patches

        size = self.patch_frames
        frames = deg.shape[1]
        count = sum(start - size // 2 <= frames for start in starts)
        if not count:
            raise MetricError(Reason.FAILED, "the degraded clip is too short or misaligned for every reference patch")
        ref_patches = np.stack([ref[:, start : start + size] for start in starts[:count]])
        padded = np.pad(deg, ((0, 0), (0, size - 1)))
        deg_patches = sliding_window_view(padded, size, axis=1).transpose(1, 0, 2)
        edges = ((0, 0), (1, 1), (1, 1))
        total, back = match_patches(
            np.pad(ref_patches, edges, "edge"),
            np.pad(deg_patches, edges, "edge"),
            np.array(starts),
            count,
            SEARCH_WINDOW * size,
            GAUSSIAN_WINDOW,
        )
        first = max(0, starts[count - 1] - SEARCH_WINDOW * size)
        offset = first + int(np.argmax(total[count - 1, first : starts[count - 1] + SEARCH_WINDOW * size + 1]))
        results = []
        for p in reversed(range(count)):
            result = measure_patch_similarity(ref_patches[p], deg_patches[offset])
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

    def realigned(self, match: Any, reference: Reference, audio: Array, spectrogram: Array) -> Any:
        """The match after its two sides were aligned to the sample, or as it was if it was more similar before."""
        from visqol.gammatone import Spectrogram, prepare_spectrograms_for_comparison
        from visqol.nsim import measure_patch_similarity

        if match.deg_patch_start_time == match.deg_patch_end_time == 0.0:
            return match  # lost
        ref, envelope = reference.slice(match.ref_patch_start_time, match.ref_patch_end_time)
        deg = slice_signal(audio, self.rate, match.deg_patch_start_time, match.deg_patch_end_time)
        if min(len(ref.data), len(deg.data)) <= self.window.size:
            return match
        lag = best_lag(envelope, deg.data)
        seconds = lag / self.rate
        ref, deg = truncate(ref, shift(deg, lag), int(seconds * self.rate))
        if len(ref.data) <= self.window.size:
            return match
        ref_db, deg_db = prepare_spectrograms_for_comparison(
            Spectrogram(self.slice_spectrogram(reference.spectrogram, ref)),
            Spectrogram(self.slice_spectrogram(spectrogram, deg)),
        )
        new = measure_patch_similarity(ref_db, deg_db)
        if new.similarity < match.similarity:
            return match
        new.ref_patch_start_time = match.ref_patch_start_time + max(0.0, seconds)
        new.deg_patch_start_time = match.deg_patch_start_time - min(0.0, seconds)
        new.ref_patch_end_time = new.ref_patch_start_time + len(ref.data) / self.rate
        new.deg_patch_end_time = new.deg_patch_start_time + len(deg.data) / self.rate
        return new


def ensure_compiler_cache() -> None:
    """Give numba a folder for compiled code if neither the package's nor the user's cache can be written.

    Processes started after this one share it, so that one of them compiles (8 s) for all; it is removed at exit.
    """
    import numba

    try:
        numba.njit(cache=True)(ensure_compiler_cache)  # looks for a folder; compiles nothing
    except RuntimeError:
        folder = tempfile.mkdtemp(prefix="codecbench-numba-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["NUMBA_CACHE_DIR"] = folder
        setattr(numba.config, "CACHE_DIR", folder)  # noqa: B010  numba makes these names at run time


@lru_cache(maxsize=2)
def scorer(mode: Mode) -> Scorer:
    """The scorer of a mode, one a process. Raises ImportError where a library or the model's runtime is missing."""
    ensure_compiler_cache()
    return Scorer(mode)
