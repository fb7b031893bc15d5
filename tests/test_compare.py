"""bench compare: differences against pandas computed afresh, and a gate that says when it is blind."""

from __future__ import annotations

import io
import json
import math
import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from codecbench.bench import cli
from codecbench.bench.cli import main
from codecbench.bench.metrics import registry
from codecbench.bench.statistics import Mean, paired_difference
from codecbench.reports.compare import Change, Comparison, Condition, compare
from codecbench.reports.compare_views import show
from codecbench.reports.gate import RuleError, judge, parse
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console
from small_run import copy, small_run

METRICS = {
    "stoi": {"name": "stoi", "higher_is_better": True},
    "lsd": {"name": "lsd", "higher_is_better": False},
    "loudness_diff": {"name": "loudness_diff", "higher_is_better": None},
}
WORSE = ["--map", "opus@24=opus@6"]
HOSTILE = 'a|b <img src=x> & "q" ]]> \x1b[31m `c` @d'


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory)


def bench(*args: object) -> int:
    return main(["compare", *map(str, args)])


def as_json(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, dict]:
    capsys.readouterr()
    code = bench(*args, "--json")
    return code, json.loads(capsys.readouterr().out)


def test_differences_equal_pandas_computed_afresh(run, capsys):
    code, found = as_json(capsys, run, run, *WORSE)
    assert code == 0
    (condition,) = found["conditions"]
    with closing(sqlite3.connect(run / "results.sqlite")) as db:
        scores = pd.read_sql("SELECT * FROM scores JOIN clips USING (corpus, clip) WHERE codec = 'opus'", db)
        results = pd.read_sql("SELECT * FROM results WHERE codec = 'opus'", db)
    for change in condition["changes"]:
        wide = scores[scores["metric"] == change["metric"]].pivot(index="clip", columns="point", values="value")
        assert len(wide) == 6
        assert change["difference"]["value"] == pytest.approx((wide["6"] - wide["24"]).mean(), abs=1e-12)
        assert change["base"] == pytest.approx(wide["24"].mean(), abs=1e-12)
        assert change["new"] == pytest.approx(wide["6"].mean(), abs=1e-12)
        speakers = scores.drop_duplicates("clip").set_index("clip")["speaker"]
        assert speakers.nunique() == 6
        again = paired_difference(wide["6"].to_dict(), wide["24"].to_dict(), speakers.to_dict())
        assert change["difference"]["low"] == pytest.approx(again.low, abs=0.02 * abs(again.low))
        assert change["difference"]["high"] < 0
        assert change["difference"]["n"] == 6
    for side, point in (("base", "24"), ("new", "6")):
        rows = results[results["point"] == point]
        assert condition[f"{side}_kbps"] == pytest.approx(rows["bits"].sum() / rows["coded_seconds"].sum() / 1000)


def test_an_equal_run_passes(run, tmp_path, capsys):
    same = copy(run, tmp_path / "same")
    code, found = as_json(capsys, run, same, "--fail-if", "stoi<0", "--fail-if", "si_sdr<-0.1", "--fail-if", "kbps>1%")
    assert code == 0
    assert len(found["conditions"]) == 3
    assert all(c["difference"]["value"] == 0 for one in found["conditions"] for c in one["changes"])
    # 3 conditions: two metrics and the losses each, and the rate of the two that have one
    assert [f["level"] for f in found["findings"]] == ["passed"] * 11
    assert bench(run, same) == 0
    assert "Compared, without a bound." in capsys.readouterr().out


