"""The leaderboard: tables of what may be compared, ranked within classes of rates."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from codecbench.bench.cli import main
from codecbench.bench.rows import ScoreRow
from codecbench.bench.store import Store
from codecbench.reports.frame import summary
from codecbench.reports.grouping import sources
from codecbench.reports.leaderboard import CLASSES, Board, class_of, render, title
from codecbench.reports.leaderboard import board as board_of
from codecbench.reports.merge import merge
from made_runs import EPYC, LSD, STOI, make

HOSTILE = "<img src=x onerror=alert(1)>"


def boards(*folders: Path) -> list[Board]:
    return [board_of(group, folders[0].parent) for group in merge(sources(folders))]


def ranks(board: Board, content: str = "speech", metric: int = 0) -> dict[str, list[tuple[str, str]]]:
    """Class -> (codec and point, rank) in the order of the table."""
    table = board.tables[content][metric]
    return {c.title: [(f"{row.line.codec} {row.line.point}", row.rank) for row in c.rows] for c in table.classes if c}


class Page(HTMLParser):
    """Tags, and the cells of each row of a table as text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_classes() -> None:
    assert [title(i) for i in range(len(CLASSES))] == ["≤ 4", "≤ 8", "≤ 16", "≤ 32", "> 32"]
    rates = {0.7: 0, 4.0: 0, 4.2: 0, 4.21: 1, 8.0: 1, 12.2: 2, 16.04: 2, 16.9: 3, 32.0: 3, 64.0: 4, 1411.2: 4}
    assert {rate: class_of(rate) for rate in rates} == rates


def test_points_are_ranked_within_their_class(tmp_path: Path) -> None:
    a = make(tmp_path / "a", {"opus": (6, 12, 16), "pcm": (0,)})
    b = make(tmp_path / "b", {"mp3": (16, 64)}, quality=0.2)
    (board,) = boards(a, b)
    assert ranks(board) == {
        "≤ 8": [("opus 6", "1")],
        "≤ 16": [("mp3 16", "1"), ("opus 16", "2"), ("opus 12", "3")],
        "> 32": [("mp3 64", "1")],
    }
    assert [row.line.codec for row in board.tables["speech"][0].anchors] == ["pcm"]
    assert board.tables["speech"][0].anchors[0].rank == ""
    assert {row.source.name for c in board.tables["speech"][0].classes if c for row in c.rows} == {"a", "b"}


def test_what_cannot_be_told_apart_shares_ranks(tmp_path: Path) -> None:
    a = make(tmp_path / "a", {"opus": (12,), "worse": (12,)})
    store = Store(make(tmp_path / "b", {"twin": (12,)}))
    values = {row["clip"]: row["value"] for row in Store(a).rows("SELECT * FROM scores WHERE codec = 'opus'")}
    with store:  # a little better on one half of the clips and a little worse on the other
        for i, (clip, value) in enumerate(values.items()):
            store.put([ScoreRow("hand", clip, "twin", "12", "stoi", value + 0.001 * (-1) ** i, "", "")])
    store.close()
    store = Store(a)
    with store:
        for clip, value in values.items():
            store.put([ScoreRow("hand", clip, "worse", "12", "stoi", value - 0.2 - value / 100, "", "")])
    store.close()
    (board,) = boards(a, tmp_path / "b")
    found = dict(ranks(board)["≤ 16"])
    assert found == {"opus 12": "1–2", "twin 12": "1–2", "worse 12": "3"}
    (row,) = [r for c in board.tables["speech"][0].classes if c for r in c.rows if r.line.codec == "worse"]
    assert (row.left, row.width) == (66.7, 33.3)


def test_too_few_clips_rank_nothing(tmp_path: Path) -> None:
    (board,) = boards(make(tmp_path / "a", {"opus": (12,), "mp3": (16,)}, clips="abc"))
    assert {rank for _, rank in ranks(board)["≤ 16"]} == {"1–2"}


def test_each_metric_ranks_towards_its_better_side(tmp_path: Path) -> None:
    (board,) = boards(make(tmp_path / "a", {"opus": (10, 16)}, metrics=[STOI, LSD]))
    assert ranks(board, metric=0)["≤ 16"] == [("opus 16", "1"), ("opus 10", "2")]
    assert ranks(board, metric=1)["≤ 16"] == [("opus 10", "1"), ("opus 16", "2")]


def test_a_rate_is_of_one_channel(tmp_path: Path) -> None:
    (board,) = boards(make(tmp_path / "a", {"opus": (16,)}, content="music", channels=2))
    (found,) = [c for c in board.tables["music"][0].classes if c]
    assert (found.title, found.rows[0].per_channel, found.rows[0].line.kbps) == ("≤ 16", "16.00", "32.00")


def test_a_mean_over_other_clips_is_not_ranked(tmp_path: Path) -> None:
    a = make(tmp_path / "a", {"opus": (12,), "mp3": (16,), "broken": (10,)})
    store = Store(a)
    with store:
        for clip in "abcdef":
            store.put([ScoreRow("hand", clip, "broken", "10", "stoi", None, "timeout", "")])
    store.close()
    (board,) = boards(a)
    assert ranks(board)["≤ 16"] == [("mp3 16", "1"), ("opus 12", "2"), ("broken 10", "")]
    text = "".join(Page(render(merge(sources([a])), tmp_path)).text)
    assert re.search(r"broken 10\s+not ranked", text)


