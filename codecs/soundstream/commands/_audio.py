"""Audio in and out of the commands in bounded memory: blocks of half a second, files and pipes alike."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile as sf
import soxr

from ....bench.audio import AudioError, Samples

#: what stands for stdin or stdout on the command line
PIPE = "-"
_LOSSLESS = {"WAV", "WAVEX", "FLAC", "AIFF", "W64", "RF64", "CAF"}


class Source:
    """Audio at any rate, read block by block.

    Attributes
    ----------
    rate, channels : of the file.
    seconds : its length as far as the file says it, else None.
    blocks : float32 [channels, n] in order; raises AudioError where the audio is damaged or not finite.
    """

    def __init__(self, rate: int, channels: int, seconds: float | None, blocks: Iterator[Samples]) -> None:
        self.rate = rate
        self.channels = channels
        self.seconds = seconds
        self.blocks = blocks

    def at(self, rate: int) -> Iterator[Samples]:
        """The blocks at another rate, resampled by soxr HQ (linear phase, no delay)."""
        if rate == self.rate:
            yield from self.blocks
            return
        stream = soxr.ResampleStream(self.rate, rate, self.channels, dtype="float32", quality="HQ")
        for block in self.blocks:
            yield stream.resample_chunk(np.ascontiguousarray(block.T)).T
        yield stream.resample_chunk(np.zeros((0, self.channels), np.float32), last=True).T


@contextmanager
def source(name: str) -> Iterator[Source]:
    """Open any file that libsndfile or FFmpeg reads; "-" is stdin. Raises AudioError that names the file."""
    with ExitStack() as stack:
        try:
            yield _open(name, stack)
        except OSError as error:
            raise AudioError(f"{name}: {error.strerror or error}") from error


def _open(name: str, stack: ExitStack) -> Source:
    if name == PIPE:
        return _open_av(name, sys.stdin.buffer, stack)
    path = Path(name)
    if not path.is_file():  # a pipe of the file system can be read only once; a folder or nothing raises OSError
        return _open_av(name, stack.enter_context(path.open("rb")), stack)
    if path.stat().st_size == 0:
        raise AudioError(f"{name}: the file is empty")
    try:
        file = stack.enter_context(sf.SoundFile(os.fsencode(path)))
    except sf.LibsndfileError:
        return _open_av(name, str(path), stack)
    return Source(file.samplerate, file.channels, file.frames / file.samplerate, _finite(name, _read_sf(name, file)))


def _read_sf(name: str, file: Any) -> Iterator[Samples]:
    count = 0
    try:
        for block in file.blocks(file.samplerate // 2, dtype="float32", always_2d=True):
            count += len(block)
            yield block.T
    except sf.LibsndfileError as error:
        raise AudioError(f"{name}: damaged or truncated ({error.error_string}); get the file again") from error
    # MP3 and Ogg lengths are estimates in libsndfile; a lossless file that ends early is damaged.
    if count < file.frames and file.format in _LOSSLESS:
        raise AudioError(f"{name}: truncated, {count} samples of {file.frames} could be read; get the file again")


def _open_av(name: str, file: BinaryIO | str, stack: ExitStack) -> Source:
    import av

    try:
        container = stack.enter_context(av.open(file))
    except (av.error.FFmpegError, ValueError) as error:
        raise AudioError(f"{name}: not readable as audio ({error})") from error
    if not container.streams.audio:
        raise AudioError(f"{name}: it has no audio stream")
    stream = container.streams.audio[0]
    seconds = container.duration / av.time_base if container.duration else None
    return Source(stream.rate, stream.channels, seconds, _finite(name, _read_av(name, container, stream)))


def _read_av(name: str, container: Any, stream: Any) -> Iterator[Samples]:
    import av

    to_float = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
    parts: list[Samples] = []
    try:
        for frame in container.decode(stream):
            parts += [out.to_ndarray().astype(np.float32, copy=False) for out in to_float.resample(frame)]
            if sum(part.shape[1] for part in parts) >= stream.rate // 2:
                yield np.concatenate(parts, axis=1)
                parts = []
    except (av.error.FFmpegError, ValueError) as error:
        raise AudioError(f"{name}: damaged or truncated ({error})") from error
    if parts:
        yield np.concatenate(parts, axis=1)


def _finite(name: str, blocks: Iterator[Samples]) -> Iterator[Samples]:
    for block in blocks:
        if not np.isfinite(block).all():
            raise AudioError(f"{name}: has samples that are NaN or infinite")
        yield block


def wav_header(rate: int, channels: int, samples: int | None) -> bytes:
    """The 44 bytes before the samples of a 16-bit PCM WAV file.

    Parameters
    ----------
    samples : of each channel; None (a pipe whose end is not known) writes 0xFFFFFFFF, which readers take as "to the
        end".

    Raises
    ------
    AudioError : more than the 4 GiB that a WAV file can hold.
    """
    align = 2 * channels
    size = 2**32 - 1 if samples is None else align * samples
    riff = 2**32 - 1 if samples is None else 36 + size
    if riff >= 2**32:
        raise AudioError(f"{samples} samples are more than the 4 GiB that a WAV file holds")
    form = struct.pack("<HHIIHH", 1, channels, rate, align * rate, align, 16)
    return b"".join(
        [b"RIFF", struct.pack("<I", riff), b"WAVEfmt ", struct.pack("<I", 16), form, b"data", struct.pack("<I", size)]
    )


@contextmanager
def sink(name: str) -> Iterator[BinaryIO]:
    """Open a file to write; it appears under its name only when the block has ended well. "-" is stdout."""
    if name == PIPE:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(name)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
