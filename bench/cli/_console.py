"""Where commands write: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

#: control characters but line end and tab -> \xNN: names come from files, and a terminal obeys what they hold
_VISIBLE = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))}


class _Console(Console):
    """Rich's console, in which text cannot command the terminal."""

    _within = threading.local()

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        if getattr(self._within, "render", False):  # what is part of it: a text that grew would be cut to its cell
            yield from super().render(renderable, options)
            return
        self._within.render = True
        try:
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control or text.isprintable() else text.translate(_VISIBLE), style, control)
        finally:
            self._within.render = False


#: results, and nothing else; a pipe has no width, so tables get one that holds them
out = _Console(highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 140)
#: progress, notes, errors
err = _Console(stderr=True, highlight=False, soft_wrap=True)


def emit_json(obj: Any) -> None:
    """Print an object as JSON on stdout; NaN becomes null, since JSON has none."""
    json.dump(_plain(obj), sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


def _plain(obj: Any) -> Any:
    if isinstance(obj, dict):
        return {str(key): _plain(value) for key, value in obj.items()}
    if isinstance(obj, (list, tuple)):
        return [_plain(value) for value in obj]
    if isinstance(obj, float) and obj != obj:
        return None
    if isinstance(obj, float) and obj in (float("inf"), float("-inf")):
        return str(obj)
    return obj
