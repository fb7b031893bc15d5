"""The sentences of a page's verdict, from statements and rankings made by hand."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from codecbench.bench.matching import Match
from codecbench.bench.ranking import rank
from codecbench.reports import verdict
from codecbench.reports.verdict import amount, listed, rate

NAN = math.nan


def matched(point: str, own: float, curve: str, kind: str, *rates: float, reason: str = "") -> Match:
    value, low, high = rates or (NAN, NAN, NAN)
    return Match(point, curve, kind, own, value, low, high, reason=reason)  # type: ignore[arg-type]


def test_a_match_is_told_with_its_interval() -> None:
    found = [matched("neural", 6.0, "classic", "matches", 12.345, 11.0, 14.0)]
    assert verdict.matches(found) == ["neural at 6.00 kbit/s scores as classic at 12.3 kbit/s (11.0 to 14.0)."]


def test_what_lies_beyond_a_curve_is_told_by_the_end_that_is_known() -> None:
    found = [
        matched("neural", 6.0, "a", "at_least", 20.0, 18.0, NAN),
        matched("neural", 6.0, "b", "at_most", 5.0, NAN, 7.0),
        matched("neural", 6.0, "c", "above_all"),
        matched("neural", 6.0, "d", "below_all"),
        matched("neural", 6.0, "e", "undecided", reason="the interval is wider than all of e"),
    ]
    (said,) = verdict.matches(found)
    assert said == (
        "neural at 6.00 kbit/s scores as a at 18.0 kbit/s or more and b at 7.00 kbit/s or less; "
        "it is above every point of c; it is below every point of d."
    )
    assert "20" not in said  # an estimate without an interval is not claimed
    assert not re.search(r"\be\b", said)


def test_nothing_is_claimed_where_nothing_is_decided() -> None:
    found = [matched("neural", r, "classic", "undecided", 9.0, NAN, NAN, reason="too few items") for r in (3.0, 6.0)]
    assert verdict.matches(found) == ["No rate is matched to another: too few items."]
    assert verdict.matches([]) == []


def test_points_with_the_same_statement_share_a_sentence() -> None:
    found = [matched("neural", r, c, "below_all") for r in (3.0, 6.0) for c in ("a", "b")]
    assert verdict.matches(found) == ["neural at 3.00 and 6.00 kbit/s is below every point of a and b."]


def test_sentences_are_few_the_most_telling_first_and_codecs_take_turns() -> None:
    found = [matched("one", float(r), "x", "matches", r * 2.0, r * 1.9, r * 2.1) for r in range(1, 9)]
    found += [matched("two", 4.0, "x", "above_all")]
    said = verdict.matches(found)
    assert len(said) == verdict.MOST
    assert [s.split()[0] for s in said[:2]] == ["one", "two"]
    many = [matched("one", 4.0, f"c{i}", "matches", 9.0, 9.0 - i, 9.0 + i) for i in range(8)]
    (one,) = verdict.matches(many)
    assert one.endswith("c3 at 9.00 kbit/s (6.00 to 12.0) and 4 more.")  # the narrowest intervals


def test_table_has_every_statement() -> None:
    found = [
        matched("n", 6.0, "a", "matches", 12.0, 11.0, 14.0),
        matched("n", 6.0, "b", "undecided", reason="b passes this quality more than once"),
        matched("n", 12.0, "a", "at_least", 30.0, 25.0, NAN),
        matched("n", 12.0, "b", "below_all"),
    ]
    heads, rows = verdict.table(found)
    assert heads == ["a", "b"]
    assert [(row.codec, row.kbps) for row in rows] == [("n", "6.00"), ("n", "12.00")]
    assert rows[0].cells == (("12.0", "11.0 to 14.0"), ("–", "b passes this quality more than once"))
    assert rows[1].cells == (("≥ 25.0", ""), ("below all", ""))


@pytest.fixture
def scores() -> np.ndarray:
    rng = np.random.default_rng(1)
    items = rng.normal(0, 0.3, 40)
    return np.stack([mean + items + rng.normal(0, 0.02, 40) for mean in (4.0, 4.0, 3.0, 2.0)])


def test_the_best_point_and_its_likes(scores: np.ndarray) -> None:
    names = ["a 1", "b 2", "c 3", "d 4"]
    said = verdict.best(rank(scores), names, "MOS")
    assert re.fullmatch(r"Best mean MOS: (a 1|b 2); it cannot be told apart from (a 1|b 2)\.", said)
    assert verdict.best(rank(scores[1:]), names[1:], "MOS") == "Best mean MOS: b 2, told apart from every other point."
    assert verdict.best(rank(scores[:2]), names, "MOS").endswith("it cannot be told apart from any other point.")
    assert "so few clips" in verdict.best(rank(scores[:, :3]), names, "MOS")
    assert verdict.best(rank(scores[:1]), names, "MOS") == ""
    low = verdict.best(rank(scores, higher_is_better=False), names, "LSD")
    assert low == "Best mean LSD: d 4, told apart from every other point."


def test_how_fine_a_run_can_see(scores: np.ndarray) -> None:
    ranking = rank(scores)
    said = verdict.resolution(ranking, 3, "dB")
    assert said.startswith("Of 3 pairs of neighbours in the ranking, 1 cannot be told apart.")
    assert f"{ranking.smallest():.3f} dB among all pairs" in said
    assert f"{ranking.smallest(corrected=False):.3f} dB for one pair" in said
    assert verdict.resolution(rank(scores[:, :3]), 3) == ""
    assert verdict.resolution(rank(scores[1:]), 3).startswith("Each point is told apart from the next in the ranking.")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (rate(9.8149), "9.81"),
        (rate(39.0), "39.0"),
        (rate(128.4), "128"),
        (rate(1411.2), "1411"),
        (amount(0.004, 2), "0.004"),
        (amount(0.116, 2), "0.12"),
        (listed(["a"]), "a"),
        (listed(["a", "b"]), "a and b"),
        (listed(list("abcdefg")), "a, b, c, d and 3 more"),
    ],
)
def test_words(text: str, want: str) -> None:
    assert text == want
