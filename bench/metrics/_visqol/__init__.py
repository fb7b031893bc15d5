"""ViSQOL at parity with Google's C++, on the parts of visqol-python; see `scorer`."""

from __future__ import annotations

from .scorer import RATES, Mode, Reference, Scorer, scorer

__all__ = ["RATES", "Mode", "Reference", "Scorer", "scorer"]
