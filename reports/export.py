"""A run as one table for a paper, a page or another program: LaTeX, Markdown, HTML as text; CSV and Parquet as data.

The text tables round as the report does and show means with half of their 95 % interval; CSV and Parquet hold every
digit. A missing score is its reason, never an empty cell that could be read as zero.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from . import markdown
from .cells import Cell, Line, Metric
from .comparable import distrust
from .failures import counts_text
from .numbers import MISSING, kbps, number
from .view import View
from .write import csv, parquet, scores_of

What = Literal["summary", "scores"]

NOTE = "± half of the 95 % interval; kbit/s is measured; n: clips in the means / clips of the run."


#: rows of a LaTeX table that fit on a page
LONG = 45


@dataclass(frozen=True)
class Table:
    """A table of text. `left`: how many of its first columns are names, which stand left; the rest are numbers."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int
    note: str = ""


def data(view: View, form: Literal["csv", "parquet"], what: What) -> bytes:
    """The summary, or the scores of every clip, as a file of data."""
    table = view.summary if what == "summary" else scores_of(view)
    return csv(table) if form == "csv" else parquet(table)


def text(view: View, form: Literal["latex", "markdown", "html"], what: What) -> str:
    """The tables of a run, one a content, in a markup."""
    made = _summary if what == "summary" else _scores
    tables = [made(view, content) for content in view.contents]
    write: dict[str, Callable[[list[Table]], str]] = {"latex": _latex, "markdown": _markdown, "html": _html}
    return write[form](tables)


def _summary(view: View, content: str) -> Table:
    metrics = view.metrics_of(content)
    lines = view.lines(content)
    heads = ("codec", "point", "kbit/s", *(metric.heading for metric in metrics), "n")
    rows = [(line.codec, line.point, line.kbps, *_means(line, metrics), line.used) for line in lines]
    marked = any(_mark(cell) for line in lines for cell in line.cells.values())
    notes = [NOTE, markdown.NOT_COMMON if marked else "", *(f"{c}: {note}." for c, note in view.codec_notes(content))]
    return Table(_title(view, content), heads, tuple(rows), 2, " ".join(filter(None, [*warnings(view), *notes])))


def warnings(view: View) -> list[str]:
    """Why no number of this run should be believed yet."""
    return [f"{why}." for why in distrust("The run", view.run)]


def _title(view: View, content: str) -> str:
    return content if view.suite == content else f"{view.suite}: {content}"


def _means(line: Line, metrics: list[Metric]) -> list[str]:
    cells = [line.cells[metric.name] for metric in metrics]
    return [
        (f"{cell.value}{_mark(cell)} ±{cell.half}" if cell.interval else f"{cell.value}{_mark(cell)}")
        if cell.used
        else cell.missing or MISSING
        for cell in cells
    ]


def _mark(cell: Cell) -> str:
    return "" if cell.common or not cell.used else "†"


def _scores(view: View, content: str) -> Table:
    metrics = view.metrics_of(content)
    rows = view.frame[view.frame["content"] == content]
    texts = [
        (
            *(str(row[k]) for k in ("corpus", "clip", "codec", "point")),
            kbps(row["kbps"]),
            *(row[f"{m.name}_reason"] or number(row[m.name], m.digits) for m in metrics),
        )
        for row in rows.to_dict("records")
    ]
    heads = ("corpus", "clip", "codec", "point", "kbit/s", *(metric.heading for metric in metrics))
    failed = rows[rows["status"] != "ok"].groupby("reason").size()
    reasons = counts_text({str(reason): int(n) for reason, n in failed.items()})
    notes = [*warnings(view), *([f"Failed: {reasons}."] if reasons else [])]
    return Table(_title(view, content), heads, tuple(texts), 4, " ".join(notes))


def _markdown(tables: list[Table]) -> str:
    parts = []
    for table in tables:
        rule = ["---"] * table.left + ["---:"] * (len(table.heads) - table.left)
        rows = [map(markdown.text, table.heads), rule, *(map(markdown.text, row) for row in table.rows)]
        parts.append(f"## {markdown.text(table.title)}")
        parts.append("\n".join("| " + " | ".join(row) + " |" for row in rows))
        parts += [markdown.text(table.note)] if table.note else []
    return "\n\n".join(parts) + "\n"


_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
</head>
<body>
{body}
</body>
</html>
"""


def _html(tables: list[Table]) -> str:
    """A page without style or script: captions, and headings of columns and rows for screen readers."""

    def row(cells: tuple[str, ...], left: int) -> str:
        heads = "".join(f'<th scope="row">{html.escape(cell)}</th>' for cell in cells[:left])
        return f"<tr>{heads}" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells[left:]) + "</tr>"

    parts = []
    for table in tables:
        heads = "".join(f'<th scope="col">{html.escape(head)}</th>' for head in table.heads)
        body = "\n".join(row(cells, table.left) for cells in table.rows)
        parts.append(
            f"<table>\n<caption>{html.escape(table.title)}</caption>\n<thead>\n<tr>{heads}</tr>\n</thead>\n"
            f"<tbody>\n{body}\n</tbody>\n</table>"
        )
        parts += [f"<p>{html.escape(table.note)}</p>"] if table.note else []
    return _PAGE.format(title=html.escape(tables[0].title if tables else "codecbench"), body="\n".join(parts))


_LATEX = {
    "\\": r"\textbackslash{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    # after a line's end, TeX would take these for an argument
    **{c: f"{{{c}}}" for c in "[]*"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "∞": r"$\infty$",
    "×": r"$\times$",
    "†": r"\textdagger{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
}


def latex(value: str) -> str:
    """Any text on one line for LaTeX's text mode; what has no command of its own stays for XeLaTeX or LuaLaTeX."""
    return re.sub(".", lambda found: _LATEX.get(found[0], found[0]), " ".join(value.split()))


def _latex(tables: list[Table]) -> str:
    """Tables for the package booktabs; longtable, which breaks over pages, where one page may not hold it."""
    parts = ["% \\usepackage[T1]{fontenc}, \\usepackage{booktabs}, \\usepackage{longtable}"]
    for table in tables:
        columns = "l" * table.left + "r" * (len(table.heads) - table.left)
        heads = " & ".join(map(latex, table.heads)) + r" \\"
        rows = [" & ".join(map(latex, row)) + r" \\" for row in table.rows]
        caption = rf"\caption{{{latex(' '.join(filter(None, (table.title + '.', table.note))))}}}"
        if len(rows) > LONG:
            head = [rf"\begin{{longtable}}{{{columns}}}", caption + r"\\", r"\toprule", heads, r"\midrule", r"\endhead"]
            parts += [*head, *rows, r"\bottomrule", r"\end{longtable}"]
        else:
            head = [r"\begin{table}", r"\centering", caption, rf"\begin{{tabular}}{{{columns}}}"]
            foot = [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
            parts += [*head, r"\toprule", heads, r"\midrule", *rows, *foot]
    return "\n".join(parts) + "\n"