def test_a_really_worse_run_fails(run, tmp_path, capsys):
    files = ["--markdown", tmp_path / "it.md", "--junit", tmp_path / "it.xml"]
    assert bench(run, run, *WORSE, "--map", "lowpass", "--fail-if", "stoi<-0.05", *files) == 1
    assert "Failed: 1 of 4 checks." in capsys.readouterr().out
    lines = (tmp_path / "it.md").read_text().splitlines()
    assert "❌" in lines[0]
    assert any("regression: speech opus 24 → opus 6: stoi" in line for line in lines)
    table = [line.split(" | ") for line in lines if line.startswith("| ")]
    assert {len(row) for row in table} == {8}
    assert [row[0].strip("| ") for row in table[2:]] == ["opus 24 → opus 6"] * 2 + ["lowpass 3.5k"] * 2  # worst first
    suite = ElementTree.parse(tmp_path / "it.xml").getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "0")
    (bad,) = [case for case in suite.findall("testcase") if case.find("failure") is not None]
    assert bad.get("name") == "opus 24 → opus 6"
    assert "stoi<-0.05" in (bad.find("failure").text or "")
    # What got better passes, and so does a bound that the loss stays within.
    assert bench(run, run, "--map", "opus@6=opus@24", "--fail-if", "stoi<0") == 0
    assert bench(run, run, *WORSE, "--fail-if", "stoi<-0.9") == 0
    # A codec under another name, paired point by point.
    renamed = copy(
        run,
        tmp_path / "renamed",
        *(f"UPDATE {t} SET codec = 'mine@2' WHERE codec = 'opus'" for t in ("points", "results", "scores")),
    )
    assert bench(run, renamed, "--map", "opus=mine@2", "--fail-if", "stoi<0") == 0
    assert bench(run, renamed, "--map", "opus@24=mine@2@6", "--fail-if", "stoi<0") == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE run SET value = '\"interrupted\"' WHERE key = 'status'", "NEW is interrupted, not complete"),
        ("UPDATE checks SET passed = 0, detail = '0.9'", "NEW failed its self-check"),
        ("UPDATE clips SET sha256 = 'x'", "not the same audio in BASE and NEW"),
        ("UPDATE clips SET seconds = seconds / 2", "not the same audio in BASE and NEW"),
        ("UPDATE clips SET corpus = 'other'", "no clip is in both runs"),
        ("UPDATE run SET value = replace(value, '\"fingerprint\": \"', '\"fingerprint\": \"x') WHERE key = 'metrics'",
         "stoi: computed differently in BASE and NEW"),
        ("DELETE FROM clips WHERE clip NOT IN (SELECT clip FROM clips LIMIT 4)", "an interval needs 5"),
        ("DELETE FROM points WHERE point = '24'", "opus 24: not in NEW: not among its operating points"),
        ("UPDATE points SET unavailable = 'get it' WHERE codec = 'opus'", "opus 6: not in NEW: get it"),
        ("DELETE FROM scores WHERE metric = 'stoi'", "no_row"),
    ],
)  # fmt: skip
def test_a_gate_that_cannot_judge_says_so(run, tmp_path, capsys, change, said):
    new = copy(run, tmp_path / "new", change)
    code = bench(run, new, "--fail-if", "stoi<-0.05")
    text = capsys.readouterr().out
    assert said in text
    # Scores that are gone count as a regression; everything else was not measured.
    assert code == (1 if "DELETE FROM scores" in change else 2)
    assert "Passed" not in text


def test_without_a_bound_an_untrusted_run_is_compared_with_a_warning(run, tmp_path, capsys):
    new = copy(run, tmp_path / "new", "UPDATE run SET value = '\"interrupted\"' WHERE key = 'status'")
    assert bench(run, new) == 0
    text = capsys.readouterr().out
    assert "warning: NEW is interrupted, not complete" in text
    assert "not compared" not in text


def test_versions_that_differ_are_named(run, tmp_path, capsys):
    new = copy(
        run,
        tmp_path / "new",
        "UPDATE run SET value = replace(value, '\"fingerprint\": \"', '\"fingerprint\": \"x') WHERE key = 'metrics'",
        "UPDATE run SET value = json_set(value, '$.numpy', '9.9') WHERE key = 'packages'",
    )
    assert bench(run, new) == 2
    text = capsys.readouterr().out
    assert "→ 9.9" in text
    assert "Nothing could be compared." in text


def test_what_new_has_lost_is_shown_and_fails(run, tmp_path, capsys):
    where = "codec = 'opus' AND point = '6' AND clip = (SELECT min(clip) FROM clips)"
    new = copy(
        run,
        tmp_path / "new",
        f"UPDATE results SET status = 'failed', reason = 'crashed', bits = NULL WHERE {where}",
        f"UPDATE scores SET value = NULL, reason = 'codec_failed' WHERE {where}",
        "UPDATE scores SET value = NULL, reason = 'timeout' WHERE metric = 'si_sdr' AND codec = 'lowpass'"
        " AND clip = (SELECT max(clip) FROM clips)",
    )
    assert bench(run, new) == 0
    text = capsys.readouterr().out
    assert "BASE has and NEW has not: speech opus 6: not coded: crashed ×1" in text
    assert "BASE has and NEW has not: speech lowpass 3.5k: no si_sdr: timeout ×1" in text
    assert "5/6" in text
    code, found = as_json(capsys, run, new, "--fail-if", "stoi<-0.05")
    assert code == 1
    assert sorted(f["text"] for f in found["findings"] if f["level"] == "regression") == [
        "no si_sdr: timeout ×1",
        "not coded: crashed ×1",
    ]
    assert bench(new, run, "--fail-if", "stoi<-0.05") == 0  # what BASE had not is no loss


