"""Token statistics: right against scipy, through a whole run, never stale, whatever interrupts it."""

from __future__ import annotations

import csv
import io
import math
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from codecbench.bench import runner
from codecbench.bench.cli import main
from codecbench.bench.tokens import add_codes, entropy_bits
from codecbench.codecs import CodecError, Encoded, Tokens, registry
from codecbench.reports.codebooks import of_point
from codecbench.reports.frame import load, summary, tokens
from codecbench.reports.terminal import print_summary
from rich.console import Console
from scipy.stats import entropy

MODULE = str(Path(__file__).with_name("token_codecs.py"))
RUN = ["run", "--codec-module", MODULE, "--metrics", "si_sdr", "--no-timing", "--quiet", "--jobs", "1", "--out", "r"]
COLUMNS = "codec, point, stage, size, codes, frames_per_second, used, perplexity, clips, packets, seconds, reason"


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("CODECBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CODECBENCH_TEST_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("CODECBENCH_TEST_VERSION", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def clips(tmp_path):
    """A mono clip of 2 s, a stereo clip of 3 s less a little: 100 and 150 frames."""
    folder = tmp_path / "clips"
    folder.mkdir()
    rng = np.random.default_rng(1)
    sf.write(folder / "mono.wav", rng.normal(0, 0.1, 32000), 16000)
    sf.write(folder / "stereo.wav", rng.normal(0, 0.1, (47900, 2)), 16000)
    return folder


def bench(clips, codecs, *more):
    return main([*RUN, "--corpus", str(clips), "--codecs", codecs, *more])


def rows(query=f"SELECT {COLUMNS} FROM tokens ORDER BY codec, point, stage"):
    with closing(sqlite3.connect("r/results.sqlite")) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(query)]


def change(sql):
    with closing(sqlite3.connect("r/results.sqlite", isolation_level=None)) as db:
        db.execute(sql)


def encoded(tmp_path):
    """How often a clip was coded since the last call, by codec and point."""
    log = tmp_path / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return Counter(line.removeprefix("encode ") for line in lines)


@pytest.mark.parametrize(
    "counts",
    [[5] * 1024, [0, 7, 0], [1, 2, 4, 8, 16, 32], [3, 0, 1], list(np.random.default_rng(0).geometric(0.01, 4096))],
)
def test_entropy_is_scipys(counts):
    bits = entropy_bits(np.array(counts))
    assert bits == pytest.approx(entropy(counts, base=2), abs=1e-12)
    assert bits >= 0


def test_perplexity_of_equal_shares_is_their_number():
    assert 2 ** entropy_bits(np.array([9] * 300 + [0] * 700)) == pytest.approx(300)


def test_codes_are_counted_stage_by_stage():
    one = Tokens((4, 2), (np.array([0, 3, 3], np.uint16), np.array([1], np.int32)))
    two = Tokens((4, 2), (np.array([1], np.uint8), np.array([0, 0], np.uint64)))
    counts = add_codes(add_codes([], one), two)
    assert [count.tolist() for count in counts] == [[1, 1, 0, 2], [2, 1]]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (None, "no codes of this clip"),
        (Tokens((4,), (np.array([0]),)), "1 stages of sizes"),
        (Tokens((4, 3), (np.array([0]), np.array([0]))), "sizes"),
        (
            Tokens((4, 2), (np.array([0]), np.array([2]))),
            r"stage 2, 2 to 2 in shape \[1\], are none of a codebook of 2",
        ),
        (Tokens((4, 2), (np.array([-1]), np.array([1]))), "stage 1, -1 to -1"),
        (Tokens((4, 2), (np.array([[1]]), np.array([1]))), "stage 1"),
        (Tokens((4, 2), (np.array([], int), np.array([1]))), "stage 1, empty"),
    ],
)
def test_codes_that_are_none_are_refused(bad, message):
    good = add_codes([], Tokens((4, 2), (np.array([0]), np.array([1]))))
    with pytest.raises(CodecError, match=message):
        add_codes(good, bad)


def shares(stage):
    """Counts over the three streams of the two clips."""
    known = sys.modules[type(registry.get("t_known")).__module__].codes
    return np.bincount(np.concatenate([known(frames)[stage] for frames in (100, 150, 150)]))


