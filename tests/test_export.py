"""bench export: every format read back, and names that are markup in it."""

from __future__ import annotations

import io
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from codecbench.bench.cli import main
from codecbench.reports import export
from codecbench.reports.export import latex
from codecbench.reports.frame import load, summary
from codecbench.reports.view import View
from small_run import copy, small_run

HOSTILE = "a_b%&[x]* \\{}$#^~<script>|\"`'"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory)


@pytest.fixture(scope="module")
def hostile(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run with another name for its codec, a failed clip and a missing score."""
    quoted = HOSTILE.replace("'", "''")
    where = "point = '6' AND clip = (SELECT min(clip) FROM clips)"
    return copy(
        run,
        tmp_path_factory.mktemp("hostile") / "run",
        *(f"UPDATE {t} SET codec = '{quoted}' WHERE codec = 'opus'" for t in ("points", "results", "scores")),
        f"UPDATE results SET status = 'failed', reason = 'crashed', detail = '/home/me', bits = NULL WHERE {where}",
        f"UPDATE scores SET value = NULL, reason = 'codec_failed' WHERE {where}",
        "UPDATE scores SET value = NULL, reason = 'timeout' WHERE metric = 'stoi' AND point = '24'",
    )


def bench(*args: object) -> int:
    return main(["export", *map(str, args)])


@pytest.mark.parametrize(("what", "table"), [("summary", summary), ("scores", load)])
def test_data_reads_back_equal(run, tmp_path, capsys, what, table):
    expected = table(run)
    expected = expected.drop(columns="detail", errors="ignore")
    assert bench(run, "--format", "csv", "--what", what) == 0
    again = pd.read_csv(io.StringIO(capsys.readouterr().out), keep_default_na=False, na_values=[""])
    assert list(again) == list(expected)
    assert len(again) == len(expected) == (3 if what == "summary" else 18)
    name = "si_sdr_mean" if what == "summary" else "si_sdr"
    assert again[name].tolist() == expected[name].tolist()
    assert bench(run, "--format", "parquet", "--what", what, "-o", tmp_path / "it.parquet") == 0
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "it.parquet"), expected, check_dtype=False)
    assert [path.name for path in tmp_path.iterdir()] == ["it.parquet"]


class Cells(HTMLParser):
    """Rows of cells, and the tags and scopes met."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.scopes: list[str | None] = []
        self._cell: str | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self._cell = ""
            self.scopes.append(dict(attrs).get("scope"))

    def handle_data(self, data):
        if self._cell is not None:
            self._cell += data

    def handle_endtag(self, tag):
        if tag in ("th", "td"):
            self.rows[-1].append(self._cell or "")
            self._cell = None


def test_html(hostile, capsys):
    assert bench(hostile, "--format", "html") == 0
    text = capsys.readouterr().out
    cells = Cells(text)
    assert "script" not in cells.tags
    assert {"caption", "thead", "tbody", "title"} <= cells.tags
    assert cells.rows[0] == ["codec", "point", "kbit/s", "STOI ↑", "SI-SDR (dB) ↑", "n"]
    assert cells.scopes[:6] == ["col"] * 6
    assert [row[0] for row in cells.rows[1:]] == [HOSTILE, HOSTILE, "lowpass"]
    assert cells.rows[2][3] == "timeout ×6"  # a missing score is its reason


def test_numbers_are_those_of_the_summary(run, capsys):
    table = summary(run)
    assert bench(run, "--format", "html") == 0
    rows = Cells(capsys.readouterr().out).rows[1:]
    assert len(rows) == len(table)
    for cells, row in zip(rows, table.to_dict("records"), strict=True):
        half = (row["stoi_hi"] - row["stoi_lo"]) / 2
        assert cells[:2] == [row["codec"], row["point"]]
        assert cells[3] == f"{row['stoi_mean']:.3f} ±{half:.3f}"
        assert cells[2] == ("–" if row["kind"] == "anchor" else f"{row['kbps']:.2f}")
        assert cells[-1] == "6/6"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE run SET value = '\"interrupted\"' WHERE key = 'status'", "The run is interrupted, not complete"),
        ("UPDATE checks SET passed = 0 WHERE name = (SELECT min(name) FROM checks)", "The run failed its self-check"),
    ],
)
def test_a_run_that_is_not_to_be_trusted_is_told(run, tmp_path, capsys, change, said):
    new = copy(run, tmp_path / "new", change)
    for form in ("csv", "latex", "markdown", "html"):
        for what in ("summary", "scores"):
            assert bench(new, "--format", form, "--what", what) == 0
            told = capsys.readouterr()
            assert f"warning: {said}" in told.err
            assert (said in told.out) == (form != "csv")
    assert bench(run, "--format", "latex") == 0
    assert capsys.readouterr().err == ""


def test_markdown(hostile, capsys):
    assert bench(hostile, "--format", "markdown", "--what", "scores") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(lines) == 2 + 18
    assert {line.replace("\\|", "").count(" | ") for line in lines} == {6}
    assert sum("timeout" in line for line in lines) == 6
    assert sum("codec\\_failed" in line for line in lines) == 1
    assert not any("<script>" in line for line in lines)
    assert not any("/home/me" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b%&", r"a\_b\%\&"),
        ("\\{}$#^~", r"\textbackslash{}\{\}\$\#\textasciicircum{}\textasciitilde{}"),
        ("0.50 ±0.01", r"0.50 $\pm$0.01"),
        ("−3 ↑ ∞", r"$-$3 $\uparrow$ $\infty$"),
        ("[x]*", "{[}x{]}{*}"),
        ("two\nlines", "two lines"),
    ],
)
def test_latex_escapes(text, expected):
    assert latex(text) == expected


def test_latex(hostile, capsys):
    assert bench(hostile, "--format", "latex") == 0
    text = capsys.readouterr().out
    for word in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}{llrrrr}"):
        assert text.count(word) == 1
    rows = text[text.index(r"\midrule") : text.index(r"\bottomrule")].splitlines()[1:]
    assert len(rows) == 3
    assert all(row.replace(r"\&", "").count(" & ") == 5 and row.endswith(r" \\") for row in rows)
    assert rows[0].startswith(r"a\_b\%\&{[}x{]}{*} \textbackslash{}\{\}\$\#\textasciicircum{}\textasciitilde{}")


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex here")
def test_latex_compiles(hostile, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "LONG", 10)  # the scores break over pages, the summary does not
    view = View(hostile)
    tables = export.text(view, "latex", "summary") + export.text(view, "latex", "scores")
    head = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs}\usepackage{longtable}\begin{document}"
    (tmp_path / "it.tex").write_text(f"{head}\n{tables}\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "it.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=60)
    if "booktabs.sty' not found" in done.stdout:
        pytest.skip("pdflatex has no booktabs here")
    assert done.returncode == 0, done.stdout[-1000:]
    assert "\\begin{longtable}" in tables


def test_usage(run, tmp_path, capsys):
    for args, said in (
        ((run, "--format", "parquet"), "say where to with -o FILE"),
        ((tmp_path, "--format", "csv"), "is no run folder"),
        ((run, "--format", "csv", "-o", "/nonexistent/it.csv"), "/nonexistent/it.csv cannot be written"),
    ):
        assert bench(*args) == 2
        assert said in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        bench(run, "--format", "xls")
