"""Ranks against pairwise tests done one by one, known orders, and the share of runs that a rank interval holds."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from codecbench.bench import statistics
from codecbench.bench.ranking import rank
from hypothesis import given, settings
from hypothesis import strategies as st


def test_every_pair_is_the_paired_comparison_of_statistics() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=30) + 0.2 * rng.normal(size=(4, 30)) + np.asarray([0, 0.1, 0.15, 1])[:, None]
    who = rng.integers(0, 8, 30).tolist()
    r = rank(x, who, seed=5)
    assert r.clusters == 8
    assert r.pairs == 6
    upper = np.triu_indices(4, 1)
    raw = [statistics.p_value(x[i] - x[j], who) for i, j in zip(*upper, strict=True)]
    np.testing.assert_allclose(r.p[upper], statistics.holm(raw))
    np.testing.assert_array_equal(r.p, r.p.T)
    for i, j in zip(*upper, strict=True):
        m = statistics.mean(x[i] - x[j], who, seed=5)
        assert (r.difference[i, j], r.low[i, j], r.high[i, j]) == pytest.approx((m.value, m.low, m.high))
        assert (r.difference[j, i], r.low[j, i], r.high[j, i]) == pytest.approx((-m.value, -m.high, -m.low))
        error, k = statistics.standard_error(x[i] - x[j], who)
        assert r.detectable[i, j] == pytest.approx(float(statistics.detectable(error, k)))
        assert r.detectable_corrected[i, j] == pytest.approx(float(statistics.detectable(error, k, 6)))
    assert np.isnan(np.diagonal(r.p)).all()
    assert r.smallest() > r.smallest(corrected=False) > 0


def test_ranks_of_a_clear_order_and_of_points_alike() -> None:
    rng = np.random.default_rng(1)
    level = np.asarray([1.0, 3.0, 2.0, 3.0])
    x = level[:, None] + rng.normal(size=20) + 0.05 * rng.normal(size=(4, 20))
    x[3] = x[1]
    r = rank(x)
    assert r.order.tolist() == [1, 3, 2, 0]
    assert r.best.tolist() == [4, 1, 3, 1]
    assert r.worst.tolist() == [4, 2, 3, 2]
    assert r.p[1, 3] == 1
    assert not r.told_apart[1, 3]
    low_is_good = rank(x, higher_is_better=False)
    assert low_is_good.order.tolist() == [0, 2, 1, 3]
    assert low_is_good.best.tolist() == [1, 3, 2, 3]
    assert low_is_good.worst.tolist() == [1, 4, 2, 4]


def test_a_chain_that_disjoint_groups_cannot_tell() -> None:
    """a and b are alike, b and c are alike, a and c are not."""
    pattern = np.asarray([1.0, -1.0] * 10)
    x = np.stack([0.30 + 0 * pattern, 0.15 + 0.4 * pattern, 0 * pattern + 0.01 * np.roll(pattern, 1)])
    r = rank(x)
    assert r.best.tolist() == [1, 1, 2]
    assert r.worst.tolist() == [2, 3, 3]


@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(5, 25))
@settings(deadline=None, max_examples=40)
def test_rank_intervals_never_contradict(seed: int, points: int, items: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(points, 1)) * rng.choice([0, 0.3, 3]) + rng.normal(size=(points, items)).round(1)
    r = rank(x)
    assert (r.best >= 1).all()
    assert (r.best <= r.worst).all()
    assert (r.worst <= points).all()
    for place, i in enumerate(r.order, 1):
        assert r.best[i] <= place <= r.worst[i]
    for i, j in np.argwhere(r.told_apart):
        assert r.difference[i, j] != 0
    assert sorted(r.order.tolist()) == list(range(points))


def test_rank_intervals_hold_the_true_ranks() -> None:
    """All true ranks at once in at least 95 % of runs, and not by being as wide as can be."""
    rng = np.random.default_rng(2)
    level = np.asarray([0, 0, 0.1, 0.3, 0.6])
    first, last = np.asarray([5, 5, 3, 2, 1]), np.asarray([4, 4, 3, 2, 1])
    who = np.repeat(np.arange(12), 3).tolist()
    held = 0
    width = []
    runs = 200
    for _ in range(runs):
        speakers = 0.2 * rng.normal(size=(5, 12)).repeat(3, axis=1)
        r = rank(level[:, None] + rng.normal(size=36) + speakers + 0.1 * rng.normal(size=(5, 36)), who)
        held += bool((r.best <= last).all() and (r.worst >= first).all())
        width.append((r.worst - r.best).mean())
    assert held / runs >= 0.93
    assert np.mean(width) < 2.5


def test_too_few_items_infinite_scores_and_refusals() -> None:
    few = rank(np.arange(12.0).reshape(3, 4))
    assert few.clusters == 0
    assert few.best.tolist() == [1, 1, 1]
    assert few.worst.tolist() == [3, 3, 3]
    assert np.isnan(few.p).all()
    assert math.isnan(few.smallest())

    x = np.random.default_rng(3).normal(size=(3, 10)) + np.asarray([[0], [9], [20]])
    x[1, 4] = math.inf
    r = rank(x)
    assert r.order.tolist() == [1, 2, 0]
    assert r.best.tolist() == [2, 1, 1]
    assert r.worst.tolist() == [3, 3, 2]
    assert r.pairs == 1

    assert rank(np.empty((0, 7))).order.tolist() == []
    assert np.isnan(rank(np.empty((2, 0))).mean).all()
    with pytest.raises(ValueError, match="score for every item"):
        rank([[1.0, math.nan]])
    with pytest.raises(ValueError, match="points, items"):
        rank([1.0, 2.0])
    with pytest.raises(ValueError, match="3 values but 2"):
        rank([[1.0, 2.0, 3.0]], ["a", "b"])


def test_a_large_run_takes_seconds() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=3000) + 0.3 * rng.normal(size=(70, 3000))
    who = rng.integers(0, 40, 3000).tolist()
    start = time.process_time()
    r = rank(x, who)
    assert time.process_time() - start < 5  # 0.6 s on the machine that it was written on
    assert r.pairs == 70 * 69 // 2
