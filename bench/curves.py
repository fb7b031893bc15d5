"""Rate-quality curves with their bootstrap draws, and their interpolation.

Quality over log10 of the rate, or log10 of the rate over quality, is joined by monotone piecewise cubic Hermite
interpolation (pchip), as in the common test conditions of JCT-VC and JVET. `slopes`, `integral` and `crossings` do
for a whole stack of resampled curves at once what scipy.interpolate.PchipInterpolator does for one; the tests hold them
against it. Slopes: Fritsch and Butland, "A Method for Constructing Local Monotone Piecewise Cubic Interpolants", SIAM
Journal on Scientific and Statistical Computing 5 (1984).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .statistics import Bootstrap

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curve:
    """Operating points of one codec, or one family of codecs, on the items of `bootstrap`, by rising rate.

    Attributes
    ----------
    rate, quality : measured kbit/s and mean quality [points]; a larger quality is better.
    rates, qualities : the same in each draw [draws, points]; [0, points] where there are too few clusters.
    sign : score = sign * quality; -1 for a metric whose low scores are good.
    """

    name: str
    rate: Floats
    quality: Floats
    rates: Floats
    qualities: Floats
    sign: int
    bootstrap: Bootstrap

    def only(self, *index: int) -> Curve:
        """The curve of these points alone."""
        i = list(index)
        rates, qualities = self.rates[:, i], self.qualities[:, i]
        return Curve(self.name, self.rate[i], self.quality[i], rates, qualities, self.sign, self.bootstrap)

    def flaw(self) -> str | None:
        """Why nothing can be computed from this curve, or None."""
        if not len(self.rate):
            return f"{self.name} has no point"
        if not np.isfinite(self.quality).all():
            return f"{self.name} has a point whose mean score is missing or infinite"
        if not all((np.isfinite(rate) & (rate > 0)).all() for rate in (self.rate, self.rates)):
            return f"{self.name} has a point without a measured rate, or with items that have none"
        return None

    def tie(self) -> str | None:
        """Why the curve cannot be joined, or None."""
        same = np.flatnonzero(np.diff(self.rate) <= 0)
        return f"{self.name} has two points at {self.rate[same[0]]:.3g} kbps" if len(same) else None


def measure(
    name: str,
    scores: ArrayLike,
    bits: ArrayLike,
    seconds: ArrayLike,
    bootstrap: Bootstrap,
    higher_is_better: bool = True,
) -> Curve:
    """A curve from the scores of points on items.

    Parameters
    ----------
    scores : [points, items], mean over the items is the quality. NaN makes the curve one with a flaw, nothing is
        left out.
    bits, seconds : coded bits and seconds, [points, items]; their sums' ratio is the rate.
    bootstrap : of these items; curves that are compared share it.

    Raises
    ------
    ValueError : shapes that differ.
    """
    sign = 1 if higher_is_better else -1
    s, b, t = (np.asarray(array, np.float64) for array in (scores, bits, seconds))
    if s.ndim != 2 or not s.shape == b.shape == t.shape or s.shape[1] != len(bootstrap.members):
        items = len(bootstrap.members)
        raise ValueError(
            f"{name}: scores, bits, seconds must be [points, {items}]; are {s.shape}, {b.shape}, {t.shape}"
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = b.sum(axis=1) / t.sum(axis=1) / 1000
        rates = bootstrap.sums(b) / bootstrap.sums(t) / 1000
        quality = sign * s.sum(axis=1) / s.shape[1]
        qualities = sign * bootstrap.sums(s) / bootstrap.sums(np.ones(s.shape[1]))[:, None]
    order = np.argsort(rate, kind="stable")
    return Curve(name, rate[order], quality[order], rates[:, order], qualities[:, order], sign, bootstrap)


def slopes(x: Floats, y: Floats) -> Floats:
    """Slopes of pchip at the points of curves x, y [..., points], x rising, at least two points."""
    h, rise = np.diff(x), np.diff(y)
    m = rise / h
    if m.shape[-1] == 1:
        return np.concatenate([m, m], axis=-1)
    h0, h1, m0, m1 = h[..., :-1], h[..., 1:], m[..., :-1], m[..., 1:]
    w0, w1 = h0 + 2 * h1, 2 * h0 + h1
    same = (np.sign(m0) == np.sign(m1)) & (m0 != 0)
    safe0, safe1 = np.where(same, m0, 1), np.where(same, m1, 1)
    inner = np.where(same, (w0 + w1) / (w0 / safe0 + w1 / safe1), 0)
    first = _end(h[..., 0], h[..., 1], m[..., 0], m[..., 1])
    last = _end(h[..., -1], h[..., -2], m[..., -1], m[..., -2])
    return np.concatenate([first[..., None], inner, last[..., None]], axis=-1)


def _end(h0: Floats, h1: Floats, m0: Floats, m1: Floats) -> Floats:
    """Three-point slope at an end, kept from overshooting."""
    d = ((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1)
    d = np.where(np.sign(d) != np.sign(m0), 0, d)
    return np.where((np.sign(m0) != np.sign(m1)) & (np.abs(d) > 3 * np.abs(m0)), 3 * m0, d)


def integral(x: Floats, y: Floats, low: Floats, high: Floats) -> Floats:
    """Integral of pchip from low to high [...], within the range of x [..., points]."""
    h, d = np.diff(x), slopes(x, y)

    def antiderivative(at: Floats) -> Floats:
        t = np.clip((at[..., None] - x[..., :-1]) / h, 0, 1)
        t2, t3, t4 = t**2, t**3, t**4
        ends = y[..., :-1] * (t - t3 + t4 / 2) + y[..., 1:] * (t3 - t4 / 2)
        tangents = d[..., :-1] * (t2 / 2 - 2 * t3 / 3 + t4 / 4) + d[..., 1:] * (t4 / 4 - t3 / 3)
        return np.asarray((h * (ends + h * tangents)).sum(axis=-1))

    return np.asarray(antiderivative(high) - antiderivative(low))


def crossings(x: Floats, y: Floats, level: Floats) -> tuple[Floats, Floats]:
    """Where pchip through x, y [n, points] first reaches level [n], and from where on it stays at or above it.

    Both are one place where the curve rises through the level once. -inf: it is above the level from its first point
    on; inf: it never reaches it, or does not keep it to its last point. Where x does not rise nothing is known but
    whether all points are above or below the level; else it is -inf and inf.
    """
    q = level[:, None]
    reached = y >= q
    rises = ~reached[:, :-1] & reached[:, 1:]
    start = np.where(y[:, 0] == level, x[:, 0], -np.inf)
    first = np.where(reached[:, 0], start, np.inf)
    last = np.where(reached.all(axis=1), start, np.inf)
    unknown = (np.diff(x) <= 0).any(axis=1)
    some = rises.any(axis=1) & ~unknown
    begins, ends = some & ~reached[:, 0], some & reached[:, -1]
    if begins.any():
        first[begins] = _solve(x[begins], y[begins], level[begins], rises[begins].argmax(axis=1))
    if ends.any():
        piece = rises.shape[1] - 1 - rises[ends][:, ::-1].argmax(axis=1)
        last[ends] = _solve(x[ends], y[ends], level[ends], piece)
    first[unknown & reached.any(axis=1)] = -np.inf
    last[unknown & ~(y > q).all(axis=1)] = np.inf
    return first, last


def _solve(x: Floats, y: Floats, level: Floats, piece: NDArray[np.intp]) -> Floats:
    """Where each curve reaches its level within this piece of it, in which it rises."""
    pick = np.arange(len(x))
    h, d = np.diff(x)[pick, piece], slopes(x, y)
    y0, rise = y[pick, piece], np.diff(y)[pick, piece]
    d0, d1 = h * d[pick, piece], h * d[pick, piece + 1]
    low, high = np.zeros(len(x)), np.ones(len(x))
    for _ in range(45):  # monotone: halve it down to the precision of a float
        t = (low + high) / 2
        below = y0 + t * (d0 + t * (3 * rise - 2 * d0 - d1 + t * (d0 + d1 - 2 * rise))) < level
        low, high = np.where(below, t, low), np.where(below, high, t)
    return np.asarray(x[pick, piece] + h * high)
