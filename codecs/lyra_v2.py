"""Lyra V2 (github.com/google/lyra, release 1.3.2): SoundStream as trained by Google, by LiteRT.

A convolutional encoder, a residual vector quantiser of up to 46 stages of 16 entries, and a generator trained against
discriminators (Zeghidour et al. 2021, arXiv 2107.03312), at 16 kHz in frames of 20 ms. A packet is what Lyra sends: 4
bits a stage, the first stage in the most significant bits, no header. A lower rate is the beginning of the packets of
a higher one. Lyra's DTX, concealment and comfort noise lie outside the networks and are not used.

The networks keep their past in resource variables that nothing resets: each clip needs graphs of its own. The
quantiser runs in NumPy over many frames at once; its codes and vectors are those of the graph, bit for bit.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bench import models
from ..bench.audio import Clip, from_pcm16, to_pcm16
from ..bench.models import File, Model
from ..bench.quiet import quiet_stderr
from . import Codec, CodecError, Encoded, Packet, Point, Tokens, register

#: [n, 64] float32, a row a frame
Latents = NDArray[np.float32]
#: [n, stages] of 0 to 15, a row a frame
Codes = NDArray[np.uint8]

RATE, HOP = 16000, 320
STAGES, ENTRIES = 46, 16

MODEL = Model(
    "lyra_v2",
    "Lyra V2, SoundStream as trained by Google",
    "Apache-2.0",
    (
        File(
            "soundstream_encoder.tflite", "237da0b16226fb0a68d49551c81bebf614e42142af72764448359f68581e88f1", 1_779_200
        ),
        File("quantizer.tflite", "841ee05989687d32d1f616a8ad1419fc7eda37599d3c05c7cf5a0d60ccf8ac5c", 329_012),
        File("lyragan.tflite", "50e7839cda4f30599a3a34cfaddcd9c98449b049eee884e1a74295780448ad06", 1_475_160),
    ),
    # the commit of release 1.3.2
    url="https://raw.githubusercontent.com/google/lyra/47698dadf0010abff6a848e02642f55f806d4842/lyra/model_coeffs/",
)


def _file(name: str) -> Path:
    """A file of the model, checked. Raises CodecError."""
    try:
        return models.checked(MODEL) / name
    except models.ModelError as error:
        raise CodecError(str(error)) from error


def _open(path: Path) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    # bytes, since LiteRT cannot open every path that Python can
    with quiet_stderr():
        graph = Interpreter(model_content=path.read_bytes(), num_threads=1)
        graph.allocate_tensors()
    return graph


class Network:
    """The encoder (a frame of 320 samples to 64 numbers) or the generator (the reverse), fresh: no frame seen yet."""

    def __init__(self, name: str) -> None:
        self._graph = _open(_file(f"{name}.tflite"))
        (given,), (made,) = self._graph.get_input_details(), self._graph.get_output_details()
        self._shape, self._given, self._made = given["shape"], given["index"], made["index"]
        self._size = int(made["shape"][-1])

    def __call__(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """The next frames of the clip: [n, 320] to [n, 64], or the reverse."""
        made = np.empty((len(frames), self._size), np.float32)
        for frame, row in zip(frames, made, strict=True):
            self._graph.set_tensor(self._given, frame.reshape(self._shape))
            self._graph.invoke()
            row[:] = self._graph.get_tensor(self._made).ravel()
        return made


def encoder() -> Network:
    """From frames to latents. Raises CodecError."""
    return Network("soundstream_encoder")


def generator() -> Network:
    """From latents to frames. Raises CodecError."""
    return Network("lyragan")


def codebooks() -> NDArray[np.float32]:
    """[46, 64, 16]: the entries of each stage, as columns. Raises CodecError."""
    return _codebooks(_file("quantizer.tflite"))


@functools.lru_cache(maxsize=1)
def _codebooks(path: Path) -> NDArray[np.float32]:
    graph = _open(path)
    at = {tensor["name"]: tensor["index"] for tensor in graph.get_tensor_details()}
    names = ["transpose", *(f"transpose_{stage}" for stage in range(1, STAGES))]
    return np.stack([graph.get_tensor(at[name]).T for name in names])


#: frames that are searched at once: the differences to all entries, 256 kB, stay in the processor's cache
_BLOCK = 64


def distances(vectors: NDArray[np.float32], book: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distances [entries, n] between vectors [64, n] and entries [64, entries], added up from the first number
    to the last as the graph's kernels do: where two entries are equally near, rounding decides."""
    differences = np.empty((*book.shape, vectors.shape[1]), np.float32)  # NumPy adds in order along the slowest axis
    np.subtract(vectors[:, None, :], book[:, :, None], out=differences)
    summed: NDArray[np.float32] = np.square(differences, out=differences).sum(axis=0)
    return summed


