"""The container `.sstr`, version 3: a header of 27 bytes, then one packet a frame; docs/bitstream.md has it to the bit.

A packet holds 10 bits a stage, stage 0 first, most significant bit first: the stages of channel 0, then those of
channel 1. It ends with zero bits up to a whole byte, so every packet of a stream has one size and is parsed without the
others, and dropping the last stages of each gives a stream of the lower bitrate.

Codes are integers in [0, 1024), shape [frames, channels, stages] (or [frames, n] where the channels do not matter).
Nothing here allocates by what a header says: memory follows the bytes that are really there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .._codec import CodecError

Codes = NDArray[np.uint16]

MAGIC = b"SSTR"
VERSION = 3
#: samples a second, Hz, and samples a frame: version 3 knows no other
RATE = 24000
HOP = 320
#: samples by which the decoder's output is late: as many of its first are dropped, and two packets more bring the last
DELAY = 640
#: bits of one code, a frame, a stage
BITS = 10
#: in arrays of codes: a stage that its frame does not have, where the bitrate is variable
ABSENT = 0xFFFF
#: of a channel: the first two code the levels that all others refine or are weighted by
MIN_STAGES = 2
MAX_STAGES = 24
MAX_CHANNELS = 2
#: kbit/s of one stage of one channel
STAGE_KBPS = BITS * RATE / HOP / 1000

_FIELDS = struct.Struct(">4sBBBI8sQ")
HEADER_BYTES = _FIELDS.size
#: what the field "samples" holds in a stream that went to a pipe before its end was known
_UNKNOWN = 2**64 - 1
#: frames read at a time: a second
_BLOCK = 75


class BitstreamError(CodecError, ValueError):
    """Bytes that are no stream or not the stream wanted; the message says what is wrong."""


@dataclass(frozen=True)
class Header:
    """What stands before the packets.

    Attributes
    ----------
    model : 16 lower-case hex digits, the id of the weights that made the codes and are needed to decode them.
    stages : of the quantiser, for each channel, in [2, 24].
    channels : 1 or 2, coded apart.
    samples : of each channel at 24 kHz, so that the decoder trims what padded the last frame; None if unknown.

    Raises
    ------
    BitstreamError : a value out of range.
    """

    model: str
    stages: int
    channels: int = 1
    samples: int | None = None

    def __post_init__(self) -> None:
        if len(self.model) != 16 or set(self.model) - set("0123456789abcdef"):
            raise BitstreamError(f"a model id is 16 hex digits in lower case, not {self.model!r}")
        if not MIN_STAGES <= self.stages <= MAX_STAGES:
            raise BitstreamError(f"{self.stages} stages; a stream has {MIN_STAGES} to {MAX_STAGES}")
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise BitstreamError(f"{self.channels} channels; a stream has 1 or {MAX_CHANNELS}")
        if self.samples is not None and not 0 <= self.samples < _UNKNOWN:
            raise BitstreamError(f"{self.samples} samples; the field holds 0 to 2^64 - 2")

    @property
    def packet_bits(self) -> int:
        """Payload bits of a packet."""
        return BITS * self.stages * self.channels

    @property
    def packet_bytes(self) -> int:
        """Bytes of a packet, the padding counted."""
        return -(-self.packet_bits // 8)

    @property
    def packets(self) -> int | None:
        """How many packets follow; None if unknown."""
        return None if self.samples is None else -(-(self.samples + DELAY) // HOP)

    @property
    def kbps(self) -> float:
        """Payload bitrate, kbit/s, of all channels together."""
        return STAGE_KBPS * self.stages * self.channels

    def to_bytes(self) -> bytes:
        """The 27 bytes of the header."""
        samples = _UNKNOWN if self.samples is None else self.samples
        model = bytes.fromhex(self.model)
        return _FIELDS.pack(MAGIC, VERSION, self.channels, self.stages, RATE, model, samples)

    @classmethod
    def from_bytes(cls, data: bytes) -> Header:
        """Inverse of `to_bytes`. Raises BitstreamError."""
        if not data:
            raise BitstreamError("it is empty")
        if data[:4] != MAGIC[: len(data)]:
            raise BitstreamError(f"not a SoundStream stream: it begins with {data[:4]!r}, not with {MAGIC!r}")
        if data[4:5] in (b"\x01", b"\x02"):
            raise BitstreamError(
                f"version {data[4]} of the format: it needs an older codecbench and the weights that came with it"
            )
        if len(data) > 4 and data[4] != VERSION:
            raise BitstreamError(f"version {data[4]} of the format; this program reads version {VERSION}: update it")
        if len(data) < HEADER_BYTES:
            raise BitstreamError(f"cut in the header: {len(data)} bytes of {HEADER_BYTES}")
        _, _, channels, stages, rate, model, samples = _FIELDS.unpack(data[:HEADER_BYTES])
        if rate != RATE:
            raise BitstreamError(f"a sample rate of {rate} Hz; version {VERSION} has {RATE} Hz only")
        return cls(model.hex(), stages, channels, None if samples == _UNKNOWN else samples)

    def need(self, model: str) -> None:
        """BitstreamError unless the stream was made with the model of that id."""
        if model != self.model:
            raise BitstreamError(f"coded with the model {self.model}, which decoding needs; the model here is {model}")


def pack(codes: NDArray[np.integer]) -> bytes:
    """Codes [F, n] as F packets of ceil(10 n / 8) bytes. BitstreamError if one is not in [0, 1024)."""
    if codes.size and not 0 <= codes.min() <= codes.max() < 1 << BITS:
        raise BitstreamError(f"codes from {codes.min()} to {codes.max()}; a code has {BITS} bits")
    frames, n = codes.shape
    words = np.ascontiguousarray(codes, dtype=">u2").view(np.uint8).reshape(frames, n, 2)
    bits = np.unpackbits(words, axis=2)[:, :, 16 - BITS :]
    return np.packbits(bits.reshape(frames, n * BITS), axis=1).tobytes()


def unpack(data: bytes, n: int) -> Codes:
    """Inverse of `pack` for n codes a packet: [F, n]. BitstreamError unless `data` is whole packets.

    The padding is not looked at.
    """
    size = -(-BITS * n // 8)
    if len(data) % size:
        raise BitstreamError(f"{len(data)} bytes are no whole packets of {size}")
    frames = len(data) // size
    packets = np.frombuffer(data, np.uint8).reshape(frames, size)
    bits = np.unpackbits(packets, axis=1)[:, : BITS * n].reshape(frames, n, BITS)
    words = np.packbits(np.pad(bits, ((0, 0), (0, 0), (16 - BITS, 0))), axis=2)
    return words.reshape(frames, 2 * n).view(">u2").astype(np.uint16)


def write(file: BinaryIO, header: Header, blocks: Iterable[NDArray[np.integer]]) -> None:
    """Write a stream, block by block as codes come.

    Parameters
    ----------
    file : open for writing; not seeked.
    blocks : codes [f, channels, stages], any f.

    Raises
    ------
    BitstreamError : codes out of range or of another shape; other than `header.packets` frames in all.
    """
    file.write(header.to_bytes())
    frames = 0
    for block in blocks:
        if block.shape[1:] != (header.channels, header.stages):
            raise BitstreamError(f"codes {block.shape}, not [frames, {header.channels}, {header.stages}]")
        file.write(pack(block.reshape(len(block), header.channels * header.stages)))
        frames += len(block)
    if header.packets not in (None, frames):
        raise BitstreamError(f"{frames} frames for {header.samples} samples, which take {header.packets}")


def read(file: BinaryIO) -> tuple[Header, Iterator[Codes]]:
    """Read a stream, in memory that does not grow with it.

    Parameters
    ----------
    file : open for reading; a pipe will do. It is read as the blocks are asked for.

    Returns
    -------
    header, and the codes in blocks [f, channels, stages], f >= 1.

    Raises
    ------
    BitstreamError : at once for a bad header; from the iterator, after the last whole packet, where the stream ends
        inside a packet, ends before `samples` are complete, or goes on behind them.
    """
    header = Header.from_bytes(_read_exactly(file, HEADER_BYTES))
    return header, _blocks(file, header)


def _blocks(file: BinaryIO, header: Header) -> Iterator[Codes]:
    size, expected = header.packet_bytes, header.packets
    frames = 0
    while expected is None or frames < expected:
        wanted = _BLOCK if expected is None else min(_BLOCK, expected - frames)
        data = _read_exactly(file, wanted * size)
        whole = len(data) // size
        if whole:
            codes = unpack(data[: whole * size], header.channels * header.stages)
            yield codes.reshape(whole, header.channels, header.stages)
        frames += whole
        if len(data) < wanted * size:
            if expected is None and len(data) == whole * size:
                return
            of = "" if expected is None else f" of {expected}"
            raise BitstreamError(f"cut short: it ends after {frames} whole packets{of}")
    if file.read(1):
        raise BitstreamError(f"longer than it says: bytes follow its {expected} packets")


def _read_exactly(file: BinaryIO, size: int) -> bytes:
    """`size` bytes, fewer only at the end: one read of a pipe may give less than was asked for."""
    parts, missing = [], size
    while missing and (part := file.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def to_bytes(header: Header, codes: NDArray[np.integer]) -> bytes:
    """A whole stream from codes [F, channels, stages]. Raises BitstreamError as `write`."""
    file = BytesIO()
    write(file, header, [codes])
    return file.getvalue()


def from_bytes(data: bytes) -> tuple[Header, Codes]:
    """Inverse of `to_bytes`. Raises BitstreamError as `read`; nothing of a damaged stream is returned."""
    header, blocks = read(BytesIO(data))
    empty = np.zeros((0, header.channels, header.stages), np.uint16)
    return header, np.concatenate([empty, *blocks])


def lower(header: Header, stages: int) -> Header:
    """The header of the stream cut to `stages` stages. BitstreamError if the stream has fewer."""
    if stages > header.stages:
        raise BitstreamError(f"it has {header.stages} stages, so {stages} cannot be cut from it")
    return replace(header, stages=stages)


def truncate(data: bytes, stages: int) -> bytes:
    """A stream of the lower bitrate: the first codes of each packet. Raises BitstreamError."""
    header, codes = from_bytes(data)
    return to_bytes(lower(header, stages), codes[:, :, :stages])
