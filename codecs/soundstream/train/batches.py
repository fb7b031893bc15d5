"""Batches of training audio, a pure function of (seed, step): a resumed run sees what an undisturbed one sees."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .data import RATE, DataError, Source

Samples = NDArray[np.float32]

#: chances of an example: music alone, speech and music mixed (both where there are both), silence
MUSIC, MIX, SILENCE = 0.2, 0.1, 0.02
#: no crop is amplified by more than this, dB: a pause must not become a storm
MAX_GAIN = 30.0
#: seconds left out on both sides of a held-out piece
GUARD = 1.0


@dataclass(frozen=True)
class Piece:
    """Samples [start, stop) at 24 kHz of the file with that hash, held out of training."""

    sha256: str
    start: int
    stop: int


@functools.lru_cache(maxsize=4096)
def _open(array: Path) -> NDArray[np.int16]:
    mapped: NDArray[np.int16] = np.load(array, mmap_mode="r")
    return mapped


class Pool:
    """Stretches of audio that crops are drawn from: folders by the square root of their length, crops evenly within."""

    def __init__(self, sources: Sequence[Source], held_out: Collection[Piece]) -> None:
        self.stretches: list[tuple[Path, int, int]] = []
        groups: list[str] = []
        for source in sources:
            start = 0
            pieces = sorted((p.start, p.stop) for p in held_out if p.sha256 == source.sha256)
            for first, last in [*pieces, (source.samples, source.samples)]:
                margin = round(GUARD * RATE) if first < source.samples else 0
                if first - margin > start:
                    self.stretches.append((source.array, start, first - margin))
                    groups.append(f"{source.folder}/{source.name}".rpartition("/")[0])
                start = last + round(GUARD * RATE)
        lengths = np.array([stop - start for _, start, stop in self.stretches], np.float64)
        self.seconds = float(lengths.sum()) / RATE
        _, index = np.unique(np.array(groups), return_inverse=True)
        of_group = np.bincount(index, lengths) if len(index) else np.zeros(0)
        weights = lengths / np.sqrt(of_group[index]) if len(index) else lengths
        self._edges = np.cumsum(weights) / max(weights.sum(), 1e-9)

    def crop(self, rng: np.random.Generator, length: int) -> Samples:
        """A random crop [length]; zeros follow where the stretch is shorter."""
        index = min(int(np.searchsorted(self._edges, rng.random(), side="right")), len(self.stretches) - 1)
        array, start, stop = self.stretches[index]
        first = start + int(rng.integers(max(1, stop - start - length + 1)))
        out = np.zeros(length, np.float32)
        part = _open(array)[first : min(stop, first + length)]
        out[: len(part)] = part.astype(np.float32) / 32768
        return out


class Batches:
    """Batches [batch, 1, crop] of float32 in [-1, 1].

    An example is speech, music, both mixed, or silence; its peak lies between -40 and 0 dBFS, for half of them above
    -12 dB. Raises DataError if nothing is left to train on.
    """

    def __init__(
        self, sources: Sequence[Source], held_out: Collection[Piece], batch: int, crop: int, seed: int
    ) -> None:
        self.batch, self.crop, self.seed = batch, crop, seed
        self._speech = Pool([one for one in sources if not one.music], held_out)
        self._music = Pool([one for one in sources if one.music], held_out)
        self.seconds = self._speech.seconds + self._music.seconds
        if self.seconds == 0:
            raise DataError("all the audio is held out for validation; give more")

    def __call__(self, step: int, stream: int = 0) -> Samples:
        """The batch of that step; another `stream` gives other batches."""
        rng = np.random.default_rng((self.seed, stream, step))
        examples: Samples = np.stack([self._example(rng) for _ in range(self.batch)])[:, None]
        return examples

    def _example(self, rng: np.random.Generator) -> Samples:
        if rng.random() < SILENCE:
            level = 10 ** (rng.uniform(-90, -60) / 20) * (rng.random() < 0.5)  # digital silence, or faint noise
            return (level * rng.standard_normal(self.crop)).astype(np.float32)
        kind = rng.random()
        if not self._speech.stretches or (self._music.stretches and kind < MUSIC):
            x = self._music.crop(rng, self.crop)
        else:
            x = self._speech.crop(rng, self.crop)
            if self._music.stretches and kind < MUSIC + MIX:
                x = _to_peak(x, 0.0) + _to_peak(self._music.crop(rng, self.crop), rng.uniform(-20, 10))
        return _to_peak(x, rng.uniform(-12, 0) if rng.random() < 0.5 else rng.uniform(-40, 0))


def _to_peak(x: Samples, decibels: float) -> Samples:
    peak = float(np.abs(x).max())
    gain = min(10 ** (decibels / 20) / max(peak, 1e-9), 10 ** (MAX_GAIN / 20))
    scaled: Samples = x * np.float32(gain)
    return scaled


def hold_out(sources: Sequence[Source], speech: int, music: int, seconds: float = 5.0) -> list[Piece]:
    """Pieces to validate on: one a file, from the files with the smallest hashes; at most 5 % of each kind's audio.

    Of eight places in the file the loudest is taken. A file shorter than three pieces is held out as a whole. The same
    voices and bands stay in training, so scores on them are to be compared with each other only.
    """
    length = round(seconds * RATE)
    pieces: list[Piece] = []
    for wanted, kind in ((speech, False), (music, True)):
        files = sorted((one for one in sources if one.music == kind), key=lambda one: one.sha256)
        left = sum(one.samples for one in files) // 20
        for one in [one for one in files if one.samples >= length][:wanted]:
            whole = one.samples < 3 * length
            taken = one.samples if whole else length
            if taken > left:
                break
            left -= taken
            places = [0] if whole else [int(at) for at in np.linspace(0, one.samples - length, 8)]
            audio = one.open()
            start = max(places, key=lambda at: float(np.square(audio[at : at + length], dtype=np.float64).sum()))
            pieces.append(Piece(one.sha256, start, start + taken))
    return pieces