def test_a_run_of_known_codes(clips):
    assert bench(clips, "t_known,t_without,t_plain,opus@12") == 0
    found = {(r["codec"], r["point"], r["stage"]): r for r in rows()}
    first, second = found["t_known", "2", 1], found["t_known", "2", 2]
    assert found["t_known", "1", 1] == first | {"point": "1"}
    for row, stage, rate in ((first, 0, 50), (second, 1, 100)):
        counts = shares(stage)
        assert (row["codes"], row["used"]) == (counts.sum(), np.count_nonzero(counts))
        assert row["perplexity"] == pytest.approx(2 ** entropy(counts, base=2))
        assert row["frames_per_second"] == pytest.approx(rate)
        assert (row["clips"], row["packets"], row["reason"]) == (2, 400, "")
        assert row["seconds"] == pytest.approx(5)
    assert (first["size"], second["size"]) == (16, 1024)
    assert {k: r["reason"] for k, r in found.items() if k[0] != "t_known"} == {
        (codec, point, 0): "no_codebooks" for codec, point in (("t_without", "1"), ("t_plain", "1"), ("opus", "12"))
    }

    table = summary("r").set_index(["codec", "point"])
    one, two = table.loc[("t_known", "1")], table.loc[("t_known", "2")]
    assert (one["codebooks"], one["codes"], one["bound_reason"]) == (1, 400, "")
    assert one["tokens_per_second"] == pytest.approx(400 / 5)
    assert one["bits_per_frame"] == 4
    assert one["kbps"] == pytest.approx(4 * 400 / 5 / 1000)
    # Both channels of the stereo clip are in it, as they are in kbps: 3.3 of 4 bits.
    assert one["bound_kbps"] == pytest.approx(400 * entropy(shares(0), base=2) / 5 / 1000)
    assert one["bound_kbps"] == pytest.approx(one["kbps"] * math.log2(10) / 4)
    assert (two["codebooks"], two["codes"], two["bits_per_frame"]) == (2, 400, 24)
    assert two["tokens_per_second"] == pytest.approx(1200 / 5)
    assert two["used_mean"] == (10 + 2) / 2
    assert two["perplexity_mean"] == pytest.approx((first["perplexity"] + second["perplexity"]) / 2)
    assert math.isnan(two["bound_kbps"])
    assert two["bound_reason"] == "few_codes"
    assert set(table.loc[["opus", "t_plain", "t_without"], "bound_reason"]) == {"no_codebooks"}
    assert table.loc[("opus", "12")][["codebooks", "tokens_per_second", "used_mean", "bound_kbps"]].isna().all()

    stages = tokens("r")
    assert list(zip(stages["codec"], stages["point"], stages["stage"], strict=True)) == [
        ("t_known", "1", 1), ("t_known", "2", 1), ("t_known", "2", 2),
    ]  # fmt: skip
    with open("r/tokens.csv", newline="") as file:
        read = list(csv.DictReader(file))
    assert [float(r["perplexity"]) for r in read] == list(stages["perplexity"])
    assert [(r["family"], r["size"], r["used"]) for r in read] == [("Known", "16", "10")] * 2 + [("Known", "1024", "2")]

    line = ["t_known 1", "50.0", "1", "4.0", "80.0", "400", "10 of 16", "10.0", "0.32", "0.27"]
    assert " | ".join(line) in Path("r/summary.md").read_text().replace("\\_", "_")
    page = " ".join(re.sub(r"<[^>]*>", " ", Path("r/index.html").read_text()).split())
    assert " ".join(line) in page
    assert "t_known 2 50.0–100.0 2 24.0 240.0 400–800 2–10 of 16–1024 1.0–10.0 1.92 few_codes" in page
    assert "2 100.0 800 2 1024 1.0 0.04" in page  # of the second stage
    assert "Miller 1955" in page
    for width in (120, 60):
        console = Console(width=width, record=True, force_terminal=True, file=io.StringIO())
        print_summary(Path("r"), console)
        text = console.export_text()
        assert "2–10 of 16–1024" in text
        assert max(len(row.rstrip()) for row in text.splitlines()) <= width


