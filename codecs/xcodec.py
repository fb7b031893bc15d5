"""X-Codec (Ye et al. 2024, arXiv 2408.17175) by transformers: 16 kHz mono, acoustic and HuBERT features coded together.

A packet is a frame of 20 ms, 10 bits a stage. HuBERT sees the whole clip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..bench.models import File, Model
from . import Point, register
from ._codes import Layout, bandwidth_points
from ._neural import NeuralCodec

if TYPE_CHECKING:
    import torch


class XCodec(NeuralCodec):
    """X-Codec with one set of weights."""

    takes = "xcodec"
    title = "X-Codec"
    runner = "XcodecModel"

    @staticmethod
    def layout_of(config: Any) -> Layout:
        stages = (1,) * config.num_quantizers
        return Layout(config.sample_rate, config.hop_length, config.codebook_size, stages, causal=False)

    @staticmethod
    def points_of(config: Any, layout: Layout) -> tuple[Point, ...]:
        return bandwidth_points(layout, config.frame_rate, config.target_bandwidths)

    @staticmethod
    def run_encoder(model: Any, wave: torch.Tensor, point: Point) -> tuple[list[torch.Tensor], None]:
        return list(model.encode(wave, bandwidth=point.params["bandwidth"]).audio_codes[0]), None

    @staticmethod
    def run_decoder(model: Any, codes: list[torch.Tensor], gains: torch.Tensor | None) -> torch.Tensor:
        import torch

        wave: torch.Tensor = model.decode(torch.stack(codes)[None]).audio_values
        return wave


_LAYOUT = Layout(16000, 320, 1024, (1,) * 8, causal=False)

register(
    XCodec(
        "xcodec",
        "X-Codec",
        "codec of acoustic and HuBERT features, 16 kHz mono, by transformers",
        "Apache-2.0 (transformers), see its model card (weights)",
        _LAYOUT,
        bandwidth_points(_LAYOUT, 50, (0.5, 1, 1.5, 2, 4)),
        Model(
            "xcodec",
            "X-Codec (HuBERT, general audio)",
            "see its model card",
            (File("config.json", "", 0), File("model.safetensors", "", 0)),
            repo="hf-audio/xcodec-hubert-general",
            revision="240735a1ade315cb9b22604fe898e7df03d67378",
        ),
    )
)
