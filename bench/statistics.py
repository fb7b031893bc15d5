"""Means of scores with 95 % intervals, and paired differences.

The interval is a percentile bootstrap over clusters: clips of one speaker are not independent, so whole speakers are
drawn with replacement, and the mean is taken over their clips. A plain percentile interval is too narrow for the
8 to 30 clusters of a usual run; its quantiles are moved outwards by the factor that makes it agree with Student's t
on normal data (the "expanded percentile" interval of Hesterberg, "What Teachers Should Know About the Bootstrap",
The American Statistician 69 (2015), section 5.3).

With fewer than `MIN_CLUSTERS` speakers the clips are the clusters, and the interval then speaks of these speakers
alone. With fewer than `MIN_CLUSTERS` clips no bootstrap interval holds its 95 %, and it is NaN.

p-values are of Student's t test on the cluster-robust standard error, with the same clusters as the interval; a
bootstrap of 2000 draws cannot give the small ones that a correction for many comparisons needs. docs/statistics.md
has the formulas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Key = TypeVar("Key")

RESAMPLES = 2000
LEVEL = 0.95
MIN_CLUSTERS = 5
POWER = 0.8


@dataclass(frozen=True)
class Mean:
    """A mean with its interval.

    Attributes
    ----------
    value, low, high : NaN where there is none.
    n : values in the mean.
    clusters : independent groups that the interval is drawn from; 0 without an interval.
    """

    value: float
    low: float
    high: float
    n: int
    clusters: int


def mean(values: ArrayLike, clusters: Sequence[object] | None = None, seed: int = 0) -> Mean:
    """The mean of values [n] and its 95 % interval; deterministic for a seed.

    Parameters
    ----------
    values : no NaN: the caller leaves missing scores out and counts them. An infinite value (SI-SDR of identical
        signals) makes the mean infinite, and such a mean has no interval.
    clusters : for each value what it belongs to, such as its speaker; None: each value by itself.

    Raises
    ------
    ValueError : NaN among the values, or lengths that differ.
    """
    x = _checked(values)
    if not len(x):
        return Mean(math.nan, math.nan, math.nan, 0, 0)
    value = float(x.mean()) if np.isfinite(x).all() else _infinite(x)
    draws = bootstrap(len(x), clusters, seed)
    if not draws.clusters or not math.isfinite(value):
        return Mean(value, math.nan, math.nan, len(x), 0)
    low, high = draws.interval(draws.sums(x) / draws.sums(np.ones(len(x))))
    return Mean(value, low, high, len(x), draws.clusters)


def paired_difference(
    a: Mapping[Key, float], b: Mapping[Key, float], clusters: Mapping[Key, object] | None = None, seed: int = 0
) -> Mean:
    """Mean of a - b over the items that both have a finite score for, with its interval.

    Parameters
    ----------
    a, b : item -> score; NaN counts as missing.
    clusters : item -> its cluster.
    """
    values, labels = _paired(a, b, clusters)
    return mean(values, labels, seed)


def p_value(values: ArrayLike, clusters: Sequence[object] | None = None) -> float:
    """Two-sided p-value of the mean of values [n] being zero; NaN where `mean` has no interval.

    Student's t test with k - 1 degrees of freedom on the cluster-robust standard error, k clusters as in `mean`. At
    5 % it agrees with the interval up to the bootstrap's own noise. Values that are all equal have p = 0, or 1 if
    they are zero.
    """
    from scipy.special import stdtr

    x = _checked(values)
    error, k = standard_error(x, clusters)
    if math.isnan(error):
        return math.nan
    if error == 0:
        return float(x.mean() == 0)
    return float(2 * stdtr(k - 1, -abs(x.mean()) / error))


def paired_p_value(
    a: Mapping[Key, float], b: Mapping[Key, float], clusters: Mapping[Key, object] | None = None
) -> float:
    """`p_value` of a - b, over the same items as `paired_difference`."""
    return p_value(*_paired(a, b, clusters))


def standard_error(values: ArrayLike, clusters: Sequence[object] | None = None) -> tuple[float, int]:
    """Cluster-robust standard error of the mean of values [n], and k, the number of clusters; (NaN, 0) without.

    sqrt(k / (k - 1) * sum over clusters of (sum of residuals)^2) / n, so that clusters may have any sizes; with equal
    sizes it is the standard error of the cluster means. Cameron and Miller, "A Practitioner's Guide to Cluster-Robust
    Inference", Journal of Human Resources 50 (2015), sections II and VI.
    """
    x = _checked(values)
    members, k = _members(len(x), clusters)
    if k < MIN_CLUSTERS or not np.isfinite(x).all():
        return math.nan, 0
    residuals = np.bincount(members, weights=x - x.mean())
    return math.sqrt(k / (k - 1) * float(residuals @ residuals)) / len(x), k


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """p-values adjusted for their number by Holm's step-down method, in the same shape; NaN stays and is not counted.

    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6 (1979).
    """
    p = np.asarray(p_values, np.float64)
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p.ravel()))
    order = known[np.argsort(p.ravel()[known], kind="stable")]
    steps = p.ravel()[order] * np.arange(len(order), 0, -1)
    adjusted.ravel()[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def detectable(standard_error: ArrayLike, clusters: int, comparisons: int = 1) -> NDArray[np.float64]:
    """Smallest true difference that a paired comparison with this standard error finds in 80 % of runs.

    (t(1 - a / 2) + t(0.8)) * standard error, Student's t with clusters - 1 degrees of freedom, a = 5 % / comparisons:
    with the number of all comparisons this is the first and strictest step of Holm's method, and so holds whatever the
    other differences are. Bloom, "Minimum Detectable Effects", Evaluation Review 19 (1995).
    """
    from scipy.special import stdtrit

    errors = np.asarray(standard_error, np.float64)
    if clusters < MIN_CLUSTERS:
        return np.full(errors.shape, np.nan)
    alpha = (1 - LEVEL) / comparisons
    return np.asarray((stdtrit(clusters - 1, 1 - alpha / 2) + stdtrit(clusters - 1, POWER)) * errors)


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Resamples of n items by whole clusters; one object serves all that is measured on these items.

    Whatever is computed from `sums` of the same object (means of two codecs, their rates, a BD-rate) sees the same
    draws, and so keeps the pairing.

    Attributes
    ----------
    members : cluster of each item [n].
    clusters : how many there are; 0 where they are too few for an interval, and there are no draws then.
    weights : how often each cluster is drawn [RESAMPLES, clusters].
    tail : the probability below the interval.
    """

    members: NDArray[np.intp]
    clusters: int
    weights: NDArray[np.float64]
    tail: float

    def sums(self, values: ArrayLike) -> NDArray[np.float64]:
        """Sums of values [..., n] over the items of each draw [RESAMPLES, ...]; [0, ...] without draws."""
        x = np.asarray(values, np.float64)
        flat = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        if not self.clusters:
            return np.empty((0, *x.shape[:-1]))
        groups = [np.bincount(self.members, weights=row, minlength=self.clusters) for row in flat]
        sums = self.weights @ np.asarray(groups, np.float64).reshape(len(flat), self.clusters).T
        return np.asarray(sums.reshape(len(self.weights), *x.shape[:-1]))

    def interval(self, draws: NDArray[np.float64]) -> tuple[float, float]:
        """The 95 % interval of a statistic from its values in the draws [...]; NaN without draws."""
        if not len(draws):
            return math.nan, math.nan
        low, high = np.quantile(draws, [self.tail, 1 - self.tail])
        return float(low), float(high)


