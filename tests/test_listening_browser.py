"""The page of a listening test in headless Chromium: done by keyboard, in step by the clock of the audio, resumed."""

from __future__ import annotations

import shutil

import listening_run
import pytest
from codecbench.bench.listening import FILE
from listening_page import TRIAL, begin, player, ratings, settle, trial_number, until
from listening_run import servers

CHROMIUM = shutil.which("chromium")
playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return listening_run.build(tmp_path_factory.mktemp("listening"), clips=2, seconds=1.5)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def serve(made, tmp_path):
    with servers(made, tmp_path, clips=1) as start:
        yield start


@pytest.fixture
def page(browser):
    """A page that fails the test if anything is written to the console or asked of another host."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("console", lambda message: wrong.append(message.text))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("dialog", lambda dialog: (wrong.append("dialog"), dialog.dismiss()))
    opened.on(
        "request", lambda r: wrong.append(r.url) if not r.url.startswith(("http://127.0.0.1:", "data:")) else None
    )
    yield opened
    context.close()
    assert wrong == []


def test_mushra_by_keyboard_alone(page, serve, tmp_path):
    server = serve("mushra")
    begin(page, server)
    for trial in range(2):
        trial_number(page, trial)
        page.keyboard.press("Enter")  # too early: nothing happens but a hint
        assert "Not rated yet: 1, 2, 3, 4, 5" in page.locator(".end").inner_text()
        for version in range(1, 6):
            page.keyboard.press(str(version) if version < 5 else "n")
            assert player(page, "p.current") == version
            page.keyboard.press("Home")
            for _ in range(version):
                page.keyboard.press("Shift+ArrowRight")
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        trial_number(page, trial + 1 if trial == 0 else None)
    assert page.locator("h2").inner_text() == "Done. Thank you!"
    kept = ratings(server)
    assert [r["rating"] for r in kept] == [11.0, 21.0, 31.0, 41.0, 51.0] * 2
    assert [r["is_training"] for r in kept] == [1] * 5 + [0] * 5
    assert {r["session"] for r in kept} == {page.url.partition("#")[2]}
    assert all(r["seconds"] > 0 and 0 <= r["position"] <= 1.5 for r in kept)
    assert server.test.store.rows("SELECT listener FROM sessions") == [{"listener": "me"}]
    assert (tmp_path / FILE).exists()


def test_switching_keeps_the_position(page, serve):
    begin(page, serve("mushra"))
    page.keyboard.press("1")
    until(page, "listening.player.position > 0.2")
    # Read place and clock, switch, read them again, all without giving the page a moment in between.
    drift = page.evaluate("""() => {
      const p = listening.player, drift = [];
      for (const key of "2345r1") {
        const [place, clock, voices] = [p.position, p.context.currentTime, p.voices];
        document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
        drift.push([p.position - place - (p.context.currentTime - clock), p.voices === voices, p.current]);
      }
      return drift;
    }""")
    assert [current for _, _, current in drift] == [2, 3, 4, 5, 0, 1]
    assert all(abs(seconds) < 1e-9 for seconds, _, _ in drift)
    assert all(same for _, same, _ in drift)  # the same sources play on: nothing was started anew
    before = player(page, "[p.position, p.context.currentTime]")
    page.wait_for_timeout(300)
    after = player(page, "[p.position, p.context.currentTime]")
    passed = (after[0] - before[0]) % player(page, "p.to - p.from")
    assert passed == pytest.approx(after[1] - before[1], abs=1e-6)
    # One voice is up and the others are down once the fades have ended.
    assert player(page, "p.voices.map((v) => Math.round(v.gain.gain.value))") == [0, 1, 0, 0, 0, 0]


def test_a_switch_fades_out_and_then_in_without_a_cross_fade(page, serve):
    begin(page, serve("mushra"))
    page.keyboard.press("1")
    until(page, "listening.player.position > 0.2")
    gains = page.evaluate("""async () => {
      const p = listening.player, seen = [];
      const wait = () => new Promise((done) => setTimeout(done, 0));
      p.select(2);
      const end = p.context.currentTime + 0.1;
      while (p.context.currentTime < end) {
        // the one that rises first: between the two looks time passes
        const rising = p.voices[2].gain.gain.value;
        seen.push([p.voices[1].gain.gain.value, rising]);
        await wait();
      }
      return seen;
    }""")
    assert gains[0] == [1, 0]
    assert gains[-1] == pytest.approx([0, 1], abs=1e-3)
    assert all(min(pair) < 1e-3 for pair in gains)  # never both


def test_both_ends_of_what_is_looped_are_faded(page, serve):
    begin(page, serve("mushra"))
    page.keyboard.press("3")
    until(page, "listening.player.position > 0")
    ends = player(page, "p.pieces.map((b) => [b.length, b.getChannelData(0)[0], b.getChannelData(0)[b.length - 1]])")
    assert len(ends) == 6
    assert len({length for length, _, _ in ends}) == 1
    assert all(abs(sample) < 1e-3 for _, *samples in ends for sample in samples)
    level = "Math.max(...b.getChannelData(0).slice(300, -300).map(Math.abs))"
    assert all(peak > 0.05 for peak in player(page, f"p.pieces.map((b) => {level})"))


def test_pause_keeps_the_place(page, serve):
    begin(page, serve("mushra"))
    page.keyboard.press("3")
    until(page, "listening.player.position > 0.1")
    page.keyboard.press("Space")
    playing, place = player(page, "[p.playing, p.position]")
    assert playing is False
    page.wait_for_timeout(200)
    assert player(page, "p.position") == place
    page.keyboard.press("4")
    assert player(page, "p.playing") is True
    assert player(page, "p.offset") == pytest.approx(place, abs=1e-9)


def test_a_loop_stays_in_its_part_and_is_half_a_second_at_least(page, serve):
    begin(page, serve("abx"))
    page.get_by_label("Loop from").focus()
    page.keyboard.press("End")
    page.wait_for_timeout(50)
    assert player(page, "[p.from, p.to]") == pytest.approx([1.0, 1.5], abs=0.02)
    page.get_by_label("Loop to").focus()
    page.keyboard.press("Home")
    assert player(page, "p.to - p.from") == pytest.approx(0.5, abs=0.02)
    page.keyboard.press("Space")
    for _ in range(4):
        page.wait_for_timeout(180)
        assert 0.99 <= player(page, "p.position") <= 1.51
    page.get_by_role("button", name="Whole clip").press("Enter")
    assert player(page, "[p.from, p.to]") == pytest.approx([0.0, 1.5], abs=0.02)


def test_only_the_version_that_is_heard_can_be_rated(page, serve):
    server = serve("mushra")
    begin(page, server)
    sliders = page.locator(".version input")
    assert sliders.evaluate_all("all => all.filter((s) => !s.disabled).length") == 0
    page.keyboard.press("ArrowRight")
    page.keyboard.press("2")
    assert sliders.evaluate_all("all => all.map((s) => s.disabled)") == [True, False, True, True, True]
    assert page.evaluate("document.activeElement.ariaLabel") == "Rating of version 2"
    page.locator(".version").nth(3).locator("input").click(force=True, position={"x": 5, "y": 5})
    assert player(page, "p.current") == 4  # a click on a row chooses it and rates nothing
    settle(page)
    assert ratings(server) == []
    box = sliders.nth(3).bounding_box()
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + box["height"] / 2)
    settle(page)
    [kept] = ratings(server)
    assert kept["condition"] == 3
    assert kept["rating"] == pytest.approx(75, abs=2)


def test_a_reload_goes_on_where_it_was(page, serve):
    server = serve("mushra")
    begin(page, server, "Zoë")
    page.keyboard.press("3")
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("1")
    page.keyboard.press("PageDown")
    settle(page)
    page.reload()
    until(page, TRIAL)
    assert page.locator(".version output").all_inner_texts() == ["40", "not rated", "57", "not rated", "not rated"]
    for version in range(1, 6):
        page.keyboard.press(str(version))
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    trial_number(page, 1)
    page.reload()
    until(page, TRIAL)
    assert page.locator("#count").inner_text() == "2 of 2"
    assert [r["rating"] for r in ratings(server)] == [39.0, 49.0, 56.0, 49.0, 49.0]
    page.goto("about:blank")
    page.goto(server.url)  # without the session in the address: it is offered
    page.get_by_role("button", name="Zoë: 1 of 2 done").press("Enter")
    trial_number(page, 1)


def test_names_stay_text(page, serve):
    server = serve("mushra")
    begin(page, server, "<b>me</b>")
    assert page.locator("#title").inner_text() == listening_run.NASTY
    assert page.locator("img, b").count() == 0
    plan = server.test.store.session(page.url.partition("#")[2]).plan
    assert plan[0].clip.clip == listening_run.NASTY
    assert page.locator("h2").inner_text().startswith(listening_run.NASTY)


def test_abx_by_keyboard(page, serve):
    server = serve("abx", ("opus@12",), repeats=3)
    begin(page, server)
    for number in range(4):
        trial_number(page, number)
        page.keyboard.press("Enter")
        assert "Decide first" in page.locator(".end").inner_text()
        for key, signal in (("a", 0), ("b", 1), ("x", 2)):
            page.keyboard.press(key)
            assert player(page, "p.current") == signal
        page.keyboard.press("ArrowLeft" if number % 2 else "ArrowRight")
        page.keyboard.press("Enter")
    trial_number(page, None)
    kept = ratings(server)
    assert [r["answer"] for r in kept] == ["B", "A", "B", "A"]
    plan = server.test.store.session(kept[0]["session"]).plan
    assert [r["rating"] for r in kept] == [float(r["answer"] == t.x) for r, t in zip(kept, plan, strict=True)]


def test_acr_is_heard_once_and_to_the_end(page, serve):
    server = serve("acr", ("opus@12",))
    begin(page, server)
    page.keyboard.press("4")  # before it was heard: nothing
    page.keyboard.press("Enter")
    assert "Listen to the end first" in page.locator(".end").inner_text()
    page.keyboard.press("Space")
    page.get_by_role("button", name="5 Excellent").wait_for()
    until(page, "!listening.player.playing && !document.querySelector('.grades button').disabled")
    assert page.get_by_role("button", name="Play").is_disabled()
    page.keyboard.press("4")
    page.locator("h2").focus()
    page.keyboard.press("Enter")
    trial_number(page, 1)
    assert [r["rating"] for r in ratings(server)] == [4.0]


def test_a_server_that_is_gone_is_told_and_nothing_is_lost(browser, serve):
    server = serve("mushra")
    context = browser.new_context()
    page = context.new_page()
    begin(page, server)
    context.set_offline(True)
    page.keyboard.press("1")
    page.keyboard.press("ArrowRight")
    page.get_by_role("alert").get_by_text("does not answer").wait_for()
    assert ratings(server) == []
    context.set_offline(False)
    until(page, "document.getElementById('problem').hidden")
    page.evaluate("listening.stored()")
    assert [r["rating"] for r in ratings(server)] == [51.0]
    context.close()


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1400, "light")])
def test_it_fits_and_is_accessible(browser, serve, width, scheme):
    axe = pytest.importorskip("axe_core_python.sync_playwright", reason="needs axe: pip install axe-core-python")
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    for method in ("mushra", "abx", "acr"):
        server = serve(method)
        page.goto(server.url)
        page.wait_for_selector("form")
        found = axe.Axe().run(page)["violations"]
        begin(page, server)
        page.keyboard.press("1")
        found += axe.Axe().run(page)["violations"]
        assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
