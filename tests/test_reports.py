"""Reports from a small store made by hand, with everything in it that goes wrong in real runs."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import math
import random
import re
import sqlite3
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from codecbench.bench.cli import main
from codecbench.bench.rows import CheckRow, ClipRow, PointRow, ResultRow, ScoreRow, TimingRow
from codecbench.bench.store import Store, StoreError
from codecbench.reports.frame import load, on_intersection, summary
from codecbench.reports.numbers import kbps, number, rtf
from codecbench.reports.terminal import print_summary
from codecbench.reports.write import write_outputs
from rich.console import Console

NASTY = ["<img src=x onerror=alert(1)>", "it's \"quoted\", isn't it", "two\nlines", "naïve 🎧 clip", "a|b*c_[d](e)"]
METRICS = [
    {"name": "pesq_wb", "title": "PESQ-WB", "low": 1.0, "high": 4.644, "ceiling": 4.644, "higher_is_better": True}
    | {"digits": 2, "variant": "wb", "package": "pesq", "version": "0.0.4", "domain": "speech", "reference": "P.862.2"},
    {"name": "stoi", "title": "STOI", "higher_is_better": True, "digits": 3, "unit": ""},
    {"name": "si_sdr", "title": "SI-SDR", "higher_is_better": True, "digits": 1, "unit": "dB", "high": math.inf},
    {"name": "lsd", "title": "LSD", "higher_is_better": False, "digits": 2, "unit": "dB"},
]
OUTPUTS = ["scores.csv", "scores.parquet", "summary.csv", "summary.md", "run.json", "index.html"]


def clip_row(i: int, content: str, name: str) -> ClipRow:
    speaker = f"speaker {i % 6}" if content == "speech" else ""
    rate, channels = (16000, 1) if content == "speech" else (48000, 2)
    return ClipRow(
        corpus="hand", clip=name, content=content, path=f"/nowhere/{i}.flac", sha256=f"{i:064x}", seconds=3.0 + i / 7,
        rate=rate, channels=channels, speaker=speaker, language="en" if content == "speech" else "",
        genre="" if content == "speech" else "choir", licence="CC0", credit="<b>nobody</b>", lossy=i % 2, status="ok",
        reason="",
    )  # fmt: skip


def point_row(codec: str, point: str, content: str, kbps: float | None, **more: str) -> PointRow:
    base = {"family": codec.upper(), "kind": "codec", "mode": "cbr", "note": "", "unavailable": ""} | more
    return PointRow(
        codec=codec, point=point, content=content, kbps_nominal=kbps, licence="BSD-3-Clause", about=f"codec {codec}",
        versions=f"lib{codec} 1.2", fingerprint="f", **base,
    )  # fmt: skip


def build(folder: Path, shuffle: int | None = None, broken_check: bool = True) -> Path:
    """A run folder; `shuffle` changes the order in which the rows are written, not the rows."""
    rng = np.random.default_rng(7)
    speech = [clip_row(i, "speech", NASTY[i] if i < len(NASTY) else f"s{i:02d}") for i in range(12)]
    music = [clip_row(20 + i, "music", f"m/{i}") for i in range(6)]
    lost = ClipRow(
        "hand",
        "lost",
        "speech",
        "/nowhere/lost",
        "",
        None,
        None,
        None,
        "",
        "",
        "",
        "CC0",
        "",
        0,
        "failed",
        "empty file",
    )
    codecs = [("opus", "6", 6.0), ("opus", "24", 24.0), ("mp3", "16", 16.0), ("pcm", "16", None)]
    rows: list[object] = [*speech, *music, lost]
    for content in ("speech", "music"):
        for codec, label, rate in codecs:
            rows.append(point_row(codec, label, content, rate, kind="codec" if rate else "anchor"))
            for direction in ("encode", "decode"):
                rows.append(TimingRow(codec, label, content, direction, "cpu", "inprocess", 0.0123, 0.001, 0.012, 0.001, None, None, 3, 3, ""))  # fmt: skip # noqa: E501
        rows.append(
            TimingRow("opus", "6", content, "frame", "cpu", "inprocess", None, None, None, None, 0.8, 1.9, 3, 3, "")
        )
    rows.append(point_row("evs", "13.2", "speech", 13.2, unavailable='no EVS_cod: set "EVS_DIR" <here>'))
    for clip in speech + music:
        for i, (codec, label, rate) in enumerate(codecs):
            assert clip.seconds is not None
            failed = codec == "mp3" and clip.clip in NASTY[:2]
            seconds = math.ceil(clip.seconds / 0.02) * 0.02
            bits = None if failed else round((rate or 256) * 1000 * seconds) + 8 * i
            rows.append(
                ResultRow("hand", clip.clip, codec, label, "failed" if failed else "ok", "codec" if failed else "",
                          "Traceback\n  <script>bad()</script>" if failed else "", bits, 0, None if failed else seconds,
                          16000, 104, 320, "", 0.5)
            )  # fmt: skip
            names = ["pesq_wb", "stoi", "si_sdr"] if clip.content == "speech" else ["si_sdr", "lsd"]
            for name in names:
                value: float | None = float(rng.normal(2 + i / 2, 0.3))
                reason = ""
                if name == "si_sdr" and codec == "pcm":
                    value = math.inf
                if failed:
                    value, reason = None, "codec_failed"
                elif name == "stoi" and clip.clip == "s07":
                    value, reason = None, "too_short"
                rows.append(ScoreRow("hand", clip.clip, codec, label, name, value, reason, ""))
    rows += [CheckRow("identity", 1, "all at the ceiling"), CheckRow("opus order", int(not broken_check), "6 > 12")]
    if shuffle is not None:
        random.Random(shuffle).shuffle(rows)
    store = Store(folder, create=True)
    with store:
        store.put(rows)  # type: ignore[arg-type]
        facts: dict[str, object] = {
            "metrics": METRICS, "suite": {"name": "by <hand>"}, "command": "bench run", "created": "2025-01-02",
            "machine": {"cpu": "a & b", "cores": 2, "governor": None}, "packages": {"numpy": "2"}, "git": None,
            "status": "complete", "seed": 3,
        }  # fmt: skip
        for key, fact in facts.items():
            store.set(key, fact)
    store.close()
    return folder


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = build(tmp_path_factory.mktemp("run"))
    write_outputs(folder)
    return folder


def query(run_dir: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(run_dir / "results.sqlite")) as db:
        return db.execute(sql, values).fetchall()


def row_of(table: pd.DataFrame, content: str, codec: str, point: str) -> pd.Series:
    rows = table[(table["content"] == content) & (table["codec"] == codec) & (table["point"] == point)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_frame_has_every_result_with_scores_and_reasons(run_dir: Path) -> None:
    frame = load(run_dir)
    assert len(frame) == query(run_dir, "SELECT count(*) FROM results")[0][0]
    assert set(NASTY) <= set(frame["clip"])
    for corpus, clip, codec, point, metric, value, reason, _ in query(run_dir, "SELECT * FROM scores"):
        row = frame[(frame[["corpus", "clip", "codec", "point"]] == [corpus, clip, codec, point]).all(axis=1)].iloc[0]
        if value is None:
            assert math.isnan(row[metric])
            assert row[f"{metric}_reason"] == reason != ""
        else:
            assert row[metric] == value
            assert row[f"{metric}_reason"] == ""
    music = frame[frame["content"] == "music"]
    assert (music["pesq_wb_reason"] == "").all()  # nobody asked for it there
    assert frame[frame["kind"] == "anchor"]["kbps"].isna().all()
    ok = frame[(frame["status"] == "ok") & (frame["kind"] == "codec")]
    assert (ok["kbps"] - ok["bits"].astype(float) / ok["coded_seconds"] / 1000).abs().max() < 1e-12


def test_summary_equals_pandas_computed_afresh(run_dir: Path) -> None:
    table = summary(run_dir)
    with closing(sqlite3.connect(run_dir / "results.sqlite")) as db:
        results = pd.read_sql("SELECT results.*, content FROM results JOIN clips USING (corpus, clip)", db)
        scores = pd.read_sql("SELECT scores.*, content FROM scores JOIN clips USING (corpus, clip)", db)
    assert len(table) == 8
    for content in ("speech", "music"):
        mine = results[results["content"] == content]
        for (codec, point), part in mine[mine["status"] == "ok"].groupby(["codec", "point"]):
            row = row_of(table, content, codec, point)
            if codec == "pcm":
                assert math.isnan(row["kbps"])
                assert math.isnan(row["delay_ms"])
            else:
                assert row["kbps"] == pytest.approx(part["bits"].sum() / part["coded_seconds"].sum() / 1000, rel=1e-12)
                assert row["delay_ms"] == pytest.approx((320 + 104) / 16)
        for metric, part in scores[scores["content"] == content].groupby("metric"):
            wide = part.pivot(index="clip", columns=["codec", "point"], values="value").dropna()
            for codec, point in wide.columns:
                row = row_of(table, content, codec, point)
                assert row[f"{metric}_mean"] == pytest.approx(wide[codec, point].mean(), rel=1e-12)
                assert row[f"{metric}_n"] == len(wide)
                assert row[f"{metric}_common"]
                assert not row[f"{metric}_lo"] > row[f"{metric}_mean"]
                assert not row[f"{metric}_hi"] < row[f"{metric}_mean"]
    mp3 = row_of(table, "speech", "mp3", "16")
    assert (mp3["clips"], mp3["coded"], mp3["failures"]) == (13, 10, 2)
    assert (mp3["pesq_wb_n"], mp3["stoi_n"], mp3["stoi_clusters"]) == (10, 9, 5)
    assert row_of(table, "speech", "opus", "6")["stoi_scored"] == 11
    assert row_of(table, "music", "mp3", "16").filter(like="pesq_wb").isna().all()


def test_summary_is_sorted_and_without_unavailable_codecs(run_dir: Path) -> None:
    table = summary(run_dir)
    keys = list(zip(table["content"], table["kind"], table["codec"], table["point"], strict=True))
    speech = [("codec", "mp3", "16"), ("codec", "opus", "6"), ("codec", "opus", "24"), ("anchor", "pcm", "16")]
    assert keys == [("speech", *k) for k in speech] + [("music", *k) for k in speech]


def test_intersection_has_the_same_clips_for_every_point(run_dir: Path) -> None:
    frame = load(run_dir)
    common = on_intersection(frame, "stoi")
    sets = [frozenset(part["clip"]) for _, part in common.groupby(["codec", "point"])]
    assert len(sets) == 4
    assert len(set(sets)) == 1
    assert len(sets[0]) == 9
    assert set(on_intersection(frame, "si_sdr")["content"]) == {"speech", "music"}


def test_a_broken_codec_does_not_empty_the_intersection(tmp_path: Path) -> None:
    build(tmp_path)
    store = Store(tmp_path)
    with store:
        for clip in [f"s{i:02d}" for i in range(5, 12)] + NASTY[2:4]:
            for metric in ("pesq_wb", "stoi", "si_sdr"):
                store.put([ScoreRow("hand", clip, "mp3", "16", metric, None, "timeout", "")])
    store.close()
    frame = load(tmp_path)
    table = summary(tmp_path)
    mp3, opus = row_of(table, "speech", "mp3", "16"), row_of(table, "speech", "opus", "6")
    assert (mp3["pesq_wb_n"], mp3["pesq_wb_common"]) == (1, False)
    assert math.isnan(mp3["pesq_wb_lo"])
    assert (opus["pesq_wb_n"], opus["pesq_wb_common"]) == (12, True)
    assert "mp3" not in set(on_intersection(frame[frame["content"] == "speech"], "pesq_wb")["codec"])
    write_outputs(tmp_path)
    assert "†" in (tmp_path / "summary.md").read_text()
    assert "must not be compared" in (tmp_path / "index.html").read_text()


def test_files_read_back_equal(run_dir: Path) -> None:
    frame = load(run_dir).drop(columns="detail")
    parquet = pd.read_parquet(run_dir / "scores.parquet")
    pd.testing.assert_frame_equal(parquet, frame, check_dtype=False)
    with (run_dir / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["clip"] for row in rows] == list(frame["clip"])
    for column in ("bits", "coded_seconds", "pesq_wb", "stoi", "si_sdr"):
        for row, value in zip(rows, frame[column], strict=True):
            assert row[column] == "" if pd.isna(value) else float(row[column]) == value
    assert not any("wall" in c or c.startswith("time_") for c in rows[0])
    table = pd.read_csv(run_dir / "summary.csv")
    first = next(i for i, c in enumerate(table.columns) if c.startswith("time_"))
    assert all(c.startswith("time_") for c in table.columns[first:])
    assert table["pesq_wb_mean"].tolist()[:4] == pytest.approx(summary(run_dir)["pesq_wb_mean"].tolist()[:4], rel=1e-14)
    info = json.loads((run_dir / "run.json").read_text(), parse_constant=lambda c: pytest.fail(f"{c} is no JSON"))
    assert info["seed"] == 3
    assert info["metrics"][2]["high"] == "Infinity"


def test_same_store_same_bytes(run_dir: Path, tmp_path: Path) -> None:
    build(tmp_path, shuffle=11)
    write_outputs(tmp_path)
    names = [
        *OUTPUTS,
        *(f"rate_quality_{content}.{form}" for content in ("speech", "music") for form in ("png", "svg")),
    ]
    for name in names:
        assert (tmp_path / name).read_bytes() == (run_dir / name).read_bytes(), name
    assert {p.name for p in tmp_path.iterdir()} - {".lock"} == {*names, "results.sqlite"}


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path)
    write_outputs(tmp_path)
    before = (tmp_path / "scores.csv").read_bytes()

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_outputs(tmp_path)
    assert (tmp_path / "scores.csv").read_bytes() == before
    assert not list(tmp_path.glob("*.tmp")) + list(tmp_path.glob(".*.tmp"))


class Page(HTMLParser):
    """Tags, attributes and text of a page; styles and scripts apart, by their type."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.code: list[tuple[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem:
            self.code.append((dict(self.tags[-1][1]).get("type") or self.cdata_elem, data))
        else:
            self.text.append(data)


