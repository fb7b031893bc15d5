"""The unit of work: one clip through one operating point and its metrics. A worker runs it; it writes to the cache."""

from __future__ import annotations

import functools
import hashlib
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..codecs import CodecError
from ..codecs import registry as codecs
from .audio import AudioError, Clip
from .cache import CacheError, Files, Index
from .executor import Stage
from .fingerprint import digest
from .metrics import Reason, evaluate
from .metrics import registry as metrics
from .metrics._metric import ReferenceCache, Signals
from .pipeline import Stream, decode, encode
from .places import Place
from .remote import read_clip

if TYPE_CHECKING:
    from .plan import Plan, PlannedClip, PlannedPoint

#: set in workers on other machines than the driver's: only the driver's machine opens the cache's index
NO_INDEX = "CODECBENCH_NO_INDEX"

#: reasons of a missing score that another attempt or machine might not give again: never cached, tried again on request
PASSING = tuple(r.value for r in (Reason.CRASHED, Reason.TIMEOUT, Reason.FAILED, Reason.NOT_INSTALLED))


def coded_key(clip_key: str, fingerprint: str) -> str:
    """Cache key of a bitstream: the recipe of what was coded."""
    return digest("coded", clip_key, fingerprint)


def wave_key(sent: bytes, fingerprint: str, reference: Clip) -> str:
    """Cache key of a decoded clip: its bitstream, the codec, and the reference's rate and length."""
    return digest("wave", hashlib.sha256(sent).hexdigest(), fingerprint, reference.rate, reference.length)


@dataclass(frozen=True)
class ScoreValue:
    """A metric's score of a unit: a value, or None with a reason."""

    metric: str
    value: float | None
    reason: str = ""
    detail: str = ""


def score_value(metric: str, reference: ReferenceCache, degraded: Clip | Signals) -> ScoreValue:
    """The score of a decoded clip by the metric of that name."""
    score = evaluate(metrics.get(metric), reference, degraded)
    value = None if math.isnan(score.value) else score.value
    return ScoreValue(metric, value, score.reason.value if score.reason else "", score.detail)


@dataclass(frozen=True)
class Coded:
    """What coding a clip gave; the part of a result that the cache keeps under its recipe."""

    bits: int
    setup_bits: int
    coded_seconds: float
    native_rate: int
    delay_samples: int
    frame_samples: int
    wave: str  # key of the decoded clip in the cache
    wave_sha256: str  # of its samples


@dataclass(frozen=True)
class UnitResult:
    """What a unit gave. `reason` is empty if it was coded; then each metric has a score, or a reason of its own."""

    reason: str
    detail: str
    coded: Coded | None
    scores: tuple[ScoreValue, ...]
    clip: tuple[int, float, int] | None  # rate, seconds, channels of the reference
    seconds: float


