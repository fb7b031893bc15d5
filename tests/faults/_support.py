"""What the tests of faults share: a small corpus, runs in processes of their own, and what a store holds."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from codecbench.corpora import registry as corpora

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc and mounts")

Key = tuple[str, str, str]


def make_clips(folder: Path, count: int, seconds: float = 0.5) -> Path:
    """A folder of so many short clips of speech, 16 kHz."""
    folder.mkdir()
    items = corpora.get("speech").items(None)
    for number in range(count):
        speech, rate = sf.read(items[number % len(items)].path, dtype="float32")
        first = rate * (1 + number // len(items))
        sf.write(folder / f"clip{number:02d}.wav", np.asarray(speech[first : first + round(seconds * rate)]), rate)
    return folder


def command(folder: Path, *args: str) -> list[str]:
    """`bench run` into a folder, quick and quiet."""
    quick = ["--metrics", "si_sdr,lsd", "--no-timing", "--quiet", "--jobs", "2"]
    return [sys.executable, "-m", "codecbench.bench", "run", *quick, "--out", str(folder), *args]


def environment(cache: Path, **more: str) -> dict[str, str]:
    return os.environ | {"CODECBENCH_CACHE": str(cache)} | more


def start(args: list[str], env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(args, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    """What a query of the store gives; nothing where there is no store yet."""
    if not (folder / "results.sqlite").exists():
        return []
    with closing(sqlite3.connect(f"file:{folder / 'results.sqlite'}?mode=ro", uri=True, timeout=60)) as db:
        try:
            return list(db.execute(query))
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise


def results(folder: Path) -> dict[Key, int]:
    """(clip, codec, point) of every result in the store and how many scores stand with it."""
    return {
        (str(clip), str(codec), str(point)): int(str(scores))
        for clip, codec, point, scores in rows(
            folder,
            "SELECT r.clip, r.codec, r.point, count(s.metric) FROM results r LEFT JOIN scores s"
            " USING (corpus, clip, codec, point) GROUP BY r.clip, r.codec, r.point",
        )
    }


def orphans(folder: Path) -> int:
    """Scores without their result."""
    query = "SELECT * FROM scores s LEFT JOIN results r USING (corpus, clip, codec, point) WHERE r.status IS NULL"
    return len(rows(folder, query))


def tables(folder: Path) -> dict[str, bytes]:
    """The final tables, without what is timed."""
    summary = pd.read_csv(folder / "summary.csv", dtype=str)
    kept = summary[[c for c in summary.columns if not c.startswith("time_")]]
    return {
        "scores.csv": (folder / "scores.csv").read_bytes(),
        "scores.parquet": (folder / "scores.parquet").read_bytes(),
        "summary": kept.to_csv(index=False).encode(),
    }


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third on; empty if the process is gone or has only to be waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
    return [] if fields[0] == "Z" else fields


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    found = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
    return [each for each in found if (fields := _stat(each)) and int(fields[1]) == pid]


def left(pids: Iterable[int], seconds: float = 10.0) -> list[int]:
    """Those of the processes that have not ended after so long."""
    until = time.monotonic() + seconds
    pids = list(pids)
    while (pids := [pid for pid in pids if _stat(pid)]) and time.monotonic() < until:
        time.sleep(0.05)
    return pids
