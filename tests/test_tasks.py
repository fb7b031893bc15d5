"""The tasks that workers run, run here: self-checks, timing, units."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from codecbench.bench import checks, timing, work
from codecbench.bench.checks import ORDERS, CheckTask, broken_row, check_tasks
from codecbench.bench.fingerprint import _is_helper, codec_fingerprint, metric_fingerprint, module_source
from codecbench.bench.metrics import Score, registry
from codecbench.bench.plan import limit
from codecbench.bench.timing import TimingTask, failed_row
from codecbench.bench.work import ScoreValue, Unit
from codecbench.codecs import registry as codecs
from codecbench.codecs._load import load_module
from codecbench.corpora import Item
from codecbench.corpora import registry as corpora

SPEECH = [item.path for item in corpora.get("speech").items(None)]


@pytest.fixture(autouse=True, scope="module")
def test_codecs():
    load_module(Path(__file__).with_name("run_codecs.py"))


def quiet(stage):
    """A task's stages, for nobody."""


@pytest.mark.parametrize("check", ["identity", *ORDERS])
def test_self_checks_pass_here(check):
    names = ("pesq_wb", "stoi", "visqol_speech", "si_sdr", "loudness_diff")
    rows = CheckTask(check, "speech", tuple(SPEECH[:2]), names).run(quiet)
    assert rows
    assert all(row.passed for row in rows), rows
    assert all(row.name.startswith(f"speech {check} ") for row in rows)


def test_self_checks_fail_where_something_is_wrong(monkeypatch):
    wrong = {"stoi": 0.5, "pesq_wb": math.nan}
    monkeypatch.setattr(checks, "evaluate", lambda metric, ref, deg: Score(wrong[metric.name]))
    for check in ("identity", "mnru"):
        rows = CheckTask(check, "speech", tuple(SPEECH[:1]), ("stoi", "pesq_wb")).run(quiet)
        assert len(rows) == 2
        assert not any(row.passed for row in rows)
        assert any("missing" in row.detail for row in rows)


def test_checks_are_made_only_where_they_say_something():
    assert [t.check for t in check_tasks("speech", (), ("loudness_diff",))] == ["identity"]
    assert [t.check for t in check_tasks("speech", (), ("stoi",))] == ["identity", "mnru"]
    row = broken_row(check_tasks("speech", (), ("stoi",))[0], "crashed: exit code -11")
    assert (row.passed, row.detail) == (0, "crashed: exit code -11")


@pytest.mark.parametrize(("codec", "point"), [("opus", "12"), ("g711_mulaw", "64"), ("amr_wb", "6.6")])
def test_timing_rows(codec, point):
    adapter = codecs.get(codec)
    if adapter.available():
        pytest.skip(str(adapter.available()))
    rows = TimingTask(codec, point, "speech", ((SPEECH[0], 0.0, 2.0), (SPEECH[1], 0.0, 2.0)), 3).run(quiet)
    found = {row.direction: row for row in rows}
    route = "subprocess_slope" if adapter.encode_route == "subprocess" else "inprocess"
    assert found["encode"].method == route
    assert found["decode"].method == "inprocess"
    for direction in ("encode", "decode"):
        row = found[direction]
        assert row.wall_rtf is not None
        assert 0 <= row.wall_rtf < 2
        assert row.cpu_rtf is not None
        assert row.wall_spread is not None
    if "frame" in found:
        assert found["frame"].p50_ms is not None
        assert found["frame"].p50_ms <= found["frame"].p99_ms
    row = failed_row(TimingTask(codec, point, "speech", (), 3), "crashed")
    assert (row.wall_rtf, row.reason) == (None, "crashed")


def test_times_say_what_they_were_measured_on(monkeypatch):
    task = TimingTask("t_good", "14", "speech", ((SPEECH[0], 0.0, 1.0),), 1)
    assert {row.device for row in task.run(quiet)} == {"cpu"}
    monkeypatch.setattr(timing, "label_of", lambda codec: f"GPU of {codec.name}")
    assert {row.device for row in task.run(quiet)} == {"GPU of t_good"} == {failed_row(task, "crashed").device}


@pytest.fixture
def cache(tmp_path):
    yield tmp_path
    work._index(tmp_path).close()
    work._index.cache_clear()