def test_page_shows_names_as_text_and_loads_nothing(run_dir: Path) -> None:
    html = (run_dir / "index.html").read_text()
    page = Page(html)
    text = "".join(page.text)
    assert "hand/<img src=x onerror=alert(1)>" in text
    assert 'set "EVS_DIR" <here>' in text
    assert "<script>bad()</script>" in text
    assert "<b>nobody</b>" in text
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "object", "b"}
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    sources = [attrs["src"] for _, attrs in page.tags if "src" in attrs]
    assert len(sources) == 2  # for browsers without scripts
    assert all(src and src.startswith("data:image/png;base64,") for src in sources)
    assert all((attrs.get("href") or "#").startswith("#") for _, attrs in page.tags)
    own = [text for kind, text in page.code if kind != "script" or len(text) < 50_000]  # the long ones are BokehJS
    assert not re.search(r"url\(|@import|https?://", "".join([*page.text, *own]))
    policy = next(attrs for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs)["content"] or ""
    assert "default-src 'none'" in policy
    scripts = [text for kind, text in page.code if kind == "script"]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert "unsafe-eval" not in policy
    blocks = [text for kind, text in page.code if kind == "application/json"]
    assert len(blocks) == 2
    assert "hand/<img src=x onerror=alert(1)>" in json.loads(blocks[1])[0]["clips"]
    assert "<" not in "".join(blocks)


