"""summary.md: the summary as Markdown, to paste into a pull request or a paper's notes."""

from __future__ import annotations

import re

from .view import Line, Metric, View

NOTE = (
    "Means over the clips common to all codecs, with 95 % bootstrap intervals (by speaker, else by clip). "
    "kbit/s is measured: payload bits over coded time. RTF: processing seconds a second of audio, one thread, "
    "encoder / decoder. n: clips in the means / clips of the run."
)
NOT_COMMON = "† over other clips than the rest: do not compare."


def render(view: View) -> str:
    """The whole document."""
    parts = [f"# codecbench: {text(view.suite)}", _status(view)]
    for content in view.contents:
        parts.append(f"## {text(content.capitalize())}\n\n" + _table(view.lines(content), view.metrics_of(content)))
        parts += [f"**{text(codec)}**: {text(note)}." for codec, note in view.codec_notes(content)]
    parts.append(NOTE + (f" {NOT_COMMON}" if view.not_common else ""))
    if view.unavailable:
        parts.append(
            "Not available here:\n\n"
            + "\n".join(f"- {text(c['codec'])} ({text(c['family'])}): {text(c['reason'])}" for c in view.unavailable)
        )
    return "\n\n".join(parts) + "\n"


def _status(view: View) -> str:
    status = view.status
    return "\n".join([f"**{status.title}.**", *(text(note) for note in status.notes)])


def _table(lines: list[Line], metrics: list[Metric]) -> str:
    head = ["codec", "kbit/s", *(text(m.heading) for m in metrics), "RTF", "delay ms", "n"]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    for line in lines:
        cells = []
        for metric in metrics:
            cell = line.cells[metric.name]
            mark = "" if cell.common or not cell.used else "†"
            cells.append(f"{cell.value}{mark} {cell.interval}".strip() if cell.used else f"{cell.value} {cell.missing}")
        name = text(f"{line.codec} {line.point}")
        rtf = f"{line.encode_rtf} / {line.decode_rtf}"
        rows.append([name, line.kbps, *(text(c) for c in cells), rtf, line.delay_ms, line.used])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def text(value: str) -> str:
    """Any text on one line, with what Markdown or HTML would take for markup escaped."""
    return re.sub(r"([\\`*_|<>\[\]&])", r"\\\1", " ".join(value.split()))