@dataclass(frozen=True)
class Unit:
    """One (clip, codec, point). `skip` names metrics that crashed a worker on this unit before, with the reason."""

    corpus: str
    clip: str
    path: Place
    start: float
    max_seconds: float | None
    content: str
    clip_key: str
    codec: str
    point: str
    fingerprint: str
    metrics: tuple[tuple[str, str], ...]  # name, fingerprint
    cache: Path | None
    skip: tuple[ScoreValue, ...] = ()
    sha256: str = ""  # of the file; with another content it is another clip, and not read

    @property
    def group(self) -> str:
        return self.clip_key or f"{self.corpus}/{self.clip}"

    @property
    def recipe(self) -> str:
        """Cache key of what was coded."""
        return coded_key(self.clip_key, self.fingerprint)

    def score_key(self, metric_fingerprint: str, wave_sha256: str) -> str:
        """Cache key of a score."""
        return digest("score", self.clip_key, wave_sha256, metric_fingerprint)

    def stream(self) -> tuple[Stream, bytes]:
        """What is sent for the clip, and the same as bytes: from the cache, else coded now and kept there.

        Raises AudioError, CodecError.
        """
        files = Files(self.cache)
        blob = files.get_stream(self.recipe)
        stream = Stream.from_bytes(blob) if blob is not None else None
        if stream is None:
            codec = codecs.get(self.codec)
            reference = _reference(self.path, self.start, self.max_seconds, self.sha256)
            stream = encode(codec, codec.point(self.point, self.content), reference.clip)
            blob = stream.to_bytes()
            files.put_stream(self.recipe, blob)
        return stream, blob or b""

    def run(self, stage: Stage) -> UnitResult:
        """Code the clip and score it. Whatever is wrong with clip or codec comes back as a reason."""
        began = time.monotonic()

        def result(
            reason: str, detail: str = "", coded: Coded | None = None, scores: tuple[ScoreValue, ...] = ()
        ) -> UnitResult:
            return UnitResult(reason, detail, coded, scores, clip, time.monotonic() - began)

        clip = None
        stage("read")
        try:
            reference = _reference(self.path, self.start, self.max_seconds, self.sha256)
        except AudioError as error:
            return result("clip_unreadable", str(error))
        ref = reference.clip
        clip = (ref.rate, ref.seconds, ref.channels)
        try:
            coded, wave = self._code(ref, stage)
        except CodecError as error:
            return result("codec_failed", str(error))
        scores, degraded = [], Signals(wave)
        done = {score.metric: score for score in self.skip}
        index = _index(self.cache) if self.cache else None
        for name, fingerprint in self.metrics:
            if name in done:
                scores.append(done[name])
                continue
            known = index.get(self.score_key(fingerprint, coded.wave_sha256)) if index else None
            if isinstance(known, list):
                scores.append(ScoreValue(name, *known))
                continue
            stage(f"metric {name}")
            scores.append(score_value(name, reference, degraded))
        return result("", "", coded, tuple(scores))

    def _code(self, ref: Clip, stage: Stage) -> tuple[Coded, Clip]:
        codec = codecs.get(self.codec)
        point = codec.point(self.point, self.content)
        files = Files(self.cache)
        stage("encode")
        stream, sent = self.stream()
        stage("decode")
        key = wave_key(sent, self.fingerprint, ref)
        wave = files.get_wave(key)
        if wave is None or (wave.rate, wave.samples.shape) != (ref.rate, ref.samples.shape):
            wave = decode(codec, point, stream, ref)
            files.put_wave(key, wave)
        native = stream.parts[0].rate
        sha = hashlib.sha256(wave.samples.tobytes()).hexdigest()
        frame, delay = codec.frame(native, point), codec.delay(native, point)
        # A codec may count in numpy's numbers, which neither SQLite nor JSON take.
        bits, setup, samples = int(stream.bits), int(stream.setup_bits), (int(native), int(delay), int(frame))
        return Coded(bits, setup, float(stream.seconds), *samples, key, sha), wave


def unit_of(plan: Plan, clip: PlannedClip, planned: PlannedPoint, cache: Path | None) -> Unit:
    """The unit of a plan's clip and operating point."""
    return Unit(
        corpus=clip.item.corpus,
        clip=clip.item.id,
        path=clip.item.path,
        start=clip.item.start,
        max_seconds=clip.seconds,
        content=planned.content,
        clip_key=clip.key if not clip.error else "",
        codec=planned.codec.name,
        point=planned.point.label,
        fingerprint=planned.fingerprint,
        metrics=tuple((m.name, plan.metric_fingerprints[m.name]) for m in plan.metrics_for(planned.content)),
        cache=cache,
        sha256=clip.sha256,
    )


@functools.lru_cache(maxsize=1)
def _reference(path: Place, start: float, seconds: float | None, sha256: str) -> ReferenceCache:
    """The clip last worked on, with what metrics prepared for it."""
    clip = read_clip(path, start, seconds, sha256)
    clip.samples.flags.writeable = False  # all codecs share it
    return ReferenceCache(clip)


@functools.cache
def _index(folder: Path) -> Index | None:
    """A cache that cannot be opened is none; nor is that of another machine, which may lie on a network file system."""
    if os.environ.get(NO_INDEX):
        return None
    try:
        return Index(folder)
    except CacheError:
        return None
