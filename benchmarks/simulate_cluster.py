"""Where a driver saturates: 1,000 simulated workers with recorded unit costs against the real driver.

    python benchmarks/simulate_cluster.py RUN [--clips 2620] [--workers 10,100,1000,4000] [--bundles 1500]
        [--docs docs/performance.md]

Two steps. The first sends bundles through a real scheduler, a process of its own, to workers that answer at once, and
gives the CPU time a bundle that driver and scheduler need. The second is a discrete-event simulation of clips x 40
points: the driver's code is the real one (runner, store and the executor's bookkeeping) and its time is its CPU time,
with Dask's part of the first step added; the workers are queues whose service times are drawn from those that RUN
recorded, and they give back what they have not begun after a while, as real ones do. Needs Linux for /proc.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import itertools
import os
import pickle
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scale import _unit_result, plan_of

#: seconds between driver and worker, one way
LATENCY = 0.001


def recorded(run: Path) -> list[float]:
    """Seconds that the units of a run took in their worker."""
    from codecbench.bench.store import Store

    store = Store(run)
    try:
        rows = store.rows("SELECT seconds FROM results WHERE status = 'ok' AND seconds > 0")
    finally:
        store.close()
    return [row["seconds"] for row in rows]


def answer_at_once(setup: bytes, bundle: bytes) -> Any:
    """Instead of `worker.run`: every task has its result at once."""
    from codecbench.bench.cluster.worker import Answer

    return Answer("simulated", "", tuple(_result(task) for task in pickle.loads(bundle)))


def _result(task: Any) -> Any:
    from codecbench.bench.checks import CheckTask
    from codecbench.bench.rows import CheckRow

    if isinstance(task, CheckTask):
        return [CheckRow(f"{task.content} {task.check} all", 1, "simulated")]
    return _unit_result(task)


class NoFacts:
    """Instead of `versions.FactsTask`: workers that answer at once have no versions."""

    def run(self, stage: Any) -> dict[str, str]:
        return {}


def executor_of(plan: Any, cluster: Any, kind: Any = None) -> Any:
    """The real executor for a plan whose codecs exist only here."""
    from codecbench.bench.cluster import executor

    executor.facts_task = lambda plan: NoFacts()  # type: ignore[assignment,return-value]
    return (kind or executor.DaskExecutor)(cluster, plan, 300.0)


def drive(plan: Any, executor: Any, folder: Path) -> int:
    from codecbench.bench.runner import Settings, execute

    return execute(plan, folder / "run", Settings(jobs=1, created="2026-01-02"), executor=executor).computed


# Step 1: what a bundle costs in Dask.


def cpu_of(pid: int) -> float:
    """CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def real_scheduler(threads: int) -> Iterator[tuple[str, int]]:
    """A scheduler and a worker of so many threads, each a process; the address, and the scheduler's process id."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{one.getsockname()[1]}"
    host, port = address.split(":")
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": env}
    module = [sys.executable, "-m"]
    free = ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    scheduler = subprocess.Popen(
        [*module, "distributed.cli.dask_scheduler", "--host", host, "--port", port, *free], **quiet
    )
    worker = subprocess.Popen(
        [*module, "distributed.cli.dask_worker", address, "--nthreads", str(threads), "--no-nanny", *free], **quiet
    )
    try:
        yield f"tcp://{address}", scheduler.pid
    finally:
        for process in (worker, scheduler):
            process.kill()
            process.wait()


def cost_in_dask(bundles: int) -> tuple[float, float]:
    """CPU seconds a bundle of driver and scheduler."""
    from codecbench.bench.cluster import worker
    from codecbench.bench.cluster.bundles import BUNDLE

    plan = plan_of(max(1, bundles * BUNDLE // 40))
    worker.run = answer_at_once
    with real_scheduler(32) as (address, pid), tempfile.TemporaryDirectory() as folder:
        executor = executor_of(plan, address)
        with executor:
            own, theirs = time.process_time(), cpu_of(pid)
            rows = drive(plan, contextlib.nullcontext(executor), Path(folder))
            own, theirs = time.process_time() - own, cpu_of(pid) - theirs
    count = rows / BUNDLE
    return own / count, theirs / count


# Step 2: many workers, simulated.


class Cluster:
    """Workers as queues, the driver's clock, and the events between them; in place of connection and done-queue."""

    def __init__(self, workers: int, costs: list[float], extra: float) -> None:
        self.threads, self.client = workers, self
        self._costs, self._extra = costs, extra
        self._free = [(0.0, number) for number in range(workers)]  # when each worker has done all that it was given
        self._events: list[tuple[float, int, Any, bytes]] = []
        self._numbers = itertools.count()
        self._rng = random.Random(7)
        self._mark = time.process_time()
        self.now, self.worked, self.busy = 0.0, 0.0, 0.0

    def look(self) -> bool:
        return True

    def submit(self, function: Any, setup: bytes, bundle: bytes, *, key: Any, **_: Any) -> Any:
        from codecbench.bench.cluster.worker import BUDGET, Answer

        self._charge(self._extra)
        tasks = pickle.loads(bundle)
        free, number = heapq.heappop(self._free)
        spent, done = 0.0, 0
        while done < len(tasks) and (not done or spent < BUDGET):
            spent, done = spent + self._rng.choice(self._costs), done + 1
        end = max(free, self.now + LATENCY) + spent
        heapq.heappush(self._free, (end, number))
        self.worked += spent
        blob = pickle.dumps(Answer("simulated", "", tuple(_result(task) for task in tasks[:done])))
        heapq.heappush(self._events, (end + LATENCY, next(self._numbers), key, blob))
        self._mark = time.process_time()  # what the simulation took is not the driver's
        return Future()

    def cancel(self, futures: Any, force: bool) -> None:
        pass

    def get(self, timeout: float) -> Any:
        """The next bundle that comes back, key and answer; the driver waits for it, or it for the driver."""
        self._charge(0.0)
        when, _, key, blob = heapq.heappop(self._events)
        self.now = max(self.now, when)
        return key, pickle.loads(blob)

    def _charge(self, extra: float) -> None:
        mark = time.process_time()
        spent = mark - self._mark + extra
        self.now, self.busy, self._mark = self.now + spent, self.busy + spent, mark


