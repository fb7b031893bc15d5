"""AAC-LC (ISO/IEC 14496-3) by FFmpeg's own encoder, average bitrate, perceptual noise substitution on (its default).

FFmpeg does not lower the sample rate where the bitrate is low, as other encoders do; the points' rates do it, for
mono speech and for stereo music, so that the encoder need not drop most of the band. High bitrates
have no low sample rates, where a frame cannot hold them (6144 bits a channel).
"""

from __future__ import annotations

from . import Point, register
from ._av import AvCodec

_WIDE = (16000, 22050, 24000, 32000, 44100, 48000)
_SPEECH = {16: (8000, 16000), 24: (8000, 16000, 24000), 32: (8000, 16000, 24000, 32000), 48: _WIDE, 64: _WIDE}
_MUSIC = {
    16: (8000, 12000),
    24: (8000, 16000),
    32: (16000,),
    48: (16000, 22050, 24000),
    64: (16000, 22050, 24000, 32000),
    128: (32000, 44100, 48000),
}


class Aac(AvCodec):
    """AAC-LC, raw access units without ADTS headers; the AudioSpecificConfig is sent once."""

    name = "aac"
    family = "AAC-LC"
    licence = "LGPL-2.1-or-later (FFmpeg); patents on AAC may apply"
    about = "AAC-LC at an average bitrate (FFmpeg's native encoder)"
    encoder = decoder = "aac"
    sample_format = "fltp"
    sends_setup = True
    rates = (8000, 12000, *_WIDE)
    channels = (1, 2)
    points = tuple(
        Point(str(kbps), float(kbps), {"b": kbps * 1000}, "vbr", (content,), rates)
        for content, table in (("speech", _SPEECH), ("music", _MUSIC))
        for kbps, rates in table.items()
    )

    def settings(self, point: Point) -> dict[str, str]:
        return {"b": str(point.params["b"])}

    def delay(self, rate: int, point: Point) -> int:
        return 1024

    def frame(self, rate: int, point: Point) -> int:
        return 1024


register(Aac())
