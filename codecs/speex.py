"""Speex (RFC 5574): libspeex in an ffmpeg program, for both ways: FFmpeg's own decoder fails on wideband."""

from __future__ import annotations

from . import Point, register
from ._ffmpeg import FfmpegCodec


class Speex(FfmpegCodec):
    """Constant rate; the last byte of a packet is filled up, as in RTP, and counted."""

    licence = "BSD-3-Clause"
    encoder = decoder = "libspeex"
    container = "ogg"
    sends_setup = True
    program_decodes = True
    decode_route = "subprocess"

    def settings(self, point: Point) -> dict[str, str]:
        return {"b:a": str(point.params["b"])}

    def frame(self, rate: int, point: Point) -> int:
        return rate // 50


class SpeexNb(Speex):
    """Narrowband."""

    name = "speex_nb"
    family = "Speex NB"
    about = "Xiph's CELP codec, narrowband (libspeex)"
    rates = (8000,)
    points = tuple(Point(f"{b / 1000:g}", b / 1000, {"b": b}, content=("speech",)) for b in (8000, 15200))

    def delay(self, rate: int, point: Point) -> int:
        return 80


class SpeexWb(Speex):
    """Wideband: two sub-bands."""

    name = "speex_wb"
    family = "Speex WB"
    about = "Xiph's CELP codec, wideband (libspeex)"
    rates = (16000,)
    points = tuple(Point(f"{b / 1000:g}", b / 1000, {"b": b}, content=("speech",)) for b in (10000, 12800, 24000))

    def delay(self, rate: int, point: Point) -> int:
        return 223


register(SpeexNb())
register(SpeexWb())
