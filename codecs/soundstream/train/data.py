"""Audio for training: folders of any audio files, decoded once to mono int16 arrays at 24 kHz that are memory-mapped.

The cache is a folder of `<sha256 of the file>.npy` with an index of (size, modification time) that saves hashing again.
It never grows beyond its limit: arrays of other data sets go first, the oldest before the others, and files of this
data set that do not fit are left out and named.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from ....bench.audio import AudioError, to_pcm16
from ....bench.cache import cache_folder
from ....bench.download import sha256 as file_sha256
from ....bench.names import printable
from ....corpora._scan import audio_files

RATE = 24000
#: bytes of arrays that the cache may hold; an hour of audio takes 173 MB
DEFAULT_LIMIT = 20_000_000_000
_BLOCK_SECONDS = 30


class DataError(Exception):
    """Folders without usable audio; says what to do."""


@dataclass(frozen=True)
class Source:
    """One decoded file.

    Attributes
    ----------
    folder, name : the data folder's own name, and the path below it with `/`.
    music : whether a folder of its path below the data folder, or that folder itself, is named `music...`.
    sha256 : of the file as it came.
    samples : length at 24 kHz.
    array : the int16 .npy file.
    """

    folder: str
    name: str
    music: bool
    sha256: str
    samples: int
    array: Path

    def open(self) -> NDArray[np.int16]:
        """The samples [n], memory-mapped."""
        mapped: NDArray[np.int16] = np.load(self.array, mmap_mode="r")
        return mapped


def blocks(path: Path) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """(rate, mono float32 [n]) blocks of a file that libsndfile or FFmpeg reads; channels are averaged.

    Raises AudioError.
    """
    try:
        file = sf.SoundFile(os.fsencode(path))
    except sf.LibsndfileError:
        yield from _av_blocks(path)
        return
    with file:
        while True:
            try:
                block = file.read(_BLOCK_SECONDS * file.samplerate, dtype="float32", always_2d=True)
            except sf.LibsndfileError as error:
                raise AudioError(f"{path}: damaged or truncated ({error.error_string})") from error
            if len(block) == 0:
                return
            yield file.samplerate, block.mean(1)


def _av_blocks(path: Path) -> Iterator[tuple[int, NDArray[np.float32]]]:
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise AudioError(f"{path}: no audio stream")
            stream = container.streams.audio[0]
            rate = stream.codec_context.sample_rate
            resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=rate)
            for frame in container.decode(stream):
                for out in resampler.resample(frame):
                    yield rate, out.to_ndarray().astype(np.float32).mean(0)
    except (av.FFmpegError, ValueError) as error:
        raise AudioError(f"{path}: not readable as audio ({error})") from error


def decode(path: Path, out: Path) -> int:
    """Decode a file of any length to a mono 24 kHz int16 .npy in bounded memory, atomically; returns its samples.

    Raises AudioError : unreadable, empty, or samples that are not finite.
    """
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    resampler: soxr.ResampleStream | None = None
    samples = 0
    try:
        with part.open("wb") as file:
            start = _header(file, 0)
            for rate, block in blocks(path):
                if not np.isfinite(block).all():
                    raise AudioError(f"{path}: has samples that are NaN or infinite")
                if rate != RATE:
                    resampler = resampler or soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality="HQ")
                    block = resampler.resample_chunk(block)
                samples += _append(file, block)
            if resampler is not None:
                samples += _append(file, resampler.resample_chunk(np.zeros(0, np.float32), last=True))
            if samples == 0:
                raise AudioError(f"{path}: no samples")
            file.seek(0)
            if _header(file, samples) != start:
                raise AssertionError("the .npy header changed its length")
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return samples


def _header(file: BinaryIO, samples: int) -> int:
    """Write the header of an int16 .npy; NumPy pads it so that the length of the first axis may grow in place."""
    np.lib.format.write_array_header_1_0(file, {"descr": "<i2", "fortran_order": False, "shape": (samples,)})
    return int(file.tell())


def _append(file: BinaryIO, block: NDArray[np.float32]) -> int:
    file.write(to_pcm16(block).astype("<i2").tobytes())
    return len(block)


class ArrayCache:
    """Decoded files in a folder, never more than `limit` bytes of them."""

    def __init__(self, folder: Path | None = None, limit: int = DEFAULT_LIMIT) -> None:
        self.folder = folder or cache_folder() / "train24k"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.limit = limit
        self._used: set[Path] = set()
        self._index: dict[str, list[object]] = {}
        with contextlib.suppress(OSError, ValueError):  # a damaged index only costs hashing again
            self._index = json.loads((self.folder / "index.json").read_text())

    def get(self, path: Path) -> tuple[str, Path] | None:
        """(sha256, array) of a file, decoded now if it is not there; None if there is no room for it.

        Raises AudioError.
        """
        try:
            stat = path.stat()
            known = self._index.get(str(path.resolve()))
            if known and known[:2] == [stat.st_size, stat.st_mtime_ns]:
                sha256 = str(known[2])
            else:
                sha256 = file_sha256(path)
                self._index[str(path.resolve())] = [stat.st_size, stat.st_mtime_ns, sha256]
        except OSError as error:
            raise AudioError(f"{path}: {error.strerror or error}") from error
        array = self.folder / f"{sha256}.npy"
        if not array.exists():
            decode(path, array)
        os.utime(array)
        self._used.add(array)
        if not self._make_room():
            self._used.discard(array)
            array.unlink()
            return None
        return sha256, array

    def _make_room(self) -> bool:
        """Delete arrays that this data set does not use, oldest first, until the limit is kept."""
        arrays = {path: path.stat() for path in self.folder.glob("*.npy")}
        size = sum(stat.st_size for stat in arrays.values())
        for path in sorted(arrays.keys() - self._used, key=lambda one: arrays[one].st_mtime):
            if size <= self.limit:
                break
            path.unlink(missing_ok=True)
            size -= arrays[path].st_size
        return size <= self.limit

    def save_index(self) -> None:
        """Write the index, atomically."""
        part = self.folder / f"index.{os.getpid()}.part"
        part.write_text(json.dumps(self._index))
        part.replace(self.folder / "index.json")


def collect(
    folders: list[Path],
    cache: ArrayCache,
    say: Callable[[str], None],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Source]:
    """All audio below the folders, decoded, sorted by folder and name; a file given twice counts once.

    What cannot be read or has no room is said, one line each. Files are taken in the order of a hash of their names,
    so that what the limit leaves is a fair sample, the same each time.

    Raises DataError : a folder that is not there, or no usable file at all.
    """
    found: dict[Path, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
        found |= dict.fromkeys(audio_files(folder), folder)
    order = sorted(found, key=lambda file: hashlib.sha256(_below(file, found[file]).encode()).digest())
    sources: dict[str, Source] = {}
    failed, full = 0, 0
    for done, file in enumerate(order):
        progress(done, len(order))
        try:
            got = cache.get(file)
        except AudioError as error:
            failed += 1
            say(f"left out: {error}")
            continue
        if got is None:
            full += 1
            continue
        sha256, array = got
        name, top = _below(file, found[file]), found[file].resolve().name
        music = any(part.lower().startswith("music") for part in (top, *name.split("/")[:-1]))
        sources.setdefault(sha256, Source(top, name, music, sha256, len(np.load(array, mmap_mode="r")), array))
    progress(len(order), len(order))
    cache.save_index()
    if full:
        say(
            f"left out: {full} of {len(order)} files, beyond the cache's limit of {cache.limit / 1e9:g} GB (--cache-gb)"
        )
    if not sources:
        names = ", ".join(map(str, folders))
        why = f"none of {failed} files could be read" if failed else "no audio file below"
        raise DataError(f"{names}: {why}; give folders with WAV, FLAC, Opus, MP3 or anything else that FFmpeg reads")
    return sorted(sources.values(), key=lambda one: (one.folder, one.name, one.sha256))


def _below(file: Path, folder: Path) -> str:
    return printable(file.relative_to(folder).as_posix())
