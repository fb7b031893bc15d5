"""The numbers of the page, computed afresh from results.sqlite; what stands where something is missing; its size."""

from __future__ import annotations

import json
import math
import sqlite3
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

import big_run
import bjontegaard
import numpy as np
import pandas as pd
import pytest
from codecbench.bench.listening.store import Listening, Rating, Session, now
from codecbench.bench.rows import PointRow
from codecbench.bench.store import Store
from codecbench.reports.analysis import analyses
from codecbench.reports.numbers import number
from codecbench.reports.panels import panels as panels_of
from codecbench.reports.view import View
from codecbench.reports.write import write_outputs
from scipy import stats

METRICS = {"speech": ["pesq_wb", "stoi", "visqol", "si_sdr"], "music": ["visqol", "si_sdr", "lsd"]}


class Tables(HTMLParser):
    """The summary tables by content: heads (data-name), rows of (attributes, text) cells; and the data blocks."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.heads: dict[str, list[str]] = {}
        self.rows: dict[str, list[list[tuple[dict[str, str | None], str]]]] = {}
        self.blocks: dict[str, str] = {}
        self.table, self.block = "", ""
        self.cell: list[str] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "table":
            self.table = given.get("data-content") or ""
            self.heads[self.table], self.rows[self.table] = [], []
        elif tag == "script":
            self.block = given.get("id") or ""
        elif self.table and tag == "tr":
            self.rows[self.table].append([])
        elif self.table and tag in ("th", "td"):
            if given.get("scope") == "col":
                self.heads[self.table] += [given.get("data-name") or ""] * int(given.get("colspan") or 1)
            else:
                self.cell = []
                self.rows[self.table][-1].append((given, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self.table = ""
        elif tag in ("th", "td") and self.cell is not None:
            row = self.rows[self.table][-1]
            row[-1] = (row[-1][0], " ".join("".join(self.cell).split()))
            self.cell = None

    def handle_data(self, data: str) -> None:
        if self.cell is not None:
            self.cell.append(data)
        elif self.block:
            self.blocks[self.block] = data
            self.block = ""


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = big_run.build(tmp_path_factory.mktemp("page"), clips=24, codecs=4, seed=5)
    with closing(sqlite3.connect(folder / "results.sqlite")) as db:
        # A codec that failed on a clip, and a score that is missing: both narrow the common clips of all.
        db.execute("UPDATE results SET status='failed', reason='timeout', bits=NULL, coded_seconds=NULL "
                   "WHERE clip='speech/0004' AND codec='codec02' AND point='16'")  # fmt: skip
        db.execute("UPDATE scores SET value=NULL, reason='codec_failed' "
                   "WHERE clip='speech/0004' AND codec='codec02' AND point='16'")  # fmt: skip
        db.execute("UPDATE scores SET value=NULL, reason='too_short' WHERE clip='music/0007' AND metric='lsd' "
                   "AND codec='codec01' AND point='8'")  # fmt: skip
        db.commit()
    write_outputs(folder)
    return folder


@pytest.fixture(scope="module")
def tables(run_dir: Path) -> Tables:
    return Tables((run_dir / "index.html").read_text())


def interval(values: np.ndarray, speakers: list[str], seed: int) -> tuple[float, float]:
    """The bootstrap of docs/statistics.md, written anew."""
    names = list(dict.fromkeys(speakers))
    sums = np.array([values[[s == name for s in speakers]].sum() for name in names])
    sizes = np.array([speakers.count(name) for name in names])
    k = len(names)
    draws = np.random.default_rng(seed).multinomial(k, [1 / k] * k, size=2000)
    tail = stats.norm.cdf(math.sqrt(k / (k - 1)) * stats.t.ppf(0.025, k - 1))
    low, high = np.quantile(draws @ sums / (draws @ sizes), [tail, 1 - tail])
    return float(low), float(high)


@pytest.mark.parametrize("content", METRICS)
def test_every_number_of_the_table_is_that_of_pandas_computed_afresh(
    run_dir: Path, tables: Tables, content: str
) -> None:
    with closing(sqlite3.connect(run_dir / "results.sqlite")) as db:
        join = "JOIN clips USING (corpus, clip) WHERE content = ?"
        results = pd.read_sql(f"SELECT results.* FROM results {join}", db, params=[content])
        scores = pd.read_sql(f"SELECT scores.* FROM scores {join}", db, params=[content])
        clips = pd.read_sql("SELECT * FROM clips WHERE content = ?", db, params=[content]).set_index("clip")
        timings = pd.read_sql("SELECT * FROM timings WHERE content = ?", db, params=[content])
        tokens = pd.read_sql("SELECT * FROM tokens WHERE content = ? AND stage > 0", db, params=[content])
    heads, rows = tables.heads[content], tables.rows[content]
    rows = [row for row in rows if row]
    assert len(rows) == len(results.groupby(["codec", "point"])) == 20
    assert list(dict.fromkeys(heads)) == [
        "codec", "family", "kbps", *METRICS[content], "rtf_encode", "rtf_decode", "delay_ms", "tokens_per_second", "n",
    ]  # fmt: skip
    for row in rows:
        codec, point = row[0][1].split(" ")
        cells = dict(zip(heads, row, strict=True))  # of a metric: its interval, the later of the two
        mine = results[(results["codec"] == codec) & (results["point"] == point) & (results["status"] == "ok")]
        rate = mine["bits"].sum() / mine["coded_seconds"].sum() / 1000
        assert float(cells["kbps"][0]["data-value"] or "nan") == pytest.approx(rate, rel=1e-12)
        assert cells["kbps"][1] == f"{rate:.2f}"
        used = []
        for metric in METRICS[content]:
            wide = scores[scores["metric"] == metric].pivot(index="clip", columns=["codec", "point"], values="value")
            wide = wide.dropna()
            used.append(len(wide))
            value, place = wide[codec, point].mean(), heads.index(metric)
            digits = big_run.METRICS[metric][3]
            assert float(row[place][0]["data-value"] or "nan") == pytest.approx(value, rel=1e-12)
            assert row[place][1] == number(value, digits)
            speakers = [clips["speaker"][clip] or clip for clip in wide.index]
            low, high = interval(wide[codec, point].to_numpy(), speakers, seed=5)
            attributes, text = row[place + 1]
            assert float(attributes["data-low"] or "nan") == pytest.approx(low, rel=1e-9)
            assert float(attributes["data-high"] or "nan") == pytest.approx(high, rel=1e-9)
            assert text.startswith(f"{number(low, digits)} to {number(high, digits)}")
        for direction in ("encode", "decode"):
            timed = timings[(timings["codec"] == codec) & (timings["point"] == point)]
            wall = timed[timed["direction"] == direction]["wall_rtf"].item()
            assert float(cells[f"rtf_{direction}"][0]["data-value"] or "nan") == wall
        delay = ((mine["frame_samples"] + mine["delay_samples"]) / mine["native_rate"] * 1000).max()
        assert float(cells["delay_ms"][0]["data-value"] or "nan") == pytest.approx(delay, rel=1e-12)
        stages = tokens[(tokens["codec"] == codec) & (tokens["point"] == point)]
        sent = float(cells["tokens_per_second"][0]["data-value"] or "nan")
        assert math.isnan(sent) if stages.empty else sent == stages["codes"].sum() / stages["seconds"].iloc[0]
        n = f"{min(used)}" if min(used) == max(used) else f"{min(used)}–{max(used)}"
        failed = len(clips) - len(mine)
        assert cells["n"][1] == f"{n}/{len(clips)}" + (f"timeout ×{failed}" if failed else "")


def test_charts_have_the_numbers_of_the_table(tables: Tables) -> None:
    charts = json.loads(tables.blocks["curves-data"])["charts"]
    assert [(c["content"], c["metric"]) for c in charts] == [(c, m) for c, names in METRICS.items() for m in names]
    for chart in charts:
        heads = tables.heads[chart["content"]]
        place = heads.index(chart["metric"])
        rows = {row[0][1]: row for row in tables.rows[chart["content"]] if row}
        shown = {
            name: values
            for line in chart["lines"]
            for name, *values in zip(
                line["point"], line["kbps"], line["mean"], line["low"], line["high"], line["score"], strict=True
            )
        }
        assert set(shown) == set(rows)
        for name, (rate, mean, low, high, text) in shown.items():
            row = rows[name]
            assert rate == float(row[heads.index("kbps")][0]["data-value"] or "nan")
            assert mean == float(row[place][0]["data-value"] or "nan")
            assert (low, high) == tuple(float(row[place + 1][0][f"data-{end}"] or "nan") for end in ("low", "high"))
            assert text == row[place][1]


def test_scatter_has_every_score(run_dir: Path, tables: Tables) -> None:
    frame = View(run_dir).frame
    for data in json.loads(tables.blocks["items-data"]):
        part = frame[frame["content"] == data["content"]].set_index(["codec", "point", "corpus", "clip"])
        assert len(part) == len(data["points"]) * len(data["clips"])
        for metric, table in zip(data["metrics"], data["scores"], strict=True):
            for point, line in zip(data["points"], table, strict=True):
                for clip, score in zip(data["clips"], line, strict=True):
                    want = part[metric["name"]][(*point, *clip.split("/", 1))]
                    assert math.isnan(want) if score is None else score == pytest.approx(want, rel=6e-4)


def test_a_codec_that_sends_tokens_is_neural(run_dir: Path) -> None:
    html = (run_dir / "index.html").read_text()
    verdict = html[html.index('id="verdict"') : html.index('id="curves"')]
    said = [line for line in verdict.splitlines() if line.startswith("<li>") and "kbit/s scores as" in line]
    assert said
    assert all(line.startswith("<li>codec00 at") for line in said)
    assert all(f"codec0{i}" in " ".join(said) for i in (1, 2, 3))


def test_bd_rate_cells_say_why_they_are_empty(tmp_path: Path) -> None:
    big_run.build(tmp_path, clips=20, codecs=4)
    with closing(sqlite3.connect(tmp_path / "results.sqlite")) as db:
        for table in ("points", "results", "scores", "timings", "tokens"):  # three points of one codec
            db.execute(f"DELETE FROM {table} WHERE codec='codec01' AND point IN ('4', '8')")
        # one codec better than all others can be, one that gets worse with more bits
        db.execute("UPDATE scores SET value = value + 10 WHERE codec='codec02'")
        db.execute("UPDATE scores SET value = 7 - value WHERE codec='codec03' AND metric='visqol'")
        db.commit()
    write_outputs(tmp_path)
    html = (tmp_path / "index.html").read_text()
    part = html[html.index('id="bdrate"') : html.index('id="ranking"')]
    assert "Left out: codec01 has 3 points, fewer than 4" in part
    assert "the curves have no qualities in common" in part
    assert "no overlap" in part
    assert "codec03 does not get better from 4 to 8" in part
    assert not {"nan", "inf", "Infinity"} & set(part.replace("%", " ").split())


def test_bd_cells_are_those_of_the_package_on_the_means_of_pandas(run_dir: Path) -> None:
    with closing(sqlite3.connect(run_dir / "results.sqlite")) as db:
        rows = pd.read_sql(
            "SELECT codec, point, clip, bits, coded_seconds, metric, value FROM scores JOIN results "
            "USING (corpus, clip, codec, point) JOIN clips USING (corpus, clip) "
            "WHERE content = 'music' AND metric IN ('lsd', 'visqol')",
            db,
        )
    panels = {p.metric.name: p for p in panels_of(View(run_dir), analyses(View(run_dir)))["music"]}
    for metric, sign in (("visqol", 1), ("lsd", -1)):
        mine = rows[rows["metric"] == metric]
        mine = mine[~mine["clip"].isin(mine[mine["value"].isna()]["clip"])]
        curves = {}
        for codec, part in mine.groupby("codec"):
            sums = part.groupby("point")[["bits", "coded_seconds", "value"]].sum().sort_values("bits")
            rate = sums["bits"] / sums["coded_seconds"] / 1000
            curves[codec] = (rate.to_numpy(), sign * sums["value"].to_numpy() / part["clip"].nunique())
        for table, value, text in (
            (panels[metric].bd, bjontegaard.bd_rate, lambda v: f"{number(v, 1 if abs(v) < 9.95 else 0)} %"),
            (panels[metric].gain, bjontegaard.bd_psnr, lambda v, s=sign: number(s * v, 2)),
        ):
            compared = 0
            for test, cells in table.rows:
                for anchor, cell in zip(table.anchors, cells, strict=True):
                    if cell is not None and cell.value != "–" and not cell.value.endswith("*"):
                        want = value(
                            *curves[anchor], *curves[test], "pchip", require_matching_points=False, min_overlap=0
                        )
                        assert cell.value.removeprefix("+") == text(want)
                        compared += 1
            assert compared >= 2


def test_few_clips_claim_nothing(tmp_path: Path) -> None:
    big_run.build(tmp_path, clips=6, codecs=3)
    write_outputs(tmp_path)
    html = (tmp_path / "index.html").read_text()
    assert "No rate is matched to another: too few items for an interval." in html
    assert "Too few clips for intervals: no two points can be told apart." in html


def test_names_with_markup_stay_text_in_data_blocks(tmp_path: Path) -> None:
    name = "</script><!--<script>\"it's\u2028"
    big_run.build(tmp_path, clips=12, codecs=3)
    with closing(sqlite3.connect(tmp_path / "results.sqlite")) as db:
        for table in ("points", "results", "scores", "timings", "tokens"):
            db.execute(f"UPDATE {table} SET codec = ? WHERE codec='codec01'", [name])
        db.commit()
    write_outputs(tmp_path)
    found = Tables((tmp_path / "index.html").read_text())
    assert [name, "16"] in json.loads(found.blocks["items-data"])[0]["points"]
    lines = json.loads(found.blocks["curves-data"])["charts"][0]["lines"]
    assert f"{name} 16" in [point for line in lines for point in line["point"]]
    assert any(row[0][1].startswith("</script><!--") for row in found.rows["speech"] if row)


def test_long_lists_are_cut_and_counted(tmp_path: Path) -> None:
    big_run.build(tmp_path, clips=12, codecs=3)
    with closing(sqlite3.connect(tmp_path / "results.sqlite")) as db:
        db.execute("UPDATE results SET status='failed', reason='codec', detail = clip || codec || point, bits=NULL")
        db.execute("UPDATE results SET detail='' WHERE codec='codec00'")
        db.execute("UPDATE scores SET value=NULL, reason='codec_failed'")
        db.commit()
    store = Store(tmp_path)
    with store:
        store.put([PointRow("gone", "1", "speech", "Gone", "codec", "cbr", 1.0, "", "", "", "", "", "no <program>")])
    store.close()
    write_outputs(tmp_path)
    html = (tmp_path / "index.html").read_text()
    assert "180 of 180 results failed: codec ×180." in html
    assert "Not available here, and so not in this run: gone." in html
    assert "no &lt;program&gt;" in html
    assert len(html) < 4_000_000


def test_listeners_stand_beside_the_scores(tmp_path: Path) -> None:
    big_run.build(tmp_path, clips=12, codecs=3)
    run = Store(tmp_path)
    with run:
        metrics = run.get("metrics")
        run.set("metrics", [m | {"higher_is_better": None} if m["name"] == "si_sdr" else m for m in metrics])
    run.close()
    points = [(f"codec0{i}", point) for i in range(2) for point in ("4", "16", "64")]
    store = Listening(tmp_path, create=True)
    with store:
        for who in range(7):  # the last one does not hear the hidden reference
            store.add_session(Session(f"s{who}", f"p{who}", "mushra", 0, (), now()))
            for i, (codec, point) in enumerate([*points, ("reference", "")]):
                given = 20.0 + 10 * i + who if codec != "reference" else 100.0 - who if who < 6 else 40.0
                store.put(
                    Rating(
                        session=f"s{who}", trial=0, condition=i, method="mushra", corpus="made", clip="speech/0000",
                        content="speech", codec=codec, point=point, is_reference=int(codec == "reference"), is_anchor=0,
                        is_training=0, wave="", rating=given,
                        answer="", position=1.0, seconds=2.0, created=now(),
                    )
                )  # fmt: skip
            store.finish(f"s{who}", 0, 9.0)
    store.close()
    write_outputs(tmp_path)
    html = (tmp_path / "index.html").read_text()
    part = " ".join(html[html.index('id="listeners"') : html.index('id="tokens"')].split())
    table = View(tmp_path).summary
    row = table[(table["content"] == "speech") & (table["codec"] == "codec01") & (table["point"] == "16")].iloc[0]
    assert f">codec01 16</th><td>{20 + 10 * 4 + 2.5:.0f}</td>" in part.replace("62.5", "62")
    assert f"<td>6 / 6</td><td>{row['pesq_wb_mean']:.2f}</td>" in part
    means = [
        table[(table["content"] == "speech") & (table["codec"] == c) & (table["point"] == p)]["stoi_mean"].item()
        for c, p in points
    ]
    r = stats.pearsonr(means, [20.0 + 10 * i for i in range(6)]).statistic
    assert f'<th scope="row">STOI ↑</th><td>{number(r, 2)} (' in part
    assert '<th scope="row">SI-SDR' not in part  # made a metric that is best at a value
    assert "<li>Excluded: a listener who rated the hidden reference below 90 in 1 of 1 items" in part
    assert "p6" not in part
    assert "speaks of these listeners alone" in part
    (tmp_path / "listening.sqlite").write_bytes(b"no database, but long enough to be taken for one" * 50)
    write_outputs(tmp_path)
    assert "The listening tests of this run cannot be shown" in (tmp_path / "index.html").read_text()
