"""How the codes of a neural codec travel, and the operating points that this gives.

Every packet holds the same number of bits, most significant bit first. A packet is the gain of its frame (a float32,
only of models that normalise), then the codes of the first stage in order of time, then those of the second, and so
on; the last byte is filled up with zeros. Nothing is entropy-coded: the bits are what the indices take,
ceil(log2(entries)) each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._codec import Packet, Point

Codes = NDArray[np.integer[Any]]
Gains = NDArray[np.float32]

GAIN_BITS = 32

CONTENT = ("speech", "music")


@dataclass(frozen=True)
class Layout:
    """The waveform that a model codes and what its packets hold.

    Attributes
    ----------
    rate, channels : of the waveform, Hz.
    frame : samples that a packet covers.
    entries : of each codebook.
    codes : codes a packet of each stage that the model has; a point uses the first stages.
    gains : a packet begins with the gain of its frame.
    causal : nothing after a packet's frame is needed to make it and to decode it.
    """

    rate: int
    frame: int
    entries: int
    codes: tuple[int, ...]
    channels: int = 1
    gains: bool = False
    causal: bool = True

    @property
    def code_bits(self) -> int:
        """Of one code."""
        return (self.entries - 1).bit_length()

    def packet_bits(self, stages: int) -> int:
        """Of a packet with so many stages."""
        return GAIN_BITS * self.gains + self.code_bits * sum(self.codes[:stages])

    def kbps(self, stages: int) -> float:
        """Exact bitrate with so many stages, kbit/s."""
        return self.packet_bits(stages) * self.rate / self.frame / 1000


def pack(layout: Layout, codes: Sequence[Codes], gains: Gains | None) -> tuple[Packet, ...]:
    """The packets.

    Parameters
    ----------
    codes : of each stage that is sent, 1-D in order of time, `layout.codes` of them a packet.
    gains : one a packet, None where the layout has none.
    """
    count = len(codes[0]) // layout.codes[0]
    columns = np.concatenate([stage.reshape(count, -1) for stage in codes], axis=1)
    places = np.arange(layout.code_bits - 1, -1, -1)
    bits = (columns[..., None].astype(np.int64) >> places & 1).astype(np.uint8).reshape(count, -1)
    if gains is not None:
        head = gains.astype(">f4").view(np.uint8).reshape(count, -1)
        bits = np.concatenate([np.unpackbits(head, axis=1), bits], axis=1)
    size = layout.packet_bits(len(codes))
    return tuple(Packet(row.tobytes(), size) for row in np.packbits(bits, axis=1))


def unpack(layout: Layout, packets: Sequence[Packet], stages: int) -> tuple[list[Codes], Gains | None]:
    """Inverse of `pack`; ValueError says which packet is damaged."""
    if not packets:
        raise ValueError("no packets")
    wanted = layout.packet_bits(stages)
    size = -(-wanted // 8)
    for number, packet in enumerate(packets):
        if len(packet.data) != size:
            raise ValueError(f"packet {number} has {len(packet.data)} bytes, not {size}")
    data = np.frombuffer(b"".join(packet.data for packet in packets), np.uint8).reshape(-1, size)
    bits = np.unpackbits(data, axis=1, count=wanted)
    gains = None
    if layout.gains:
        gains = data[:, : GAIN_BITS // 8].copy().view(">f4")[:, 0].astype(np.float32)
        bad = ~(np.isfinite(gains) & (gains >= 0))
        if bad.any():
            raise ValueError(f"packet {int(bad.argmax())} has a gain that is no positive number")
        bits = bits[:, GAIN_BITS:]
    fields = bits.reshape(len(data), -1, layout.code_bits).astype(np.int64)
    columns = fields @ (1 << np.arange(layout.code_bits - 1, -1, -1))
    bad = (columns >= layout.entries).any(axis=1)
    if bad.any():
        raise ValueError(f"packet {int(bad.argmax())} has a code beyond the {layout.entries} entries of a codebook")
    ends = np.cumsum(layout.codes[:stages])[:-1]
    return [stage.reshape(-1) for stage in np.split(columns, ends, axis=1)], gains


def point(layout: Layout, stages: int, label: str = "", content: tuple[str, ...] = CONTENT, **params: Any) -> Point:
    """The point with the first `stages` stages; labelled with its bitrate if with nothing else."""
    kbps = layout.kbps(stages)
    return Point(label or f"{kbps:.3g}", kbps, {"stages": stages, **params}, content=content)


def doubling(layout: Layout, least: int = 1) -> tuple[Point, ...]:
    """The points of a model that nobody chose points for: 1, 2, 4, ... stages, and all."""
    most = len(layout.codes)
    counts = sorted({most, *(n for n in (2**i for i in range(most.bit_length())) if least <= n <= most)})
    return tuple(point(layout, n) for n in counts)


def bandwidth_points(
    layout: Layout, frames: int, bandwidths: Sequence[float], content: tuple[str, ...] = CONTENT
) -> tuple[Point, ...]:
    """A point a target bandwidth, kbit/s; `frames` a second as the model counts them, rounded up."""
    return tuple(
        point(
            layout,
            max(1, math.floor(1000 * bandwidth / (frames * math.log2(layout.entries)))),
            f"{bandwidth:g}",
            content,
            bandwidth=bandwidth,
        )
        for bandwidth in bandwidths
    )
