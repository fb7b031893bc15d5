"""What the sections verdict, BD-rate and ranking show for a content and a metric, as text."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..bench.bdrate import METHOD, Delta
from . import verdict
from .analysis import Analysis, Pair
from .cells import Metric
from .numbers import MISSING, kbps, number

if TYPE_CHECKING:
    from .view import View

#: what a reason of `bdrate` says, in a word or two for its cell
_SHORT = {
    "fewer than": "few points",
    "in common": "no overlap",
    "share": "little overlap",
    "does not get better": "not rising",
    "two points at": "same rate",
    "missing or infinite": "no mean",
    "measured rate": "no rate",
}


@dataclass(frozen=True)
class BdCell:
    """A BD-rate: value and interval, or a short reason; `why` has the whole reason. side: "good-side" or
    "bad-side" where the interval leaves out zero."""

    value: str
    interval: str
    short: str
    why: str
    side: str


@dataclass(frozen=True)
class BdTable:
    """Codecs in rows against codecs in columns; `left_out`: those that no cell could be computed of, and why."""

    anchors: tuple[str, ...]
    rows: tuple[tuple[str, tuple[BdCell | None, ...]], ...]
    left_out: tuple[str, ...]
    method: str = METHOD


@dataclass(frozen=True)
class Ranked:
    """A line of the ranking; `left` and `width` place the rank interval on a scale of 0 to 100."""

    name: str
    kbps: str
    mean: str
    interval: str
    rank: str
    left: float
    width: float


@dataclass(frozen=True)
class Panel:
    """All of it for one content and metric."""

    content: str
    metric: Metric
    clips: int
    groups: int
    sentences: tuple[str, ...]
    matched: tuple[tuple[str, ...], tuple[verdict.Row, ...]]
    bd: BdTable
    gain: BdTable
    ranking: tuple[Ranked, ...]
    resolution: str


def panels(view: View, analyses: list[Analysis]) -> dict[str, list[Panel]]:
    """Panels by content."""
    found: dict[str, list[Panel]] = {}
    for a in analyses:
        found.setdefault(a.content, []).append(_panel(view, a))
    return found


def _panel(view: View, a: Analysis) -> Panel:
    names = [f"{codec} {point}" for codec, point in a.points]
    unit = str(a.metric.about.get("unit") or "")
    sentences = verdict.matches(a.matches)
    if not a.neural:
        sentences.append("No codec with codebooks has scores here, so none is matched to a classic one.")
    elif len(a.neural) == len(a.curves):
        sentences.append("No classic codec has scores here, so no rate is matched.")
    sentences.append(verdict.best(a.ranking, names, a.metric.title))
    resolution = verdict.resolution(a.ranking, a.metric.digits, unit)
    heads, rows = verdict.table(a.matches)
    return Panel(
        content=a.content,
        metric=a.metric,
        clips=a.clips,
        groups=a.ranking.clusters,
        sentences=tuple(filter(None, [*sentences, resolution])),
        matched=(tuple(heads), tuple(rows)),
        bd=_bd_table(a, a.deltas, _percent, lower=True),
        gain=_bd_table(a, a.gains, _signed(a.metric.digits), lower=not a.metric.higher_is_better),
        ranking=_ranking(view, a, names),
        resolution=resolution,
    )


def _bd_table(a: Analysis, deltas: dict[Pair, Delta], text: Callable[[float], str], lower: bool) -> BdTable:
    """lower: whether negative deltas are the good ones."""
    codecs = list(a.curves)
    flaws = {}
    for codec in codecs:
        mine = [d for pair, d in deltas.items() if codec in pair]
        own = [d.reason for d in mine if d.reason.startswith(f"{codec} ")]
        if own and all(math.isnan(d.value) for d in mine):
            flaws[codec] = own[0]
    shown = [codec for codec in codecs if codec not in flaws]
    if len(shown) == 1:
        flaws[shown[0]] = f"{shown[0]} has no other codec to be held against"
        shown = []
    rows = [(t, tuple(None if t == b else _bd_cell(deltas[t, b], text, lower) for b in shown)) for t in shown]
    return BdTable(tuple(shown), tuple(rows), tuple(flaws[codec] for codec in codecs if codec in flaws))


def _bd_cell(d: Delta, text: Callable[[float], str], lower: bool) -> BdCell:
    if math.isnan(d.value):
        short = next((short for part, short in _SHORT.items() if part in d.reason), "none")
        return BdCell(MISSING, "", short, d.reason, "")
    sure = not math.isnan(d.low)
    sign = -1 if sure and d.high < 0 else 1 if sure and d.low > 0 else 0
    side = "" if not sign else "good-side" if (sign < 0) == lower else "bad-side"
    interval = f"{text(d.low)} to {text(d.high)}".replace(" %", "") if sure else ""
    why = "; ".join(filter(None, [d.reason, d.note]))
    return BdCell(text(d.value) + ("*" if d.note else ""), interval, "" if sure else "no interval", why, side)


def _percent(value: float) -> str:
    """A signed percentage: "+12 %", "−3.4 %"; a digit behind the point below ten."""
    return f"{_signed(1 if abs(value) < 9.95 else 0)(value)} %"


def _signed(digits: int) -> Callable[[float], str]:
    def text(value: float) -> str:
        plain = number(value, digits)
        return f"+{plain}" if value > 0 and float(plain) else plain

    return text


def _ranking(view: View, a: Analysis, names: list[str]) -> tuple[Ranked, ...]:
    summary = view.summary[view.summary["content"] == a.content]
    rows = {(r["codec"], r["point"]): r for r in summary.to_dict("records")}
    name, digits, total = a.metric.name, a.metric.digits, len(a.points)
    lines = []
    for i in a.ranking.order:
        row = rows[a.points[i]]
        best, worst = int(a.ranking.best[i]), int(a.ranking.worst[i])
        low, high = row[f"{name}_lo"], row[f"{name}_hi"]
        lines.append(
            Ranked(
                name=names[i],
                kbps=kbps(row["kbps"]),
                mean=number(row[f"{name}_mean"], digits),
                interval="" if math.isnan(low) else f"{number(low, digits)} to {number(high, digits)}",
                rank=str(best) if best == worst else f"{best}–{worst}",
                left=round(100 * (best - 1) / total, 2),
                width=round(100 * (worst - best + 1) / total, 2),
            )
        )
    return tuple(lines)