def test_rate(run, tmp_path):
    new = copy(run, tmp_path / "new", "UPDATE results SET bits = bits * 102 / 100 WHERE codec = 'opus'")
    assert bench(run, new, "--fail-if", "kbps>1%") == 1
    assert bench(run, new, "--fail-if", "kbps>3%") == 0
    assert bench(run, new, "--fail-if", "kbps>0.1") == 1
    assert bench(new, run, "--fail-if", "kbps<-1%") == 1
    assert bench(run, new, "--map", "lowpass", "--fail-if", "kbps>1%") == 2  # an anchor has no rate


def test_hostile_names_stay_text(run, tmp_path, capsys):
    quoted = HOSTILE.replace("'", "''")
    tables = ("points", "results", "scores")
    changes = [f"UPDATE {t} SET codec = '{quoted}' WHERE codec = 'opus'" for t in tables]
    base = copy(run, tmp_path / "base", *changes)
    new = copy(base, tmp_path / "new", "UPDATE scores SET value = value - 0.2 WHERE metric = 'stoi'")
    code, found = as_json(capsys, base, new, "--fail-if", "stoi<0", "--junit", tmp_path / "it.xml")
    assert code == 1
    assert HOSTILE in {condition["base"][0] for condition in found["conditions"]}
    cases = ElementTree.parse(tmp_path / "it.xml").getroot().iter("testcase")
    assert f"{HOSTILE} 6".replace("\x1b", "\ufffd") in {case.get("name") for case in cases}
    assert bench(base, new, "--fail-if", "stoi<0", "--markdown", "-") == 1
    text = capsys.readouterr().out
    assert "<img" not in text.replace("\\<", "")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "img" in line]
    assert len(rows) == 4
    assert {line.replace("\\|", "").count(" | ") for line in rows} == {7}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--fail-if", "stoi"], "is no bound"),
        (["--fail-if", "stoi<=-1"], "is no bound"),
        (["--fail-if", "stoi<nan"], "is no bound"),
        (["--fail-if", "pesk<-1"], "there are: stoi, si_sdr, kbps"),
        (["--fail-if", "stoi>0.1"], "a regression is stoi<-0.1"),
        (["--fail-if", "stoi<0.1"], "stoi<-0.1, perhaps?"),
        (["--fail-if", "stoi<-1%"], "only kbps"),
        (["--map", "opos"], "BASE has no codec 'opos'; it has: lowpass, opus"),
        (["--map", "opus=opos"], "NEW has no codec 'opos'"),
        (["--map", "opus@7"], "opus has no point '7'; it has: 24, 6"),
        (["--map", "opus=lowpass"], "opus@24=lowpass@3.5k"),
        (["--json", "--markdown", "-"], "both print"),
        (["--junit", "/nonexistent/it.xml"], "/nonexistent/it.xml cannot be written"),
    ],
)
def test_usage(run, capsys, args, said):
    assert bench(run, run, *args) == 2
    assert said in capsys.readouterr().err


def test_the_workflow_in_the_docs_has_valid_commands(run):
    text = (Path(__file__).parents[1] / "docs/ci.md").read_text()
    steps = [" ".join(step.split()) for step in re.findall(r"run: >\n((?: {10}.*\n)+)", text)]
    parsed = [cli.build_parser().parse_args(shlex.split(step)[1:]) for step in steps]
    assert [args.command for args in parsed] == ["run", "compare"]
    metrics = {name: registry.get(name).__dict__ for name in parsed[0].metrics.split(",")}
    assert len([parse(bound, metrics) for bound in parsed[1].fail_if]) == 4


def test_a_point_without_a_partner_is_told(run, tmp_path, capsys):
    changes = [f"UPDATE {t} SET codec = 'mine' WHERE codec = 'opus'" for t in ("points", "results", "scores")]
    new = copy(run, tmp_path / "new", *changes, "DELETE FROM points WHERE point = '24'")
    assert bench(run, new, "--map", "opus=mine", "--fail-if", "stoi<0") == 0
    text = capsys.readouterr().out
    assert "opus 6 → mine 6" in text
    assert "without a partner of the same label: opus 24" in text


