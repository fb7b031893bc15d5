"""ITU-T G.711, mu-law and A-law: 8 bits a sample at 8 kHz, cut to packets of 20 ms."""

from __future__ import annotations

from typing import Literal

from . import Point, register
from ._av import AvCodec


class G711(AvCodec):
    """Logarithmic PCM of one of the two laws, by FFmpeg's tables."""

    family = "G.711"
    licence = "LGPL-2.1-or-later (FFmpeg)"
    rates = (8000,)
    points = (Point("64", 64.0, content=("speech",)),)

    def __init__(self, law: Literal["mulaw", "alaw"], title: str) -> None:
        self.name = f"g711_{law}"
        self.about = f"ITU-T G.711 {title} (FFmpeg)"
        self.encoder = self.decoder = f"pcm_{law}"

    def delay(self, rate: int, point: Point) -> int:
        return 0

    def frame(self, rate: int, point: Point) -> int:
        return 160


register(G711("mulaw", "mu-law"))
register(G711("alaw", "A-law"))
