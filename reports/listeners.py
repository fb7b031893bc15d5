"""What a listening test of the run said, beside the objective scores of the same points, and how well these agree."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..bench.listening.correlation import Correlation, correlation
from ..bench.listening.results import Results, Score, read
from ..bench.listening.store import FILE, ListeningError
from ..bench.store import StoreError
from .cells import Metric
from .numbers import MISSING, number

if TYPE_CHECKING:
    from .view import View

#: method -> heading of the listeners' mean, digits
_METHODS = {
    "mushra": ("MUSHRA, 0 to 100", 0),
    "acr": ("ACR, 1 to 5", 2),
    "abx": ("ABX, share of right answers (0.5: guessing)", 2),
}


@dataclass(frozen=True)
class Line:
    """A point: the listeners' mean and interval, listeners and ratings, p of ABX, the run's mean of each metric."""

    name: str
    mean: str
    interval: str
    given: str
    p: str
    means: tuple[str, ...]


@dataclass(frozen=True)
class Listened:
    """One test of one content.

    Attributes
    ----------
    agreement : a metric that has a better side, its r and ρ with intervals, points, and why there is none.
    left_out : sentences on listeners, without their names, and on ratings that do not count.
    """

    content: str
    method: str
    heading: str
    metrics: tuple[Metric, ...]
    lines: tuple[Line, ...]
    agreement: tuple[tuple[str, str, str, str, str], ...]
    left_out: tuple[str, ...]


def listened(view: View, folder: Path | None) -> tuple[list[Listened], str]:
    """The tests of a run folder, if there were any; and why they cannot be shown, if so: no page fails for that."""
    if folder is None or not (folder / FILE).exists():
        return [], ""
    try:
        found = read(folder)
    except (ListeningError, StoreError, sqlite3.DatabaseError) as error:
        return [], str(error)
    kinds = dict.fromkeys((s.content, s.method) for s in found.scores)
    return [_listened(view, content, method, found) for content, method in kinds], ""


def _listened(view: View, content: str, method: str, found: Results) -> Listened:
    scores = [s for s in found.scores if (s.content, s.method) == (content, method)]
    metrics = view.metrics_of(content)
    table = view.summary[view.summary["content"] == content]
    rows = {(r["codec"], r["point"]): r for r in table.to_dict("records")}
    heading, digits = _METHODS[method]
    lines = []
    for s in sorted(scores, key=lambda s: -s.mean):
        row = rows.get((s.codec, s.point), {})
        lines.append(
            Line(
                name=f"{s.codec} {s.point}".strip(),
                mean=number(s.mean, digits),
                interval="" if math.isnan(s.low) else f"{number(s.low, digits)} to {number(s.high, digits)}",
                given=f"{s.listeners} / {s.ratings}",
                p="" if math.isnan(s.p) else f"{s.p:.2g}",
                means=tuple(number(row.get(f"{m.name}_mean", math.nan), m.digits) for m in metrics),
            )
        )
    # Right answers say how audible a codec is, not how good; they are correlated with nothing. Neither is a metric that
    # is best at a value: it does not rise with the quality.
    sided = [] if method == "abx" else [m for m in metrics if m.higher_is_better is not None]
    agreement = tuple(_agreement(m, rows, scores) for m in sided)
    left_out = [f"Excluded: a listener who {one.reason}." for one in found.excluded if method == "mushra"]
    left_out += [f"{line}." for line in found.outdated if line.startswith(f"{method} of ")]
    return Listened(content, method, heading, tuple(metrics), tuple(lines), agreement, tuple(left_out))


def _agreement(
    metric: Metric, rows: dict[tuple[str, str], dict[str, float]], scores: list[Score]
) -> tuple[str, str, str, str, str]:
    given = {(s.codec, s.point): s.mean for s in scores if s.role == "system"}
    found = correlation({key: row[f"{metric.name}_mean"] for key, row in rows.items()}, given)
    return (metric.heading_short, *_coefficients(found), str(found.n), found.reason)


def _coefficients(c: Correlation) -> tuple[str, str]:
    if math.isnan(c.pearson):
        return MISSING, MISSING
    return (
        f"{number(c.pearson, 2)} ({number(c.pearson_low, 2)} to {number(c.pearson_high, 2)})",
        f"{number(c.spearman, 2)} ({number(c.spearman_low, 2)} to {number(c.spearman_high, 2)})",
    )
