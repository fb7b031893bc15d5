"""Coding chunk by chunk, and whole signals in bounded memory, by one and the same path.

The codes of a signal are the same however it is cut into chunks, to the bit; decoded samples to 1e-5.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .bitstream import ABSENT
from .engine import Array, engine
from .gainshape import LOOP
from .model import SoundStream
from .postfilter import Memory, postfilter
from .ratecontrol import RateControl
from .search import Past

Samples = NDArray[np.float32]
Codes = NDArray[np.uint16]

#: frames that are coded at once at most: two seconds, which bounds the memory and costs no time
BLOCK = 150


@contextmanager
def _coding() -> Iterator[None]:
    """One thread, no gradients; the process's own number of threads is restored."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_num_threads(threads)


@dataclass
class EncoderState:
    """What an encoder keeps between chunks.

    Attributes
    ----------
    past : of the network's convolutions.
    control : of a variable bitrate.
    levels : what the next frame's are predicted from and make up for; None at the start.
    heard : samples of the last whole frames, as many as the last one's latents depend on; all of them at the start.
    waiting : samples of an unfinished frame.
    """

    past: list[Array]
    control: RateControl | None = None
    levels: Past | None = None
    heard: Samples = field(default_factory=lambda: np.zeros(0, np.float32))
    waiting: Samples = field(default_factory=lambda: np.zeros(0, np.float32))


class StreamingEncoder:
    """Samples in, codes of each frame out as soon as its last sample is there.

    Parameters
    ----------
    stages : of the quantiser, 2 to the model's.
    variable : whether they are the mean of a variable bitrate (`ratecontrol.py`), then 4 or more; what a frame has less
        than the most is `ABSENT` in the codes.
    """

    def __init__(self, model: SoundStream, stages: int, variable: bool = False) -> None:
        model.quantizer.split(stages)  # raises ValueError if there are no such
        self.model, self.hop, self._mean = model, model.config.hop, stages if variable else None
        with _coding():
            self._engine = engine(model)
        self.state = self._start()
        self.stages = self.state.control.range[1] if self.state.control else stages

    def _start(self) -> EncoderState:
        control = None if self._mean is None else RateControl(self._mean, self.model.config.stages)
        return EncoderState(self._engine.encoder.start(), control)

    def push(self, samples: NDArray[np.floating]) -> Codes:
        """Samples [n] at 24 kHz in [-1, 1], any n -> codes [f, stages] of the f frames that are now complete."""
        if samples.ndim != 1:
            raise ValueError(f"samples of one channel [n], not {samples.shape}")
        waiting = samples.astype(np.float32, copy=False)
        if len(self.state.waiting):
            waiting = np.concatenate([self.state.waiting, waiting])
        whole = len(waiting) // self.hop * self.hop
        self.state.waiting = waiting[whole:].copy()
        parts = [np.zeros((0, self.stages), np.uint16)]
        with _coding():
            for start in range(0, whole, BLOCK * self.hop):
                parts.append(self._block(waiting[start : min(whole, start + BLOCK * self.hop)]))
        return np.concatenate(parts)

    def finish(self) -> Codes:
        """Codes [0 or 1, stages] of the samples that wait, filled up to a frame with zeros; then it starts anew."""
        codes = self.push(np.zeros(-len(self.state.waiting) % self.hop, np.float32))
        self.state = self._start()
        return codes

    def _block(self, samples: Samples) -> Codes:
        """Whole frames."""
        z, self.state.past = self._engine.encoder.step(samples[None, None], self.state.past)
        heard = np.concatenate([self.state.heard, samples])
        first, reach = len(self.state.heard) // self.hop, self._engine.reach

        def exact(frames: list[int]) -> Tensor:
            ends = [first + frame + 1 for frame in frames]
            parts = [heard[max(0, end - reach) * self.hop : end * self.hop] for end in ends]
            if len({len(part) for part in parts}) > 1:  # some are at the signal's start
                return torch.cat([self._engine.exact(part[None]) for part in parts])
            return self._engine.exact(np.stack(parts))

        latents, state = torch.from_numpy(z[0].T), self.state
        codes, state.levels = self._engine.coder(latents, self.stages, state.levels, exact, state.control)
        self.state.heard = heard[max(0, len(heard) - reach * self.hop) :].copy()
        return codes


class StreamingDecoder:
    """Codes in, the samples of each frame out at once."""

    def __init__(self, model: SoundStream) -> None:
        self.model = model
        with _coding():
            self._network = engine(model).decoder
        #: of the network's convolutions, the levels that the next frame's are predicted from, and of the postfilter
        self.past = self._network.start()
        self.levels: Tensor | None = None
        self.memory: Memory | None = None

    def push(self, codes: NDArray[np.integer]) -> Samples:
        """Codes [f, n] of the next f frames, 2 <= n <= stages, `ABSENT` where a frame has fewer -> samples [320 f], not
        clipped to [-1, 1]."""
        config = self.model.config
        if codes.ndim != 2:
            raise ValueError(f"codes [frames, stages], not {codes.shape}")
        self.model.quantizer.split(codes.shape[1])  # raises ValueError for a number that there is not
        there = codes != ABSENT
        if not there[:, :LOOP].all() or (there[:, 1:] > there[:, :-1]).any():
            raise ValueError(f"a frame has the first stages, {LOOP} at least, and none after one that is absent")
        known = codes[there]
        if known.size and not 0 <= known.min() <= known.max() < config.codebook_size:
            raise ValueError(f"codes from {known.min()} to {known.max()}; the model has {config.codebook_size} a stage")
        samples = np.empty(len(codes) * config.hop, np.float32)
        for start in range(0, len(codes), BLOCK):
            block = torch.from_numpy(codes[start : start + BLOCK].astype(np.int64)).T[None]
            with _coding():
                z, self.levels = self.model.quantizer.decode(block, self.levels)
            y, self.past = self._network.step(z.numpy(), self.past)
            stages = torch.from_numpy(there[start : start + BLOCK].sum(1))[None]
            filtered, self.memory = postfilter(torch.from_numpy(y[0]), stages, self.memory)
            samples[start * config.hop :][: y.shape[2]] = filtered[0]
        return samples


def encode(model: SoundStream, samples: NDArray[np.floating], stages: int, variable: bool = False) -> Codes:
    """A whole signal [n] -> codes [ceil(n / 320), stages], as `StreamingEncoder` has them. The last frame is whole only
    with a further one, and heard with one more: add `late` samples of silence to hear the end."""
    encoder = StreamingEncoder(model, stages, variable)
    return np.concatenate([encoder.push(samples), encoder.finish()])


def decode(model: SoundStream, codes: NDArray[np.integer]) -> Samples:
    """Codes [F, n] -> samples [320 F], the first `late` of them before the signal's start."""
    return StreamingDecoder(model).push(codes)
