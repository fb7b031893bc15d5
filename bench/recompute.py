"""One row of a run, computed again from its stored bitstream and compared value by value.

The bitstream is taken from the cache, or the clip is encoded anew where it is not there any more; its bits are counted,
it is decoded, the decoded samples are hashed and scored. What was made with the same versions must be equal, to the
last digit. Where it is not, and something beneath is another version or other code, the row cannot be judged here: it
is "unchecked", and says what is other and by how much the values differ. Nothing is written, not even to the cache.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..codecs import Codec, CodecError, Point
from ..codecs import registry as codecs
from .audio import AudioError, Clip
from .cache import Files
from .executor import Stage
from .fingerprint import codec_fingerprint, metric_fingerprint
from .metrics import Reason
from .metrics import registry as metrics
from .metrics._metric import ReferenceCache
from .pipeline import Stream, decode, encode
from .provenance import versions_of
from .remote import read_clip
from .rows import ClipRow, PointRow, ResultRow, ScoreRow
from .work import coded_key, score_value, wave_key

State = Literal["holds", "differs", "unchecked"]
#: reasons of a unit or score that says of the machine, not of codec or metric
ACCIDENTS = (Reason.CRASHED.value, Reason.TIMEOUT.value)


@dataclass(frozen=True)
class Finding:
    """A value of a row that is not what came out now, or could not be computed. difference: now - then, of numbers."""

    what: str
    state: State
    detail: str
    difference: float | None = None


@dataclass(frozen=True)
class Verdict:
    """A row of the table `results` and its scores. stream: "stored", "encoded anew", or empty if neither could be had.
    checked: values that are equal."""

    corpus: str
    clip: str
    codec: str
    point: str
    stream: str
    checked: int
    findings: tuple[Finding, ...]

    @property
    def state(self) -> State:
        states = {finding.state for finding in self.findings}
        return "differs" if "differs" in states else "unchecked" if states else "holds"


@dataclass(frozen=True)
class RowTask:
    """Compute one row again; the result is its `Verdict`."""

    result: ResultRow
    scores: tuple[ScoreRow, ...]
    clip: ClipRow
    point: PointRow
    place: str  # where the clip is now, path or URL
    metrics: tuple[tuple[str, str], ...]  # name, fingerprint
    cache: Path | None

    @property
    def group(self) -> str:
        return self.clip.key

    def run(self, stage: Stage) -> Verdict:
        """Never raises for the row's sake, but a codec may."""
        row = self.result
        if row.reason in ACCIDENTS:
            return self.unchecked(f"has no numbers: {row.reason}")
        try:
            codec = codecs.get(row.codec)
            point = codec.point(row.point, self.clip.content)
        except KeyError as error:
            return self.unchecked(str(error.args[0]))
        if reason := codec.available():
            return self.unchecked(f"{row.codec} is not available here: {reason}")
        stage("read")
        try:
            clip = read_clip(self.place, self.clip.start, self.clip.seconds, self.clip.sha256)
        except AudioError as error:
            if row.reason == "clip_unreadable":
                return self.verdict("", 1, [])
            return self.unchecked(f"the clip: {error}")
        other = self._other(codec, point)
        try:
            return self._recompute(codec, point, clip, other, stage)
        except CodecError as error:
            if row.reason == "codec_failed":
                return self.verdict("", 1, [])
            return self.verdict("", 0, [_finding("coding", f"failed now: {error}", other)])

    def _recompute(self, codec: Codec, point: Point, clip: Clip, other: str, stage: Stage) -> Verdict:
        row = self.result
        stage("encode")
        stream, how, stored = self._stream(codec, point, clip)
        # A stored stream is what the row was made from, whatever the versions are now.
        found = _Compared("" if stored else other)
        if stored and row.wave and stored != row.wave:
            found.differs("stream", "the stored one is not the one of this row: it was changed, or coded twice")
        stage("decode")
        wave = decode(codec, point, stream, clip)
        if row.status != "ok":
            return self.verdict(how, 0, [_finding("coding", f"was {row.reason}, and is coded now", other)])
        found.equal("bits", row.bits, stream.bits)
        found.equal("setup_bits", row.setup_bits, stream.setup_bits)
        found.equal("coded_seconds", row.coded_seconds, stream.seconds)
        found.equal("native_rate", row.native_rate, stream.parts[0].rate)
        found.other = other
        found.equal("delay_samples", row.delay_samples, codec.delay(stream.parts[0].rate, point))
        found.equal("frame_samples", row.frame_samples, codec.frame(stream.parts[0].rate, point))
        sha = hashlib.sha256(wave.samples.tobytes()).hexdigest()
        if row.wave_sha256:
            found.equal("decoded samples", row.wave_sha256, sha)
        # The same samples have the same scores, whatever codec gave them.
        self._score(found, ReferenceCache(clip), wave, "" if sha == row.wave_sha256 else other, stage)
        return self.verdict(how, found.checked, found.findings)

    def _stream(self, codec: Codec, point: Point, clip: Clip) -> tuple[Stream, str, str]:
        """What was sent, how it was had, and of a stored one the key that a row made from it has."""
        blob = Files(self.cache).get_stream(coded_key(self.clip.key, self.point.fingerprint))
        stream = Stream.from_bytes(blob) if blob is not None else None
        if blob is not None and stream is not None:
            return stream, "stored", wave_key(blob, self.point.fingerprint, clip)
        return encode(codec, point, clip), "encoded anew", ""

    def _score(self, found: _Compared, reference: ReferenceCache, wave: Clip, other: str, stage: Stage) -> None:
        fingerprints = dict(self.metrics)
        for score in self.scores:
            if score.reason in ACCIDENTS:
                found.unchecked(score.metric, f"has no value: {score.reason}")
                continue
            try:
                metric = metrics.get(score.metric)
            except KeyError as error:
                found.unchecked(score.metric, str(error.args[0]))
                continue
            stage(f"metric {score.metric}")
            now = score_value(score.metric, reference, wave)
            if now.reason == Reason.NOT_INSTALLED.value != score.reason:
                found.unchecked(score.metric, now.detail)
                continue
            same = metric_fingerprint(metric) == fingerprints.get(score.metric)
            found.other = other or (
                "" if same else f"another version of {metric.package or 'codecbench'} or other code"
            )
            then = score.reason if score.value is None else score.value
            found.equal(score.metric, then, now.reason if now.value is None else now.value)

    def _other(self, codec: Codec, point: Point) -> str:
        """What beneath the codec is not as it was, empty if nothing is."""
        if codec_fingerprint(codec, point) == self.point.fingerprint:
            return ""
        was, now = self.point.versions, versions_of(codec)
        return (
            f"made with {was or 'other versions'}, here {now}" if was != now else "made with other code of codecbench"
        )

    def verdict(self, stream: str, checked: int, findings: Sequence[Finding]) -> Verdict:
        row = self.result
        return Verdict(row.corpus, row.clip, row.codec, row.point, stream, checked, tuple(findings))

    def unchecked(self, why: str) -> Verdict:
        return self.verdict("", 0, [Finding("row", "unchecked", why)])


class _Compared:
    """Values then and now. other: what beneath them is not as it was; then a difference proves nothing."""

    def __init__(self, other: str) -> None:
        self.other = other
        self.checked = 0
        self.findings: list[Finding] = []

    def equal(self, what: str, then: Any, now: Any) -> None:
        if then == now:
            self.checked += 1
            return
        numbers = isinstance(then, (int, float)) and isinstance(now, (int, float))
        by = float(now - then) if numbers else math.nan
        text = f"{_short(then)} then, {_short(now)} now" + (f" ({by:+.3g})" if numbers else "")
        self.findings.append(_finding(what, text, self.other, by if numbers else None))

    def differs(self, what: str, detail: str) -> None:
        self.findings.append(Finding(what, "differs", detail))

    def unchecked(self, what: str, why: str) -> None:
        self.findings.append(Finding(what, "unchecked", why))


def _finding(what: str, detail: str, other: str, difference: float | None = None) -> Finding:
    return Finding(what, "unchecked" if other else "differs", f"{detail}; {other}" if other else detail, difference)


def _short(value: Any) -> str:
    """A value, of a hash its beginning."""
    return f"{value[:12]}..." if isinstance(value, str) and len(value) == 64 else str(value)
