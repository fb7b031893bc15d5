"""ITU-T G.723.1 at 6.3 kbit/s (MP-MLQ) by FFmpeg, in frames of 30 ms.

A frame holds 189 bits of speech parameters; the two bits that tell its type and the one that fills 24 bytes are not
counted, as AMR's are not.
"""

from __future__ import annotations

from . import Point, register
from ._av import AvCodec


class G7231(AvCodec):
    """G.723.1, the higher of its rates, which is the one that FFmpeg encodes; no silence compression."""

    name = "g723_1"
    family = "G.723.1"
    licence = "LGPL-2.1-or-later (FFmpeg)"
    about = "ITU-T G.723.1 (FFmpeg)"
    encoder = decoder = "g723_1"
    rates = (8000,)
    points = (Point("6.3", 6.3, {"b": 6300}, content=("speech",)),)

    def settings(self, point: Point) -> dict[str, str]:
        return {"b": str(point.params["b"])}

    def payload_bits(self, data: bytes, point: Point) -> int:
        return 189

    def delay(self, rate: int, point: Point) -> int:
        return 60  # the look-ahead of 7.5 ms

    def frame(self, rate: int, point: Point) -> int:
        return 240


register(G7231())
