"""Vorbis (Xiph.Org Vorbis I): libvorbis by an ffmpeg program, FFmpeg's decoder by PyAV."""

from __future__ import annotations

from . import Point, register
from ._ffmpeg import FfmpegCodec


class Vorbis(FfmpegCodec):
    """Quality-controlled variable rate. The codebooks (some kilobytes, once a stream) are reported as setup."""

    name = "vorbis"
    family = "Vorbis"
    licence = "BSD-3-Clause"
    about = "Xiph's music codec (libvorbis), variable rate by quality"
    encoder = "libvorbis"
    decoder = "vorbis"
    container = "ogg"
    sends_setup = True
    rates = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000)
    channels = (1, 2)
    points = tuple(Point(f"q{q}", None, {"q": q}, mode="vbr") for q in (-1, 2, 5))

    def settings(self, point: Point) -> dict[str, str]:
        # The program drops `-q:a -1` in silence and codes at its default of 3. 118 is FF_QP2LAMBDA.
        return {"flags:a": "+qscale+bitexact", "global_quality:a": str(118 * point.params["q"])}

    def delay(self, rate: int, point: Point) -> int:
        return 0

    def frame(self, rate: int, point: Point) -> int:
        return 0


register(Vorbis())
