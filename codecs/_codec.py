"""The contract between the harness and a codec.

An adapter is one file that subclasses `Codec`, fills in the class attributes and three methods, and calls
`register(MyCodec())`. It does nothing but call the codec:

    encode(clip, point) -> Encoded      clip at one of the codec's native rates and channel counts
    decode(encoded, point) -> Clip      the raw decoder output, delay included, any length, any rate
    available() -> reason or None       why it cannot run here and how to get it; None if it can

**The harness, never the adapter**, resamples (soxr HQ) to the native rate and back, codes the channels of a
stereo clip apart where the codec is mono (and counts the bits of both), pads the end with `delay` samples and
up to a whole frame, removes the delay, trims to the reference's length and rounds to 16-bit PCM.

Rates. The native rate for a clip is the smallest of `point.rates or codec.rates` that is not below the
clip's rate, else the largest.

Bits. A packet's `bits` are the exact payload: what a transport must carry for the decoder to decode it, side
information counted, container and transport headers not. They may be fewer than `8 * len(data)` (AMR: 253 bits in
32 bytes). What is sent once for a stream (an extradata block, Vorbis codebooks) goes to `Encoded.setup` and is
reported apart. The bitrate is the sum of bits over the time that the packets cover: `len(packets) * frame` where
the frame is constant.

Delay. `delay(rate, point)` is how many samples the raw decoder's output lags behind the encoder's input, at the
native rate `rate`; `frame(rate, point)` is the frame length there, 0 where it varies. The algorithmic delay that
reports show is frame + delay.

State. `encode` and `decode` are pure: each call starts a fresh encoder or decoder, the same input gives the
same bytes, and an `Encoded` that was pickled decodes in another process. A damaged packet raises
`CodecError` or is concealed.

Timing. `encode_route` and `decode_route` say how the harness may time the calls: "inprocess" calls are timed
directly, "subprocess" calls by the slope over two lengths, which takes the program's start-up out. A codec that
can code frame by frame also offers `frames`, from which the per-frame latency is taken.

Identity. `config()` and `versions()` enter the cache key, with the source of the adapter's module: change one,
and the harness codes again. A user's program or checkpoint must enter `versions()` by its hash.

Weights. A codec whose weights do not ship names them in `model`; the harness fetches them (`bench models get`), the
adapter only asks where they are. One that can run weights of a user's own says so in `takes` and builds itself from
them in `with_weights`.

Tokens. A codec with codebooks gives back, in `tokens`, the codes that an `Encoded` carries; the harness counts them.
"""

from __future__ import annotations

import itertools
import json
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..bench.audio import Clip
from ..bench.models import Model

Route = Literal["inprocess", "subprocess"]


class CodecError(Exception):
    """The codec refused its input or failed; the message says what and, where possible, what to do."""


@dataclass(frozen=True)
class Point:
    """An operating point.

    Attributes
    ----------
    label : what users type and tables show, unique in a codec for each content, such as "12".
    kbps : the nominal bitrate in kbit/s, None where none is declared (Vorbis q-1, anchors).
    params : whatever the adapter needs to select it; part of the cache key.
    mode : "cbr" if every packet has the same number of bits.
    content : the kinds of clip it is meant for; the plan uses a point only on these.
    rates : native sample rates, if other than the codec's.
    """

    label: str
    kbps: float | None
    params: Mapping[str, Any] = field(default_factory=dict)
    mode: Literal["cbr", "vbr"] = "cbr"
    content: tuple[str, ...] = ("speech", "music")
    rates: tuple[int, ...] = ()


@dataclass(frozen=True)
class Packet:
    """One coded frame: its bytes and the exact number of payload bits."""

    data: bytes
    bits: int


_MAGIC = b"CBE1"


@dataclass(frozen=True)
class Encoded:
    """A coded clip: what the encoder sent, and what the decoder must know of the input's format.

    Attributes
    ----------
    packets : in order.
    rate, channels : of the clip that was encoded.
    setup : sent once before the packets (extradata); counted in `setup_bits`, not in the bitrate.
    """

    packets: tuple[Packet, ...]
    rate: int
    channels: int
    setup: bytes = b""

    @property
    def bits(self) -> int:
        """Payload bits of all packets."""
        return sum(packet.bits for packet in self.packets)

    @property
    def setup_bits(self) -> int:
        return 8 * len(self.setup)

    def to_bytes(self) -> bytes:
        """A self-contained byte string; `from_bytes` inverts it. For the cache, never for counting bits."""
        head = json.dumps(
            {
                "rate": self.rate,
                "channels": self.channels,
                "setup": len(self.setup),
                "packets": [[len(p.data), p.bits] for p in self.packets],
            },
            separators=(",", ":"),
        ).encode()
        return b"".join([_MAGIC, struct.pack("<I", len(head)), head, self.setup, *(p.data for p in self.packets)])

    @classmethod
    def from_bytes(cls, blob: bytes) -> Encoded:
        """Inverse of `to_bytes`; ValueError on anything else."""
        try:
            if blob[:4] != _MAGIC:
                raise ValueError("bad magic")
            (size,) = struct.unpack_from("<I", blob, 4)
            head = json.loads(blob[8 : 8 + size])
            numbers = [head["rate"], head["channels"], head["setup"], *itertools.chain(*head["packets"])]
            if not all(type(number) is int for number in numbers):
                raise ValueError("a number that is not whole")
            rate, channels, at = head["rate"], head["channels"], 8 + size + head["setup"]
            if rate < 1 or channels < 1 or head["setup"] < 0:
                raise ValueError(f"{rate} Hz, {channels} channels, {head['setup']} bytes of setup")
            setup, packets = blob[8 + size : at], []
            for length, bits in head["packets"]:
                if not 0 <= bits <= 8 * length or at + length > len(blob):
                    raise ValueError("cut short, or more bits than bytes")
                packets.append(Packet(blob[at : at + length], bits))
                at += length
            if at != len(blob):
                raise ValueError("trailing bytes")
            return cls(tuple(packets), rate, channels, setup)
        except (ValueError, KeyError, TypeError, struct.error, RecursionError) as error:
            raise ValueError(f"not an encoded clip: {error}") from error


