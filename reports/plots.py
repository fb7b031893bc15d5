"""Rate-quality curves: measured kbit/s on a log axis against each metric's mean, with 95 % bands."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

from .styles import COLOURS, DASHES, MARKERS, Style, styles
from .view import View

if TYPE_CHECKING:
    import pandas as pd

#: rates on the axis, and those of a chart that is too narrow for four of them
TICKS = (0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
FINE_TICKS = (0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
#: anchors further from the curves than this share of their range stay outside, with value and arrow in the margin
STRETCH = 0.5


def curves(view: View, content: str, form: str = "png") -> bytes | None:
    """One figure for a content, a panel a metric, "png" or "svg"; None if there is nothing to draw.

    The same store gives the same bytes.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    table = view.summary[view.summary["content"] == content]
    metrics = [m for m in view.metrics_of(content) if table[f"{m.name}_mean"].notna().any()]
    if not metrics:
        return None
    columns = min(2, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    # One place more than there are panels holds the legend, if the grid has it; else a strip below.
    spare = rows * columns > len(metrics)
    figure = Figure(figsize=(5.4 * columns, 3.7 * rows), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    looks = styles(view.summary)
    for axis, metric in zip(axes, metrics, strict=False):
        _panel(axis, table, metric.name, looks)
        axis.set_title(metric.heading, fontsize=10, loc="left")
    for axis in axes[len(metrics) :]:
        axis.axis("off")
    handles: dict[str, Any] = {}
    for axis in axes[: len(metrics)]:
        handles |= {label: h for h, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    noted = {codec for codec, _ in view.codec_notes(content)}
    # A figure may be shown without its table: where a codec has a note, the legend points to it.
    entries = [(s.name, codec in noted) for codec, s in looks.items() if s.name in handles]
    lines, shown = [handles[e] for e, _ in entries], [f"{e} (see its note)" if n else e for e, n in entries]
    if spare:
        axes[-1].legend(lines, shown, loc="center left", fontsize=8, frameon=False, ncols=2)
    else:
        figure.legend(lines, shown, loc="outside lower center", fontsize=8, frameon=False, ncols=4)
    buffer = io.BytesIO()
    stamp = {"Software": None} if form == "png" else {"Date": None, "Creator": None}
    with matplotlib.rc_context({"svg.hashsalt": "codecbench", "svg.fonttype": "none"}):
        figure.savefig(buffer, format=form, metadata=stamp)
    return buffer.getvalue()


def _panel(axis: Any, table: pd.DataFrame, metric: str, looks: dict[str, Style]) -> None:
    mean, low, high = f"{metric}_mean", f"{metric}_lo", f"{metric}_hi"
    # A mean over other clips than the rest must not lie beside them; infinity has no place on an axis.
    shown = table[table[mean].notna() & (table[mean].abs() < math.inf) & table[f"{metric}_common"].fillna(False)]
    codecs = shown[(shown["kind"] == "codec") & (shown["kbps"] > 0)]
    for codec, line in codecs.groupby("codec", sort=False):
        line = line.sort_values("kbps", kind="stable")
        look = looks[codec]
        name, colour = look.name, COLOURS[look.colour]
        marker, dash = MARKERS[look.marker], DASHES[look.dash]
        axis.plot(
            line["kbps"], line[mean], dash, color=colour, marker=marker, markersize=4.5, linewidth=1.4, label=name
        )
        if len(line) > 1:
            axis.fill_between(line["kbps"], line[low], line[high], color=colour, alpha=0.13, linewidth=0)
        else:
            axis.vlines(line["kbps"], line[low], line[high], color=colour, alpha=0.5, linewidth=1.2)
    _anchors(axis, shown[shown["kind"] != "codec"], mean, bool(len(codecs)))
    axis.set_xscale("log")
    axis.set_xticks([], minor=True)
    if len(codecs):
        low_end, high_end = codecs["kbps"].min() / 1.15, codecs["kbps"].max() * 1.15
        axis.set_xlim(low_end, high_end)
        at = ticks(low_end, high_end)
        axis.set_xticks(at, [f"{t:g}" for t in at])
    axis.set_xlabel("measured kbit/s", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.25, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)


def _anchors(axis: Any, anchors: pd.DataFrame, mean: str, framed: bool) -> None:
    """Dashed lines, named in the right margin so that they need no place in the legend."""
    if anchors.empty:
        return
    axis.set_ylim(*reach(list(axis.get_ylim()) if framed else [], anchors[mean].tolist()))
    bottom, top = axis.get_ylim()
    ordered = sorted(zip(anchors["codec"], anchors["point"], anchors[mean], strict=True), key=_by_value)
    places = [(value - bottom) / (top - bottom) for _, _, value in ordered]
    for (codec, point, value), place, label_at in zip(ordered, places, apart(places, 0.055), strict=True):
        label = f"{codec} {point}"
        if 0 <= place <= 1:
            axis.axhline(value, color="#777777", linestyle="--", linewidth=0.8, zorder=1)
        else:
            label += f" {'↑' if place > 1 else '↓'} {value:.3g}"
        axis.text(1.01, label_at, label, transform=axis.transAxes, fontsize=6.5, color="#555555", va="center")


def apart(places: list[float], gap: float) -> list[float]:
    """Ascending places in 0 to 1, moved as little as keeps them `gap` apart."""
    moved: list[float] = []
    for place in places:
        moved.append(max(min(max(place, 0.0), 1.0), moved[-1] + gap if moved else 0.0))
    ceiling = 1.0
    for i in reversed(range(len(moved))):
        moved[i] = min(moved[i], ceiling)
        ceiling = moved[i] - gap
    return moved


def ticks(low: float, high: float) -> list[float]:
    """Rates to write on an axis."""
    rough = [t for t in TICKS if low <= t <= high]
    return rough if len(rough) >= 4 else [t for t in FINE_TICKS if low <= t <= high]


def reach(curves: list[float], anchors: list[float]) -> tuple[float, float]:
    """Ends of the axis of scores: all curves, and the anchors that are not too far from them."""
    low, high = (
        (min(curves), max(curves)) if curves else (min(anchors) - 0.1, max(anchors) + 0.1) if anchors else (0, 1)
    )
    more = STRETCH * (high - low)
    inside = [v for v in anchors if low - more <= v <= high + more]
    low, high = min([low, *inside]), max([high, *inside])
    pad = 0.02 * (high - low) or 0.1
    return low - pad, high + pad


def _by_value(anchor: tuple[str, str, float]) -> tuple[float, str, str]:
    return anchor[2], anchor[0], anchor[1]
