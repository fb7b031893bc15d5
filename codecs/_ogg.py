"""Writing of Ogg (RFC 3533): how packets are handed to a program that decodes them.

PyAV cannot write a stream whose encoder it lacks.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from ._codec import CodecError

#: each byte's bits in reverse
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _checksum(page: bytes) -> bytes:
    """Ogg's CRC, which is zlib's on mirrored bits without its inversions."""
    crc = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return crc.to_bytes(4, "big").translate(_REVERSED)


def _page(packets: Sequence[bytes], flags: int, granule: int, number: int) -> bytes:
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, 1, number, 0, len(lacing)) + lacing
    body = b"".join(packets)
    return head[:22] + _checksum(head + body) + head[26:] + body


def mux(header: bytes, packets: Sequence[bytes], frame: int) -> bytes:
    """An Ogg stream: the codec's header, an empty comment, and packets of `frame` samples each.

    CodecError if there is no packet, or one does not fit in a page, that is from 65025 bytes.
    """
    if not packets:
        raise CodecError("there are no packets")
    pages = [_page([header], 2, 0, 0), _page([bytes(8)], 0, 0, 1)]  # the comment: no vendor, no entries
    count = 255 // (max(map(len, packets)) // 255 + 1)  # a page has 255 segments of 255 bytes
    if not count:
        raise CodecError("a packet does not fit in an Ogg page")
    for start in range(0, len(packets), count):
        end = min(start + count, len(packets))
        last = 4 if end == len(packets) else 0
        pages.append(_page(packets[start:end], last, end * frame, len(pages)))
    return b"".join(pages)
