"""Which runs may be compared with each other, and which of their codecs are the same.

Runs are of one group if the clips of every content that two of them have are the same (corpus, id, hash of the file,
start, length, rate, channels) and every metric that two of them have was computed alike (fingerprint). They must share
a content and a metric. Runs of different groups are never mixed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..bench.names import printable
from .comparable import IDENTITY, Clip, available, known, same_clip
from .frame import Run, read

Point = tuple[str, str, str]  # content, codec, point


@dataclass(frozen=True, eq=False)
class Source:
    """A run and the name that tells it from the others; `folder` as it was given."""

    name: str
    folder: Path
    run: Run

    @property
    def machine(self) -> str:
        """The CPU and how many cores of it."""
        machine = self.run.info.get("machine") or {}
        return f"{machine.get('cpu') or 'unknown'}, {machine.get('cores') or '?'} cores"

    @property
    def created(self) -> str:
        return str(self.run.info.get("created") or "")


def sources(folders: Iterable[Path]) -> list[Source]:
    """Read run folders; the same folder twice counts once. Raises StoreError for one that is no run."""
    unique: dict[Path, Path] = {}
    for folder in folders:
        unique.setdefault(folder.resolve(), folder)
    names = Counter(path.name for path in unique)
    return [
        Source(printable(path.name if names[path.name] == 1 else str(folder)), folder, read(folder))
        for path, folder in unique.items()
    ]


def groups(runs: Sequence[Source]) -> list[tuple[list[Source], tuple[tuple[int, str], ...]]]:
    """Each run goes into the first group of whose runs it may be compared with every one.

    With each group come the reasons why its first run is in none of those before: (number of that group, reason).
    """
    found: list[tuple[list[Source], tuple[tuple[int, str], ...]]] = []
    shared: list[_Basis] = []
    for source in runs:
        reasons = [basis.differs(source.run) for basis in shared]
        number = reasons.index("") if "" in reasons else len(found)
        if number == len(found):
            found.append(([], tuple(enumerate(reasons, 1))))
            shared.append(_Basis())
        found[number][0].append(source)
        shared[number].add(source.run)
    return found


@dataclass
class _Basis:
    """What the runs of a group have in common: clips by content, and metrics."""

    clips: dict[str, dict[Clip, dict[str, Any]]] = field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, run: Run) -> None:
        for name, metric in run.metrics().items():
            self.metrics.setdefault(name, metric)
        for content, clips in _clips(run).items():
            mine = self.clips.setdefault(content, clips)
            for key, clip in clips.items():  # what one run could not read another may have
                mine[key] = {k: mine[key][k] if known(mine[key][k]) else clip[k] for k in IDENTITY}

    def differs(self, run: Run) -> str:
        """Why a run may not be compared with these; empty if it may."""
        reasons = []
        clips = _clips(run)
        for content in sorted(clips.keys() & self.clips.keys()):
            one, two = self.clips[content], clips[content]
            every = one.keys() | two.keys()
            same = {k for k in one.keys() & two.keys() if same_clip(one[k], two[k])}
            if not same:
                reasons.append(f"other {content} clips: none in common")
            elif len(same) < len(every):
                reasons.append(f"other {content} clips: {len(every) - len(same)} of {len(every)} differ")
        if not clips.keys() & self.clips.keys():
            reasons.append(f"no content in common ({_list(clips)} and {_list(self.clips)})")
        metrics = run.metrics()
        for name in [name for name in metrics if name in self.metrics]:
            ours, theirs = self.metrics[name], metrics[name]
            if ours.get("fingerprint") != theirs.get("fingerprint"):
                reasons.append(f"{ours.get('title') or name} {_other(ours, theirs)}")
        if not metrics.keys() & self.metrics.keys():
            reasons.append("no metric in common")
        return "; ".join(reasons)


def _clips(run: Run) -> dict[str, dict[Clip, dict[str, Any]]]:
    found: dict[str, dict[Clip, dict[str, Any]]] = {}
    for c in run.clips.to_dict("records"):
        found.setdefault(c["content"], {})[c["corpus"], c["clip"]] = {k: c[k] for k in IDENTITY}
    return found


def _other(one: dict[str, Any], two: dict[str, Any]) -> str:
    versions = [m.get("version") or "unknown" for m in (one, two)]
    if versions[0] != versions[1]:
        return f"of another version ({versions[1]}, not {versions[0]})"
    return f"computed by other code or libraries (both of version {versions[0]})"


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def codec_names(members: list[Source]) -> tuple[dict[tuple[str, str], str], list[str]]:
    """(run, codec) -> the codec's name in the merged run; sentences on codecs that became several."""
    points = {s.name: available(s.run) for s in members}
    names: dict[tuple[str, str], str] = {}
    notes = []
    every = {key[1] for mine in points.values() for key in mine}
    for codec in sorted(every):
        variants: list[tuple[list[str], dict[Point, str], set[str]]] = []  # runs, fingerprints, versions
        for source in members:
            mine = {key: p for key, p in points[source.name].items() if key[1] == codec}
            made = {key: p["fingerprint"] for key, p in mine.items()}
            versions = {p["versions"] for p in mine.values()}
            for runs, known_made, known_versions in variants if mine else []:
                if versions == known_versions and all(known_made.get(k, v) == v for k, v in made.items()):
                    runs.append(source.name)
                    known_made |= made
                    break
            else:
                variants += [([source.name], made, versions)] if mine else []
        suffixes = _suffixes([(runs, sorted(versions)) for runs, _, versions in variants])
        for (runs, _, _), suffix in zip(variants, suffixes, strict=True):
            name = f"{codec} {suffix}" if suffix else codec
            while suffix and name in every:  # a codec of that name is there
                name += "'"
            names |= {(run, codec): name for run in runs}
        if len(variants) > 1:
            kinds = [f"{names[runs[0], codec]} of {', '.join(runs)}" for runs, _, _ in variants]
            notes.append(f"{codec} was not made alike: {'; '.join(kinds)}.")
    return names, notes


def _suffixes(variants: list[tuple[list[str], list[str]]]) -> list[str]:
    """What to add to a codec's name: nothing, what differs in the versions, or the first run that has it."""
    if len(variants) == 1:
        return [""]
    parts = [dict.fromkeys(part for text in versions for part in text.split(", ") if part) for _, versions in variants]
    common = set.intersection(*(set(p) for p in parts))
    own = [[part for part in mine if part not in common] for mine in parts]
    if all(own) and len({tuple(mine) for mine in own}) == len(own):
        libraries = {part.partition(" ")[0] for mine in own for part in mine}
        if len(libraries) == 1 and all(len(mine) == 1 for mine in own):
            (library,) = libraries
            return [f"({mine[0].partition(' ')[2].removeprefix(library).strip()})" for mine in own]
        return [f"({', '.join(mine)})" for mine in own]
    return [f"[{runs[0]}]" for runs, _ in variants]
