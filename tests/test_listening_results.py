"""Statistics of listening tests against values worked out by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import listening_run
import numpy as np
import pytest
from codecbench.bench.cli import main
from codecbench.bench.listening import abx, correlation, mushra, read, summary
from codecbench.bench.listening.plan import Clip, Condition, Trial
from codecbench.bench.listening.store import Listening, Rating, Session, now
from codecbench.bench.store import Store

CONDITIONS = {
    "ref": ("reference", "", 1, 0),
    "low": ("lowpass", "3.5k", 0, 1),
    "mid": ("lowpass", "7k", 0, 1),
    "good": ("opus", "24", 0, 0),
    "bad": ("opus", "6", 0, 0),
}
NAMES = list(CONDITIONS)


def rating(what: str, value: float, item: int = 0, session: str = "s", method: str = "mushra") -> Rating:
    codec, point, is_reference, is_anchor = CONDITIONS[what]
    return Rating(
        session=session, trial=item, condition=NAMES.index(what), method=method, corpus="c", clip=f"clip {item}",
        content="speech", codec=codec, point=point, is_reference=is_reference, is_anchor=is_anchor, is_training=0,
        wave="", rating=value, answer="", position=0.0, seconds=1.0, created=now(),
    )  # fmt: skip


def fill(folder, ratings: dict[str, list[Rating]], method: str = "mushra", trials: int | None = None) -> None:
    """One session a listener with these ratings, all trials finished; `trials` in its plan."""
    store = Listening(folder, create=True)
    trial = Trial(Clip("c", "x", "speech", "", 0.0, 1.0, 16000), (Condition("opus", "24", "system", "w"),))
    with store:
        for who, given in ratings.items():
            done = {r.trial for r in given}
            plan = (trial,) * (len(done) if trials is None else trials)
            store.add_session(Session(given[0].session, who, method, 0, plan, now()))
            for one in given:
                store.put(one)
            for number in done:
                store.finish(given[0].session, number, 5.0)
    store.close()


def reference_rated(low: int, of: int) -> list[tuple[str, Rating]]:
    return [("me", rating("ref", 89 if i < low else 90, i)) for i in range(of)]


@pytest.mark.parametrize(
    ("low", "of", "out"),
    [(1, 7, False), (2, 7, True), (3, 20, False), (4, 20, True), (1, 1, True), (0, 5, False)],
)
def test_more_than_15_percent_of_hidden_references_below_90(low, of, out):
    excluded = mushra.screen(reference_rated(low, of))
    assert bool(excluded) == out
    if out:
        assert excluded[0].listener == "me"
        assert f"below 90 in {low} of {of} items" in excluded[0].reason


def test_the_mid_anchor_excludes_unless_the_item_is_weak():
    quiet = [(f"l{i}", rating("mid", 50, item)) for i in range(9) for item in range(5)]
    loud = [("deaf", rating("mid", 91, item)) for item in range(5)]
    assert [e.listener for e in mushra.screen(quiet + loud)] == ["deaf"]  # 1 of 10 above 90 on each item
    # On items 0 and 1 three of ten listeners go above 90, more than a quarter: these items exclude nobody.
    more = [
        (who, rating("mid", 95 if who in ("l0", "l1") and r.clip in ("clip 0", "clip 1") else 50, int(r.clip[5:])))
        for who, r in quiet
    ]
    assert [e.listener for e in mushra.screen(more + loud)] == ["deaf"]
    assert "3 of 3 items" in mushra.screen(more + loud)[0].reason
    # Exactly a quarter is not more than a quarter.
    four = [(f"l{i}", rating("mid", 91 if i == 0 else 50, item)) for i in range(4) for item in range(5)]
    assert [e.listener for e in mushra.screen(four)] == ["l0"]
    two = [(f"l{i}", rating("mid", 91, item)) for i in range(2) for item in range(5)]
    assert mushra.screen(two) == []
    assert mushra.screen([("me", rating("mid", 90, 0)), *quiet]) == []
    assert mushra.screen([("me", rating("low", 100, 0))]) == []  # the low anchor has no rule


def test_abx_by_hand():
    nine = abx.count(9, 10)
    assert nine.p == pytest.approx(11 / 1024)  # (10 choose 9) + (10 choose 10) of 2^10
    assert nine.share == 0.9
    ten = abx.count(10, 10)
    assert ten.p == pytest.approx(1 / 1024)
    assert (ten.low, ten.high) == pytest.approx((0.025 ** (1 / 10), 1.0))
    assert abx.count(0, 4).p == 1.0
    for right, trials in ((3, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="right answers"):
            abx.count(right, trials)


def test_mushra_means_after_screening(tmp_path):
    people = {
        f"listener {i}": [rating(what, value + i, item, f"s{i}") for item in range(2) for what, value in
                          {"ref": 94, "low": 10, "mid": 40, "good": 80, "bad": 30}.items()]
        for i in range(6)
    }  # fmt: skip
    people["asleep"] = [rating(what, 50, item, "s9") for item in range(2) for what in NAMES]
    fill(tmp_path, people)
    found = read(tmp_path)
    assert [e.listener for e in found.excluded] == ["asleep"]
    assert found.sessions == {"mushra": 7}
    assert found.unfinished == ()
    scores = {(s.codec, s.point): s for s in found.scores}
    good = scores["opus", "24"]
    assert (good.mean, good.median, good.listeners, good.ratings) == (82.5, 82.5, 6, 12)
    assert (good.q1, good.q3) == (81.0, 84.0)
    assert math.isnan(good.p)
    # Listeners' means are 80 ... 85: Student's t gives 82.5 +- 2.571 * sqrt(3.5 / 6) = 1.964. The bootstrap over
    # listeners is a little narrower here, since their even spread has no tails.
    assert good.low == pytest.approx(82.5 - 1.964, abs=0.4)
    assert good.high == pytest.approx(82.5 + 1.964, abs=0.4)
    assert scores["reference", ""].role == "reference"
    assert scores["lowpass", "7k"].role == "anchor"
    assert summary(tmp_path) == list(found.scores)


def test_only_finished_trials_that_count_are_counted(tmp_path):
    store = Listening(tmp_path, create=True)
    trial = Trial(Clip("c", "x", "speech", "", 0.0, 1.0, 16000), (Condition("opus", "24", "system", "w"),))
    with store:
        store.add_session(Session("s", "me", "acr", 0, (trial,) * 4, now()))
        store.put(replace(rating("good", 1, 0, method="acr"), is_training=1))
        store.put(rating("good", 4, 1, method="acr"))
        store.put(rating("good", 5, 2, method="acr"))
        store.finish("s", 0, 1.0)
        store.finish("s", 1, 1.0)
    store.close()
    found = read(tmp_path)
    assert [(s.method, s.mean, s.ratings) for s in found.scores] == [("acr", 4.0, 1)]
    assert math.isnan(found.scores[0].low)
    assert found.unfinished == ("acr of me: 2 of 4 trials, training included",)


def test_a_run_nobody_listened_to_has_no_scores(tmp_path):
    assert summary(tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_ratings_of_what_the_run_no_longer_holds_do_not_count(tmp_path):
    made = listening_run.build(tmp_path, clips=1, seconds=0.6)
    store = Store(made.folder)
    waves = {r["point"]: r["wave"] for r in store.rows("SELECT point, wave FROM results WHERE codec = 'opus'")}
    store.close()
    now_24 = replace(rating("good", 80, 0), corpus="hand", clip=listening_run.NASTY, wave=waves["24"])
    before_24 = replace(now_24, session="t", rating=20.0, wave="what opus gave before")
    reference = [replace(rating("ref", 100, 0), session=name) for name in ("s", "t")]
    fill(made.folder, {"new": [now_24, reference[0]], "old": [before_24, reference[1]]})
    found = read(made.folder)
    assert [(s.codec, s.mean, s.ratings) for s in found.scores] == [("opus", 80.0, 1), ("reference", 100.0, 2)]
    assert found.outdated == ("mushra of opus@24: 1 ratings do not count, the run no longer holds what was heard",)


def test_abx_pools_listeners(tmp_path):
    people = {
        f"l{i}": [rating("good", float(item < 4), item, f"s{i}", "abx") for item in range(5)] for i in range(2)
    }  # fmt: skip
    fill(tmp_path, people, "abx")
    [score] = summary(tmp_path)
    assert (score.mean, score.listeners, score.ratings) == (0.8, 2, 10)
    assert score.p == pytest.approx((45 + 10 + 1) / 1024)


def test_correlation_by_hand():
    objective = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "e": 5.0, "gone": math.nan}
    said = {"a": 10.0, "b": 30.0, "c": 20.0, "d": 40.0, "e": 50.0, "gone": 1.0, "only here": 2.0}
    found = correlation(objective, said)
    assert found.n == 5
    assert found.pearson == pytest.approx(0.9)  # deviations: 90 / sqrt(10 * 1000)
    assert found.spearman == pytest.approx(0.9)  # 1 - 6 * 2 / (5 * 24)
    half = 1.959964 / math.sqrt(2)
    assert found.pearson_low == pytest.approx(math.tanh(math.atanh(0.9) - half))
    assert found.pearson_high == pytest.approx(math.tanh(math.atanh(0.9) + half))
    wider = half * math.sqrt(1 + 0.81 / 2)
    assert found.spearman_low == pytest.approx(math.tanh(math.atanh(0.9) - wider))
    assert found.reason == ""


def test_no_correlation_without_points_or_spread():
    few = correlation({i: float(i) for i in range(4)}, {i: float(i) for i in range(9)})
    assert math.isnan(few.pearson)
    assert "needs 5" in few.reason
    flat = correlation(dict.fromkeys(range(6), 1.0), {i: float(i) for i in range(6)})
    assert math.isnan(flat.spearman)
    assert "the same score" in flat.reason
    line = correlation({i: float(i) for i in range(6)}, {i: 2.0 * i for i in range(6)})
    assert (line.spearman, line.spearman_low) == (1.0, 1.0)
    assert line.pearson == pytest.approx(1.0)


def test_the_interval_of_a_correlation_holds_its_level():
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(300):
        x, noise = rng.standard_normal((2, 25))
        y = 0.6 * x + 0.8 * noise
        found = correlation(dict(enumerate(x)), dict(enumerate(y)))
        inside += found.pearson_low <= 0.6 <= found.pearson_high
    assert 0.91 <= inside / 300 <= 0.985


def test_results_as_table_and_json(tmp_path, capsys):
    fill(
        tmp_path,
        {"me": [rating(w, 100 if w == "ref" else 50, 0) for w in NAMES], "you": [rating("ref", 60, 0, "t")]},
        trials=2,
    )
    assert main(["listen", "results", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "opus 24" in out
    assert "lowpass 3.5k (anchor)" in out
    assert "excluded: you: rated the hidden reference below 90 in 1 of 1 items" in out
    assert "speaks of these listeners alone" in " ".join(out.split())
    assert "not finished: mushra of me: 1 of 2" in err
    assert main(["listen", "results", str(tmp_path), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert {s["codec"] for s in data["scores"]} == {"opus", "reference", "lowpass"}
    assert data["scores"][0]["low"] is None
