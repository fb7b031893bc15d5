"""What a worker is doing, in memory that the driver sees: telling it wakes nobody."""

from __future__ import annotations

import ctypes
import time
from typing import Any

_BYTES = 400


class Board:
    """Written by one worker, read by the driver; `context` is that of the worker's process."""

    def __init__(self, context: Any) -> None:
        self._stage = context.RawArray(ctypes.c_char, _BYTES)
        self._since = context.RawValue(ctypes.c_double, 0.0)

    def write(self, stage: str) -> None:
        """A stage begins."""
        # A name is cut between characters, and its end is a zero byte.
        self._stage.value = stage.encode(errors="replace")[: _BYTES - 1].decode(errors="ignore").encode()
        self._since.value = time.monotonic()  # the machine's clock, the same for all processes

    @property
    def stage(self) -> str:
        """The stage that began last, empty if none has."""
        return bytes(self._stage.value).decode(errors="replace")

    @property
    def since(self) -> float:
        """When it began, by time.monotonic."""
        return float(self._since.value)
