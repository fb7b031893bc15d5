"""Text from files cannot command the terminal."""

from __future__ import annotations

import io

from codecbench.bench.cli._console import _Console
from rich.table import Table
from rich.text import Text

NAME = "\033[31mred\033]0;title\a\x9b2J\x7f"
SHOWN = "\\x1b[31mred\\x1b]0;title"


def printed(*things):
    file = io.StringIO()
    console = _Console(file=file, force_terminal=True, color_system=None, width=100)
    console.print(*things, markup=False)
    return file.getvalue()


def test_control_characters_are_shown_not_obeyed():
    table = Table("name")
    table.add_row(Text(f"{NAME} end"))
    for text in (printed(f"a\n{NAME}\tend"), printed(Text(f"{NAME} end")), printed(table)):
        assert SHOWN in text
        assert "end" in text  # nothing was cut off
        assert not set(text) & set("\033\a\x9b\x7f")


def test_other_text_is_as_it_was():
    text = "caf\xe9 \U0001f3b5 \u202e two\nlines"
    assert printed(text) == f"{text}\n"