def test_page_cells_are_the_summary(run_dir: Path) -> None:
    text = " ".join("".join(Page((run_dir / "index.html").read_text()).text).split())
    row = row_of(summary(run_dir), "speech", "opus", "24")
    low, high = (f"{row[f'pesq_wb_{end}']:.2f}" for end in ("lo", "hi"))
    assert f"opus 24 OPUS 24.00 {row['pesq_wb_mean']:.2f} {low} to {high} {row['stoi_mean']:.3f}" in text
    assert "too_short ×1" in text
    assert "∞" in text
    assert "nan" not in text.lower().replace("onerror", "").split()


def test_page_status(run_dir: Path, tmp_path: Path) -> None:
    html = (run_dir / "index.html").read_text()
    assert 'class="status bad"' in html
    assert "1 of 2 self-checks failed" in html
    build(tmp_path, broken_check=False)
    store = Store(tmp_path)
    with store:
        store.set("status", "interrupted")
    store.close()
    write_outputs(tmp_path)
    html = (tmp_path / "index.html").read_text()
    assert 'class="status warn"' in html
    assert "The run is interrupted" in html
    assert "2 of 72 results failed" in html


def test_an_empty_run_has_a_page(tmp_path: Path) -> None:
    Store(tmp_path, create=True).close()
    write_outputs(tmp_path)
    assert "No operating point was run" in (tmp_path / "index.html").read_text()
    assert len(load(tmp_path)) == len(summary(tmp_path)) == 0
    assert not list(tmp_path.glob("*.png"))


