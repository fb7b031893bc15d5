"""A seeded choice that is spread over groups."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

T = TypeVar("T")


def in_turn(rows: Sequence[T], group: Callable[[T], Hashable], count: int | None, seed: int) -> list[T]:
    """So many rows, one of every group in turn, the same ones for the same seed; None for all of them."""
    rng = random.Random(seed)
    groups: dict[Hashable, deque[T]] = defaultdict(deque)
    for row in rng.sample(list(rows), len(rows)):
        groups[group(row)].append(row)
    turns = deque(groups.values())
    taken: list[T] = []
    while turns and (count is None or len(taken) < count):
        mine = turns.popleft()
        taken.append(mine.popleft())
        if mine:
            turns.append(mine)
    return taken
