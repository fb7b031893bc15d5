"""What a run costs the driver, and a report its process, by the number of rows; no audio, nothing is coded.

    python benchmarks/scale.py [--clips 25,250,2620] [--json FILE]

A simulated executor gives the results of clips x 40 points with three metrics at once, so that what is left is the
driver: planning units, the cache's index, the store. A second process writes tables and page from the store, as every
run does at its end, and a third repeats the run. Peak memory is VmHWM of /proc/self/status (Linux).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

CODECS = 8
RATES = (6.0, 12.0, 24.0, 48.0, 96.0)
METRICS = ("pesq_wb", "stoi", "visqol_speech")


class Simulated:
    """An executor without workers: every task has its result at once, and the same one each time."""

    def __enter__(self) -> Simulated:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, task: Any) -> None:
        raise RuntimeError("nothing failed, so that nothing is tried again")

    def alone(self, task: Any) -> Any:
        raise RuntimeError("nothing is timed")

    def results(self, tasks: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        from codecbench.bench.checks import CheckTask
        from codecbench.bench.rows import CheckRow

        for task in tasks:
            if isinstance(task, CheckTask):
                yield task, [CheckRow(f"{task.content} {task.check} all", 1, "simulated")]
            else:
                yield task, _unit_result(task)


def _unit_result(unit: Any) -> Any:
    from codecbench.bench.work import Coded, ScoreValue, UnitResult

    rng = random.Random(f"{unit.clip} {unit.codec} {unit.point}")
    kbps = float(unit.point)
    key = hashlib.sha256(f"{unit.recipe}".encode()).hexdigest()
    scores = tuple(ScoreValue(name, 1 + 3 * kbps / (kbps + 20) + rng.gauss(0, 0.1)) for name, _ in unit.metrics)
    coded = Coded(round(kbps * 5000), 0, 5.0, 16000, 104, 320, key, key)
    return UnitResult("", "", coded, scores, (16000, 5.0, 1), 0.1)


def plan_of(clips: int, codecs: int = CODECS) -> Any:
    """`clips` clips of 40 speakers at five points of each codec."""
    from codecbench.bench.fingerprint import metric_fingerprint
    from codecbench.bench.metrics import registry
    from codecbench.bench.plan import Plan, PlannedClip, PlannedPoint
    from codecbench.bench.suite import Suite
    from codecbench.codecs import Codec, Point
    from codecbench.corpora import Item

    class Free(Codec):
        licence, about, rates = "none", "simulated", (16000,)

        def __init__(self, name: str) -> None:
            self.name, self.family = name, name.title()
            self.points = tuple(Point(f"{kbps:g}", kbps) for kbps in RATES)

        def encode(self, clip: Any, point: Point) -> Any:
            raise NotImplementedError

        decode = encode

        def delay(self, rate: int, point: Point) -> int:
            return 104

        def frame(self, rate: int, point: Point) -> int:
            return 320

    planned = [
        PlannedClip(
            Item(f"{i % 40:02d}/{i:05d}", "made", Path(f"/nowhere/{i}.flac"), "speech", f"s{i % 40}"),
            f"{i:064x}",
            5.0,
            "",
        )
        for i in range(clips)
    ]
    points = [
        PlannedPoint(codec, point, "speech", f"{codec.name} {point.label}", "")
        for codec in (Free(f"free{i}") for i in range(codecs))
        for point in codec.points
    ]
    metrics = tuple(registry.get(name) for name in METRICS)
    suite = Suite("scale", "", ("made",), ("*",), METRICS, timing_repeats=0)
    return Plan(
        suite, tuple(planned), tuple(points), metrics, {m.name: metric_fingerprint(m) for m in metrics}, (), "cpu"
    )


def run(clips: int, folder: Path) -> dict[str, Any]:
    from codecbench.bench.runner import Settings, execute

    plan = plan_of(clips)
    settings = Settings(jobs=1, cache=folder / "cache", created="2026-01-02")
    began = time.process_time()
    outcome = execute(plan, folder / "run", settings, executor=Simulated())  # type: ignore[arg-type]
    return {"seconds": time.process_time() - began, "units": outcome.units, "computed": outcome.computed}


def report(clips: int, folder: Path) -> dict[str, Any]:
    from codecbench.reports.write import write_outputs

    began = time.process_time()
    write_outputs(folder / "run")
    return {"seconds": time.process_time() - began}


def peak() -> float:
    """Highest resident memory of this process so far, MB."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def child(step: str, clips: int, folder: Path) -> dict[str, Any]:
    """A step in a process of its own, by CPU time."""
    command = [sys.executable, __file__, "--step", step, "--clips", str(clips), "--folder", str(folder)]
    environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return dict(json.loads(done.stdout))


def measure(sizes: list[int]) -> list[dict[str, Any]]:
    rows = []
    for clips in sizes:
        with tempfile.TemporaryDirectory() as root:
            folder = Path(root)
            fresh = child("run", clips, folder)
            outputs = child("report", clips, folder)
            again = child("run", clips, folder)
            if again["computed"]:
                raise RuntimeError(f"a repeat computed {again['computed']} units")
            rows.append(
                {
                    "rows": fresh["units"],
                    "driver_mb": fresh["mb"],
                    "driver_s": fresh["seconds"],
                    "store_mb": (folder / "run" / "results.sqlite").stat().st_size / 1e6,
                    "repeat_s": again["seconds"],
                    "repeat_mb": again["mb"],
                    "report_s": outputs["seconds"],
                    "report_mb": outputs["mb"],
                }
            )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| rows | driver MB | driver s | ms a row | store MB | repeat s | repeat MB | tables and page s | their MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        lines.append(
            f"| {r['rows']:,} | {r['driver_mb']:.0f} | {r['driver_s']:.1f} | {1e3 * r['driver_s'] / r['rows']:.2f}"
            f" | {r['store_mb']:.1f} | {r['repeat_s']:.1f} | {r['repeat_mb']:.0f}"
            f" | {r['report_s']:.1f} | {r['report_mb']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", default="25,250,2620", metavar="N,N", help="sizes; 40 rows a clip (25,250,2620)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="write the table into this Markdown file")
    parser.add_argument("--step", choices=["run", "report"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        steps: dict[str, Callable[[int, Path], dict[str, Any]]] = {"run": run, "report": report}
        print(json.dumps({**steps[args.step](int(args.clips), args.folder), "mb": peak()}))
        return
    rows = measure([int(clips) for clips in args.clips.split(",")])
    text = table(rows)
    print(text)
    if args.docs:
        from figures import fill

        fill(args.docs, "scale", text)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
