"""What a worker is given at a time: some consecutive tasks of one group."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..executor import Task

#: tasks of a bundle, at most
BUNDLE = 8


@dataclass(frozen=True)
class Bundle:
    """Tasks for one worker; `first` ones go before all others."""

    tasks: tuple[Task, ...]
    first: bool = False


def bundles(tasks: Iterable[Task], size: int = BUNDLE) -> Iterator[Bundle]:
    """Consecutive tasks of one group, at most `size` at a time; taken from `tasks` when they are asked for."""
    for _, group in itertools.groupby(tasks, key=lambda task: task.group):
        while some := tuple(itertools.islice(group, size)):
            yield Bundle(some)
