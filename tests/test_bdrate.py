"""Bjontegaard deltas: published values, closed forms, scipy, simulation; and every reason for having none."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
from codecbench.bench import curves, statistics
from codecbench.bench.bdrate import Delta, bd_metric, bd_rate
from codecbench.bench.curves import Curve, measure
from codecbench.bench.statistics import Bootstrap
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

#: (anchor, test, BD-rate as a fraction), rates and PSNR: JCT-VC's examples, as libvmaf is held against them in its
#: python/test/bd_rate_calculator_test.py, class BDrateCalculatorJCTVCTest
JCTVC = [
    (
        [(108048.8736, 43.6471), (61279.976, 40.3953), (33905.6656, 37.247), (18883.6928, 34.2911)],
        [(108061.2784, 43.6768), (61299.9936, 40.4232), (33928.7472, 37.2761), (18910.912, 34.3147)],
        -0.00465215420752807,
    ),
    (
        [(40433.8848, 37.5761), (7622.7456, 35.3756), (2394.488, 33.8977), (1017.6184, 32.0603)],
        [(40370.12, 37.5982), (7587.0024, 35.4025), (2390.0944, 33.9194), (1017.0984, 32.0822)],
        -0.018779823450567612,
    ),
]


def curve(
    name: str, rate: ArrayLike, scores: ArrayLike, bootstrap: Bootstrap | None = None, higher_is_better: bool = True
) -> Curve:
    """Constant bitrate: kbit/s [points], scores [points] or [points, items]."""
    s = np.asarray(scores, np.float64)
    s = s[:, None] * np.ones(8) if s.ndim == 1 else s
    bits = 1000 * np.asarray(rate, np.float64)[:, None] * np.ones(s.shape[1])
    return measure(name, s, bits, np.ones(s.shape), bootstrap or EIGHT, higher_is_better)


EIGHT = statistics.bootstrap(8)
RATES = np.asarray([6.0, 12.0, 24.0, 48.0])
SCORES = np.asarray([2.0, 3.0, 3.6, 4.0])


@pytest.mark.parametrize(("anchor", "test", "expected"), JCTVC)
def test_bd_rate_of_published_examples(
    anchor: list[tuple[float, float]], test: list[tuple[float, float]], expected: float
) -> None:
    a, b = np.asarray(anchor), np.asarray(test)
    d = bd_rate(curve("anchor", a[:, 0], a[:, 1]), curve("test", b[:, 0], b[:, 1]))
    assert d.value == pytest.approx(100 * expected, abs=1e-5)
    assert d.method == "pchip"
    assert (d.low, d.high) == pytest.approx((d.value, d.value))  # the same for all items: no spread
    assert d.reason == ""


def test_near_to_the_polynomial_of_vceg_m33() -> None:
    """The sample that implementations of VCEG-M33 commonly come with; there a cubic goes through the four points."""
    r1, p1 = [686.76, 309.58, 157.11, 85.95], [40.28, 37.18, 34.24, 31.42]
    r2, p2 = [893.34, 407.8, 204.93, 112.75], [40.39, 37.21, 34.17, 31.24]
    anchor, test = curve("anchor", r1, p1), curve("test", r2, p2)

    def cubic(*xy: ArrayLike) -> float:
        x1, y1, x2, y2 = (np.asarray(values, np.float64) for values in xy)
        low, high = max(x1.min(), x2.min()), min(x1.max(), x2.max())
        i1, i2 = (np.polyint(np.polyfit(x, y, 3)) for x, y in ((x1, y1), (x2, y2)))
        area = np.polyval(i2, high) - np.polyval(i2, low) - np.polyval(i1, high) + np.polyval(i1, low)
        return float(area / (high - low))

    rate = 100 * (10 ** cubic(p1, np.log10(r1), p2, np.log10(r2)) - 1)
    assert rate == pytest.approx(31.397, abs=1e-3)
    assert bd_rate(anchor, test).value == pytest.approx(rate, abs=0.05)
    assert bd_metric(anchor, test).value == pytest.approx(cubic(np.log10(r1), p1, np.log10(r2), p2), abs=0.005)


def test_known_answers() -> None:
    a = curve("a", RATES, SCORES)
    assert bd_rate(a, a).value == pytest.approx(0, abs=1e-12)
    assert bd_metric(a, a).value == pytest.approx(0, abs=1e-12)
    assert bd_rate(a, curve("half", RATES / 2, SCORES)).value == pytest.approx(-50)
    assert bd_rate(a, curve("double", RATES * 2, SCORES)).value == pytest.approx(100)
    assert bd_metric(a, curve("better", RATES, SCORES + 0.25)).value == pytest.approx(0.25)


def test_straight_lines_in_log_rate_by_hand() -> None:
    """log10 R = q / s: the mean of q (1/s2 - 1/s1) over the qualities 1 to 2 is 1.5 (1/s2 - 1/s1)."""
    q = np.asarray([0.5, 1, 2, 2.5])
    a, b = curve("a", 10 ** (q / 1.25), q), curve("b", 10 ** ([1, 1.2, 1.7, 2] / np.float64(1.6)), [1, 1.2, 1.7, 2])
    d = bd_rate(a, b)
    assert d.value == pytest.approx(100 * (10 ** (1.5 * (1 / 1.6 - 1 / 1.25)) - 1))
    assert d.overlap == 1


@given(st.lists(st.floats(0.05, 1), min_size=6, max_size=6), st.floats(0.3, 3))
@settings(deadline=None, max_examples=30)
def test_the_other_way_round_is_the_inverse(steps: list[float], factor: float) -> None:
    a = curve("a", RATES, 1 + np.cumsum([0, *steps[:3]]))
    b = curve("b", RATES * factor, 1 + np.cumsum([0, *steps[3:]]))
    there, back = bd_rate(a, b), bd_rate(b, a)
    assert there.reason == back.reason
    if not math.isnan(there.value):
        assert (1 + there.value / 100) * (1 + back.value / 100) == pytest.approx(1)
    assert bd_metric(a, b).value == pytest.approx(-bd_metric(b, a).value, nan_ok=True)


def test_low_scores_are_good() -> None:
    a, b = (curve(n, RATES, -SCORES + shift, higher_is_better=False) for n, shift in (("a", 0.0), ("b", -0.1)))
    assert bd_rate(a, b).value < 0
    assert bd_metric(a, b).value == pytest.approx(-0.1)
    with pytest.raises(ValueError, match="other directions"):
        bd_rate(a, curve("c", RATES, SCORES))


@pytest.mark.parametrize(
    ("rate", "scores", "reason"),
    [
        (RATES[:3], SCORES[:3], "b has 3 points, fewer than 4"),
        (RATES, SCORES + 5, "the curves have no qualities in common"),
        (RATES, SCORES + 1.7, "the curves share 15% of the narrower one's qualities, less than 50%"),
        (RATES, [2.0, 3.0, 2.9, 4.0], "b does not get better from 12 to 24 kbps"),
        (RATES, [2.0, 3.0, 4.0, 4.0], "b has 3 points, fewer than 4, where it rises"),
        ([6, 12, 24, 32, 48], [2.0, 3.0, 3.5, 3.99, 3.9], "b does not get better from 32 to 48 kbps"),
        (RATES, [3.0] * 4, "the curves have no qualities in common"),
        (RATES, [2.0, 3.0, math.nan, 4.0], "b has a point whose mean score is missing or infinite"),
        (RATES, [2.0, 3.0, 4.0, math.inf], "b has a point whose mean score is missing or infinite"),
        ([6, 12, 12, 48], SCORES, "b has two points at 12 kbps"),
        ([0, 12, 24, 48], SCORES, "b has a point without a measured rate, or with items that have none"),
    ],
)
def test_no_number_but_a_reason(rate: ArrayLike, scores: ArrayLike, reason: str) -> None:
    a, b = curve("a", RATES, SCORES), curve("b", rate, scores)
    for d in (bd_rate(a, b), bd_rate(b, a)):
        assert d.reason == reason
        assert math.isnan(d.value)
        assert math.isnan(d.low)
        assert math.isnan(d.high)


def test_bd_metric_takes_scores_that_fall_but_not_rates_apart() -> None:
    a = curve("a", RATES, SCORES)
    assert bd_metric(a, curve("b", RATES, [2.0, 3.0, 2.9, 4.0])).reason == ""
    assert bd_metric(a, curve("b", RATES * 10, SCORES)).reason == "the curves have no rates in common"
    assert "less than 50%" in bd_metric(a, curve("b", RATES * 5, SCORES)).reason


def test_a_curve_that_saturates_beyond_the_other_loses_those_points() -> None:
    a = curve("a", RATES, SCORES)
    rate, scores = [2, *(RATES / 2), 40, 64, 90], [1.9, *SCORES, 4.6, 4.5, 4.55]
    rising, falls = curve("b", rate[:-2], scores[:-2]), curve("b", rate, scores)
    assert np.isfinite(bd_rate(a, rising).value)
    there, back = bd_rate(a, falls), bd_rate(falls, a)
    assert there.value == bd_rate(a, rising).value
    assert there.note == back.note == "without b at 64, 90 kbps"
    assert there.reason == ""
    assert bd_rate(a, rising).note == ""
    dips_first = curve("c", [1, 2, *(RATES / 2)], [1.9, 1.8, *SCORES])
    assert bd_rate(a, dips_first).note == "without c at 1 kbps"


def test_curves_of_other_items_are_refused() -> None:
    other = statistics.bootstrap(8)
    with pytest.raises(ValueError, match="same items"):
        bd_rate(curve("a", RATES, SCORES), curve("b", RATES, SCORES, other))
    with pytest.raises(ValueError, match=r"b: .* must be \[points, 8\]"):
        measure("b", np.ones((2, 7)), np.ones((2, 7)), np.ones((2, 7)), EIGHT)


def test_few_items_give_a_value_without_interval() -> None:
    four = statistics.bootstrap(4)
    a, b = (curve(n, RATES * f, SCORES[:, None] * np.ones(4), four) for n, f in (("a", 1), ("b", 0.5)))
    d = bd_rate(a, b)
    assert d.value == pytest.approx(-50)
    assert math.isnan(d.low)
    assert d.reason == "too few items for an interval"


def test_draws_that_are_not_monotone_are_counted_and_at_last_forbid_an_interval() -> None:
    rng = np.random.default_rng(0)
    draws = statistics.bootstrap(40)
    a = curve("a", RATES, SCORES[:, None] + np.zeros((4, 40)), draws)

    def noisy(spread: float) -> Delta:
        noise = rng.normal(size=(4, 40))
        return bd_rate(a, curve("b", RATES, SCORES[:, None] + spread * (noise - noise.mean(axis=1)[:, None]), draws))

    few, many = noisy(0.9), noisy(2.5)
    assert 0 < few.left_out <= 0.05
    assert few.low < few.value < few.high
    assert many.left_out > 0.05
    assert many.value == pytest.approx(0, abs=1e-9)
    assert math.isnan(many.low)
    assert many.reason.startswith(f"no interval: in {many.left_out:.0%} of the draws")


def test_variable_rates_are_resampled_with_the_scores() -> None:
    """A codec that spends double on half of the items: its rate is the ratio of sums, and its draws vary."""
    seconds = np.tile([1.0, 3.0], 10)
    bits = 1000 * RATES[:, None] * np.tile([2.0, 1.0], 10) * seconds
    draws = statistics.bootstrap(20)
    c = measure("vbr", SCORES[:, None] * np.ones(20), bits, np.tile(seconds, (4, 1)), draws)
    np.testing.assert_allclose(c.rate, RATES * 5 / 4)
    assert c.rates.shape == (statistics.RESAMPLES, 4)
    assert c.rates[:, 0].std() > 0.1
    d = bd_rate(curve("cbr", RATES, SCORES[:, None] * np.ones(20), draws), c)
    assert d.value == pytest.approx(25)
    assert d.low < 25 < d.high


def simulated(rng: np.random.Generator, draws: Bootstrap, who: NDArray[np.intp]) -> tuple[Curve, Curve]:
    """Two codecs on items of differing difficulty; b needs 20 % fewer bits."""
    truth = 1 + 1.2 * np.log10(RATES)
    made = []
    hard = rng.normal(size=(who.max() + 1))[who] + 0.3 * rng.normal(size=len(who))
    for name, factor in (("a", 1.0), ("b", 0.8)):
        own = 0.05 * rng.normal(size=(1, who.max() + 1))[:, who] + 0.05 * rng.normal(size=(4, len(who)))
        made.append(curve(name, RATES * factor, truth[:, None] + hard + own, draws))
    return made[0], made[1]


def test_intervals_hold_95_percent_and_use_the_pairing() -> None:
    rng = np.random.default_rng(7)
    who = np.repeat(np.arange(12), 3)
    draws = statistics.bootstrap(len(who), who.tolist())
    rate_hits = metric_hits = 0
    runs = 200
    width = []
    for _ in range(runs):
        a, b = simulated(rng, draws, who)
        d, m = bd_rate(a, b), bd_metric(a, b)
        rate_hits += d.low <= -20 <= d.high
        metric_hits += m.low <= 1.2 * math.log10(1 / 0.8) <= m.high
        width.append(d.high - d.low)
    assert 0.91 <= rate_hits / runs <= 0.985
    assert 0.91 <= metric_hits / runs <= 0.985
    assert np.mean(width) < 15  # unpaired, the items' own spread of 1 would make it more than 100


def test_never_infinite() -> None:
    rng = np.random.default_rng(9)
    draws = statistics.bootstrap(6)
    for _ in range(60):
        scale = 10.0 ** rng.integers(-3, 3)
        a, b = (curve(n, RATES, scale * rng.normal(size=(4, 6)).cumsum(axis=0), draws) for n in "ab")
        for d in (bd_rate(a, b), bd_metric(a, b)):
            assert not any(isinstance(v, float) and math.isinf(v) for v in (getattr(d, f.name) for f in fields(d)))
            assert d.reason or d.low <= d.high


points = st.integers(2, 7).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(0.01, 5), min_size=n, max_size=n), st.lists(st.floats(-5, 5), min_size=n, max_size=n)
    )
)


@example(([1.0, 1.0, 1.0], [0.0, 0.0, 2.2250738585e-313]), 0.0, 0.0)
@given(points, st.floats(0, 1), st.floats(0, 1))
@settings(deadline=None, max_examples=100)
def test_pchip_is_that_of_scipy(xy: tuple[list[float], list[float]], u: float, v: float) -> None:
    x, y = np.cumsum(xy[0]), np.asarray(xy[1])
    with np.errstate(over="ignore"):  # SciPy's slopes overflow where two qualities differ by less than 1e-307
        theirs = PchipInterpolator(x, y)
    np.testing.assert_allclose(curves.slopes(x, y), theirs.derivative()(x), atol=1e-9, rtol=1e-9)
    low, high = (x[0] + w * (x[-1] - x[0]) for w in sorted((u, v)))
    ours = curves.integral(x[None], y[None], np.asarray([low]), np.asarray([high]))
    np.testing.assert_allclose(ours[0], theirs.integrate(low, high), atol=1e-9, rtol=1e-9)
    first, last = curves.crossings(x[None], y[None], np.asarray([np.float64(theirs(low))]))
    for at in (first[0], last[0]):
        if math.isfinite(at):
            assert theirs(at) == pytest.approx(float(theirs(low)), abs=1e-6)


def test_every_draw_of_the_interval_is_the_package_s_value() -> None:
    import bjontegaard

    rng = np.random.default_rng(11)
    who = np.repeat(np.arange(12), 3)
    a, b = simulated(rng, statistics.bootstrap(len(who), who.tolist()), who)
    theirs = [
        bjontegaard.bd_rate(a.rate, a.qualities[i], b.rate, b.qualities[i], "pchip", min_overlap=0) for i in range(2000)
    ]
    tail = a.bootstrap.tail
    d = bd_rate(a, b)
    assert d.left_out == 0
    assert (d.low, d.high) == pytest.approx(tuple(np.quantile(theirs, [tail, 1 - tail])))
