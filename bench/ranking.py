"""Ranking of operating points that were scored on the same items.

Points are compared in pairs: the mean difference over the items, its interval, and the p-value of a t test on it,
corrected by Holm's method for the number of pairs. A point's rank is an interval: from one more than the number of
points that are significantly better, to the number of points less those that are significantly worse. Two points that
cannot be told apart share ranks; a third one may be told apart from one of them and not from the other, which no list
of disjoint groups can say. Such intervals hold all true ranks at once with the confidence of the corrected tests:
Mogstad, Romano, Shaikh and Wilhelm, "Inference for Ranks with Applications to Mobility across Neighbourhoods and
Academic Achievement across Countries", Review of Economic Studies 91 (2024).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import statistics

ALPHA = 1 - statistics.LEVEL


@dataclass(frozen=True, eq=False)
class Ranking:
    """Points in the order that they were given in; `order` sorts them, best first.

    Attributes
    ----------
    order : indices of the points by mean, best first [points].
    mean : mean score [points].
    best, worst : the rank interval, 1 is the best rank [points].
    difference, low, high : mean of row - mean of column and its 95 % interval, not corrected for the number of pairs
        [points, points]; NaN where there is none.
    p : two-sided p-value of the difference, corrected for the number of pairs; NaN on the diagonal and where an
        infinite mean or too few items leave none: such a pair is not told apart.
    detectable : smallest true difference that a comparison of this pair finds in 80 % of runs if it is the only one.
    detectable_corrected : the same at the strictest step of the correction.
    pairs : comparisons corrected for.
    clusters : independent groups beneath the tests; 0: too few, nothing is told apart.
    """

    order: NDArray[np.intp]
    mean: NDArray[np.float64]
    best: NDArray[np.intp]
    worst: NDArray[np.intp]
    difference: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    p: NDArray[np.float64]
    detectable: NDArray[np.float64]
    detectable_corrected: NDArray[np.float64]
    pairs: int
    clusters: int

    @property
    def told_apart(self) -> NDArray[np.bool_]:
        """Whether a pair differs significantly [points, points]."""
        return self.p < ALPHA

    def smallest(self, corrected: bool = True) -> float:
        """The smallest difference that this run can see: the median over all pairs; NaN if there is none."""
        table = self.detectable_corrected if corrected else self.detectable
        known = table[~np.isnan(table)]
        return float(np.median(known)) if len(known) else math.nan


def rank(
    scores: ArrayLike, clusters: Sequence[object] | None = None, higher_is_better: bool = True, seed: int = 0
) -> Ranking:
    """Rank points by their scores [points, items].

    Parameters
    ----------
    scores : no NaN; every point has a score for every item. Infinite scores make a point's mean infinite, and it is
        not told apart from any other.
    clusters : for each item what it belongs to, as in `statistics.mean`.

    Raises
    ------
    ValueError : NaN among the scores, not two dimensions, or another number of labels than of items.
    """
    x = np.asarray(scores, np.float64)
    if x.ndim != 2:
        raise ValueError(f"scores must be [points, items], not of shape {x.shape}")
    if np.isnan(x).any():
        raise ValueError("a point without a score for every item cannot be ranked; take the items that all points have")
    points, items = x.shape
    with np.errstate(invalid="ignore"):  # inf and -inf of one point: its mean is NaN
        means = x.mean(axis=1) if items else np.full(points, np.nan)
    draws = statistics.bootstrap(items, clusters, seed)
    finite = np.flatnonzero(np.isfinite(x).all(axis=1)) if items else np.empty(0, np.intp)
    inside = np.ix_(finite, finite)

    difference, low, high, errors = (np.full((points, points), np.nan) for _ in range(4))
    difference[inside] = means[finite][:, None] - means[finite]
    low[inside], high[inside] = _intervals(x[finite], draws)
    errors[inside] = _standard_errors(x[finite], draws)
    p = _p_values(difference, errors, draws.clusters)
    for table in (low, high, errors):
        np.fill_diagonal(table, np.nan)
    pairs = int((~np.isnan(p)).sum()) // 2

    better = (p < ALPHA) & ((difference > 0) == higher_is_better)  # row is better than column
    return Ranking(
        order=np.argsort(-means if higher_is_better else means, kind="stable"),
        mean=means,
        best=1 + better.sum(axis=0),
        worst=points - better.sum(axis=1),
        difference=difference,
        low=low,
        high=high,
        p=p,
        detectable=statistics.detectable(errors, draws.clusters),
        detectable_corrected=statistics.detectable(errors, draws.clusters, max(pairs, 1)),
        pairs=pairs,
        clusters=draws.clusters,
    )


def _intervals(x: NDArray[np.float64], draws: statistics.Bootstrap) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each mean less each other mean, [points, points]."""
    low, high = np.full((2, len(x), len(x)), np.nan)
    if not draws.clusters:
        return low, high
    means = draws.sums(x) / draws.sums(np.ones(x.shape[1]))[:, None]
    for i in range(len(x) - 1):
        rest = means[:, i, None] - means[:, i + 1 :]
        low[i, i + 1 :], high[i, i + 1 :] = np.quantile(rest, [draws.tail, 1 - draws.tail], axis=0)
        low[i + 1 :, i], high[i + 1 :, i] = -high[i, i + 1 :], -low[i, i + 1 :]
    return low, high


def _standard_errors(x: NDArray[np.float64], draws: statistics.Bootstrap) -> NDArray[np.float64]:
    """`statistics.standard_error` of each difference [points, points]."""
    k = draws.clusters
    if not k:
        return np.full((len(x), len(x)), np.nan)
    residuals = [np.bincount(draws.members, weights=row - row.mean(), minlength=k) for row in x]
    e = np.asarray(residuals).reshape(len(x), k)
    # not by |a|^2 + |b|^2 - 2ab, which loses the small differences of points that are almost alike
    squares = np.asarray([((row - e) ** 2).sum(axis=1) for row in e]).reshape(len(x), len(x))
    return np.asarray(np.sqrt(k / (k - 1) * squares) / x.shape[1])


def _p_values(difference: NDArray[np.float64], errors: NDArray[np.float64], clusters: int) -> NDArray[np.float64]:
    from scipy.special import stdtr

    upper = np.triu_indices(len(difference), 1)
    d, error = np.abs(difference[upper]), errors[upper]
    p = np.full(d.shape, np.nan)
    some = error > 0
    p[some] = 2 * stdtr(clusters - 1, -d[some] / error[some])
    p[error == 0] = d[error == 0] == 0
    table = np.full(difference.shape, np.nan)
    table[upper] = statistics.holm(p)
    table[upper[::-1]] = table[upper]
    return table
