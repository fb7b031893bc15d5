"""Reports from a small store made by hand, with everything in it that goes wrong in real runs."""

from __future__ import annotations

import json
import math
import random
import re
import sqlite3
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from codecbench.bench.cli import main
from codecbench.bench.store import CheckRow, ClipRow, PointRow, ResultRow, ScoreRow, Store, StoreError, TimingRow
from codecbench.reports.frame import load, on_intersection, summary
from codecbench.reports.terminal import print_summary
from codecbench.reports.write import write_outputs

NASTY = ["<img src=x onerror=alert(1)>", "it's \"quoted\", isn't it", "two\nlines", "naïve 🎧 clip", "a|b*c_[d](e)"]
METRICS = [
    {"name": "pesq_wb", "title": "PESQ-WB", "low": 1.0, "high": 4.644, "ceiling": 4.644, "higher_is_better": True}
    | {"digits": 2, "variant": "wb", "package": "pesq", "version": "0.0.4", "domain": "speech", "reference": "P.862.2"},
    {"name": "stoi", "title": "STOI", "higher_is_better": True, "digits": 3, "unit": ""},
    {"name": "si_sdr", "title": "SI-SDR", "higher_is_better": True, "digits": 1, "unit": "dB"},
    {"name": "lsd", "title": "LSD", "higher_is_better": False, "digits": 2, "unit": "dB"},
]
OUTPUTS = ["scores.csv", "scores.parquet", "summary.csv", "summary.md", "run.json", "index.html"]


def clip_row(i: int, content: str, name: str) -> ClipRow:
    speaker = f"speaker {i % 6}" if content == "speech" else ""
    rate, channels = (16000, 1) if content == "speech" else (48000, 2)
    return ClipRow(
        corpus="hand", clip=name, content=content, path=f"/nowhere/{i}.flac", sha256=f"{i:064x}", seconds=3.0 + i / 7,
        rate=rate, channels=channels, speaker=speaker, language="en" if content == "speech" else "",
        genre="" if content == "speech" else "choir", licence="CC0", credit="<b>nobody</b>", lossy=i % 2, status="ok",
        reason="",
    )  # fmt: skip


def point_row(codec: str, point: str, content: str, kbps: float | None, **more: str) -> PointRow:
    base = {"family": codec.upper(), "kind": "codec", "mode": "cbr", "unavailable": ""} | more
    return PointRow(
        codec=codec, point=point, content=content, kbps_nominal=kbps, licence="BSD-3-Clause", about=f"codec {codec}",
        versions=json.dumps({"lib" + codec: "1.2"}), fingerprint="f", **base,
    )  # fmt: skip


def build(folder: Path, shuffle: int | None = None, broken_check: bool = True) -> Path:
    """A run folder; `shuffle` changes the order in which the rows are written, not the rows."""
    rng = np.random.default_rng(7)
    speech = [clip_row(i, "speech", NASTY[i] if i < len(NASTY) else f"s{i:02d}") for i in range(12)]
    music = [clip_row(20 + i, "music", f"m/{i}") for i in range(6)]
    lost = ClipRow(
        "hand",
        "lost",
        "speech",
        "/nowhere/lost",
        "",
        None,
        None,
        None,
        "",
        "",
        "",
        "CC0",
        "",
        0,
        "failed",
        "empty file",
    )
    codecs = [("opus", "6", 6.0), ("opus", "24", 24.0), ("mp3", "16", 16.0), ("pcm", "16", None)]
    rows: list[object] = [*speech, *music, lost]
    for content in ("speech", "music"):
        for codec, label, rate in codecs:
            rows.append(point_row(codec, label, content, rate, kind="codec" if rate else "anchor"))
            for direction in ("encode", "decode"):
                rows.append(TimingRow(codec, label, content, direction, "inprocess", 0.0123, 0.001, 0.012, 0.001, None, None, 3, 3, ""))  # fmt: skip # noqa: E501
        rows.append(TimingRow("opus", "6", content, "frame", "inprocess", None, None, None, None, 0.8, 1.9, 3, 3, ""))
    rows.append(point_row("evs", "13.2", "speech", 13.2, unavailable='no EVS_cod: set "EVS_DIR" <here>'))
    for clip in speech + music:
        for i, (codec, label, rate) in enumerate(codecs):
            assert clip.seconds is not None
            failed = codec == "mp3" and clip.clip in NASTY[:2]
            seconds = math.ceil(clip.seconds / 0.02) * 0.02
            bits = None if failed else round((rate or 256) * 1000 * seconds) + 8 * i
            rows.append(
                ResultRow("hand", clip.clip, codec, label, "failed" if failed else "ok", "codec" if failed else "",
                          "Traceback\n  <script>bad()</script>" if failed else "", bits, 0, None if failed else seconds,
                          16000, 104, 320, "", 0.5)
            )  # fmt: skip
            names = ["pesq_wb", "stoi", "si_sdr"] if clip.content == "speech" else ["si_sdr", "lsd"]
            for name in names:
                value: float | None = float(rng.normal(2 + i / 2, 0.3))
                reason = ""
                if name == "si_sdr" and codec == "pcm":
                    value = math.inf
                if failed:
                    value, reason = None, "codec_failed"
                elif name == "stoi" and clip.clip == "s07":
                    value, reason = None, "too_short"
                rows.append(ScoreRow("hand", clip.clip, codec, label, name, value, reason, ""))
    rows += [CheckRow("identity", 1, "all at the ceiling"), CheckRow("opus order", int(not broken_check), "6 > 12")]
    if shuffle is not None:
        random.Random(shuffle).shuffle(rows)
    store = Store(folder, create=True)
    with store:
        store.put(rows)  # type: ignore[arg-type]
        facts = {
            "metrics": METRICS, "suite": {"name": "by <hand>"}, "command": "bench run", "created": "2025-01-02T03:04:05Z",
            "machine": {"cpu": "a & b", "cores": 2, "governor": None}, "packages": {"numpy": "2"}, "git": None,
            "status": "complete", "seed": 3,
        }  # fmt: skip
        for key, value in facts.items():
            store.set(key, value)
    store.close()
    return folder


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = build(tmp_path_factory.mktemp("run"))
    write_outputs(folder)
    return folder