def test_timing_counts_both_channels_of_a_mono_codec(tmp_path, monkeypatch):
    monkeypatch.setenv("CODECBENCH_TEST_LOG", str(tmp_path / "log"))
    music = corpora.get("music").items(None)[0].path
    rows = TimingTask("t_good", "14", "music", ((music, 0.0, 1.0),), 3).run(quiet)
    assert [row.direction for row in rows] == ["encode", "decode"]
    calls = (tmp_path / "log").read_text().split("\n")
    warm_up_and_repeats, to_have_something_to_decode = (1 + 3) * 2, 2
    assert calls.count("encode t_good 14") == warm_up_and_repeats + to_have_something_to_decode
    assert calls.count("decode t_good 14") == warm_up_and_repeats


def unit(folder, **changes):
    metrics = tuple((name, metric_fingerprint(registry.get(name))) for name in ("si_sdr", "stoi"))
    given = Unit(
        corpus="speech",
        clip="a",
        path=SPEECH[0],
        start=0.0,
        max_seconds=2.0,
        content="speech",
        clip_key="k" * 64,
        codec="t_good",
        point="10",
        fingerprint="f" * 64,
        metrics=metrics,
        cache=folder,
    )
    return dataclasses.replace(given, **changes)


def test_a_unit_is_coded_once_and_scored_the_same_from_the_cache(cache, monkeypatch):
    first = unit(cache).run(quiet)
    assert first.reason == ""
    assert first.clip == (16000, 2.0, 1)
    assert first.coded is not None
    assert first.coded.bits == 2 * 16000 * 10
    good = type(codecs.get("t_good"))
    monkeypatch.setattr(good, "encode", None)  # from here on, coding would raise
    monkeypatch.setattr(good, "decode", None)
    again = unit(cache).run(quiet)
    assert (again.coded, again.scores) == (first.coded, first.scores)
    skipped = unit(cache, skip=(ScoreValue("stoi", None, "crashed", "-11"),)).run(quiet)
    assert skipped.scores == (first.scores[0], ScoreValue("stoi", None, "crashed", "-11"))


def test_what_is_wrong_with_a_unit_comes_back_as_its_reason(cache):
    bad = unit(cache, path=cache / "none.wav", clip_key="x").run(quiet)
    assert (bad.reason, bad.clip, bad.scores) == ("clip_unreadable", None, ())
    refused = unit(cache, codec="t_raises").run(quiet)
    assert (refused.reason, refused.detail) == ("codec_failed", "refuses everything")
    assert refused.clip is not None


def test_fingerprints_follow_versions_and_helpers(monkeypatch):
    opus, g711 = codecs.get("opus"), codecs.get("g711_mulaw")
    points = [opus.point("6", "speech"), g711.points[0]]
    before = [codec_fingerprint(c, p) for c, p in zip((opus, g711), points, strict=True)]
    assert before[0] != codec_fingerprint(opus, opus.point("9", "speech"))
    monkeypatch.setattr(opus, "versions", lambda: {"libopus": "another"})
    after = [codec_fingerprint(c, p) for c, p in zip((opus, g711), points, strict=True)]
    assert after[0] != before[0]
    assert after[1] == before[1]
    assert module_source("codecbench.codecs.opus") != module_source("codecbench.codecs.g711")
    for name, follows in (
        ("codecbench.codecs._av", True),
        ("codecbench.codecs.neural.conv", True),
        ("codecbench.bench.metrics._visqol", True),
        ("codecbench.codecs.opus", False),
        ("codecbench.bench.audio", False),
    ):
        assert _is_helper(name) is follows


def test_a_limit_takes_many_speakers_and_the_same_clips_again():
    items = [Item(f"{s}{i}", "c", Path("x"), "speech", speaker=s) for s in "abcd" for i in range(5)]
    four = limit(items, 4, seed=0)
    assert {item.speaker for item in four} == set("abcd")
    assert four == limit(items, 4, seed=0) == sorted(four, key=lambda item: item.id)
    assert [limit(items, 4, seed) for seed in range(5)].count(four) < 5
    assert limit(items, None, 0) == limit(items, 99, 0) == items
    assert len(limit(items, 7, 0)) == 7


def test_the_reference_in_a_worker_is_that_of_the_last_clip(tmp_path):
    work._reference.cache_clear()
    for path in (SPEECH[0], SPEECH[0], SPEECH[1]):
        work._reference(path, 0.0, 1.0, "")
    assert work._reference.cache_info().hits == 1
    assert work._reference.cache_info().currsize == 1
