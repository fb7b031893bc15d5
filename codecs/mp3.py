"""MP3 (MPEG-1/2 Layer III, ISO/IEC 11172-3 and 13818-3) by LAME, constant bitrate with bit reservoir.

Every packet has the same size at sample rates that are multiples of 8 kHz; at 44.1 kHz a padding byte comes and
goes. So 44.1 kHz is not declared, and such clips are coded at 48 kHz. What a frame decodes from may lie in the
packets before it (the bit reservoir), which the size of the packets does not show and the bitrate does not change.

LAME, left alone, lowers the sample rate where the bitrate is low; the points' rates follow its choice for mono
speech and for stereo music (`optimum_samplefreq` in lame.c of LAME 3.100).
"""

from __future__ import annotations

from typing import ClassVar

from . import Point, register
from ._av import AvCodec

_SPEECH = {16: (8000, 16000), 32: (8000, 16000, 24000), 64: (8000, 16000, 24000, 32000, 48000)}
_MUSIC = {16: (8000,), 32: (8000, 16000), 64: (16000, 24000), 128: (32000, 48000)}


class Mp3(AvCodec):
    """MP3 by LAME at its default quality; joint stereo."""

    name = "mp3"
    family = "MP3"
    licence = "LGPL-2.0-or-later (LAME); patents expired in 2017"
    about = "MP3 at constant bitrate (LAME)"
    encoder = "libmp3lame"
    decoder = "mp3float"
    sample_format = "fltp"
    libraries: ClassVar = {"lame": ("libmp3lame", "get_lame_version")}
    rates = (8000, 16000, 24000, 32000, 48000)
    channels = (1, 2)
    points = tuple(
        Point(str(kbps), float(kbps), {"b": kbps * 1000}, "cbr", (content,), rates)
        for content, table in (("speech", _SPEECH), ("music", _MUSIC))
        for kbps, rates in table.items()
    )

    def settings(self, point: Point) -> dict[str, str]:
        return {"b": str(point.params["b"])}

    def delay(self, rate: int, point: Point) -> int:
        return 1105  # 576 of the encoder, 529 of the decoder's filter bank

    def frame(self, rate: int, point: Point) -> int:
        return 1152 if rate >= 32000 else 576


register(Mp3())
