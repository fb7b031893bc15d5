"""What a summary table is made of, as text: its lines, their cells, the metrics of its columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .numbers import MISSING


@dataclass(frozen=True)
class Cell:
    """A metric's mean at one point: texts of the value, the interval's half width and ends, and what is missing."""

    value: str
    half: str
    low: str
    high: str
    used: int
    total: int
    common: bool
    missing: str

    @property
    def interval(self) -> str:
        return "" if self.low == MISSING else f"[{self.low}, {self.high}]"


@dataclass(frozen=True)
class Line:
    """One operating point in the table of its content."""

    family: str
    kind: str
    codec: str
    point: str
    kbps: str
    cells: dict[str, Cell]
    encode_rtf: str
    decode_rtf: str
    gpu_rtf: tuple[str, str]
    delay_ms: str
    used: str
    gaps: str
    row: dict[str, Any]


@dataclass(frozen=True)
class Metric:
    name: str
    title: str
    digits: int
    higher_is_better: bool | None
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def heading(self) -> str:
        """Title, unit and an arrow to the better side."""
        unit = f" ({self.about['unit']})" if self.about.get("unit") else ""
        return f"{self.title}{unit}{self._arrow}"

    @property
    def heading_short(self) -> str:
        """Title and arrow, for where there is no room for a unit."""
        return f"{self.title}{self._arrow}"

    @property
    def _arrow(self) -> str:
        return "" if self.higher_is_better is None else " ↑" if self.higher_is_better else " ↓"
