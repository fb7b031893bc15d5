"""A codec module whose codecs need weights from the server that CODECBENCH_TEST_URL names: small, and large ones."""

import hashlib
import os

import numpy as np
from codecbench.bench.audio import Clip, from_pcm16, to_pcm16
from codecbench.bench.models import File, Model, checked, missing
from codecbench.codecs import Codec, Encoded, Packet, Point, register

WEIGHTS = bytes(range(256)) * 1000


def model(name, files):
    found = tuple(File(file, hashlib.sha256(data).hexdigest(), len(data)) for file, data in files.items())
    return Model(name, f"Weights {name}", "CC0-1.0", found, url=os.environ.get("CODECBENCH_TEST_URL", "http://none"))


class Small(Codec):
    name, family, licence, about = "t_small", "Test", "none", "16-bit PCM, with weights that it does not need"
    points = (Point("256", 256.0, {}),)
    rates = (16000,)
    model = model("t_small", {"small.bin": WEIGHTS})

    def available(self):
        return missing(self.model)

    def encode(self, clip, point):
        checked(self.model)
        pcm = to_pcm16(clip.samples[0])
        frames = [pcm[i : i + 320].tobytes() for i in range(0, len(pcm), 320)]
        return Encoded(tuple(Packet(f, 8 * len(f)) for f in frames), clip.rate, 1)

    def decode(self, encoded, point):
        pcm = np.frombuffer(b"".join(p.data for p in encoded.packets), np.int16)
        return Clip(from_pcm16(pcm)[None], encoded.rate)

    def delay(self, rate, point):
        return 0

    def frame(self, rate, point):
        return 320


class Large(Small):
    name = "t_large"
    model = model("t_large", {"large.bin": WEIGHTS * 40})


register(Small())
register(Large())
