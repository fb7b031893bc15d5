"""SoundStream (Zeghidour et al. 2021, arXiv 2107.03312), written and trained by this project.

It streams and codes at 24 kHz; a frame is whole only with the next one, and the postfilter looks a frame ahead, so the
output is two frames late. One model gives every bitrate: 0.75 kbit/s a stage of its quantiser, two stages at least. A
packet is a frame of 320 samples: 10 bits a stage, nothing else. It is mono; the harness codes the channels of a stereo
clip apart, so the bitrate counts both.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...bench.audio import Clip
from .. import Codec, CodecError, Encoded, Packet, Point, Tokens, register
from . import bitstream, packaged

if TYPE_CHECKING:
    from . import model

#: the modules that codes and samples depend on: those imported only when they are needed, and this one for the codecs
#: that extend it
_CODING = (
    "__init__", "conv", "seanet", "quantizer", "gainshape", "ratecontrol", "model", "postfilter", "engine", "search",
    "streaming",
)  # fmt: skip

_PREVIEW = (
    "its weights are a preview: they stand for our training so far and not for SoundStream, whose trained reference "
    "is Lyra V2"
)


def point(kbps: float) -> Point:
    """The operating point of a bitrate, a multiple of 0.75 kbit/s from 1.5 to 18."""
    return Point(f"{kbps:g}", float(kbps), {"stages": round(kbps / bitstream.STAGE_KBPS)})


@functools.lru_cache(maxsize=2)
def _load(path: Path, weights: str) -> model.SoundStream:
    """Of that path and id, loaded once a process."""
    from .model import load

    try:
        return load(path)
    except (OSError, ValueError) as error:
        raise CodecError(str(error)) from error


class SoundStream(Codec):
    """SoundStream with the packaged weights, or others.

    Parameters
    ----------
    weights : a safetensors file that `bench train export` wrote; None for the packaged one.
    """

    name = "soundstream"
    family = "SoundStream"
    licence = "Apache-2.0 (code and weights)"
    about = "neural codec (arXiv 2107.03312) as trained by this project, stereo as two channels apart, by ONNX Runtime"
    points = tuple(map(point, (3, 6, 9, 12, 18)))
    rates = (bitstream.RATE,)
    takes = "soundstream"
    #: whether a point's bitrate is a mean
    variable = False

    def __init__(self, weights: Path | None = None) -> None:
        self._own = weights

    @property
    def _weights(self) -> Path:
        return self._own or packaged.WEIGHTS

    def with_weights(self, path: Path) -> Codec:
        try:
            name = packaged.model_id(path)
        except OSError as error:
            raise CodecError(f"{path}: {error.strerror}") from error
        config = _load(path, name).config
        if (config.hop, config.codebook_size) != (bitstream.HOP, 1 << bitstream.BITS):
            raise CodecError(
                f"{path}: packets are {bitstream.HOP} samples and {bitstream.BITS} bits a stage; these weights have "
                f"{config.hop} samples and codebooks of {config.codebook_size}"
            )
        codec = SoundStream(path)
        codec.name = f"{self.takes}:{path.stem}-{name[:8]}"
        codec.family = f"SoundStream ({path.stem}-{name[:8]})"
        codec.licence = "of the weights' owner"
        codec.about = f"SoundStream with weights of your own, {path.name}"
        codec.points = tuple(p for p in self.points if p.params["stages"] <= config.stages)
        if not codec.points:
            raise CodecError(f"{path}: has {config.stages} stages, the lowest bitrate needs 4")
        return codec

    def _model(self) -> model.SoundStream:
        """Raises CodecError."""
        try:
            return _load(self._weights, packaged.model_id(self._weights))
        except OSError as error:
            raise CodecError(f"{self._weights}: {error.strerror}") from error

    def encode(self, clip: Clip, point: Point) -> Encoded:
        from . import streaming

        self.check(clip, point)
        try:
            codes = streaming.encode(self._model(), clip.samples[0], point.params["stages"], self.variable)
        except ValueError as error:  # of weights that have fewer stages
            raise CodecError(f"{self.name} {point.label}: {error}") from error
        return Encoded(self._pack(codes), clip.rate, 1)

    def decode(self, encoded: Encoded, point: Point) -> Clip:
        from . import streaming

        codes = self._unpack(encoded.packets, point)
        try:
            return Clip(streaming.decode(self._model(), codes)[None], bitstream.RATE)
        except ValueError as error:  # codes that the weights do not have
            raise CodecError(f"{self.name} {point.label}: {error}") from error

    def frames(self, clip: Clip, point: Point) -> Iterator[object]:
        from .streaming import StreamingDecoder, StreamingEncoder

        self.check(clip, point)
        encoder = StreamingEncoder(self._model(), point.params["stages"], self.variable)
        decoder = StreamingDecoder(self._model())
        padded = np.pad(clip.samples[0], (0, -clip.length % bitstream.HOP))
        for frame in padded.reshape(-1, bitstream.HOP):
            yield decoder.push(self._unpack(self._pack(encoder.push(frame)), point))

    def _pack(self, codes: bitstream.Codes) -> tuple[Packet, ...]:
        """Codes [F, stages] as a packet a frame."""
        data, bits = bitstream.pack(codes), bitstream.BITS * codes.shape[1]
        size = -(-bits // 8)
        return tuple(Packet(data[at : at + size], bits) for at in range(0, len(data), size))

    def _unpack(self, packets: Sequence[Packet], point: Point) -> bitstream.Codes:
        """[F, stages]. Raises CodecError for packets that are not of this point and model."""
        stages = int(point.params["stages"])
        size = -(-bitstream.BITS * stages // 8)
        for number, packet in enumerate(packets):
            if len(packet.data) != size:
                raise CodecError(f"{self.name} {point.label}: packet {number} has {len(packet.data)} bytes, not {size}")
        return bitstream.unpack(b"".join(packet.data for packet in packets), stages)

    def tokens(self, encoded: Encoded, point: Point) -> Tokens | None:
        codes = self._unpack(encoded.packets, point)
        return Tokens((1 << bitstream.BITS,) * codes.shape[1], tuple(codes.T))

    def delay(self, rate: int, point: Point) -> int:
        return bitstream.DELAY

    def frame(self, rate: int, point: Point) -> int:
        return bitstream.HOP

    def available(self) -> str | None:
        for package in ("torch", "safetensors", "onnx", "onnxruntime"):
            if find_spec(package) is None:
                return f"it needs {package}: pip install {package}"
        try:
            packaged.metadata(self._weights)
        except OSError as error:
            return f"no weights at {self._weights} ({error.strerror}): train some, `bench train soundstream --help`"
        except ValueError as error:
            return f"{error}: install codecbench anew"
        return None

    def note(self) -> str:
        return _PREVIEW if not self._own and packaged.metadata().get("status") != "released" else ""

    def versions(self) -> dict[str, str]:
        from importlib.metadata import version

        return {name: version(name) for name in ("torch", "onnxruntime")} | {
            "weights": packaged.model_id(self._weights)
        }

    def config(self) -> dict[str, Any]:
        here = Path(__file__).parent
        return {name: hashlib.sha256((here / f"{name}.py").read_bytes()).hexdigest() for name in _CODING}


register(SoundStream())
