"""The executor that has a Dask cluster's workers: bundles of tasks go out, a few a worker, and results come back.

A bundle is some consecutive tasks of one group, so that a worker prepares their clip once; it gives back what it has
not begun after a while. Every bundle is a Dask task with a key of its own, whose result leaves the cluster at once, so
neither scheduler nor driver holds more than what is under way. What can go wrong:

a worker dies        Dask gives its bundles to others; a task that takes one worker after the other with it fails alone
a worker hangs       the scheduler removes it after its worker-ttl; a bundle that is not back in time is given again
the scheduler dies   the driver waits for one at the same address and gives again what is not back
the driver dies      the same command goes on, as locally

A result counts once: only while the driver awaits the key under which it comes.
"""

from __future__ import annotations

import contextlib
import itertools
import pickle
import platform
import queue
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ..executor import Failure, Task, Timed
from ..plan import Plan
from ..pool import Pool
from . import ClusterError, ClusterLost, worker
from .bundles import Bundle, bundles
from .connection import AWAY, Connection
from .versions import facts_task, table

#: bundles under way a thread of a worker: one that it runs, one that waits there
AHEAD = 2
#: stages that a task may have, for the time after which it is given again; and seconds that all else may take
STAGES, GRACE = 16, 120.0


#: results that are fetched at the same time
FETCHERS = 16


@dataclass
class _Sent:
    bundle: Bundle
    future: Any
    since: float


