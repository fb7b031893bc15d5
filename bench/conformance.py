"""The conformance kit: does an adapter keep the contract of `codecs/_codec.py`?

`check(codec)` measures what the adapter declares (delay, bitrate) and tries what clips and networks bring: silence,
one sample, full scale, NaN, other processes, damaged packets. What could hang or crash runs in a child process with
a time limit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..codecs import Codec, CodecError, Encoded, Point
from . import pipeline
from ._isolated import run_isolated
from .audio import Clip, resample
from .delay import envelope_lag, lag, probe

#: clarity of the correlation peak below which a delay counts as not found
CLEAR = 0.1
#: a parametric codec's delay may be off by this
PARAMETRIC_SECONDS = 0.020
#: and a variable bitrate by this fraction of the nominal
VBR_TOLERANCE = 0.5
PROBE_SECONDS = 2.0


@dataclass(frozen=True)
class Check:
    """One thing that was tried: of which operating point ("-": of the codec), whether it held, and what was seen."""

    name: str
    point: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Measured:
    """Declared and measured figures of a point at a native rate.

    Attributes
    ----------
    delay : samples at `rate`, as measured; a fraction where the decoder's rate is higher.
    clarity : of the correlation peak, 0 to 1.
    kbps : payload bits over the time that the packets cover.
    constant : every packet has the same number of bits.
    """

    rate: int
    delay: float
    clarity: float
    kbps: float
    constant: bool


def describe(point: Point) -> str:
    """A point's label, with the content where it is meant for one kind only."""
    return f"{point.label} {point.content[0]}" if len(point.content) == 1 else point.label


def sample(rate: int, point: Point, channels: int = 1, seconds: float = PROBE_SECONDS) -> Clip:
    """A probe that suits the point; channels differ."""
    content: Literal["speech", "music"] = "music" if point.content[0] == "music" else "speech"
    parts = [probe(rate, seconds, content, seed).samples for seed in range(channels)]
    return Clip(np.concatenate(parts), rate)


def measure(codec: Codec, point: Point, rate: int) -> Measured:
    """Code a probe at a native rate; the delay and the bitrate found. Raises CodecError."""
    clip = sample(rate, point, min(codec.channels))
    encoded = codec.encode(clip, point)
    raw = codec.decode(encoded, point)
    common = max(rate, raw.rate)
    one, two = resample(clip, common).samples[0], resample(raw, common).samples[0]
    found, clarity = (envelope_lag if codec.parametric else lag)(one, two, common)
    frame = codec.frame(rate, point)
    seconds = len(encoded.packets) * frame / rate if frame else clip.seconds
    constant = len({packet.bits for packet in encoded.packets}) == 1
    return Measured(rate, found * rate / common, clarity, encoded.bits / seconds / 1000, constant)


def check(codec: Codec, thorough: bool = True) -> list[Check]:
    """Every check of an available codec. Never raises for the codec's sake.

    `thorough` measures delay and bitrate at every native rate of every point; otherwise every point is measured at one
    rate, and every rate at one point.
    """
    done: list[Check] = [_guard("declaration", "-", lambda: _declaration(codec))]
    if not done[0].passed:
        return done
    seen: set[int] = set()
    for point in codec.points:
        rates = point.rates or codec.rates
        if not thorough:
            fresh = [rate for rate in rates if rate not in seen]
            rates = (fresh[-1] if fresh else rates[-1],)
            if point is codec.points[-1]:
                rates = tuple(dict.fromkeys((*fresh, *rates)))
            seen.update(rates)
        for rate in rates:
            done += _measured(codec, point, rate)
    for point in _representative(codec):
        for name, function in _BEHAVIOUR.items():
            done.append(_guard(name, describe(point), lambda f=function, p=point: f(codec, p)))  # type: ignore[misc]
    point = codec.points[0]
    outcomes = run_isolated(codec, point, sample(max(point.rates or codec.rates), point, min(codec.channels), 1.0))
    return [*done, *(Check(name, describe(point), passed, detail) for name, passed, detail in outcomes)]


class _FailedCheck(Exception):
    """What was wrong."""


