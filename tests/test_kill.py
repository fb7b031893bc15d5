"""kill -9 at random moments, driver and workers: the same command goes on, and the tables come out the same."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

COMMAND = [
    *(sys.executable, "-m", "codecbench.bench", "run", "--suite", "speech", "--limit", "8", "--jobs", "2"),
    *("--codecs", "opus,g711_mulaw,g722,mnru", "--metrics", "stoi,si_sdr", "--no-cache", "--no-timing", "--quiet"),
]


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*COMMAND, "--out", str(folder)])


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def count(folder: Path) -> int:
    try:
        db = sqlite3.connect(f"file:{folder / 'results.sqlite'}?mode=ro", uri=True)
        try:
            return int(db.execute("SELECT count(*) FROM results").fetchone()[0])
        finally:
            db.close()
    except sqlite3.Error:
        return 0


def disturbed(folder: Path, kills: int, seed: int, seconds: float) -> list[int]:
    """Run to the end through so many kills, driver and worker in turn; rows in the store at each kill."""
    rng = random.Random(seed)
    process, seen = start(folder), []
    while len(seen) < kills:
        time.sleep(rng.uniform(0.2, 1.0) * seconds)
        if process.poll() is not None:  # it came to its end: begin anew, and kill on
            (folder / "results.sqlite").unlink()
            process = start(folder)
            continue
        before = count(folder)
        victims = children(process.pid) if len(seen) % 2 else [process.pid]
        if not victims:
            continue
        os.kill(rng.choice(victims), signal.SIGKILL)
        if len(seen) % 2 == 0:
            process.wait()
            assert count(folder) >= before
            process = start(folder)
        seen.append(before)
    assert process.wait(timeout=300) == 0
    return seen


def tables(folder: Path) -> dict[str, bytes]:
    """The final tables, without what is timed."""
    summary = pd.read_csv(folder / "summary.csv", dtype=str)
    kept = summary[[c for c in summary.columns if not c.startswith("time_")]]
    return {
        "scores.csv": (folder / "scores.csv").read_bytes(),
        "scores.parquet": (folder / "scores.parquet").read_bytes(),
        "summary": kept.to_csv(index=False).encode(),
    }


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers in /proc")
@pytest.mark.parametrize(("kills", "seconds"), [pytest.param(4, 4.0), pytest.param(20, 6.0, marks=pytest.mark.slow)])
def test_killed_runs_end_as_undisturbed_ones(tmp_path, kills, seconds):
    assert start(tmp_path / "calm").wait(timeout=300) == 0
    seen = disturbed(tmp_path / "killed", kills, seed=kills, seconds=seconds)
    assert len(seen) == kills
    assert count(tmp_path / "killed") == count(tmp_path / "calm") == 8 * 12
    assert tables(tmp_path / "killed") == tables(tmp_path / "calm")


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_says_how_to_go_on(tmp_path):
    process = subprocess.Popen(
        [*(a for a in COMMAND if a != "--quiet"), "--out", str(tmp_path / "r")], stderr=subprocess.PIPE, text=True
    )
    while count(tmp_path / "r") < 3:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "go on with:" in err
    assert "--no-cache" in err
    assert "Traceback" not in err
    assert start(tmp_path / "r").wait(timeout=300) == 0
    assert count(tmp_path / "r") == 8 * 12
