"""Bjontegaard deltas between two rate-quality curves: BD-rate and BD-metric, with bootstrap intervals.

BD-rate: how many percent more (positive) or fewer (negative) bits the test codec needs for the quality of the anchor,
averaged over the qualities that both reach. BD-metric: how much better the test codec scores at the anchor's rates,
averaged over the log of the rates that both have. Bjontegaard, "Calculation of average PSNR differences between
RD-curves", ITU-T VCEG-M33 (2001); by monotone piecewise cubic interpolation, as JCTVC-L1100 and JVET-T2010 have it. The
package `bjontegaard` computes the value; the draws of the interval go through `curves.integral`, all at once.

Where a number would mean nothing there is none, but the reason. A curve that falls only beyond the qualities that both
reach, as many do once a metric saturates, loses the points there, and `note` says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from .curves import Curve, Floats, integral

METHOD = "pchip"
MIN_POINTS = 4
#: least share of the narrower curve's range that both curves must cover
MIN_OVERLAP = 0.5
#: greatest share of draws that may have no delta; beyond it there is no interval
MAX_LEFT_OUT = 0.05


@dataclass(frozen=True)
class Delta:
    """A Bjontegaard delta.

    Attributes
    ----------
    value, low, high : BD-rate in percent, or BD-metric in the metric's unit, and the 95 % interval; NaN if absent,
        never infinite.
    method : interpolation.
    overlap : range that both curves cover / range of the narrower one, of quality for BD-rate, of log rate for
        BD-metric; 0 to 1, NaN where a curve has none.
    reason : why there is no value, or no interval; empty if both are there.
    left_out : share of the draws that have no delta (not monotone, no overlap) and are not in the interval.
    note : which points were not used, mostly empty.
    """

    value: float
    low: float
    high: float
    method: str
    overlap: float
    reason: str
    left_out: float = 0.0
    note: str = ""


def bd_rate(anchor: Curve, test: Curve) -> Delta:
    """BD-rate of test against anchor, in percent of the anchor's rate.

    Raises
    ------
    ValueError : curves of other items, or of metrics with other directions.
    """
    _check(anchor, test)
    if reason := _too_little(anchor) or _too_little(test):
        return Delta(math.nan, math.nan, math.nan, METHOD, math.nan, reason)
    overlap, reason = _overlap(anchor.quality, test.quality, "qualities")
    if reason:
        return Delta(math.nan, math.nan, math.nan, METHOD, overlap, reason)
    low, high = max(anchor.quality.min(), test.quality.min()), min(anchor.quality.max(), test.quality.max())
    kept = [curve.only(*_rising(curve.quality, low, high)) for curve in (anchor, test)]
    for curve, rest in zip((anchor, test), kept, strict=True):
        if reason := _too_little(rest):
            reason = f"{reason}, where it rises" if len(rest.rate) else _falls(curve)
            return Delta(math.nan, math.nan, math.nan, METHOD, overlap, reason)
    note = "; ".join(filter(None, map(_dropped, (anchor, test), kept)))
    anchor, test = kept

    import bjontegaard

    value = bjontegaard.bd_rate(
        anchor.rate, anchor.quality, test.rate, test.quality, METHOD, require_matching_points=False, min_overlap=0
    )
    draws = _draws(anchor.qualities, np.log10(anchor.rates), test.qualities, np.log10(test.rates))
    return replace(_delta(float(value), (10**draws - 1) * 100, overlap, anchor), note=note)


def bd_metric(anchor: Curve, test: Curve) -> Delta:
    """Mean score of test less that of anchor at the same rate, in the unit of the metric.

    It asks for rising rates only: a score may fall where the rate rises. Raises as `bd_rate`.
    """
    _check(anchor, test)
    if reason := _too_little(anchor) or _too_little(test):
        return Delta(math.nan, math.nan, math.nan, METHOD, math.nan, reason)
    overlap, reason = _overlap(np.log10(anchor.rate), np.log10(test.rate), "rates")
    if reason:
        return Delta(math.nan, math.nan, math.nan, METHOD, overlap, reason)

    import bjontegaard

    value = anchor.sign * bjontegaard.bd_psnr(
        anchor.rate, anchor.quality, test.rate, test.quality, METHOD, require_matching_points=False, min_overlap=0
    )
    draws = _draws(np.log10(anchor.rates), anchor.qualities, np.log10(test.rates), test.qualities)
    return _delta(float(value), anchor.sign * draws, overlap, anchor)


def _check(anchor: Curve, test: Curve) -> None:
    if anchor.bootstrap is not test.bootstrap:
        raise ValueError(f"{anchor.name} and {test.name} were not measured on the same items with the same draws")
    if anchor.sign != test.sign:
        raise ValueError(f"{anchor.name} and {test.name} have scores with other directions")


def _too_little(curve: Curve) -> str | None:
    if (n := len(curve.rate)) < MIN_POINTS:
        return f"{curve.name} has {n} point{'' if n == 1 else 's'}, fewer than {MIN_POINTS}"
    return curve.flaw() or curve.tie()


def _rising(quality: Floats, low: float, high: float) -> list[int]:
    """The points of the rising stretch that covers low to high, where no other point lies between these; else none."""
    for run in np.split(np.arange(len(quality)), np.flatnonzero(np.diff(quality) <= 0) + 1):
        before, after = quality[: run[0]], quality[run[-1] + 1 :]
        if quality[run[0]] <= low and quality[run[-1]] >= high and (before <= low).all() and (after >= high).all():
            return [int(i) for i in run]
    return []


def _falls(curve: Curve) -> str:
    i = int(np.flatnonzero(np.diff(curve.quality) <= 0)[0])
    return f"{curve.name} does not get better from {curve.rate[i]:.3g} to {curve.rate[i + 1]:.3g} kbps"


def _dropped(curve: Curve, kept: Curve) -> str:
    rates = [f"{rate:.3g}" for rate in curve.rate if rate not in kept.rate]
    return f"without {curve.name} at {', '.join(rates)} kbps" if rates else ""


def _overlap(a: Floats, b: Floats, what: str) -> tuple[float, str]:
    """Of two ranges, and the reason if it is too small."""
    shared = min(a.max(), b.max()) - max(a.min(), b.min())
    if shared <= 0:
        return 0.0, f"the curves have no {what} in common"
    share = float(shared / min(np.ptp(a), np.ptp(b)))
    if share < MIN_OVERLAP:
        return share, f"the curves share {share:.0%} of the narrower one's {what}, less than {MIN_OVERLAP:.0%}"
    return share, ""


def _draws(x_anchor: Floats, y_anchor: Floats, x_test: Floats, y_test: Floats) -> Floats:
    """Mean of the test curve less that of the anchor over their shared x in each draw; NaN where there is none."""
    low = np.maximum(x_anchor.min(axis=1), x_test.min(axis=1))
    high = np.minimum(x_anchor.max(axis=1), x_test.max(axis=1))
    rising = (np.diff(x_anchor) > 0).all(axis=1) & (np.diff(x_test) > 0).all(axis=1)
    good = rising & (high > low) & np.isfinite(y_anchor).all(axis=1) & np.isfinite(y_test).all(axis=1)
    out = np.full(len(good), np.nan)
    low, high = low[good], high[good]
    test = integral(x_test[good], y_test[good], low, high)
    out[good] = (test - integral(x_anchor[good], y_anchor[good], low, high)) / (high - low)
    return out


def _delta(value: float, draws: Floats, overlap: float, anchor: Curve) -> Delta:
    if not anchor.bootstrap.clusters:
        return Delta(value, math.nan, math.nan, METHOD, overlap, "too few items for an interval")
    good = draws[~np.isnan(draws)]
    left_out = 1 - len(good) / len(draws)
    if left_out > MAX_LEFT_OUT:
        reason = f"no interval: in {left_out:.0%} of the draws a curve is not monotone or they do not overlap"
        return Delta(value, math.nan, math.nan, METHOD, overlap, reason, left_out)
    low, high = anchor.bootstrap.interval(good)
    return Delta(value, low, high, METHOD, overlap, "", left_out)