@pytest.mark.parametrize(("codes", "bound"), [(8192, 0.6), (8191, math.nan)])
def test_a_bound_needs_eight_codes_an_entry(codes, bound):
    stage = {"stage": 1, "reason": "", "size": 1024, "codes": codes, "entropy_bits": 6.0, "used": 9, "perplexity": 64.0}
    table = pd.DataFrame([stage | {"packets": codes, "seconds": codes / 100}])
    row = of_point(table, pd.DataFrame({"bits": [codes * 10]}))
    assert row["bound_kbps"] == pytest.approx(bound, nan_ok=True)
    assert row["bound_reason"] == ("" if bound > 0 else "few_codes")
    assert (row["used_mean"], row["perplexity_mean"], row["bits_per_frame"]) == (9, 64, 10)


def test_a_packet_may_hold_several_frames():
    """As a chunk of encodec_48k or a window of SNAC: a frame is a code of the slowest stage, so that frames/s times
    bits a frame is the rate."""
    stage = {"reason": "", "size": 4096, "entropy_bits": 6.0, "used": 9, "perplexity": 64.0, "packets": 3, "seconds": 2}
    table = pd.DataFrame([stage | {"stage": 1, "codes": 100}, stage | {"stage": 2, "codes": 200}])
    row = of_point(table, pd.DataFrame({"bits": [2400, 1200]}))
    assert row["bits_per_frame"] == 36


def test_without_codebooks_nothing_is_said(clips, tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "tokens.csv").write_text("of another run")
    assert bench(clips, "t_plain,t_without") == 0
    assert encoded(tmp_path) == {"t_plain 1": 3, "t_without 1": 3}
    assert "codebooks" not in summary("r")
    assert not Path("r/tokens.csv").exists()
    assert "Tokens" not in Path("r/index.html").read_text()
    assert "Tokens" not in Path("r/summary.md").read_text()


def test_what_cannot_be_counted_is_a_row_with_its_reason(clips, monkeypatch, tmp_path):
    flag = tmp_path / "flag"
    flag.touch()
    monkeypatch.setenv("CODECBENCH_TEST_KILL", str(flag))
    assert bench(clips, "t_known@1,t_outside,t_refuses,t_dies_counting") == 0  # every clip was coded and scored
    found = {r["codec"]: r for r in rows("SELECT * FROM tokens")}
    assert {c: (r["stage"], r["reason"]) for c, r in found.items()} == {
        "t_known": (1, ""),
        "t_outside": (0, "codec_failed"),
        "t_refuses": (0, "codec_failed"),
        "t_dies_counting": (0, "crashed"),
    }
    assert "3 to 16" in found["t_outside"]["detail"]
    assert "mono: cannot read its own packets" in found["t_refuses"]["detail"]
    assert "tokens of clips/mono" in found["t_dies_counting"]["detail"]
    assert found["t_outside"]["perplexity"] is None
    table = summary("r").set_index("codec")
    assert table.loc["t_refuses", "bound_reason"] == "codec_failed"
    assert table.loc[["t_refuses", "t_outside"], ["codebooks", "tokens_per_second", "bound_kbps"]].isna().all(axis=None)
    page = Path("r/index.html").read_text()
    assert "cannot read its own packets" in page  # among the failures
    # They stay until asked for, and then only what can be mended changes.
    flag.unlink()
    before = rows()
    assert bench(clips, "t_known@1,t_outside,t_refuses,t_dies_counting") == 0
    assert rows() == before
    assert bench(clips, "t_known@1,t_outside,t_refuses,t_dies_counting", "--retry-failed") == 0
    after = {r["codec"]: (r["stage"], r["reason"], r["codes"]) for r in rows()}
    assert after["t_dies_counting"] == after["t_known"] == (1, "", 400)
    assert after["t_outside"] == (0, "codec_failed", None)


