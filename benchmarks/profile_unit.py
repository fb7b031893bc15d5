"""Where the CPU of a unit goes, in a worker and in the driver; a picture and a table.

    python benchmarks/profile_unit.py [--clips 3] [--picture docs/performance-unit.png]

The worker's units run in this process, under timers around the codecs' and metrics' calls and what lies between them;
each timer counts its own time, without that of timers within it. The driver is measured in a run with one worker, of
the same units.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sides
from figures import fill


class Timers:
    """Exclusive CPU seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._last = 0.0

    def _switch(self) -> None:
        now = time.process_time()
        if self._open:
            self.seconds[self._open[-1]] += now - self._last
        self._last = now

    def call(self, name: str, function: Callable[..., Any], *args: Any, **settings: Any) -> Any:
        self._switch()
        self._open.append(name)
        try:
            return function(*args, **settings)
        finally:
            self._switch()
            self._open.pop()

    def wrap(self, owner: Any, attribute: str, name: str) -> None:
        function = getattr(owner, attribute)

        @functools.wraps(function)
        def timed(*args: Any, **settings: Any) -> Any:
            return self.call(name, function, *args, **settings)

        object.__setattr__(owner, attribute, timed) if not isinstance(owner, type) else setattr(owner, attribute, timed)


def worker(plan: Any, folder: Path) -> tuple[dict[str, float], int]:
    from codecbench.bench import cache, pipeline, work
    from codecbench.bench.metrics import _metric

    cache.Index(folder).close()
    units = [work.unit_of(plan, clip, planned, folder) for clip, planned in plan.units()]
    for unit in units[:2]:
        unit.run(lambda stage: None)
    cache.clear(folder)
    cache.Index(folder).close()
    work._index.cache_clear()
    work._reference.cache_clear()
    timers = Timers()
    for codec in {planned.codec for planned in plan.points}:
        timers.wrap(codec, "encode", "encode")
        timers.wrap(codec, "decode", "decode")
    for metric in plan.metrics:
        timers.wrap(metric, "function", metric.title)
        if metric.prepare:
            timers.wrap(metric, "prepare", metric.title)
    for module in (pipeline, _metric):
        timers.wrap(module, "resample", "resampling")
    for name in ("get_stream", "put_stream", "get_wave", "put_wave"):
        timers.wrap(cache.Files, name, "cache: files")
    timers.wrap(cache.Index, "get", "cache: index")
    for unit in units:
        timers.call("harness: else", unit.run, lambda stage: None)
    return timers.seconds, len(units)


def driver(plan: Any, folder: Path) -> tuple[dict[str, float], int]:
    from codecbench.bench import cache, runner
    from codecbench.bench.pool import Pool
    from codecbench.bench.store import Store

    timers = Timers()
    for name in ("put", "delete", "set", "get", "rows", "__enter__", "__exit__"):
        timers.wrap(Store, name, "driver: store")
    for name in ("put", "get"):
        timers.wrap(cache.Index, name, "driver: cache index")
    for name in ("_feed", "_listen"):
        timers.wrap(Pool, name, "driver: workers")
    settings = runner.Settings(jobs=1, cache=folder / "cache")
    with Pool(1, 300.0) as pool:
        # Workers, models and self-checks are had before the clock starts.
        runner.execute(plan, folder / "warm", settings, executor=_Kept(pool))  # type: ignore[arg-type]
        cache.clear(folder / "cache")
        timers.seconds.clear()
        timers.call("driver: else", runner.execute, plan, folder / "run", settings, executor=_Kept(pool))
    return timers.seconds, len(plan.units())


class _Kept:
    """A pool that outlives the run, without the self-checks."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, task: Any) -> None:
        self._pool.submit(task)

    def results(self, tasks: Any) -> Any:
        from codecbench.bench.checks import CheckTask

        return self._pool.results(task for task in tasks if not isinstance(task, CheckTask))


def picture(parts: list[tuple[str, float]], path: Path) -> None:
    """Bars of ms a unit, from the longest; the harness's own in another colour."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 0.34 * len(parts) + 0.8))
    names, values = zip(*reversed(parts), strict=True)
    own = [name.startswith(("cache", "harness", "driver")) for name in names]
    axes.barh(names, values, color=["#d95f02" if mine else "#7570b3" for mine in own])
    for y, value in enumerate(values):
        axes.text(value, y, f" {value:.2f}", va="center", fontsize=8)
    axes.set_xlabel("CPU ms a unit (orange: the harness's own)")
    axes.set_xlim(0, max(values) * 1.12)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=100, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=3, help="of the embedded speech (3)")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="write the table into this Markdown file")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="a PNG")
    args = parser.parse_args()
    plan = sides.plan_of(args.clips)
    with tempfile.TemporaryDirectory() as root:
        spent, count = driver(plan, Path(root) / "driver")
        mine, units = worker(plan, Path(root) / "worker")
    parts = [(name, 1e3 * s / units) for name, s in mine.items()] + [
        (name, 1e3 * s / count) for name, s in spent.items()
    ]
    parts.sort(key=lambda part: -part[1])
    total = sum(ms for _, ms in parts)
    lines = ["| part | CPU ms a unit | share |", "|---|---|---|"]
    lines += [f"| {name} | {ms:.2f} | {ms / total:.1%} |" for name, ms in parts]
    print("\n".join(lines))
    if args.docs:
        fill(args.docs, "profile", "\n".join(lines))
    if args.picture:
        picture(parts, args.picture)


if __name__ == "__main__":
    main()
