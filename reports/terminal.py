"""The summary that ends a run, for a terminal or a log."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from . import codebooks
from .cells import Cell, Line
from .markdown import NOT_COMMON
from .view import View

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_summary(run_dir: Path, console: Console) -> None:
    """Print the tables of a run, its self-checks, failures and unavailable codecs.

    A pipe or a file has no width: lines there are as long as they must be. Where a terminal is too narrow for the
    table, the times are left out, then the intervals, and a line says so; at last each point becomes a paragraph.

    Raises
    ------
    StoreError : the folder has no store.
    """
    from rich.console import Console
    from rich.text import Text

    view = View(run_dir)
    if not console.is_terminal:
        console = Console(file=console.file, width=1000, highlight=False)
    for content in view.contents:
        console.print()
        _print_content(view, content, console)
        for codec, note in view.codec_notes(content):
            console.print(Text(f"{codec}: {note}.", style="yellow"))
    note = "± half of the 95 % interval. RTF: processing seconds a second of audio. n: clips in the means / all clips."
    note += f" GPU: {view.gpu}." if view.gpu else ""
    console.print(Text(f"{note} {NOT_COMMON}" if view.not_common else note, style="dim"))
    tokens = [(content, lines) for content in view.contents if (lines := view.token_lines(content))]
    for content, lines in tokens:
        console.print()
        _print_tokens(content, lines, console)
    if tokens:
        console.print(Text(codebooks.NOTE, style="dim"))
    style = {"good": "green", "warn": "yellow", "bad": "bold red"}[view.status.level]
    console.print(Text(view.status.title + ".", style=style))
    for check in view.checks:
        if not check["passed"]:
            console.print(Text(f"  self-check {check['name']}: {check['detail']}", style="red"))
    for note in view.status.notes:
        console.print(Text(f"  {note}"))
    if view.failed_results:
        console.print(Text(f"Failures: {view.failed_reasons}"))
    if view.unavailable:
        names = ", ".join(c["codec"] for c in view.unavailable)
        console.print(Text(f"Not available here: {names}. `bench doctor` says how to get them."))


def _print_content(view: View, content: str, console: Console) -> None:
    from rich.text import Text

    forms = [(True, True, ""), (False, True, "RTF and delay"), (False, False, "RTF, delay and intervals")]
    for times, intervals, left_out in forms:
        table = _table(view, content, times, intervals)
        if _fits(table, console):
            console.print(table)
            if left_out:
                console.print(Text(f"Left out for want of width: {left_out}; see summary.csv.", style="dim"))
            return
    console.print(Text(content.capitalize(), style="bold"))
    for line in view.lines(content):
        rate = "" if line.kind == "anchor" else f", {line.kbps} kbit/s"
        console.print(Text(_name(line) + rate))
        for metric in view.metrics_of(content):
            console.print(Text(f"  {metric.heading}  {_value(line.cells[metric.name], True)}"))
        gpu = f", GPU {' '.join(line.gpu_rtf)}" if view.gpu else ""
        cost = f"RTF {line.encode_rtf} {line.decode_rtf}{gpu}, delay {line.delay_ms} ms"
        console.print(Text(f"  {cost}, n {line.used} {line.gaps}".rstrip()))


def _print_tokens(content: str, lines: list[codebooks.TokensLine], console: Console) -> None:
    from rich.text import Text

    table = _empty(f"Tokens, {content}", ["codec", *codebooks.HEADS])
    for line in lines:
        table.add_row(Text(line.name), *map(Text, line.cells))
    if _fits(table, console):
        console.print(table)
        return
    console.print(Text(f"Tokens, {content}", style="bold"))
    for line in lines:
        console.print(Text(line.name))
        for head, cell in zip(codebooks.HEADS, line.cells, strict=True):
            console.print(Text(f"  {head}  {cell}"))


def _fits(table: Table, console: Console) -> bool:
    from rich.measure import Measurement

    return Measurement.get(console, console.options.update(max_width=1000), table).maximum <= console.width


def _name(line: Line) -> str:
    return " ".join(f"{line.codec} {line.point}".split())


def _value(cell: Cell, intervals: bool) -> str:
    mark = "†" if cell.used and not cell.common else ""
    half = cell.half.removeprefix("0")  # ±.02: the width is needed for the numbers
    return cell.value + mark + (f"±{half}" if intervals and cell.interval else "")


def _empty(title: str, heads: list[str]) -> Table:
    """A table without rows: the first column to the left, numbers to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(title, style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        show_edge=False,
    )
    table.add_column(heads[0], no_wrap=True)
    for head in heads[1:]:
        # A heading is broken at spaces, so that a column is as wide as its numbers.
        table.add_column(Text("\n".join(wrap(head, 6, break_long_words=False))), justify="right", no_wrap=True)
    return table


def _table(view: View, content: str, times: bool, intervals: bool) -> Table:
    from rich.text import Text

    metrics = view.metrics_of(content)
    costs = ["RTF enc", "RTF dec", *(["GPU RTF enc", "GPU RTF dec"] if view.gpu else []), "delay ms"]
    heads = ["codec", "kbit/s", *(m.heading_short for m in metrics), *(costs if times else []), "n"]
    table = _empty(content.capitalize(), heads)
    families = [lines for _, lines in view.families(content)]
    for lines, following in zip(families, [*families[1:], []], strict=True):
        for line in lines:
            cells = [line.kbps, *(_value(line.cells[m.name], intervals) for m in metrics)]
            if times:
                cells += [line.encode_rtf, line.decode_rtf, *(line.gpu_rtf if view.gpu else ()), line.delay_ms]
            used = Text(line.used, style="red" if line.gaps else "")
            table.add_row(Text(_name(line)), *map(Text, cells), used)
        # Families of one point stand together; a gap each would double the table.
        if len(lines) > 1 or len(following) > 1:
            table.add_section()
    return table
