"""Descript Audio Codec (Kumar et al. 2023, arXiv 2306.06546) by transformers, mono, a packet a frame.

Each point takes the first stages of the quantiser, as its authors do; it is not causal.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..bench.models import File, Model
from . import Point, register
from ._codes import Layout, doubling, point
from ._neural import NeuralCodec

if TYPE_CHECKING:
    import torch


class Dac(NeuralCodec):
    """DAC with one set of weights."""

    takes = "dac"
    title = "DAC"
    runner = "DacModel"

    @staticmethod
    def layout_of(config: Any) -> Layout:
        hop = math.prod(config.downsampling_ratios)
        return Layout(config.sampling_rate, hop, config.codebook_size, (1,) * config.n_codebooks, causal=False)

    @staticmethod
    def points_of(config: Any, layout: Layout) -> tuple[Point, ...]:
        return doubling(layout)

    @staticmethod
    def run_encoder(model: Any, wave: torch.Tensor, point: Point) -> tuple[list[torch.Tensor], None]:
        return list(model.encode(wave, n_quantizers=point.params["stages"]).audio_codes[0]), None

    @staticmethod
    def run_decoder(model: Any, codes: list[torch.Tensor], gains: torch.Tensor | None) -> torch.Tensor:
        import torch

        wave: torch.Tensor = model.decode(audio_codes=torch.stack(codes)[None]).audio_values
        return wave


def _declare(khz: int, layout: Layout, stages: tuple[int, ...], revision: str, *files: File) -> None:
    name = f"dac_{khz}k"
    register(
        Dac(
            name,
            f"DAC {khz}k",
            f"Descript Audio Codec, {layout.rate / 1000:g} kHz mono, by transformers",
            "Apache-2.0 (transformers), MIT (weights)",
            layout,
            [point(layout, n) for n in stages],
            Model(name, f"DAC {khz} kHz", "MIT", files, repo=f"descript/dac_{khz}khz", revision=revision),
        )
    )


_declare(
    16,
    Layout(16000, 320, 1024, (1,) * 12, causal=False),
    (2, 4, 6, 8, 12),
    "7c2fc5e759f1f501aefc6e7a0265cc57f5d17ba7",
    File("config.json", "", 0),
    File("model.safetensors", "", 0),
)
_declare(
    24,
    Layout(24000, 320, 1024, (1,) * 32, causal=False),
    (2, 4, 8, 16, 32),
    "6ba020b5ba7d9d8076fb90db7e67f27e31980f6e",
    File("config.json", "", 0),
    File("model.safetensors", "7452e3fc6972991da871ae1a1c9d3e8e219aa247cc0f757018867d6a7fe59aaf", 298652268),
)
_declare(
    44,
    Layout(44100, 512, 1024, (1,) * 9, causal=False),
    (2, 3, 4, 6, 9),
    "c1bc521685adf9cfe247bc39a5ca58917eda1ac4",
    File("config.json", "4eb55fb9af1990b8d608184ad29b70e358589719af7ea8d3c06998f7c2264a64", 541),
    File("model.safetensors", "6128ebff483a41422b0164d079a3773b0d8d82e64c4293d775994cbf8baf913a", 306507276),
)
