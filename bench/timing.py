"""How fast a codec is: real-time factors and frame latency, measured in a phase of its own, one codec at a time.

RTF = processing seconds / audio seconds, so 0.01 is a hundred times faster than real time. Encoder and decoder are
timed apart, by wall clock and CPU time, on one thread, with nothing else of ours running; reading, resampling and
start-up lie outside. The first call warms up and is dropped. A figure is the median over clips and repeats, its
spread half the interquartile range.

inprocess         the call itself
subprocess_slope  a program is started for each call: (t(long) - t(short)) / (long - short) over two lengths of audio,
                  which takes the start-up out; CPU time is the program's own
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..codecs import Codec, Point
from ..codecs import registry as codecs
from .audio import Clip, read
from .pipeline import channel_groups, prepare
from .pool import Stage
from .store import TimingRow

#: seconds of audio of the two lengths of the slope
SLOPE = (5.0, 25.0)


@dataclass(frozen=True)
class TimingTask:
    """Time one operating point on some clips. The result is the rows of the store's table `timings`."""

    codec: str
    point: str
    content: str
    clips: tuple[tuple[Path, float, float | None], ...]  # path, start, seconds
    repeats: int

    @property
    def group(self) -> str:
        return "timing"

    def run(self, stage: Stage) -> list[TimingRow]:
        """Encode, decode, and frame by frame where the codec streams."""
        codec = codecs.get(self.codec)
        point = codec.point(self.point, self.content)
        natives = []
        for path, start, seconds in self.clips:
            native = prepare(codec, point, read(path, start, seconds))
            # A mono codec codes a stereo clip's channels apart; one of them is timed, for audio seconds of one.
            group = channel_groups(codec, native.channels)[0]
            natives.append(Clip(np.ascontiguousarray(native.samples[group]), native.rate))
        rows = []
        stage("timing encode")
        route = codec.encode_route
        samples = _measure(lambda clip: codec.encode(clip, point), natives, route, self.repeats, lambda c: c.seconds)
        rows.append(self._row("encode", route, samples))
        stage("timing decode")
        pieces = _slope_clips(natives) if codec.decode_route == "subprocess" else natives
        coded = [codec.encode(clip, point) for clip in pieces]
        length = {id(e): clip.seconds for e, clip in zip(coded, pieces, strict=True)}
        samples = _measure(
            lambda e: codec.decode(e, point), coded, codec.decode_route, self.repeats, lambda e: length[id(e)]
        )
        rows.append(self._row("decode", codec.decode_route, samples))
        stage("timing frames")
        latencies = _frames(codec, point, natives[0])
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


def _measure(
    call: Callable[[Any], object],
    inputs: list[Any],
    route: str,
    repeats: int,
    seconds: Callable[[Any], float],
) -> list[tuple[float, float]]:
    """(wall RTF, CPU RTF) of every repeat on every input; for programs, of every repeat of the slope."""
    if route == "subprocess":
        if isinstance(inputs[0], Clip):
            inputs = _slope_clips(inputs)
        short, long = inputs[0], inputs[-1]
        call(short)
        samples = []
        for _ in range(repeats):
            a, b = _clock(call, short), _clock(call, long)
            span = seconds(long) - seconds(short)
            samples.append((max(0.0, b[0] - a[0]) / span, max(0.0, b[1] - a[1]) / span))
        return samples
    call(inputs[0])
    samples = []
    for item in inputs:
        for _ in range(repeats):
            wall, cpu = _clock(call, item)
            samples.append((wall / seconds(item), cpu / seconds(item)))
    return samples


def _slope_clips(clips: list[Clip]) -> list[Clip]:
    """The clips, repeated to the two lengths of the slope."""
    joined = np.concatenate([clip.samples for clip in clips], axis=1)
    rate = clips[0].rate
    return [Clip(np.resize(joined.T, (round(s * rate), joined.shape[0])).T.copy(), rate) for s in SLOPE]


def _clock(call: Callable[[Any], object], item: Any) -> tuple[float, float]:
    """Wall and CPU seconds of a call, its child processes included."""
    cpu, wall = _cpu(), time.perf_counter()
    call(item)
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
