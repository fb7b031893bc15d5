"""A run as pandas tables.

`load` gives one row a (corpus, clip, codec, point), `summary` one row a (content, codec, point). Missing is NaN, and
its reason is beside it; nothing is dropped.

**Which clips a mean is over.** Codecs are compared on the same clips only: a metric's mean is taken over the clips
that have its score for *every* codec and point of that content. One broken codec must not empty that set, so a point
that has scores for less than half of the clips of the best point does not take part in it: its own mean is over the
clips it has, and `<metric>_common` is False; it must not be compared with the others. See `common_clips`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..bench import statistics
from ..bench.store import Store
from . import codebooks, times

if TYPE_CHECKING:
    import pandas as pd

#: a point with scores for less than this share of the clips does not take part in the intersection
TAKES_PART = 0.5

_CLIP = ["content", "speaker", "language", "genre", "seconds", "rate", "channels", "lossy"]
_POINT = ["family", "kind", "mode", "kbps_nominal"]
_RESULT = ["bits", "setup_bits", "coded_seconds", "native_rate", "delay_samples", "frame_samples"]
_WHOLE = ["rate", "channels", "lossy", "bits", "setup_bits", "native_rate", "delay_samples", "frame_samples"]
_MEAN = ("mean", "lo", "hi", "n", "clusters", "scored", "common")
_KEY = ["corpus", "clip", "codec", "point"]
_CLIP_KEY = ["content", "corpus", "clip"]
_POINT_KEY = ["content", "codec", "point"]
#: columns that a row of the summary needs besides the scores
_NEEDED = ("content", "codec", "point", "status", "bits", "setup_bits", "coded_seconds", "native_rate",
           "delay_samples", "frame_samples")  # fmt: skip


@dataclass(frozen=True)
class Run:
    """The store of a run in memory: the table `run` as a dictionary, every other table as a frame."""

    info: dict[str, Any]
    clips: pd.DataFrame
    points: pd.DataFrame
    results: pd.DataFrame
    scores: pd.DataFrame
    timings: pd.DataFrame
    tokens: pd.DataFrame
    checks: pd.DataFrame

    def metrics(self) -> dict[str, dict[str, Any]]:
        """Declarations of the metrics by name, in the order of the run; one that only has scores comes last."""
        declared = {str(m["name"]): dict(m) for m in self.info.get("metrics") or []}
        for name in sorted(set(self.scores["metric"]) - set(declared)):
            declared[name] = {"name": name}
        return declared


def read(run_dir: Path) -> Run:
    """Read a run folder. Raises StoreError where there is none, or where it is damaged."""
    import pandas as pd

    store = Store(Path(run_dir))
    try:
        store.check()
        info = store.info()
        tables = {}
        for table in ("clips", "points", "results", "scores", "timings", "tokens", "checks"):
            columns = store.rows(f"PRAGMA table_info({table})")
            key = ", ".join(c["name"] for c in columns if c["pk"])
            found = store.columns(f"SELECT * FROM {table} ORDER BY {key}")
            tables[table] = pd.DataFrame(found if any(found.values()) else None, columns=list(found))
    finally:
        store.close()
    return Run(info, **tables)


def load(run_dir: Path) -> pd.DataFrame:
    """One row a (corpus, clip, codec, point), sorted by content and these.

    Columns: the clip (content, speaker, language, genre, seconds, rate, channels, lossy), the point (family, kind,
    mode, kbps_nominal), status, reason, detail, kbps (measured, NaN for anchors), bits, setup_bits, coded_seconds,
    native_rate, delay_samples, frame_samples, and for each metric its score and `<metric>_reason`, which is empty
    where there is a score. Clips that could not be read have a row only where the run wrote one.
    """
    return frame_of(read(run_dir))


def frame_of(run: Run) -> pd.DataFrame:
    """`load`, of a run in memory."""
    results = run.results[[*_KEY, "status", "reason", "detail", *_RESULT]]
    frame = results.merge(run.clips[["corpus", "clip", *_CLIP]], on=["corpus", "clip"], how="left")
    frame = frame.merge(
        run.points[["codec", "point", "content", *_POINT]], on=["codec", "point", "content"], how="left"
    )
    for column in _WHOLE:
        frame[column] = frame[column].astype("Int64")
    for column in ("seconds", "kbps_nominal", "coded_seconds"):
        frame[column] = frame[column].astype("float64")
    bits = frame["bits"].astype("float64")
    comparable = (frame["kind"] != "anchor") & (frame["coded_seconds"] > 0)
    frame["kbps"] = (bits / frame["coded_seconds"] / 1000).where(comparable, np.nan)

    frame = frame.set_index(_KEY)
    scores = run.scores.set_index(_KEY)
    content = run.clips.set_index(["corpus", "clip"])["content"]
    failed = frame["status"] != "ok"
    for name in run.metrics():
        mine = scores[scores["metric"] == name]
        value = mine["value"].astype("float64").reindex(frame.index)
        reason = mine["reason"].reindex(frame.index)
        # A metric belongs to the contents that it has rows for; elsewhere nobody asked for it, and it needs no reason.
        here = set(content.reindex(mine.index.droplevel(["codec", "point"])))
        asked = frame["content"].isin(here)
        reason = reason.where(reason.notna(), np.where(asked & failed, "codec_failed", np.where(asked, "no_row", "")))
        frame[name] = value
        frame[f"{name}_reason"] = reason.where(value.isna(), "").astype("object")
    frame = frame.reset_index()
    columns = ["corpus", "clip", *_CLIP, "codec", "point", *_POINT, "status", "reason", "detail", "kbps", *_RESULT]
    metrics = [c for name in run.metrics() for c in (name, f"{name}_reason")]
    return frame[columns + metrics].sort_values(["content", *_KEY], kind="stable", ignore_index=True)


def metrics_of(frame: pd.DataFrame, metrics: list[str], content: str) -> list[str]:
    """The metrics that were asked for on this content: they have a score or a reason there."""
    part = frame[frame["content"] == content]
    return [m for m in metrics if part[m].notna().any() or (part[f"{m}_reason"] != "").any()]


def on_intersection(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of a `load` frame that may be compared with each other by this metric.

    Within each content: the points that take part (see the module's docstring), on the clips that have a score for
    each of them. Every point left has the same clips.
    """
    scored = frame[frame[metric].notna()]
    clip, point = ids(scored, _CLIP_KEY), ids(scored, _POINT_KEY)
    kept = np.zeros(len(scored), bool)
    for _, rows in scored.reset_index(drop=True).groupby("content", sort=True).indices.items():
        points, clips = _common(point[rows], clip[rows])
        kept[rows] = np.isin(point[rows], points) & np.isin(clip[rows], clips)
    return scored[kept]


