"""Rate-quality curves: measured kbit/s on a log axis against each metric's mean, with 95 % bands."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

from .view import View

if TYPE_CHECKING:
    import pandas as pd

#: Okabe and Ito's colours, told apart by colour-blind readers; their yellow is too faint for a line on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
TICKS = (0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
#: anchors further from the curves than this share of their range stay outside, with value and arrow in the margin
STRETCH = 0.5


def curves(view: View, content: str) -> bytes | None:
    """One PNG for a content, a panel a metric; None if there is nothing to draw. The same store, the same bytes."""
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
    styles = _styles(table)
    for axis, metric in zip(axes, metrics, strict=False):
        _panel(axis, table, metric.name, styles)
        axis.set_title(metric.heading, fontsize=10, loc="left")
    for axis in axes[len(metrics) :]:
        axis.axis("off")
    handles: dict[str, Any] = {}
    for axis in axes[: len(metrics)]:
        handles |= {label: h for h, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    entries = [styles_label for styles_label in _order(table) if styles_label in handles]
    lines, shown = [handles[e] for e in entries], _with_notes(view, content, table, entries)
    if spare:
        axes[-1].legend(lines, shown, loc="center left", fontsize=8, frameon=False, ncols=2)
    else:
        figure.legend(lines, shown, loc="outside lower center", fontsize=8, frameon=False, ncols=4)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def curve_name(table: pd.DataFrame, family: str, codec: str) -> str:
    """A family is one curve; where it has several codecs, each is one."""
    same = table[(table["family"] == family) & (table["kind"] == "codec")]["codec"].nunique()
    return family if same == 1 else f"{family}: {codec}"


def _with_notes(view: View, content: str, table: pd.DataFrame, entries: list[str]) -> list[str]:
    """The legend's entries, with a pointer where a codec has a note: a figure may be shown without its table."""
    noted = {codec for codec, _ in view.codec_notes(content)}
    part = table[table["codec"].isin(noted)]
    names = {curve_name(table, f, c) for f, c in zip(part["family"], part["codec"], strict=True)}
    return [f"{entry} (see its note)" if entry in names else entry for entry in entries]


def _order(table: pd.DataFrame) -> list[str]:
    codecs = table[table["kind"] == "codec"]
    names = [curve_name(table, f, c) for f, c in zip(codecs["family"], codecs["codec"], strict=True)]
    return list(dict.fromkeys(names))


def _styles(table: pd.DataFrame) -> dict[str, tuple[str, str, Any]]:
    """Colour, marker and dash of each curve: seven colours by eight markers, dashed from the second round on."""
    styles: dict[str, tuple[str, str, Any]] = {}
    for i, name in enumerate(_order(table)):
        dash = ("-", "--", ":")[i // len(COLOURS) % 3]
        styles[name] = (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], dash)
    return styles


def _panel(axis: Any, table: pd.DataFrame, metric: str, styles: dict[str, tuple[str, str, Any]]) -> None:
    mean, low, high = f"{metric}_mean", f"{metric}_lo", f"{metric}_hi"
    # A mean over other clips than the rest must not lie beside them; infinity has no place on an axis.
    shown = table[table[mean].notna() & (table[mean].abs() < math.inf) & table[f"{metric}_common"].fillna(False)]
    codecs = shown[(shown["kind"] == "codec") & (shown["kbps"] > 0)]
    for (family, codec), line in codecs.groupby(["family", "codec"], sort=False):
        line = line.sort_values("kbps", kind="stable")
        name = curve_name(table, family, codec)
        colour, marker, dash = styles[name]
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
        ticks = [t for t in TICKS if low_end <= t <= high_end]
        axis.set_xlim(low_end, high_end)
        axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axis.set_xlabel("measured kbit/s", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.25, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)


def _anchors(axis: Any, anchors: pd.DataFrame, mean: str, framed: bool) -> None:
    """Dashed lines, named in the right margin so that they need no place in the legend."""
    if anchors.empty:
        return
    low, high = axis.get_ylim() if framed else (anchors[mean].min() - 0.1, anchors[mean].max() + 0.1)
    reach = STRETCH * (high - low)
    inside = [v for v in anchors[mean] if low - reach <= v <= high + reach]
    low, high = min([low, *inside]), max([high, *inside])
    pad = 0.02 * (high - low)
    axis.set_ylim(low - pad, high + pad)
    bottom, top = axis.get_ylim()
    ordered = sorted(zip(anchors["codec"], anchors["point"], anchors[mean], strict=True), key=_by_value)
    places = [(value - bottom) / (top - bottom) for _, _, value in ordered]
    for (codec, point, value), place, label_at in zip(ordered, places, _apart(places, 0.055), strict=True):
        label = f"{codec} {point}"
        if 0 <= place <= 1:
            axis.axhline(value, color="#777777", linestyle="--", linewidth=0.8, zorder=1)
        else:
            label += f" {'↑' if place > 1 else '↓'} {value:.3g}"
        axis.text(1.01, label_at, label, transform=axis.transAxes, fontsize=6.5, color="#555555", va="center")


def _apart(places: list[float], gap: float) -> list[float]:
    """Ascending places in 0 to 1, moved as little as keeps them `gap` apart."""
    moved: list[float] = []
    for place in places:
        moved.append(max(min(max(place, 0.0), 1.0), moved[-1] + gap if moved else 0.0))
    ceiling = 1.0
    for i in reversed(range(len(moved))):
        moved[i] = min(moved[i], ceiling)
        ceiling = moved[i] - gap
    return moved


def _by_value(anchor: tuple[str, str, float]) -> tuple[float, str, str]:
    return anchor[2], anchor[0], anchor[1]
