"""The plan of a run: which clips, which operating points, which metrics; made before anything is computed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..codecs import Codec, Point
from ..codecs import registry as codecs
from ..codecs._declared import unavailable
from ..codecs._load import load_checkpoint
from ..corpora import CorpusError, Item
from ..corpora._open import open_corpus
from .download import sha256
from .files import user_path
from .fingerprint import codec_fingerprint, digest, metric_fingerprint
from .metrics import Metric
from .metrics import registry as metrics
from .places import is_url
from .remote import local
from .sampling import in_turn
from .suite import Suite, SuiteError

#: files fetched at a time
FETCHING = 8


@dataclass(frozen=True)
class PlannedPoint:
    """An operating point of a codec on one kind of content; `unavailable` says why it cannot run, else empty."""

    codec: Codec
    point: Point
    content: str
    fingerprint: str
    unavailable: str

    @property
    def key(self) -> tuple[str, str, str]:
        """(codec, label, content), which names it in the store."""
        return self.codec.name, self.point.label, self.content


@dataclass(frozen=True)
class PlannedClip:
    """A clip and the hash of its file; `error` instead where the file cannot be opened."""

    item: Item
    sha256: str
    seconds: float | None
    error: str

    @property
    def name(self) -> tuple[str, str]:
        """(corpus, id), which names it in the store."""
        return self.item.corpus, self.item.id

    @property
    def key(self) -> str:
        """Names the clip's content: the file and the part of it."""
        return digest(self.sha256, self.item.start, self.seconds)


@dataclass(frozen=True)
class Plan:
    """Everything a run will do."""

    suite: Suite
    clips: tuple[PlannedClip, ...]
    points: tuple[PlannedPoint, ...]
    metrics: tuple[Metric, ...]
    metric_fingerprints: Mapping[str, str]  # by name
    sources: tuple[str, ...]
    device: str

    def digest(self) -> str:
        """Names what is measured, whatever the versions: a run folder holds one plan; 64 hex digits."""
        labels = [list(point.key) for point in self.points]
        return digest(self.suite.digest(), self.sources, labels, *([] if self.device == "cpu" else [self.device]))

    @property
    def contents(self) -> list[str]:
        """The kinds of content among the clips, sorted."""
        return sorted({clip.item.content for clip in self.clips})

    def metrics_for(self, content: str) -> list[Metric]:
        """The metrics made for that content."""
        return [metric for metric in self.metrics if content in metric.content]

    def points_of(self, clip: PlannedClip) -> list[PlannedPoint]:
        """The operating points that the clip is coded at."""
        return [point for point in self.points if point.content == clip.item.content and not point.unavailable]

    def units(self) -> list[tuple[PlannedClip, PlannedPoint]]:
        """Every (clip, point) to be measured, grouped by clip."""
        return [(clip, point) for clip in self.clips for point in self.points_of(clip)]


def make_plan(
    suite: Suite,
    wanted: Wanted,
    modules: Sequence[Path] = (),
    labels: Sequence[str] = (),
    device: str = "cpu",
    say: Callable[[str], None] = lambda line: None,
) -> Plan:
    """Resolve a suite's names. Clips at URLs are fetched, for their hash.

    Parameters
    ----------
    wanted : the suite's codecs, of `wanted_codecs`.
    modules : files of further codec adapters, already loaded.
    device : already chosen, for the record.
    labels : only operating points with these labels; empty for all.
    say : called with a line before clips are fetched.

    Raises
    ------
    SuiteError, CorpusError : a name that does not exist, a corpus that cannot be listed.
    """
    chosen = []
    for name in dict.fromkeys(suite.metrics):
        try:
            chosen.append(metrics.get(name))
        except KeyError as error:
            raise SuiteError(str(error.args[0])) from error
    items = [item for spec in suite.corpora for item in _items(spec, suite)]
    _need_distinct(items)
    points = _points(suite, wanted, sorted({item.content for item in items}), set(labels))
    if far := sum(is_url(item.path) for item in items):
        say(f"reading {far} clips at URLs; those that are not here yet are fetched")
    with ThreadPoolExecutor(FETCHING) as pool:
        clips = list(pool.map(lambda item: _clip(item, suite), items))
    fingerprints = {metric.name: metric_fingerprint(metric) for metric in chosen}
    sources = (*map(str, modules), *wanted.sources)
    return Plan(suite, tuple(clips), tuple(points), tuple(chosen), fingerprints, sources, device)


