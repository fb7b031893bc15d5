"""Several runs as one, where their numbers may stand in one table.

`grouping.py` says which those are.

**Codecs.** An operating point that was made alike (fingerprint) in several runs counts once, whole from one run: the
one with most results and scores of it, then the newest; another one gives only times or tokens that this has not. A
codec that was not made alike, or is of other versions, becomes several codecs, told apart by version or run in their
names. Nothing is averaged over runs.

**Times** are comparable on one machine only. Those of the machine that timed most points stay; the others have no
value, and the machine is their reason. `Group.timings` has all of them, with their run.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .comparable import IDENTITY, available, known
from .frame import Run
from .grouping import Point, Source, codec_names, groups
from .verdict import listed

if TYPE_CHECKING:
    import pandas as pd

Rows = list[dict[str, Any]]

#: codecs named in a sentence; the rest are counted
_NAMED = 12
_KEYS = {
    "clips": ("corpus", "clip"),
    "points": ("codec", "point", "content"),
    "results": ("corpus", "clip", "codec", "point"),
    "scores": ("corpus", "clip", "codec", "point", "metric"),
    "timings": ("codec", "point", "content", "direction"),
    "tokens": ("codec", "point", "content", "stage"),
    "checks": ("name",),
}


@dataclass(frozen=True, eq=False)
class Group:
    """Runs whose numbers may be compared, as one run.

    Attributes
    ----------
    origin : (content, codec, point) of `run` -> the run that it is from.
    timings : the table `timings` with the times of all machines, and `source`, the name of their run.
    apart : why these runs are not in an earlier group: (number of that group from 1, reason).
    """

    run: Run
    sources: tuple[Source, ...]
    origin: dict[Point, Source]
    timings: pd.DataFrame
    apart: tuple[tuple[int, str], ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """How it was merged, in sentences."""
        return tuple(self.run.info.get("merged") or ())

    @property
    def data_hash(self) -> str:
        """Hash of the clips: of two groups with the same one the clips are the same; 16 hex digits."""
        clips = self.run.clips.sort_values(["corpus", "clip"])
        names = clips[["content", "corpus", "clip", "sha256"]].to_numpy().tolist()
        numbers = clips[[k for k in IDENTITY if k != "sha256"]].astype("float64").to_numpy().tolist()
        text = json.dumps([[*n, *(v if known(v) else None for v in m)] for n, m in zip(names, numbers, strict=True)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def merge(runs: Sequence[Source]) -> list[Group]:
    """The groups of these runs, each as one run."""
    return [_group(members, apart) for members, apart in groups(runs)]


def _group(members: list[Source], apart: tuple[tuple[int, str], ...]) -> Group:
    """Merge runs that may be compared. A single one stays as it is."""
    if len(members) == 1:
        (source,) = members
        origin = dict.fromkeys(available(source.run), source)
        return Group(source.run, (source,), origin, source.run.timings.assign(source=source.name), apart)
    names, renamed = codec_names(members)
    candidates, once = _candidates(members, names)
    tables = _tables(members, names, candidates)
    timings = _frame("timings", tables["timings"], [*members[0].run.timings.columns, "source"])
    tables["timings"], strangers = _other_machines(members, tables["timings"])
    heading = f"Merged of {len(members)} runs: {', '.join(s.name for s in members)}."
    info = _info(members) | {"merged": [heading, *renamed, *once, *_missing(members), *strangers]}
    frames = {name: _frame(name, rows, list(getattr(members[0].run, name).columns)) for name, rows in tables.items()}
    origin = {point: order[0] for point, order in candidates.items()}
    return Group(Run(info, **frames), tuple(members), origin, timings, apart)


def _frame(table: str, rows: Rows, columns: list[str]) -> pd.DataFrame:
    """As `frame.read` makes it, by key."""
    import pandas as pd

    rows = sorted(rows, key=lambda row: tuple(row[k] for k in _KEYS[table]))
    return pd.DataFrame(rows, columns=columns)


def _candidates(
    members: list[Source], names: dict[tuple[str, str], str]
) -> tuple[dict[Point, list[Source]], list[str]]:
    """The runs that have each point, the one that it is taken from first; sentences on those that several have."""
    found: dict[Point, list[tuple[Source, str]]] = {}
    rows = {s.name: _by_point(s.run) for s in members}
    rates: dict[Point, float] = {}
    for source in members:
        for (content, codec, point), row in available(source.run).items():
            key = (content, names[source.name, codec], point)
            found.setdefault(key, []).append((source, codec))
            rates[key] = row["kbps_nominal"] if known(row["kbps_nominal"]) else 0.0
    ordered = {}
    notes: dict[tuple[str, tuple[str, ...], int], dict[str, list[str]]] = {}
    for (content, name, point), runs in sorted(
        found.items(), key=lambda item: (item[0][:2], rates[item[0]], item[0][2])
    ):
        values = {s.name: rows[s.name].get((content, codec, point), {}) for s, codec in runs}
        order = [s for s, _ in sorted(runs, key=lambda run: (len(values[run[0].name]), run[0].created), reverse=True)]
        ordered[content, name, point] = order
        best, *others = (values[s.name] for s in order)
        if others:
            differ = {k[:2] for mine in others for k, v in mine.items() if best.get(k, v) != v}
            where = (order[0].name, tuple(s.name for s in order[1:]), len(differ))
            labels = notes.setdefault(where, {}).setdefault(name, [])
            labels += [] if point in labels else [point]
    return ordered, [_once(*where, points) for where, points in sorted(notes.items(), key=lambda note: note[0])]


def _once(best: str, others: tuple[str, ...], differ: int, points: dict[str, list[str]]) -> str:
    made = listed([f"{name}@{'+'.join(labels)}" for name, labels in points.items()], _NAMED)
    text = f"Counted once, as in {best}, though also in {', '.join(others)}: {made}"
    return f"{text}; although made alike, {differ} clips have other results there." if differ else f"{text}."


def _by_point(run: Run) -> dict[Point, dict[tuple[str, ...], Any]]:
    """What a run knows of each point: (corpus, clip, "" or a metric) -> what came out; None for no value."""
    content = {(c, k): what for c, k, what in run.clips[["corpus", "clip", "content"]].itertuples(index=False)}
    found: dict[Point, dict[tuple[str, ...], Any]] = {}
    for r in run.results[["corpus", "clip", "codec", "point", "status", "bits"]].itertuples(index=False):
        mine = found.setdefault((content.get((r[0], r[1]), ""), r[2], r[3]), {})
        mine[r[0], r[1], ""] = (r[4], r[5] if known(r[5]) else None)
    for s in run.scores[["corpus", "clip", "codec", "point", "metric", "value"]].itertuples(index=False):
        mine = found.setdefault((content.get((s[0], s[1]), ""), s[2], s[3]), {})
        mine[s[0], s[1], s[4]] = s[5] if known(s[5]) else None
    return found


def _tables(
    members: list[Source], names: dict[tuple[str, str], str], candidates: dict[Point, list[Source]]
) -> dict[str, Rows]:
    """The rows of the merged run; `timings` with their run."""
    tables: dict[str, Rows] = {name: [] for name in _KEYS}
    clips: dict[tuple[str, str], dict[str, Any]] = {}
    unavailable: dict[Point, dict[str, Any]] = {}
    found: dict[tuple[str, Point], dict[str, Rows]] = {}  # of a table and point: rows by run
    for source in members:
        run = source.run
        content = {}
        for clip in run.clips.to_dict("records"):
            key = (clip["corpus"], clip["clip"])
            content[key] = clip["content"]
            if key not in clips or clips[key]["status"] != "ok" == clip["status"]:
                clips[key] = clip
        for table in ("points", "results", "scores", "timings", "tokens"):
            for row in getattr(run, table).to_dict("records"):
                what = row["content"] if "content" in row else content.get((row["corpus"], row["clip"]), "")
                name = names.get((source.name, row["codec"]), row["codec"])
                more = {"source": source.name} if table == "timings" else {}
                rows = found.setdefault((table, (what, name, row["point"])), {})
                rows.setdefault(source.name, []).append(row | {"codec": name} | more)
        for point in run.points[run.points["unavailable"] != ""].to_dict("records"):
            unavailable.setdefault((point["content"], point["codec"], point["point"]), point)
        tables["checks"] += [c | {"name": f"{source.name}: {c['name']}"} for c in run.checks.to_dict("records")]
    for (table, point), rows in found.items():
        order = [s.name for s in candidates.get(point, [])]
        # What another run timed or counted of a point holds where the run that it is taken from did not.
        whole = order if table in ("timings", "tokens") else order[:1]
        tables[table] += next((rows[name] for name in whole if name in rows), [])
    had = {key for source in members for key in available(source.run)}
    tables["points"] += [point for key, point in unavailable.items() if key not in had]
    tables["clips"] = list(clips.values())
    return tables


def _other_machines(members: list[Source], timings: Rows) -> tuple[Rows, list[str]]:
    """The timings without the values of other machines than the one that timed most points, and what was left out."""
    machines = {s.name: s.machine for s in members}
    counts = Counter(machines[t["source"]] for t in timings)
    if len(counts) < 2:
        return timings, []
    main = max(counts, key=lambda machine: counts[machine])
    blank = dict.fromkeys(("wall_rtf", "wall_spread", "cpu_rtf", "cpu_spread", "p50_ms", "p99_ms"))
    kept = [
        t
        if machines[t["source"]] == main
        else t | blank | {"method": "", "reason": f"timed on another machine: {machines[t['source']]}"}
        for t in timings
    ]
    others = sorted({t["source"] for t in timings if machines[t["source"]] != main})
    return kept, [f"Times are of {main}; those of {', '.join(others)} are of other machines and are left out."]


def _missing(members: list[Source]) -> list[str]:
    """Metrics that not all runs have, and codecs that could not run in some."""
    metrics = {s.name: s.run.metrics() for s in members}
    titles = {name: str(m.get("title") or name) for mine in metrics.values() for name, m in mine.items()}
    lacking: dict[tuple[str, ...], list[str]] = {}
    for metric, title in titles.items():
        lacking.setdefault(tuple(name for name, mine in metrics.items() if metric not in mine), []).append(title)
    notes = [f"Not computed in {', '.join(runs)}: {', '.join(absent)}." for runs, absent in lacking.items() if runs]
    for source in members:
        points = source.run.points
        lost = set(points.loc[points["unavailable"] != "", "codec"])
        had = {codec for s in members if s is not source for _, codec, _ in available(s.run)}
        if lost & had:
            notes.append(f"Could not run in {source.name} and is from another run: {', '.join(sorted(lost & had))}.")
    return notes


def _info(members: list[Source]) -> dict[str, Any]:
    """The table `run` of the merged run: what all agree on as it is, the rest by run."""
    infos = {s.name: s.run.info for s in members}
    metrics: dict[str, dict[str, Any]] = {}
    for source in members:
        for metric, declaration in source.run.metrics().items():
            metrics.setdefault(metric, declaration)
    incomplete = {n: info.get("status") or "unknown" for n, info in infos.items() if info.get("status") != "complete"}
    info = {key: _by_run({name: i.get(key) for name, i in infos.items()}) for key in ("created", "command", "git")}
    packages = {name: i.get("packages") or {} for name, i in infos.items()}
    libraries = sorted({library for mine in packages.values() for library in mine})
    return info | {
        "commands": list(dict.fromkeys(i["command"] for i in infos.values() if i.get("command"))),
        "suite": _suite(members),
        "status": ", ".join(f"{status} ({name})" for name, status in incomplete.items()) or "complete",
        "seed": members[0].run.info.get("seed"),
        "metrics": list(metrics.values()),
        "packages": {k: _by_run({name: mine.get(k, "absent") for name, mine in packages.items()}) for k in libraries},
        "machine": {s.name: s.machine for s in members}
        if len({s.machine for s in members}) > 1
        else members[0].run.info.get("machine"),
    }


def _by_run(values: dict[str, Any]) -> Any:
    """One value if all runs have the same, else each with its run."""
    if len({str(v) for v in values.values()}) == 1:
        return next(iter(values.values()))
    return "; ".join(f"{'unknown' if value is None else value} ({name})" for name, value in values.items())


def _suite(members: list[Source]) -> dict[str, Any]:
    suites = [s.run.info.get("suite") or {} for s in members]
    if all(suite == suites[0] for suite in suites):
        return dict(suites[0])
    return {"name": " + ".join(dict.fromkeys(str(suite.get("name") or "run") for suite in suites))}
