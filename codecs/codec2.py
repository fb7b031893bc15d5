"""Codec2, the parametric speech codec of amateur radio, by libcodec2 through pycodec2."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bench.audio import Clip, from_pcm16, to_pcm16
from . import Codec, CodecError, Encoded, Packet, Point, register

# libcodec2's decoder draws phases from one generator a process that cannot be seeded: a second decoding of the same
# packets differs from the first. So each decoding has a process of its own, and depends on nothing but the packets.
_DECODE = """
import sys, pycodec2
codec, size, data = pycodec2.Codec2(int(sys.argv[1])), int(sys.argv[2]), sys.stdin.buffer.read()
for at in range(0, len(data), size):
    sys.stdout.buffer.write(codec.decode(data[at : at + size]).tobytes())
"""


class Codec2(Codec):
    """8 kHz mono; 20 ms frames at 3200 and 2400 bit/s, 40 ms at 1300 and 700C."""

    name = "codec2"
    family = "Codec2"
    licence = "LGPL-2.1"
    about = "parametric speech codec for very low rates, by libcodec2 (pycodec2)"
    rates = (8000,)
    parametric = True
    decode_route = "subprocess"
    points = (
        Point("3200", 3.2, {"mode": 3200, "bits": 64, "frame": 160}, content=("speech",)),
        Point("2400", 2.4, {"mode": 2400, "bits": 48, "frame": 160}, content=("speech",)),
        Point("1300", 1.3, {"mode": 1300, "bits": 52, "frame": 320}, content=("speech",)),
        Point("700C", 0.7, {"mode": 700, "bits": 28, "frame": 320}, content=("speech",)),
    )

    def encode(self, clip: Clip, point: Point) -> Encoded:
        self.check(clip, point)
        encoder = self._open(point)
        packets = (Packet(encoder.encode(block), point.params["bits"]) for block in self._blocks(clip, point))
        return Encoded(tuple(packets), clip.rate, clip.channels)

    def decode(self, encoded: Encoded, point: Point) -> Clip:
        import pycodec2

        size = -(-int(point.params["bits"]) // 8)
        for number, packet in enumerate(encoded.packets):
            if len(packet.data) != size:
                raise CodecError(f"codec2 {point.label}: packet {number} has {len(packet.data)} bytes, not {size}")
        try:
            done = subprocess.run(
                [sys.executable, "-c", _DECODE, str(point.params["mode"]), str(size)],
                input=b"".join(packet.data for packet in encoded.packets),
                capture_output=True,
                check=True,
                timeout=60 + len(encoded.packets) / 100,
                cwd=Path(pycodec2.__file__).parent.parent,
            )
        except subprocess.CalledProcessError as error:
            raise CodecError(f"codec2's decoder failed: {error.stderr.decode(errors='replace').strip()}") from error
        except subprocess.TimeoutExpired as error:
            raise CodecError(f"codec2's decoder did not end within {error.timeout:.0f} s") from error
        return Clip(from_pcm16(np.frombuffer(done.stdout, np.int16)[None, :]), encoded.rate)

    def frames(self, clip: Clip, point: Point) -> Iterator[object]:
        self.check(clip, point)
        encoder, decoder, blocks = self._open(point), self._open(point), self._blocks(clip, point)
        return (decoder.decode(encoder.encode(block)) for block in blocks)

    def _open(self, point: Point) -> Any:
        import pycodec2

        codec = pycodec2.Codec2(point.params["mode"])
        if (codec.bits_per_frame(), codec.samples_per_frame()) != (point.params["bits"], point.params["frame"]):
            raise CodecError(f"codec2 {point.label}: this libcodec2 has {codec.bits_per_frame()} bits a frame")
        return codec

    def _blocks(self, clip: Clip, point: Point) -> list[NDArray[np.int16]]:
        step = int(point.params["frame"])
        pcm = np.pad(to_pcm16(clip.samples[0]), (0, -clip.length % step))
        return list(pcm.reshape(-1, step))

    def delay(self, rate: int, point: Point) -> int:
        # The envelopes lag by 18 to 21 ms, and by 30 ms at 700C, which interpolates over 40 ms (medians over speakers).
        return 240 if point.label == "700C" else 160

    def frame(self, rate: int, point: Point) -> int:
        return int(point.params["frame"])

    def available(self) -> str | None:
        try:
            import pycodec2  # noqa: F401
        except ImportError as error:
            return f"pycodec2 cannot be imported ({error}); pip install pycodec2"
        return None

    def versions(self) -> dict[str, str]:
        from importlib.metadata import version

        return {"pycodec2": version("pycodec2")}


register(Codec2())
