"""What the page says beyond means: curves, Bjontegaard deltas, a ranking and matches, for a content and a metric.

All of it is over the same clips as the means of the summary (see `frame.on_intersection`); anchors have no rate and
take no part. The statistics themselves are in `bench/`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from ..bench import bdrate, matching, ranking, statistics
from ..bench.curves import Curve, measure
from . import frame as tables
from .cells import Metric

if TYPE_CHECKING:
    import pandas as pd

    from .view import View

Pair = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Analysis:
    """Of one content by one metric that has a better side.

    Attributes
    ----------
    clips : in every mean.
    points : (codec, point) in the order of `ranking`'s arrays.
    curves : one a codec, in the summary's order.
    deltas, gains : (test, anchor) -> BD-rate and BD-metric, for each two codecs.
    matches : each point of the neural codecs against each curve of the classic ones.
    """

    content: str
    metric: Metric
    clips: int
    points: tuple[Pair, ...]
    curves: dict[str, Curve]
    ranking: ranking.Ranking
    deltas: dict[Pair, bdrate.Delta]
    gains: dict[Pair, bdrate.Delta]
    matches: tuple[matching.Match, ...]
    neural: tuple[str, ...]


def neural(view: View) -> set[str]:
    """The codecs that send codes of codebooks, as far as the run counted them."""
    return set(view.stages["codec"])


def analyses(view: View) -> list[Analysis]:
    """One a content and metric, in the order of the page; metrics without a better side have none."""
    found = []
    for content in view.contents:
        part = view.frame[view.frame["content"] == content]
        for metric in view.metrics_of(content):
            if metric.higher_is_better is not None and (analysis := _analysis(view, part, content, metric)):
                found.append(analysis)
    return found


def _analysis(view: View, part: pd.DataFrame, content: str, metric: Metric) -> Analysis | None:
    rows = tables.on_intersection(part, metric.name)
    rows = rows[rows["kind"] == "codec"]
    if rows.empty:
        return None
    seed, better = int(view.run.info.get("seed") or 0), bool(metric.higher_is_better)
    rows = rows.sort_values(["codec", "point", "corpus", "clip"], kind="stable")
    clips = rows.drop_duplicates(["corpus", "clip"])
    shape = (-1, len(clips))
    points = rows.drop_duplicates(["codec", "point"])[["codec", "point"]].to_dict("records")
    names = [(p["codec"], p["point"]) for p in points]
    scores, bits, seconds = (
        rows[column].to_numpy(dtype=np.float64, na_value=math.nan).reshape(shape)
        for column in (metric.name, "bits", "coded_seconds")
    )
    groups = tables.clusters(clips).tolist()
    draws = statistics.bootstrap(len(clips), groups, seed)
    order = [c for c in dict.fromkeys(view.summary["codec"]) if c in {codec for codec, _ in names}]
    curves = {}
    for codec in order:
        mine = [i for i, (name, _) in enumerate(names) if name == codec]
        curves[codec] = measure(codec, scores[mine], bits[mine], seconds[mine], draws, better)
    counted = neural(view)
    sends_codes = [c for c in order if c in counted]
    return Analysis(
        content=content,
        metric=metric,
        clips=len(clips),
        points=tuple(names),
        curves=curves,
        ranking=ranking.rank(scores, groups, better, seed),
        deltas={(a, b): bdrate.bd_rate(curves[b], curves[a]) for a in order for b in order if a != b},
        gains=_gains(curves),
        matches=tuple(
            matching.verdict([curves[c] for c in sends_codes], [curves[c] for c in order if c not in sends_codes])
        ),
        neural=tuple(sends_codes),
    )


def _gains(curves: dict[str, Curve]) -> dict[Pair, bdrate.Delta]:
    """BD-metric of each two codecs; the other way round it is the same with the other sign."""
    gains = {}
    for anchor, test in combinations(curves, 2):
        gains[test, anchor] = delta = bdrate.bd_metric(curves[anchor], curves[test])
        gains[anchor, test] = replace(delta, value=-delta.value, low=-delta.high, high=-delta.low)
    return gains
