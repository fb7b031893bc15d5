"""Counting ABX answers: can this codec be told from its reference?"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """Right answers of one codec and point.

    Attributes
    ----------
    share, low, high : of right answers, with the exact 95 % interval (Clopper and Pearson 1934); guessing gives 0.5.
    p : probability of so many right answers or more by guessing: P(K >= right), K binomial (trials, 1/2), one-sided.
    """

    right: int
    trials: int
    share: float
    low: float
    high: float
    p: float


def count(right: int, trials: int) -> Outcome:
    """The outcome of so many right answers of at least one trial. Raises ValueError for impossible numbers."""
    from scipy.stats import binomtest

    if not 0 <= right <= trials or not trials:
        raise ValueError(f"{right} right answers of {trials} trials")
    interval = binomtest(right, trials).proportion_ci(0.95, method="exact")
    p = float(binomtest(right, trials, 0.5, alternative="greater").pvalue)
    return Outcome(right, trials, right / trials, float(interval.low), float(interval.high), p)
