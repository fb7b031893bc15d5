"""The rows of a run's store, a class for each table (`bench/store.py` says what they mean)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClipRow:
    corpus: str
    clip: str
    content: str
    path: str
    sha256: str
    seconds: float | None
    rate: int | None
    channels: int | None
    speaker: str
    language: str
    genre: str
    licence: str
    credit: str
    lossy: int
    status: str
    reason: str
    start: float = 0.0  # of the part of the file that is the clip
    key: str = ""  # hash of file and part: another key is another clip


@dataclass(frozen=True)
class PointRow:
    codec: str
    point: str
    content: str
    family: str
    kind: str
    mode: str
    kbps_nominal: float | None
    licence: str
    about: str
    note: str
    versions: str
    fingerprint: str
    unavailable: str


@dataclass(frozen=True)
class ResultRow:
    """wave: key of the decoded clip in the cache, which names the bitstream and the codec. wave_sha256: of the decoded
    samples, float32 [channels, n]; empty in rows of a store of version 4."""

    corpus: str
    clip: str
    codec: str
    point: str
    status: str
    reason: str
    detail: str
    bits: int | None
    setup_bits: int | None
    coded_seconds: float | None
    native_rate: int | None
    delay_samples: int | None
    frame_samples: int | None
    wave: str
    seconds: float
    wave_sha256: str = ""


@dataclass(frozen=True)
class ScoreRow:
    corpus: str
    clip: str
    codec: str
    point: str
    metric: str
    value: float | None
    reason: str
    detail: str


@dataclass(frozen=True)
class TimingRow:
    """device: "cpu" or the GPU's name. direction "encode" or "decode": RTF = processing seconds / audio seconds, median
    of repeats and clips, spread half the interquartile range; "frame": p50_ms and p99_ms of a frame through both.
    comparable: 1 if nothing else of ours ran on that machine. host: the machine's name; empty: the driver's own."""

    codec: str
    point: str
    content: str
    direction: str
    device: str
    method: str
    wall_rtf: float | None
    wall_spread: float | None
    cpu_rtf: float | None
    cpu_spread: float | None
    p50_ms: float | None
    p99_ms: float | None
    clips: int
    repeats: int
    reason: str
    comparable: int = 1
    host: str = ""


@dataclass(frozen=True)
class TokensRow:
    """A stage's codebook in use (see `bench/tokens.py`). stage: from 1; a point whose codes were not counted has the
    single row 0, with the reason. codes: counted, of all clips and channel streams. frames_per_second: codes / seconds
    of the streams; channels coded apart are two. seconds: that packets cover, each clip once."""

    codec: str
    point: str
    content: str
    stage: int
    size: int | None
    codes: int | None
    frames_per_second: float | None
    used: int | None
    perplexity: float | None
    entropy_bits: float | None
    clips: int
    packets: int | None
    seconds: float | None
    reason: str
    detail: str


@dataclass(frozen=True)
class CheckRow:
    name: str
    passed: int
    detail: str


Row = ClipRow | PointRow | ResultRow | ScoreRow | TimingRow | TokensRow | CheckRow

#: the table of each kind of row, and its primary key
TABLES: dict[type, tuple[str, str]] = {
    ClipRow: ("clips", "corpus, clip"),
    PointRow: ("points", "codec, point, content"),
    ResultRow: ("results", "corpus, clip, codec, point"),
    ScoreRow: ("scores", "corpus, clip, codec, point, metric"),
    TimingRow: ("timings", "codec, point, content, direction"),
    TokensRow: ("tokens", "codec, point, content, stage"),
    CheckRow: ("checks", "name"),
}
