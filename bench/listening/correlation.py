"""How well an objective score predicts what listeners said: correlation over operating points."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

Key = TypeVar("Key")

LEAST_POINTS = 5
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Correlation:
    """Pearson's and Spearman's coefficient with 95 % intervals, over n points; NaN with a reason."""

    n: int
    pearson: float
    pearson_low: float
    pearson_high: float
    spearman: float
    spearman_low: float
    spearman_high: float
    reason: str = ""


def correlation(objective: Mapping[Key, float], listening: Mapping[Key, float]) -> Correlation:
    """Correlate two scores over the points that have a finite value of both.

    The intervals are Fisher's: tanh(atanh(r) +- 1.96 s), with s^2 = 1 / (n - 3) for Pearson's and
    (1 + r^2 / 2) / (n - 3) for Spearman's (Bonett and Wright, Psychometrika 65 (2000)). They take points as
    independent, which points of one codec are not quite.
    """
    from scipy.stats import pearsonr, spearmanr

    keys = [k for k in objective if k in listening and math.isfinite(objective[k]) and math.isfinite(listening[k])]
    a, b = [objective[key] for key in keys], [listening[key] for key in keys]
    n, nan = len(keys), math.nan
    if n < LEAST_POINTS:
        why = f"{n} points have both scores; a correlation needs {LEAST_POINTS}"
        return Correlation(n, nan, nan, nan, nan, nan, nan, why)
    if len(set(a)) == 1 or len(set(b)) == 1:
        return Correlation(n, nan, nan, nan, nan, nan, nan, "all points have the same score")
    pearson, spearman = float(pearsonr(a, b).statistic), float(spearmanr(a, b).statistic)
    return Correlation(n, *_interval(pearson, 1 / (n - 3)), *_interval(spearman, (1 + spearman**2 / 2) / (n - 3)))


def _interval(r: float, variance: float) -> tuple[float, float, float]:
    r = max(-1.0, min(1.0, r))
    if abs(r) == 1:  # the interval of Fisher's transform shrinks to the point
        return r, r, r
    half = _Z95 * math.sqrt(variance)
    return r, math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)