def _guard(name: str, point: str, function: Callable[[], str]) -> Check:
    try:
        return Check(name, point, True, function())
    except _FailedCheck as error:
        return Check(name, point, False, str(error))
    except CodecError as error:
        return Check(name, point, False, f"the codec refused: {error}")
    except Exception as error:
        return Check(name, point, False, f"{type(error).__name__} (an adapter raises CodecError only): {error}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise _FailedCheck(message)


def _representative(codec: Codec) -> Iterator[Point]:
    """The first point and the last."""
    yield codec.points[0]
    if len(codec.points) > 1:
        yield codec.points[-1]


def _measured(codec: Codec, point: Point, rate: int) -> Iterator[Check]:
    where = f"{describe(point)} {rate} Hz"
    try:
        found = measure(codec, point, rate)
    except Exception as error:
        yield Check("delay and rate", where, False, f"{type(error).__name__}: {error}")
        return
    yield _guard("delay", where, lambda: _delay(codec, point, found))
    yield _guard("rate", where, lambda: _rate(codec, point, found))


def _delay(codec: Codec, point: Point, found: Measured) -> str:
    declared = codec.delay(found.rate, point)
    detail = f"declared {declared}, measured {found.delay:.4g} samples, clarity {found.clarity:.2f}"
    _require(found.clarity >= CLEAR, f"no clear delay: {detail}")
    tolerance = PARAMETRIC_SECONDS * found.rate if codec.parametric else 1.0
    _require(abs(declared - found.delay) <= tolerance, f"{detail}, tolerance {tolerance:g}")
    return detail


def _rate(codec: Codec, point: Point, found: Measured) -> str:
    nominal = "none" if point.kbps is None else f"{point.kbps:g}"
    detail = f"declared {nominal}, counted {found.kbps:.4f} kbit/s, {point.mode}"
    if codec.kind == "anchor" or point.kbps is None:
        return detail
    if point.mode == "cbr":
        _require(found.constant, f"{detail}: packets differ in size")
        _require(abs(found.kbps - point.kbps) < 1e-6 * point.kbps, f"{detail}: not exact")
    else:
        _require(abs(found.kbps - point.kbps) <= VBR_TOLERANCE * point.kbps, f"{detail}: off by more than half")
    return detail


def _declaration(codec: Codec) -> str:
    _require(all((codec.name, codec.family, codec.licence, codec.about)), "name, family, licence and about are needed")
    _require(bool(codec.points) and bool(codec.rates) and bool(codec.channels), "no points, rates or channels")
    labels = [(point.label, content) for point in codec.points for content in point.content]
    _require(len(labels) == len(set(labels)), "a label occurs twice for one kind of content")
    for point in codec.points:
        rates = point.rates or codec.rates
        _require(list(rates) == sorted(set(rates)), f"{describe(point)}: the rates must ascend")
        for rate in rates:
            delay, frame = codec.delay(rate, point), codec.frame(rate, point)
            _require(delay >= 0 <= frame, f"{describe(point)}: delay {delay}, frame {frame} at {rate} Hz")
    first, second = (json.dumps([codec.config(), codec.versions()], sort_keys=True) for _ in range(2))
    _require(first == second, "config() or versions() changes from call to call")
    return f"{len(codec.points)} points, {len(codec.rates)} rates"


def _through(codec: Codec, point: Point, clip: Clip) -> Clip:
    """Through the harness; the output fits and no sample of it had to be made up."""
    _, decoded = pipeline.code(codec, point, clip)
    same = (decoded.rate, decoded.samples.shape) == (clip.rate, clip.samples.shape)
    _require(same, f"{clip.samples.shape} at {clip.rate} Hz became {decoded.samples.shape} at {decoded.rate} Hz")
    return decoded


def _highest(codec: Codec, point: Point) -> int:
    return max(point.rates or codec.rates)


def _silence(codec: Codec, point: Point) -> str:
    rate = _highest(codec, point)
    decoded = _through(codec, point, Clip(np.zeros((min(codec.channels), rate // 2), np.float32), rate))
    peak = float(np.abs(decoded.samples).max())
    _require(peak < 0.01, f"silence decodes to a peak of {peak:.3g}")
    return f"peak {peak:.2g}"


def _lengths(codec: Codec, point: Point) -> str:
    rate = _highest(codec, point)
    source = sample(rate, point, min(codec.channels))
    for length in (1, 2, 1237, rate // 3 + 1):
        clip = Clip(source.samples[:, :length], rate)
        _through(codec, point, clip)
        native = pipeline.prepare(codec, point, clip)
        raw = codec.decode(codec.encode(native, point), point)
        left = raw.length / raw.rate - codec.delay(rate, point) / rate
        _require(left >= length / rate - 1e-9, f"of {length} samples the last {length - left * rate:.0f} are missing")
    return "1, 2, 1237 and more samples: nothing missing"


def _extremes(codec: Codec, point: Point) -> str:
    rate = _highest(codec, point)
    time = np.arange(rate // 2) / rate
    square = np.where(np.sin(2 * np.pi * 400 * time) >= 0, 1.0, -1.0)
    for signal in (square, 4 * square, np.full_like(time, 0.5), np.full_like(time, -1.0)):
        rows = np.repeat(signal[None].astype(np.float32), min(codec.channels), axis=0)
        _through(codec, point, Clip(rows, rate))
    return "full scale, beyond full scale, DC"


def _refusals(codec: Codec, point: Point) -> str:
    rate = _highest(codec, point)
    for bad in (np.nan, np.inf):
        clip = sample(rate, point, min(codec.channels), 0.2)
        clip.samples[0, 100] = bad
        try:
            codec.encode(clip, point)
        except CodecError:
            continue
        raise _FailedCheck(f"a clip with {bad} was coded; encode must begin with self.check(clip, point)")
    return "NaN and infinity refused"


def _channels(codec: Codec, point: Point) -> str:
    rate = _highest(codec, point)
    _through(codec, point, sample(rate, point, 1, 0.5))
    source = sample(rate, point, 2)
    decoded = _through(codec, point, source)
    if codec.parametric:
        return "mono and stereo"
    clarity = [[lag(one, two, rate)[1] for two in decoded.samples] for one in source.samples]
    # At low bitrates a stereo codec may send the sum alone.
    swapped = clarity[0][1] > clarity[0][0] + 0.05 or clarity[1][0] > clarity[1][1] + 0.05
    _require(not swapped, "left and right are swapped")
    return "mono and stereo, not swapped"


def _rates(codec: Codec, point: Point) -> str:
    rates = (8000, 11025, 16000, 22050, 32000, 44100, 48000)
    for rate in rates:
        _through(codec, point, sample(rate, point, min(codec.channels), 0.3))
    return "clips of 8 to 48 kHz"


def _determinism(codec: Codec, point: Point) -> str:
    clip = sample(_highest(codec, point), point, max(codec.channels), 0.5)
    one, two = (codec.encode(clip, point) for _ in range(2))
    _require(one == two, "the same clip gave other packets the second time")
    _require(Encoded.from_bytes(one.to_bytes()) == one, "to_bytes and from_bytes do not invert each other")
    first, second = (codec.decode(encoded, point) for encoded in (one, two))
    _require(np.array_equal(first.samples, second.samples), "the same packets gave other samples the second time")
    return f"{len(one.packets)} packets twice the same"


def _frames(codec: Codec, point: Point) -> str:
    rate = _highest(codec, point)
    clip = sample(rate, point, min(codec.channels), 0.5)
    steps = codec.frames(clip, point)
    if steps is None:
        return "not offered"
    count, frame = sum(1 for _ in steps), codec.frame(rate, point)
    whole = -(-clip.length // frame)
    _require(abs(count - whole) <= 1, f"{count} steps for {whole} frames")
    return f"{count} steps"


_BEHAVIOUR: dict[str, Callable[[Codec, Point], str]] = {
    "silence": _silence,
    "lengths": _lengths,
    "extremes": _extremes,
    "refusals": _refusals,
    "channels": _channels,
    "sample rates": _rates,
    "determinism": _determinism,
    "frames": _frames,
}
