"""Which clips of a run one should hear, and which operating points of them first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .numbers import number

if TYPE_CHECKING:
    import pandas as pd

    from .cells import Metric
    from .view import View

#: codecs named in a clip's `why`; the rest are counted
_NAMED = 4


class ClipError(Exception):
    """A clip was asked for that the run does not have; the message says how to name one."""


@dataclass(frozen=True)
class Choice:
    """A clip to be heard: `why` in words, and the (codec, point) that it was chosen for, if any."""

    corpus: str
    clip: str
    content: str
    why: str
    point: tuple[str, str] | None = None


def choose(view: View, wanted: int | Sequence[str]) -> list[Choice]:
    """The clips to hear, content by content, the most telling first.

    Parameters
    ----------
    wanted : how many of each content: the worst clips of every codec, then one typical clip; or the ids of the clips,
        CLIP or CORPUS/CLIP.

    Raises
    ------
    ClipError : an id that is not in the run.
    """
    if isinstance(wanted, int):
        return [choice for content in view.contents for choice in _of_content(view, content, wanted)]
    return _named(view.run.clips, wanted)


def _named(clips: pd.DataFrame, wanted: Sequence[str]) -> list[Choice]:
    chosen: dict[tuple[str, str], Choice] = {}
    rows = clips.to_dict("records")
    for name in wanted:
        found = [row for row in rows if name in (row["clip"], f"{row['corpus']}/{row['clip']}")]
        if not found:
            known = ", ".join(row["clip"] for row in rows[:3])
            raise ClipError(f"no clip named {name!r} in this run; the column clip of scores.csv has them: {known}, ...")
        for row in found:
            key = (row["corpus"], row["clip"])
            chosen.setdefault(key, Choice(*key, row["content"], "asked for"))
    return list(chosen.values())


def _of_content(view: View, content: str, count: int) -> list[Choice]:
    rows = view.frame[(view.frame["content"] == content) & (view.frame["status"] == "ok")]
    clips = list(dict.fromkeys(zip(rows["corpus"], rows["clip"], strict=True)))
    metric = next((m for m in view.metrics_of(content) if _scored(rows, m)["codec"].any()), None)
    if metric is None:
        return [Choice(*clip, content, "no codec has a score here: in the run's order") for clip in clips[:count]]
    drops = _drops(_scored(rows, metric), metric)
    worst = _worst(drops, metric, content, count - 1 if len(clips) >= count > 1 else count)
    taken = {(choice.corpus, choice.clip) for choice in worst}
    rest = _typical(drops, metric, content, taken) if len(worst) < count else []
    return [*worst, *rest]


def _scored(rows: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Rows of codecs with a finite score of a metric that has a better side."""
    if metric.higher_is_better is None:
        return rows.iloc[:0]
    return rows[rows[metric.name].abs().lt(math.inf) & (rows["kind"] != "anchor")]


def _drops(scored: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """corpus, clip, codec, point, drop: how much worse the score is than the mean of its codec and point."""
    mean = scored.groupby(["codec", "point"])[metric.name].transform("mean")
    drop = (mean - scored[metric.name]) * (1 if metric.higher_is_better else -1)
    return scored[["corpus", "clip", "codec", "point"]].assign(drop=drop)


def _worst(drops: pd.DataFrame, metric: Metric, content: str, count: int) -> list[Choice]:
    """The worst clip of each codec (at the point where it drops most), then each codec's second worst, and so on.

    Within such a round: clips that are the worst of many codecs first, then those that drop most.
    """
    top = drops.sort_values(["drop", "corpus", "clip", "point"], ascending=[False, True, True, True], kind="stable")
    top = top.drop_duplicates(["codec", "corpus", "clip"])
    top = top.assign(round=top.groupby("codec").cumcount())
    chosen: dict[tuple[str, str], Choice] = {}
    for turn, rows in top.groupby("round", sort=True):
        groups = [(key, part) for key, part in rows.groupby(["corpus", "clip"], sort=True) if key not in chosen]
        for (corpus, clip), part in sorted(groups, key=lambda g: (-len(g[1]), -g[1]["drop"].max())):
            if len(chosen) >= count:
                return list(chosen.values())
            lead = part.iloc[0]
            side = "below" if metric.higher_is_better else "above"
            why = (
                f"{_ordinal(int(turn))} of {_list(list(part['codec']))}: {metric.title} of {lead['codec']} "
                f"{lead['point']} is {number(lead['drop'], metric.digits)} {side} its mean"
            )
            chosen[corpus, clip] = Choice(corpus, clip, content, why, (lead["codec"], lead["point"]))
    return list(chosen.values())


def _typical(drops: pd.DataFrame, metric: Metric, content: str, taken: set[tuple[str, str]]) -> list[Choice]:
    """The clip nearest to the means, of those that have the most scores."""
    groups = drops.assign(far=drops["drop"].abs()).groupby(["corpus", "clip"], sort=True)["far"].agg(["mean", "size"])
    groups = groups[[key not in taken for key in groups.index]]
    if groups.empty:
        return []
    corpus, clip = groups[groups["size"] == groups["size"].max()]["mean"].idxmin()
    return [Choice(corpus, clip, content, f"typical: nearest to the codecs' means of {metric.title}")]


def _ordinal(turn: int) -> str:
    names = ("worst", "second worst", "third worst")
    return names[turn] if turn < len(names) else f"number {turn + 1} from the worst"


def _list(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:_NAMED])} and {more} more"


def order_of_points(summary: pd.DataFrame) -> list[tuple[str, str]]:
    """The (codec, point) pairs of one content, such that any first few compare families at similar rates.

    Each codec gives the point whose measured rate is nearest to the middle of all rates, families taking turns; then
    each its second nearest, and so on. Points without a rate (anchors) come after the others of their round.
    """
    rates = summary["kbps"].dropna()
    middle = math.log(rates.median()) if len(rates) and rates.median() > 0 else 0.0
    codecs: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for row in summary.to_dict("records"):
        known = row["kbps"] > 0
        distance = abs(math.log(row["kbps"]) - middle) if known else math.inf
        codecs.setdefault((row["family"], row["codec"]), []).append((distance, row["point"]))
    seen: dict[str, int] = {}  # codecs of a family so far: the second one waits until each family had its turn
    ranked = []
    for (family, codec), points in codecs.items():
        turn = seen.setdefault(family, 0)
        seen[family] += 1
        points.sort(key=lambda p: p[0])
        ranked += [((k, math.isinf(d), turn, d), (codec, point)) for k, (d, point) in enumerate(points)]
    return [pair for _, pair in sorted(ranked, key=lambda r: r[0])]
