"""Clips of audio: the one type that corpora, codecs and metrics share; reading, writing, resampling.

A clip holds float32 samples in [-1, 1], shape [channels, n], at an integer sample rate in Hz.
"""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from .files import regular_size, replace

#: sample rates that are audio, Hz; below and above, a header is damaged or the file is no recording
RATES = (1_000, 768_000)
#: a peak above it, where full scale is 1, is no overshoot: the samples are in another unit
PEAK = 16.0
#: samples that are read at a time: a header may claim more than there is memory for
_BLOCK = 1 << 22
#: more frames, or bytes, than this and the header says that it does not know
_ENDLESS, _UNKNOWN = 1 << 60, 0x7FFF0000
_CLAIM = re.compile(r"^\s*(?:data|SSND|Data Size|riff)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_CLAIM_RF64 = re.compile(r"Calculated frame count (\d+) does not match value from 'ds64' chunk of (\d+)")

Samples = NDArray[np.float32]


class _NoLength(Exception):
    """A file that libsndfile cannot seek in, since its header does not tell its length; FFmpeg reads it."""


class AudioError(Exception):
    """A file that cannot be read as audio; the message names the file and what is wrong."""


@dataclass(frozen=True, eq=False)
class Clip:
    """Audio in memory.

    Attributes
    ----------
    samples : float32 [channels, n], nominally in [-1, 1].
    rate : samples a second, Hz.
    """

    samples: Samples
    rate: int

    def __post_init__(self) -> None:
        if self.samples.ndim != 2 or self.samples.dtype != np.float32:
            raise ValueError(f"a clip is float32 [channels, n], not {self.samples.dtype} {self.samples.shape}")

    @property
    def channels(self) -> int:
        return int(self.samples.shape[0])

    @property
    def length(self) -> int:
        """Samples a channel."""
        return int(self.samples.shape[1])

    @property
    def seconds(self) -> float:
        return self.length / self.rate


def resample(clip: Clip, rate: int) -> Clip:
    """The clip at another rate by soxr HQ (linear phase, no delay); the same object if the rate is equal."""
    if rate == clip.rate:
        return clip
    out = soxr.resample(np.ascontiguousarray(clip.samples.T), clip.rate, rate, quality="HQ")
    return Clip(np.ascontiguousarray(out.T, dtype=np.float32), rate)


def read(path: Path, start: float = 0.0, seconds: float | None = None) -> Clip:
    """Read any file that libsndfile or FFmpeg reads.

    Parameters
    ----------
    start, seconds : the part wanted, in seconds; None reads to the end.

    Raises
    ------
    AudioError : unreadable, empty, truncated, at a rate outside RATES, or with samples that are not finite or beyond
        PEAK.
    """
    try:
        size = regular_size(path)
        with path.open("rb") as file:
            file.read(1)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        raise AudioError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if size == 0:
        raise AudioError(f"{path}: the file is empty")
    try:
        try:
            samples, rate = _read_soundfile(path, start, seconds)
        except (sf.LibsndfileError, _NoLength) as first:
            try:
                samples, rate = _read_av(path, start, seconds)
            except MemoryError:
                raise
            except Exception as second:
                why = getattr(second, "strerror", None) or second
                raise AudioError(
                    f"{path}: not readable as audio ({getattr(first, 'error_string', first)}; {why})"
                ) from second
    except MemoryError as error:
        raise AudioError(f"{path}: too long for the memory here; give max_seconds, or cut it into clips") from error
    if not RATES[0] <= rate <= RATES[1]:
        raise AudioError(f"{path}: a sample rate of {rate} Hz; audio here has {RATES[0]} to {RATES[1]}")
    if samples.shape[1] == 0:
        raise AudioError(f"{path}: no samples between {start:g} s and the end")
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: has samples that are NaN or infinite")
    peak = max(float(samples.max()), -float(samples.min()))
    if peak > PEAK:
        raise AudioError(f"{path}: samples up to {peak:g}, where full scale is 1; scale it to that")
    return Clip(samples, rate)


def _read_soundfile(path: Path, start: float, seconds: float | None) -> tuple[Samples, int]:
    with sf.SoundFile(os.fsencode(path)) as file:  # bytes: a name need not be UTF-8
        rate = int(file.samplerate)
        if file.frames > _ENDLESS:  # FLAC that went to a pipe: libsndfile cannot seek in it, not even to read on
            raise _NoLength("its header does not tell its length")
        first = round(start * rate)
        wanted = max(0, file.frames - first) if seconds is None else round(seconds * rate)
        wanted = min(wanted, max(0, file.frames - first))
        lossless = file.format in {"WAV", "WAVEX", "FLAC", "AIFF", "AU", "W64", "RF64", "CAF"}
        if lossless and (claim := _claims_more(file.extra_info)):
            raise AudioError(f"{path}: truncated, {claim}; get the file again")
        blocks: list[Samples] = []
        there = 0
        try:
            if wanted:
                file.seek(first)
            while there < wanted:
                block = file.read(min(_BLOCK // file.channels, wanted - there), dtype="float32", always_2d=True)
                if len(block) == 0:
                    break
                blocks.append(block)
                there += len(block)
        except sf.LibsndfileError as error:  # the header was good: it is damaged, not of another format
            raise AudioError(f"{path}: damaged or truncated ({error.error_string}); get the file again") from error
        # MP3 and Ogg lengths are estimates in libsndfile; a lossless file that ends early is damaged.
        if there < wanted and lossless:
            raise AudioError(f"{path}: truncated, {there} samples of {wanted} could be read; get the file again")
        samples = np.empty((file.channels, there), np.float32)
        at = 0
        for block in blocks:
            samples[:, at : at + len(block)] = block.T
            at += len(block)
    return samples, rate


def _claims_more(log: str) -> str:
    """What libsndfile's log says of a header that claims more than there is, empty if it does not.

    A WAV that went to a pipe claims about 2 or 4 GB, since its length was not known: that is no damage.
    """
    for claimed, there in _CLAIM.findall(log):
        if int(there) < int(claimed) < _UNKNOWN:
            return f"its header claims {claimed} bytes, and {there} are there"
    for there, claimed in _CLAIM_RF64.findall(log):
        if int(there) < int(claimed) < _UNKNOWN:
            return f"its header claims {claimed} samples, and {there} are there"
    return ""


def _read_av(path: Path, start: float, seconds: float | None) -> tuple[Samples, int]:
    import av

    # An open file and no protocol: a playlist under an audio file's name must not open other files or addresses.
    with path.open("rb") as file, av.open(file, options={"protocol_whitelist": "none"}) as container:
        if not container.streams.audio:
            raise AudioError("it has no audio stream")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise AudioError("there is no decoder for its audio stream")
        rate = stream.codec_context.sample_rate
        first = round(start * rate)
        last = None if seconds is None else first + round(seconds * rate)
        resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=rate)
        parts: list[Samples] = []
        there = 0
        for frame in container.decode(stream):
            for out in resampler.resample(frame):
                parts.append(out.to_ndarray().astype(np.float32, copy=False))
                there += out.samples
            if last is not None and there >= last:
                break
    if not parts:
        raise AudioError("no audio frame could be decoded")
    return np.ascontiguousarray(np.concatenate(parts, axis=1)[:, first:last]), rate


def to_pcm16(samples: NDArray[np.floating]) -> NDArray[np.int16]:
    """Round to 16-bit PCM, clipped to its range; float full scale 1.0 is 32768."""
    scaled = np.clip(samples, -1, 1) * samples.dtype.type(32768)  # a power of two: exact
    rounded: NDArray[np.int16] = np.minimum(np.rint(scaled), 32767).astype(np.int16)
    return rounded


def from_pcm16(pcm: NDArray[np.int16]) -> Samples:
    """16-bit PCM as float32 in [-1, 1)."""
    samples: Samples = pcm.astype(np.float32) / np.float32(32768)
    return samples


def write_flac(path: Path, clip: Clip) -> None:
    """Write a clip as 16-bit FLAC, atomically. Raises AudioError or OSError."""
    coded = io.BytesIO()  # libsndfile does not say that a disk is full
    try:
        sf.write(coded, to_pcm16(clip.samples).T, clip.rate, format="FLAC", subtype="PCM_16")
    except sf.LibsndfileError as error:
        raise AudioError(f"{path}: cannot be written ({error.error_string})") from error
    replace(path, coded.getvalue())
