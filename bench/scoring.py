"""Score files that were decoded elsewhere against their references, as the pipeline scores what it decodes itself.

What a file needs before it can be scored is done here and said of each pair: resampling to the reference's rate (soxr
HQ), removal of a constant delay if asked for, cutting or zero-padding to the reference's length within `TOLERANCE`,
rounding to 16-bit PCM. Anything else, such as another number of channels, is a missing score with its reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..corpora._scan import audio_files
from .audio import AudioError, Clip, from_pcm16, read, resample, to_pcm16
from .delay import lag
from .executor import Failure, Stage
from .metrics import Reason
from .metrics._metric import ReferenceCache, Signals
from .names import printable
from .pool import Pool
from .work import ScoreValue, score_value

#: seconds that a file may be longer or shorter than its reference
TOLERANCE = 0.1
#: clarity of a delay (see `delay.lag`): unrelated speech or music stays below 0.03, and codecs that keep the waveform
#: lie above 0.1. Below SURE the peak is as broad as BROAD seconds, and less than that is not called a delay.
CLEAR, SURE, BROAD = 0.1, 0.5, 5e-5
#: a delay is sought in so many seconds
SEARCHED = 60.0
#: seconds that one metric may take
TIMEOUT = 300.0


class ScoreError(Exception):
    """Files or folders that cannot be paired at all; says what was expected."""


@dataclass(frozen=True)
class Pair:
    """A reference and what became of it. name: the path below the folder, without its suffix."""

    name: str
    reference: Path
    degraded: Path


@dataclass(frozen=True)
class PairScores:
    """What a pair gave.

    Attributes
    ----------
    scores : one a metric, a value or the reason why there is none.
    delay : samples at `rate`, the reference's, that the file is behind; None where no clear delay was found.
    clarity : of the delay; NaN where none was sought.
    notes : what was done to the file before it was scored, and warnings.
    """

    pair: Pair
    scores: tuple[ScoreValue, ...]
    rate: int | None = None
    delay: int | None = None
    clarity: float = math.nan
    aligned: bool = False
    notes: tuple[str, ...] = ()

    @property
    def delay_ms(self) -> float:
        return math.nan if self.delay is None or not self.rate else self.delay / self.rate * 1000


@dataclass(frozen=True)
class Fitted:
    """Two clips that can be compared sample by sample, as far as that may be mended; the rest as in `PairScores`."""

    reference: Clip
    degraded: Clip
    delay: int | None
    clarity: float
    notes: tuple[str, ...]


def match(reference: Path, degraded: Path) -> tuple[list[Pair], list[str]]:
    """Pair two files, or the audio files of two folders by their path below it without the suffix.

    Returns the pairs in the order of their names, and a sentence for every file that has no partner.

    Raises
    ------
    ScoreError : a path that does not exist, a file and a folder, or a folder without audio.
    """
    for path in (reference, degraded):
        if not path.exists():
            raise ScoreError(f"{path}: no such file or folder")
    if reference.is_dir() != degraded.is_dir():
        raise ScoreError(f"{reference} and {degraded}: give two audio files, or two folders")
    if not reference.is_dir():
        return [Pair(printable(Path(reference.stem)), reference, degraded)], []
    one, two = _files(reference), _files(degraded)
    pairs, alone = [], []
    for name in sorted(one.keys() | two.keys()):
        left, right = one.get(name, []), two.get(name, [])
        if len(left) == len(right) == 1:
            pairs.append(Pair(name, left[0], right[0]))
        elif left and right:
            alone.append(f"{name}: not one to one: {', '.join(map(str, [*left, *right]))}")
        else:
            missing = degraded if left else reference
            alone += [f"{printable(path)}: nothing of that name in {missing}" for path in left or right]
    return pairs, alone


def _files(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for file in audio_files(folder):
        found.setdefault(printable(file.relative_to(folder).with_suffix("")), []).append(file)
    if not found:
        raise ScoreError(f"{folder}: no audio file here or below")
    return found


def fit(reference: Clip, degraded: Clip, align: bool = False) -> Fitted:
    """Bring a decoded clip to its reference's rate, time and length, and round it to 16 bits.

    Parameters
    ----------
    align : remove a clear constant delay of up to 0.3 s, either way. What the delay pushed out of the file is left
        out of the reference, too. False only warns.
    """
    notes = []
    if degraded.rate != reference.rate:
        notes.append(f"resampled from {degraded.rate} to {reference.rate} Hz")
        degraded = resample(degraded, reference.rate)
    delay, clarity = None, math.nan
    if degraded.channels == reference.channels:
        delay, clarity = _delay(reference, degraded)
        if delay:
            amount = f"{delay} samples, {delay / reference.rate * 1000:.2f} ms"
            if align:
                reference, degraded = _shift(reference, degraded, delay)
                notes.append(f"a delay of {amount} was removed")
            else:
                notes.append(f"WARNING: not in time: a delay of {amount}; --align removes it")
        elif align and delay is None:
            notes.append(f"no clear delay found (clarity {clarity:.2f}): nothing was removed")
    degraded, note = _length(reference, degraded)
    notes += [note] if note else []
    peak = float(np.max(np.abs(degraded.samples), initial=0.0))
    if peak > 1:
        notes.append(f"clipped at full scale: its peak is {peak:.3g}")
    if np.isfinite(degraded.samples).all():
        degraded = Clip(from_pcm16(to_pcm16(degraded.samples)), degraded.rate)
    return Fitted(reference, degraded, delay, clarity, tuple(notes))


def _delay(reference: Clip, degraded: Clip) -> tuple[int | None, float]:
    """The delay in samples, None if it is not clear, and its clarity; found on the reference's loudest channel."""
    n = round(SEARCHED * reference.rate)
    one, two = reference.samples[:, :n], degraded.samples[:, :n]
    channel = int(np.argmax(np.std(one, axis=1)))
    if not np.isfinite(two).all() or not one[channel].any() or not two[channel].any():
        return None, 0.0
    found, clarity = lag(one[channel], two[channel], reference.rate)
    if clarity < CLEAR:
        return None, clarity
    return (found if clarity >= SURE or abs(found) > BROAD * reference.rate else 0), clarity


