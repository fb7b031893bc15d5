"""index.html: the run as one page that needs nothing but itself, and for its audio the folder beside it.

`templates/` has a file a section, `static/` the styles and scripts, all inlined. Whatever comes from a run is escaped
by Jinja2, in data blocks by `charts.block`. The page's content security policy allows the scripts that are in it, by
their hashes, and no request but for the audio beside it.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bench.bdrate import METHOD
from ..bench.listening.results import NOTE
from . import audio, charts, codebooks, verdict
from .analysis import analyses
from .listeners import listened
from .manifest import Package
from .markdown import NOT_COMMON
from .numbers import MISSING, number
from .panels import panels
from .styles import COLOURS, DARK
from .view import View

if TYPE_CHECKING:
    import jinja2

HERE = Path(__file__).parent
#: entries of a list of failures; the page says how many more there are
MOST = 200


def render(view: View, figures: Mapping[str, bytes], listen: Package | None = None, folder: Path | None = None) -> str:
    """The page.

    Parameters
    ----------
    figures : PNGs by content, for browsers without scripts.
    listen : audio, if the page has any.
    folder : of the run, if its listening tests are to be shown.
    """
    heard = {} if listen is None else {(c.corpus, c.clip): c.id for c in listen.manifest.clips}
    curves = charts.curves(view)
    items = charts.items(view, heard) if curves else []
    tokens = {content: lines for content in view.contents if (lines := view.token_lines(content))}
    found = panels(view, analyses(view))
    told, untold = listened(view, folder)
    scripts = [static("page.js"), static("table.js")]
    if curves:
        scripts += [*_bokeh(), static("charts.js"), *([static("scatter.js")] if items else [])]
    if heard:
        scripts += [static(name) for name in audio.SCRIPTS]
    return (
        environment()
        .get_template("page.html")
        .render(
            view=view,
            info=view.run.info,
            policy=_policy(scripts, beside=bool(heard) and not (listen and listen.blocks)),
            css="\n".join([_colours(), static("page.css"), *([static(audio.STYLE)] if listen else [])]),
            sections=_sections(
                view, bool(curves), bool(found), bool(items), listen is not None, bool(told or untold), bool(tokens)
            ),
            panels=found,
            gaps=gaps(view),
            charts=curves,
            legends={content: charts.legend(view, content) for content in view.contents},
            bd_method=METHOD,
            has_items=bool(items),
            heard=bool(heard),
            listen=listen,
            listened=told,
            untold=untold,
            listening_note=NOTE,
            figures={content: base64.b64encode(png).decode() for content, png in figures.items()},
            tokens=tokens,
            token_heads=codebooks.HEADS,
            stage_heads=codebooks.STAGE_HEADS,
            token_note=codebooks.NOTE,
            most=MOST,
            missing=MISSING,
            not_common=NOT_COMMON,
            blocks=_blocks(view, curves, items),
            scripts=scripts,
        )
    )


def gaps(view: View) -> list[str]:
    """What failed and what could not run, in sentences."""
    said = []
    if view.failed_results:
        said.append(f"{view.failed_results:,} of {len(view.frame):,} results failed: {view.failed_reasons}.")
    if view.unavailable:
        names = [c["codec"] for c in view.unavailable]
        said.append(f"Not available here, and so not in this run: {verdict.listed(names, 8)}.")
    return said


def _blocks(view: View, curves: list[dict[str, Any]], items: list[dict[str, Any]]) -> dict[str, str]:
    blocks = {"curves-data": charts.block({"charts": curves, "legend": charts.legend(view)})} if curves else {}
    return blocks | ({"items-data": charts.block(items)} if items else {})


def _sections(
    view: View, curves: bool, judged: bool, items: bool, listen: bool, told: bool, tokens: bool
) -> list[tuple[str, str]]:
    every = [
        ("verdict", "Verdict", True), ("curves", "Curves", curves), ("bdrate", "BD-rate", judged),
        ("ranking", "Ranking", judged), ("table", "Table", True), ("items", "Clips", items),
        ("listen", "Listen", listen), ("listeners", "Listeners", told), ("tokens", "Tokens", tokens),
        ("timing", "Timing", bool(view.timings)),
        ("checks", "Self-checks", True), ("failures", "Failures", True), ("unavailable", "Not available", True),
        ("method", "Method", True), ("licences", "Licences", True),
    ]  # fmt: skip
    return [(name, title) for name, title, there in every if there]


def environment() -> jinja2.Environment:
    """Of the templates: everything is escaped, and a missing value is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["pairs"] = _pairs
    environment.filters["number"] = number
    environment.filters["limit"] = _limit
    environment.filters["exact"] = _exact
    return environment


def static(name: str) -> str:
    """A style or script."""
    return (HERE / "static" / name).read_text(encoding="utf-8")


def _bokeh() -> list[str]:
    """BokehJS from the installed package; found without importing it."""
    spec = importlib.util.find_spec("bokeh")
    assert spec is not None, "bokeh is a dependency of codecbench"
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "server" / "static" / "js"
    return [(folder / name).read_text(encoding="utf-8") for name in ("bokeh.min.js", "bokeh-api.min.js")]


def _policy(scripts: list[str], beside: bool) -> str:
    """beside: scripts of the folder audio/ may be loaded."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    sources = " ".join([*(["'self'"] if beside else []), *(f"'sha256-{h}'" for h in hashes)])
    return (
        f"default-src 'none'; script-src {sources}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _colours() -> str:
    """Colours of the curves as properties of the page, on a light and on a dark ground."""
    light, dark = (" ".join(f"--c{i}: {colour};" for i, colour in enumerate(colours)) for colours in (COLOURS, DARK))
    return f":root {{ {light} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"


def _pairs(value: Any) -> list[tuple[str, str]]:
    """A dictionary of the store as rows; anything else as one row without a name."""
    items = value.items() if isinstance(value, dict) else [("", value)] if value is not None else []
    return [(str(key), "unknown" if v is None else str(v)) for key, v in items]


def _limit(value: Any) -> str:
    """An end of a metric's range."""
    if not isinstance(value, (int, float)):
        return MISSING
    return f"{value:g}".replace("-", "−").replace("inf", "∞")


def _exact(value: Any) -> str:
    """All digits of a number, as JavaScript reads them; empty where there is none."""
    if not isinstance(value, (int, float)) or math.isnan(value):
        return ""
    return repr(value).replace("inf", "Infinity")
