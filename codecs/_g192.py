"""The ITU-T G.192 bitstream format, as the 3GPP reference programs write it: little-endian 16-bit words.

A frame is a sync word (0x6b21, or 0x6b20 for a frame that was lost), the number of bits, and one word a bit: 0x7f for
0, 0x81 for 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ._codec import CodecError

GOOD, LOST = 0x6B21, 0x6B20
ZERO, ONE = 0x7F, 0x81


@dataclass(frozen=True)
class Frame:
    """A frame: `count` bits in `data`, the first one highest, the last byte filled with zeros."""

    data: bytes
    count: int
    lost: bool = False


def parse(stream: bytes) -> list[Frame]:
    """All frames of a stream. Raises CodecError on anything that is not G.192, with the place."""
    if len(stream) % 2:
        raise CodecError(f"not a G.192 stream: {len(stream)} bytes are no whole 16-bit words")
    words = np.frombuffer(stream, "<u2")
    frames: list[Frame] = []
    at = 0
    while at < len(words):
        where = f"not a G.192 stream: frame {len(frames)} at byte {2 * at}"
        if words[at] not in (GOOD, LOST):
            raise CodecError(f"{where} begins with {int(words[at]):#06x}, not {GOOD:#06x} or {LOST:#06x}")
        if at + 1 == len(words):
            raise CodecError(f"{where} is cut short")
        count = int(words[at + 1])
        bits = words[at + 2 : at + 2 + count]
        if len(bits) < count:
            raise CodecError(f"{where} has {len(bits)} of {count} bits")
        ones = bits == ONE
        if not np.all(ones | (bits == ZERO)):
            raise CodecError(f"{where} has words that are no bits ({ZERO:#x} or {ONE:#x})")
        frames.append(Frame(np.packbits(ones).tobytes(), count, bool(words[at] == LOST)))
        at += 2 + count
    return frames


def build(frames: Iterable[Frame]) -> bytes:
    """Inverse of `parse`. Raises CodecError where a frame's bytes do not hold its number of bits."""
    parts = []
    for number, frame in enumerate(frames):
        if len(frame.data) != -(-frame.count // 8) or frame.count > 0xFFFF:
            raise CodecError(f"frame {number} has {len(frame.data)} bytes for {frame.count} bits")
        bits = np.unpackbits(np.frombuffer(frame.data, np.uint8), count=frame.count)
        head = np.array([LOST if frame.lost else GOOD, frame.count], "<u2")
        parts.append(head.tobytes() + np.where(bits, ONE, ZERO).astype("<u2").tobytes())
    return b"".join(parts)
