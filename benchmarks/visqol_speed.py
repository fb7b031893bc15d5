"""ViSQOL here against stock visqol-python: CPU time and scores, side by side in one process, one thread.

    python benchmarks/visqol_speed.py [--clips 4] [--seconds 5] [--codecs 1 40] [--mode speech audio] [--json]

The clips are the embedded corpora's, cut to at most `--seconds`; the codecs are operating points of the classic codecs
that are available. Each degraded clip is scored by one reused VisqolApi and by ours in turns, so that whatever else the
machine does slows both; times are CPU seconds, the ratio is of their sums. Ours pays for the reference once a clip,
stock with every codec; what resampling and coding cost counts for neither. Scores are compared clip by clip. They
differ where visqol-python's alignment differs from Google's: with CODECBENCH_TESTDATA set to a folder that holds a
clone of https://github.com/google/visqol both are compared with Google's own conformance values, too.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, islice, zip_longest
from pathlib import Path

for name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
    os.environ[f"{name}_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402
import soundfile as sf  # noqa: E402
from codecbench.bench.audio import Clip, resample  # noqa: E402
from codecbench.bench.metrics import _visqol  # noqa: E402
from codecbench.bench.pipeline import code  # noqa: E402
from codecbench.bench.remote import read_clip  # noqa: E402
from codecbench.codecs import CodecError  # noqa: E402
from codecbench.codecs import registry as codecs  # noqa: E402
from codecbench.corpora import registry as corpora  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from visqol import VisqolApi  # noqa: E402

Signal = NDArray[np.float64]
CORPUS = {"speech": "speech", "audio": "music"}
CONFORMANCE = Path(__file__).parent.parent / "tests/data/visqol_conformance.csv"


@dataclass
class Comparison:
    """One clip, scored for some codecs by both. Times are CPU ms a score, the reference's share included."""

    mode: str
    clip: str
    seconds: float
    codecs: int
    stock_ms: float
    ours_ms: float
    difference: float

    @property
    def ratio(self) -> float:
        return self.stock_ms / self.ours_ms


def timed(work: Callable[[], float]) -> tuple[float, float]:
    """What the work gives, and its CPU time in ms."""
    start = time.process_time()
    value = work()
    return value, 1e3 * (time.process_time() - start)


def stock(mode: str) -> VisqolApi:
    api = VisqolApi()
    api.create(mode=mode, use_lattice_model=True if mode == "speech" else None)
    return api


def decoded(reference: Clip, content: str) -> Iterator[Clip]:
    """The clip through one operating point after another of the classic codecs, a point of each codec in turn."""
    able = [codec for codec in codecs if codec.model is None and not codec.name.startswith("soundstream")]
    points = [
        [(codec, point) for point in codec.points if content in point.content]
        for codec in able
        if codec.available() is None
    ]
    for codec, point in filter(None, chain.from_iterable(zip_longest(*points))):
        try:
            yield code(codec, point, reference)[1]
        except CodecError:
            continue


