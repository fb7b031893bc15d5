"""A codec that does a misdeed a point, and one that would notice: loaded with --codec-module."""

import os

import numpy as np
from codecbench.bench.audio import Clip, from_pcm16, to_pcm16
from codecbench.codecs import Codec, CodecError, Encoded, Packet, Point, register
from faults import misdeeds

#: what a decoder may give instead of what it should
GIVES = {
    "gives_nothing": lambda clip: None,
    "gives_samples_only": lambda clip: clip.samples,
    "gives_float64": lambda clip: Clip(clip.samples.astype(np.float64), clip.rate),
    "gives_NaN": lambda clip: Clip(np.full_like(clip.samples, np.nan), clip.rate),
    "gives_stereo": lambda clip: Clip(np.repeat(clip.samples, 2, axis=0), clip.rate),
    "gives_half": lambda clip: Clip(clip.samples[:, : clip.length // 2], clip.rate),
    "gives_a_rate_of_0": lambda clip: Clip(clip.samples, 0),
    "gives_a_text": lambda clip: "a clip",
}
HARMLESS = [deed.__name__ for deeds in misdeeds.HARMLESS.values() for deed in deeds if "sent" not in deed.__name__]
DEADLY = [deed.__name__ for deeds in misdeeds.DEADLY.values() for deed in deeds]
KEEPS = ["writes_into_its_input", "counts_in_numpy"]


def points(*labels):
    return tuple(Point(label, 256.0) for label in labels)


class Witness(Codec):
    """16-bit PCM with noise from numpy's global generator; raises where it finds traces of another codec."""

    name, family, licence, about = "w_good", "Test", "none", "notices"
    points = points("16")
    rates = (16000,)

    def encode(self, clip, point):
        if "CODECBENCH_LEFT" in os.environ or "PATH" not in os.environ or os.getcwd() != os.environ["CODECBENCH_HERE"]:
            raise CodecError("there are traces of another codec")
        data = to_pcm16(clip.samples[0]).tobytes()
        return Encoded((Packet(data, 8 * len(data)),), clip.rate, 1)

    def decode(self, encoded, point):
        pcm = np.frombuffer(encoded.packets[0].data, np.int16)
        noise = np.random.standard_normal(len(pcm)) * 50  # noqa: NPY002
        return Clip(from_pcm16((pcm // 2 + noise).astype(np.int16))[None], encoded.rate)

    def delay(self, rate, point):
        return 0

    def frame(self, rate, point):
        return 0

    def versions(self):
        return {"test": "1"}


class Bad(Witness):
    name, about = "w_bad", "does what its point says"
    points = points(*HARMLESS, *GIVES, *KEEPS)

    def encode(self, clip, point):
        encoded = super().encode(clip, point)
        if point.label == "writes_into_its_input":
            clip.samples[:] = 0
        elif point.label not in (*GIVES, *KEEPS):
            getattr(misdeeds, point.label)()
        return encoded

    def decode(self, encoded, point):
        clip = super().decode(encoded, point)
        return GIVES[point.label](clip) if point.label in GIVES else clip

    def delay(self, rate, point):
        return np.int64(0) if point.label == "counts_in_numpy" else 0

    def frame(self, rate, point):
        return np.int64(0) if point.label == "counts_in_numpy" else 0


class Deadly(Bad):
    name = "w_deadly"
    points = points(*(name for name in DEADLY if name != "fills_memory"))


for codec in (Witness(), Bad(), Deadly()):
    register(codec)
