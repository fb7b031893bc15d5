"""A codec that takes its time: CODECBENCH_TEST_SECONDS a clip, by default 0.3; loaded with --codec-module."""

import os
import time

from codecbench.bench.audio import Clip, from_pcm16, to_pcm16
from codecbench.codecs import Codec, Encoded, Packet, Point, register


class Slow(Codec):
    """16-bit PCM in one packet."""

    name, family, licence, about = "s_slow", "Test", "none", "takes its time"
    points = (Point("16", 256.0),)
    rates = (16000,)

    def encode(self, clip, point):
        time.sleep(float(os.environ.get("CODECBENCH_TEST_SECONDS", "0.3")))
        data = to_pcm16(clip.samples[0]).tobytes()
        return Encoded((Packet(data, 8 * len(data)),), clip.rate, 1)

    def decode(self, encoded, point):
        import numpy as np

        return Clip(from_pcm16(np.frombuffer(encoded.packets[0].data, np.int16))[None], encoded.rate)

    def delay(self, rate, point):
        return 0

    def frame(self, rate, point):
        return 0

    def versions(self):
        return {"test": "1"}


register(Slow())