def test_an_unfinished_run_counts_what_was_not_run(tmp_path: Path) -> None:
    build(tmp_path)
    store = Store(tmp_path)
    with store:
        store.delete("results", {"clip": "s05"})
        store.delete("scores", {"clip": "s05"})
        store.delete("results", {"codec": "mp3"})
        store.delete("scores", {"codec": "mp3"})
    store.close()
    table = summary(tmp_path)
    mp3, opus = row_of(table, "speech", "mp3", "16"), row_of(table, "speech", "opus", "6")
    assert math.isnan(mp3["kbps"])
    assert math.isnan(mp3["pesq_wb_mean"])
    assert (mp3["pesq_wb_n"], mp3["coded"]) == (0, 0)
    assert opus["pesq_wb_n"] == 11
    write_outputs(tmp_path)
    assert "not run ×13" in (tmp_path / "index.html").read_text()


def test_a_codecs_note_stands_with_its_numbers(tmp_path: Path) -> None:
    build(tmp_path)
    write_outputs(tmp_path)
    figure = (tmp_path / "rate_quality_speech.png").read_bytes()
    for name in ("index.html", "summary.md", "summary.csv"):
        assert "preview" not in (tmp_path / name).read_text()
    store = Store(tmp_path)
    with store:
        for content in ("speech", "music"):
            store.put([point_row("mp3", "16", content, 16.0, note="a <preview>, not the codec")])
    store.close()
    write_outputs(tmp_path)
    text = " ".join("".join(Page((tmp_path / "index.html").read_text()).text).split())
    assert text.count("mp3: a <preview>, not the codec.") == 2  # beneath each table
    assert text.count("a <preview>, not the codec") == 3  # and where the codecs are described
    assert r"**mp3**: a \<preview\>, not the codec." in (tmp_path / "summary.md").read_text()
    assert set(summary(tmp_path).groupby("codec")["note"].max()) == {"", "a <preview>, not the codec"}
    assert (tmp_path / "rate_quality_speech.png").read_bytes() != figure  # its legend points to the note
    console = Console(width=120, record=True, force_terminal=True, file=io.StringIO())
    print_summary(tmp_path, console)
    assert console.export_text().count("mp3: a <preview>, not the codec.") == 2