def ids(frame: pd.DataFrame, columns: list[str]) -> NDArray[np.int64]:
    """A number for each row, the same for rows that agree in these columns."""
    numbers = frame.groupby(columns, sort=False, dropna=False).ngroup()
    return np.asarray(numbers, np.int64)


def clusters(frame: pd.DataFrame) -> NDArray[np.int64]:
    """The cluster of each row, for `bench/statistics.py`: its speaker.

    A clip without a speaker is its own cluster; two corpora may use the same name for different people.
    """
    alone = frame["clip"].where(frame["speaker"] == "", "")
    return ids(frame[["corpus", "speaker"]].assign(alone=alone), ["corpus", "speaker", "alone"])


def _common(points: NDArray[np.int64], clips: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The points that take part and the clips that all of them have, of the rows of one content with a score."""
    names, counts = np.unique(points, return_counts=True)
    part = names[counts >= TAKES_PART * counts.max()] if len(names) else names
    mine, counts = np.unique(clips[np.isin(points, part)], return_counts=True)
    all_have = mine[counts == len(part)]
    return (part if len(all_have) else part[:0]), all_have


def summary(run_dir: Path) -> pd.DataFrame:
    """One row an operating point that was available, sorted by content, kind, family, codec and measured rate.

    Columns
    -------
    content, kind, family, codec, note (what a reader of the codec's numbers must know, mostly empty), point, mode
    kbps_nominal, kbps : kbit/s; measured = sum of bits / sum of coded seconds over all coded clips; NaN for anchors.
    setup_bytes : mean a clip, sent once a stream and not in kbps.
    delay_ms, frame_ms : algorithmic delay (frame + codec delay) and frame; the largest of all clips, NaN for anchors
        and where the frame varies.
    clips, coded, failures : clips of that content, clips coded, clips that failed.
    <metric>_mean, _lo, _hi : mean and its 95 % interval; _n: clips in the mean; _clusters: groups that the interval
        is over; _scored: clips that have a score; _common: True if the mean is over the clips common to all.
    codebooks, codes : stages; codes counted, the fewest of a stage.
    used_mean, perplexity_mean : entries used and perplexity, mean over the stages; low where few codes were counted.
    tokens_per_second : codes of all stages and channels / seconds that the packets cover, over the coded clips.
    bits_per_frame : payload bits of a frame, the time of a code of the slowest stage; a packet may hold several.
    bound_kbps, bound_reason : least rate of a fixed entropy code a stage (see `codebooks.py`), or why it is missing.
        These eight are there only if some codec of the run has codebooks.
    time_* : real-time factors (processing seconds / audio seconds) with spread and method, frame latency in ms; CPU.
    gpu_* : the same on a GPU, gpu_device; there only if something was timed on one.
    """
    run = read(run_dir)
    return summary_of(run, frame_of(run))


def summary_of(run: Run, frame: pd.DataFrame) -> pd.DataFrame:
    """`summary`, of a run in memory and its frame."""
    import pandas as pd

    seed = int(run.info.get("seed") or 0)
    names = list(run.metrics())
    total = run.clips.groupby("content").size()
    with_tokens = len(codebooks.stages(run)) > 0
    with_gpu = bool((run.timings["device"] != "cpu").any())
    rows = []
    groups = dict(tuple(frame[[*_NEEDED]].groupby(["content", "codec", "point"], sort=True)))
    means = {name: _means(frame, name, seed) for name in names}
    asked = {c: metrics_of(frame, names, c) for c in map(str, frame["content"].unique())}
    timings_of, tokens_of = _by_point(run.timings), _by_point(run.tokens)
    for point in run.points[run.points["unavailable"] == ""].to_dict("records"):
        content = point["content"]
        key = (content, point["codec"], point["point"])
        part = groups.get(key, frame.iloc[:0])
        row = {k: point[k] for k in ("content", "kind", "family", "codec", "note", "point", "mode", "kbps_nominal")}
        row |= _rate_and_delay(part, point["kind"] == "anchor")
        row["clips"] = int(total.get(content, 0))
        row["coded"] = int((part["status"] == "ok").sum())
        row["failures"] = int((part["status"] != "ok").sum())
        for name in asked.get(content, []):
            found = means[name].get(key, (math.nan, math.nan, math.nan, 0, 0, 0, False))
            row |= {f"{name}_{what}": value for what, value in zip(_MEAN, found, strict=True)}
        if with_tokens:
            row |= codebooks.of_point(tokens_of.get(key, run.tokens[:0]), part[part["status"] == "ok"])
        timings = timings_of.get(key, run.timings[:0])
        row |= times.of_point(timings)
        if with_gpu:
            row |= times.of_point_gpu(timings)
        rows.append(row)
    columns = ["content", "kind", "family", "codec", "note", "point", "mode", "kbps_nominal"]
    columns += [*_rate_and_delay(frame[:0], True), "clips", "coded", "failures"]
    used = [name for name in names if any(name in asked[c] for c in asked)]
    columns += [f"{name}_{what}" for name in used for what in _MEAN]
    columns += list(codebooks.of_point(run.tokens[:0], frame[:0])) if with_tokens else []
    columns += list(times.of_point(run.timings[:0]))
    columns += list(times.of_point_gpu(run.timings[:0])) if with_gpu else []
    table = pd.DataFrame(rows, columns=columns)
    if with_tokens:
        table = table.astype({"codebooks": "Int64", "codes": "Int64"})
    table["kbps_nominal"] = table["kbps_nominal"].astype("float64")
    for name in used:
        for what, kind in (("n", "Int64"), ("clusters", "Int64"), ("scored", "Int64"), ("common", "boolean")):
            table[f"{name}_{what}"] = table[f"{name}_{what}"].astype(kind)
    order = ["_content", "_kind", "family", "codec", "kbps", "kbps_nominal", "_label", "point"]
    table["_content"] = table["content"].map({"speech": 0, "music": 1}).fillna(2)
    table["_kind"] = (table["kind"] != "codec").astype(int)
    # Points without a rate stand in the order of the number in their label: pcm 8, 12, 16.
    table["_label"] = table["point"].str.extract(r"(-?\d+(?:\.\d+)?)", expand=False).astype("float64")
    return table.sort_values(order, kind="stable", ignore_index=True)[columns]


def tokens(run_dir: Path) -> pd.DataFrame:
    """One row a stage of each point whose codec has codebooks; see `codebooks.stages`."""
    return codebooks.stages(read(run_dir))


def _by_point(table: pd.DataFrame) -> dict[tuple[str, str, str], pd.DataFrame]:
    """The rows of a table of points, by content, codec and point."""
    return dict(tuple(table.groupby(["content", "codec", "point"])))


def _rate_and_delay(part: pd.DataFrame, anchor: bool) -> dict[str, float]:
    coded = part[part["status"] == "ok"]
    seconds = float(coded["coded_seconds"].sum())
    frames = coded["frame_samples"].astype("float64")
    rate = coded["native_rate"].astype("float64")
    delay = (frames + coded["delay_samples"].astype("float64")) / rate * 1000
    fixed = not anchor and len(coded) > 0 and bool((frames > 0).all())
    return {
        "kbps": math.nan if anchor or seconds <= 0 else float(coded["bits"].sum()) / seconds / 1000,
        "setup_bytes": math.nan if anchor or coded.empty else float(coded["setup_bits"].mean()) / 8,
        "delay_ms": float(delay.max(skipna=False)) if fixed else math.nan,
        "frame_ms": float((frames / rate * 1000).max(skipna=False)) if fixed else math.nan,
    }


def _means(frame: pd.DataFrame, name: str, seed: int) -> dict[tuple[str, str, str], tuple[Any, ...]]:
    """What `_MEAN` names, of a metric, for each (content, codec, point) with a row."""
    scored = frame.loc[frame[name].notna(), ["content", "codec", "point", "corpus", "clip", "speaker", name]]
    scored = scored.reset_index(drop=True)
    clip, point, cluster = ids(scored, _CLIP_KEY), ids(scored, _POINT_KEY), clusters(scored)
    values = scored[name].to_numpy(np.float64)
    common = {content: _common(point[rows], clip[rows]) for content, rows in scored.groupby("content").indices.items()}
    found = {}
    for key, rows in scored.groupby(["content", "codec", "point"]).indices.items():
        points, clips = common[key[0]]
        takes_part = bool(np.isin(point[rows[:1]], points).any())
        used = rows[np.isin(clip[rows], clips)] if takes_part else rows
        m = statistics.mean(values[used], cluster[used].tolist(), seed)
        found[key] = (m.value, m.low, m.high, m.n, m.clusters, len(rows), takes_part)
    return found
