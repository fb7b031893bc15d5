"""Time the metrics against their stock packages: CPU ms a clip of 5 s, one thread, and the ratio, in one process.

    python tools/bench_metrics.py [--repeats 7]

The signals are synthetic, speech-like in their bursts and spectrum; what counts is their length. Stock and ours take
turns, so that a busy machine slows both; the ratio is of the medians. Where a reference serves many codecs, "shared" is
the time of each further codec.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

for name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
    os.environ[f"{name}_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402
import pesq  # noqa: E402
import pystoi  # noqa: E402
import scipy.signal  # noqa: E402
from codecbench.bench.audio import Clip, resample  # noqa: E402
from codecbench.bench.metrics import evaluate, registry  # noqa: E402
from codecbench.bench.metrics._metric import ReferenceCache, Signals  # noqa: E402
from visqol import VisqolApi  # noqa: E402

Work = Callable[[], object]


def burst_noise(rate: int) -> tuple[Clip, Clip]:
    """5 s of noise with a spectrum falling by 6 dB an octave, in bursts, and the same with noise 20 dB below."""
    rng = np.random.default_rng(0)
    n = 5 * rate
    x = scipy.signal.lfilter([1], [1, -0.9], rng.standard_normal(n)) * (
        np.sin(2 * np.pi * 3 * np.arange(n) / rate) > -0.3
    )
    x *= 0.05 / np.std(x)
    y = x + 0.005 * rng.standard_normal(n)
    return Clip(x[None].astype(np.float32), rate), Clip(y[None].astype(np.float32), rate)


def measured(works: list[Work], repeats: int) -> list[float]:
    """Median CPU ms of each, by turns, after one round of warming up."""
    times: list[list[float]] = [[] for _ in works]
    for work in works:
        work()
    for _ in range(repeats):
        for work, taken in zip(works, times, strict=True):
            start = time.process_time()
            work()
            taken.append(1e3 * (time.process_time() - start))
    return [statistics.median(taken) for taken in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats

    def table(what: str, rate: int, stock: Work, names: list[str]) -> None:
        reference, degraded = clips[rate]
        shared = ReferenceCache(reference)

        def ours(cache: ReferenceCache) -> None:
            signals = Signals(degraded)
            for name in names:
                score = evaluate(registry.get(name), cache, signals)
                if score.reason:
                    raise SystemExit(f"{name}: {score}")

        def alone() -> None:
            ours(ReferenceCache(reference))

        def again() -> None:
            ours(shared)

        a, b, c = measured([stock, alone, again], repeats)
        print(f"{what:28} {a:8.1f} {b:8.1f} {a / b:6.2f} {c:8.1f} {a / c:6.2f}")

    wide, coded = burst_noise(16000)
    clips = {16000: (wide, coded), 48000: (resample(wide, 48000), resample(coded, 48000))}
    speech, audio = VisqolApi(), VisqolApi()
    speech.create(mode="speech", use_lattice_model=True)
    audio.create(mode="audio")
    x, y = (clip.samples[0].astype(np.float64) for clip in clips[16000])
    u, v = (clip.samples[0].astype(np.float64) for clip in clips[48000])

    print(f"{'5 s, CPU ms':28} {'stock':>8} {'ours':>8} {'ratio':>6} {'shared':>8} {'ratio':>6}")
    table("PESQ wb", 16000, lambda: pesq.pesq(16000, x, y, "wb"), ["pesq_wb"])
    table("PESQ nb", 16000, lambda: pesq.pesq(16000, x, y, "nb"), ["pesq_nb"])
    table(
        "STOI and ESTOI",
        16000,
        lambda: [pystoi.stoi(x, y, 16000, extended=extended) for extended in (False, True)],
        ["stoi", "estoi"],
    )
    table("ViSQOL speech", 16000, lambda: speech.measure_from_arrays(x, y, 16000), ["visqol_speech"])
    table("ViSQOL audio", 48000, lambda: audio.measure_from_arrays(u, v, 48000), ["visqol_audio"])
    suite = ["pesq_wb", "pesq_nb", "stoi", "estoi", "visqol_speech", "si_sdr"]

    def stock_suite() -> None:
        pesq.pesq(16000, x, y, "wb")
        pesq.pesq(16000, x, y, "nb")
        for extended in (False, True):
            pystoi.stoi(x, y, 16000, extended=extended)
        speech.measure_from_arrays(x, y, 16000)

    table("all of the speech suite", 16000, stock_suite, suite)
    shared = ReferenceCache(clips[48000][0])
    for name in ("si_sdr", "lsd", "mel", "loudness_diff"):
        (ms,) = measured([partial(evaluate, registry.get(name), shared, clips[48000][1])], repeats)
        print(f"{name + ', 48 kHz':28} {'':8} {'':8} {'':6} {ms:8.1f}")


if __name__ == "__main__":
    main()
