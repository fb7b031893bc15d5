"""Workers: whatever a task does to its process costs that task alone, and nothing is left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from codecbench.bench import memory, pool
from codecbench.bench.executor import Failure
from codecbench.bench.pool import Pool
from faults._support import children, left, linux
from faults.misdeeds import DEADLY, HARMLESS, Grows, Lasts, Misdeed, Where, Witness

pytestmark = linux


def each(table, *slow):
    """A case for each misdeed of a table; those named are slow."""
    return [
        pytest.param(kind, deed.__name__, id=deed.__name__, marks=[pytest.mark.slow] * (deed.__name__ in slow))
        for kind, deeds in table.items()
        for deed in deeds
    ]


@pytest.fixture(scope="module")
def worker():
    """A pool of one worker, and what a task finds there when nothing has happened yet."""
    with Pool(1, 60.0) as one:
        [(_, found)] = one.results([Witness()])
        yield one, found


@pytest.mark.parametrize(("kind", "deed"), each(HARMLESS))
def test_the_next_task_finds_no_trace(worker, kind, deed):
    one, clean = worker
    done = list(one.results([Misdeed(deed), Witness()]))
    assert [type(task) for task, _ in done] == [Misdeed, Witness]
    (_, value), (_, found) = done
    assert (value.kind if isinstance(value, Failure) else "value") == kind
    assert found == clean


@pytest.mark.parametrize(
    ("kind", "deed"),
    each(
        DEADLY, "fills_memory", "ignores_all_signals", "exits_at_once", "kills_its_group", "closes_all_files", "sleeps"
    ),
)
def test_a_worker_that_dies_or_hangs_is_replaced(monkeypatch, worker, kind, deed):
    monkeypatch.setattr(pool, "ATTEMPTS", 1)
    monkeypatch.setattr(pool, "NEAR", 10.0)
    _, clean = worker
    share = 700_000_000 if deed == "fills_memory" else None
    with Pool(1, 60.0, share=share) as one:
        list(one.results([Where()]))  # the start of a worker counts, too
        one._timeout = 1.0 if kind == "timeout" else 60.0
        results = one.results([Misdeed(deed)])
        _, value = next(results)
        one._timeout = 60.0
        [(_, found)] = one.results([Witness()])
    assert isinstance(value, Failure)
    assert (value.kind, value.stage) == (kind, f"doing {deed}")
    if deed == "fills_memory":
        assert "GB of memory, and its share is 0.70 GB" in value.detail
    assert found == clean


def test_what_a_worker_printed_stands_with_its_failure(monkeypatch, capfd):
    monkeypatch.setattr(pool, "ATTEMPTS", 1)
    with Pool(1, 60.0) as one:
        done = [value for _, value in one.results([Misdeed("prints"), Misdeed("exits"), Misdeed("says_and_dies")])]
    assert done[0] is None
    assert "printed" not in done[1].detail, "it was another task that printed"
    assert done[2].detail.endswith("exit code 7\nit printed: assertion x > 0 failed in encoder.c")
    assert capfd.readouterr() == ("", "")


def test_what_tasks_started_ends_with_the_pool():
    with Pool(1, 60.0) as one:
        list(one.results([Misdeed("leaves_children"), Misdeed("forks_and_sleeps"), Where()]))
        [(_, (pid, group))] = one.results([Where()])
        started = children(pid)
        assert pid == group
        assert len(started) == 2
    assert left([pid, *started]) == []


@pytest.mark.slow
def test_a_worker_that_has_grown_is_replaced_after_its_task():
    with Pool(1, 60.0) as one:
        [(_, (pid, _))] = one.results([Where()])
        one._share = memory.resident(pid) + 400_000_000
        pids = [value for _, value in one.results([Grows(50_000_000) for _ in range(16)])]
    assert not any(isinstance(pid, Failure) for pid in pids), pids
    assert len(set(pids)) in (2, 3, 4)


def test_the_share_of_memory_is_less_than_there_is():
    meminfo = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    machine = int(meminfo["MemTotal"].split()[0]) * 1024
    assert 0 < memory.total() <= machine
    assert memory.share(4) * 4 < memory.total()
    assert memory.resident(os.getpid()) > 10_000_000
    assert memory.resident(1 << 30) == 0


@contextmanager
def driver(timeout, *tasks):
    """A pool in another process; its process, and its workers once they are all at work."""
    script = Path(__file__).with_name("driver.py")
    process = subprocess.Popen([sys.executable, script, str(timeout), *tasks], stdout=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 60
        while len(workers := [pid for pid in children(process.pid) if memory.resident(pid) > 25_000_000]) < 2:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        time.sleep(1.5)
        yield process, workers
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "deed",
    [
        "holds_the_interpreter",
        *(pytest.param(d, marks=pytest.mark.slow) for d in ("sleeps", "ignores_all_signals", "forks_and_sleeps")),
    ],
)
def test_workers_end_with_their_driver(deed):
    with driver(600, f"Misdeed({deed!r}, 'a')", "Misdeed('sleeps', 'b')") as (process, workers):
        all_of_them = [*workers, *(child for worker in workers for child in children(worker))]
        process.kill()
        assert left(all_of_them) == []


@pytest.mark.slow
def test_a_stopped_worker_is_replaced_at_the_time_limit():
    with driver(4, "Lasts((3, 3, 3), 'a')", "Lasts((3, 3, 3), 'b')") as (process, workers):
        os.kill(workers[0], signal.SIGSTOP)
        out, _ = process.communicate(timeout=60)
    told = [json.loads(line)[1] for line in out.splitlines()]
    stopped = [each for each in told if each != "done"]
    assert len(told) == 2
    assert [kind for kind, _ in stopped] == ["timeout"]
    assert left(workers) == []


@pytest.mark.slow
def test_time_for_which_the_driver_was_stopped_counts_for_no_task():
    with driver(4, "Lasts((3, 3), 'a')", "Lasts((8,), 'b')") as (process, _):
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(5.5)
        os.kill(process.pid, signal.SIGCONT)
        out, _ = process.communicate(timeout=60)
    assert sorted(json.loads(line)[1] for line in out.splitlines()) == ["done", "done"]


@pytest.mark.slow
def test_time_for_which_nobody_takes_the_results_counts_for_no_task():
    with Pool(2, 3.0) as two:
        list(two.results([Where("a"), Where("b")]))
        done = []
        for _, value in two.results([Lasts((0.1,), "a"), Lasts((1.0, 2.5), "b")]):
            done.append(value)
            time.sleep(2.8)
    assert done == ["done", "done"]