def bootstrap(n: int, clusters: Sequence[object] | None = None, seed: int = 0) -> Bootstrap:
    """The draws that `mean` uses for n values with these clusters and seed."""
    members, k = _members(n, clusters)
    if k < MIN_CLUSTERS:
        return Bootstrap(members, 0, np.empty((0, k)), math.nan)
    weights, tail = _draws(k, seed)
    return Bootstrap(members, k, weights, tail)


def _checked(values: ArrayLike) -> NDArray[np.float64]:
    x = np.asarray(values, np.float64)
    if np.isnan(x).any():
        raise ValueError("a missing score has no place in a mean; leave it out and count it")
    return x


def _paired(
    a: Mapping[Key, float], b: Mapping[Key, float], clusters: Mapping[Key, object] | None
) -> tuple[list[float], list[object] | None]:
    both = [key for key in a if key in b and math.isfinite(a[key]) and math.isfinite(b[key])]
    return [a[key] - b[key] for key in both], None if clusters is None else [clusters[key] for key in both]


def _infinite(x: NDArray[np.float64]) -> float:
    signs = set(np.sign(x[np.isinf(x)]).tolist())
    return math.nan if len(signs) > 1 else math.inf * signs.pop()


def _members(n: int, clusters: Sequence[object] | None) -> tuple[NDArray[np.intp], int]:
    """Cluster of each of n values, in order of first appearance, and their number; each value if they are too few."""
    if clusters is not None and len(clusters) != n:
        raise ValueError(f"{n} values but {len(clusters)} cluster labels")
    index: dict[object, int] = {}
    labels = [index.setdefault(cluster, len(index)) for cluster in clusters or ()]
    if len(index) < MIN_CLUSTERS:
        return np.arange(n), n
    return np.asarray(labels, np.intp), len(index)


@lru_cache(maxsize=8)
def _draws(k: int, seed: int) -> tuple[NDArray[np.float64], float]:
    """How often each of k clusters is drawn [RESAMPLES, k], and the probability below the interval."""
    from scipy.special import ndtr, stdtrit

    draws = np.random.default_rng(seed).multinomial(k, np.full(k, 1 / k), size=RESAMPLES)
    tail = float(ndtr(math.sqrt(k / (k - 1)) * stdtrit(k - 1, (1 - LEVEL) / 2)))
    return draws.astype(np.float64), tail
