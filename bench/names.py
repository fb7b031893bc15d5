"""Names of files as text that can be stored, sorted and shown."""

from __future__ import annotations

import os


def printable(name: str | os.PathLike[str]) -> str:
    """A name or path as valid Unicode: bytes that are not UTF-8 become \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
