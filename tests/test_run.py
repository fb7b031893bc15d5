"""Runs end to end: what is good is scored, what is bad is a row with its reason, and nothing is computed twice."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from pathlib import Path

import codecbench
import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from codecbench.bench.cli import main
from codecbench.corpora import registry as corpora

MODULE = str(Path(__file__).with_name("run_codecs.py"))
FAST = ["--metrics", "stoi,si_sdr", "--no-timing", "--quiet", "--jobs", "2"]


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("CODECBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CODECBENCH_TEST_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("CODECBENCH_TEST_VERSION", "1")
    monkeypatch.chdir(tmp_path)


def calls(tmp_path) -> Counter[str]:
    """What the codecs logged since the last call."""
    log = tmp_path / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return Counter(line.split()[0] for line in lines)


def bench(*args: str) -> int:
    return main(["run", "--codec-module", MODULE, *args])


def rows(folder, query):
    db = sqlite3.connect(Path(folder) / "results.sqlite")
    db.row_factory = sqlite3.Row
    found = [dict(row) for row in db.execute(query)]
    db.close()
    return found


def test_bad_codecs_are_rows_and_the_rest_goes_on(tmp_path):
    code = bench(
        "--codecs", "t_good,t_raises,t_dies,t_hangs,t_absent", "--limit", "2", "--timeout", "12", "--out", "r", *FAST
    )
    assert code == 1
    status = {(r["codec"], r["point"]): r for r in rows("r", "SELECT * FROM results")}
    assert len(rows("r", "SELECT * FROM results")) == 2 * 6
    assert status["t_good", "10"]["status"] == "ok"
    assert status["t_raises", "10"]["reason"] == "codec_failed"
    assert "refuses everything" in status["t_raises", "10"]["detail"]
    assert "EOFError" in status["t_raises", "14"]["detail"]
    assert "run_codecs.py" in status["t_raises", "14"]["detail"]  # its traceback
    assert status["t_dies", "14"]["reason"] == "crashed"
    assert status["t_hangs", "14"]["reason"] == "timeout"
    assert rows("r", "SELECT DISTINCT unavailable AS u FROM points WHERE codec = 't_absent'") == [
        {"u": "its program is not here: get it somewhere"}
    ]
    frame = codecbench.load("r")
    good = frame[frame.codec == "t_good"]
    assert good[["stoi", "si_sdr"]].notna().all().all()
    bad = frame[(frame.codec != "t_good")]
    assert bad[["stoi", "si_sdr"]].isna().all().all()
    assert set(bad["stoi_reason"]) == {"codec_failed"}
    assert calls(tmp_path)["dies"] == 2 * 3  # tried three times a clip, each in a worker of its own
    # Failures stay as they are until asked for.
    assert bench("--codecs", "t_good,t_raises,t_dies,t_hangs,t_absent", "--limit", "2", "--out", "r", *FAST) == 1
    assert calls(tmp_path)["dies"] == 0


def test_a_metric_that_crashes_costs_only_itself(tmp_path):
    args = ("--codecs", "t_good@10", "--limit", "1", "--no-timing", "--quiet", "--jobs", "1", "--out", "r")
    assert bench("--metrics", "stoi,t_crash,si_sdr", *args) == 3  # its self-check crashed, too
    (row,) = codecbench.load("r").to_dict("records")
    assert row["status"] == "ok"
    assert 0.9 < row["stoi"] <= 1
    assert row["si_sdr"] > 20
    assert np.isnan(row["t_crash"])
    assert row["t_crash_reason"] == "crashed"
    (check,) = rows("r", "SELECT * FROM checks WHERE passed = 0")
    assert "crashed" in check["detail"]
    # Asked to, it tries again what crashed, and codes nothing for it.
    calls(tmp_path)
    assert bench("--metrics", "stoi,t_crash,si_sdr", *args, "--retry-failed") == 3
    assert calls(tmp_path) == {}
    assert codecbench.load("r")["t_crash_reason"].tolist() == ["crashed"]


def test_the_same_call_goes_on_and_computes_nothing_twice(tmp_path):
    args = ("--codecs", "t_good", "--limit", "3", "--out", "r", *FAST)
    assert bench(*args) == 0
    assert calls(tmp_path) == {"encode": 6, "decode": 6}
    first = (tmp_path / "r" / "scores.csv").read_bytes()
    page = (tmp_path / "r" / "index.html").stat().st_mtime_ns
    assert bench(*args) == 0
    assert calls(tmp_path) == {}
    assert (tmp_path / "r" / "index.html").stat().st_mtime_ns == page
    # Rows lost from the store come back from the cache.
    db = sqlite3.connect(tmp_path / "r" / "results.sqlite")
    db.execute("DELETE FROM results WHERE point = '10'")
    db.commit()
    db.close()
    assert bench(*args) == 0
    assert calls(tmp_path) == {}
    assert (tmp_path / "r" / "scores.csv").read_bytes() == first
    # A fresh start computes the same without a cache.
    assert bench(*args, "--no-resume", "--no-cache") == 0
    assert calls(tmp_path) == {"encode": 6, "decode": 6}
    assert (tmp_path / "r" / "scores.csv").read_bytes() == first


def test_a_new_metric_codes_nothing_and_a_new_version_only_itself(tmp_path, monkeypatch):
    base = ("--limit", "2", "--no-timing", "--quiet", "--jobs", "2")
    assert bench("--codecs", "t_good,g711_mulaw", "--metrics", "si_sdr", "--out", "a", *base) == 0
    assert calls(tmp_path) == {"encode": 4, "decode": 4}
    assert bench("--codecs", "t_good,g711_mulaw", "--metrics", "si_sdr,stoi", "--out", "b", *base) == 0
    assert calls(tmp_path) == {}
    assert codecbench.load("b")["stoi"].notna().all()
    monkeypatch.setenv("CODECBENCH_TEST_VERSION", "2")
    before = {r["codec"]: r["fingerprint"] for r in rows("a", "SELECT codec, fingerprint FROM points")}
    assert bench("--codecs", "t_good,g711_mulaw", "--metrics", "si_sdr", "--out", "a", *base) == 0
    assert calls(tmp_path) == {"encode": 4, "decode": 4}
    after = {r["codec"]: r["fingerprint"] for r in rows("a", "SELECT codec, fingerprint FROM points")}
    assert after["t_good"] != before["t_good"]
    assert after["g711_mulaw"] == before["g711_mulaw"]


def test_a_clip_that_starts_elsewhere_in_its_file_is_another_clip(tmp_path):
    source = next(iter(corpora.get("speech").items(None))).path
    manifest = tmp_path / "mine.csv"
    for start in (0.0, 0.5, 0.5):
        manifest.write_text(f"file,id,start,seconds\n{source},one,{start},1.5\n")
        assert bench("--corpus", str(manifest), "--codecs", "t_good", "--out", "r", *FAST) == 0
        (clip,) = rows("r", "SELECT * FROM clips")
        assert (clip["start"], clip["seconds"]) == (start, 1.5)
    assert calls(tmp_path)["encode"] == 2 * 2, "two points, coded anew where the part of the file changed, else kept"


def test_a_codec_that_can_no_longer_run_keeps_what_it_gave(tmp_path, monkeypatch):
    args = ("--codecs", "t_good@10,t_absent@10", "--limit", "1", "--out", "r", *FAST)
    monkeypatch.setenv("CODECBENCH_TEST_PROGRAM", "1")
    assert bench(*args) == 0
    first = (tmp_path / "r" / "scores.csv").read_bytes()
    assert b"t_absent" in first
    monkeypatch.delenv("CODECBENCH_TEST_PROGRAM")
    assert bench(*args) == 0
    (tmp_path / "r" / "index.html").unlink()
    assert codecbench.load("r")["stoi"].notna().sum() == 2
    assert (tmp_path / "r" / "scores.csv").read_bytes() == first


def test_a_clip_that_is_out_of_reach_keeps_what_it_gave(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in "ab":
        sf.write(folder / f"{name}.wav", rng.uniform(-0.5, 0.5, 16000), 16000)
    manifest = folder / "clips.csv"
    manifest.write_text("file,id\na.wav,a\nb.wav,b\n")
    args = ("--corpus", str(manifest), "--codecs", "g711_mulaw", "--metrics", "si_sdr", "--no-timing", "--out", "r")
    assert main(["run", *args, "--quiet"]) == 0
    before = rows("r", "SELECT * FROM scores"), rows("r", "SELECT * FROM results"), rows("r", "SELECT * FROM clips")
    (folder / "a.wav").rename(folder / "elsewhere.wav")
    assert main(["run", *args, "--quiet"]) == 0
    assert (
        rows("r", "SELECT * FROM scores"),
        rows("r", "SELECT * FROM results"),
        rows("r", "SELECT * FROM clips"),
    ) == before


def test_a_folder_holds_one_plan(tmp_path, capsys):
    assert bench("--codecs", "t_good@10", "--limit", "1", "--out", "r", *FAST) == 0
    assert bench("--codecs", "t_good@14", "--limit", "1", "--out", "r", *FAST) == 2
    assert "holds a run of another plan" in capsys.readouterr().err
    assert bench("--codecs", "t_good@14", "--limit", "1", "--out", "r", "--no-resume", *FAST) == 0
    assert set(codecbench.load("r")["point"]) == {"14"}


def test_timing_and_public_api(tmp_path):
    outcome = codecbench.run(
        "quick", codecs=["t_good@14", "opus@12"], metrics=["stoi"], limit=1, codec_modules=[MODULE], jobs=1
    )
    assert outcome.exit_code == 0
    assert outcome.folder.parent == Path("runs")
    timings = {(r["codec"], r["direction"]): r for r in rows(outcome.folder, "SELECT * FROM timings")}
    for codec in ("t_good", "opus"):
        for direction in ("encode", "decode"):
            row = timings[codec, direction]
            assert row["method"] == "inprocess"
            assert 0 < row["wall_rtf"] < 5
            assert 0 <= row["cpu_rtf"] < 5
            assert row["repeats"] == 3
    assert 0 < timings["opus", "frame"]["p50_ms"] <= timings["opus", "frame"]["p99_ms"]
    assert {"name", "family", "unavailable"} <= set(codecbench.list_codecs()[0])


@pytest.fixture
def hostile(tmp_path):
    """A folder of what users have, with the reason that each clip's row must give; None for a right score."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    speech, _ = sf.read(corpora.get("speech").items(None)[0].path, dtype="float32")
    long = np.resize(speech, 16000 * 180)

    def put(name, samples, rate=16000, **kwargs):
        sf.write(folder / name, samples, rate, **kwargs)

    put("good.wav", speech)
    put("silence.wav", np.zeros(48000))
    put("short.wav", speech[20000:21600])
    put("three minutes.flac", long)
    put("8k.wav", speech[::2], 8000)
    put("96k.wav", np.repeat(speech, 6), 96000)
    put("six.wav", np.tile(speech[:, None], (1, 6)))
    put("stereo.wav", np.stack([speech, speech[::-1]], axis=1))
    put('a "quoted"\n\U0001f3b5 <img src=x onerror=alert(1)>.wav', speech)
    put("nan.wav", np.where(np.arange(len(speech)) == 999, np.nan, speech), subtype="FLOAT")
    put("whole.flac", speech)
    blob = (folder / "whole.flac").read_bytes()
    (folder / "truncated.flac").write_bytes(blob[: len(blob) // 2])
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("this is not audio")
    blob = (folder / "good.wav").read_bytes()
    (folder / "cut.wav").write_bytes(blob[: len(blob) // 2])
    os.mkfifo(folder / "fifo.wav")
    (folder / "zeros.wav").symlink_to("/dev/zero")
    (folder / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    blob = (folder / "whole.flac").read_bytes()
    (folder / os.fsdecode(b"caf\xe9.flac")).write_bytes(blob)
    put("secret.wav", speech)
    (folder / "secret.wav").chmod(0)
    return folder


def test_hostile_folder_every_file_is_a_row(hostile):
    code = main(["run", "--corpus", str(hostile), "--codecs", "opus@12,g711_mulaw", "--metrics",
                 "pesq_wb,stoi,visqol_speech,si_sdr", "--no-timing", "--quiet", "--out", "r"])  # fmt: skip
    assert code == 1
    frame = codecbench.load("r")
    files = len(list(hostile.iterdir()))
    assert len(frame) == files * 2
    frame = frame[frame.codec == "opus"].set_index("clip")
    failed = {"empty": "empty", "text": "not readable", "truncated": "truncated", "nan": "NaN", "gone": "No such file"}
    failed |= {"cut": "truncated", "fifo": "a FIFO, not a file", "zeros": "a device, not a file"}
    if os.geteuid() != 0:  # root may read everything
        failed["secret"] = "Permission denied"
    clips = {r["clip"]: r for r in rows("r", "SELECT * FROM clips")}
    for clip, words in failed.items():
        assert frame.loc[clip, "status"] == "failed"
        assert frame.loc[clip, "reason"] == "clip_unreadable"
        assert words in clips[clip]["reason"]
        assert pd.isna(frame.loc[clip, "stoi"])
    assert frame.loc["six", "reason"] == "codec_failed"
    assert frame.loc["silence", "pesq_wb_reason"] == "silent_reference"
    assert frame.loc["silence", "visqol_speech_reason"] == "silent_reference"
    assert frame.loc["short", "pesq_wb_reason"] == "too_short"
    assert frame.loc["8k", "pesq_wb_reason"] == "bandwidth"
    assert 0.6 < frame.loc["8k", "stoi"] <= 1
    for clip in (
        "good",
        "caf\\xe9",
        "three minutes",
        "96k",
        "stereo",
        'a "quoted"\n\U0001f3b5 <img src=x onerror=alert(1)>',
    ):
        assert frame.loc[clip, ["pesq_wb", "stoi", "visqol_speech", "si_sdr"]].notna().all(), clip
        low = 1.0 if clip == "stereo" else 2.0  # two unlike channels share 12 kbit/s
        assert low < frame.loc[clip, "pesq_wb"] <= 4.65, clip
    # Repeated for three minutes, the same speech scores about the same; Opus's first seconds are its worst.
    assert frame.loc["three minutes", "pesq_wb"] == pytest.approx(frame.loc["good", "pesq_wb"], abs=0.6)
    assert "<img src=x" not in Path("r/index.html").read_text()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--suite", "nothing"], "no suite named 'nothing'"),
        (["--codecs", "opsu"], "did you mean opus"),
        (["--codecs", "opus@7"], "no operating point '7'; there are: 6, 9, 12"),
        (["--codecs", "opus", "--points", "77"], "no operating point is left"),
        (["--suite", "music", "--codecs", "opus,amr_wb"], "amr_wb is made for speech, and the clips are music"),
        (["--codecs", "mp3@64+128"], "mp3 128 is made for music, and the clips are speech"),
        (["--metrics", "peskq"], "no metric named 'peskq'"),
        (["--metrics", ","], "--metrics ',' names nothing"),
        (["--corpus", "/no/such/folder"], "/no/such/folder"),
        (["--corpus", "~nobody-here"], "neither a corpus nor a path"),
        (["--seed", "-1"], "seed is -1"),
        (["--codec-module", "/no/such.py"], "not a Python file"),
    ],
)
def test_usage_errors_say_what_there_is(args, message, capsys):
    assert main(["run", *args]) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_dry_run_writes_nothing(tmp_path, capsys):
    assert main(["run", "--suite", "quick", "--dry-run", "--json"]) == 0
    assert '"units": 44' in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
