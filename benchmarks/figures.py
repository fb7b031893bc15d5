"""Figures into the documentation: a table between two comments of a Markdown file."""

from __future__ import annotations

import re
from pathlib import Path


def fill(path: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- end of NAME -->`. ValueError where they are not there."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    old = path.read_text()
    new, count = re.subn(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}{text}\n{end}", old, flags=re.S)
    if count != 1:
        raise ValueError(f"{path} has {count} places for {name}, not one")
    path.write_text(new)