@dataclass(frozen=True)
class Tokens:
    """The codes of a coded clip, stage by stage.

    Attributes
    ----------
    sizes : entries of each stage's codebook.
    codes : of each stage, 1-D, in order of time; stages may have different rates, so different lengths.
    """

    sizes: tuple[int, ...]
    codes: tuple[NDArray[np.integer[Any]], ...]


class Codec(ABC):
    """One codec, or one family of its settings. See the module's docstring for the contract."""

    #: what users type
    name: str
    #: heading in tables: codecs of one family are one curve
    family: str
    #: of the codec's implementation and, where it differs, its weights or patents
    licence: str
    #: one sentence: what it is and by which library
    about: str
    points: tuple[Point, ...]
    #: native sample rates, Hz, ascending
    rates: tuple[int, ...]
    #: channel counts that it codes as one stream
    channels: tuple[int, ...] = (1,)
    #: an anchor has no bitrate that could be compared
    kind: Literal["codec", "anchor"] = "codec"
    encode_route: Route = "inprocess"
    decode_route: Route = "inprocess"
    #: True for codecs that keep no waveform phase: delay is checked on envelopes, within 20 ms
    parametric: bool = False
    #: weights that do not ship, None if it needs none
    model: Model | None = None
    #: kinds of device it computes on, "cpu" or "cuda"; a run chooses one
    devices: tuple[str, ...] = ("cpu",)
    #: what users write before ":PATH" to run weights of their own, empty if it takes none
    takes: str = ""

    @abstractmethod
    def encode(self, clip: Clip, point: Point) -> Encoded:
        """Code a clip at a native rate. Raises CodecError."""

    @abstractmethod
    def decode(self, encoded: Encoded, point: Point) -> Clip:
        """The decoder's raw output, delay included. Raises CodecError."""

    @abstractmethod
    def delay(self, rate: int, point: Point) -> int:
        """Lag of the decoder's output behind the input, in samples at `rate`."""

    @abstractmethod
    def frame(self, rate: int, point: Point) -> int:
        """Samples a packet covers at `rate`; 0 where that varies."""

    def available(self) -> str | None:
        """None, or why the codec cannot run here and the command that mends it. Quick: called at start-up."""
        return None

    def versions(self) -> dict[str, str]:
        """Name and version of each library or program beneath."""
        return {}

    def note(self) -> str:
        """What a reader of its numbers must know, as one sentence without the codec's name; empty if nothing.

        Lists, tables and the page show it with the codec. Called only where the codec is available.
        """
        return ""

    def config(self) -> dict[str, Any]:
        """What distinguishes this instance beyond its class and points; part of the cache key."""
        return {}

    def frames(self, clip: Clip, point: Point) -> Iterator[object] | None:
        """Encode and decode frame by frame, one step a frame; None if the codec does not stream here.

        The harness times each step, so the iterator must do no other work.
        """
        return None

    def tokens(self, encoded: Encoded, point: Point) -> Tokens | None:
        """The codes that it carries; None if the codec has no codebooks. Raises CodecError."""
        return None

    def with_weights(self, path: Path) -> Codec:
        """A codec of its own, not registered, that runs the weights at `path`; its name is `takes`, a colon, the
        file's or folder's name, a hyphen and 8 hex digits of the weights' SHA-256. Raises CodecError."""
        raise CodecError(f"{self.name} takes no weights of your own")

    def point(self, label: str, content: str | None = None) -> Point:
        """The point with that label, for that content if given; KeyError names those there are."""
        for point in self.points:
            if point.label == label and (content is None or content in point.content):
                return point
        labels = ", ".join(dict.fromkeys(p.label for p in self.points))
        raise KeyError(f"{self.name} has no operating point {label!r}; there are: {labels}")

    def native_rate(self, rate: int, point: Point) -> int:
        """The sample rate at which the codec codes a clip of `rate` Hz."""
        rates = sorted(point.rates or self.rates)
        return next((r for r in rates if r >= rate), rates[-1])

    def check(self, clip: Clip, point: Point) -> None:
        """What every `encode` begins with: CodecError unless the clip is finite, at a native rate, with channels
        that the codec codes as one stream."""
        rates = point.rates or self.rates
        if clip.rate not in rates:
            raise CodecError(f"{self.name} {point.label} codes at {', '.join(map(str, rates))} Hz, not at {clip.rate}")
        if clip.channels not in self.channels:
            raise CodecError(f"{self.name} codes {' or '.join(map(str, self.channels))} channels, not {clip.channels}")
        if not np.isfinite(clip.samples).all():
            raise CodecError(f"{self.name} was given samples that are NaN or infinite")
