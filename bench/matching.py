"""At which rate one codec reaches the quality of another one's operating point.

The curve of mean quality over log10 of the rate is joined by pchip and read at the point's mean quality. Curve and
point are resampled together, so the interval knows that both were measured on the same items. In a draw where the point
is better than all of the curve the rate lies above the curve, at an unknown place, and likewise below it; where the
curve passes the quality more than once, the rate lies between the first and the last time. An interval with more of
such draws than its tail is open at that end. What may be claimed follows from the interval alone:

- `matches`: both ends are on the curve.
- `at_least`, `at_most`: only the low, or only the high end is; the other lies beyond the curve.
- `above_all`, `below_all`: the point is better, or worse, than every point of the curve.
- `undecided`: none of these, with the reason.

The 95 % are those of each statement, not of all statements of a page together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .curves import Curve, Floats, crossings

Kind = Literal["matches", "at_least", "at_most", "above_all", "below_all", "undecided"]


@dataclass(frozen=True)
class Match:
    """What the intervals carry about a point and a curve.

    Attributes
    ----------
    point, curve : the names of their codecs.
    kind : see the module's docstring.
    point_rate : measured rate of the point, kbit/s.
    rate, low, high : rate at which the curve reaches the point's quality, kbit/s, and its 95 % interval; NaN where it
        lies beyond the curve or is not known, never infinite.
    ratio, ratio_low, ratio_high : rate of the point / that rate, with its interval; below 1 the point needs fewer bits.
        `ratio_low` is NaN with `high`, `ratio_high` with `low`.
    reason : of `undecided`; empty otherwise.
    """

    point: str
    curve: str
    kind: Kind
    point_rate: float
    rate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    ratio: float = math.nan
    ratio_low: float = math.nan
    ratio_high: float = math.nan
    reason: str = ""


def match(point: Curve, curve: Curve) -> Match:
    """The statement about a point (a curve of one point, see `Curve.only`) and a curve of any number of points.

    Raises
    ------
    ValueError : measured on other items, scores with other directions, or `point` is not one point.
    """
    if point.bootstrap is not curve.bootstrap or point.sign != curve.sign:
        raise ValueError(f"{point.name} and {curve.name} were not measured on the same items with the same draws")
    if len(point.rate) != 1:
        raise ValueError(f"{point.name} has {len(point.rate)} points; match takes one, see Curve.only")
    own = float(point.rate[0])
    if reason := point.flaw() or curve.flaw():
        return Match(point.name, curve.name, "undecided", own, reason=reason)
    first, last = crossings(np.log10(curve.rate)[None], curve.quality[None], point.quality)
    if first[0] < last[0]:
        reason = curve.tie() or f"{curve.name} passes this quality more than once"
        return Match(point.name, curve.name, "undecided", own, reason=reason)
    rate = _rate(float(first[0]))
    if not curve.bootstrap.clusters:
        reason = "too few items for an interval"
        return Match(point.name, curve.name, "undecided", own, rate, ratio=own / rate, reason=reason)

    first, last = crossings(np.log10(curve.rates), curve.qualities, point.qualities[:, 0])
    low, high = _interval(first, last, curve.bootstrap.tail)
    kind = _kind(low, high)
    mine = np.log10(point.rates[:, 0])
    ratio_low, ratio_high = _interval(mine - last, mine - first, curve.bootstrap.tail)
    return Match(
        point.name,
        curve.name,
        kind,
        own,
        rate=rate,
        low=_rate(low),
        high=_rate(high),
        ratio=own / rate,
        ratio_low=_rate(ratio_low),
        ratio_high=_rate(ratio_high),
        reason=f"the interval is wider than all of {curve.name}" if kind == "undecided" else "",
    )


def verdict(codecs: Iterable[Curve], references: Iterable[Curve]) -> list[Match]:
    """The statement about each point of each codec and each reference curve, in this order."""
    curves = list(references)
    return [match(codec.only(i), curve) for codec in codecs for i in range(len(codec.rate)) for curve in curves]


def _kind(low: float, high: float) -> Kind:
    if low == math.inf:
        return "above_all"
    if high == -math.inf:
        return "below_all"
    if math.isfinite(low):
        return "matches" if math.isfinite(high) else "at_least"
    return "at_most" if math.isfinite(high) else "undecided"


def _interval(low: Floats, high: Floats, tail: float) -> tuple[float, float]:
    """Quantiles taken outwards to the next draw: between a rate and one beyond the curve there is nothing."""
    last = len(low) - 1
    return float(np.sort(low)[math.floor(tail * last)]), float(np.sort(high)[math.ceil((1 - tail) * last)])


def _rate(log: float) -> float:
    return 10**log if math.isfinite(log) else math.nan
