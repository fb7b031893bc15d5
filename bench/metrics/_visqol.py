"""ViSQOL at parity with Google's C++, on the parts of visqol-python.

The steps are those of visqol-python (Google's `visqol.cc` of version 3.3.3) and so are the filters, the matching of
patches, NSIM and the models. What differs, and why:

- `upper_envelope`, by which signals are aligned, is the C++ one (visqol-python takes the analytic signal's);
- the lattice model is required in speech mode (visqol-python may fall back to another mapping, up to 0.4 higher);
- what depends on the reference alone is computed once and serves every codec;
- a spectrogram's frames are filtered from rest, so that the frames of a slice that starts on a frame of the whole
  signal are frames that the whole signal's spectrogram already holds;
- the gammatone kernel and the voice activity detector are vectorised.

All but the first leave the scores equal to the last bit. One thread; the library aborts if two threads score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from ._metric import MetricError, Reason, Signal

Array = NDArray[np.float64]
Mode = Literal["speech", "audio"]
RATES: dict[Mode, int] = {"speech": 16000, "audio": 48000}
SEARCH_WINDOW = 60


def upper_envelope(signal: Signal) -> Array:
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
    nyquist = (1.0 if n == size else 2.0) * np.dot(centred, signs) / size
    envelope: Array = np.abs(2 * centred - np.sum(centred) / size - nyquist * signs) + mean
    return envelope


def best_lag(reference: Callable[[int], Any], n: int, degraded: Array) -> int:
    """The lag in samples at which the cross-correlation of two envelopes is largest.

    reference : number of points -> FFT of the reference's envelope, which has n samples.
    """
    longest = max(n, len(degraded))
    points = 1 << (2 * longest - 2).bit_length()
    product = reference(points) * np.conj(scipy.fft.rfft(degraded, points))
    correlation = scipy.fft.irfft(product, points)
    both = np.concatenate((correlation[points - longest + 1 :], correlation[:longest]))
    return int(np.argmax(both)) - longest + 1


@dataclass(frozen=True)
class Slice:
    """Part of a signal; `start` is where in the signal it begins, None if it holds inserted silence."""

    data: Array
    start: int | None

    def cut(self, first: int, last: int | None = None) -> Slice:
        return Slice(self.data[first:last], None if self.start is None else self.start + first)


class Envelope:
    """A signal's envelope and its FFTs, each computed once."""

    def __init__(self, signal: Array) -> None:
        self.values = upper_envelope(signal)
        self._spectra: dict[int, Any] = {}

    def __call__(self, points: int) -> Any:
        if points not in self._spectra:
            self._spectra[points] = scipy.fft.rfft(self.values, points)
        return self._spectra[points]


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
            part = slice_signal(self.audio, start, end)
            self._slices[start, end] = part, Envelope(part.data)
        return self._slices[start, end]


def slice_signal(audio: Any, start: float, end: float) -> Slice:
    """The signal between two times, seconds; what is missing at its end is put as silence before it, as in the C++."""
    n = len(audio.data)
    first = max(0, int(start * audio.sample_rate))
    data = audio.data[first : min(n - 1, int(end * audio.sample_rate))]
    missing = int(max(0.0, end * audio.sample_rate - n))
    if missing:
        return Slice(np.concatenate((np.zeros(missing), data)), None)
    return Slice(data, first)


