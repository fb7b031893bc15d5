"""One clip through one codec: everything around the adapter that makes codecs comparable.

reference -> resampled to the native rate -> padded -> coded -> decoded -> delay removed -> resampled back ->
trimmed -> 16-bit PCM. The decoded clip has the reference's rate, channels and length, to the sample.

The decoded clip is rounded to 16-bit PCM whatever the decoder gave, since that is what a listener's WAV holds and
what the cache keeps: a score is the same whether the clip was decoded now or read back.
"""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass

import numpy as np

from ..codecs import Codec, CodecError, Encoded, Point
from .audio import Clip, from_pcm16, resample, to_pcm16


@dataclass(frozen=True)
class Stream:
    """What was sent for a clip: one `Encoded` a group of channels that the codec codes together.

    Attributes
    ----------
    seconds : the time that the packets cover; the bitrate's denominator.
    """

    parts: tuple[Encoded, ...]
    seconds: float

    @property
    def bits(self) -> int:
        """Payload bits of all channels."""
        return sum(part.bits for part in self.parts)

    @property
    def setup_bits(self) -> int:
        """Bits sent once before the packets."""
        return sum(part.setup_bits for part in self.parts)

    @property
    def kbps(self) -> float:
        """Measured bitrate: payload bits over the time the packets cover, kbit/s."""
        return self.bits / self.seconds / 1000

    def to_bytes(self) -> bytes:
        """For the cache; `from_bytes` inverts it."""
        parts = [part.to_bytes() for part in self.parts]
        head = json.dumps({"seconds": self.seconds, "parts": [len(part) for part in parts]})
        return b"\n".join([head.encode(), b"".join(parts)])

    @classmethod
    def from_bytes(cls, blob: bytes) -> Stream | None:
        """Inverse of `to_bytes`; None if the bytes are damaged."""
        try:
            line, _, rest = blob.partition(b"\n")
            head = json.loads(line)
            ends = list(itertools.accumulate(head["parts"], initial=0))
            parts = [rest[start:end] for start, end in itertools.pairwise(ends)]
            seconds = float(head["seconds"])
            if ends[-1] != len(rest) or not 0 < seconds < math.inf:
                return None
            return cls(tuple(Encoded.from_bytes(part) for part in parts), seconds)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None


def channel_groups(codec: Codec, channels: int) -> list[slice]:
    """How a clip's channels are coded: together where the codec can, else each apart."""
    if channels in codec.channels:
        return [slice(0, channels)]
    if channels == 2 and 1 in codec.channels:
        return [slice(0, 1), slice(1, 2)]
    if channels == 1 and 2 in codec.channels:
        raise CodecError(f"{codec.name} codes stereo only and the clip is mono")
    raise CodecError(f"the clip has {channels} channels; codecs here are compared on mono and stereo clips")


def prepare(codec: Codec, point: Point, reference: Clip) -> Clip:
    """The encoder's input: at the native rate, padded by the delay and up to a whole frame."""
    native = resample(reference, codec.native_rate(reference.rate, point))
    delay, frame = codec.delay(native.rate, point), codec.frame(native.rate, point)
    length = native.length + delay
    if frame:
        length = -(-length // frame) * frame
    return Clip(np.pad(native.samples, ((0, 0), (0, length - native.length))), native.rate)


def encode(codec: Codec, point: Point, reference: Clip) -> Stream:
    """Code a clip. Raises CodecError."""
    native = prepare(codec, point, reference)
    parts = []
    for group in channel_groups(codec, native.channels):
        encoded = codec.encode(Clip(native.samples[group], native.rate), point)
        if not encoded.packets:
            raise CodecError(f"{codec.name} made no packet of {native.seconds:.3f} s of audio")
        for packet in encoded.packets:
            if not 0 <= packet.bits <= 8 * len(packet.data):
                raise CodecError(f"{codec.name} declares {packet.bits} bits for {len(packet.data)} bytes")
        parts.append(encoded)
    frame = codec.frame(native.rate, point)
    covered = max(len(part.packets) for part in parts) * frame if frame else native.length
    return Stream(tuple(parts), covered / native.rate)


def decode(codec: Codec, point: Point, stream: Stream, reference: Clip) -> Clip:
    """Decode to the reference's rate and length, in time with it. Raises CodecError."""
    outputs = []
    for part in stream.parts:
        raw = codec.decode(part, point)
        if not np.isfinite(raw.samples).all():
            raise CodecError(f"{codec.name} decoded to samples that are NaN or infinite")
        if raw.channels != part.channels:
            raise CodecError(f"{codec.name} decoded {raw.channels} channels of {part.channels}")
        delay = codec.delay(part.rate, point)
        # The delay is declared at the native rate; a decoder with a rate of its own (Opus: 48 kHz) scales it.
        scaled = delay * raw.rate
        if scaled % part.rate:
            raw = resample(raw, part.rate)
            scaled = delay * part.rate
        start = scaled // part.rate
        aligned = resample(Clip(np.ascontiguousarray(raw.samples[:, start:]), raw.rate), reference.rate)
        missing = reference.length - aligned.length
        # A decoder may hold back the last frame of a stream; more than that is a lost packet.
        allowed = round(max(codec.frame(part.rate, point) / part.rate, 0.002) * reference.rate) + 1
        if missing > allowed:
            raise CodecError(f"{codec.name} decoded {missing / reference.rate:.3f} s less than it was given")
        outputs.append(np.pad(aligned.samples[:, : reference.length], ((0, 0), (0, max(0, missing)))))
    return Clip(from_pcm16(to_pcm16(np.concatenate(outputs))), reference.rate)


def code(codec: Codec, point: Point, reference: Clip) -> tuple[Stream, Clip]:
    """`encode`, then `decode`."""
    stream = encode(codec, point, reference)
    return stream, decode(codec, point, stream, reference)
