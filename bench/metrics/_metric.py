"""The contract between the harness and a metric, and the one validation before any of them.

A metric is one file: a pure function of (reference, degraded, rate) on mono float64 arrays that are finite, of equal
length, at the metric's rate, long enough and not silent, because `evaluate` has seen to that; and a declaration.
A score that cannot be had is NaN with a `Reason`, never 0 or 1.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from importlib.util import find_spec
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..audio import Clip, resample

Signal = NDArray[np.float64]
Rest = ParamSpec("Rest")
Result = TypeVar("Result")


class Reason(str, enum.Enum):
    """Why a score is missing."""

    NOT_FINITE = "not_finite"  # NaN or infinity in a signal, or as the result
    RATE_MISMATCH = "rate_mismatch"  # the two clips have different sample rates
    LENGTH_MISMATCH = "length_mismatch"  # different lengths
    CHANNEL_MISMATCH = "channel_mismatch"
    TOO_SHORT = "too_short"  # shorter than the metric is defined for
    SILENT_REFERENCE = "silent_reference"
    SILENT_DEGRADED = "silent_degraded"
    BANDWIDTH = "bandwidth"  # the reference's rate is too low for what the metric judges
    NO_SPEECH = "no_speech"  # the metric found no active speech
    NOT_INSTALLED = "not_installed"  # a library or model that it needs is missing
    FAILED = "failed"  # the metric raised; the detail says what
    CODEC_FAILED = "codec_failed"  # there is no decoded clip to score
    CRASHED = "crashed"  # the worker process died
    TIMEOUT = "timeout"


class MetricError(Exception):
    """A score that cannot be had, with its reason."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail or reason.value)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Score:
    """A value, or NaN with the reason."""

    value: float
    reason: Reason | None = None
    detail: str = ""


@dataclass(frozen=True)
class Metric:
    """A declared metric.

    Attributes
    ----------
    function : (reference, degraded, rate) -> score on validated mono signals, which it cannot write to. Raises
        MetricError.
    low, high : the range of scores; `ceiling` is what identical signals score, give or take `tolerance`.
    higher_is_better : None where the score nearest to the ceiling is best.
    rates : the rates it is defined at, Hz; the harness resamples both sides to the largest not above the reference's,
        or up to the smallest where the reference is at least `min_rate`. Empty: at the reference's own rate.
    min_rate : a reference below this rate is not scored (Reason.BANDWIDTH).
    min_seconds : shorter clips are not scored.
    piece_seconds : longer clips are scored in equal pieces no longer than this and averaged; None: whole.
    content : what it is made for.
    domain, reference, package : validity domain in a sentence, the paper or recommendation, the PyPI package beneath.
    available : why it cannot run here and what mends that, or None; must be fast and import nothing heavy.
    variant : which of the published variants this is, if there are several; part of the cache key with the version.
    prepare : (reference, rate) -> anything that can be computed once a reference and is handed to `function` as a
        fourth argument; metrics that name the same function share what it gives.
    """

    name: str
    title: str
    function: Callable[..., float]
    low: float
    high: float
    ceiling: float
    higher_is_better: bool | None
    domain: str
    reference: str
    package: str
    content: tuple[str, ...] = ("speech", "music")
    unit: str = ""
    rates: tuple[int, ...] = ()
    min_rate: int = 0
    min_seconds: float = 0.0
    piece_seconds: float | None = None
    variant: str = ""
    digits: int = 2
    tolerance: float = 1e-3
    available: Callable[[], str | None] = lambda: None
    prepare: Callable[[Signal, int], Any] | None = None


def missing(requirement: str, *modules: str) -> str | None:
    """What of these modules is not there and the command that gets it, or None; imports nothing. For `available`."""
    absent = [module for module in modules if find_spec(module) is None]
    return f"{', '.join(absent)} not installed; pip install '{requirement}'" if absent else None


#: RMS, without the mean, below which a clip counts as silent: -80 dBFS
SILENCE_RMS = 1e-4


@dataclass
class Signals:
    """A clip with what every metric asks of it, computed once: resampled clips, parts of channels, if all is finite.

    Metrics share the parts, so nobody can write to them.
    """

    clip: Clip

    def __post_init__(self) -> None:
        self._clips: dict[int, Clip] = {self.clip.rate: self.clip}
        self._parts: dict[tuple[int, int, int, int], tuple[Signal, bool]] = {}

    @cached_property
    def finite(self) -> bool:
        return bool(np.isfinite(self.clip.samples).all())

    def at(self, rate: int) -> Clip:
        if rate not in self._clips:
            self._clips[rate] = resample(self.clip, rate)
        return self._clips[rate]

    def part(self, rate: int, channel: int, start: int, stop: int) -> tuple[Signal, bool]:
        """Part of a channel, and whether its RMS about its mean, since a constant is silence, is below SILENCE_RMS."""
        key = (rate, channel, start, stop)
        if key not in self._parts:
            part: Signal = self.at(rate).samples[channel, start:stop].astype(np.float64)
            part.flags.writeable = False
            self._parts[key] = part, not len(part) or float(np.std(part)) < SILENCE_RMS
        return self._parts[key]


