"""Mimi (Défossez et al. 2024, arXiv 2410.00037), the speech codec of Moshi, by transformers: 24 kHz mono, causal.

A packet is a frame of 80 ms: 11 bits a stage, of which the first is the semantic one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..bench.models import File, Model
from . import Point, register
from ._codes import Layout, doubling, point
from ._neural import NeuralCodec

if TYPE_CHECKING:
    import torch


class Mimi(NeuralCodec):
    """Mimi with one set of weights."""

    takes = "mimi"
    title = "Mimi"
    runner = "MimiModel"

    @staticmethod
    def layout_of(config: Any) -> Layout:
        hop = round(config.sampling_rate / config.frame_rate)
        stages = (1,) * config.num_quantizers
        return Layout(
            config.sampling_rate,
            hop,
            config.codebook_size,
            stages,
            config.audio_channels,
            causal=config.use_causal_conv,
        )

    @staticmethod
    def points_of(config: Any, layout: Layout) -> tuple[Point, ...]:
        return doubling(layout, config.num_semantic_quantizers)

    @staticmethod
    def run_encoder(model: Any, wave: torch.Tensor, point: Point) -> tuple[list[torch.Tensor], None]:
        return list(model.encode(wave, num_quantizers=point.params["stages"]).audio_codes[0]), None

    @staticmethod
    def run_decoder(model: Any, codes: list[torch.Tensor], gains: torch.Tensor | None) -> torch.Tensor:
        import torch

        wave: torch.Tensor = model.decode(torch.stack(codes)[None]).audio_values
        return wave


_LAYOUT = Layout(24000, 1920, 2048, (1,) * 32)

register(
    Mimi(
        "mimi",
        "Mimi",
        "the speech codec of Moshi, causal, 24 kHz mono, by transformers",
        "Apache-2.0 (transformers), CC-BY-4.0 (weights)",
        _LAYOUT,
        [point(_LAYOUT, n, content=("speech",)) for n in (8, 16, 32)],
        Model(
            "mimi",
            "Mimi",
            "CC-BY-4.0",
            (
                File("config.json", "", 0),
                File(
                    "model.safetensors", "bac7e85083dcded655d24eaadde7e6eea34c0da1b35fa2d284e641bd2b942a5e", 384649828
                ),
            ),
            repo="kyutai/mimi",
            revision="89091b3e466eb6a9d11e537bf26b144f194978f7",
        ),
    )
)