def test_cells_are_the_numbers_of_each_run(tmp_path: Path) -> None:
    folders = [make(tmp_path / "a", {"opus": (6, 12)}), make(tmp_path / "b", {"mp3": (16, 64)})]
    page = Page(render(merge(sources(folders)), tmp_path))
    shown = {row[0].strip(): [" ".join(cell.split()) for cell in row] for row in page.rows if row}
    table = pd.concat([summary(folder) for folder in folders])
    assert len(table) == 4
    for row in table.to_dict("records"):
        cells = shown[f"{row['codec']} {row['point']}"]
        assert cells[2] == f"{row['kbps']:.2f}"
        assert cells[3] == f"{row['stoi_mean']:.3f}"
        assert cells[4] == f"{row['stoi_lo']:.3f} to {row['stoi_hi']:.3f}"


def test_times_of_several_machines_name_them(tmp_path: Path) -> None:
    a = make(tmp_path / "a", {"opus": (12,)}, timed=0.1)
    b = make(tmp_path / "b", {"mp3": (16,)}, timed=0.2, machine={"cpu": "Pi <4>", "cores": 4})
    (board,) = boards(a, b)
    rtf = {row.line.codec: row.rtf for c in board.tables["speech"][0].classes if c for row in c.rows}
    assert rtf == {"opus": (("0.10 / 0.10", "A"),), "mp3": (("0.20 / 0.20", "B"),)}
    assert board.machines == {"A": "EPYC, 8 cores", "B": "Pi <4>, 4 cores"}
    (board,) = boards(a, make(tmp_path / "c", {"lc3": (16,)}, timed=0.2, machine=EPYC))
    assert {row.rtf[0][1] for c in board.tables["speech"][0].classes if c for row in c.rows} == {""}


def test_other_data_stands_apart_and_names_stay_text(tmp_path: Path) -> None:
    a = make(tmp_path / HOSTILE, {HOSTILE: (6,)}, command=f"bench '{HOSTILE}'", suite={"name": HOSTILE})
    b = make(tmp_path / "b", {"mp3": (16,)}, clips="abcdefgx", versions=f'"{HOSTILE}')
    html = render(merge(sources([a, b])), tmp_path)
    page = Page(html)
    assert "Not with group 1: other speech clips: 2 of 9 differ." in "".join(page.text)
    assert f"{HOSTILE} 6" in "".join(page.text)
    assert not {tag for tag, _ in page.tags} & {"script", "img", "link", "iframe", "object"}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    (policy,) = [attrs["content"] for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs]
    assert policy.startswith("default-src 'none'")
    assert "script" not in policy
    assert not re.search(r"url\(|@import|https?://", html)


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a 1", "b"):
        make(tmp_path / "runs" / name, {"opus" if name == "b" else "mp3": (16,)})
        (tmp_path / "runs" / name / "index.html").write_text("")
    assert main(["leaderboard", "runs/a 1", str(tmp_path / "runs" / "b"), "-o", "site"]) == 0
    assert "group 1: a 1, b" in capsys.readouterr().err
    data = (tmp_path / "site" / "index.html").read_bytes()
    links = {attrs.get("href") for tag, attrs in Page(data.decode()).tags if tag == "a"}
    assert links == {"../runs/a%201/index.html"}  # the other was not given relative
    assert str(tmp_path) not in data.decode()
    assert main(["leaderboard", "runs/a 1", str(tmp_path / "runs" / "b"), "-o", "site/again.html"]) == 0
    assert (tmp_path / "site" / "again.html").read_bytes() == data
    assert main(["leaderboard", "runs/a 1", "nowhere", "-o", "other.html"]) == 2
    assert "nowhere is no run folder" in capsys.readouterr().err
    assert main(["leaderboard", "runs/b", "-o", "runs/b/index.html/x.html"]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert not (tmp_path / "other.html").exists()


def test_an_empty_run_has_a_place(tmp_path: Path) -> None:
    Store(tmp_path / "empty", create=True).close()
    a = make(tmp_path / "a", {"opus": (16,)})
    assert "no content in common" in render(merge(sources([a, tmp_path / "empty"])), tmp_path)


@pytest.mark.browser
def test_in_a_browser(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium: apt-get install chromium")
    a = make(tmp_path / "a", {"opus": (3, 6, 12, 24)}, metrics=[STOI, LSD], timed=0.01)
    b = make(tmp_path / "b", {"a codec with a long name": (16, 64)}, metrics=[STOI, LSD])
    c = make(tmp_path / "c", {"mp3": (16,)}, clips="xyz", content="music")
    page = tmp_path / "board.html"
    page.write_text(render(merge(sources([a, b, c])), tmp_path))
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1400, "height": 900})
        said: list[str] = []
        tab.on("console", lambda message: said.append(message.text))
        tab.on("request", lambda request: said.append(request.url))
        tab.goto(page.as_uri())
        assert said == [page.as_uri()]
        first = tab.locator("#group-1")
        assert first.locator("table:visible").count() == 1  # the other metric's is hidden, runs and codecs are folded
        assert first.locator("tbody th[scope=row]:visible").count() == 6
        first.get_by_role("radio", name="≤ 16").check()
        assert first.locator("tbody th[scope=row]:visible").all_inner_texts() == [
            "a codec with a long name 16",
            "opus 12",
        ]
        first.get_by_role("radio", name="LSD").check()
        assert first.locator("tbody th[scope=row]:visible").all_inner_texts() == [
            "opus 12",
            "a codec with a long name 16",
        ]
        assert tab.locator("#group-2 tbody th[scope=row]:visible").count() == 1
        first.get_by_role("radio", name="LSD").focus()
        tab.keyboard.press("ArrowLeft")
        assert first.get_by_role("radio", name="STOI").is_checked()
        axe = pytest.importorskip("axe_core_python.sync_playwright", reason="axe-core is not installed")
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            assert axe.Axe().run(tab)["violations"] == []
        tab.set_viewport_size({"width": 360, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        tab.emulate_media(media="print")
        assert first.locator("fieldset:visible").count() == 0
        browser.close()
