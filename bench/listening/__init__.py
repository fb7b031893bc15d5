"""Listening tests made from a run: MUSHRA (ITU-R BS.1534-3), ABX, and absolute category rating (ITU-T P.800).

`plan` chooses clips and codecs and draws each listener's order, `sound` makes what is heard, `server` and its page
let people listen, `store` keeps what they say, `results` counts it. For a report: `summary` and `correlation`.
"""

from __future__ import annotations

from .correlation import Correlation, correlation
from .results import Score, read, summary
from .store import FILE, METHODS

__all__ = ["FILE", "METHODS", "Correlation", "Score", "correlation", "read", "summary"]
