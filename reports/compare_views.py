"""A comparison for people and machines: terminal, Markdown for a pull request, JUnit XML."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from .compare import Change, Comparison, Condition
from .failures import counts_text
from .gate import Finding, Verdict
from .markdown import text as escaped
from .numbers import MISSING, kbps, number, rtf

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: rows of the Markdown table; what is left out is counted below it
ROWS = 20
NOTE = (
    "NEW - BASE, means over the clips that both have a score for, with 95 % intervals clustered by speaker. "
    "▼ worse, ▲ better, ◆ different: the interval leaves 0 out."
)


@dataclass(frozen=True)
class _Row:
    """One metric under one condition, as texts; `order` sorts the worst first."""

    condition: Condition
    metric: str
    base: str
    new: str
    difference: str
    half: str
    interval: str
    mark: str
    used: str
    order: tuple[int, float]


def show(comparison: Comparison, verdict: Verdict, console: Console) -> None:
    """Print the differences a content, then what is missing, and the verdict."""
    from rich.console import Console
    from rich.text import Text

    if not console.is_terminal:  # a pipe has no width
        console = Console(file=console.file, width=1000, highlight=False)
    for content in dict.fromkeys(c.content for c in comparison.conditions):
        table, left_out = _table(comparison, content, console)
        console.print(table)
        if left_out:
            console.print(Text(f"Left out for want of width: {left_out}; --json has it.", style="dim"))
    if comparison.conditions:
        console.print(Text(NOTE + " ± half of the interval. kbit/s and RTF (informational): BASE → NEW.", style="dim"))
    for style, line in _remarks(comparison, verdict):
        console.print(Text(line, style=style), soft_wrap=True)
    style = {0: "bold green", 1: "bold red"}.get(verdict.exit_code, "bold yellow")
    console.print(Text(f"{verdict.text}.", style=style))


def _remarks(comparison: Comparison, verdict: Verdict) -> Iterator[tuple[str, str]]:
    """Style and sentence: findings that are not good, then what could not be compared, then notes."""
    told = set()
    for found in (f for f in verdict.findings if f.level != "passed"):
        told.add(found.text)
        yield ("red" if found.level == "regression" else "yellow"), _sentence(found)
    yield from (("yellow", f"warning: {text}") for text in comparison.obstacles if text not in told)
    apart = [f"{name}: {why}" for name, why in {**comparison.other_metrics, **comparison.gone}.items()]
    yield from (("yellow", f"not compared: {text}") for text in apart if text not in told)
    if not any(found.what == "failures" for found in verdict.findings):
        for condition in comparison.conditions:
            lost = _lost(condition)
            if lost:
                yield "red", f"BASE has and NEW has not: {condition.content} {condition.name}: {lost}"
    yield from (("", text) for text in comparison.notes)


def _sentence(found: Finding) -> str:
    if found.condition is None:
        return f"{found.level}: {found.text}"
    return f"{found.level}: {found.condition.content} {found.condition.name}: {found.what}: {found.text}"


def _lost(condition: Condition) -> str:
    lost = [f"not coded: {counts_text(condition.failed)}"] if condition.failed else []
    return "; ".join([*lost, *(f"no {c.metric}: {counts_text(c.lost)}" for c in condition.changes if c.lost)])


def _table(comparison: Comparison, content: str, console: Console) -> tuple[Table, str]:
    """One row a condition; on a terminal too narrow for it, one row a metric, and what that leaves out."""
    from rich import box
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    conditions = [c for c in comparison.conditions if c.content == content]
    metrics = list(dict.fromkeys(change.metric for c in conditions for change in c.changes))
    form = {"box": box.SIMPLE_HEAD, "pad_edge": False, "show_edge": False, "title_justify": "left"}
    wide = Table(title=Text(content.capitalize(), style="bold"), **form)  # type: ignore[arg-type]
    wide.add_column("codec", no_wrap=True)
    for head in ("kbit/s", *(_title(comparison, m) for m in metrics), "RTF enc", "RTF dec", "n"):
        wide.add_column(Text(head), justify="right", no_wrap=True)
    narrow = Table(title=Text(content.capitalize(), style="bold"), **form)  # type: ignore[arg-type]
    narrow.add_column("codec", overflow="fold")
    for head in ("metric", "NEW - BASE", "n"):
        narrow.add_column(head, justify="right", overflow="fold")
    for condition in conditions:
        rows = {change.metric: _row(comparison, condition, change) for change in condition.changes}
        cells = [f"{rows[m].difference} {rows[m].half} {rows[m].mark}".rstrip() if m in rows else "" for m in metrics]
        times = [
            " → ".join(map(rtf, condition.rtf[d])) if d in condition.rtf else MISSING for d in ("encode", "decode")
        ]
        used = sorted({change.difference.n for change in condition.changes} or {condition.coded})
        n = "–".join(map(str, dict.fromkeys((used[0], used[-1])))) + f"/{condition.clips}"
        wide.add_row(*map(Text, (condition.name, _rate(condition), *cells, *times, n)))
        for m, cell in zip(metrics, cells, strict=True):
            narrow.add_row(*map(Text, (condition.name, _title(comparison, m), cell, n)))
    fits = Measurement.get(console, console.options.update(max_width=2000), wide).maximum <= console.width
    return (wide, "") if fits else (narrow, "kbit/s and RTF")


def _title(comparison: Comparison, metric: str) -> str:
    about = comparison.metrics[metric]
    unit = f" ({about['unit']})" if about.get("unit") else ""
    return f"{about.get('title') or metric}{unit}"


def _rate(condition: Condition) -> str:
    one, two = condition.base_kbps, condition.new_kbps
    if math.isnan(one) or one == two:
        return kbps(one)
    return f"{kbps(one)} → {kbps(two)} ({_signed((two / one - 1) * 100, 1)} %)"


def _signed(value: float, digits: int) -> str:
    text = number(value, digits)
    return f"+{text}" if value > 0 and float(text) else text


def _row(comparison: Comparison, condition: Condition, change: Change) -> _Row:
    about, d = comparison.metrics[change.metric], change.difference
    digits = int(about.get("digits", 2))
    better = about.get("higher_is_better")
    clear = d.low > 0 or d.high < 0
    worse = None if better is None or not clear else (d.value < 0) == bool(better)
    mark = "" if not clear else "◆" if better is None else "▼" if worse else "▲"
    # Worst first: what is lost, then clear losses by their size in standard deviations, then unclear, then gains.
    size = abs(d.value) / change.spread if change.spread else math.inf * abs(d.value) if d.value else 0.0
    rank = 0 if change.lost or condition.failed else 1 if worse or (clear and better is None) else 4 if clear else 3
    rank = 2 if math.isnan(d.low) and rank > 1 else rank
    half = "" if math.isnan(d.low) else f"±{number((d.high - d.low) / 2, digits + 1)}"
    return _Row(
        condition,
        _title(comparison, change.metric),
        number(change.base, digits),
        number(change.new, digits),
        _signed(d.value, digits + 1),
        half,
        "no interval" if not half else f"[{_signed(d.low, digits + 1)}, {_signed(d.high, digits + 1)}]",
        mark,
        f"{d.n}/{condition.clips}",
        (rank, -size),
    )


def markdown(comparison: Comparison, verdict: Verdict) -> str:
    """For a pull request: the verdict, what is wrong, and the differences, worst first."""
    icon = {0: "✅", 1: "❌"}.get(verdict.exit_code, "⚠️")
    parts = [f"### {icon} codecbench: {verdict.text}"]
    remarks = [f"- {escaped(line)}" for _, line in _remarks(comparison, verdict)]
    if remarks:
        more = [f"- … and {len(remarks) - ROWS} more"] if len(remarks) > ROWS else []
        parts.append("\n".join(remarks[:ROWS] + more))
    rows = [_row(comparison, c, change) for c in comparison.conditions for change in c.changes]
    rows.sort(key=lambda row: row.order)
    if rows:
        lines = [
            "| codec | kbit/s | metric | BASE | NEW | NEW − BASE | change | n |",
            "| --- | ---: | --- | ---: | ---: | ---: | --- | ---: |",
        ]
        several = len({row.condition.content for row in rows}) > 1
        for row in rows[:ROWS]:
            name = f"{row.condition.content} {row.condition.name}" if several else row.condition.name
            cells = [
                name,
                _rate(row.condition),
                row.metric,
                row.base,
                row.new,
                f"{row.difference} {row.interval}",
                row.mark,
                row.used,
            ]
            lines.append("| " + " | ".join(map(escaped, cells)) + " |")
        parts.append("\n".join(lines))
        left = rows[ROWS:]
        if left:
            clear = sum(row.mark in {"▼", "◆"} for row in left)
            parts.append(f"{len(left)} further rows, {clear} of them worse or different beyond chance.")
        parts.append(NOTE)
    return "\n\n".join(parts) + "\n"


def junit(comparison: Comparison, verdict: Verdict) -> bytes:
    """JUnit XML: one test case a condition with what the gate says of it, and one for what is wrong with the runs."""
    suite = ElementTree.Element("testsuite", name="codecbench compare", time="0")
    mine: list[tuple[str, str, list[Finding], str]] = [
        ("codecbench", "runs", [f for f in verdict.findings if f.condition is None], "\n".join(comparison.notes))
    ]
    for c in comparison.conditions:
        rows = [_row(comparison, c, change) for change in c.changes]
        out = [
            f"kbit/s {_rate(c)}",
            *(f"{r.metric}: {r.base} → {r.new}, {r.difference} {r.interval}, n {r.used}" for r in rows),
        ]
        mine.append(
            (f"codecbench.{c.content}", c.name, [f for f in verdict.findings if f.condition is c], "\n".join(out))
        )
    for group, name, findings, printed in mine:
        case = ElementTree.SubElement(suite, "testcase", classname=_xml(group), name=_xml(name), time="0")
        bad = [f for f in findings if f.level == "regression"]
        blind = [f for f in findings if f.level == "not measured"]
        if bad or blind:
            # One element a case is all that every reader takes; a regression weighs more than what is not known.
            told = bad or blind
            lines = [f"{f.level}: {f.what}: {f.text}" for f in [*bad, *blind]]
            made = ElementTree.SubElement(
                case, "failure" if bad else "error", type=told[0].level, message=_xml(f"{told[0].what}: {told[0].text}")
            )
            made.text = _xml("\n".join(lines))
        ElementTree.SubElement(case, "system-out").text = _xml(printed)
    suite.set("tests", str(len(mine)))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", str(len(suite.findall("testcase/error"))))
    suite.set("skipped", "0")
    whole = ElementTree.Element("testsuites")
    whole.append(suite)
    xml: bytes = ElementTree.tostring(whole, encoding="utf-8", xml_declaration=True)
    return xml + b"\n"


def _xml(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold (section 2.2), each replaced by U+FFFD."""
    return re.sub("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