@dataclass
class ReferenceCache(Signals):
    """A reference, with what metrics prepared for it: it serves every codec."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._prepared: dict[tuple[Any, ...], Any] = {}

    def prepared(self, metric: Metric, rate: int, channel: int, piece: int, signal: Signal) -> Any:
        key = (metric.prepare, metric.piece_seconds, rate, channel, piece)
        if key not in self._prepared:
            assert metric.prepare is not None
            self._prepared[key] = metric.prepare(signal, rate)
        return self._prepared[key]


def remembered(function: Callable[Concatenate[Signal, Rest], Result]) -> Callable[Concatenate[Signal, Rest], Result]:
    """Remember what a function made last of a signal that nobody can write to, for the metrics that share its result.

    Only calls by position are remembered; what follows the signal is compared as it compares itself.
    """
    last: list[tuple[Signal, tuple[Any, ...], Result]] = []

    @wraps(function)
    def remembering(signal: Signal, /, *rest: Rest.args, **named: Rest.kwargs) -> Result:
        if last and last[0][0] is signal and last[0][1] == rest and not named:
            return last[0][2]
        result = function(signal, *rest, **named)
        last.clear()
        if not signal.flags.writeable and not named:
            last.append((signal, rest, result))
        return result

    return remembering


def scoring_rate(metric: Metric, rate: int) -> int:
    """The rate at which a reference of `rate` Hz is scored. Raises MetricError(BANDWIDTH)."""
    if rate < metric.min_rate:
        raise MetricError(Reason.BANDWIDTH, f"the reference has {rate} Hz, {metric.title} needs {metric.min_rate} Hz")
    if not metric.rates:
        return rate
    below = [r for r in metric.rates if r <= rate]
    return max(below) if below else min(metric.rates)


def evaluate(metric: Metric, reference: Clip | ReferenceCache, degraded: Clip | Signals) -> Score:
    """Score a degraded clip against its reference: validated, resampled, each channel apart, mean over channels.

    A channel that is silent in both clips says nothing and is left out; a score needs at least one channel.
    Never raises for the clips' sake: what cannot be scored is NaN with the reason.
    """
    ref = reference if isinstance(reference, ReferenceCache) else ReferenceCache(reference)
    deg = degraded if isinstance(degraded, Signals) else Signals(degraded)
    try:
        return Score(_evaluate(metric, ref, deg))
    except MetricError as error:
        return Score(math.nan, error.reason, error.detail)
    except ImportError as error:
        detail = f"{type(error).__name__}: {error}; pip install --force-reinstall {metric.package}"
        return Score(math.nan, Reason.NOT_INSTALLED, detail)
    except Exception as error:
        return Score(math.nan, Reason.FAILED, f"{type(error).__name__}: {error}")


def _evaluate(metric: Metric, reference: ReferenceCache, degraded: Signals) -> float:
    ref, deg = reference.clip, degraded.clip
    if ref.rate != deg.rate:
        raise MetricError(Reason.RATE_MISMATCH, f"{ref.rate} Hz against {deg.rate} Hz")
    if ref.channels != deg.channels:
        raise MetricError(Reason.CHANNEL_MISMATCH, f"{ref.channels} against {deg.channels}")
    if ref.length != deg.length:
        raise MetricError(Reason.LENGTH_MISMATCH, f"{ref.length} samples against {deg.length}")
    for side, what in ((reference, "reference"), (degraded, "degraded clip")):
        if not side.finite:
            raise MetricError(Reason.NOT_FINITE, f"the {what} has NaN or infinite samples")
    if ref.seconds < metric.min_seconds:
        raise MetricError(Reason.TOO_SHORT, f"{ref.seconds:.3f} s, {metric.title} needs {metric.min_seconds} s")
    missing = metric.available()
    if missing:
        raise MetricError(Reason.NOT_INSTALLED, missing)
    rate = scoring_rate(metric, ref.rate)
    scores = []
    last: MetricError | None = None
    for channel in range(ref.channels):
        try:
            scores.append(_channel(metric, reference, degraded, channel, rate))
        except MetricError as error:
            _, silent = degraded.part(rate, channel, 0, degraded.at(rate).length)
            if error.reason is not Reason.SILENT_REFERENCE or not silent:
                raise
            last = error
    if not scores:
        raise last or MetricError(Reason.FAILED, "no channel")
    return float(np.mean(scores))


def _channel(metric: Metric, reference: ReferenceCache, degraded: Signals, channel: int, rate: int) -> float:
    """One channel, in equal pieces; pieces whose reference is silent are left out."""
    length = reference.at(rate).length
    if reference.part(rate, channel, 0, length)[1]:
        raise MetricError(Reason.SILENT_REFERENCE)
    if degraded.part(rate, channel, 0, length)[1]:
        raise MetricError(Reason.SILENT_DEGRADED)
    n = 1 if metric.piece_seconds is None else math.ceil(length / rate / metric.piece_seconds)
    edges = np.linspace(0, length, n + 1).round().astype(int).tolist()
    values = []
    skipped: MetricError | None = None
    for i, (start, stop) in enumerate(itertools.pairwise(edges)):
        p, silent = reference.part(rate, channel, start, stop)
        if silent:
            continue
        q, silent = degraded.part(rate, channel, start, stop)
        if silent:
            where = f"from {start / rate:.1f} to {stop / rate:.1f} s, where the reference is not"
            raise MetricError(Reason.SILENT_DEGRADED, where)
        try:
            extra = [] if metric.prepare is None else [reference.prepared(metric, rate, channel, i, p)]
            value = float(metric.function(p, q, rate, *extra))
        except MetricError as error:
            # Speech metrics find no speech in a pause; that piece says nothing about the codec.
            if n == 1 or error.reason is not Reason.NO_SPEECH:
                raise
            skipped = error
            continue
        if math.isnan(value):
            raise MetricError(Reason.NOT_FINITE, "the result is NaN")
        values.append(value)
    if not values:
        raise skipped or MetricError(Reason.SILENT_REFERENCE)
    return float(np.mean(values))
