"""What the throughput benchmark compares: floor, script and harness, each a program of its own that writes JSON.

    python benchmarks/sides.py floor|script|harness CLIPS OUTPUT [FOLDER JOBS [OPTION ...]]

All three code the same clips at the same points and score them with the same metrics.

floor    the codecs' and metrics' calls in a bare loop, one thread, audio in memory; what is the same for all codecs of
         a clip is computed once. Imports, models and one warm unit are before its clock.
script   what one would write otherwise: ffmpeg by subprocess with files between, pesq, pystoi, visqol-python with one
         VisqolApi, one after the other. Imports and one warm unit are before its clock.
harness  `bench run`, all of it: plan, self-checks, workers, store, tables and page.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
    os.environ[f"{name}_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402
from turns import family_cpu  # noqa: E402

#: 17 points that ffmpeg has too
CODECS = ("opus@6+9+12+16+24+32+64", "opus_vbr@12+24", "mp3@16+32+64", "aac@16+24+32+48+64")
METRICS = ("pesq_wb", "stoi", "visqol_speech")

#: a unit's name, its CPU seconds, its scores by metric
Measured = list[tuple[str, float, dict[str, float]]]


def plan_of(clips: int) -> Any:
    from codecbench.bench.api import resolve

    return resolve("speech", codecs=CODECS, metrics=METRICS, limit=clips, timing=False, offline=True)


def unit_name(clip: Any, planned: Any) -> str:
    return f"{clip.item.id} {planned.codec.name}@{planned.point.label}"


def floor(clips: int) -> Measured:
    import soxr
    from codecbench.bench.audio import Clip, from_pcm16, read, resample, to_pcm16

    def unit(codec: Any, point: Any, clip: Clip, references: list[Any]) -> dict[str, float]:
        rate = codec.native_rate(clip.rate, point)
        native, delay, frame = resample(clip, rate), codec.delay(rate, point), codec.frame(rate, point)
        end = -(-(native.length + delay) // frame) * frame - native.length
        encoded = codec.encode(Clip(np.pad(native.samples, ((0, 0), (0, end))), rate), point)
        raw = codec.decode(encoded, point)
        if delay * raw.rate % rate:
            raw = resample(raw, rate)
        cut = np.ascontiguousarray(raw.samples[0, delay * raw.rate // rate :])
        back = cut if raw.rate == clip.rate else soxr.resample(cut, raw.rate, clip.rate, quality="HQ")
        back = np.pad(back[: clip.length], (0, max(0, clip.length - len(back))))
        degraded = from_pcm16(to_pcm16(back))
        scores = {}
        for metric, rate, signal, prepared in references:
            other = degraded if rate == clip.rate else soxr.resample(degraded, clip.rate, rate, quality="HQ")
            scores[metric.name] = float(metric.function(signal, other.astype(np.float64), rate, *prepared))
        return scores

    def prepared(clip: Clip) -> list[Any]:
        references = []
        for metric in plan.metrics:
            rate = max((r for r in metric.rates if r <= clip.rate), default=clip.rate)
            signal = resample(clip, rate).samples[0].astype(np.float64)
            references.append((metric, rate, signal, [metric.prepare(signal, rate)] if metric.prepare else []))
        return references

    plan = plan_of(clips)
    audio = {clip.item.id: read(clip.item.path, clip.item.start, clip.seconds) for clip in plan.clips}
    first = next(iter(audio.values()))
    unit(plan.points[0].codec, plan.points[0].point, first, prepared(first))
    measured: Measured = []
    before = ""
    for clip, planned in plan.units():
        began = time.process_time()
        if clip.item.id != before:
            before, references = clip.item.id, prepared(audio[clip.item.id])
        scores = unit(planned.codec, planned.point, audio[clip.item.id], references)
        measured.append((unit_name(clip, planned), time.process_time() - began, scores))
    return measured


def script(clips: int) -> Measured:
    import imageio_ffmpeg
    import pesq
    import pystoi
    import soundfile
    import visqol

    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", "-i"]
    folder = Path(tempfile.mkdtemp())
    api = visqol.VisqolApi()
    api.create(mode="speech", use_lattice_model=True)
    encoders = {
        "opus": ("opus", "libopus", ["-application", "voip", "-vbr", "off"]),
        "opus_vbr": ("opus", "libopus", ["-application", "voip", "-vbr", "on"]),
        "mp3": ("mp3", "libmp3lame", []),
        "aac": ("m4a", "aac", []),
    }

    def at_16k(source: str | Path) -> np.ndarray[Any, Any]:
        decoded = folder / "decoded.wav"
        subprocess.run([*program, str(source), "-ar", "16000", str(decoded)], check=True)
        samples, _ = soundfile.read(decoded)
        return np.asarray(samples)

    def unit(clip: Any, codec: Any, point: Any, reference: np.ndarray[Any, Any], rate: int) -> dict[str, float]:
        suffix, encoder, options = encoders[codec.name]
        coded = folder / f"coded.{suffix}"
        options = [
            *options,
            "-c:a",
            encoder,
            "-b:a",
            str(point.params["b"]),
            "-ar",
            str(codec.native_rate(rate, point)),
        ]
        subprocess.run([*program, str(clip.item.path), *options, str(coded)], check=True)
        degraded = at_16k(coded)[: len(reference)]
        degraded = np.pad(degraded, (0, len(reference) - len(degraded)))
        return {
            "pesq_wb": float(pesq.pesq(16000, reference, degraded, "wb")),
            "stoi": float(pystoi.stoi(reference, degraded, 16000)),
            "visqol_speech": float(api.measure_from_arrays(reference, degraded, 16000).moslqo),
        }

    plan = plan_of(clips)
    rates = {clip.item.id: soundfile.info(clip.item.path).samplerate for clip in plan.clips}
    warm = plan.clips[0]
    unit(warm, plan.points[0].codec, plan.points[0].point, at_16k(warm.item.path), rates[warm.item.id])
    measured: Measured = []
    before = ""
    for clip, planned in plan.units():
        began = _cpu()
        if clip.item.id != before:
            before, reference = clip.item.id, at_16k(clip.item.path)
        scores = unit(clip, planned.codec, planned.point, reference, rates[clip.item.id])
        measured.append((unit_name(clip, planned), _cpu() - began, scores))
    return measured


def _cpu() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def harness(clips: int, folder: str, jobs: str, *changes: str) -> dict[str, Any]:
    """Runs `bench run` with some options changed; the CPU of driver and workers at the start of each phase, and all
    scores."""
    from codecbench.bench.cli import _progress, main
    from codecbench.bench.store import Store

    marks: list[tuple[str, dict[str, float]]] = []
    update = _progress.Reporter.update

    def noted(self: Any, phase: str, done: int, total: int) -> None:
        if not marks or marks[-1][0] != phase:
            marks.append((phase, family_cpu()))
        update(self, phase, done, total)

    _progress.Reporter.update = noted  # type: ignore[method-assign]
    given = ["--codecs", ",".join(CODECS), "--metrics", ",".join(METRICS), "--limit", str(clips), "--jobs", jobs]
    code = main(["run", "--suite", "speech", *given, "--no-timing", "--offline", "--quiet", "--out", folder, *changes])
    if code:
        raise RuntimeError(f"bench run ended with exit code {code}")
    marks.append(("end", family_cpu()))
    store = Store(Path(folder))
    rows = store.rows("SELECT clip, codec, point, metric, value FROM scores")
    units: dict[str, dict[str, float]] = {}
    for row in rows:
        units.setdefault(f"{row['clip']} {row['codec']}@{row['point']}", {})[row["metric"]] = row["value"]
    store.close()
    return {"marks": marks, "units": [(name, 0.0, scores) for name, scores in units.items()]}


if __name__ == "__main__":
    side, clips, output, *rest = sys.argv[1:]
    made: Callable[..., Any] = {"floor": floor, "script": script, "harness": harness}[side]
    Path(output).write_text(json.dumps(made(int(clips), *rest)))
