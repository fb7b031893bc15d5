"""Small stores written by hand, for tests of what several runs make together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from codecbench.bench.rows import CheckRow, ClipRow, PointRow, ResultRow, Row, ScoreRow, TimingRow
from codecbench.bench.store import Store

STOI = {"name": "stoi", "title": "STOI", "higher_is_better": True, "digits": 3, "version": "1", "fingerprint": "s1"}
LSD = {"name": "lsd", "title": "LSD", "higher_is_better": False, "digits": 2, "version": "1", "fingerprint": "l1"}
EPYC = {"cpu": "EPYC", "cores": 8}


def make(
    folder: Path,
    codecs: Mapping[str, Sequence[float]],
    *,
    content: str = "speech",
    clips: Sequence[str] = tuple("abcdefgh"),
    hashes: Mapping[str, str] | None = None,
    made: str = "f1",
    versions: str = "lib 1.0, av 18",
    metrics: Sequence[Mapping[str, Any]] = (STOI,),
    created: str = "2026-01-01",
    machine: Mapping[str, Any] = EPYC,
    timed: float | None = None,
    quality: float = 0.0,
    channels: int = 1,
    unavailable: Sequence[str] = (),
    **info: Any,
) -> Path:
    """A complete run. codecs: name -> rates in kbit/s a channel, 0 for an anchor; a point's label is its rate.

    made : part of every codec's fingerprint. timed: the RTF of all points. quality: added to all scores.
    """
    rows: list[Row] = []
    for name in clips:
        digest = (hashes or {}).get(name, f"hash of {name}")
        rows.append(
            ClipRow("hand", name, content, f"/nowhere/{name}", digest, 4.0, 16000, channels, f"speaker {name}", "", "",
                    "CC0", "nobody", 0, "ok", "")
        )  # fmt: skip
    for codec, rates in codecs.items():
        for rate in rates:
            point, kind = f"{rate:g}", "codec" if rate else "anchor"
            gone = "not installed" if codec in unavailable else ""
            rows.append(
                PointRow(codec, point, content, codec.upper(), kind, "cbr", rate * channels or None, "BSD", "about", "",
                         "" if gone else versions, f"{made} {codec} {point}", gone)
            )  # fmt: skip
            if gone:
                continue
            if timed is not None:
                times = ("cpu", "inprocess", timed, 0.0, timed, 0.0, None, None, 3, 3, "")
                rows += [TimingRow(codec, point, content, way, *times) for way in ("encode", "decode")]
            rng = np.random.default_rng(len(codec) * 100 + int(rate * 10))
            for name in clips:
                bits = int(rate * channels * 4000)
                rows.append(ResultRow("hand", name, codec, point, "ok", "", "", bits, 0, 4.0, 16000, 0, 320, "", 0.1))
                for metric in metrics:
                    value = rate / 100 + quality + float(rng.normal(0.5, 0.01))
                    rows.append(ScoreRow("hand", name, codec, point, metric["name"], value, "", ""))
    rows.append(CheckRow("identity", 1, "all at the ceiling"))
    facts = {"metrics": list(metrics), "suite": {"name": "by hand"}, "status": "complete", "seed": 0, "git": None}
    facts |= {"created": created, "machine": dict(machine), "packages": {"codecbench": "0.1"}}
    facts |= {"command": f"bench run --out {folder.name}"} | info
    store = Store(folder, create=True)
    with store:
        store.put(rows)
        for key, fact in facts.items():
            store.set(key, fact)
    store.close()
    return folder
