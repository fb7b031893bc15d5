"""What the tests of token statistics load with --codec-module: codecs with known codes, good and bad.

Each call of `encode` is a line in the file that CODECBENCH_TEST_LOG names.
"""

import os
import signal
from pathlib import Path

import numpy as np
from codecbench.bench.audio import Clip
from codecbench.codecs import Codec, CodecError, Encoded, Packet, Point, Tokens, register

SIZES = (16, 1024)


def codes(frames):
    """Of a stream of so many frames: stage 1 has a code a frame, of 10 entries; stage 2 two, all but one the same."""
    return np.arange(frames) % 10, np.where(np.arange(2 * frames) == 0, 1023, 5)


class Known(Codec):
    """Frames of 20 ms and 24 bits whatever the sound; it decodes to noise. Point "1" sends the first stage alone."""

    name, family, licence, about = "t_known", "Known", "none", "known codes"
    points = (Point("1", 0.2, {"stages": 1}), Point("2", 1.2, {"stages": 2}))
    rates = (16000,)

    def encode(self, clip, point):
        with open(os.environ["CODECBENCH_TEST_LOG"], "a") as file:
            file.write(f"encode {self.name} {point.label}\n")
        bits = (4, 24)[point.params["stages"] - 1]
        frames = -(-clip.length // 320)
        return Encoded((Packet(b"\0" * (bits // 8 or 1), bits),) * frames, clip.rate, 1)

    def decode(self, encoded, point):
        samples = np.random.default_rng(0).normal(0, 0.1, (1, 320 * len(encoded.packets)))
        return Clip(samples.astype(np.float32), encoded.rate)

    def delay(self, rate, point):
        return 0

    def frame(self, rate, point):
        return 320

    def tokens(self, encoded, point):
        stages = point.params["stages"]
        return Tokens(SIZES[:stages], codes(len(encoded.packets))[:stages])

    def versions(self):
        return {"test": os.environ.get("CODECBENCH_TEST_VERSION", "1")}


class Without(Known):
    """Has the method, and no codebooks."""

    name, points = "t_without", Known.points[:1]

    def tokens(self, encoded, point):
        return None


class Plain(Known):
    """Has no codebooks and does not say so: its stream must not be asked for."""

    name, points = "t_plain", Known.points[:1]
    tokens = Codec.tokens


class Outside(Known):
    """A code that no codebook has."""

    name, points = "t_outside", Known.points[:1]

    def tokens(self, encoded, point):
        return Tokens((16,), (np.array([3, 16]),))


class Refuses(Known):
    name, points = "t_refuses", Known.points[:1]

    def tokens(self, encoded, point):
        raise CodecError("cannot read its own packets")


class Dies(Known):
    """Ends the worker, or where the variable says so the driver, as long as a file is there."""

    name, points = "t_dies_counting", Known.points[:1]

    def tokens(self, encoded, point):
        if Path(os.environ.get("CODECBENCH_TEST_KILL_DRIVER", "")).is_file():
            os.kill(os.getppid(), signal.SIGKILL)
        if Path(os.environ.get("CODECBENCH_TEST_KILL", "")).is_file():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().tokens(encoded, point)


for codec in (Known(), Without(), Plain(), Outside(), Refuses(), Dies()):
    register(codec)
