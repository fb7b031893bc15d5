"""Hostile inputs: what a case is, and the page docs/hostile.md that is made of all cases.

`python tests/faults/hostile.py` writes the page anew; test_hostile_page.py fails where it is stale.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "hostile.md"
KINDS = ("audio", "manifest", "suite", "run_folder", "plugin")

HEAD = """\
# Hostile input

What happens when codecbench is given a file that is damaged, lies or is something else. A message names the file, what
is wrong and what to do; nothing is skipped in silence, nothing hangs, no traceback reaches the user. Every line is a
test: this page is written by `python tests/faults/hostile.py` from the tables of `tests/faults/test_hostile_*.py`.
"""


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes
    ----------
    name : what it is, unique in its table; the test's id.
    make : makes it in a folder; what it takes and gives is the table's matter.
    refused : regular expression that the message must match, None where the input is accepted.
    gives : where it is accepted: what it gives, asserted by the table's test.
    """

    name: str
    make: Callable[..., Any]
    refused: str | None = None
    gives: Any = None

    def __str__(self) -> str:
        return self.name


def table(module: Any) -> str:
    """The section of the page of one test module: its docstring, and a line a case."""
    lines = [f"## {module.TITLE}", "", module.ABOUT.strip(), "", "| input | what happens |", "|---|---|"]
    for case in module.CASES:
        gives = getattr(module, "GIVES", "{}").format(case.gives)
        what = f"refused: “{_plain(case.refused)}”" if case.refused else f"accepted: {gives}"
        line = f"| {case.name} | {what} |"
        lines.append("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line))
    return "\n".join(lines) + "\n"


def _plain(pattern: str) -> str:
    """A message's regular expression as a reader wants it."""
    return pattern.replace("\\", "").replace(".*", " … ").replace("|", "/").strip()


def page() -> str:
    """The whole page."""
    modules = []
    for kind in KINDS:
        path = Path(__file__).with_name(f"test_hostile_{kind}.py")
        spec = importlib.util.spec_from_file_location(f"hostile_{kind}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        modules.append(module)
    count = sum(len(module.CASES) for module in modules)
    return "\n".join([f"{HEAD}\n{count} inputs.\n", *map(table, modules)])


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    PAGE.write_text(page(), encoding="utf-8")
