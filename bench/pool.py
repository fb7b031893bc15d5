"""Worker processes that tasks cannot bring down.

Each worker is a spawned process with single-threaded numerics that runs one task at a time. A task whose worker dies,
which may not be its fault, is tried again alone in a new one, ATTEMPTS times in all. A task that raises, takes too
long or kills every worker becomes a `Failure` that names the stage it was in, and the rest goes on. Results arrive in
the order in which they are done.

A worker that takes more memory than its share is ended, and its task tried again like that of one that died. One that
comes near to it, or has too many open files, threads or child processes, is replaced after its task. What workers
print goes to no terminal; its end stands in the details of a failure. Time for which the driver was stopped or busy
elsewhere counts for no task.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Literal

from . import memory
from .board import Board
from .executor import ExecutorError, Failure, Task, Timed
from .worker import serve

#: one thread a worker: codecs and metrics are compared at one thread, and BLAS threads only get in each other's way
THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "NUMEXPR")}
THREADS["VECLIB_MAXIMUM_THREADS"] = "1"

#: how often a task is tried whose worker dies
ATTEMPTS = 3


#: of its share of memory, at which a worker is replaced after its task
NEAR = 0.75
#: characters kept of what a worker wrote to standard output and error
TAIL = 2000
#: seconds between two looks at the workers that mean that the driver itself was stopped
PAUSE = 2.0
_GOES_ON = object()


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    life: Connection  # the worker ends when this is closed
    output: Connection | None  # what it prints; None after its end
    board: Board
    task: Task | None = None
    attempt: int = 1
    group: str = ""
    since: float = 0.0  # the stage that the deadline is of began
    deadline: float = 0.0
    printed: bytes = b""
    heavy: int = 0  # bytes of memory, of one that took too much
    worn: bool = False


class Pool:
    """Workers over tasks.

    Parameters
    ----------
    jobs : number of worker processes.
    timeout : seconds that one stage of a task may take.
    sources : what every worker loads besides the package: codec modules and weights of the user's own.
    device : that codecs compute on.
    share : bytes of memory that a worker may take, by default its part of most of what there is.
    """

    def __init__(
        self,
        jobs: int,
        timeout: float,
        sources: Sequence[str] = (),
        device: str = "cpu",
        share: int | None = None,
    ) -> None:
        self._timeout, self._start_with = timeout, (tuple(sources), device)
        self._context = multiprocessing.get_context("spawn")
        self._coming: Iterator[Task] = iter(())
        self._ahead: Task | None = None  # the first of the group after those that wait
        self._waiting: OrderedDict[str, deque[Task]] = OrderedDict()
        self._urgent: deque[tuple[Task, int]] = deque()  # with the number of the attempt
        self._limit = jobs
        self._workers: list[_Worker] = []
        self._share = share or memory.share(jobs)
        self._looked = self._weighed = time.monotonic()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.pipe.close()  # an idle worker ends by itself
            if worker.task is not None:
                worker.process.kill()
        for worker in self._workers:
            _wait_for(worker.process, 5)
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
            soonest = min(self._due(worker) for worker in busy)
            ears = [ear for worker in busy for ear in (worker.pipe, worker.output) if ear]
            wait(ears, timeout=max(0.0, min(soonest - time.monotonic(), 1.0)))
            self._weigh(busy)
            for worker in busy:
                outcome = self._listen(worker)
                if outcome is not _GOES_ON:
                    task, worker.task = worker.task, None
                    assert task is not None
                    failed = isinstance(outcome, Failure) and outcome.kind != "raised"
                    if failed or worker.worn or memory.resident(worker.process.pid) > NEAR * self._share:
                        self._end(worker)
                        self._workers.remove(worker)
                    if failed and outcome.kind == "crashed" and worker.attempt < ATTEMPTS:
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
            worker.board.write("")
            self._read(worker)
            worker.printed = b""
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
        dies, life = self._context.Pipe(duplex=False)
        output, prints = self._context.Pipe(duplex=False)
        os.set_blocking(output.fileno(), False)
        board = Board(self._context)
        given = (theirs, dies, prints, board, *self._start_with)
        before = {name: os.environ.get(name) for name in THREADS}
        os.environ.update(THREADS)
        try:
            process = self._context.Process(target=serve, args=given, daemon=True)
            process.start()
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        for end in (theirs, dies, prints):
            end.close()
        worker = _Worker(process, ours, life, output, board)
        self._workers.append(worker)
        return worker

    def _weigh(self, busy: Sequence[_Worker]) -> None:
        """Once a second, note the workers that take too much memory."""
        if time.monotonic() - self._weighed > 1:
            self._weighed = time.monotonic()
            for worker in busy:
                held = memory.resident(worker.process.pid)
                worker.heavy = held if held > self._share else 0

    def _listen(self, worker: _Worker) -> Any:
        """The outcome of the worker's task, or _GOES_ON."""
        self._look()
        self._read(worker)
        try:
            while worker.pipe.poll():
                kind, value = worker.pipe.recv()
                if kind == "value":
                    return value
                if kind == "raised":
                    return self._failure(worker, "raised", value)
                if kind == "broken":
                    raise ExecutorError(f"a worker could not start: {value}")
                worker.worn = True  # the kind that is left
            dead = worker.process.exitcode is not None
        except (EOFError, OSError):
            dead = True
        if dead:
            _wait_for(worker.process, 5)
            return self._failure(
                worker, "crashed", f"the worker process ended with exit code {worker.process.exitcode}"
            )
        if worker.heavy:
            took, share = (f"{size / 1e9:.2f} GB" for size in (worker.heavy, self._share))
            return self._failure(worker, "crashed", f"the worker took {took} of memory, and its share is {share}")
        if time.monotonic() > self._due(worker):
            return self._failure(worker, "timeout", f"no end after {self._timeout:g} s")
        return _GOES_ON

    def _due(self, worker: _Worker) -> float:
        """When its stage must have ended."""
        if worker.board.since != worker.since:
            worker.since = worker.board.since
            worker.deadline = worker.since + self._timeout
        return worker.deadline

    def _look(self) -> None:
        """Give all tasks the time that passed since the workers were looked at last, if that is much: the driver was
        stopped, or what takes the results was slow."""
        now = time.monotonic()
        missed, self._looked = now - self._looked, now
        if missed > PAUSE:
            for worker in self._workers:
                worker.deadline = self._due(worker) + missed

    def _read(self, worker: _Worker) -> None:
        """Take what the worker printed, as much as a pipe holds."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(16):
                if not worker.output:
                    return
                new = os.read(worker.output.fileno(), 1 << 16)
                worker.printed = (worker.printed + new)[-TAIL:]
                if not new:  # it closed its end
                    worker.output.close()
                    worker.output = None

    def _failure(self, worker: _Worker, kind: Literal["raised", "crashed", "timeout"], detail: str) -> Failure:
        self._read(worker)
        printed = worker.printed.decode(errors="replace").strip()
        return Failure(kind, worker.board.stage, f"{detail}\nit printed: {printed}" if printed else detail)

    def _end(self, worker: _Worker) -> None:
        worker.pipe.close()
        worker.process.kill()
        with contextlib.suppress(ProcessLookupError, PermissionError):  # what its codecs started
            os.killpg(worker.process.pid, signal.SIGKILL)
        worker.process.join(10)
        worker.life.close()
        if worker.output:
            worker.output.close()


def _wait_for(process: Any, seconds: float) -> None:
    """Wait for its end as `join` does, but not for that of children which it left behind."""
    until = time.monotonic() + seconds
    while process.exitcode is None and time.monotonic() < until:
        time.sleep(0.01)
