"""The data of the page's charts, as `static/charts.js` and `static/scatter.js` read them; numbers of the summary."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from .cells import Metric
from .numbers import kbps, number
from .plots import apart, reach, ticks
from .styles import BOKEH_DASHES, BOKEH_MARKERS, styles
from .view import View

if TYPE_CHECKING:
    import pandas as pd

#: digits of a score in the scatter plots
DIGITS = 4


def block(data: Any) -> str:
    """JSON for a data block of a page: no text in it can end the block. No NaN."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def legend(view: View, content: str | None = None) -> list[dict[str, Any]]:
    """The curves of a content, or of the run: name, colour, marker, dash."""
    summary = view.summary if content is None else view.summary[view.summary["content"] == content]
    mine = set(summary["codec"])
    return [
        {"name": s.name, "colour": s.colour, "marker": BOKEH_MARKERS[s.marker], "dash": BOKEH_DASHES[s.dash]}
        for codec, s in styles(view.summary).items()
        if codec in mine
    ]


def curves(view: View) -> list[dict[str, Any]]:
    """One chart a content and metric, in the order of the page."""
    charts = []
    for content in view.contents:
        table = view.summary[view.summary["content"] == content]
        found = [_chart(view, table, content, metric) for metric in view.metrics_of(content)]
        charts += [chart for chart in found if chart["lines"] or chart["anchors"]]
    return [{"id": i, **chart} for i, chart in enumerate(charts)]


def _chart(view: View, table: pd.DataFrame, content: str, metric: Metric) -> dict[str, Any]:
    mean = f"{metric.name}_mean"
    # A mean over other clips than the rest must not lie beside them; infinity has no place on an axis.
    shown = table[table[mean].notna() & (table[mean].abs() < math.inf) & table[f"{metric.name}_common"].fillna(False)]
    codecs = shown[(shown["kind"] == "codec") & (shown["kbps"] > 0)]
    names = {codec: style.name for codec, style in styles(view.summary).items()}
    lines = [
        _line(part.sort_values("kbps", kind="stable"), codec, names[codec], metric)
        for codec, part in codecs.groupby("codec", sort=False)
    ]
    anchors = shown[shown["kind"] != "codec"]
    ends = [v for line in lines for key in ("low", "high", "mean") for v in line[key] if v is not None]
    values = sorted(
        (float(v), f"{c} {p}") for v, c, p in zip(anchors[mean], anchors["codec"], anchors["point"], strict=True)
    )
    low, high = reach([min(ends), max(ends)] if ends else [], [v for v, _ in values])
    places = apart([(v - low) / (high - low) for v, _ in values], 0.075)
    return {
        "content": content,
        "metric": metric.name,
        "heading": metric.heading,
        "x": [codecs["kbps"].min() / 1.15, codecs["kbps"].max() * 1.15] if len(codecs) else [1, 10],
        "y": [low, high],
        "ticks": ticks(codecs["kbps"].min() / 1.15, codecs["kbps"].max() * 1.15) if len(codecs) else [],
        "lines": lines,
        "anchors": [
            {
                "value": value if low <= value <= high else None,
                "at": low + place * (high - low),
                "label": label if low <= value <= high else f"{label} {'↑' if value > high else '↓'} {value:.3g}",
            }
            for (value, label), place in zip(values, places, strict=True)
        ],
    }


def _line(part: pd.DataFrame, codec: str, name: str, metric: Metric) -> dict[str, Any]:
    mean, low, high = (part[f"{metric.name}_{what}"] for what in ("mean", "lo", "hi"))
    return {
        "name": name,
        "kbps": part["kbps"].tolist(),
        "mean": mean.tolist(),
        "low": _known(low),
        "high": _known(high),
        "point": [f"{codec} {point}" for point in part["point"]],
        "rate": [kbps(v) for v in part["kbps"]],
        "score": [number(v, metric.digits) for v in mean],
        "interval": [
            "none" if math.isnan(a) else f"{number(a, metric.digits)} to {number(b, metric.digits)}"
            for a, b in zip(low, high, strict=True)
        ],
        "n": [f"{int(n)} of {clips}" for n, clips in zip(part[f"{metric.name}_n"], part["clips"], strict=True)],
    }


def _known(values: pd.Series[float]) -> list[float | None]:
    return [float(v) if math.isfinite(v) else None for v in values]


def items(view: View, heard: dict[tuple[str, str], str]) -> list[dict[str, Any]]:
    """One a content: every score of every clip, for the scatter plots.

    Parameters
    ----------
    heard : (corpus, clip) -> the clip's name in the section Listen.
    """
    found = []
    for content in view.contents:
        part = view.frame[(view.frame["content"] == content) & (view.frame["status"] == "ok")]
        metrics = [m for m in view.metrics_of(content) if part[m.name].abs().lt(math.inf).any()]
        order = view.summary[view.summary["content"] == content]
        points = list(zip(order["codec"], order["point"], strict=True))
        clips = sorted(set(zip(part["corpus"], part["clip"], strict=True)))
        if not metrics or not clips:
            continue
        where = {clip: i for i, clip in enumerate(clips)}
        columns = [where[pair] for pair in zip(part["corpus"], part["clip"], strict=True)]
        line = {point: i for i, point in enumerate(points)}
        rows = [line[pair] for pair in zip(part["codec"], part["point"], strict=True)]
        found.append(
            {
                "content": content,
                "clips": [f"{corpus}/{clip}" for corpus, clip in clips],
                "heard": {str(where[clip]): name for clip, name in heard.items() if clip in where},
                "points": [list(point) for point in points],
                "metrics": [{"name": m.name, "heading": m.heading} for m in metrics],
                "scores": [_scores(part, m, rows, columns, (len(points), len(clips))) for m in metrics],
            }
        )
    return found


def _scores(
    part: pd.DataFrame, metric: Metric, rows: list[int], columns: list[int], shape: tuple[int, int]
) -> list[list[float | None]]:
    """Scores [points, clips], rounded; None where there is none that a chart could show."""
    import numpy as np

    table = np.full(shape, np.nan)
    table[rows, columns] = part[metric.name].to_numpy(np.float64)
    return [[float(f"{v:.{DIGITS}g}") if math.isfinite(v) else None for v in line] for line in table.tolist()]
