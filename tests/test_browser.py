"""The page in a real browser: headless Chromium, where Debian's is installed."""

from __future__ import annotations

import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import big_run
import pytest
from codecbench.bench.cache import Files
from codecbench.bench.rows import ClipRow, PointRow
from codecbench.bench.store import Store
from codecbench.reports import page as pages
from codecbench.reports.audio import package
from codecbench.reports.view import View
from codecbench.reports.write import write_outputs
from listen_run import make_run

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
CLIP = "<img src=x onerror=window.hacked=1>"
CODEC = "co\"de'c<b>01</b>"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with hostile names, an anchor, a failure."""
    folder = big_run.build(tmp_path_factory.mktemp("site"), clips=24, codecs=5, seed=3)
    with closing(sqlite3.connect(folder / "results.sqlite")) as db:
        for table in ("points", "results", "scores", "timings", "tokens"):
            db.execute(f"UPDATE {table} SET codec = ? WHERE codec = 'codec01'", [CODEC])
        for table in ("clips", "results", "scores"):
            db.execute(f"UPDATE {table} SET clip = ? WHERE clip = 'speech/0000'", [CLIP])
        db.execute("UPDATE points SET kind = 'anchor', family = 'Anchor' WHERE codec = 'codec04'")
        db.execute("UPDATE results SET status = 'failed', reason = 'codec', bits = NULL, detail = '<b>' "
                   "WHERE clip = 'music/0001' AND codec = 'codec02' AND point = '4'")  # fmt: skip
        db.execute("UPDATE scores SET value = NULL, reason = 'codec_failed' "
                   "WHERE clip = 'music/0001' AND codec = 'codec02' AND point = '4'")  # fmt: skip
        db.commit()
    write_outputs(folder)
    return folder


@pytest.fixture
def visit(browser: Any, site: Path) -> Iterator[Callable[..., Any]]:
    """Opens the page with all charts drawn; at the end nothing may have been logged, nor asked of the network."""
    wrong: list[str] = []
    requests: list[str] = []
    contexts = []

    def go(folder: Path = site, width: int = 1400, height: int = 900, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: wrong.append(m.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda r: requests.append(r.url))
        page.goto((folder / "index.html").as_uri())
        until(page, "!codecbench.waiting || codecbench.waiting() === 0")
        return page

    yield go
    hacked = [page.evaluate("window.hacked") for context in contexts for page in context.pages]
    for context in contexts:
        context.close()
    assert wrong == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert hacked == [None] * len(hacked)


def until(page: Any, expression: str) -> None:
    """Wait for something to become true; Playwright's own way needs eval, which the page's policy refuses."""
    for _ in range(600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"never true: {expression}")


def column(page: Any, name: str) -> list[str]:
    """The first cells or the values of a column of the table of speech, of the rows shown."""
    return page.evaluate(
        """(name) => {
          const table = document.querySelector("#table-1"), heads = [...table.tHead.rows[0].cells];
          const before = heads.slice(0, heads.findIndex((h) => h.dataset.name === name));
          const at = before.reduce((n, h) => n + h.colSpan, 0);
          const rows = [...table.tBodies[0].rows].filter((row) => row.offsetHeight);
          return rows.map(({ cells }) => at ? cells[at].dataset.value : cells[0].textContent);
        }""",
        name,
    )


def head(page: Any, name: str) -> Any:
    return page.locator(f"#table-1 th[data-name='{name}']")


def test_sorting(visit: Callable[..., Any]) -> None:
    page = visit()
    before = column(page, "pesq_wb")
    button = head(page, "pesq_wb").locator("button")
    button.click()
    assert column(page, "pesq_wb") == sorted(before, key=float)
    assert head(page, "pesq_wb").get_attribute("aria-sort") == "ascending"
    button.click()
    assert column(page, "pesq_wb") == sorted(before, key=float, reverse=True)
    assert head(page, "pesq_wb").get_attribute("aria-sort") == "descending"
    head(page, "codec").locator("button").click()
    assert column(page, "codec")[5:8] == ["codec00 4", "codec00 8", "codec00 16"]  # numbers in names count
    assert head(page, "pesq_wb").get_attribute("aria-sort") == "none"
    for _ in range(2):  # what has no value stays at the end
        head(page, "kbps").locator("button").click()
        assert column(page, "kbps")[-5:] == [""] * 5
        assert "" not in column(page, "kbps")[:-5]


def test_filtering(visit: Callable[..., Any]) -> None:
    page = visit()
    assert len(column(page, "codec")) == 25
    tools = page.locator(".tools[data-for='table-1']")
    tools.locator(".find").fill("codec02 16")
    assert column(page, "codec") == ["codec02 16"]
    assert tools.locator(".count").inner_text() == "1 of 25 points"
    tools.locator(".find").fill("'c<b>")
    assert len(column(page, "codec")) == 5
    tools.locator(".find").fill("")
    tools.locator(".family").select_option("Family 03")
    assert [name.split()[0] for name in column(page, "codec")] == ["codec03"] * 5
    tools.locator(".family").select_option("")
    assert len(column(page, "codec")) == 25
    assert tools.locator(".count").inner_text() == ""


def test_copying(visit: Callable[..., Any], site: Path) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    tools = page.locator(".tools[data-for='table-1']")
    tools.locator(".find").fill("codec00")
    text = {}
    for form in ("Markdown", "LaTeX", "CSV"):
        tools.get_by_role("button", name=form).click()
        until(page, f"document.querySelector('.tools .count').textContent === 'Copied 5 rows as {form}.'")
        text[form] = page.evaluate("navigator.clipboard.readText()")
    rows = View(site).summary
    row = rows[(rows["codec"] == "codec00") & (rows["point"] == "4") & (rows["content"] == "speech")].iloc[0]
    score = [f"{row[f'pesq_wb_{what}']:.2f}" for what in ("mean", "lo", "hi")]
    lines = text["Markdown"].splitlines()
    assert len(lines) == 7
    assert lines[0].startswith("| codec | family | kbit/s | PESQ wideband ↑ |")
    assert lines[2].startswith(
        f"| codec00 4 | Family 00 | {row['kbps']:.2f} | {score[0]} \\[{score[1]}, {score[2]}\\] |"
    )
    assert f"codec00 4 & Family 00 & {row['kbps']:.2f} & {score[0]} [{score[1]}, {score[2]}] &" in text["LaTeX"]
    assert text["LaTeX"].startswith("\\begin{tabular}{llrrrrr")
    assert "PESQ wideband $\\uparrow$" in text["LaTeX"]
    heads, first = (line.split(",") for line in text["CSV"].splitlines()[:2])
    values = dict(zip(heads, first, strict=True))
    assert float(values["pesq_wb"]) == row["pesq_wb_mean"]
    assert float(values["pesq_wb_hi"]) == row["pesq_wb_hi"]
    assert float(values["kbps"]) == row["kbps"]
    tools.locator(".find").fill("'c<b>")
    markdown = page.evaluate("codecbench.table('table-1', 'markdown')")
    assert "\\<b\\>" in markdown


def test_without_the_clipboard_there_is_another_way(visit: Callable[..., Any]) -> None:
    page = visit()
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('refused')); }")
    page.evaluate("document.execCommand = (what) => { window.copied = getSelection().toString() || document.activeElement.value; return what === 'copy'; }")  # fmt: skip # noqa: E501
    page.locator(".tools[data-for='table-1']").get_by_role("button", name="CSV").click()
    until(page, "window.copied !== undefined")
    assert page.evaluate("window.copied").startswith("codec,family,kbps,pesq_wb,pesq_wb_lo,pesq_wb_hi,")


def test_curves_are_hidden_and_shown_in_all_charts(visit: Callable[..., Any]) -> None:
    page = visit()
    shown = lambda: {tuple(chart["shown"]) for chart in page.evaluate("codecbench.curves()")}  # noqa: E731
    assert len(page.evaluate("codecbench.curves()")) == 7
    every = ("Family 00", "Family 01", "Family 02", "Family 03")
    assert shown() == {every}
    buttons = page.locator("button[data-curve='Family 02']")
    assert buttons.count() == 2  # of speech and of music
    buttons.first.click()
    assert shown() == {("Family 00", "Family 01", "Family 03")}
    assert [b.get_attribute("aria-pressed") for b in buttons.all()] == ["false", "false"]
    page.locator("button[data-all='false']").first.click()
    assert shown() == {()}
    page.locator("button[data-all='true']").last.click()
    assert shown() == {every}


def test_a_curve_tells_its_values(visit: Callable[..., Any]) -> None:
    page = visit()
    page.locator(".chart").first.scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    at = page.evaluate(
        """() => {
          const { view, chart } = codecbench.drawn(0), { x_scale, y_scale } = view.frame, line = chart.lines[1];
          const box = view.el.getBoundingClientRect();
          return [box.x + x_scale.compute(line.kbps[2]), box.y + y_scale.compute(line.mean[2])];
        }"""
    )
    page.mouse.move(at[0] - 3, at[1])
    page.mouse.move(*at)
    until(page, f"{DEEP}(document.body).includes('12 of 12 clips')")
    told = page.evaluate(f"{DEEP}(document.querySelector('.bk-Tooltip'))")
    assert f"{CODEC} 16" in told
    assert re.search(r"1[56]\.\d\d kbit/s\nmean \d\.\d\d, 95 %: \d\.\d\d to \d\.\d\d\n", told)


#: the text of an element and all shadow trees within
DEEP = """((e) => {
  const walk = (n) => (n.nodeType === 3 ? n.data : "")
    + [...(n.shadowRoot?.childNodes ?? []), ...n.childNodes].filter((c) => c.nodeName !== "STYLE").map(walk).join(" ");
  return walk(e);
})"""


def test_the_metric_that_is_chosen_judges_everywhere(visit: Callable[..., Any]) -> None:
    page = visit()
    selects = page.locator("select.by[data-content='speech']")
    assert selects.count() == 3  # verdict, BD-rate, ranking
    selects.nth(2).select_option("stoi")
    assert [s.input_value() for s in selects.all()] == ["stoi"] * 3
    panels = page.locator("div.panel[data-content='speech']:visible")
    assert [p.get_attribute("data-metric") for p in panels.all()] == ["stoi"] * 3
    assert page.locator("select.by[data-content='music']").first.input_value() == "visqol"


def test_keyboard_alone(visit: Callable[..., Any]) -> None:
    page = visit()
    seen = []
    for _ in range(200):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.dataset.curve || document.activeElement.closest('th')?.dataset.name || document.activeElement.tagName"))  # fmt: skip # noqa: E501
        if seen[-1] == "Family 02" and "Family 02" not in seen[:-1]:
            page.keyboard.press("Space")
        if seen[-1] == "pesq_wb":
            page.keyboard.press("Enter")
            break
    assert "Family 02" not in page.evaluate("codecbench.curves()[0].shown")
    assert head(page, "pesq_wb").get_attribute("aria-sort") == "ascending"
    outline = head(page, "pesq_wb").locator("button").evaluate("(b) => getComputedStyle(b).outlineStyle")
    assert outline == "solid"


def test_the_navigation_goes_there_and_knows_where_it_is(visit: Callable[..., Any]) -> None:
    page = visit()
    for name in ("ranking", "method"):
        page.locator(f"nav a[href='#{name}']").click()
        until(page, f"document.querySelector('nav a[aria-current]')?.hash === '#{name}'")
        top = page.locator(f"#{name} h2").evaluate("(h) => h.getBoundingClientRect().top")
        bar = page.locator("nav").evaluate("(n) => n.getBoundingClientRect().bottom")
        assert bar <= top < 500  # not behind the bar
    assert page.locator("nav a").evaluate_all("(all) => all.every((a) => document.querySelector(a.hash))")


@pytest.mark.parametrize("width", [360, 820, 1400, 3840])
def test_the_page_is_never_wider_than_the_window(visit: Callable[..., Any], width: int) -> None:
    page = visit(width=width, height=900)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#items").scroll_into_view_if_needed()
    until(page, "codecbench.items()?.marks > 0")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.evaluate("codecbench.drawn(0).view.el.getBoundingClientRect().width")
    assert wide <= width


def test_charts_follow_the_window(visit: Callable[..., Any]) -> None:
    page = visit(width=1400)
    before = page.evaluate("codecbench.drawn(0).view.el.getBoundingClientRect().width")
    page.set_viewport_size({"width": 500, "height": 900})
    until(page, f"Math.abs(codecbench.drawn(0).view.el.getBoundingClientRect().width - {before}) > 20")
    assert page.evaluate("codecbench.drawn(0).view.el.getBoundingClientRect().right") <= 500


def test_dark_and_light(visit: Callable[..., Any]) -> None:
    page = visit(color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    figure = "codecbench.drawn(0).figure"
    colours = f"[{figure}.background_fill_color, {figure}.renderers[1].glyph.line_color.value]"
    dark = (page.evaluate(ground), page.evaluate(colours))
    page.emulate_media(color_scheme="light")
    until(page, f"{ground} !== '{dark[0]}'")
    light = (page.evaluate(ground), page.evaluate(colours))
    assert sum(map(int, re.findall(r"\d+", dark[0])[:3])) < 150
    assert sum(map(int, re.findall(r"\d+", light[0])[:3])) > 700
    assert dark[1][0] != light[1][0]
    assert dark[1][1] != light[1][1]


def test_print(visit: Callable[..., Any], tmp_path: Path) -> None:
    page = visit()
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert not page.locator(".tools").first.is_visible()
    assert not page.locator("button[data-curve]").first.is_visible()
    assert page.locator(".legend.on-paper").first.is_visible()
    assert page.locator("span.on-paper", has_text="judged by PESQ wideband").first.is_visible()
    assert page.locator("#table-1").is_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    pictures = page.locator(".chart img.print")
    assert pictures.count() == 7
    until(page, "[...document.querySelectorAll('.chart img.print')].every((i) => i.naturalWidth > 100)")
    assert not page.locator(".chart .plot").first.is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert pictures.count() == 0
    assert page.locator(".chart .plot").first.is_visible()
    assert len(page.pdf()) > 50_000


def test_no_serious_finding_of_axe(visit: Callable[..., Any]) -> None:
    axe = pytest.importorskip("axe_core_python", reason="needs axe-core: pip install axe-core-python")
    source = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    for options in ({}, {"color_scheme": "dark"}, {"width": 360}):
        page = visit(**options)
        page.locator("#items").scroll_into_view_if_needed()
        until(page, "codecbench.items()?.marks > 0")
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        page.evaluate(source + "; undefined")
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
        serious = [
            (v["id"], [n["target"] for n in v["nodes"]][:4]) for v in found if v["impact"] in ("serious", "critical")
        ]
        assert serious == [], options


def test_hostile_names_stay_text(visit: Callable[..., Any]) -> None:
    page = visit()
    assert CODEC in page.locator("#table-1").inner_text()
    assert page.locator("img:not(.print), main b").count() == 0
    page.locator("#items").scroll_into_view_if_needed()
    until(page, "codecbench.items()?.marks > 0")
    assert CODEC in page.locator("#items-a").inner_text()
    at = page.evaluate("codecbench.items().place((clip) => clip.includes('onerror'))")
    page.mouse.move(at[0] - 2, at[1])
    page.mouse.move(*at)
    until(page, f"{DEEP}(document.body).includes('onerror')")


def test_scatter_of_two_metrics_and_of_two_codecs(visit: Callable[..., Any]) -> None:
    page = visit()
    page.locator("#items").scroll_into_view_if_needed()
    until(page, "codecbench.items()?.marks === 12 * 25")
    assert page.locator("#items-b").is_disabled()
    page.locator("#items-a").select_option(label="codec00 16")
    until(page, "codecbench.items()?.marks === 12")
    page.locator("#items-b").select_option(label="codec02 16")
    page.locator("#items-y").select_option(label="PESQ wideband ↑")
    until(page, "document.querySelector('#items-caption').textContent.includes('of codec02 16')")
    caption = page.locator("#items-caption").inner_text()
    assert re.search(r"PESQ wideband ↑ of codec00 16 .*: 12 marks, r −?\d\.\d\d, ρ −?\d\.\d\d", caption)
    page.locator("#items-content").select_option(label="music")
    until(page, "codecbench.items()?.marks === 12 * 25 - 1")


def test_a_mark_leads_to_the_clip_in_listen(visit: Callable[..., Any], tmp_path: Path) -> None:
    run, cache, _ = make_run(tmp_path)
    view, folder = View(run), tmp_path / "page"
    folder.mkdir()
    (folder / "index.html").write_text(pages.render(view, {}, package(view, Files(cache), folder)))
    page = visit(folder)
    page.locator("#items").scroll_into_view_if_needed()
    until(page, "codecbench.items()?.marks > 0")
    at = page.evaluate("codecbench.items().place((clip, point) => point === 'opus 12')")
    page.mouse.click(*at)
    until(page, "codecbench.player.current === 'opus 12'")


def test_a_page_without_points(visit: Callable[..., Any], tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    with store:
        store.put([PointRow("gone", "1", "speech", "Gone", "codec", "cbr", 1.0, "", "", "", "", "", "not here")])
        store.put(
            [ClipRow("c", "x", "speech", "", "", None, None, None, "", "", "", "", "", 0, "failed", "empty file")]
        )
    store.close()
    write_outputs(tmp_path)
    page = visit(tmp_path)
    assert "No operating point was run." in page.locator("#verdict").inner_text()
    assert "not here" in page.locator("#unavailable").inner_text()
    assert page.locator("nav a").evaluate_all("(all) => all.every((a) => document.querySelector(a.hash))")


@pytest.mark.slow
def test_a_hundred_thousand_results(visit: Callable[..., Any], tmp_path: Path) -> None:
    big_run.build(tmp_path, clips=1000, codecs=20)
    begin = time.perf_counter()
    write_outputs(tmp_path)
    assert time.perf_counter() - begin < 60
    assert (tmp_path / "index.html").stat().st_size < 15_000_000
    page = visit(tmp_path)
    opened = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert opened < 3000  # ms
    page.locator("#items").scroll_into_view_if_needed()
    until(page, "codecbench.items()?.marks > 49_000")
