"""LC3, the Low Complexity Communication Codec of Bluetooth LE Audio, by Google's liblc3 through lc3py."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..bench.audio import Clip, from_pcm16, to_pcm16
from . import Codec, CodecError, Encoded, Packet, Point, register

FRAME_US = 10_000
#: liblc3's smallest frame of a channel, bytes
SMALLEST = 20


class Lc3(Codec):
    """10 ms frames, constant rate; the rate of a stereo clip is shared by its two channels, coded apart."""

    name = "lc3"
    family = "LC3"
    licence = "Apache-2.0"
    about = "Bluetooth LE Audio's codec, 10 ms frames, by liblc3 (lc3py)"
    rates = (8000, 16000, 24000, 32000, 48000)
    channels = (1, 2)
    points = (
        Point("16", 16.0, content=("speech",)),
        Point("32", 32.0),
        Point("64", 64.0),
        Point("128", 128.0, content=("music",)),
    )

    def _bytes(self, point: Point, channels: int) -> int:
        size = round((point.kbps or 0) * FRAME_US / 8000)
        if size < SMALLEST * channels:
            raise CodecError(f"lc3 codes no less than 16 kbit/s a channel; {point.label} is too little for {channels}")
        return size

    def encode(self, clip: Clip, point: Point) -> Encoded:
        import lc3

        self.check(clip, point)
        size, step = self._bytes(point, clip.channels), self.frame(clip.rate, point)
        encoder = lc3.Encoder(FRAME_US, clip.rate, clip.channels)
        pcm = np.ascontiguousarray(to_pcm16(clip.samples).T)
        parts = (encoder.encode(pcm[at : at + step].tobytes(), size, 16) for at in range(0, clip.length, step))
        return Encoded(tuple(Packet(part, 8 * size) for part in parts), clip.rate, clip.channels)

    def decode(self, encoded: Encoded, point: Point) -> Clip:
        import lc3

        size = self._bytes(point, encoded.channels)
        decoder = lc3.Decoder(FRAME_US, encoded.rate, encoded.channels)
        pcm = bytearray()
        for number, packet in enumerate(encoded.packets):
            if len(packet.data) != size:
                raise CodecError(f"lc3 {point.label}: packet {number} has {len(packet.data)} bytes, not {size}")
            pcm += decoder.decode(packet.data, 16)  # a damaged frame is concealed by the library
        samples = np.frombuffer(bytes(pcm), np.int16).reshape(-1, encoded.channels).T
        return Clip(np.ascontiguousarray(from_pcm16(samples)), encoded.rate)

    def frames(self, clip: Clip, point: Point) -> Iterator[object]:
        import lc3

        self.check(clip, point)
        size, step = self._bytes(point, clip.channels), self.frame(clip.rate, point)
        encoder = lc3.Encoder(FRAME_US, clip.rate, clip.channels)
        decoder = lc3.Decoder(FRAME_US, clip.rate, clip.channels)
        pcm = np.ascontiguousarray(to_pcm16(clip.samples).T)
        blocks = [pcm[at : at + step].tobytes() for at in range(0, clip.length, step)]
        return (decoder.decode(encoder.encode(block, size, 16), 16) for block in blocks)

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
