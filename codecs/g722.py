"""ITU-T G.722 at 64 kbit/s (mode 1): two sub-bands of ADPCM at 16 kHz, by FFmpeg, in packets of 20 ms."""

from __future__ import annotations

from . import Point, register
from ._av import AvCodec


class G722(AvCodec):
    """G.722 without trellis search, FFmpeg's default."""

    name = "g722"
    family = "G.722"
    licence = "LGPL-2.1-or-later (FFmpeg)"
    about = "ITU-T G.722 wideband ADPCM (FFmpeg)"
    encoder = decoder = "g722"
    rates = (16000,)
    points = (Point("64", 64.0, content=("speech",)),)

    def delay(self, rate: int, point: Point) -> int:
        return 22  # of the two QMF banks

    def frame(self, rate: int, point: Point) -> int:
        return 320


register(G722())
