"""The player of the section Listen in headless Chromium, on the audio of a real run."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from codecbench import reports
from codecbench.bench.cache import Files
from codecbench.reports.audio import FOLDER_BUDGET, SCRIPTS, STYLE, package
from codecbench.reports.view import View
from listen_run import HOSTILE, make_run

pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
HERE = Path(reports.__file__).parent
#: notes what reaches the loudspeaker, sample by sample, with its time on the audio clock
TAP = """
window.heard = [];
const worklet = `registerProcessor("tap", class extends AudioWorkletProcessor {
  process([input]) { if (input.length) this.port.postMessage([currentFrame, input[0].slice()]); return true; }
})`;
const connect = AudioNode.prototype.connect;
window.AudioContext = class extends AudioContext {
  constructor(options) {
    super(options);
    this.audioWorklet.addModule("data:text/javascript," + encodeURIComponent(worklet)).then(() => {
      this.tap = new AudioWorkletNode(this, "tap");
      this.tap.port.onmessage = ({ data: [frame, samples] }) => window.heard.push([frame, Array.from(samples)]);
      connect.call(this.tap, this.destination);
      window.tapped = true;
    });
  }
};
AudioNode.prototype.connect = function (to, ...rest) {
  if (to instanceof AudioDestinationNode && this.context.tap) connect.call(this, this.context.tap);
  return connect.call(this, to, ...rest);
};
"""


def write_page(folder, run, cache, single=False, budget=FOLDER_BUDGET):
    """A page with nothing but the section; returns the manifest."""
    import jinja2

    got = package(View(run), Files(cache), None if single else folder, budget)
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True)
    section = environment.get_template("listen.html").render(listen=got)
    scripts = [(HERE / "static" / name).read_text() for name in SCRIPTS]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    allowed = " ".join(["'self'", *(f"'sha256-{each}'" for each in hashes)])
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src {allowed}"
    css = next(HERE.rglob("page.css")).read_text() + (HERE / "static" / STYLE).read_text()
    folder.mkdir(exist_ok=True)
    (folder / "index.html").write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Listen</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{css}</style></head>'
        f"<body><main><h1>Report</h1>{section}</main>{''.join(f'<script>{s}</script>' for s in scripts)}</body></html>"
    )
    return got.manifest


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("player"))


@pytest.fixture(scope="module")
def site(made, tmp_path_factory):
    """(folder of the page, its manifest)"""
    folder = tmp_path_factory.mktemp("site")
    return folder, write_page(folder, *made[:2])


@pytest.fixture
def visit(browser, site):
    """Opens the page; at the end nothing may have been logged as an error, or asked of the network."""
    wrong, requests, contexts = [], [], []

    def go(folder=site[0], tap=False, expect=(), **options):
        context = browser.new_context(bypass_csp=tap, **options)
        contexts.append(context)
        page = context.new_page()
        if tap:
            page.add_init_script(TAP)
        page.on("console", lambda m: m.type in ("error", "warning") and wrong.append(m.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda r: requests.append(r.url))
        page.goto((folder / "index.html").as_uri())
        page.requests = requests
        go.expect = expect
        return page

    go.expect = ()
    yield go
    for context in contexts:
        context.close()
    assert [w for w in wrong if not any(e in w for e in go.expect)] == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


def until(page, expression):
    """Wait for something to become true; Playwright's own way needs eval, which the page's policy refuses."""
    for _ in range(600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"never true: {expression}; now {page.evaluate('codecbench.player.current')}")


def open_clip(page, clip):
    page.click(f"#listen-clips [data-clip='{clip.id}']")
    until(page, "codecbench.player.current === 'reference'")


def state(page, what):
    return page.evaluate(f"codecbench.player.{what}")


def of(manifest, mono=True):
    return next(clip for clip in manifest.clips if (clip.channels == 1) == mono)


def title(source):
    return f"{source.codec} {source.point}" if source.codec else "reference"


def flacs(folder, clip):
    text = (folder / clip.file).read_text()
    return [
        sf.read(io.BytesIO(base64.b64decode(b)), dtype="float32", always_2d=True)[0].T
        for b in json.loads(text[text.index("[") : text.rindex("]") + 1])
    ]


def test_nothing_is_loaded_before_a_clip_is_opened(visit, site):
    page = visit()
    assert len(page.requests) == 1
    assert state(page, "clip") is None
    open_clip(page, of(site[1]))
    assert [url.rpartition("/")[2] for url in page.requests] == ["index.html", f"{of(site[1]).id}.js"]


@pytest.mark.parametrize("mono", [True, False])
def test_decoded_samples_are_those_of_the_files(visit, site, mono):
    page, clip = visit(), of(site[1], mono)
    open_clip(page, clip)
    for index, wave in enumerate(flacs(site[0], clip)):
        for channel in range(len(wave)):
            got = page.evaluate(
                "([s, c]) => codecbench.player.buffer(s)"
                ".then((buffer) => Array.from(buffer.getChannelData(c).slice(5000, 15000)))",
                [index, channel],
            )
            # Chromium maps 32767 to 1, libsndfile 32768.
            np.testing.assert_allclose(got, wave[channel, 5000:15000], rtol=3.1e-5, atol=1e-6)
        assert page.evaluate(f"codecbench.player.buffer({index}).then((b) => b.length)") == wave.shape[1]


def test_switching_keeps_the_position_by_the_audio_clock(visit, site):
    page = visit()
    open_clip(page, of(site[1]))
    page.click("#listen-play")
    until(page, "codecbench.player.position > 0.4")
    both = "[codecbench.player.position, codecbench.player.clock]"
    for key, name in enumerate(map(title, of(site[1]).sources), 1):
        before = page.evaluate(both)
        page.keyboard.press(str(key))
        until(page, f"codecbench.player.current === '{name}'")
        after = page.evaluate(both)
        assert abs((after[0] - before[0]) - (after[1] - before[1])) < 0.03
        assert state(page, "playing")
        assert page.inner_text("#listen-now").startswith(f"Now: {name}")
        assert page.get_attribute(f"#listen-pins button >> nth={key - 1}", "aria-pressed") == "true"


def test_what_reaches_the_loudspeaker_goes_on_at_the_same_sample(visit, site):
    page, clip = visit(tap=True), of(site[1])
    open_clip(page, clip)
    until(page, "window.tapped")
    page.click("#listen-play")
    until(page, "codecbench.player.position > 0.8")
    page.keyboard.press("2")
    until(page, "codecbench.player.position > 1.6")
    page.keyboard.press(" ")
    page.wait_for_timeout(100)
    blocks = page.evaluate("heard")
    start = blocks[0][0]
    heard = np.zeros(blocks[-1][0] - start + 128)
    for frame, samples in blocks:
        heard[frame - start : frame - start + len(samples)] = samples
    waves = [wave[0] for wave in flacs(site[0], clip)]
    # The clip began somewhere in the record; from then on each sample is that of the first or of the second source.
    begin = int(np.flatnonzero(heard)[0])
    lag = max(range(-200, 201), key=lambda k: np.dot(heard[begin + 2000 : begin + 8000], waves[0][2000 + k : 8000 + k]))
    part = heard[begin - lag :] if begin >= lag else np.concatenate([np.zeros(lag - begin), heard])
    count = int(1.5 * clip.rate)
    first, second = (np.abs(part[:count] - wave[:count]) < 1e-4 for wave in waves[:2])
    fade = int(0.006 * clip.rate)
    at = int(np.flatnonzero(~first[200:])[0]) + 200
    assert 0.6 * clip.rate < at < 1.4 * clip.rate  # where it was switched
    assert first[200:at].all()
    assert second[at + fade : count].all()
    assert not first[at + fade : count].all()  # two sources that can be told apart
    # Within the fade it lies between them: no gap, no click.
    low, high = np.minimum(*waves[:2]), np.maximum(*waves[:2])
    inside = slice(at, at + fade)
    assert (part[inside] >= low[inside] - 1e-3).all()
    assert (part[inside] <= high[inside] + 1e-3).all()


def test_a_source_chosen_before_the_clip_has_loaded_stays_chosen(visit, site):
    page, clip = visit(), of(site[1])
    page.evaluate(
        """(id) => {
          document.querySelector(`#listen-clips [data-clip="${id}"]`).click();
          document.querySelectorAll("#listen-pins button")[2].click();
          document.getElementById("listen-play").click();
        }""",
        clip.id,
    )
    until(page, "codecbench.player.position > 0.3")
    assert state(page, "current") == title(clip.sources[2])
    page.wait_for_selector("#listen-spectrogram[data-whole=yes]")


def test_everything_works_by_keyboard_alone(visit, site):
    page, clip = visit(), of(site[1])

    def tab_to(selector):
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.matches({json.dumps(selector)})"):
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none"
                return
        raise AssertionError(f"{selector} cannot be reached by Tab")

    tab_to(f"[data-clip='{clip.id}']")
    page.keyboard.press("Enter")
    until(page, "codecbench.player.current === 'reference'")
    tab_to("#listen-play")
    page.keyboard.press("Space")  # once: the button's own action, and not the section's as well
    until(page, "codecbench.player.playing")
    page.keyboard.press("3")
    until(page, f"codecbench.player.current === '{clip.sources[2].codec} {clip.sources[2].point}'")
    tab_to("#listen-plot")
    page.keyboard.press("Space")
    assert not state(page, "playing")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    until(page, "codecbench.player.position === 1")
    assert page.get_attribute("#listen-plot", "aria-valuenow") == "1.00"
    page.keyboard.press("[")
    page.keyboard.press("ArrowRight")
    until(page, "codecbench.player.position === 2")
    page.keyboard.press("]")
    until(page, "String(codecbench.player.loop) === '1,2'")
    page.keyboard.press("l")
    assert state(page, "loop") is False
    page.keyboard.press("x")
    until(page, "codecbench.player.current === 'X'")
    tab_to("#listen-reveal")
    page.keyboard.press("Enter")
    assert page.inner_text("#listen-x-says").startswith("X was ")
    tab_to("#listen-codec")
    page.keyboard.press("4")  # is the select's own
    assert state(page, "current") in ("reference", f"{clip.sources[1].codec} {clip.sources[1].point}")


def test_a_dragged_region_loops(visit, site):
    page, clip = visit(), of(site[1])
    open_clip(page, clip)
    page.locator("#listen-plot").scroll_into_view_if_needed()
    box = page.locator("#listen-plot").bounding_box()
    middle = box["y"] + 30
    page.mouse.move(box["x"] + box["width"] * 0.2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.25, middle)
    page.mouse.move(box["x"] + box["width"] * 0.28, middle)
    page.mouse.up()
    until(page, "codecbench.player.loop")
    low, high = state(page, "loop")
    assert abs(low - 0.2 * clip.seconds) < 0.02
    assert abs(high - 0.28 * clip.seconds) < 0.02
    page.keyboard.press("2")
    page.click("#listen-play")
    began = state(page, "clock")
    seen = []
    while state(page, "clock") < began + 2.5 * (high - low):
        seen.append(state(page, "position"))
    assert state(page, "playing")
    assert min(seen) >= low - 1e-6
    assert max(seen) < high
    assert sum(b < a for a, b in pairwise(seen)) >= 2  # it came round
    page.click("#listen-clear")
    until(page, "codecbench.player.loop === false")
    page.mouse.click(box["x"] + box["width"] * 0.5, middle)  # and a click goes there
    until(page, f"Math.abs(codecbench.player.position - {0.5 * clip.seconds}) < 0.3")


def test_a_clip_that_ends_stops_and_starts_anew(visit, site):
    page, clip = visit(), of(site[1], mono=False)
    open_clip(page, clip)
    page.evaluate("document.getElementById('listen-player').focus()")
    page.keyboard.press("ArrowRight")
    until(page, "codecbench.player.position === 1")
    page.keyboard.press(" ")
    until(page, "codecbench.player.playing")
    until(page, "!codecbench.player.playing")
    assert state(page, "position") == 0
    assert page.inner_text("#listen-play") == "Play"


def test_x_is_hidden_until_it_is_told(visit, site):
    page, clip = visit(), of(site[1])
    open_clip(page, clip)
    page.select_option("#listen-a", "1")
    page.select_option("#listen-b", "3")
    names = [f"{clip.sources[i].codec} {clip.sources[i].point}" for i in (1, 3)]
    told, right = set(), 0
    for trial in range(1, 13):
        page.click("#listen-hear-x")
        until(page, "codecbench.player.current === 'X'")
        until(page, "document.getElementById('listen-now').textContent === 'Now: X'")
        shown = page.inner_text("#listen-player")
        assert "Scores are hidden" in shown
        assert page.locator("#listen-pins [aria-pressed=true]").count() == 0
        assert page.locator("#listen-hear-a[aria-pressed=true], #listen-hear-b[aria-pressed=true]").count() == 0
        page.click("#listen-is-a")
        says = page.inner_text("#listen-x-says")
        is_a = f"X was A, {names[0]}." in says
        assert is_a or f"X was B, {names[1]}." in says
        right += is_a
        assert says.startswith("Right" if is_a else "Wrong")
        assert says.endswith(f"{right} of {trial} right.")
        until(page, f"codecbench.player.current === '{names[0] if is_a else names[1]}'")
        told.add(is_a)
    assert told == {True, False}  # by chance equal in 1 of 2048 runs


def test_same_loudness_applies_the_gains(visit, site):
    page, clip = visit(), of(site[1])
    open_clip(page, clip)
    for key, source in enumerate(clip.sources, 1):
        page.keyboard.press(str(key))
        until(page, f"codecbench.player.current.startsWith('{source.codec or 'reference'}')")
        assert state(page, "gain") == 1
    page.check("#listen-match")
    for key, source in enumerate(clip.sources, 1):
        page.keyboard.press(str(key))
        until(page, f"codecbench.player.gain === {source.gain}")


def test_any_source_can_be_heard_and_put_on_a_key(visit, site):
    page, clip = visit(), of(site[1])
    open_clip(page, clip)
    page.select_option("#listen-codec", "pcm")
    page.click("#listen-hear")
    until(page, "codecbench.player.current === 'pcm 8'")
    assert page.inner_text("#listen-scores-of") == "pcm 8"
    cells = page.locator("#listen-scores-rows td").all_inner_texts()
    source = next(s for s in clip.sources if s.codec == "pcm")
    assert cells == [*source.scores, *source.means]
    page.select_option("#listen-key", "3")
    page.click("#listen-pin")
    page.keyboard.press("1")
    until(page, "codecbench.player.current === 'reference'")
    page.keyboard.press("3")
    until(page, "codecbench.player.current === 'pcm 8'")
    other = next(c for c in site[1].clips if c.channels == 1 and c.id != clip.id)
    open_clip(page, other)  # keys go along to other clips
    page.keyboard.press("3")
    until(page, "codecbench.player.current === 'pcm 8'")


def test_pictures_show_the_source_and_its_difference(visit, site):
    page, clip = visit(expect=("willReadFrequently",), viewport={"width": 1000, "height": 900}), of(site[1])
    open_clip(page, clip)

    def bands():
        """Mean brightness of the lower and the upper half of the spectrogram, and drawn pixels of the waveform."""
        page.wait_for_selector("#listen-spectrogram[data-whole=yes]")
        return page.evaluate(
            """() => {
              const get = (id) => { const c = document.getElementById(id);
                return [c.getContext("2d").getImageData(100, 0, c.width - 100, c.height), c.height]; };
              const [{ data, width }, height] = get("listen-spectrogram");
              const mean = (a, b) => { let s = 0;
                for (let i = a * width; i < b * width; i++) s += data[4 * i] + data[4 * i + 1];
                return s / ((b - a) * width); };
              const wave = get("listen-wave")[0].data; let drawn = 0;
              for (let i = 3; i < wave.length; i += 4) drawn += wave[i] > 0;
              return [mean(height >> 1, height - 20), mean(0, height >> 1), drawn];
            }"""
        )

    low, high, drawn = bands()
    assert low > high > 16  # speech: more below 4 kHz
    opus6 = next(i for i, s in enumerate(clip.sources) if (s.codec, s.point) == ("opus", "6"))
    page.keyboard.press(str(opus6 + 1))
    until(page, "codecbench.player.current === 'opus 6'")
    coded_low, coded_high, _ = bands()
    assert coded_high < 0.3 * high  # narrowband: Opus at 6 kbit/s
    assert coded_low > 0.5 * low
    page.check("#listen-difference")
    _, lost, less = bands()
    assert lost > 0.8 * high  # what it lost
    assert 0 < less < drawn
    page.keyboard.press("1")
    until(page, "codecbench.player.current === 'reference'")
    assert page.get_attribute("#listen-spectrogram", "data-whole") == ""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
def test_it_fits_and_axe_finds_nothing_serious(visit, site, scheme, width):
    page, clip = visit(color_scheme=scheme, viewport={"width": width, "height": 800}), of(site[1])
    open_clip(page, clip)
    page.keyboard.press("2")
    page.wait_for_selector("#listen-spectrogram[data-whole=yes]")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    axe = pytest.importorskip("axe_core_python.sync_playwright", reason="needs axe-core: pip install axe-core-python")
    found = axe.Axe().run(page, context="#listen")["violations"]
    assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found if v["impact"] in ("serious", "critical")] == []


def test_it_is_not_printed(visit):
    page = visit()
    page.emulate_media(media="print")
    assert not page.is_visible("#listen")


def test_a_hostile_name_stays_text(visit, site):
    page, clip = visit(), of(site[1], mono=False)
    open_clip(page, clip)
    assert page.inner_text("#listen-name") == HOSTILE
    assert page.locator("#listen img").count() == 0
    assert page.evaluate("window.hacked") is None


def test_a_page_in_a_single_file_needs_no_folder(visit, made, tmp_path):
    manifest = write_page(tmp_path / "single", *made[:2], single=True)
    assert [path.name for path in (tmp_path / "single").iterdir()] == ["index.html"]
    page, clip = visit(tmp_path / "single"), of(manifest)
    open_clip(page, clip)
    page.click("#listen-play")
    until(page, "codecbench.player.position > 0.2")
    assert len(page.requests) == 1


def test_audio_that_is_missing_or_no_flac_is_told(visit, site, tmp_path):
    folder, manifest = site
    shutil.copytree(folder, tmp_path / "copy")
    first, second = (clip for clip in manifest.clips if clip.channels == 1)
    (tmp_path / "copy" / first.file).unlink()
    bad = tmp_path / "copy" / second.file
    bad.write_text(f'codecbench.audio("{second.id}", {json.dumps([base64.b64encode(b"no audio").decode()] * 4)});')
    page = visit(tmp_path / "copy", expect=("ERR_FILE_NOT_FOUND",))
    page.click(f"[data-clip='{first.id}']")
    page.wait_for_selector("#listen-now.bad")
    assert page.inner_text("#listen-now").endswith(
        f"{first.file} cannot be loaded. Keep the folder audio beside the page."
    )
    page.click(f"[data-clip='{second.id}']")
    until(page, "document.getElementById('listen-now').textContent.includes('cannot decode')")
    open_clip(page, of(manifest, mono=False))  # and the others still play
    assert page.locator("#listen-now.bad").count() == 0


def test_other_parts_of_the_page_can_open_a_clip(visit, site):
    page, clip = visit(), of(site[1])
    assert page.evaluate(f"codecbench.listen('{clip.id}', 'opus', '12')") is True
    until(page, "codecbench.player.current === 'opus 12'")
    assert page.evaluate("codecbench.listen('0000000000000000')") is False


def test_a_page_without_audio_says_so(visit, made, tmp_path):
    write_page(tmp_path / "none", *made[:2], budget=1000)
    page = visit(tmp_path / "none")
    text = page.inner_text("#listen")
    assert "There is no audio of this run on this page." in text
    assert "3 more clips were chosen and are not here" in text
    assert page.evaluate("codecbench.listen('0000000000000000')") is False