class Scorer:
    """ViSQOL in one mode: filters, window and model, loaded once a process."""

    def __init__(self, mode: Mode) -> None:
        from visqol import gammatone, quality_mapper, visqol_manager
        from visqol.analysis_window import AnalysisWindow

        speech = mode == "speech"
        self.speech = speech
        self.rate = RATES[mode]
        self.patch_frames = visqol_manager.PATCH_SIZE_SPEECH if speech else visqol_manager.PATCH_SIZE_AUDIO
        self.window = AnalysisWindow(self.rate, visqol_manager.OVERLAP)
        self.hop = int(self.window.size * self.window.overlap)
        bands = visqol_manager.NUM_BANDS_SPEECH if speech else visqol_manager.NUM_BANDS_AUDIO
        top = gammatone.SPEECH_MODE_MAX_FREQ if speech else self.rate / 2
        filters = gammatone.make_erb_filters(self.rate, bands, visqol_manager.MINIMUM_FREQ, top).filter_coeffs[:, ::-1]
        b0, *b1, b2, _, a1, a2, gain = filters
        if np.any(b2):
            raise RuntimeError("visqol-python's gammatone filters have changed; the kernel expects b2 = 0")
        stages = [[b0 / gain, b1[0] / gain], *([b0, b] for b in b1[1:])]
        self.numerators = np.ascontiguousarray(stages)
        self.denominator = np.ascontiguousarray([a1, a2])
        self.mapper: Any
        if speech:
            self.mapper = quality_mapper.TFLiteSpeechQualityMapper(visqol_manager._DEFAULT_LATTICE_MODEL)
        else:
            from visqol import api

            self.mapper = quality_mapper.SvrSimilarityToQualityMapper(api._DEFAULT_SVR_MODEL)
        self.mapper.init()

    def frames(self, n: int) -> int:
        return 1 + (n - self.window.size) // self.hop if n > self.window.size else 0

    def spectrogram(self, signal: Array) -> Array:
        """Band RMS values [bands, frames]. Raises MetricError(TOO_SHORT)."""
        from . import _gammatone

        frames = self.frames(len(signal))
        if not frames:
            raise MetricError(Reason.TOO_SHORT, f"{len(signal)} samples, a frame has {self.window.size}")
        spectrogram: Array = _gammatone.spectrogram(
            np.ascontiguousarray(signal),
            self.window.hann_window,
            self.numerators,
            self.denominator,
            self.hop,
            frames,
        )
        return spectrogram

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
        from visqol.patch_selector import find_most_optimal_deg_patches

        n = len(reference.audio.data)
        lag = best_lag(reference.envelope, n, upper_envelope(degraded))
        aligned = shift(Slice(degraded, 0), lag) if abs(lag) <= n / 2 else Slice(degraded, 0)
        audio = scale_to_match_sound_pressure_level(reference.audio, AudioSignal(aligned.data, self.rate))
        spectrogram = self.spectrogram(audio.data)
        ref_db, deg_db = prepare_spectrograms_for_comparison(
            Spectrogram(reference.spectrogram), Spectrogram(spectrogram)
        )
        patches = [ref_db[:, i : i + self.patch_frames] for i in reference.patches]
        frame_seconds = self.hop / self.rate
        with one_thread():
            matches = find_most_optimal_deg_patches(patches, reference.patches, deg_db, frame_seconds, SEARCH_WINDOW)
        matches = [self.realigned(match, reference, audio, spectrogram) for match in matches]
        means = core.calc_per_patch_mean_freq_band_means(matches)
        quality = self.mapper.predict_quality(
            means,
            core.calc_per_patch_freq_band_quantile(matches, 0.10),
            core.calc_per_patch_mean_freq_band_stddevs(matches, frame_seconds),
            core.calc_per_patch_mean_freq_band_deg_energy(matches),
        )
        return float(core.alter_for_similarity_extremes(float(np.mean(means)), quality))

    def realigned(self, match: Any, reference: Reference, audio: Any, spectrogram: Array) -> Any:
        """The match after its two sides were aligned to the sample, or as it was if it was more similar before."""
        from visqol.gammatone import Spectrogram, prepare_spectrograms_for_comparison
        from visqol.nsim import measure_patch_similarity

        if match.deg_patch_start_time == match.deg_patch_end_time == 0.0:
            return match  # the patch was lost
        ref, envelope = reference.slice(match.ref_patch_start_time, match.ref_patch_end_time)
        deg = slice_signal(audio, match.deg_patch_start_time, match.deg_patch_end_time)
        if min(len(ref.data), len(deg.data)) <= self.window.size:
            return match
        lag = best_lag(envelope, len(ref.data), upper_envelope(deg.data))
        if abs(lag) > len(ref.data) / 2:
            lag = 0
        seconds = lag / float(self.rate)
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


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it, numba's parallel kernels use one thread."""
    import numba

    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)


@lru_cache(maxsize=2)
def scorer(mode: Mode) -> Scorer:
    """The scorer of a mode, one a process. Raises MetricError(NOT_INSTALLED)."""
    try:
        return Scorer(mode)
    except ImportError as error:
        raise MetricError(Reason.NOT_INSTALLED, f"{error}; pip install 'visqol-python[all]==3.8.0'") from error


def available(mode: Mode) -> str | None:
    """Why ViSQOL cannot run here and the command that mends it, or None."""
    try:
        scorer(mode)
    except MetricError as error:
        return error.detail
    except Exception as error:
        return f"{type(error).__name__}: {error}; pip install --force-reinstall 'visqol-python[all]==3.8.0'"
    return None
