"""AMR-WB (3GPP TS 26.190, ITU-T G.722.2): vo-amrwbenc's encoder by an ffmpeg program, FFmpeg's decoder by PyAV.

EVS decodes AMR-WB's streams ("AMR-WB IO"), so it stands in EVS's company where EVS itself cannot run.
"""

from __future__ import annotations

from . import Point, register
from ._amr import speech_bits
from ._ffmpeg import FfmpegCodec

#: speech bits of a 20 ms frame by frame type, TS 26.201 table 2
BITS = (132, 177, 253, 285, 317, 365, 397, 461, 477)


class AmrWb(FfmpegCodec):
    """AMR wideband without DTX. The table-of-contents byte of the storage format is not payload."""

    name = "amr_wb"
    family = "EVS-style baseline"
    licence = "Apache-2.0 (vo-amrwbenc); patents on AMR-WB have mostly expired"
    about = "AMR wideband (vo-amrwbenc), interoperable with EVS's AMR-WB IO mode"
    encoder = "libvo_amrwbenc"
    decoder = "amrwb"
    container = "amr"
    rates = (16000,)
    points = tuple(Point(f"{b / 20:g}", b / 20, {"b": b * 50}, content=("speech",)) for b in (132, 177, 253, 317, 477))

    def settings(self, point: Point) -> dict[str, str]:
        return {"b:a": str(point.params["b"]), "dtx": "0"}

    def payload_bits(self, data: bytes, point: Point) -> int:
        return speech_bits(self.name, data, BITS)

    def delay(self, rate: int, point: Point) -> int:
        return 95

    def frame(self, rate: int, point: Point) -> int:
        return 320


register(AmrWb())
