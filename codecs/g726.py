"""ITU-T G.726: ADPCM of 2 to 5 bits a sample at 8 kHz, by FFmpeg.

FFmpeg's encoder wants blocks of up to half a second; the codec itself works sample by sample. So its output, one
unbroken bit stream, is cut here to packets of 20 ms, and no frame latency is offered.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..bench.audio import Clip
from . import Encoded, Point, register
from ._av import AvCodec


class G726(AvCodec):
    """G.726 at its four rates."""

    name = "g726"
    family = "G.726"
    licence = "LGPL-2.1-or-later (FFmpeg)"
    about = "ITU-T G.726 ADPCM (FFmpeg)"
    encoder = decoder = "g726"
    rates = (8000,)
    points = tuple(Point(str(8 * n), 8.0 * n, {"code_size": n}, content=("speech",)) for n in (2, 3, 4, 5))

    def settings(self, point: Point) -> dict[str, str]:
        return {"code_size": str(point.params["code_size"]), "b": str(8000 * point.params["code_size"])}

    def decoder_settings(self, point: Point) -> dict[str, str]:
        return {"bits_per_coded_sample": str(point.params["code_size"])}

    def encode(self, clip: Clip, point: Point) -> Encoded:
        blocks = super().encode(clip, point)
        stream = b"".join(packet.data for packet in blocks.packets)
        size = self.frame(clip.rate, point) * point.params["code_size"] // 8
        return self._pack([stream[i : i + size] for i in range(0, len(stream), size)], clip, point, b"")

    def frames(self, clip: Clip, point: Point) -> Iterator[object] | None:
        return None

    def delay(self, rate: int, point: Point) -> int:
        return 0

    def frame(self, rate: int, point: Point) -> int:
        return 160


register(G726())
