"""LC3, the Low Complexity Communication Codec of Bluetooth LE Audio, by Google's liblc3 through lc3py."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..bench.audio import Clip, from_pcm16, to_pcm16
from . import Codec, CodecError, Encoded, Packet, Point, register

FRAME_US = 10_000


class Lc3(Codec):
    """10 ms frames, constant rate. LC3 has no joint stereo: rates are a channel's, as in Bluetooth's settings."""

    name = "lc3"
    family = "LC3"
    licence = "Apache-2.0"
    about = "Bluetooth LE Audio's codec, 10 ms frames, by liblc3 (lc3py)"
    rates = (8000, 16000, 24000, 32000, 48000)
    points = tuple(Point(str(kbps), float(kbps), {"bytes": kbps * 10 // 8}) for kbps in (16, 32, 64))

    def encode(self, clip: Clip, point: Point) -> Encoded:
        import lc3

        self.check(clip, point)
        size = int(point.params["bytes"])
        encoder = lc3.Encoder(FRAME_US, clip.rate)
        packets = (Packet(encoder.encode(block, size, 16), 8 * size) for block in self._blocks(clip, point))
        return Encoded(tuple(packets), clip.rate, clip.channels)

    def decode(self, encoded: Encoded, point: Point) -> Clip:
        import lc3

        size = int(point.params["bytes"])
        decoder = lc3.Decoder(FRAME_US, encoded.rate)
        pcm = bytearray()
        for number, packet in enumerate(encoded.packets):
            if len(packet.data) != size:
                raise CodecError(f"lc3 {point.label}: packet {number} has {len(packet.data)} bytes, not {size}")
            pcm += decoder.decode(packet.data, 16)  # a damaged frame is concealed by the library
        return Clip(from_pcm16(np.frombuffer(bytes(pcm), np.int16)[None]), encoded.rate)

    def frames(self, clip: Clip, point: Point) -> Iterator[object]:
        import lc3

        self.check(clip, point)
        size = int(point.params["bytes"])
        encoder, decoder = lc3.Encoder(FRAME_US, clip.rate), lc3.Decoder(FRAME_US, clip.rate)
        return (decoder.decode(encoder.encode(block, size, 16), 16) for block in self._blocks(clip, point))

    def _blocks(self, clip: Clip, point: Point) -> list[bytes]:
        """The clip's frames as 16-bit PCM; lc3py fills up the last one."""
        pcm, step = to_pcm16(clip.samples[0]), self.frame(clip.rate, point)
        return [pcm[at : at + step].tobytes() for at in range(0, clip.length, step)]

    def delay(self, rate: int, point: Point) -> int:
        return rate // 400  # 2.5 ms

    def frame(self, rate: int, point: Point) -> int:
        return rate // 100

    def available(self) -> str | None:
        try:
            import lc3

            lc3.Encoder(FRAME_US, 16000)
        except Exception as error:
            return f"lc3py does not work here ({error}); pip install lc3py"
        return None

    def versions(self) -> dict[str, str]:
        from importlib.metadata import version

        return {"lc3py": version("lc3py")}


register(Lc3())
