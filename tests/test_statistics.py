"""Means and intervals against Student's t, scipy and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from codecbench.bench import statistics
from codecbench.bench.statistics import mean, paired_difference
from scipy import stats


@pytest.mark.parametrize("n", [10, 28, 100])
def test_interval_agrees_with_student_t_on_normal_data(n: int) -> None:
    ratios = []
    for seed in range(20):
        x = np.random.default_rng(seed).normal(3, 0.5, n)
        m = mean(x)
        assert m.value == pytest.approx(x.mean(), abs=1e-12)
        low, high = stats.t.interval(0.95, n - 1, x.mean(), x.std(ddof=1) / math.sqrt(n))
        ratios.append((m.high - m.low) / (high - low))
        assert m.low == pytest.approx(low, abs=0.25 * (high - low))
    assert np.mean(ratios) == pytest.approx(1, abs=0.04)


def test_interval_agrees_with_scipy_bootstrap() -> None:
    x = np.random.default_rng(3).gamma(2, size=28)
    tail = statistics._draws(28, 0)[1]
    assert tail == pytest.approx(stats.norm.cdf(math.sqrt(28 / 27) * stats.t.ppf(0.025, 27)), rel=1e-9)
    theirs = stats.bootstrap(
        (x,),
        np.mean,
        confidence_level=1 - 2 * tail,
        n_resamples=20000,
        method="percentile",
        random_state=0,
    ).confidence_interval
    m = mean(x)
    width = theirs.high - theirs.low
    assert m.low == pytest.approx(theirs.low, abs=0.06 * width)
    assert m.high == pytest.approx(theirs.high, abs=0.06 * width)


@pytest.mark.parametrize("speakers", [6, 10])
def test_coverage_when_clips_of_a_speaker_are_alike(speakers: int) -> None:
    """The clustered interval holds its 95 % where an interval over clips misses it by far."""
    rng = np.random.default_rng(5)
    who = np.repeat(np.arange(speakers), 4).tolist()
    hits = naive = 0
    runs = 500
    for _ in range(runs):
        x = rng.normal(size=speakers).repeat(4) + 0.3 * rng.normal(size=4 * speakers)
        clustered, apart = mean(x, who), mean(x)
        hits += clustered.low <= 0 <= clustered.high
        naive += apart.low <= 0 <= apart.high
    assert 0.90 <= hits / runs <= 0.98
    assert naive / runs < 0.75


def test_the_mean_is_over_clips_not_over_speakers() -> None:
    m = mean([1, 1, 1, 2, 3, 4, 5], ["a", "a", "a", "b", "c", "d", "e"])
    assert m.value == pytest.approx(17 / 7)
    assert (m.n, m.clusters) == (7, 5)


def test_deterministic_and_seeded() -> None:
    x = np.random.default_rng(1).normal(size=20)
    assert mean(x, seed=4) == mean(x, seed=4)
    assert mean(x, seed=4) != mean(x, seed=5)


def test_few_speakers_fall_back_to_clips_and_few_clips_have_no_interval() -> None:
    x = np.random.default_rng(1).normal(size=8)
    assert mean(x, ["a", "b"] * 4) == mean(x)
    assert mean(x).clusters == 8
    for n in range(1, statistics.MIN_CLUSTERS):
        few = mean(x[:n])
        assert few.value == pytest.approx(x[:n].mean())
        assert math.isnan(few.low)
        assert math.isnan(few.high)
        assert (few.n, few.clusters) == (n, 0)


def test_missing_and_infinite_values() -> None:
    none = mean([])
    assert math.isnan(none.value)
    assert none.n == 0
    with pytest.raises(ValueError, match="leave it out"):
        mean([1.0, math.nan])
    with pytest.raises(ValueError, match="2 values but 1"):
        mean([1.0, 2.0], ["a"])
    infinite = mean([1.0, math.inf] * 5)
    assert infinite.value == math.inf
    assert math.isnan(infinite.low)
    assert math.isnan(mean([math.inf, -math.inf]).value)


def test_paired_difference_is_over_the_intersection() -> None:
    rng = np.random.default_rng(2)
    level = rng.normal(3, 1, 30)
    a = {i: level[i] + 0.2 + rng.normal(0, 0.02) for i in range(30)}
    b = {i: level[i] for i in range(3, 30)}
    a[5] = math.nan
    speaker = {i: i % 7 for i in range(30)}
    d = paired_difference(a, b, speaker)
    both = [i for i in range(3, 30) if i != 5]
    assert d.n == 26
    assert d.clusters == 7
    assert d.value == pytest.approx(np.mean([a[i] - b[i] for i in both]))
    assert 0.15 < d.low < 0.2 < d.high < 0.25  # the clips' own spread of 1 is gone
    back = paired_difference(b, a, speaker)
    assert back.value == pytest.approx(-d.value)


def test_paired_difference_without_common_items() -> None:
    assert paired_difference({1: 1.0}, {2: 1.0}).n == 0
