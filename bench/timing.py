"""How fast a codec is: real-time factors and frame latency, measured in a phase of its own, one codec at a time.

RTF = processing seconds / audio seconds, so 0.01 is a hundred times faster than real time. Encoder and decoder are
timed apart, by wall clock and CPU time, on one thread, with nothing else of ours running; reading, resampling and
start-up lie outside. The first call warms up and is dropped. Codecs give and take samples in main memory, so a call
on a GPU ends when the GPU is done. A figure is the median over clips and repeats, its
spread half the interquartile range.

inprocess         the call itself
subprocess_slope  a program is started for each call: (t(long) - t(short)) / (long - short) over two lengths of audio,
                  which takes the start-up out; CPU time is the program's own
"""

from __future__ import annotations

import dataclasses
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..codecs import Codec, Encoded, Point
from ..codecs import registry as codecs
from ..codecs._codec import Route
from ..codecs._device import label_of
from .audio import Clip
from .executor import Stage
from .pipeline import channel_groups, prepare
from .places import Place
from .remote import read_clip
from .rows import TimingRow

#: seconds of audio of the two lengths of the slope
SLOPE = (5.0, 25.0)


@dataclass(frozen=True)
class TimingTask:
    """Time one operating point on some clips. The result is the rows of the store's table `timings`."""

    codec: str
    point: str
    content: str
    clips: tuple[tuple[Place, float, float | None, str], ...]  # path, start, seconds, SHA-256 of the file
    repeats: int

    @property
    def group(self) -> str:
        return "timing"

    def run(self, stage: Stage) -> list[TimingRow]:
        """Encode, decode, and frame by frame where the codec streams."""
        codec = codecs.get(self.codec)
        point = codec.point(self.point, self.content)
        clips = [_timed(codec, prepare(codec, point, read_clip(*clip))) for clip in self.clips]
        lengths = _slope(clips[0])
        rows = []
        stage("timing encode")
        route = codec.encode_route
        inputs = lengths if route == "subprocess" else clips
        samples = _measure(lambda clip: _encode(codec, point, clip), inputs, route, self.repeats)
        rows.append(self._row("encode", route, samples))
        stage("timing decode")
        route = codec.decode_route
        coded = [_encode(codec, point, clip) for clip in (lengths if route == "subprocess" else clips)]
        samples = _measure(lambda clip: [codec.decode(one, point) for one in clip.coded], coded, route, self.repeats)
        rows.append(self._row("decode", route, samples))
        stage("timing frames")
        latencies = _frames(codec, point, clips[0].parts[0]) if len(clips[0].parts) == 1 else []
        if latencies:
            p50, p99 = (float(np.percentile(latencies, p)) * 1000 for p in (50, 99))
            rows.append(self._row("frame", "inprocess", [], p50, p99))
        return rows

    def _row(
        self,
        direction: str,
        route: str,
        samples: list[tuple[float, float]],
        p50: float | None = None,
        p99: float | None = None,
    ) -> TimingRow:
        wall, cpu = [[sample[k] for sample in samples] for k in (0, 1)]
        return TimingRow(
            self.codec,
            self.point,
            self.content,
            direction,
            label_of(codecs.get(self.codec)),
            "subprocess_slope" if route == "subprocess" else "inprocess",
            statistics.median(wall) if wall else None,
            _spread(wall),
            statistics.median(cpu) if cpu else None,
            _spread(cpu),
            p50,
            p99,
            len(self.clips),
            self.repeats,
            "",
        )


def failed_row(task: TimingTask, reason: str) -> TimingRow:
    """The row of a task that gave no times."""
    return TimingRow(
        codec=task.codec,
        point=task.point,
        content=task.content,
        direction="encode",
        device=label_of(codecs.get(task.codec)),
        method="",
        wall_rtf=None,
        wall_spread=None,
        cpu_rtf=None,
        cpu_spread=None,
        p50_ms=None,
        p99_ms=None,
        clips=len(task.clips),
        repeats=task.repeats,
        reason=reason,
    )


@dataclass(frozen=True)
class _Timed:
    """A clip as the codec codes it: its channels together or, where the codec is mono, each apart; all are timed."""

    parts: tuple[Clip, ...]
    seconds: float
    coded: tuple[Encoded, ...] = ()


def _timed(codec: Codec, clip: Clip) -> _Timed:
    groups = channel_groups(codec, clip.channels)
    return _Timed(tuple(Clip(np.ascontiguousarray(clip.samples[group]), clip.rate) for group in groups), clip.seconds)


def _encode(codec: Codec, point: Point, clip: _Timed) -> _Timed:
    return dataclasses.replace(clip, coded=tuple(codec.encode(part, point) for part in clip.parts))


def _slope(clip: _Timed) -> list[_Timed]:
    """The clip, repeated to the two lengths of the slope."""
    made = []
    for seconds in SLOPE:
        shapes = [(part.channels, round(seconds * part.rate)) for part in clip.parts]
        parts = [
            Clip(np.ascontiguousarray(np.resize(part.samples.T, shape[::-1]).T), part.rate)
            for part, shape in zip(clip.parts, shapes, strict=True)
        ]
        made.append(_Timed(tuple(parts), seconds))
    return made


def _measure(
    call: Callable[[_Timed], object], clips: list[_Timed], route: Route, repeats: int
) -> list[tuple[float, float]]:
    """(wall RTF, CPU RTF) of every repeat on every clip; for programs, of every repeat of the slope of two lengths."""
    if route == "subprocess":
        short, long = clips
        span = long.seconds - short.seconds
        call(short)
        pairs = [(_clock(call, short), _clock(call, long)) for _ in range(repeats)]
        return [(max(0.0, b[0] - a[0]) / span, max(0.0, b[1] - a[1]) / span) for a, b in pairs]
    call(clips[0])
    samples = []
    for clip in clips:
        for _ in range(repeats):
            wall, cpu = _clock(call, clip)
            samples.append((wall / clip.seconds, cpu / clip.seconds))
    return samples


def _clock(call: Callable[[_Timed], object], clip: _Timed) -> tuple[float, float]:
    """Wall and CPU seconds of a call, its child processes included."""
    cpu, wall = _cpu(), time.perf_counter()
    call(clip)
    return time.perf_counter() - wall, _cpu() - cpu


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _frames(codec: Codec, point: Point, clip: Clip) -> list[float]:
    """Seconds of each frame through encoder and decoder; empty if the codec does not stream."""
    steps = codec.frames(clip, point)
    if steps is None:
        return []
    times: list[float] = []
    while True:
        began = time.perf_counter()
        try:
            next(steps)
        except StopIteration:
            return times[1:]  # the first frame pays for opening the codec
        times.append(time.perf_counter() - began)


def _spread(values: list[float]) -> float | None:
    if len(values) < 2:
        return None
    low, high = np.percentile(values, [25, 75])
    return float(high - low) / 2
