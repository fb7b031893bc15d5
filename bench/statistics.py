"""Means of scores with 95 % intervals, and paired differences.

The interval is a percentile bootstrap over clusters: clips of one speaker are not independent, so whole speakers are
drawn with replacement, and the mean is taken over their clips. A plain percentile interval is too narrow for the
8 to 30 clusters of a usual run; its quantiles are moved outwards by the factor that makes it agree with Student's t
on normal data (the "expanded percentile" interval of Hesterberg, "What Teachers Should Know About the Bootstrap",
The American Statistician 69 (2015), section 5.3).

With fewer than `MIN_CLUSTERS` speakers the clips are the clusters, and the interval then speaks of these speakers
alone. With fewer than `MIN_CLUSTERS` clips no bootstrap interval holds its 95 %, and it is NaN.
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
    x = np.asarray(values, np.float64)
    if np.isnan(x).any():
        raise ValueError("a missing score has no place in a mean; leave it out and count it")
    if clusters is not None and len(clusters) != len(x):
        raise ValueError(f"{len(x)} values but {len(clusters)} cluster labels")
    if not len(x):
        return Mean(math.nan, math.nan, math.nan, 0, 0)
    value = float(x.mean()) if np.isfinite(x).all() else _infinite(x)
    sizes, sums = _group(x, clusters)
    if len(sizes) < MIN_CLUSTERS or not math.isfinite(value):
        return Mean(value, math.nan, math.nan, len(x), 0)
    weights, tail = _draws(len(sizes), seed)
    means = (weights @ sums) / (weights @ sizes)
    low, high = np.quantile(means, [tail, 1 - tail])
    return Mean(value, float(low), float(high), len(x), len(sizes))


def paired_difference(
    a: Mapping[Key, float], b: Mapping[Key, float], clusters: Mapping[Key, object] | None = None, seed: int = 0
) -> Mean:
    """Mean of a - b over the items that both have a finite score for, with its interval.

    Parameters
    ----------
    a, b : item -> score; NaN counts as missing.
    clusters : item -> its cluster.
    """
    both = [key for key in a if key in b and math.isfinite(a[key]) and math.isfinite(b[key])]
    labels = None if clusters is None else [clusters[key] for key in both]
    return mean([a[key] - b[key] for key in both], labels, seed)


def _infinite(x: NDArray[np.float64]) -> float:
    signs = set(np.sign(x[np.isinf(x)]).tolist())
    return math.nan if len(signs) > 1 else math.inf * signs.pop()


def _group(
    x: NDArray[np.float64], clusters: Sequence[object] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Size and sum of each cluster, in order of first appearance; of each value if the clusters are too few."""
    index: dict[object, int] = {}
    labels = [index.setdefault(cluster, len(index)) for cluster in clusters or ()]
    if len(index) < MIN_CLUSTERS:
        return np.ones(len(x)), x
    return np.bincount(labels).astype(np.float64), np.bincount(labels, weights=x).astype(np.float64)


@lru_cache(maxsize=32)
def _draws(k: int, seed: int) -> tuple[NDArray[np.float64], float]:
    """How often each of k clusters is drawn [RESAMPLES, k], and the probability below the interval."""
    from scipy.special import ndtr, stdtrit

    draws = np.random.default_rng(seed).multinomial(k, np.full(k, 1 / k), size=RESAMPLES)
    tail = float(ndtr(math.sqrt(k / (k - 1)) * stdtrit(k - 1, (1 - LEVEL) / 2)))
    return draws.astype(np.float64), tail