def test_a_narrow_terminal(run):
    comparison = compare(run, run, ["opus@24=opus@6"])
    console = Console(width=60, force_terminal=True, color_system=None, file=io.StringIO())
    show(comparison, judge(comparison, []), console)
    text = console.file.getvalue()
    assert "Left out for want of width: kbit/s and RTF" in text
    assert max(map(len, text.splitlines())) <= 60
    assert text.count("▼") == 3  # two metrics and the legend


def test_no_run_folder(run, tmp_path, capsys):
    assert bench(run, tmp_path) == 2
    assert "is no run folder" in capsys.readouterr().err


def comparison(change: Change, **more: object) -> Comparison:
    condition = Condition("speech", ("a", "1"), ("a", "1"), 8, 8, 6.0, 6.0, (change,), {}, {})
    fields = {"metrics": METRICS, "other_metrics": {}, "gone": {}, "obstacles": (), "notes": ()} | more
    return Comparison("base", "new", conditions=(condition,), **fields)  # type: ignore[arg-type]


def change(metric: str, value: float, low: float, high: float, n: int = 8) -> Change:
    return Change(metric, 0.9, 0.9 + value, Mean(value, low, high, n, n if low == low else 0), 0.1, {})


@pytest.mark.parametrize(
    ("rule", "difference", "code"),
    [
        ("stoi<-0.01", change("stoi", -0.02, -0.03, -0.01), 1),
        ("stoi<-0.01", change("stoi", -0.01, -0.02, -0.005), 0),  # not beyond the bound
        ("stoi<-0.01", change("stoi", -0.02, -0.05, 0.001), 0),  # not clear of 0
        ("stoi<-0.01", change("stoi", 0.02, 0.01, 0.03), 0),
        ("stoi<0", change("stoi", -1e-9, -1e-9, -1e-9), 1),  # the same loss on every clip
        ("stoi<0", change("stoi", 0.0, 0.0, 0.0), 0),
        ("lsd>0.1", change("lsd", 0.2, 0.1, 0.3), 1),
        ("lsd>0.1", change("lsd", -0.2, -0.3, -0.1), 0),
        ("loudness_diff>0.1", change("loudness_diff", 0.2, 0.1, 0.3), 1),
        ("loudness_diff<-0.1", change("loudness_diff", -0.2, -0.3, -0.1), 1),
        ("stoi<-0.01", change("stoi", -0.5, math.nan, math.nan, 4), 2),
        ("stoi<-0.01", change("stoi", math.nan, math.nan, math.nan, 0), 2),
        ("stoi<-0.01", change("lsd", 0.0, 0.0, 0.0), 2),  # no condition has it
    ],
)
def test_a_regression_is_clear_and_beyond_the_bound(rule, difference, code):
    assert judge(comparison(difference), [parse(rule, METRICS)]).exit_code == code


def test_an_untrusted_run_is_not_comparable_even_if_it_is_worse():
    rules = [parse("stoi<0", METRICS)]
    worse = comparison(change("stoi", -0.2, -0.3, -0.1), obstacles=("NEW is interrupted",))
    assert judge(worse, rules).exit_code == 2
    lost = comparison(change("stoi", -0.2, -0.3, -0.1), gone={"speech a 2": "not in NEW"})
    assert judge(lost, rules).exit_code == 1


@example("stoi<-1E400")
@given(st.text(max_size=20) | st.from_regex(r"(stoi|lsd|kbps|x)[<>=]{1,2}[+-]?[0-9.e]{1,5}%?", fullmatch=True))
@settings(deadline=None, max_examples=200)
def test_bounds_parse_or_are_refused(text):
    try:
        rule = parse(text, METRICS)
    except RuleError:
        return
    assert parse(rule.text, METRICS) == rule
    assert not rule.beyond(0.0)


def test_compare_is_symmetric(run):
    one, two = compare(run, run, ["opus@24=opus@6"]), compare(run, run, ["opus@6=opus@24"])
    for a, b in zip(one.conditions[0].changes, two.conditions[0].changes, strict=True):
        assert a.difference.value == pytest.approx(-b.difference.value, abs=1e-12)
