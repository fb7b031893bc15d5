"""One static page on which runs stand together: codecs ranked within classes of rates, group by group.

A group is of runs on the same clips with the same metrics (`grouping.py`); runs of different groups are never in one
table. Within a class of rates the points are ranked by each metric that has a better side, over the clips common to
all points of the content; what cannot be told apart shares ranks (`bench/ranking.py`).

The page needs no script: what is shown is chosen with radio buttons and style.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from ..bench import ranking
from . import frame as tables
from . import page, verdict
from .cells import Line, Metric
from .merge import Group
from .numbers import MISSING, kbps, rtf
from .view import View

if TYPE_CHECKING:
    import pandas as pd

    from .grouping import Source

#: upper ends of the classes, measured kbit/s a channel
CLASSES = (4.0, 8.0, 16.0, 32.0, math.inf)
#: a rate so much above the end of a class is still of it: an encoder's 16 kbit/s is often measured as 16.04
TOLERANCE = 0.05

Key = tuple[str, str]  # codec, point


@dataclass(frozen=True)
class Row:
    """A point in a table. rank: "2", "2–5", or empty where it is not ranked; left, width: of its interval, percent.

    rtf : encode and decode, a device each, with the letter of the machine where there are several.
    """

    line: Line
    rank: str
    left: float
    width: float
    per_channel: str
    rtf: tuple[tuple[str, str], ...]
    source: Source


@dataclass(frozen=True)
class Class:
    """The points of one class, best first; says: what the ranking says of the best."""

    title: str
    rows: tuple[Row, ...]
    says: str


@dataclass(frozen=True)
class Table:
    """A content ranked by a metric, class by class, and the anchors, which have no rate."""

    metric: Metric
    classes: tuple[Class | None, ...]
    anchors: tuple[Row, ...]


@dataclass(frozen=True)
class Board:
    """A group. tables: of each content. machines: letter -> machine. links: a run's name -> address of its page."""

    group: Group
    view: View
    tables: dict[str, tuple[Table, ...]]
    machines: dict[str, str]
    links: dict[str, str]

    def letter(self, source: Source) -> str:
        return next(letter for letter, machine in self.machines.items() if machine == source.machine)


def render(groups: Sequence[Group], folder: Path) -> str:
    """The page; `folder` is where it will be, for the links to the pages of the runs that were given relative to it."""
    return (
        page.environment()
        .get_template("leaderboard.html")
        .render(
            boards=[board(group, folder) for group in groups],
            css=page.static("page.css"),
            classes=[title(i) for i in range(len(CLASSES))],
            tolerance=f"{TOLERANCE * 100:g} %",
            missing=MISSING,
        )
    )


def title(index: int) -> str:
    """Of a class, in kbit/s a channel."""
    end = CLASSES[index]
    return f"≤ {end:g}" if end < math.inf else f"> {CLASSES[index - 1]:g}"


def class_of(rate: float) -> int:
    """The index of the class of a rate, kbit/s a channel."""
    return next(i for i, end in enumerate(CLASSES) if rate <= end * (1 + TOLERANCE))


def board(group: Group, folder: Path) -> Board:
    """A group as it stands on a page in this folder."""
    view = View(group.run)
    machines = {chr(ord("A") + i): m for i, m in enumerate(dict.fromkeys(s.machine for s in group.sources))}
    links = {s.name: link for s in group.sources if (link := _link(s, folder))}
    made = Board(group, view, {}, machines, links)
    for content in view.contents:
        made.tables[content] = tuple(_content_tables(made, content))
    return made


def _link(source: Source, folder: Path) -> str:
    """To the run's page, if the run was given relative: both then move together."""
    page = source.folder / "index.html"
    if source.folder.is_absolute() or not page.is_file():
        return ""
    return quote(os.path.relpath(page.resolve(), folder.resolve()))


