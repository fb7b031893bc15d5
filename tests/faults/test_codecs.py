"""Runs with codecs that do what no codec should: each costs its own rows, and those of the others are what they are
without it. Clips that change while a run is under way are not scored."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pandas as pd
import pytest
import soundfile as sf
from codecbench.bench.cli import main
from faults._support import command, environment, linux, make_clips, results, rows, start
from faults.misdeeds import DEADLY, HARMLESS

pytestmark = linux

MODULE = Path(__file__).with_name("bad_codecs.py")


@pytest.fixture
def bench(tmp_path, monkeypatch, forget_codecs, capfd):
    """Runs codecs of the module over two clips; exit code, the JSON, the table of scores."""
    monkeypatch.setenv("CODECBENCH_HERE", os.getcwd())
    clips = make_clips(tmp_path / "clips", 2)

    def run(codecs: str, *more: str):
        folder = tmp_path / codecs
        args = ["--corpus", str(clips), "--codec-module", str(MODULE), "--codecs", codecs, "--out", str(folder)]
        args += ["--metrics", "si_sdr,lsd", "--no-timing", "--no-cache", "--json", *more]
        code = main(["run", *args])
        out, err = capfd.readouterr()
        assert err == "", "what codecs print goes nowhere"
        return (
            code,
            json.loads(out),
            pd.read_csv(folder / "scores.csv", dtype={"point": str}).set_index(["codec", "point", "clip"]),
        )

    return run


def test_bad_codecs_cost_their_own_rows(bench):
    _, _, alone = bench("w_good", "--jobs", "1")
    code, outcome, table = bench("w_bad,w_good", "--jobs", "1")
    pd.testing.assert_frame_equal(table.loc[["w_good"]], alone, check_dtype=False)
    assert code == 1
    bad = table.loc["w_bad"]
    raised = {deed.__name__ for deed in HARMLESS["raised"] if "sent" not in deed.__name__}
    gives = {point for point, _ in bad.index if point.startswith("gives")}
    failed = bad[bad["status"] == "failed"]
    assert {point for point, _ in failed.index} == raised | gives
    assert set(failed["reason"]) == {"codec_failed"}
    assert failed[["si_sdr", "lsd"]].isna().all().all()
    assert outcome["failed"] == len(failed) == 2 * len(raised | gives)
    good = bad[bad["status"] == "ok"]
    expected = alone.loc[("w_good", "16")]
    for point, rows_of_point in good.groupby(level="point"):
        assert rows_of_point.droplevel("point")["si_sdr"].to_dict() == expected["si_sdr"].to_dict(), point


@pytest.mark.slow
def test_deadly_codecs_cost_their_own_rows(bench):
    _, _, alone = bench("w_good", "--jobs", "2")
    code, _, table = bench("w_deadly,w_good", "--jobs", "2", "--timeout", "5")
    pd.testing.assert_frame_equal(table.loc[["w_good"]], alone, check_dtype=False)
    assert code == 1
    reasons = {point: reason for (_, point, _), reason in table.loc[["w_deadly"], "reason"].items()}
    names = {deed.__name__: kind for kind, deeds in DEADLY.items() for deed in deeds if "memory" not in deed.__name__}
    assert reasons == names


@pytest.mark.slow
def test_clips_that_change_during_a_run_are_not_scored(tmp_path):
    clips = make_clips(tmp_path / "clips", 5)
    shutil.copytree(clips, tmp_path / "before")
    module = Path(__file__).with_name("slow_codec.py")
    args = ["--corpus", str(clips), "--codec-module", str(module), "--codecs", "s_slow", "--jobs", "1"]
    args = command(tmp_path / "run", *args)
    process = start(args, environment(tmp_path / "cache", CODECBENCH_TEST_SECONDS="0.8"))
    while not results(tmp_path / "run"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    samples, rate = sf.read(clips / "clip02.wav", dtype="int16")
    sf.write(clips / "clip02.wav", samples // 2, rate)  # the same length
    blob = (clips / "clip03.wav").read_bytes()
    (clips / "clip03.wav").write_bytes(blob[: len(blob) // 2])
    (clips / "clip04.wav").unlink()
    assert process.communicate(timeout=120)[1] == ""
    assert process.returncode == 1
    told = {str(clip): (reason, str(detail)) for clip, reason, detail in rows(tmp_path / "run", REASONS)}
    assert {clip: reason for clip, (reason, _) in told.items()} == {
        **dict.fromkeys(["clip00", "clip01"], ""),
        **dict.fromkeys(["clip02", "clip03", "clip04"], "clip_unreadable"),
    }
    for clip in ("clip02", "clip03"):
        assert told[clip][1].endswith(f"{clip}.wav: the file has changed since the run was planned")
    assert told["clip04"][1].endswith("clip04.wav: No such file or directory")
    assert rows(tmp_path / "run", "SELECT count(*) FROM scores WHERE value IS NOT NULL") == [(4,)]
    # The same command takes what is there now.
    (clips / "clip03.wav").write_bytes(blob)
    env = environment(tmp_path / "cache", CODECBENCH_TEST_SECONDS="0")
    process = start([*args, "--retry-failed"], env)
    assert process.communicate(timeout=120)[1] == ""
    assert process.returncode == 0
    assert rows(tmp_path / "run", REASONS) == [(f"clip0{number}", "", "") for number in range(4)]
    process = start([a.replace(str(tmp_path / "run"), str(tmp_path / "anew")) for a in args], env)
    assert process.communicate(timeout=120)[1] == ""
    scores = "SELECT clip, metric, value FROM scores ORDER BY clip, metric"
    assert rows(tmp_path / "run", scores) == rows(tmp_path / "anew", scores)


REASONS = "SELECT clip, reason, detail FROM results ORDER BY clip"