def quantise(latents: Latents, stages: int) -> Codes:
    """Residual vector quantisation with the graph's arithmetic, as Lyra runs it (without XNNPACK)."""
    books = codebooks()[:stages]
    codes = np.empty((len(latents), stages), np.uint8)
    for start in range(0, len(latents), _BLOCK):
        residual = latents[start : start + _BLOCK].T
        for stage, book in enumerate(books):
            nearest = distances(residual, book).argmin(axis=0)
            codes[start : start + _BLOCK, stage] = nearest
            # residual - entry, as a straight-through estimator leaves it
            residual = residual - (residual + (book.take(nearest, axis=1) - residual))
    return codes


def dequantise(codes: Codes) -> Latents:
    """The sum of the entries that the codes name."""
    latents = np.zeros((len(codes), 64), np.float32)
    for book, column in zip(codebooks(), codes.T, strict=False):
        latents += book.T[column]
    return latents


def pack(codes: Codes) -> tuple[Packet, ...]:
    """A packet a frame, 4 bits a stage."""
    return tuple(Packet(row.tobytes(), 8 * row.size) for row in codes[:, ::2] << 4 | codes[:, 1::2])


def unpack(packets: Sequence[Packet], stages: int) -> Codes:
    """Inverse of `pack`. Raises CodecError for a packet of another size."""
    for number, packet in enumerate(packets):
        if len(packet.data) != stages // 2:
            raise CodecError(f"lyra_v2: packet {number} has {len(packet.data)} bytes, not {stages // 2}")
    pairs = np.frombuffer(b"".join(packet.data for packet in packets), np.uint8)
    return np.stack([pairs >> 4, pairs & 15], axis=1).reshape(len(packets), stages)


def frames_of(clip: Clip) -> NDArray[np.float32]:
    """[n, 320]: a clip as 16-bit PCM, which is what Lyra takes, with zeros up to a whole frame."""
    pcm = from_pcm16(to_pcm16(clip.samples[0]))
    return np.pad(pcm, (0, -len(pcm) % HOP)).reshape(-1, HOP)


class LyraV2(Codec):
    """Speech only: that is what it was trained on."""

    name = "lyra_v2"
    family = "SoundStream (Lyra V2)"
    licence = "Apache-2.0 (code and weights)"
    about = "SoundStream (arXiv 2107.03312) as trained by Google for Lyra V2, 20 ms frames, by LiteRT"
    points = tuple(
        Point(f"{kbps:g}", kbps, {"stages": stages}, content=("speech",))
        for kbps, stages in ((3.2, 16), (6.0, 30), (9.2, 46))
    )
    rates = (RATE,)
    model = MODEL

    def encode(self, clip: Clip, point: Point) -> Encoded:
        self.check(clip, point)
        codes = quantise(encoder()(frames_of(clip)), point.params["stages"])
        return Encoded(pack(codes), clip.rate, 1)

    def decode(self, encoded: Encoded, point: Point) -> Clip:
        codes = unpack(encoded.packets, point.params["stages"])
        return Clip(generator()(dequantise(codes)).reshape(1, -1), RATE)

    def frames(self, clip: Clip, point: Point) -> Iterator[object]:
        self.check(clip, point)
        analyse, synthesise, stages = encoder(), generator(), point.params["stages"]
        for frame in frames_of(clip)[:, None]:
            packets = pack(quantise(analyse(frame), stages))
            yield synthesise(dequantise(unpack(packets, stages)))

    def tokens(self, encoded: Encoded, point: Point) -> Tokens:
        stages = point.params["stages"]
        return Tokens((ENTRIES,) * stages, tuple(unpack(encoded.packets, stages).T))

    def delay(self, rate: int, point: Point) -> int:
        return 0

    def frame(self, rate: int, point: Point) -> int:
        return HOP

    def available(self) -> str | None:
        if find_spec("ai_edge_litert") is None:
            return "it needs ai-edge-litert: pip install ai-edge-litert"
        return models.missing(MODEL)

    def versions(self) -> dict[str, str]:
        from importlib.metadata import version

        weights = hashlib.sha256("".join(file.sha256 for file in MODEL.files).encode()).hexdigest()[:16]
        return {"ai-edge-litert": version("ai-edge-litert"), "weights": weights}


register(LyraV2())
