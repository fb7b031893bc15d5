"""Kinds of arguments that several commands take."""

from __future__ import annotations

import argparse
from pathlib import Path


def positive(text: str) -> int:
    """A whole number of at least 1, for `type=` of argparse."""
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")


def seconds(text: str) -> float:
    """A number of seconds above 0, for `type=` of argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if 0 < value < 1e9:
        return value
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")


def names(text: str) -> list[str]:
    """What stands between the commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def add_jobs(parser: argparse._ActionsContainer) -> None:
    """--jobs N, None where it is not given."""
    parser.add_argument("--jobs", type=positive, metavar="N", help="worker processes (the machine's physical cores)")


def add_codec_modules(parser: argparse._ActionsContainer) -> None:
    """--codec-module FILE, any number of them: `codec_module` is a list of paths."""
    parser.add_argument(
        "--codec-module", action="append", type=Path, default=[], metavar="FILE", help="a codec adapter"
    )


def add_runs_and_page(parser: argparse.ArgumentParser, page: str) -> None:
    """RUN folders, and where the page goes that is made of them, by default the file `page`."""
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="a run folder")
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path(page),
        metavar="FILE|DIR",
        help="a file that ends in .html, or a folder for index.html (%(default)s)",
    )
