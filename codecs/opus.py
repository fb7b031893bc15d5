"""Opus (RFC 6716) by libopus: constant and variable bitrate, and constant bitrate at the rates of EVS.

20 ms frames, complexity 10, no loss expected, no DTX. Application `voip` for speech, `audio` for music.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from . import Point, register
from ._av import AvCodec


def _points(rates: tuple[float, ...], vbr: str) -> tuple[Point, ...]:
    mode: Literal["cbr", "vbr"] = "cbr" if vbr == "off" else "vbr"
    made = []
    for kbps in rates:
        for content, application in (("speech", "voip"), ("music", "audio")):
            # Whole bytes: 9 kbit/s would be 22.5 bytes in 20 ms, and libopus sends 23.
            exact = round(kbps * 20 / 8 + 1e-6) * 8 / 20 if mode == "cbr" else kbps
            params = {"b": round(kbps * 1000), "application": application, "vbr": vbr}
            made.append(Point(f"{kbps:g}", exact, params, mode, (content,)))
    return tuple(made)


class Opus(AvCodec):
    """Opus with all settings at their default but those of the points."""

    licence = "BSD-3-Clause (libopus); royalty-free patent grants"
    encoder = decoder = "libopus"
    sample_format = "flt"
    libraries: ClassVar = {"libopus": ("libopus", "opus_get_version_string")}
    rates = (8000, 12000, 16000, 24000, 48000)
    channels = (1, 2)

    def __init__(self, name: str, family: str, about: str, points: tuple[Point, ...]) -> None:
        self.name = name
        self.family = family
        self.about = about
        self.points = points

    def settings(self, point: Point) -> dict[str, str]:
        fixed = {"compression_level": "10", "frame_duration": "20", "packet_loss": "0", "fec": "0"}
        return fixed | {name: str(value) for name, value in point.params.items()}

    def decoder_settings(self, point: Point) -> dict[str, str]:
        return {"request_sample_fmt": "flt"}

    def delay(self, rate: int, point: Point) -> int:
        # libopus says 312 at 48 kHz. Measured: SILK narrowband 316, wideband 309 to 310, hybrid 311, CELT 312. It stays
        # in narrowband under 9 kbit/s, of which constant bitrate loses a twelfth; above, modes may change in a clip.
        bitrate = point.params["b"]
        if bitrate < (10000 if point.mode == "cbr" else 9000) or rate == 8000:
            at_48k = 316
        else:
            at_48k = 310 if point.params["application"] == "voip" and bitrate < 30000 else 311
        return round(at_48k * rate / 48000)

    def frame(self, rate: int, point: Point) -> int:
        return rate // 50


_RATES = (6.0, 9.0, 12.0, 16.0, 24.0, 32.0, 64.0)
_EVS_RATES = (7.2, 8.0, 9.6, 13.2, 16.4, 24.4)

register(Opus("opus", "Opus CBR", "Opus at constant bitrate (libopus)", _points(_RATES, "off")))
register(Opus("opus_vbr", "Opus VBR", "Opus at variable bitrate (libopus)", _points(_RATES, "on")))
register(
    Opus(
        "opus_evs",
        "EVS-style baseline",
        "Opus at the exact constant bitrates of EVS (libopus); a stand-in, not EVS",
        _points(_EVS_RATES, "off"),
    )
)
