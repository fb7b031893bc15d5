"""Matched rates: known answers, every kind of statement, coverage, and no claim that the interval does not carry."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
from codecbench.bench import curves, statistics
from codecbench.bench.curves import Curve, measure
from codecbench.bench.matching import Match, match, verdict
from codecbench.bench.statistics import Bootstrap
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

ITEMS = 24
DRAWS = statistics.bootstrap(ITEMS)
RATES = np.asarray([6.0, 12.0, 24.0, 48.0])
SCORES = np.asarray([2.0, 3.0, 3.6, 4.0])


def curve(name: str, rate: ArrayLike, scores: ArrayLike, draws: Bootstrap = DRAWS, better: bool = True) -> Curve:
    """Constant bitrate: kbit/s [points], scores [points] or [points, items]."""
    s = np.asarray(scores, np.float64)
    s = s[:, None] * np.ones(ITEMS) if s.ndim == 1 else s
    bits = 1000 * np.asarray(rate, np.float64)[:, None] * np.ones(s.shape[1])
    return measure(name, s, bits, np.ones(s.shape), draws, better)


OPUS = curve("opus", RATES, SCORES)


def noise(seed: int, spread: float) -> NDArray[np.float64]:
    """Without effect on the mean, [1, items]."""
    x = np.random.default_rng(seed).normal(size=(1, ITEMS))
    return np.asarray(spread * (x - x.mean()))


def test_a_point_on_the_curve_matches_where_the_curve_has_it() -> None:
    m = match(curve("neural", [3], [3.6]), OPUS)
    assert m.kind == "matches"
    assert (m.rate, m.low, m.high) == pytest.approx((24, 24, 24))
    assert (m.ratio, m.ratio_low, m.ratio_high) == pytest.approx((1 / 8, 1 / 8, 1 / 8))
    assert (m.point, m.curve, m.point_rate, m.reason) == ("neural", "opus", 3, "")
    for i in range(4):
        assert match(OPUS.only(i), OPUS).rate == pytest.approx(RATES[i])


@given(st.floats(2.001, 3.999))
@settings(deadline=None, max_examples=40)
def test_the_rate_is_where_scipy_s_pchip_has_the_quality(quality: float) -> None:
    m = match(curve("neural", [3], [quality]), OPUS)
    assert m.kind == "matches"
    assert float(PchipInterpolator(np.log10(RATES), SCORES)(math.log10(m.rate))) == pytest.approx(quality, abs=1e-9)
    assert m.ratio == pytest.approx(3 / m.rate)


def test_straight_line_by_hand() -> None:
    """Quality 1 + 2 log10 R reaches 3 at 10 kbps."""
    m = match(curve("n", [2.5], [3]), curve("line", RATES, 1 + 2 * np.log10(RATES)))
    assert m.rate == pytest.approx(10)
    assert m.ratio == pytest.approx(0.25)


def test_spread_opens_the_interval_and_then_its_ends() -> None:
    kinds = {}
    for quality, spread in ((3.6, 0.2), (3.95, 0.5), (2.05, 0.5), (3.0, 9.0)):
        m = match(curve("n", [3], quality + noise(1, spread)), OPUS)
        kinds[quality] = m.kind
        if m.kind == "matches":
            assert m.low < m.rate < m.high
            assert (m.ratio_low, m.ratio_high) == pytest.approx((3 / m.high, 3 / m.low), rel=1e-9)
        assert math.isnan(m.low) == (m.kind in ("at_most", "undecided"))
        assert math.isnan(m.high) == (m.kind in ("at_least", "undecided"))
        assert math.isnan(m.ratio_low) == math.isnan(m.high)
        assert math.isnan(m.ratio_high) == math.isnan(m.low)
        assert bool(m.reason) == (m.kind == "undecided")
    assert kinds == {3.6: "matches", 3.95: "at_least", 2.05: "at_most", 3.0: "undecided"}


def test_above_and_below_all_only_where_the_difference_is_significant() -> None:
    wide, narrow = noise(2, 1.0), noise(2, 0.05)
    for quality, sure, unsure in ((4.2, "above_all", "at_least"), (1.8, "below_all", "at_most")):
        clear = match(curve("n", [3], quality + narrow), OPUS)
        assert clear.kind == sure
        assert math.isnan(clear.rate)
        assert math.isnan(clear.ratio)
        vague = match(curve("n", [3], quality + wide), OPUS)
        assert vague.kind == unsure
        edge = SCORES[-1] if quality > 3 else SCORES[0]
        m = statistics.mean((quality + wide)[0] - edge)
        assert m.low <= 0 <= m.high


def test_pairing_makes_the_claim_that_two_bands_would_hide() -> None:
    """Items differ by far more than the codecs do; both codecs feel it alike."""
    hard = noise(3, 2.0)
    m = match(curve("n", [3], 4.1 + hard + noise(4, 0.02)), curve("opus", RATES, SCORES[:, None] + hard))
    assert m.kind == "above_all"


def test_low_scores_are_good() -> None:
    down = curve("opus", RATES, -SCORES, better=False)
    assert match(curve("n", [3], [-3.6], better=False), down).rate == pytest.approx(24)
    assert match(curve("n", [3], [-5], better=False), down).kind == "above_all"
    with pytest.raises(ValueError, match="same items"):
        match(curve("n", [3], [-3.6]), down)


def test_a_curve_that_falls_matters_only_there() -> None:
    dip = curve("dip", RATES, [2.0, 3.0, 2.8, 4.0])
    m = match(curve("n", [3], [2.9]), dip)
    assert (m.kind, m.reason) == ("undecided", "dip passes this quality more than once")
    assert math.isnan(m.rate)
    assert match(curve("n", [3], [2.5]), dip).kind == "matches"
    assert 24 < match(curve("n", [3], [3.5]), dip).rate < 48
    falls = curve("falls", RATES, [2.0, 3.0, 4.0, 3.0])
    assert match(curve("n", [3], [3.5]), falls).kind == "undecided"
    assert match(curve("n", [3], [4.5]), falls).kind == "above_all"
    assert match(curve("n", [3], [1.5]), falls).kind == "below_all"


def test_a_dip_nearby_widens_the_interval_to_both_sides_of_it() -> None:
    m = match(curve("n", [3], 3.05 + noise(5, 0.3)), curve("dip", RATES, [2.0, 3.0, 2.8, 4.0]))
    assert m.low < 12 < 24 < m.high


def test_a_curve_of_one_point() -> None:
    g711 = curve("g711", [64], [4.0])
    assert match(curve("n", [3], 4.2 + noise(6, 0.1)), g711).kind == "above_all"
    assert match(curve("n", [3], 3.8 + noise(6, 0.1)), g711).kind == "below_all"
    m = match(curve("n", [3], 4.0 + noise(6, 0.1)), g711)
    assert (m.kind, m.reason) == ("undecided", "the interval is wider than all of g711")


def test_two_points_at_one_rate_leave_the_claims_that_need_no_rate() -> None:
    laws = curve("g711", [64, 64], [4.0, 3.9])
    assert match(curve("n", [3], 4.2 + noise(6, 0.1)), laws).kind == "above_all"
    assert match(curve("n", [3], 3.7 + noise(6, 0.1)), laws).kind == "below_all"
    m = match(curve("n", [3], 3.95 + noise(6, 0.1)), laws)
    assert (m.kind, m.reason) == ("undecided", "g711 has two points at 64 kbps")


def test_a_saturated_curve_is_matched_where_it_first_gets_there() -> None:
    flat = curve("flat", RATES, [2.0, 4.5, 4.5, 4.5])
    assert match(curve("n", [3], [4.5]), flat).rate == pytest.approx(12)
    assert match(curve("n", [3], [4.5]), curve("all", RATES, [4.5] * 4)).rate == pytest.approx(6)


def test_what_cannot_be_computed_says_why() -> None:
    cases = [
        (curve("n", [3], [math.nan]), OPUS, "n has a point whose mean score is missing or infinite"),
        (curve("n", [0], [3.0]), OPUS, "n has a point without a measured rate"),
        (curve("n", [3], [3.0]), curve("c", [6, 6], [2, 4]), "c has two points at 6 kbps"),
        (curve("n", [3], [3.0]), curve("c", [], np.empty((0, ITEMS))), "c has no point"),
    ]
    for point, other, reason in cases:
        m = match(point, other)
        assert m.kind == "undecided"
        assert m.reason.startswith(reason)
        assert math.isnan(m.rate)
    with pytest.raises(ValueError, match="opus has 4 points"):
        match(OPUS, OPUS)

    four = statistics.bootstrap(4)
    m = match(curve("n", [3], np.full((1, 4), 3.6), four), curve("o", RATES, SCORES[:, None] * np.ones(4), four))
    assert (m.kind, m.reason) == ("undecided", "too few items for an interval")
    assert m.rate == pytest.approx(24)
    assert math.isnan(m.low)


def test_rates_that_swap_in_a_draw_say_nothing() -> None:
    first, last = curves.crossings(
        np.asarray([[1.0, 2, 3], [1, 3, 2]]), np.asarray([[1.0, 2, 3]] * 2), np.asarray([1.5, 1.5])
    )
    assert first[0] == last[0] < 2
    assert (first[1], last[1]) == (-math.inf, math.inf)


def test_verdict_has_each_point_against_each_curve() -> None:
    neural = curve("neural", [3, 6], [3.0, 3.6])
    got = verdict([neural], [OPUS, curve("g711", [64], [4.4])])
    assert [(m.point, m.point_rate, m.curve, m.kind) for m in got] == [
        ("neural", 3, "opus", "matches"),
        ("neural", 3, "g711", "below_all"),
        ("neural", 6, "opus", "matches"),
        ("neural", 6, "g711", "below_all"),
    ]
    assert [m.rate for m in got[::2]] == pytest.approx([12, 24])
    assert verdict([], [OPUS]) == []


def test_intervals_hold_95_percent() -> None:
    rng = np.random.default_rng(8)
    who = np.repeat(np.arange(12), 2)
    draws = statistics.bootstrap(ITEMS, who.tolist())
    truth = 1 + 1.2 * np.log10(RATES)
    hits = 0
    runs = 200
    kinds: set[str] = set()
    for _ in range(runs):
        hard = rng.normal(size=12)[who]
        scores = truth[:, None] + hard + 0.05 * rng.normal(size=(4, ITEMS))
        point = 1 + 1.2 * math.log10(16) + hard + 0.1 * rng.normal(size=(1, 12))[:, who]
        m = match(curve("n", [4], point, draws), curve("o", RATES, scores, draws))
        kinds.add(m.kind)
        hits += m.low <= 16 <= m.high
    assert kinds == {"matches"}
    assert 0.91 <= hits / runs <= 0.985


def test_false_claims_of_better_than_all_are_rare() -> None:
    """A point exactly as good as the best of the curve: the claim is false, and may be made in 2.5 % of runs."""
    rng = np.random.default_rng(10)
    claims = 0
    runs = 250
    for _ in range(runs):
        o = curve("o", RATES, SCORES[:, None] + 0.1 * rng.normal(size=(4, ITEMS)))
        claims += match(curve("n", [4], 4 + 0.1 * rng.normal(size=(1, ITEMS))), o).kind == "above_all"
    assert claims / runs < 0.05


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=40)
def test_never_infinite_and_always_ordered(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 5))
    scores = rng.normal(size=(n, 1)).cumsum(axis=0) + rng.choice([0.01, 0.3, 2]) * rng.normal(size=(n, ITEMS))
    m: Match = match(curve("n", [3], rng.normal(size=(1, ITEMS))), curve("o", RATES[:n], scores))
    assert not any(isinstance(v, float) and math.isinf(v) for v in (getattr(m, f.name) for f in fields(m)))
    if m.kind == "matches":
        assert RATES[0] <= m.low <= m.high <= RATES[n - 1]
    if m.kind in ("above_all", "below_all"):
        assert math.isnan(m.low)
        assert math.isnan(m.high)
