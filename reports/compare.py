"""Two runs, or two codecs of one run, on the same clips: paired differences NEW - BASE.

A clip is the same if corpus, id and the hash of its file agree, and length, rate and channels. A difference is the mean
over the clips that both sides have a finite score for, its interval clustered by speaker (`bench/statistics.py`).
What keeps two runs from being compared is collected in words; what follows from it is decided in `gate.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bench.statistics import Mean, paired_difference
from . import comparable
from .comparable import Clip, CompareError, Point
from .frame import Run, clusters, frame_of, metrics_of, read

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Change", "CompareError", "Comparison", "Condition", "compare"]


@dataclass(frozen=True)
class Change:
    """One metric under one condition.

    Attributes
    ----------
    base, new : means over the clips that both have a score for; NaN where there are none.
    difference : of NEW - BASE over these clips.
    spread : standard deviation of BASE's scores of these clips.
    lost : reason -> clips that both coded and only BASE has a score for.
    """

    metric: str
    base: float
    new: float
    difference: Mean
    spread: float
    lost: dict[str, int]


@dataclass(frozen=True)
class Condition:
    """An operating point in BASE and the one of NEW that it is compared with.

    Attributes
    ----------
    base, new : codec and label.
    clips : of this content in BASE, those that NEW has not included.
    coded : clips that both coded.
    base_kbps, new_kbps : measured, over the clips that both coded; NaN for anchors.
    rtf : "encode" and "decode" -> real-time factors in BASE and NEW, where both were timed on a CPU.
    failed : reason -> clips that BASE coded and NEW did not.
    """

    content: str
    base: Point
    new: Point
    clips: int
    coded: int
    base_kbps: float
    new_kbps: float
    changes: tuple[Change, ...]
    rtf: dict[str, tuple[float, float]]
    failed: dict[str, int]

    @property
    def name(self) -> str:
        """Codec and point, of both sides where they differ."""
        names = [" ".join(" ".join(point).split()) for point in (self.base, self.new)]
        return names[0] if self.base == self.new else " → ".join(names)


@dataclass(frozen=True)
class Comparison:
    """Everything that two runs say about each other.

    Attributes
    ----------
    metrics : name -> declaration, of both runs.
    other_metrics : name -> why the scores of the two runs cannot be compared.
    gone : name of a condition of BASE -> why NEW has no such condition.
    obstacles : why the numbers of these runs should not be compared or trusted at all.
    notes : what else a reader must know.
    """

    base: str
    new: str
    metrics: dict[str, dict[str, Any]]
    other_metrics: dict[str, str]
    conditions: tuple[Condition, ...]
    gone: dict[str, str]
    obstacles: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def measured(self) -> bool:
        """True if anything at all could be compared."""
        return any(c.difference.n for condition in self.conditions for c in condition.changes)


def compare(base_dir: Path, new_dir: Path, maps: Sequence[str] = ()) -> Comparison:
    """Compare two run folders, which may be the same one.

    Parameters
    ----------
    maps : pairs "CODEC[@POINT]=CODEC[@POINT]" of BASE and NEW, the second half only if it differs; without any,
        every operating point that both have.

    Raises
    ------
    StoreError : a folder that is no run.
    CompareError : a pair that names what a run does not have.
    """
    base, new = read(base_dir), read(new_dir)
    one, two = frame_of(base), frame_of(new)
    frames = one.assign(cluster=clusters(one)), two
    pairs, gone, notes = comparable.pairs(base, new, maps)
    same, clip_obstacles, clip_notes = comparable.clips(base, new)
    notes += clip_notes
    metrics, other = comparable.metrics(base, new)
    unchanged = [name for name in metrics if name not in other]
    conditions = _conditions((base, new), frames, pairs, same, unchanged)
    obstacles = [
        *comparable.distrust("BASE", base),
        *([] if base_dir.resolve() == new_dir.resolve() else comparable.distrust("NEW", new)),
        *clip_obstacles,
    ]
    added = sorted({key[1:] for key in comparable.available(new)} - {key[1:] for key in comparable.available(base)})
    if added and not maps:
        notes.append(f"only in NEW: {', '.join(' '.join(point) for point in added)}")
    machines = [(run.info.get("machine") or {}).get("cpu") for run in (base, new)]
    if machines[0] != machines[1]:
        notes.append(f"RTF is of different machines: {machines[0]}, {machines[1]}")
    return Comparison(
        str(base_dir), str(new_dir), metrics, other, tuple(conditions), gone, tuple(obstacles), tuple(notes)
    )


def _conditions(
    runs: tuple[Run, Run],
    frames: tuple[pd.DataFrame, pd.DataFrame],
    pairs: list[tuple[str, Point, Point]],
    same: set[Clip],
    metrics: list[str],
) -> Iterator[Condition]:
    groups = [dict(tuple(frame.groupby(["content", "codec", "point"], sort=False))) for frame in frames]
    asked = {content: metrics_of(frames[0], metrics, content) for content in {content for content, *_ in pairs}}
    seed = int(runs[0].info.get("seed") or 0)
    for content, one, two in pairs:
        parts = [
            {(row["corpus"], row["clip"]): row for row in group.to_dict("records")}
            for group in (groups[0].get((content, *one), frames[0][:0]), groups[1].get((content, *two), frames[1][:0]))
        ]
        base, new = ({key: row for key, row in part.items() if key in same} for part in parts)
        coded = [k for k, row in base.items() if row["status"] == "ok" and new.get(k, {}).get("status") == "ok"]
        failed = Counter(
            new[k]["reason"] if k in new else "not run"
            for k, row in base.items()
            if row["status"] == "ok" and k not in coded
        )
        yield Condition(
            content=content,
            base=one,
            new=two,
            clips=int((runs[0].clips["content"] == content).sum()),
            coded=len(coded),
            base_kbps=_kbps([base[k] for k in coded]),
            new_kbps=_kbps([new[k] for k in coded]),
            changes=tuple(_change(m, {k: base[k] for k in coded}, new, seed) for m in asked[content]),
            rtf=_rtf(runs, content, one, two),
            failed=dict(sorted(failed.items())),
        )


def _change(metric: str, base: dict[Clip, dict[str, Any]], new: dict[Clip, dict[str, Any]], seed: int) -> Change:
    one = {k: float(row[metric]) for k, row in base.items()}
    two = {k: float(new[k][metric]) for k in base}
    speakers = {k: row["cluster"] for k, row in base.items()}
    both = [k for k in one if math.isfinite(one[k]) and math.isfinite(two[k])]
    lost = Counter(
        new[k][f"{metric}_reason"] or ("infinite" if math.isinf(two[k]) else "no_row")
        for k in one
        if math.isfinite(one[k]) and not math.isfinite(two[k])
    )
    return Change(
        metric=metric,
        base=_mean([one[k] for k in both]),
        new=_mean([two[k] for k in both]),
        difference=paired_difference(two, one, speakers, seed),
        spread=_spread([one[k] for k in both]),
        lost=dict(sorted(lost.items())),
    )


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _spread(values: list[float]) -> float:
    mean = _mean(values)
    return math.sqrt(_mean([(v - mean) ** 2 for v in values]))


def _kbps(rows: list[dict[str, Any]]) -> float:
    rows = [row for row in rows if not math.isnan(row["kbps"])]
    seconds = sum(row["coded_seconds"] for row in rows)
    return float(sum(row["bits"] for row in rows)) / seconds / 1000 if seconds else math.nan


def _rtf(runs: tuple[Run, Run], content: str, one: Point, two: Point) -> dict[str, tuple[float, float]]:
    """On the CPU; times of a GPU are of one card and say nothing here."""
    found: dict[str, tuple[float, float]] = {}
    for direction in ("encode", "decode"):
        values = []
        for run, point in zip(runs, (one, two), strict=True):
            key: dict[str, Any] = {"content": content, "codec": point[0], "point": point[1], "direction": direction}
            key |= {"device": "cpu", "comparable": 1}
            rows = run.timings
            for column, value in key.items():
                rows = rows[rows[column] == value]
            values += [float(v) for v in rows["wall_rtf"] if comparable.known(v)]
        if len(values) == 2:
            found[direction] = (values[0], values[1])
    return found