class Future:
    """Nobody waits for it: its result is an event."""

    def add_done_callback(self, function: Any) -> None:
        pass


def simulate(workers: int, clips: int, costs: list[float], extra: float) -> dict[str, float]:
    """extra : CPU seconds a bundle that Dask's client takes in the driver."""
    from codecbench.bench.cluster.executor import DaskExecutor

    class Simulated(DaskExecutor):
        def __enter__(self) -> Simulated:
            self._at = self._done = cluster  # type: ignore[assignment]
            return self

        def __exit__(self, *_: object) -> None:
            pass

    plan = plan_of(clips)
    cluster = Cluster(workers, costs, extra)
    with tempfile.TemporaryDirectory() as folder:
        rows = drive(plan, executor_of(plan, "", Simulated), Path(folder))
    return {
        "workers": workers,
        "rows": rows,
        "seconds": cluster.now,
        "rate": rows / cluster.now,
        "driver": cluster.busy / cluster.now,
        "workers_busy": cluster.worked / cluster.now / workers,
        "row_ms": 1e3 * cluster.busy / rows,
    }


def main() -> None:
    from codecbench.bench.cluster.bundles import BUNDLE

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder, for the costs of its units")
    parser.add_argument("--clips", type=int, default=2620, metavar="N", help="40 rows a clip (2620)")
    parser.add_argument("--workers", default="10,100,1000,4000", metavar="N,N", help="numbers of simulated workers")
    parser.add_argument("--bundles", type=int, default=1500, metavar="N", help="through the real scheduler (1500)")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="write the table into this Markdown file")
    args = parser.parse_args()
    costs = recorded(args.run)
    mean = sum(costs) / len(costs)
    driver, scheduler = cost_in_dask(args.bundles)
    bare = simulate(10, max(1, args.bundles * BUNDLE // 40), costs, 0.0)["row_ms"] * BUNDLE / 1e3
    extra = max(0.0, driver - bare)
    lines = [
        "| workers | rows | hours | rows a second | driver busy | workers busy | driver ms a row |",
        "|---|---|---|---|---|---|---|",
    ]
    rate = 0.0
    for workers in map(int, args.workers.split(",")):
        one = simulate(workers, args.clips, costs, extra)
        rate = max(rate, 1e3 / one["row_ms"])
        lines.append(
            f"| {workers:,} | {one['rows']:,.0f} | {one['seconds'] / 3600:.2f} | {one['rate']:.0f}"
            f" | {one['driver']:.0%} | {one['workers_busy']:.0%} | {one['row_ms']:.2f} |"
        )
    text = "\n".join(lines) + (
        f"\n\nUnits of {mean:.2f} s on average ({len(costs)} recorded). Through a real scheduler a bundle of"
        f" {BUNDLE} rows takes {1e3 * driver:.1f} ms of CPU in the driver and {1e3 * scheduler:.1f} ms in the"
        f" scheduler. The driver can write {rate:.0f} rows a second, what {rate * mean:,.0f} workers give; the"
        f" scheduler can pass on {BUNDLE / scheduler:.0f}."
    )
    print(text)
    if args.docs:
        from figures import fill

        fill(args.docs, "cluster", text)


if __name__ == "__main__":
    main()