def compare(mode: _visqol.Mode, clips: int, seconds: float, counts: list[int]) -> Iterator[Comparison]:
    """Both on clips spread over the embedded corpus, for each number of codecs."""
    scorer, api = _visqol.scorer(mode), stock(mode)
    content = CORPUS[mode]
    items = corpora.get(content).items(None)
    for item in (items[i * len(items) // clips] for i in range(clips)):
        whole = read_clip(item.path, item.start, seconds)
        reference = Clip(whole.samples[:1], whole.rate)
        x = at(reference, scorer.rate)
        signals = [at(clip, scorer.rate) for clip in islice(decoded(reference, content), max(counts))]
        scorer.score(_visqol.Reference(x, scorer), signals[0])
        api.measure_from_arrays(x, signals[0], scorer.rate)
        for count in counts:
            yield measured(scorer, api, x, signals[:count], item.id)


def at(clip: Clip, rate: int) -> Signal:
    signal: Signal = resample(clip, rate).samples[0].astype(np.float64)
    return signal


def measured(scorer: _visqol.Scorer, api: VisqolApi, x: Signal, signals: list[Signal], clip: str) -> Comparison:
    shared: list[_visqol.Reference] = []

    def ours(y: Signal) -> float:
        if not shared:
            shared.append(_visqol.Reference(x, scorer))
        return scorer.score(shared[0], y)

    def theirs(y: Signal) -> float:
        return float(api.measure_from_arrays(x, y, scorer.rate).moslqo)

    pairs = [(timed(partial(theirs, y)), timed(partial(ours, y))) for y in signals]
    return Comparison(
        "speech" if scorer.speech else "audio",
        clip,
        len(x) / scorer.rate,
        len(signals),
        sum(a[1] for a, _ in pairs) / len(pairs),
        sum(b[1] for _, b in pairs) / len(pairs),
        max(abs(a[0] - b[0]) for a, b in pairs),
    )


def conformance() -> Iterator[tuple[str, float, float, float]]:
    """Google's cases: their names, Google's value, stock's and ours; none without the test data."""
    folder = Path(os.environ.get("CODECBENCH_TESTDATA", "")) / "visqol/testdata"
    if "CODECBENCH_TESTDATA" not in os.environ or not folder.is_dir():
        return
    for row in csv.DictReader(CONFORMANCE.open()):
        if row["model"] not in ("lattice", "audio"):
            continue
        (x, rate), (y, _) = (sf.read(folder / f"{row[side]}.wav", always_2d=True) for side in ("reference", "degraded"))
        x, y = x.mean(axis=1), y.mean(axis=1)
        mode: _visqol.Mode = "audio" if row["model"] == "audio" else "speech"
        scorer = _visqol.Scorer(mode, rate)
        ours = scorer.score(_visqol.Reference(x, scorer), y)
        theirs = float(stock(mode).measure_from_arrays(x, y, rate).moslqo)
        yield f"{row['reference']} {row['degraded']}", float(row["moslqo"]), theirs, ours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=4, help="clips of each corpus")
    parser.add_argument("--seconds", type=float, default=5.0, help="clips are cut to this")
    parser.add_argument("--codecs", type=int, nargs="+", default=[1, 40], help="codecs that share a reference")
    parser.add_argument("--mode", nargs="+", choices=list(CORPUS), default=list(CORPUS))
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    rows = []
    if not args.json:
        print(
            f"{'mode':7} {'clip':28} {'s':>5} {'codecs':>6} {'stock ms':>9} {'ours ms':>8} {'ratio':>6} {'max diff':>9}"
        )
    for mode in args.mode:
        for row in compare(mode, args.clips, args.seconds, args.codecs):
            rows.append(row)
            if not args.json:
                print(
                    f"{row.mode:7} {row.clip[-28:]:28} {row.seconds:5.1f} {row.codecs:6} {row.stock_ms:9.1f}"
                    f" {row.ours_ms:8.1f} {row.ratio:6.2f} {row.difference:9.1e}"
                )
    totals = []
    for mode in args.mode:
        for count in sorted({row.codecs for row in rows if row.mode == mode}):
            these = [row for row in rows if (row.mode, row.codecs) == (mode, count)]
            theirs, ours = (sum(getattr(row, key) for row in these) / len(these) for key in ("stock_ms", "ours_ms"))
            totals.append({"mode": mode, "codecs": count, "stock_ms": theirs, "ours_ms": ours, "ratio": theirs / ours})
    cases = list(conformance())
    worst = {
        "stock": max((abs(theirs - google) for _, google, theirs, _ in cases), default=math.nan),
        "ours": max((abs(ours - google) for _, google, _, ours in cases), default=math.nan),
    }
    if args.json:
        report = {
            "rows": [asdict(row) for row in rows],
            "totals": totals,
            "google": cases,
            "largest_difference": worst if cases else None,
        }
        json.dump(report, sys.stdout, indent=1)
        return
    print()
    for total in totals:
        print(
            "{mode:7} {codecs:3} codecs: stock {stock_ms:6.1f} ms, ours {ours_ms:6.1f} ms, ratio {ratio:.2f}".format(
                **total
            )
        )
    if cases:
        print(
            f"\nGoogle's {len(cases)} cases, largest difference: stock {worst['stock']:.1e}, ours {worst['ours']:.1e}"
        )
    else:
        print("\nGoogle's cases were not compared: CODECBENCH_TESTDATA has no clone of google/visqol")


if __name__ == "__main__":
    main()
