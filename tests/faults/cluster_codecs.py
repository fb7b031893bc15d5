"""A codec for the tests of clusters, loaded with --codec-module: cheap, and as slow as CODECBENCH_TEST_PAUSE says."""

import os
import time

import numpy as np
from codecbench.bench.audio import Clip, from_pcm16, to_pcm16
from codecbench.codecs import Codec, Encoded, Packet, Point, register


class Slow(Codec):
    """16-bit PCM with the low bits dropped, in frames of 20 ms."""

    name, family, licence, about = "t_slow", "Test", "none", "rounds, and sleeps"
    points = tuple(Point(str(bits), 16.0 * bits, {"bits": bits}) for bits in (6, 8, 10, 12))
    rates = (16000,)

    def encode(self, clip, point):
        time.sleep(float(os.environ.get("CODECBENCH_TEST_PAUSE", "0")))
        step = 1 << (16 - point.params["bits"])
        pcm = (to_pcm16(clip.samples[0]).astype(np.int32) // step * step).astype(np.int16)
        frames = [pcm[i : i + 320].tobytes() for i in range(0, len(pcm), 320)]
        return Encoded(tuple(Packet(f, len(f) // 2 * point.params["bits"]) for f in frames), clip.rate, 1)

    def decode(self, encoded, point):
        return Clip(from_pcm16(np.frombuffer(b"".join(p.data for p in encoded.packets), np.int16))[None], encoded.rate)

    def delay(self, rate, point):
        return 0

    def frame(self, rate, point):
        return 320

    def versions(self):
        return {"test": "1"}


register(Slow())
