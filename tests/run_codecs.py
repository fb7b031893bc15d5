"""What the tests of runs load with --codec-module: a good codec that logs its calls, bad ones, a bad metric.

The log is the file that CODECBENCH_TEST_LOG names; the good codec's version is CODECBENCH_TEST_VERSION.
"""

import os
import signal
import time

import numpy as np
from codecbench.bench import metrics
from codecbench.bench.audio import Clip, from_pcm16, to_pcm16
from codecbench.codecs import Codec, CodecError, Encoded, Packet, Point, register


def log(line):
    if "CODECBENCH_TEST_LOG" in os.environ:
        with open(os.environ["CODECBENCH_TEST_LOG"], "a") as file:
            file.write(line + "\n")


class Good(Codec):
    """16-bit PCM with the low bits dropped, in frames of 20 ms."""

    name, family, licence, about = "t_good", "Test", "none", "rounds to 10 or 14 bits"
    points = (Point("10", 160.0, {"bits": 10}), Point("14", 224.0, {"bits": 14}))
    rates = (16000,)

    def encode(self, clip, point):
        log(f"encode {self.name} {point.label}")
        step = 1 << (16 - point.params["bits"])
        pcm = (to_pcm16(clip.samples[0]).astype(np.int32) // step * step).astype(np.int16)
        frames = [pcm[i : i + 320].tobytes() for i in range(0, len(pcm), 320)]
        return Encoded(tuple(Packet(f, len(f) // 2 * point.params["bits"]) for f in frames), clip.rate, 1)

    def decode(self, encoded, point):
        log(f"decode {self.name} {point.label}")
        pcm = np.frombuffer(b"".join(p.data for p in encoded.packets), np.int16)
        return Clip(from_pcm16(pcm)[None], encoded.rate)

    def delay(self, rate, point):
        return 0

    def frame(self, rate, point):
        return 320

    def versions(self):
        return {"test": os.environ.get("CODECBENCH_TEST_VERSION", "1")}


class Raises(Good):
    name = "t_raises"

    def encode(self, clip, point):
        if point.label == "10":
            raise CodecError("refuses everything")
        raise EOFError("a bug in the adapter")  # PyAV's EOFError is one, too


class Dies(Good):
    name = "t_dies"
    points = (Point("14", 224.0, {"bits": 14}),)

    def decode(self, encoded, point):
        log("dies")
        os.kill(os.getpid(), signal.SIGKILL)


class Hangs(Good):
    name = "t_hangs"
    points = (Point("14", 224.0, {"bits": 14}),)

    def encode(self, clip, point):
        log("hangs")
        time.sleep(3600)


class Absent(Good):
    name = "t_absent"

    def available(self):
        return None if "CODECBENCH_TEST_PROGRAM" in os.environ else "its program is not here: get it somewhere"


def crash(reference, degraded, rate):
    os.kill(os.getpid(), signal.SIGKILL)


metrics.register(
    metrics.Metric(
        name="t_crash",
        title="Crash",
        function=crash,
        low=0.0,
        high=1.0,
        ceiling=1.0,
        higher_is_better=True,
        domain="tests",
        reference="none",
        package="",
    )
)

for codec in (Good(), Raises(), Dies(), Hangs(), Absent()):
    register(codec)