class DaskExecutor:
    """Workers of a Dask cluster.

    Parameters
    ----------
    cluster : a scheduler's address, or a function that starts a cluster, which lives as long as the context.
    plan : what the run computes; workers whose versions would give other numbers are refused.
    timeout : seconds that one stage of a task may take.
    timing_on : where what is timed runs: "driver" (this machine), or a worker's name, address or host; empty: on any
        worker, and not comparable.
    say : called with a line when the cluster changes.
    patience : seconds to wait for a scheduler that is gone.
    allowance : seconds in which a bundle must be back before it is given again; by default enough for STAGES stages of
        each bundle that a worker may have ahead.

    Raises
    ------
    ClusterError : no scheduler, or workers that would give other numbers.
    ClusterLost : the scheduler, or the worker that times, stays away.
    """

    def __init__(
        self,
        cluster: str | Callable[[], Any],
        plan: Plan,
        timeout: float,
        *,
        timing_on: str = "",
        say: Callable[[str], None] = lambda line: None,
        patience: float = 600.0,
        allowance: float | None = None,
    ) -> None:
        self._cluster, self._timing_on, self._say, self._patience = cluster, timing_on, say, patience
        self._allowance = allowance or AHEAD * (worker.BUDGET + STAGES * timeout) + GRACE
        task = facts_task(plan)
        self._facts = task.run(lambda _: None)
        run = uuid.uuid4().hex[:12]
        self._setup = worker.Setup(run, platform.node(), timeout, tuple(plan.sources), plan.device, task, self._facts)
        self._blob = pickle.dumps(self._setup)
        self._local: Pool | None = None  # for timing on this machine
        self._numbers = itertools.count()
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._sent: dict[Any, _Sent] = {}
        self._again: deque[Bundle] = deque()
        self._host = ""  # that gave the last answer
        self._looked = 0.0

    def __enter__(self) -> DaskExecutor:
        with contextlib.ExitStack() as stack:
            address = self._cluster
            if not isinstance(address, str):
                started = address()
                stack.callback(started.close, timeout=10)
                address = str(started.scheduler_address)
            self._at = Connection(address, self._say, self._patience)
            self._fetchers = stack.enter_context(ThreadPoolExecutor(FETCHERS, "results"))
            stack.callback(self._leave)
            self._at.wait_for_workers()
            self._check_workers()
            if self._timing_on not in ("", "driver"):
                try:
                    self._at.find(self._timing_on, 0)
                except ClusterLost as error:
                    raise ClusterError(f"--timing-on {self._timing_on}: {error}") from error
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def _leave(self) -> None:
        """Leave nothing on the cluster."""
        if self._local:
            self._local.__exit__()
        self._forget(self._sent)
        with contextlib.suppress(Exception):  # whatever the state of the cluster, the run is over
            self._at.client.run(worker.close, self._setup.run, on_error="ignore", callback_timeout=10)
        self._at.close()

    def submit(self, task: Task) -> None:
        """A task that goes first; call it while `results` runs."""
        self._again.append(Bundle((task,), first=True))

    def results(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Any]]:
        """As `Executor.results`."""
        coming = bundles(tasks)
        try:
            while True:
                self._fill(coming)
                if not self._sent:
                    return
                yield from self._next()
        finally:
            self._forget(self._sent)
            self._again.clear()

    def alone(self, task: Task) -> Timed:
        """As `Executor.alone`: on this machine, or on the worker that was named."""
        if self._timing_on == "driver":
            if self._local is None:
                self._local = Pool(1, self._setup.timeout, self._setup.sources, self._setup.device)
            return self._local.alone(task)
        self._again.append(Bundle((task,)))
        while True:
            on = [self._at.find(self._timing_on, GRACE)] if self._timing_on else None
            if self._again:
                self._send(self._again.popleft(), on)
            for _, value in self._next():
                return Timed(value, self._host, bool(on))

    def _fill(self, coming: Iterator[Bundle]) -> None:
        """Give bundles until enough are under way."""
        self._look()
        while len(self._sent) < max(1, AHEAD * self._at.threads):
            bundle = self._again.popleft() if self._again else next(coming, None)
            if bundle is None:
                return
            self._send(bundle)

    def _send(self, bundle: Bundle, workers: list[str] | None = None) -> None:
        key = (f"codecbench-{self._setup.run}", next(self._numbers))
        tasks = pickle.dumps(bundle.tasks)
        future = self._at.client.submit(
            worker.run, self._blob, tasks, key=key, pure=False, priority=int(bundle.first), workers=workers
        )
        self._sent[key] = _Sent(bundle, future, time.monotonic())
        future.add_done_callback(self._fetch)

    def _fetch(self, future: Any) -> None:
        """Let a result come, beside others: on a slow link each takes a while."""
        with contextlib.suppress(RuntimeError):  # the run is over
            self._fetchers.submit(self._bring, future)

    def _bring(self, future: Any) -> None:
        try:
            self._done.put((future.key, future.result(timeout=30)))
        except Exception as error:
            self._done.put((future.key, error))

    def _next(self) -> Iterator[tuple[Task, Any]]:
        """Results that have come; none after a second without."""
        try:
            key, outcome = self._done.get(timeout=1.0)
        except queue.Empty:
            self._look()
            return
        sent = self._sent.pop(key, None)
        if sent is None:
            return  # given again meanwhile
        tasks = sent.bundle.tasks
        answer = self._answer(sent.bundle, outcome)
        if isinstance(answer, Failure):
            yield from ((task, answer) for task in tasks)
        elif answer:
            if rest := tasks[len(answer.values) :]:  # together, or one by one where workers have nothing to do
                idle = len(self._sent) < self._at.threads
                self._again.extend([Bundle((task,)) for task in rest] if idle else [Bundle(rest)])
            yield from zip(tasks, answer.values, strict=False)

    def _answer(self, bundle: Bundle, outcome: worker.Answer | Exception) -> worker.Answer | Failure | None:
        """What came of a bundle; None if it is given again."""
        from distributed import KilledWorker

        if isinstance(outcome, KilledWorker):
            if len(bundle.tasks) == 1:
                return Failure("crashed", "", f"its Dask worker died, {outcome.allowed_failures + 1} times")
            self._again.extend(Bundle((task,)) for task in bundle.tasks)  # each for itself
            return None
        if isinstance(outcome, (CancelledError, *AWAY)):  # the scheduler, or the worker that had it, is gone
            self._again.append(bundle)
            return None
        if isinstance(outcome, Exception):  # no task's fault: what a task raises is a Failure
            raise ClusterLost(_cannot_run(outcome)) from outcome
        if outcome.refused:
            self._say(f"a worker on {outcome.host} is sent away\n{self._why([outcome])}")
            self._at.send_away(outcome.address)
            self._again.append(bundle)
            return None
        self._host = outcome.host
        return outcome

    def _look(self) -> None:
        """Once a second: give again what the cluster has lost, or has had for too long."""
        now = time.monotonic()
        if now - self._looked < 1.0:
            return
        there = self._at.look()
        self._looked = now
        if not there:
            late = dict(self._sent)
        elif self._at.threads:
            late = {key: sent for key, sent in self._sent.items() if now - sent.since > self._allowance}
        else:
            late = {}
            for sent in self._sent.values():
                sent.since = now  # there is nobody who could have done it
        if late:
            count = sum(len(sent.bundle.tasks) for sent in late.values())
            self._say(f"{count} tasks are not back, and are given again")
            self._again.extend(sent.bundle for sent in late.values())
            self._forget(late)

    def _forget(self, sent: dict[Any, _Sent]) -> None:
        """Await these no more."""
        futures = [one.future for one in sent.values()]
        for key in list(sent):
            self._sent.pop(key, None)
        if futures:
            with contextlib.suppress(Exception):  # a scheduler that is gone has forgotten them
                self._at.client.cancel(futures, force=True)

    def _check_workers(self) -> None:
        """Compare the versions of all workers. Raises ClusterError where they differ."""
        empty = pickle.dumps(())
        futures = [
            self._at.client.submit(
                worker.run, self._blob, empty, key=(f"check-{self._setup.run}", number), pure=False, workers=[address]
            )
            for number, address in enumerate(self._at.workers())
        ]
        refused = []
        end = time.monotonic() + GRACE
        for future in futures:
            try:
                answer = future.result(timeout=max(1.0, end - time.monotonic()))
            except (CancelledError, *AWAY):
                continue  # it died, or is slow: every worker is compared again before its first task
            except Exception as error:
                raise ClusterError(_cannot_run(error)) from error
            if answer.refused:
                refused.append(answer)
        self._at.client.cancel(futures, force=True)
        if refused:
            raise ClusterError(
                "the cluster's workers would not give the numbers that this machine gives\n"
                f"{self._why(refused)}\nmake them the same as here, and restart the workers"
            )

    def _why(self, refused: list[worker.Answer]) -> str:
        errors = [f"  no task can run on {answer.host}: {answer.error}" for answer in refused if answer.error]
        facts = {answer.host: answer.facts for answer in refused if answer.facts is not None}
        return "\n".join([*dict.fromkeys(errors), *([table(self._facts, facts)] if facts else [])])


def _cannot_run(error: Exception) -> str:
    return f"a worker cannot run codecbench ({type(error).__name__}: {error}); install the same version there as here"
