"""The first thing on a page: what the run says, in sentences that claim what the intervals carry and no more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from ..bench.matching import Match
from ..bench.ranking import Ranking
from .numbers import kbps

#: sentences about matches that a verdict has at most; the table below it has them all
MOST = 5
#: names in a list; the rest are counted
NAMED = 4

#: what to tell first: a rate with two ends says more than one with one, and that more than "better than all"
_TELLING = {"matches": 0, "at_least": 1, "at_most": 1, "above_all": 2, "below_all": 3, "undecided": 4}


@dataclass(frozen=True)
class Row:
    """One point of a neural codec in the table of matches: cells by classic codec, a text and why there is none."""

    codec: str
    kbps: str
    cells: tuple[tuple[str, str], ...]


def rate(value: float) -> str:
    """An estimated rate, three digits: "9.81", "39.0", "128"."""
    return f"{value:#.3g}".removesuffix(".") if value < 1000 else f"{value:.0f}"


def matches(found: Sequence[Match], most: int = MOST) -> list[str]:
    """Which classic rate each point of a neural codec reaches, the most telling points first, codecs taking turns.

    A point that nothing can be said of is left out where another can be told of; where nothing can be told at all,
    there is one sentence with the reason.
    """
    points = [list(part) for _, part in groupby(found, lambda m: (m.point, m.point_rate))]
    told = [part for part in points if any(m.kind != "undecided" for m in part)]
    if not told:
        reasons = list(dict.fromkeys(m.reason for m in found))
        return [f"No rate is matched to another: {reasons[0]}."] if reasons else []
    turns: dict[str, int] = {}
    ranked = []
    for part in sorted(told, key=_order):
        turn = turns[part[0].point] = turns.get(part[0].point, 0) + 1
        ranked.append((turn, _order(part), part))
    ranked.sort(key=lambda r: (r[0], r[1]))
    said: dict[tuple[str, str], list[float]] = {}  # codec and what is said -> the rates that it is said of
    for _, _, part in ranked:
        said.setdefault((part[0].point, _predicate(part)), []).append(part[0].point_rate)
    return [
        f"{codec} at {listed([kbps(r) for r in sorted(rates)], len(rates))} kbit/s {predicate}."
        for (codec, predicate), rates in list(said.items())[:most]
    ]


def _order(part: list[Match]) -> tuple[float, ...]:
    kinds = [m.kind for m in part]
    return (
        -kinds.count("matches"),
        -sum(_TELLING[k] == 1 for k in kinds),
        -kinds.count("above_all"),
        part[0].point_rate,
    )


def _predicate(part: list[Match]) -> str:
    """What is known of one point: the rates that are known best first, and no more names than one can read."""
    part = sorted(part, key=lambda m: (_TELLING[m.kind], m.high / m.low if m.kind == "matches" else 0))
    like = [_reached(m) for m in part if _TELLING[m.kind] < 2]
    above = [m.curve for m in part if m.kind == "above_all"]
    below = [m.curve for m in part if m.kind == "below_all"]
    clauses = []
    if like:
        clauses.append(f"scores as {listed(like)}")
    if above:
        clauses.append(f"is above every point of {listed(above)}")
    if below:
        clauses.append(f"is below every point of {listed(below)}")
    return "; it ".join(clauses)


def _reached(m: Match) -> str:
    if m.kind == "matches":
        return f"{m.curve} at {rate(m.rate)} kbit/s ({rate(m.low)} to {rate(m.high)})"
    if m.kind == "at_least":
        return f"{m.curve} at {rate(m.low)} kbit/s or more"
    return f"{m.curve} at {rate(m.high)} kbit/s or less"


def table(found: Sequence[Match]) -> tuple[list[str], list[Row]]:
    """Classic codecs, and a row each point of the neural ones."""
    heads = list(dict.fromkeys(m.curve for m in found))
    rows = []
    for (codec, own), part in groupby(found, lambda m: (m.point, m.point_rate)):
        rows.append(Row(codec, kbps(own), tuple(map(_cell, part))))
    return heads, rows


def _cell(m: Match) -> tuple[str, str]:
    if m.kind == "matches":
        return rate(m.rate), f"{rate(m.low)} to {rate(m.high)}"
    texts = {
        "at_least": (f"≥ {rate(m.low)}", ""),
        "at_most": (f"≤ {rate(m.high)}", ""),
        "above_all": ("above all", ""),
        "below_all": ("below all", ""),
    }
    return texts.get(m.kind, ("–", m.reason))


def best(ranking: Ranking, names: Sequence[str], title: str) -> str:
    """The point with the best mean and those that cannot be told apart from it; empty where none has a mean."""
    order = [int(i) for i in ranking.order if math.isfinite(ranking.mean[i])]
    if len(order) < 2:
        return ""
    first, rest = order[0], order[1:]
    head = f"Best mean {title}: {names[first]}"
    if not ranking.clusters:
        return f"{head}; with so few clips it cannot be told apart from any other point."
    like = [names[i] for i in rest if not ranking.told_apart[first, i]]
    if not like:
        return f"{head}, told apart from every other point."
    if len(like) == len(rest):
        return f"{head}; it cannot be told apart from any other point."
    return f"{head}; it cannot be told apart from {listed(like)}."


def resolution(ranking: Ranking, digits: int, unit: str = "") -> str:
    """How fine the run can see, as medians over the pairs; empty without intervals."""
    order = ranking.order[np.isfinite(ranking.mean[ranking.order])]
    if not ranking.clusters or len(order) < 2:
        return ""
    apart = int(ranking.told_apart[order[:-1], order[1:]].sum())
    unit = f" {unit}" if unit else ""
    pairs, alike = len(order) - 1, len(order) - 1 - apart
    text = f"Of {pairs} pairs of neighbours in the ranking, {alike} cannot be told apart."
    if not alike:
        text = "Each point is told apart from the next in the ranking."
    smallest = ranking.smallest()
    if math.isnan(smallest):
        return text
    alone = ranking.smallest(corrected=False)
    return (
        f"{text} The smallest difference that such a run finds four times out of five is {amount(smallest, digits)}"
        f"{unit} among all pairs, {amount(alone, digits)}{unit} for one pair named beforehand."
    )


def amount(value: float, digits: int) -> str:
    """A positive difference; one more digit than a score where it would read as zero."""
    text = f"{value:.{digits}f}"
    return text if float(text) else f"{value:.1g}"


def listed(names: Sequence[str], most: int = NAMED) -> str:
    """ "a", "a and b", "a, b, c, d and 3 more"."""
    more = len(names) - most
    if more > 0:
        return f"{', '.join(names[:most])} and {more} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