def weights_of(spec: str) -> tuple[str, Path | None, str]:
    """A codec as users write it, NAME[:PATH][@P+P], in its parts: name, path of their own weights, points."""
    name, colon, rest = spec.partition(":")
    if not colon:
        name, _, only = spec.partition("@")
        return name, None, only
    # A path may have an @ of its own.
    only = ""
    if not os.path.exists(user_path(rest)):
        rest, _, only = rest.rpartition("@") if "@" in rest else (rest, "", "")
    return name, user_path(rest), only


def _items(spec: str, suite: Suite) -> list[Item]:
    items = open_corpus(spec, suite.content)
    if len({item.id for item in items}) != len(items):
        raise CorpusError(f"corpus {spec}: two clips have the same id")
    return limit(items, suite.clips, suite.seed)


def _clip(item: Item, suite: Suite) -> PlannedClip:
    lengths = [s for s in (item.seconds, suite.max_seconds) if s is not None]
    content_hash, error = "", ""
    try:
        content_hash = sha256(local(item.path))
    except OSError as problem:
        error = f"{item.path}: {problem.strerror or problem}"
    return PlannedClip(item, content_hash, min(lengths, default=None), error)


def _need_distinct(items: Sequence[Item]) -> None:
    """CorpusError where two clips would share their rows: a corpus given twice, or two folders of one name."""
    seen: dict[tuple[str, str], Item] = {}
    for item in items:
        first = seen.setdefault((item.corpus, item.id), item)
        if first is not item:
            raise CorpusError(
                f"two clips {item.id!r} in corpora named {item.corpus!r}: {first.path} and {item.path}; "
                "give each corpus once, and folders of different names"
            )


def limit(items: Sequence[Item], clips: int | None, seed: int) -> list[Item]:
    """At most so many items, from as many speakers as possible, the same ones for the same seed; in their order."""
    if clips is None or clips >= len(items):
        return list(items)
    taken = {item.id for item in in_turn(items, lambda item: item.speaker or item.id, clips, seed)}
    return [item for item in items if item.id in taken]


@dataclass(frozen=True)
class Wanted:
    """What a suite asks for: `codecs`, by name the labels of the points, "*" for all; `sources` of users' own weights,
    which are loaded."""

    codecs: Mapping[str, list[str]]
    sources: tuple[str, ...]


def wanted_codecs(specs: Sequence[str]) -> Wanted:
    """Resolve the codecs of a suite; weights of the user's own are loaded.

    Raises
    ------
    SuiteError : a codec to leave out that does not exist.
    LoadError : weights of the user's own that cannot be used.
    """
    wanted: dict[str, list[str]] = {}
    sources = []
    for spec in specs:
        name, path, only = weights_of(spec)
        if path is not None:
            sources.append(f"{name}:{os.path.realpath(path)}")
            name = load_checkpoint(name, path)
        if name.startswith("-"):
            if name[1:] not in codecs:
                raise SuiteError(f"cannot leave out {name[1:]!r}: there is no such codec; see `bench list codecs`")
            wanted.pop(name[1:], None)
            continue
        # Weights that an earlier run of this process loaded are not among all codecs.
        for each in [n for n in codecs.names() if ":" not in n] if name == "*" else [name]:
            wanted.setdefault(each, []).extend(only.split("+") if only else ["*"])
    return Wanted(wanted, tuple(sources))


def _points(suite: Suite, wanted: Wanted, contents: Sequence[str], labels: set[str]) -> list[PlannedPoint]:
    points = []
    for name, only_labels in wanted.codecs.items():
        try:
            codec = codecs.get(name)
            for label in only_labels:
                if label != "*":
                    codec.point(label)
        except KeyError as error:
            raise SuiteError(str(error.args[0])) from error
        for label in only_labels if contents and "*" not in suite.codecs else ():
            suits = {content for p in codec.points for content in p.content if label in ("*", p.label)}
            if not suits & set(contents):
                what = name if label == "*" else f"{name} {label}"
                raise SuiteError(
                    f"{what} is made for {' and '.join(sorted(suits))}, and the clips are {' and '.join(contents)}; "
                    "leave it out, or give another --corpus"
                )
        missing = unavailable(codec)
        for content in contents:
            for point in codec.points:
                if content not in point.content or (labels and point.label not in labels):
                    continue
                if "*" not in only_labels and point.label not in only_labels:
                    continue
                fingerprint = "" if missing else codec_fingerprint(codec, point)
                points.append(PlannedPoint(codec, point, content, fingerprint, missing))
    if not points:
        raise SuiteError(
            f"no operating point is left of codecs {', '.join(suite.codecs)}"
            + (f" with the labels {', '.join(sorted(labels))}" if labels else "")
            + "; see `bench list codecs`"
        )
    return points
