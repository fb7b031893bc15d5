"""The part of the conformance kit that a bad adapter could hang or crash in: in a fresh process, with a time limit."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection

import numpy as np

from ..codecs import Codec, CodecError, Encoded, Packet, Point, registry
from ..codecs._load import load, loaded
from .audio import Clip

#: seconds for all of it; a codec needs one or two
LIMIT = 60.0

Outcome = tuple[str, bool, str]


def run_isolated(codec: Codec, point: Point, clip: Clip) -> list[Outcome]:
    """Decode in another process what was coded here, then damaged packets; (check, passed, detail) of each."""
    try:
        encoded = codec.encode(clip, point)
        expected = codec.decode(encoded, point)
    except Exception as error:
        return [("other process", False, f"{type(error).__name__}: {error}")]
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    index = codec.points.index(point)
    args = (sender, [*loaded], codec.name, index, clip.samples, encoded.to_bytes(), expected.samples)
    process = context.Process(target=_child, args=args, daemon=True)
    process.start()
    sender.close()
    outcomes: list[Outcome] = []
    doing = "other process"
    try:
        while receiver.poll(LIMIT):
            message = receiver.recv()
            if isinstance(message, str):
                doing = message
            else:
                outcomes.append(message)
        outcomes.append((doing, False, f"did not return within {LIMIT:.0f} s"))
    except EOFError:
        process.join(10)
        if process.exitcode != 0:
            outcomes.append((doing, False, f"the process died with exit code {process.exitcode}"))
    finally:
        process.kill()
        process.join()
        receiver.close()
    return outcomes


def _child(
    sender: Connection, sources: list[str], name: str, index: int, samples: np.ndarray, blob: bytes, raw: np.ndarray
) -> None:
    sender.send("other process")
    try:
        for source in sources:
            load(source)
        codec = registry.get(name)
    except Exception as error:
        sender.send(("other process", False, f"the codec cannot be found there: {error}"))
        return
    point, encoded = codec.points[index], Encoded.from_bytes(blob)
    sender.send(_same(codec, point, encoded, Clip(samples, encoded.rate), raw))
    for what, damaged in damage(encoded):
        sender.send(f"damage: {what}")
        sender.send((f"damage: {what}", *_survives(codec, point, damaged)))
    sender.close()


def _same(codec: Codec, point: Point, encoded: Encoded, clip: Clip, raw: np.ndarray) -> Outcome:
    try:
        if codec.encode(clip, point) != encoded:
            return ("other process", False, "it gave other packets there")
        if not np.array_equal(codec.decode(encoded, point).samples, raw):
            return ("other process", False, "it gave other samples there")
    except Exception:
        return ("other process", False, traceback.format_exc(limit=-1))
    return ("other process", True, "the same packets and samples")


def damage(encoded: Encoded) -> Iterator[tuple[str, Encoded]]:
    """Seeded damage to a coded clip, by name; the bit counts are kept plausible."""
    random = np.random.default_rng(0)
    packets = encoded.packets
    middle = len(packets) // 2

    def changed(**new: bytes) -> Encoded:
        data = new["data"]
        packet = Packet(data, min(packets[middle].bits, 8 * len(data)))
        return Encoded(
            (*packets[:middle], packet, *packets[middle + 1 :]), encoded.rate, encoded.channels, encoded.setup
        )

    whole = packets[middle].data
    yield "packet cut in half", changed(data=whole[: len(whole) // 2])
    yield "packet of one byte", changed(data=whole[:1])
    yield "empty packet", changed(data=b"")
    yield "packet too long", changed(data=whole + random.bytes(9))
    yield "random packet", changed(data=random.bytes(len(whole)))
    flipped = []
    for packet in packets:
        data = bytearray(packet.data)
        for at in random.integers(0, max(1, 8 * len(data)), min(len(data), 2)):
            data[at // 8] ^= 1 << at % 8
        flipped.append(Packet(bytes(data), packet.bits))
    yield "bits flipped", Encoded(tuple(flipped), encoded.rate, encoded.channels, encoded.setup)
    noise = tuple(Packet(random.bytes(len(packet.data)), packet.bits) for packet in packets)
    yield "random packets", Encoded(noise, encoded.rate, encoded.channels, encoded.setup)
    yield (
        "packet lost",
        Encoded(packets[:middle] + packets[middle + 1 :], encoded.rate, encoded.channels, encoded.setup),
    )
    yield "no packets", Encoded((), encoded.rate, encoded.channels, encoded.setup)
    if encoded.setup:
        cut = encoded.setup[: len(encoded.setup) // 2]
        yield "setup cut in half", Encoded(packets, encoded.rate, encoded.channels, cut)
        noise_setup = random.bytes(len(encoded.setup))
        yield "random setup", Encoded(packets, encoded.rate, encoded.channels, noise_setup)


def _survives(codec: Codec, point: Point, damaged: Encoded) -> tuple[bool, str]:
    """Whether the decoder raises CodecError or conceals, and which."""
    try:
        decoded = codec.decode(damaged, point)
    except CodecError as error:
        return True, f"refused: {error}"
    except Exception as error:
        return False, f"{type(error).__name__} (an adapter raises CodecError only): {error}"
    return True, f"{decoded.length} samples"