def _shift(reference: Clip, degraded: Clip, delay: int) -> tuple[Clip, Clip]:
    """Both without what the other has no sample for because of the delay."""
    x, y = reference.samples[:, max(0, -delay) :], degraded.samples[:, max(0, delay) :]
    lost = min(max(0, x.shape[1] - y.shape[1]), max(0, delay))
    extra = min(max(0, y.shape[1] - x.shape[1]), max(0, -delay))
    x, y = x[:, : x.shape[1] - lost], y[:, : y.shape[1] - extra]
    return Clip(np.ascontiguousarray(x), reference.rate), Clip(np.ascontiguousarray(y), degraded.rate)


def _length(reference: Clip, degraded: Clip) -> tuple[Clip, str]:
    """The clip at the reference's length, if it is near enough, and what was done."""
    excess = degraded.length - reference.length
    if not excess:
        return degraded, ""
    amount = f"{abs(excess)} samples, {abs(excess) / reference.rate * 1000:.1f} ms"
    side = "longer" if excess > 0 else "shorter"
    if abs(excess) > round(TOLERANCE * reference.rate):
        return degraded, f"{amount} {side} than the reference; only up to {TOLERANCE * 1000:.0f} ms are mended"
    samples = np.pad(degraded.samples[:, : reference.length], ((0, 0), (0, max(0, -excess))))
    return Clip(samples, degraded.rate), f"{amount} {side}: {'cut' if excess > 0 else 'padded with zeros'} at the end"


@dataclass(frozen=True)
class ScoreTask:
    """A pair to be scored by a worker. skip: scores of metrics that brought a worker down."""

    pair: Pair
    metrics: tuple[str, ...]
    align: bool
    skip: tuple[ScoreValue, ...] = ()

    @property
    def group(self) -> str:
        return self.pair.name

    def run(self, stage: Stage) -> PairScores:
        """Read, fit, score. Whatever is wrong with the files is the reason of every score."""
        stage("read")
        try:
            reference, degraded = read(self.pair.reference), read(self.pair.degraded)
        except AudioError as error:
            return _unscored(self, "clip_unreadable", str(error))
        fitted = fit(reference, degraded, self.align)
        ref, deg = ReferenceCache(fitted.reference), Signals(fitted.degraded)
        known = {score.metric: score for score in self.skip}
        scores = []
        for name in self.metrics:
            if name not in known:
                stage(f"metric {name}")
                known[name] = score_value(name, ref, deg)
            scores.append(known[name])
        aligned = self.align and bool(fitted.delay)
        return PairScores(self.pair, tuple(scores), reference.rate, fitted.delay, fitted.clarity, aligned, fitted.notes)


def _unscored(task: ScoreTask, reason: str, detail: str) -> PairScores:
    return PairScores(task.pair, tuple(ScoreValue(name, None, reason, detail) for name in task.metrics))


def score(
    pairs: Sequence[Pair],
    names: Sequence[str],
    align: bool = False,
    jobs: int = 1,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> list[PairScores]:
    """Score pairs with metrics, in their order; in worker processes if there is more than one of both.

    A metric that kills its worker or does not end costs its own score only.
    """
    tasks = [ScoreTask(pair, tuple(names), align) for pair in pairs]
    progress("pairs", 0, len(tasks))
    done: dict[str, PairScores] = {}
    for name, result in _results(tasks, min(jobs, len(tasks))):
        done[name] = result
        progress("pairs", len(done), len(tasks))
    return [done[pair.name] for pair in pairs]


def _results(tasks: Sequence[ScoreTask], jobs: int) -> Iterator[tuple[str, PairScores]]:
    if jobs <= 1:
        yield from ((task.pair.name, task.run(lambda _: None)) for task in tasks)
        return
    with Pool(jobs, TIMEOUT) as pool:
        for done, value in pool.results(tasks):
            assert isinstance(done, ScoreTask)
            if not isinstance(value, Failure):
                yield done.pair.name, value
                continue
            reason = {"crashed": Reason.CRASHED, "timeout": Reason.TIMEOUT, "raised": Reason.FAILED}[value.kind].value
            metric = value.stage.removeprefix("metric ")
            if metric in done.metrics:
                pool.submit(replace(done, skip=(*done.skip, ScoreValue(metric, None, reason, value.detail))))
            else:
                yield done.pair.name, _unscored(done, reason, value.detail)
