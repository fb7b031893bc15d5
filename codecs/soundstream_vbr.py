"""SoundStream at a variable bitrate: loud frames have more stages of its quantiser, pauses fewer.

Codes, weights and decoder are those of `soundstream`; how many stages a frame has is decided as it comes
(`soundstream/ratecontrol.py`). A packet is 10 bits a stage and nothing else: its length tells the number of stages, as
the length of an Opus packet tells the decoder where it ends. The label of a point is the mean that the control aims at
over the seconds before; tables show what was sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from . import CodecError, Encoded, Packet, Point, Tokens, register, soundstream
from .soundstream import SoundStream, bitstream

#: number of stages by the bytes of a packet
_OF_SIZE = {-(-bitstream.BITS * n // 8): n for n in range(bitstream.MIN_STAGES, bitstream.MAX_STAGES + 1)}


class SoundStreamVBR(SoundStream):
    """SoundStream with the packaged weights and a variable bitrate."""

    name = "soundstream-vbr"
    family = "SoundStream VBR"
    about = "soundstream with more stages for loud frames and fewer for pauses, at the same mean bitrate"
    takes = ""  # weights of one's own are compared at a constant bitrate
    # music has few pauses: the control would come to the constant bitrate, after seconds above it
    points = tuple(replace(soundstream.point(kbps), mode="vbr", content=("speech",)) for kbps in (3, 6, 9, 12))
    variable = True

    def _pack(self, codes: bitstream.Codes) -> tuple[Packet, ...]:
        counts = (codes != bitstream.ABSENT).sum(1).tolist()
        frames = zip(codes, counts, strict=True)
        return tuple(Packet(bitstream.pack(frame[None, :n]), bitstream.BITS * n) for frame, n in frames)

    def _unpack(self, packets: Sequence[Packet], point: Point) -> bitstream.Codes:
        codes = np.full((len(packets), bitstream.MAX_STAGES), bitstream.ABSENT, np.uint16)
        for number, packet in enumerate(packets):
            n = _OF_SIZE.get(len(packet.data))
            if n is None:
                raise CodecError(f"{self.name} {point.label}: packet {number} has {len(packet.data)} bytes")
            codes[number, :n] = bitstream.unpack(packet.data, n)[0]
        return codes

    def tokens(self, encoded: Encoded, point: Point) -> Tokens | None:
        return None  # a stage that only some frames have is no stream of tokens


register(SoundStreamVBR())