def test_times_that_may_not_be_compared_stand_apart(tmp_path: Path) -> None:
    build(tmp_path)
    for codec in ("opus", "mp3"):
        store = Store(tmp_path)
        with store:
            for row in store.rows("SELECT * FROM timings WHERE codec = ?", codec):
                store.put([TimingRow(**row | {"comparable": int(codec == "mp3"), "host": "<node7>"})])
        store.close()
    table = summary(tmp_path)
    opus, mp3 = row_of(table, "speech", "opus", "6"), row_of(table, "speech", "mp3", "16")
    assert math.isnan(opus["time_encode_wall_rtf"])
    assert math.isnan(opus["time_frame_p50_ms"])
    assert opus["time_encode_method"] == "not comparable"
    assert (mp3["time_encode_wall_rtf"], mp3["time_encode_method"]) == (0.0123, "inprocess")
    write_outputs(tmp_path)
    page = " ".join(" ".join(Page((tmp_path / "index.html").read_text()).text).split())
    assert (
        page.count("inprocess <node7> not comparable") == 2 * 2 * 2 + 2
    )  # two points and ways of two contents, frames
    assert "it stands here and in no other table" in page
    assert "10 times were taken where something else could run" in page


def test_times_on_a_gpu_have_columns_of_their_own(tmp_path: Path) -> None:
    build(tmp_path)
    before = summary(tmp_path)
    assert not [c for c in before.columns if c.startswith("gpu_")]
    store = Store(tmp_path)
    with store:
        store.delete("timings", {"codec": "mp3"})
        for direction, value in (("encode", 0.00456), ("decode", 0.00789)):
            store.put([TimingRow("mp3", "16", "speech", direction, "GPU <7>", "inprocess", value, 0.0, 0.0, 0.0, None, None, 3, 3, "")])  # fmt: skip # noqa: E501
    store.close()
    table = summary(tmp_path)
    mp3, opus = row_of(table, "speech", "mp3", "16"), row_of(table, "speech", "opus", "24")
    assert (mp3["gpu_device"], mp3["gpu_encode_wall_rtf"], mp3["gpu_decode_wall_rtf"]) == ("GPU <7>", 0.00456, 0.00789)
    assert math.isnan(mp3["time_encode_wall_rtf"])
    assert mp3["time_encode_method"] == ""
    assert (opus["time_encode_wall_rtf"], opus["gpu_device"]) == (0.0123, "")
    assert math.isnan(opus["gpu_encode_wall_rtf"])
    rest = before[before["codec"] != "mp3"].reset_index(drop=True)
    pd.testing.assert_frame_equal(table[table["codec"] != "mp3"].reset_index(drop=True)[before.columns], rest)
    write_outputs(tmp_path)
    page = " ".join(" ".join(Page((tmp_path / "index.html").read_text()).text).split())
    assert page.count("RTF enc GPU <7>") == page.count("RTF dec GPU <7>") == 2  # a table of each content
    assert "– – 0.0046 0.0079 26.5" in page
    assert "0.012 0.012 – – 26.5" in page
    assert "CPU: 14 measurements" in page
    assert "GPU <7>: 2 measurements" in page
    lines = (tmp_path / "summary.md").read_text().splitlines()
    assert r"| RTF | RTF GPU \<7\> | delay ms |" in next(line for line in lines if line.startswith("| codec"))
    assert "| – / – | 0.0046 / 0.0079 |" in next(line for line in lines if line.startswith("| mp3 16"))
    assert "| 0.012 / 0.012 | – / – |" in next(line for line in lines if line.startswith("| opus 6"))
    for width, has in ((140, "0.0046"), (40, "RTF – –, GPU 0.0046 0.0079")):
        console = Console(width=width, record=True, force_terminal=True, file=io.StringIO())
        print_summary(tmp_path, console)
        text = console.export_text()
        assert has in text
        assert "GPU: GPU <7>." in " ".join(text.split())


