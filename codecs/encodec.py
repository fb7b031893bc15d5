"""EnCodec (Défossez et al. 2022, arXiv 2210.13438) by transformers.

The causal model codes 24 kHz mono, a packet a frame of 320 samples. The stereo model codes chunks of a second that
overlap by a hundredth, each scaled to unit power before; a packet is a chunk with its gain, which covers 0.99 s.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..bench.models import File, Model
from . import Point, register
from ._codes import Layout, bandwidth_points
from ._neural import NeuralCodec

if TYPE_CHECKING:
    import torch


class Encodec(NeuralCodec):
    """EnCodec with one set of weights."""

    takes = "encodec"
    title = "EnCodec"
    runner = "EncodecModel"

    @staticmethod
    def layout_of(config: Any) -> Layout:
        stages, hop = config.num_quantizers, config.hop_length
        if config.chunk_length is None:
            if config.normalize:
                raise ValueError("it normalises without chunks (chunk_length_s), so a whole clip at once")
            return Layout(
                config.sampling_rate,
                hop,
                config.codebook_size,
                (1,) * stages,
                config.audio_channels,
                causal=config.use_causal_conv and config.norm_type == "weight_norm",
            )
        if config.chunk_stride is None:
            raise ValueError("chunk_length_s without overlap")
        codes = math.ceil(config.chunk_length / hop)
        return Layout(
            config.sampling_rate,
            config.chunk_stride,
            config.codebook_size,
            (codes,) * stages,
            config.audio_channels,
            gains=config.normalize,
            causal=False,
        )

    @staticmethod
    def points_of(config: Any, layout: Layout) -> tuple[Point, ...]:
        return bandwidth_points(layout, config.frame_rate, config.target_bandwidths)

    @staticmethod
    def run_encoder(model: Any, wave: torch.Tensor, point: Point) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        import torch

        length, stride = model.config.chunk_length, model.config.chunk_stride
        if length is None:
            return list(model.encode(wave, bandwidth=point.params["bandwidth"]).audio_codes[0, 0]), None
        wave = torch.nn.functional.pad(wave, (0, max(0, length - stride)))
        # Chunk by chunk, and the first of what comes back: newer transformers add a stub of the overlap alone.
        chunks = wave.unfold(2, length, stride).unbind(2)
        coded = [model.encode(chunk, bandwidth=point.params["bandwidth"]) for chunk in chunks]
        codes = torch.stack([chunk.audio_codes[0, 0] for chunk in coded], dim=1)  # [stages, chunks, codes]
        gains = torch.cat([chunk.audio_scales[0] for chunk in coded]) if model.config.normalize else None
        return list(codes), gains

    @staticmethod
    def run_decoder(model: Any, codes: list[torch.Tensor], gains: torch.Tensor | None) -> torch.Tensor:
        import torch

        stages = torch.stack(codes)  # [stages, time]
        config = model.config
        if config.chunk_length is None:
            chunks = stages[None, None]
        else:
            each = math.ceil(config.chunk_length / config.hop_length)
            chunks = stages.reshape(len(codes), -1, each).transpose(0, 1)[:, None]  # [chunks, 1, stages, codes]
        scales = [None] * len(chunks) if gains is None else list(gains.reshape(-1, 1))
        wave: torch.Tensor = model.decode(chunks, scales).audio_values
        return wave


_MONO = Layout(24000, 320, 1024, (1,) * 32)
_STEREO = Layout(48000, 47520, 1024, (150,) * 16, channels=2, gains=True, causal=False)

register(
    Encodec(
        "encodec_24k",
        "EnCodec 24k",
        "EnCodec, causal, 24 kHz mono, by transformers",
        "Apache-2.0 (transformers), see its model card (weights)",
        _MONO,
        bandwidth_points(_MONO, 75, (1.5, 3.0, 6.0, 12.0, 24.0)),
        Model(
            "encodec_24k",
            "EnCodec 24 kHz",
            "see its model card",
            (
                File("config.json", "", 0),
                File("model.safetensors", "37a7cb100f71a29e6c1d815aca8666a1d7ea8885ebe44c306c751a5103559d57", 0),
            ),
            repo="facebook/encodec_24khz",
            revision="c1dbe2ae3f1de713481a3b3e7c47f357092ee040",
        ),
    )
)
register(
    Encodec(
        "encodec_48k",
        "EnCodec 48k",
        "EnCodec, 48 kHz stereo in chunks of a second, by transformers",
        "Apache-2.0 (transformers), MIT (weights)",
        _STEREO,
        bandwidth_points(_STEREO, 150, (3.0, 6.0, 12.0, 24.0), ("music",)),
        Model(
            "encodec_48k",
            "EnCodec 48 kHz stereo",
            "MIT",
            (
                File("config.json", "4a914ed15ed5a69e19932d05b0c51f2d22c68ffac70e959a757594cb0cd6e2a7", 803),
                File("model.safetensors", "47a15ffbaf7bb76176d0833e10590de0a8988a7848748608cefc36a1c88adfdc", 76291152),
            ),
            repo="facebook/encodec_48khz",
            revision="c3def8e7185ac8c8efdce6eb8c4a651e487a503e",
        ),
    )
)
