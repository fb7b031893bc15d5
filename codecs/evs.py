"""EVS (3GPP TS 26.445) by the reference programs of TS 26.443 or 26.442, which users bring themselves.

The programs' bitstream is ITU-T G.192; its bits are the payload. `-no_delay_cmp` has them show the codec's delay,
which they would else take away: 12 ms at 16 kHz and above (resampling 0.9375, look-ahead 8.75, bandwidth extension
2.3125) and 10.9375 ms at 8 kHz, so that frame and delay add up to the standard's 32 and 30.9 ms.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from ..bench.audio import Clip, from_pcm16, to_pcm16
from . import Codec, CodecError, Encoded, Packet, Point, _g192, register

BANDS = {8000: "NB", 16000: "WB", 32000: "SWB", 48000: "FB"}
#: program -> the variable that names it
PROGRAMS = {"EVS_cod": "CODECBENCH_EVS_COD", "EVS_dec": "CODECBENCH_EVS_DEC"}


def _point(kbps: float, *rates: int) -> Point:
    mean_only = kbps == 5.9  # source-controlled: a mean over active speech
    return Point(f"{kbps:g}", kbps, {"bps": round(kbps * 1000)}, mode="vbr" if mean_only else "cbr", rates=rates)


def _locate(program: str) -> str:
    """Path of a program. Raises CodecError that says how to get it."""
    variable = PROGRAMS[program]
    named = os.environ.get(variable)
    found = shutil.which(named or program)
    if found:
        return found
    if named:
        raise CodecError(f"{variable}={named} is not a program that can be run; correct it")
    raise CodecError(
        f"needs EVS's reference program {program}: build it from 3GPP TS 26.443 (www.3gpp.org), then put it on the "
        f"PATH or set {variable} to its path"
    )


@functools.cache
def _hash(path: str, changed: int) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


class Evs(Codec):
    """EVS primary modes, without DTX. The bandwidth follows the native rate: NB, WB, SWB, FB at 8, 16, 32, 48 kHz."""

    name = "evs"
    family = "EVS"
    licence = "3GPP reference code, for evaluation; EVS is patented"
    about = "3GPP Enhanced Voice Services, by the user's EVS_cod and EVS_dec"
    rates = (8000, 16000, 32000, 48000)
    encode_route = decode_route = "subprocess"
    # SWB from 9.6 kbit/s, FB from 16.4, NB up to 24.4 (TS 26.445)
    points = (
        _point(5.9, 8000, 16000),
        _point(7.2, 8000, 16000),
        _point(8, 8000, 16000),
        _point(9.6, 8000, 16000, 32000),
        _point(13.2, 8000, 16000, 32000),
        _point(16.4, 8000, 16000, 32000, 48000),
        _point(24.4, 8000, 16000, 32000, 48000),
        _point(48, 16000, 32000, 48000),
    )

    def encode(self, clip: Clip, point: Point) -> Encoded:
        self.check(clip, point)
        rate = str(clip.rate // 1000)
        options = ["-max_band", BANDS[clip.rate], str(point.params["bps"]), rate]
        step = self.frame(clip.rate, point)
        pcm = np.pad(to_pcm16(clip.samples[0]), (0, -clip.length % step))
        frames = _g192.parse(self._run("EVS_cod", options, pcm.astype("<i2").tobytes(), clip.seconds))
        if len(frames) != len(pcm) // step:
            raise CodecError(f"evs {point.label}: EVS_cod wrote {len(frames)} frames, not {len(pcm) // step}")
        for number, frame in enumerate(frames):
            if frame.lost or (point.mode == "cbr" and frame.count * 50 != point.params["bps"]):
                raise CodecError(f"evs {point.label}: EVS_cod wrote {frame.count} bits in frame {number}")
        return Encoded(tuple(Packet(frame.data, frame.count) for frame in frames), clip.rate, 1)

    def decode(self, encoded: Encoded, point: Point) -> Clip:
        stream = _g192.build(_g192.Frame(packet.data, packet.bits) for packet in encoded.packets)
        seconds = len(encoded.packets) / 50
        out = self._run("EVS_dec", [str(encoded.rate // 1000)], stream, seconds)
        expected = 2 * len(encoded.packets) * self.frame(encoded.rate, point)
        if len(out) != expected:
            raise CodecError(f"evs {point.label}: EVS_dec wrote {len(out)} bytes, not {expected}")
        return Clip(from_pcm16(np.frombuffer(out, "<i2").astype(np.int16)[None]), encoded.rate)

    def delay(self, rate: int, point: Point) -> int:
        return 87 if rate == 8000 else rate * 12 // 1000

    def frame(self, rate: int, point: Point) -> int:
        return rate // 50

    def available(self) -> str | None:
        try:
            for program in PROGRAMS:
                _locate(program)
        except CodecError as error:
            return str(error)
        return None

    def versions(self) -> dict[str, str]:
        if self.available():
            return {}
        paths = {program: _locate(program) for program in PROGRAMS}
        return {program: _hash(path, Path(path).stat().st_mtime_ns) for program, path in paths.items()}

    def _run(self, program: str, arguments: list[str], data: bytes, seconds: float) -> bytes:
        """Run a program on a file with `data`; what it writes."""
        limit = 60 + 20 * seconds
        with tempfile.TemporaryDirectory(prefix="evs-") as folder:
            source, target = Path(folder, "in"), Path(folder, "out")
            source.write_bytes(data)
            command = [_locate(program), "-q", "-no_delay_cmp", *arguments, str(source), str(target)]
            try:
                done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit)
            except subprocess.TimeoutExpired as error:
                raise CodecError(f"evs: {program} did not end within {limit:.0f} s and was stopped") from error
            except OSError as error:
                raise CodecError(f"evs: {command[0]} cannot be run: {error}") from error
            if done.returncode or not target.exists():
                said = (done.stderr + done.stdout).decode(errors="replace").strip()
                raise CodecError(f"evs: {program} failed (exit code {done.returncode}): {said[-500:]}")
            return target.read_bytes()


register(Evs())