@pytest.mark.parametrize(("width", "has"), [(120, "RTF"), (68, "Left out"), (40, "mp3 16, 16.00 kbit/s")])
def test_terminal_summary_fits(run_dir: Path, width: int, has: str) -> None:
    console = Console(width=width, record=True, force_terminal=True, file=io.StringIO())
    print_summary(run_dir, console)
    text = console.export_text()
    assert has in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert "…" not in text
    assert "1 of 2 self-checks failed" in text
    assert "codec ×2" in text
    assert "evs" in text


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (number(math.nan, 2), "–"),
        (number(None, 2), "–"),
        (number(math.inf, 1), "∞"),
        (number(-0.04, 1), "0.0"),
        (number(-1.26, 1), "−1.3"),
        (number(0.0, 3), "0.000"),
        (kbps(6.004), "6.00"),
        (kbps(12.65), "12.65"),
        (kbps(128.4), "128.4"),
        (kbps(math.nan), "–"),
        (rtf(3.21), "3.2"),
        (rtf(0.0123), "0.012"),
        (rtf(0.00031), "3e−4"),
        (rtf(math.nan), "–"),
    ],
)
def test_numbers(text: str, want: str) -> None:
    assert text == want


def test_show(run_dir: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["show", str(run_dir), "--csv"]) == 0
    assert capsys.readouterr().out.encode() == (run_dir / "summary.csv").read_bytes()
    assert main(["show", str(run_dir), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["status"]["level"] == "bad"
    first = summary(run_dir).iloc[0]
    assert shown["summary"][0]["pesq_wb_mean"] == first["pesq_wb_mean"]
    assert shown["summary"][0]["lsd_mean"] is None
    assert {f["what"] for f in shown["failures"]} == {"clip", "coding", "STOI"}
    assert main(["show", str(run_dir)]) == 0
    assert f"{first['pesq_wb_mean']:.2f}±" in capsys.readouterr().out
    assert main(["show", str(tmp_path)]) == 2
    assert "no run folder" in " ".join(capsys.readouterr().err.split())


def test_reading_needs_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no run folder"):
        load(tmp_path)
