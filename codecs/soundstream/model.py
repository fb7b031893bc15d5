"""The SoundStream model: presets, encoder + quantiser + decoder, and its weights on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import packaged
from .gainshape import GainShapeQuantizer
from .packaged import model_id
from .postfilter import LOOKAHEAD, postfilter
from .seanet import Decoder, Encoder, start_as_transform

__all__ = ["PRESETS", "Config", "SoundStream", "load", "model_id", "save"]


@dataclass(frozen=True)
class Config:
    """An architecture. Channels and dilations run from the sample rate down to the frame rate.

    Attributes
    ----------
    strides : of the encoder's convolutions; their product is the hop, 320 samples or 13.3 ms.
    kernel, frame_kernel : of the residual units, above and at the frame rate.
    dimension : of the latents, D.
    stages, codebook_size : of the quantiser: 24 stages of 10 bits are 18 kbps.
    level_stages, level_power, level_treble : which of them code levels, not shapes, and how they are weighted
        (`gainshape.py`).
    """

    encoder_channels: tuple[int, ...] = (8, 16, 48, 96, 256)
    decoder_channels: tuple[int, ...] = (8, 16, 48, 96, 256)
    encoder_dilations: tuple[tuple[int, ...], ...] = ((), (), (), (1,), (1,))
    decoder_dilations: tuple[tuple[int, ...], ...] = ((), (), (1,), (1, 3), (1, 3, 9, 1, 3, 9))
    strides: tuple[int, ...] = (2, 4, 5, 8)
    kernel: int = 7
    frame_kernel: int = 3
    dimension: int = 128
    stages: int = 24
    codebook_size: int = 1024
    level_stages: tuple[int, ...] = (0, 1, 5, 7, 9, 11, 13, 15)
    level_power: float = 0.1
    level_treble: float = 0.7

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return math.prod(self.strides)

    @property
    def late(self) -> int:
        """Samples by which what is decoded is late: a frame by the transform, and the postfilter's lookahead."""
        return self.hop + LOOKAHEAD

    @classmethod
    def from_json(cls, text: str) -> Config:
        """Inverse of `to_json`; ValueError on anything else."""
        try:
            values = json.loads(text)
            return cls(**{k: _tuples(v) for k, v in values.items()})
        except (TypeError, AttributeError) as error:
            raise ValueError(f"not a SoundStream configuration: {error}") from error

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


_THREE = ((1, 3, 9),) * 4 + ((),)
PRESETS: dict[str, Config] = {
    # what ships: 0.6 GMAC a second of audio
    "base": Config(),
    # the paper's shape at C = 32, for a GPU
    "paper": Config((32, 64, 128, 256, 512), (32, 64, 128, 256, 512), _THREE, _THREE),
    # for tests
    "tiny": Config(
        (2, 4, 8, 40, 64), (2, 4, 8, 40, 64), ((1,),) * 5, ((1,),) * 5, dimension=16, stages=8, codebook_size=64
    ),
}  # fmt: skip


class SoundStream(nn.Module):
    """One model for every bitrate from 1.5 to 18 kbps in steps of 0.75: a stage of the quantiser each."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        c = config
        self.encoder = Encoder(
            c.encoder_channels, c.dimension, c.strides, c.encoder_dilations, c.kernel, c.frame_kernel
        )
        self.decoder = Decoder(
            c.decoder_channels, c.dimension, c.strides, c.decoder_dilations, c.kernel, c.frame_kernel
        )
        bands = self.encoder.bands
        self.quantizer = GainShapeQuantizer(
            bands.assign[:, : c.dimension - bands.count],
            c.stages,
            c.level_stages,
            c.level_power,
            c.level_treble,
            c.codebook_size,
        )
        start_as_transform(self.encoder, self.decoder, c.strides)

    @torch.inference_mode()
    def encode(self, x: Tensor, stages: int) -> Tensor:
        """Waveform [B, 1, T] in [-1, 1], T a multiple of the hop -> codes [B, stages, T / hop]."""
        from .search import Coder

        z = self.encoder(x)
        return Coder(self.quantizer, z.dtype).codes(z, stages)

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, n, F], as the quantiser's `decode` takes them -> waveform [B, 1, F * hop], `late` samples late."""
        return self.hear(self.quantizer.decode(codes)[0], (codes < self.config.codebook_size).sum(1))

    def hear(self, z: Tensor, stages: Tensor | None = None) -> Tensor:
        """Latents [B, D, F], quantised with so many stages [B, F], or, if None, not -> waveform [B, 1, F * hop], `late`
        samples late, postfiltered."""
        if stages is None:
            stages = torch.full(z.shape[::2], self.config.stages)
        return postfilter(self.decoder(z)[:, 0], stages)[0][:, None]


def save(model: SoundStream, path: Path, metadata: Mapping[str, str]) -> None:
    """Write the weights in half precision, with the configuration, as safetensors."""
    from safetensors.torch import save_file

    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
        if not name.endswith(".usage")
    }
    save_file(tensors, str(path), {**metadata, "config": model.config.to_json()})
    path.chmod(0o644)  # safetensors leaves it to the owner alone


def load(path: Path | None = None) -> SoundStream:
    """A model from a safetensors file, the packaged weights if None, in float32, ready to code.

    Raises FileNotFoundError, or ValueError that names the file and what is wrong with it.
    """
    from safetensors import SafetensorError, safe_open

    path = path or packaged.WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there are no SoundStream weights here")
    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            if "level_treble" not in metadata["config"]:
                raise ValueError("its architecture is that of an older codecbench: train anew, or decode with that one")
            model = SoundStream(Config.from_json(metadata["config"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        tensors = {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}
        tensors |= {n: t for n, t in model.state_dict().items() if n.endswith(".usage")}
        model.load_state_dict(tensors)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{path} is not a SoundStream model of this version: {reason}") from error
    return model.eval().requires_grad_(False)
