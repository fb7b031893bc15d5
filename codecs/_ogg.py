"""Writing of Ogg (RFC 3533), one packet a page: how packets are handed to a program that decodes them.

PyAV cannot write a stream whose encoder it lacks.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return table


_TABLE = _crc_table()


def _page(packet: bytes, flags: int, granule: int, number: int) -> bytes:
    lacing = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
    if len(lacing) > 255:
        raise ValueError(f"a packet of {len(packet)} bytes does not fit in one Ogg page")
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, 1, number, 0, len(lacing)) + lacing
    crc = 0
    for byte in head + packet:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _TABLE[crc >> 24 ^ byte]
    return head[:22] + struct.pack("<I", crc) + head[26:] + packet


def mux(header: bytes, packets: Sequence[bytes], frame: int) -> bytes:
    """An Ogg stream: the codec's header, an empty comment, and packets of `frame` samples each.

    ValueError if a packet is longer than 65024 bytes.
    """
    pages = [_page(header, 2, 0, 0), _page(bytes(8), 0, 0, 1)]  # the comment: no vendor, no entries
    for index, packet in enumerate(packets):
        last = 4 if index == len(packets) - 1 else 0
        pages.append(_page(packet, last, (index + 1) * frame, index + 2))
    return b"".join(pages)
