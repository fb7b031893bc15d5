"""AMR-NB (3GPP TS 26.090) by opencore-amr, without DTX."""

from __future__ import annotations

from . import Point, register
from ._amr import speech_bits
from ._av import AvCodec

#: speech bits of a 20 ms frame by frame type, TS 26.101 table 2
BITS = (95, 103, 118, 134, 148, 159, 204, 244)


class AmrNb(AvCodec):
    """AMR narrowband, encoder and decoder of opencore-amr."""

    name = "amr_nb"
    family = "AMR-NB"
    licence = "Apache-2.0 (opencore-amr); patents on AMR have mostly expired"
    about = "AMR narrowband (opencore-amr)"
    encoder = decoder = "libopencore_amrnb"
    rates = (8000,)
    points = tuple(Point(f"{b / 20:g}", b / 20, {"b": b * 50}, content=("speech",)) for b in (95, 159, 244))

    def settings(self, point: Point) -> dict[str, str]:
        return {"b": str(point.params["b"]), "dtx": "0"}

    def payload_bits(self, data: bytes, point: Point) -> int:
        return speech_bits(self.name, data, BITS)

    def delay(self, rate: int, point: Point) -> int:
        return 40

    def frame(self, rate: int, point: Point) -> int:
        return 160


register(AmrNb())
