"""The pool: tasks that raise, hang or kill their worker cost only themselves."""

from __future__ import annotations

import os
import time

import pytest
from codecbench.bench.executor import Failure
from codecbench.bench.pool import THREADS, Pool
from pool_tasks import Task


def run(tasks, jobs=2, timeout=20.0):
    with Pool(jobs, timeout) as pool:
        return {task.what: value for task, value in pool.results(tasks)}


def test_bad_tasks_fail_alone():
    done = run([Task(what) for what in ("a", "raise", "b", "die", "c", "exit", "d")])
    assert {k: v for k, v in done.items() if k in "abcd"} == {k: k for k in "abcd"}
    assert done["raise"].kind == "raised"
    assert "no good" in done["raise"].detail
    assert (done["die"].kind, done["die"].stage) == ("crashed", "doing die")
    assert "-9" in done["die"].detail
    assert "7" in done["exit"].detail


def test_a_hang_ends_at_the_time_limit():
    began = time.monotonic()
    done = run([Task("hang", "x"), Task("a", "y")], timeout=8.0)
    assert done["a"] == "a"
    assert done["hang"] == Failure("timeout", "doing hang", "no end after 8 s")
    assert time.monotonic() - began < 60


def test_workers_are_single_threaded():
    before = {name: os.environ.get(name) for name in THREADS}
    assert run([Task("threads")])["threads"] == THREADS
    assert {name: os.environ.get(name) for name in THREADS} == before


def test_a_retry_may_be_submitted_meanwhile_and_workers_end():
    with Pool(1, 20.0) as pool:
        order = []
        for task, value in pool.results(Task(what) for what in ("a", "die", "b")):
            order.append(task.what)
            if isinstance(value, Failure):
                pool.submit(Task("again"))
        pids = pool.pids
    assert order == ["a", "die", "b", "again"]  # "b" was under way when "again" was submitted
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