def _content_tables(board: Board, content: str) -> list[Table]:
    view = board.view
    frame = view.frame[view.frame["content"] == content]
    lines = {(line.codec, line.point): line for line in view.lines(content)}
    rates = _per_channel(frame)
    times = _times(board, content)
    members: list[list[Key]] = [[] for _ in CLASSES]
    for key in lines:
        if key in rates:
            members[class_of(rates[key])].append(key)
    rest = [key for key in lines if key not in rates]

    def row(key: Key, rank: tuple[int, int, int] | None = None) -> Row:
        best, worst, total = rank or (0, 0, 1)
        return Row(
            line=lines[key],
            rank=(str(best) if best == worst else f"{best}–{worst}") if rank else "",
            left=round(100 * (best - 1) / total, 1) if rank else 0,
            width=round(100 * (worst - best + 1) / total, 1) if rank else 0,
            per_channel=kbps(rates.get(key, math.nan)),
            rtf=times.get(key, ()),
            source=board.group.origin[content, key[0], key[1]],
        )

    found = []
    for metric in view.metrics_of(content):
        if metric.higher_is_better is None:
            continue
        common = tables.on_intersection(frame, metric.name)
        classes: list[Class | None] = []
        for i, keys in enumerate(members):
            ranks, says = _ranks(common, keys, metric, int(view.run.info.get("seed") or 0))
            rows = [row(key, rank) for key, rank in ranks.items()] + [row(key) for key in keys if key not in ranks]
            classes.append(Class(title(i), tuple(rows), says) if rows else None)
        found.append(Table(metric, tuple(classes), tuple(row(key) for key in rest)))
    return found


def _per_channel(frame: pd.DataFrame) -> dict[Key, float]:
    """Measured kbit/s a channel of each point that has a rate: bits / seconds of all channels."""
    coded = frame[frame["kbps"].notna()]
    seconds = coded["coded_seconds"] * coded["channels"].astype("float64")
    sums = coded.assign(bits=coded["bits"].astype("float64"), seconds=seconds).groupby(["codec", "point"], sort=False)
    return {key: float(part["bits"].sum() / part["seconds"].sum() / 1000) for key, part in sums}


def _ranks(
    common: pd.DataFrame, keys: list[Key], metric: Metric, seed: int
) -> tuple[dict[Key, tuple[int, int, int]], str]:
    """Best rank, worst rank, number of points, best point first, of the points that can be ranked; and a sentence."""
    rows = dict(tuple(common.sort_values(["corpus", "clip"]).groupby(["codec", "point"])))
    keys = [key for key in keys if key in rows]
    if not keys:
        return {}, ""
    parts = [rows[key] for key in keys]
    first = parts[0]
    scores = np.array([part[metric.name].to_numpy(dtype=np.float64) for part in parts])
    result = ranking.rank(scores, tables.clusters(first).tolist(), bool(metric.higher_is_better), seed)
    ranks = {keys[i]: (int(result.best[i]), int(result.worst[i]), len(keys)) for i in result.order}
    return ranks, verdict.best(result, [" ".join(key) for key in keys], metric.title)


def _times(board: Board, content: str) -> dict[Key, tuple[tuple[str, str], ...]]:
    """Real-time factors of each point, a device each: as measured, whatever the machine, which is named."""
    rows = board.group.timings
    sources = {s.name: s for s in board.group.sources}
    found: dict[Key, dict[str, dict[str, Any]]] = {}
    fit = (rows["content"] == content) & rows["wall_rtf"].notna() & (rows["comparable"] == 1)
    for t in rows[fit].to_dict("records"):
        letter = f" {board.letter(sources[t['source']])}" if len(board.machines) > 1 else ""
        device = ("" if t["device"] == "cpu" else t["device"]) + letter
        found.setdefault((t["codec"], t["point"]), {}).setdefault(device, {})[t["direction"]] = t["wall_rtf"]
    return {
        key: tuple(
            (f"{rtf(way.get('encode', math.nan))} / {rtf(way.get('decode', math.nan))}", device.strip())
            for device, way in sorted(devices.items())
        )
        for key, devices in found.items()
    }
