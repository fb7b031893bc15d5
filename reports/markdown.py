"""summary.md: the summary as Markdown, to paste into a pull request or a paper's notes."""

from __future__ import annotations

import re

from . import codebooks
from .view import View

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
        parts.append(f"## {text(content.capitalize())}\n\n" + _table(view, content))
        parts += [f"**{text(codec)}**: {text(note)}." for codec, note in view.codec_notes(content)]
    tokens = [(content, lines) for content in view.contents if (lines := view.token_lines(content))]
    parts += [f"## Tokens, {text(content)}\n\n" + _tokens(lines) for content, lines in tokens]
    parts += [codebooks.NOTE] if tokens else []
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


def _table(view: View, content: str) -> str:
    lines, metrics = view.lines(content), view.metrics_of(content)
    gpu = [f"RTF {text(view.gpu)}"] if view.gpu else []
    head = ["codec", "kbit/s", *(text(m.heading) for m in metrics), "RTF", *gpu, "delay ms", "n"]
    rows = [head]
    for line in lines:
        cells = []
        for metric in metrics:
            cell = line.cells[metric.name]
            mark = "" if cell.common or not cell.used else "†"
            cells.append(f"{cell.value}{mark} {cell.interval}".strip() if cell.used else f"{cell.value} {cell.missing}")
        name = text(f"{line.codec} {line.point}")
        times = [f"{line.encode_rtf} / {line.decode_rtf}", *([" / ".join(line.gpu_rtf)] if gpu else [])]
        rows.append([name, line.kbps, *(text(c) for c in cells), *times, line.delay_ms, line.used])
    return _layout(rows)


def _tokens(lines: list[codebooks.TokensLine]) -> str:
    return _layout([["codec", *codebooks.HEADS], *([text(line.name), *map(text, line.cells)] for line in lines)])


def _layout(rows: list[list[str]]) -> str:
    """Rows of cells, the heading first, as a table: names to the left, numbers to the right."""
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], rule, *rows[1:]])


def text(value: str) -> str:
    """Any text on one line, with what Markdown or HTML would take for markup escaped."""
    return re.sub(r"([\\`*_|<>\[\]&])", r"\\\1", " ".join(value.split()))
