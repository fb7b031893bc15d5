"""AMR's octet-aligned frames (RFC 4867, section 4.4): a table-of-contents byte, then the speech bits, filled to a byte.

The speech bits alone are the payload, as in the modes' names: 253 bits in 20 ms are 12.65 kbit/s.
"""

from __future__ import annotations

from ._codec import CodecError


def speech_bits(name: str, data: bytes, table: tuple[int, ...]) -> int:
    """Payload bits of a frame; `table` has those of each frame type. Raises CodecError on what is no speech frame."""
    kind = data[0] >> 3 & 15
    if kind >= len(table) or len(data) != 1 + -(-table[kind] // 8):
        raise CodecError(f"{name}: the encoder gave a frame of type {kind} in {len(data)} bytes")
    return table[kind]
