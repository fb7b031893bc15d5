"""What runs inside a Dask worker: tasks in a worker process of its own, as on the driver's machine.

Each thread of a Dask worker keeps one `Pool` of one process for a run, so that a task has the same isolation, stages,
time limit and attempts as locally: whatever a codec does, the Dask worker lives. Before the first task of a run the
process's facts (see `versions`) are compared with the driver's; a worker that has others never gives a number.
"""

from __future__ import annotations

import contextlib
import multiprocessing.process
import os
import pickle
import platform
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..executor import Task
from ..pool import Pool
from ..work import NO_INDEX
from .versions import FactsTask

#: seconds after which a bundle's tasks that have not begun are given back: results arrive soon, and no worker is left
#: with much when the others have nothing
BUDGET = 20.0


@dataclass(frozen=True)
class Setup:
    """What a worker must know of a run. run : names it; host : the driver's; facts : the driver's; the rest as in
    `Pool`."""

    run: str
    host: str
    timeout: float
    sources: tuple[str, ...]
    device: str
    task: FactsTask
    facts: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """host : for people; values : of the bundle's first tasks, values or Failures, at least one of a bundle that is not
    empty. Where nothing may be run here, facts : of this worker, that differ from the driver's; or error : why its
    process cannot start."""

    host: str
    address: str
    values: tuple[Any, ...] = ()
    facts: Mapping[str, str] | None = None
    error: str = ""

    @property
    def refused(self) -> bool:
        return bool(self.error) or self.facts is not None


#: by thread; a Dask worker's threads last as long as it does
_pools: dict[int, tuple[str, Pool]] = {}


def run(setup: bytes, bundle: bytes) -> Answer:
    """Run tasks one after the other, or say why none may run here. The arguments are a pickled `Setup` and a pickled
    tuple of tasks, so that Dask looks into neither."""
    from distributed import get_worker

    known: Setup = pickle.loads(setup)
    tasks: tuple[Task, ...] = pickle.loads(bundle)
    me = get_worker()
    host, address = platform.node(), str(me.address)
    memory = me.memory_manager.memory_limit  # of all threads of the Dask worker, None for no limit
    try:
        pool, facts = _pool(known, memory and memory // me.state.nthreads)
        if facts != known.facts:
            return Answer(host, address, facts=facts)
        began, values = time.monotonic(), list[Any]()
        for task in tasks:
            if values and time.monotonic() - began > BUDGET:
                break
            values += [value for _, value in pool.results([task])]
    except Exception as error:  # what a task raises is a Failure: this is the machine's or its set-up's
        _end(threading.get_ident())
        return Answer(host, address, error=" ".join(str(error).partition("Traceback")[0].split()) or repr(error))
    return Answer(host, address, tuple(values))


_facts: dict[str, Mapping[str, str]] = {}  # by run


def _pool(setup: Setup, share: int | None) -> tuple[Pool, Mapping[str, str]]:
    me = threading.get_ident()
    there = _pools.get(me)
    if there is None or there[0] != setup.run:
        _end(me)
        # Dask starts its workers as daemons unless its configuration says otherwise, and Python lets a daemon have no
        # children, because they would outlive it. Ours do not: they end when the pipe from their parent does.
        multiprocessing.process.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
        if platform.node() != setup.host:
            os.environ[NO_INDEX] = "1"
        _pools[me] = (setup.run, Pool(1, setup.timeout, setup.sources, setup.device, share))
    pool = _pools[me][1]
    if setup.run not in _facts:
        [(_, facts)] = pool.results([setup.task])
        if not isinstance(facts, dict):
            raise RuntimeError(f"{facts.kind} in {facts.stage}: {facts.detail}")
        _facts[setup.run] = facts
    return pool, _facts[setup.run]


def close(run: str) -> None:
    """End the worker processes of a run; called once it is over."""
    _facts.pop(run, None)
    for thread, (of, _) in list(_pools.items()):
        if of == run:
            _end(thread)


def _end(thread: int) -> None:
    _, pool = _pools.pop(thread, (None, None))
    with contextlib.suppress(OSError, ValueError):
        if pool:
            pool.__exit__()