def test_nothing_is_counted_twice_and_a_lost_stream_is_coded_again(clips, tmp_path):
    assert bench(clips, "t_known") == 0
    assert encoded(tmp_path) == {"t_known 1": 3, "t_known 2": 3}  # three streams
    first, page = rows(), Path("r/index.html").stat().st_mtime_ns
    assert bench(clips, "t_known") == 0
    assert encoded(tmp_path) == {}
    assert Path("r/index.html").stat().st_mtime_ns == page
    # Counted anew from the cache, from a pruned cache, without one: the same rows.
    change("DELETE FROM tokens")
    assert bench(clips, "t_known") == 0
    assert encoded(tmp_path) == {}
    assert rows() == first
    shutil.rmtree(tmp_path / "cache" / "stream")
    change("DELETE FROM tokens WHERE point = '2'")
    assert bench(clips, "t_known") == 0
    assert encoded(tmp_path) == {"t_known 2": 3}
    assert rows() == first
    assert bench(clips, "t_known", "--no-resume", "--no-cache") == 0
    assert encoded(tmp_path) == {"t_known 1": 6, "t_known 2": 6}
    assert rows() == first


def test_counts_of_other_units_than_are_there_go(clips, monkeypatch):
    assert bench(clips, "t_known") == 0
    first = rows()

    def spoil():
        change("UPDATE tokens SET codes = 7")

    # A unit that is written again takes its point's rows with it; the other point's are not touched.
    spoil()
    change("DELETE FROM results WHERE clip = 'mono' AND point = '1'")
    assert bench(clips, "t_known") == 0
    assert [r["codes"] for r in rows()] == [400, 7, 7]
    # So does a codec that has changed, for all points.
    monkeypatch.setenv("CODECBENCH_TEST_VERSION", "2")
    assert bench(clips, "t_known") == 0
    assert rows() == first
    # And a clip that has changed.
    sf.write(clips / "mono.wav", np.random.default_rng(2).normal(0, 0.1, 16000), 16000)
    assert bench(clips, "t_known") == 0
    assert [r["codes"] for r in rows()] == [350, 350, 700]
    assert rows()[0]["seconds"] == pytest.approx(4)


@pytest.mark.parametrize("what", ["codec", "clip"])
def test_a_run_stopped_before_its_units_shows_no_counts_of_old_ones(clips, monkeypatch, what):
    assert bench(clips, "t_known@1") == 0
    assert [r["codes"] for r in rows()] == [400]
    if what == "codec":
        monkeypatch.setenv("CODECBENCH_TEST_VERSION", "2")
    else:
        sf.write(clips / "mono.wav", np.zeros(16000), 16000)

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "_run_units", stop)
    assert bench(clips, "t_known@1") == 130
    assert rows() == []


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_driver_killed_while_counting_leaves_whole_points(clips, tmp_path, monkeypatch):
    codecs = "t_known,t_dies_counting"
    assert bench(clips, codecs) == 0
    calm, scores = Path("r/tokens.csv").read_bytes(), Path("r/scores.csv").read_bytes()
    (tmp_path / "flag").touch()
    monkeypatch.setenv("CODECBENCH_TEST_KILL_DRIVER", str(tmp_path / "flag"))
    args = [*RUN, "--corpus", str(clips), "--codecs", codecs, "--no-resume"]
    killed = subprocess.run([sys.executable, "-m", "codecbench.bench", *args], check=False)
    assert killed.returncode == -signal.SIGKILL
    stages = Counter((r["codec"], r["point"]) for r in rows())
    assert stages.items() <= {("t_known", "1"): 1, ("t_known", "2"): 2}.items()
    (tmp_path / "flag").unlink()
    assert bench(clips, codecs) == 0
    assert Path("r/tokens.csv").read_bytes() == calm
    assert Path("r/scores.csv").read_bytes() == scores


@pytest.mark.parametrize("name", ["soundstream", "soundstream-ec"])
def test_soundstreams_codes_come_back(name):
    codec = registry.get(name)
    if codec.available():
        pytest.skip(str(codec.available()))
    for point in codec.points:
        codes = np.random.default_rng(0).integers(0, 1024, (40, point.params["stages"])).astype(np.uint16)
        found = codec.tokens(Encoded(codec._pack(codes), 24000, 1), point)
        assert found.sizes == (1024,) * point.params["stages"]
        np.testing.assert_array_equal(np.stack(found.codes, axis=1), codes)


def test_load_has_no_columns_of_tokens(clips):
    assert bench(clips, "t_known@1") == 0
    assert not {"codebooks", "tokens_per_second"} & set(load("r"))
