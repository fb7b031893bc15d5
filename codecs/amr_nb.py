"""AMR-NB (3GPP TS 26.090) by opencore-amr, without DTX.

FFmpeg's packets are octet-aligned frames (RFC 4867): a table-of-contents byte and the speech bits, filled up to a
byte. The speech bits alone are the payload, as in the modes' names: 244 bits in 20 ms are 12.2 kbit/s.
"""

from __future__ import annotations

from . import CodecError, Point, register
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
        kind = data[0] >> 3 & 15
        if kind >= len(BITS) or len(data) != 1 + -(-BITS[kind] // 8):
            raise CodecError(f"{self.name}: the encoder gave a frame of type {kind} in {len(data)} bytes")
        return BITS[kind]

    def delay(self, rate: int, point: Point) -> int:
        return 40

    def frame(self, rate: int, point: Point) -> int:
        return 160


register(AmrNb())
