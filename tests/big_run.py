"""A synthetic run of any size: plausible curves, speakers, failures; no audio. For tests of reports and their speed.

python tests/big_run.py FOLDER [CLIPS [CODECS]] writes one to look at.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from codecbench.bench.rows import CheckRow, ClipRow, PointRow, ResultRow, Row, ScoreRow, TimingRow, TokensRow
from codecbench.bench.store import Store

METRICS = {
    "pesq_wb": ("PESQ wideband", 1.0, 4.64, 2, True, ("speech",)),
    "stoi": ("STOI", 0.0, 1.0, 3, True, ("speech",)),
    "visqol": ("ViSQOL", 1.0, 5.0, 2, True, ("speech", "music")),
    "si_sdr": ("SI-SDR", -20.0, 60.0, 1, True, ("speech", "music")),
    "lsd": ("LSD", 12.0, 0.0, 2, False, ("music",)),
}
RATES = (4.0, 8.0, 16.0, 32.0, 64.0)


def build(folder: Path, clips: int = 1000, codecs: int = 20, seed: int = 0) -> Path:
    """`clips` clips, half of them speech, by `codecs` codecs of five points; the first third sends tokens."""
    store = Store(folder, create=True)
    with store:
        store.put(_rows(clips, codecs, np.random.default_rng(seed)))
        metrics = [
            {"name": n, "title": t, "low": min(a, b), "high": max(a, b), "digits": d, "higher_is_better": better}
            for n, (t, a, b, d, better, _) in METRICS.items()
        ]
        facts = {"metrics": metrics, "suite": {"name": "synthetic"}, "command": "bench run --suite synthetic"}
        for key, fact in {**facts, "status": "complete", "seed": seed, "created": "2026-01-02"}.items():
            store.set(key, fact)
    store.close()
    return folder


def _rows(clips: int, codecs: int, rng: np.random.Generator) -> Iterator[Row]:
    points = [(f"codec{i:02d}", rate) for i in range(codecs) for rate in RATES]
    strength = dict(zip([f"codec{i:02d}" for i in range(codecs)], rng.uniform(3, 30, codecs), strict=True))
    for codec, rate in points:
        for content in ("speech", "music"):
            yield PointRow(
                codec=codec, point=f"{rate:g}", content=content, family=f"Family {codec[-2:]}", kind="codec",
                mode="cbr", kbps_nominal=rate, licence="MIT", about="made up", note="", versions="1", fingerprint="f",
                unavailable="",
            )  # fmt: skip
            for direction in ("encode", "decode"):
                yield TimingRow(codec, f"{rate:g}", content, direction, "cpu", "inprocess", 0.01, 0.001, 0.01, 0.001, None, None, 3, 3, "")  # fmt: skip # noqa: E501
            if int(codec[-2:]) < codecs // 3:
                for stage in range(1, int(rate) // 4 + 1):
                    yield TokensRow(codec, f"{rate:g}", content, stage, 1024, 20000, 75.0, 900, 700.0, 9.4, clips // 2, 20000, 266.0, "", "")  # fmt: skip # noqa: E501
    yield CheckRow("identity", 1, "all at the ceiling")
    for i in range(clips):
        content = "speech" if i % 2 == 0 else "music"
        name = f"{content}/{i:04d}"
        yield ClipRow(
            corpus="made", clip=name, content=content, path=f"/nowhere/{i}.flac", sha256=f"{i:064x}", seconds=4.0,
            rate=24000, channels=1, speaker=f"s{i % 80}" if content == "speech" else "", language="", genre="",
            licence="CC0", credit="nobody", lossy=0, status="ok", reason="",
        )  # fmt: skip
        effect = rng.normal(0, 0.12)
        noise = iter(rng.normal(0, 0.06, len(points) * len(METRICS)))
        lost = rng.random(len(points)) < 0.0005
        for (codec, rate), failed in zip(points, lost.tolist(), strict=True):
            label, bits = f"{rate:g}", None if failed else round(rate * 4000 + rng.normal(0, 100))
            yield ResultRow(
                "made", name, codec, label, "failed" if failed else "ok", "timeout" if failed else "", "", bits, 0,
                None if failed else 4.0, 24000, 104, 480, "", 0.1,
            )  # fmt: skip
            for metric, (_, low, high, _, _, contents) in METRICS.items():
                if content not in contents:
                    continue
                share = 1 - np.exp(-rate / strength[codec]) + (effect + next(noise)) * 0.5
                value = None if failed else float(low + (high - low) * np.clip(share, 0, 1))
                yield ScoreRow("made", name, codec, label, metric, value, "codec_failed" if failed else "", "")


if __name__ == "__main__":
    build(Path(sys.argv[1]), *map(int, sys.argv[2:4]))
