"""Post-screening of MUSHRA listeners: ITU-R BS.1534-3, section 4.1.2.

An assessor is excluded who rates

- the hidden reference below 90 for more than 15 % of the test items, or
- the mid-range anchor (7 kHz) above 90 for more than 15 % of the test items. Where more than 25 % of the assessors rate
  the mid-range anchor of an item above 90, the anchor did not degrade that item enough, and no one is excluded on
  the basis of it.

The section's outliers (1.5 interquartile ranges) are not removed: it asks for a reason that only the experimenter
can find.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from .plan import MID_ANCHOR
from .store import Rating

GRADE = 90.0
SHARE = 0.15
ITEM_SHARE = 0.25


@dataclass(frozen=True)
class Excluded:
    """A listener who does not count, and why."""

    listener: str
    reason: str


def screen(ratings: Iterable[tuple[str, Rating]]) -> list[Excluded]:
    """The listeners to exclude, by name, of (listener, rating) of trials that count."""
    reference: dict[str, list[bool]] = defaultdict(list)
    anchor: dict[str, list[tuple[tuple[str, str], bool]]] = defaultdict(list)
    for listener, rating in ratings:
        if rating.is_reference:
            reference[listener].append(rating.rating < GRADE)
        elif rating.is_anchor and rating.point == MID_ANCHOR:
            anchor[listener].append(((rating.corpus, rating.clip), rating.rating > GRADE))
    weak = _weak_items(anchor)
    excluded = []
    for listener in sorted({*reference, *anchor}):
        low = reference[listener]
        high = [above for item, above in anchor[listener] if item not in weak]
        reasons = []
        if _share(low) > SHARE:
            reasons.append(f"rated the hidden reference below 90 in {sum(low)} of {len(low)} items")
        if _share(high) > SHARE:
            reasons.append(f"rated the 7 kHz anchor above 90 in {sum(high)} of {len(high)} items")
        if reasons:
            excluded.append(Excluded(listener, "; ".join(reasons) + " (BS.1534-3, 4.1.2: at most 15 %)"))
    return excluded


def _weak_items(anchor: dict[str, list[tuple[tuple[str, str], bool]]]) -> set[tuple[str, str]]:
    """Items whose mid-range anchor more than a quarter of the listeners rated above 90."""
    by_item: dict[tuple[str, str], dict[str, bool]] = defaultdict(dict)
    for listener, given in anchor.items():
        for item, above in given:
            by_item[item][listener] = above or by_item[item].get(listener, False)
    return {item for item, listeners in by_item.items() if _share(list(listeners.values())) > ITEM_SHARE}


def _share(flags: list[bool]) -> float:
    return sum(flags) / len(flags) if flags else 0.0
