"""Coding chunk by chunk, and whole signals in bounded memory, by one and the same path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from .conv import StreamState
from .model import SoundStream

Samples = NDArray[np.float32]
Codes = NDArray[np.uint16]

#: frames that are coded at once at most: ten seconds, which bounds the memory
BLOCK = 750


@contextmanager
def _coding() -> Iterator[None]:
    """One thread, no gradients; the process's own number of threads is restored."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)


@dataclass
class EncoderState:
    """What an encoder keeps between chunks: the past of its convolutions, and the samples of an unfinished frame."""

    network: StreamState = field(default_factory=StreamState)
    samples: Samples = field(default_factory=lambda: np.zeros(0, np.float32))


class StreamingEncoder:
    """Samples in, codes of each frame out as soon as its last sample is there.

    Parameters
    ----------
    stages : of the quantiser, 1 to the model's.
    """

    def __init__(self, model: SoundStream, stages: int) -> None:
        if not 1 <= stages <= model.config.stages:
            raise ValueError(f"{stages} stages; the model has {model.config.stages}")
        self.model, self.stages, self.state = model, stages, EncoderState()

    def push(self, samples: NDArray[np.floating]) -> Codes:
        """Samples [n] at 24 kHz in [-1, 1], any n -> codes [f, stages] of the f frames that are now complete."""
        if samples.ndim != 1:
            raise ValueError(f"samples of one channel [n], not {samples.shape}")
        hop = self.model.config.hop
        waiting = np.concatenate([self.state.samples, samples.astype(np.float32, copy=False)])
        whole = len(waiting) // hop * hop
        self.state.samples = waiting[whole:].copy()
        parts = [np.zeros((0, self.stages), np.uint16)]
        with _coding():
            for start in range(0, whole, BLOCK * hop):
                x = torch.from_numpy(waiting[start : min(whole, start + BLOCK * hop)])[None, None]
                z = self.model.encoder(x, self.state.network)
                parts.append(self.model.quantizer.encode(z, self.stages)[0].T.numpy().astype(np.uint16))
        return np.concatenate(parts)

    def finish(self) -> Codes:
        """Codes [0 or 1, stages] of the samples that wait, filled up to a frame with zeros; then it starts anew."""
        codes = self.push(np.zeros(-len(self.state.samples) % self.model.config.hop, np.float32))
        self.state = EncoderState()
        return codes


class StreamingDecoder:
    """Codes in, the samples of each frame out at once."""

    def __init__(self, model: SoundStream) -> None:
        self.model, self.state = model, StreamState()

    def push(self, codes: NDArray[np.integer]) -> Samples:
        """Codes [f, n] of the next f frames, 1 <= n <= stages -> samples [320 f], not clipped to [-1, 1]."""
        config = self.model.config
        if codes.ndim != 2 or not 1 <= codes.shape[1] <= config.stages:
            raise ValueError(f"codes [frames, 1 to {config.stages} stages], not {codes.shape}")
        if codes.size and not 0 <= codes.min() <= codes.max() < config.codebook_size:
            raise ValueError(f"codes from {codes.min()} to {codes.max()}; the model has {config.codebook_size} a stage")
        parts = [np.zeros(0, np.float32)]
        with _coding():
            for start in range(0, len(codes), BLOCK):
                block = torch.from_numpy(codes[start : start + BLOCK].astype(np.int64)).T[None]
                z = self.model.quantizer.decode(block)
                parts.append(self.model.decoder(z, self.state)[0, 0].numpy())
        return np.concatenate(parts)


def encode(model: SoundStream, samples: NDArray[np.floating], stages: int) -> Codes:
    """A whole signal [n] -> codes [ceil(n / 320), stages]."""
    encoder = StreamingEncoder(model, stages)
    return np.concatenate([encoder.push(samples), encoder.finish()])


def decode(model: SoundStream, codes: NDArray[np.integer]) -> Samples:
    """Codes [F, n] -> samples [320 F]."""
    return StreamingDecoder(model).push(codes)
