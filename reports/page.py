"""index.html: the run as one page that needs nothing but itself.

`page.html` is the template, `page.css` its style; figures are inlined. Whatever comes from a run is escaped by
Jinja2, and the page's content security policy allows no script and no request.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from . import codebooks
from .markdown import NOT_COMMON
from .numbers import MISSING, number
from .view import View


def render(view: View, figures: dict[str, bytes]) -> str:
    """The page; `figures` are PNGs by content."""
    import jinja2

    here = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(here),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["pairs"] = _pairs
    environment.filters["number"] = number
    environment.filters["limit"] = _limit
    return environment.get_template("page.html").render(
        view=view,
        info=view.run.info,
        css=(here / "page.css").read_text(encoding="utf-8"),
        figures={content: base64.b64encode(png).decode() for content, png in figures.items()},
        tokens={content: lines for content in view.contents if (lines := view.token_lines(content))},
        token_heads=codebooks.HEADS,
        stage_heads=codebooks.STAGE_HEADS,
        token_note=codebooks.NOTE,
        missing=MISSING,
        not_common=NOT_COMMON,
    )


def _pairs(value: Any) -> list[tuple[str, str]]:
    """A dictionary of the store as rows; anything else as one row without a name."""
    items = value.items() if isinstance(value, dict) else [("", value)] if value is not None else []
    return [(str(key), "unknown" if v is None else str(v)) for key, v in items]


def _limit(value: Any) -> str:
    """An end of a metric's range."""
    if not isinstance(value, (int, float)):
        return MISSING
    return f"{value:g}".replace("-", "−").replace("inf", "∞")
