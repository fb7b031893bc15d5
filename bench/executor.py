"""What runs tasks: the contract between the driver and whatever has workers.

The driver asks for results and writes them; it never learns where a task ran. `pool.Pool` has worker processes of this
machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol

Stage = Callable[[str], None]


class Task(Protocol):
    """A picklable piece of work; tasks of one group share what a worker keeps for it."""

    @property
    def group(self) -> str: ...

    def run(self, stage: Stage) -> Any:
        """Do the work; `stage(name)` says what is done now, and restarts the time limit."""


@dataclass(frozen=True)
class Failure:
    """Why a task gave no value.

    Attributes
    ----------
    kind : "raised", "crashed" (the worker process died) or "timeout".
    stage : the last stage that the task named, empty if none.
    detail : the exception with its traceback, the exit code or the limit.
    """

    kind: Literal["raised", "crashed", "timeout"]
    stage: str
    detail: str


class ExecutorError(Exception):
    """Workers that cannot be had, or no more; says what to do. What is done is kept: the same call goes on."""


@dataclass(frozen=True)
class Timed:
    """What a task gave that was run alone: a value or Failure, the host that ran it ("" for the driver's machine), and
    whether its times may be compared with others, since nothing else ran on that machine."""

    value: Any
    host: str
    comparable: bool


class Executor(Protocol):
    """Workers over tasks, while its context lasts; whatever a task does costs that task alone."""

    def __enter__(self) -> Executor: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def results(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Any]]:
        """Run these tasks, and those submitted meanwhile; gives (task, value or Failure) as each is done.

        Tasks of one group come one after the other. They are taken when workers can use them and not before, so that a
        long run needs no long list.
        """

    def submit(self, task: Task) -> None:
        """A task that goes first; call it while `results` runs."""

    def alone(self, task: Task) -> Timed:
        """Run a task that measures time, while no other task runs; never within `results`."""
