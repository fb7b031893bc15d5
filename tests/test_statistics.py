"""Means, intervals and p-values against Student's t, scipy and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from codecbench.bench import statistics
from codecbench.bench.statistics import (
    bootstrap,
    detectable,
    holm,
    mean,
    p_value,
    paired_difference,
    paired_p_value,
    standard_error,
)
from hypothesis import given, settings
from hypothesis import strategies as st
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


def test_p_value_is_student_t_on_clips_or_on_means_of_equal_clusters() -> None:
    x = np.random.default_rng(0).normal(0.3, 1, 40)
    assert p_value(x) == pytest.approx(stats.ttest_1samp(x, 0).pvalue, rel=1e-9)
    who = np.repeat(np.arange(10), 4)
    per_speaker = x.reshape(10, 4).mean(axis=1)
    assert p_value(x, who.tolist()) == pytest.approx(stats.ttest_1samp(per_speaker, 0).pvalue, rel=1e-9)
    error, k = standard_error(x, who.tolist())
    assert k == 10
    assert error == pytest.approx(per_speaker.std(ddof=1) / math.sqrt(10))


def test_p_value_of_unequal_clusters_holds_its_level() -> None:
    """Speakers with 1 to 12 clips, alike within a speaker: a test over clips would reject far too often."""
    rng = np.random.default_rng(1)
    who = np.repeat(np.arange(20), rng.integers(1, 13, 20))
    runs = 1000
    clustered = naive = 0
    for _ in range(runs):
        x = rng.normal(size=20)[who] + 0.5 * rng.normal(size=len(who))
        clustered += p_value(x, who.tolist()) < 0.05
        naive += p_value(x) < 0.05
    assert 0.03 <= clustered / runs <= 0.09
    assert naive / runs > 0.3


@pytest.mark.parametrize("effect", [0.0, 0.5, 0.7])
def test_p_value_agrees_with_the_interval(effect: float) -> None:
    rng = np.random.default_rng(2)
    who = np.repeat(np.arange(12), [2, 3, 4] * 4)
    runs = 300
    same = 0
    for _ in range(runs):
        x = rng.normal(effect, 1, 12)[who] + 0.3 * rng.normal(size=len(who))
        m = mean(x, who.tolist())
        same += (p_value(x, who.tolist()) < 0.05) == (not m.low <= 0 <= m.high)
    assert same / runs > 0.92


def test_p_value_without_spread_or_interval() -> None:
    assert p_value([0.0] * 6) == 1
    assert p_value([0.25] * 6) == 0
    assert math.isnan(p_value([0.1, 0.2, 0.3, 0.4]))
    assert math.isnan(p_value([]))
    assert math.isnan(p_value([math.inf, 1, 1, 1, 1, 1]))
    with pytest.raises(ValueError, match="6 values but 1"):
        p_value([1.0] * 6, ["a"])


def test_paired_p_value_is_of_the_paired_difference() -> None:
    rng = np.random.default_rng(4)
    a = dict(enumerate(rng.normal(size=30)))
    b = {i: a[i] + rng.normal(0.1, 0.2) for i in range(25)} | {40: 1.0, 3: math.nan}
    both = [i for i in range(25) if i != 3]
    expected = stats.ttest_rel([a[i] for i in both], [b[i] for i in both]).pvalue
    assert paired_p_value(a, b) == pytest.approx(expected)
    assert paired_p_value(b, a) == pytest.approx(expected)
    assert math.isnan(paired_p_value({1: 1.0}, {2: 1.0}))


def test_holm_known_answer() -> None:
    """By hand: 4 * .005, 3 * .01, 2 * .03, and .04 is raised to the step before it. NaN does not count."""
    got = holm([0.01, math.nan, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(got, [0.03, math.nan, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]).tolist() == [1, 1]
    assert holm([]).shape == (0,)
    assert holm([[math.nan, 0.02], [0.02, math.nan]])[0, 1] == pytest.approx(0.04)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
@settings(deadline=None, max_examples=50)
def test_holm_lies_between_the_p_value_and_bonferroni(p: list[float]) -> None:
    adjusted = holm(p)
    assert (adjusted >= np.asarray(p) - 1e-15).all()
    assert (adjusted <= np.minimum(np.asarray(p) * len(p), 1) + 1e-15).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


@pytest.mark.parametrize("clusters", [6, 12, 40, 1000])
def test_a_detectable_difference_is_found_in_80_percent(clusters: int) -> None:
    """The power by the noncentral t distribution, which the formula approaches."""
    shift = float(detectable(1.0, clusters))
    critical = stats.t.ppf(0.975, clusters - 1)
    power = 1 - stats.nct.cdf(critical, clusters - 1, shift)
    assert power == pytest.approx(0.80, abs=0.015)


def test_detectable_difference_grows_with_comparisons_and_needs_clusters() -> None:
    assert detectable(0.1, 20, 100) > detectable(0.1, 20) > 0.28
    assert detectable(0.1, 10**6) == pytest.approx(0.1 * (1.95996 + 0.84162), rel=1e-4)
    assert np.isnan(detectable([0.1, 0.2], 4)).all()
    assert math.isnan(detectable([0.1, math.nan], 9)[1])


def test_bootstrap_gives_the_interval_of_mean_and_keeps_pairs_together() -> None:
    rng = np.random.default_rng(6)
    who = rng.integers(0, 9, 50).tolist()
    a = rng.normal(size=50)
    pair = np.stack([a, a + 0.5])
    draws = bootstrap(50, who, seed=3)
    assert draws.clusters == 9
    means = draws.sums(pair) / draws.sums(np.ones(50))[:, None]
    assert means.shape == (statistics.RESAMPLES, 2)
    np.testing.assert_allclose(means[:, 1] - means[:, 0], 0.5)
    m = mean(a, who, seed=3)
    assert draws.interval(means[:, 0]) == pytest.approx((m.low, m.high))
    few = bootstrap(4)
    assert few.sums(np.ones((3, 4))).shape == (0, 3)
    assert all(math.isnan(end) for end in few.interval(few.sums(np.ones(4))))
