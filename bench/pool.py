"""Worker processes that tasks cannot bring down.

Each worker is a spawned process with single-threaded numerics that runs one task at a time. A task whose worker dies,
which may not be its fault, is tried again alone in a new one, ATTEMPTS times in all. A task that raises, takes too
long or kills every worker becomes a `Failure` that names the stage it was in, and the rest goes on. Results arrive in
the order in which they are done.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from .executor import Failure, Task, Timed

#: one thread a worker: codecs and metrics are compared at one thread, and BLAS threads only get in each other's way
THREADS = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    ),
    "1",
)

#: how often a task is tried whose worker dies
ATTEMPTS = 3


def _serve(pipe: Connection, sources: Sequence[str], device: str) -> None:
    """A worker's life: receive a task, send stages and then the result, until the driver is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
    try:
        from ..codecs import registry
        from ..codecs._device import choose
        from ..codecs._load import load

        choose(device)
        registry.names()
        for source in sources:
            load(source)
    except Exception:
        pipe.send(("broken", traceback.format_exc()))
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the driver is gone
        while True:
            try:
                task = pipe.recv()
            except EOFError:
                return
            except Exception as error:  # a task that cannot be unpickled here
                pipe.send(("raised", f"{type(error).__name__}: {error}\n{traceback.format_exc()}"))
                continue
            try:
                outcome = ("value", task.run(lambda name: pipe.send(("stage", name))))
            except Exception as error:
                outcome = ("raised", f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
            pipe.send(outcome)


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    task: Task | None = None
    attempt: int = 1
    group: str = ""
    stage: str = ""
    deadline: float = 0.0


class Pool:
    """Workers over tasks.

    Parameters
    ----------
    jobs : number of worker processes.
    timeout : seconds that one stage of a task may take.
    sources : what every worker loads besides the package: codec modules and weights of the user's own.
    device : that codecs compute on.
    """

    def __init__(self, jobs: int, timeout: float, sources: Sequence[str] = (), device: str = "cpu") -> None:
        self._timeout, self._start_with = timeout, (tuple(sources), device)
        self._context = multiprocessing.get_context("spawn")
        self._coming: Iterator[Task] = iter(())
        self._ahead: Task | None = None  # the first of the group after those that wait
        self._waiting: OrderedDict[str, deque[Task]] = OrderedDict()
        self._urgent: deque[tuple[Task, int]] = deque()  # with the number of the attempt
        self._limit = jobs
        self._workers: list[_Worker] = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.pipe.close()  # an idle worker ends by itself
            if worker.task is not None:
                worker.process.kill()
        for worker in self._workers:
            worker.process.join(5)
            self._end(worker)
        self._workers = []

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that live."""
        return [worker.process.pid for worker in self._workers]

    def submit(self, task: Task) -> None:
        """Queue a task that goes first."""
        self._urgent.append((task, 1))

    def results(self, tasks: Iterable[Task] = ()) -> Iterator[tuple[Task, Any]]:
        """Run these tasks, and those submitted meanwhile; yields (task, value or Failure)."""
        self._coming = iter(tasks)
        while True:
            self._feed()
            busy = [worker for worker in self._workers if worker.task is not None]
            if not busy:
                return
            soonest = min(worker.deadline for worker in busy)
            wait([worker.pipe for worker in busy], timeout=max(0.0, min(soonest - time.monotonic(), 1.0)))
            for worker in busy:
                outcome = self._listen(worker)
                if outcome is not None:
                    task, worker.task, worker.stage = worker.task, None, ""
                    assert task is not None
                    if isinstance(outcome, Failure) and outcome.kind != "raised":
                        self._end(worker)
                        self._workers.remove(worker)
                        if outcome.kind == "crashed" and worker.attempt < ATTEMPTS:
                            self._urgent.append((task, worker.attempt + 1))
                            continue
                    self._feed()
                    yield task, outcome

    def alone(self, task: Task) -> Timed:
        """Run one task and nothing else."""
        [(_, value)] = self.results([task])
        return Timed(value, "", True)

    def _feed(self) -> None:
        """Give every idle worker a task, as long as there are any."""
        idle = [worker for worker in self._workers if worker.task is None]
        while idle or len(self._workers) < self._limit:
            last = idle[-1].group if idle else ""
            task, attempt = self._urgent.popleft() if self._urgent else (self._take(last), 1)
            if task is None:
                return
            worker = idle.pop() if idle else self._start()
            worker.task, worker.attempt, worker.group = task, attempt, task.group
            worker.deadline = time.monotonic() + self._timeout
            with contextlib.suppress(OSError):  # it died idle: noticed by _listen
                worker.pipe.send(task)

    def _take(self, last: str) -> Task | None:
        """A task of the group that the worker had last, else of one that nobody has, else of the longest; None if no
        task waits."""
        if last not in self._waiting:
            taken = {worker.group for worker in self._workers}
            free = next((group for group in self._waiting if group not in taken), None) or self._next_group()
            if free is None and not self._waiting:
                return None
            last = free or max(self._waiting, key=lambda group: len(self._waiting[group]))
        task = self._waiting[last].popleft()
        if not self._waiting[last]:
            del self._waiting[last]
        return task

    def _next_group(self) -> str | None:
        """Let the next group wait, all of it; None if none comes."""
        first = self._ahead or next(self._coming, None)
        if first is None:
            return None
        group = self._waiting.setdefault(first.group, deque())
        group.append(first)
        self._ahead = None
        for task in self._coming:
            if task.group != first.group:
                self._ahead = task
                break
            group.append(task)
        return first.group

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        before = {name: os.environ.get(name) for name in THREADS}
        os.environ.update(THREADS)
        try:
            process = self._context.Process(target=_serve, args=(theirs, *self._start_with), daemon=True)
            process.start()
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _listen(self, worker: _Worker) -> Any:
        """The outcome of the worker's task, None while it goes on."""
        try:
            while worker.pipe.poll():
                kind, value = worker.pipe.recv()
                if kind == "value":
                    return value
                if kind == "raised":
                    return Failure("raised", worker.stage, value)
                if kind == "broken":
                    raise RuntimeError(f"a worker could not start:\n{value}")
                worker.stage, worker.deadline = value, time.monotonic() + self._timeout
        except (EOFError, OSError):
            worker.process.join(5)
            return Failure(
                "crashed", worker.stage, f"the worker process ended with exit code {worker.process.exitcode}"
            )
        if time.monotonic() > worker.deadline:
            return Failure("timeout", worker.stage, f"no end after {self._timeout:g} s")
        return None

    def _end(self, worker: _Worker) -> None:
        worker.pipe.close()
        worker.process.kill()
        worker.process.join(10)
