"""SNAC (Siuzdak et al. 2024, arXiv 2410.14411) by its package: mono, stages of several rates, one bitrate.

A packet is a frame of the coarsest stage, or as many as its attention sees at once; it is not causal. The decoder adds
noise that it shapes; here it is the same noise in every decoding.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bench.models import File, Model
from . import Point, register
from ._codes import CONTENT, Layout, point
from ._neural import NeuralCodec

if TYPE_CHECKING:
    import torch


class Snac(NeuralCodec):
    """SNAC with one set of weights."""

    takes = "snac"
    title = "SNAC"
    package = "snac"

    @staticmethod
    def layout_of(config: Any) -> Layout:
        return _layout(
            config["sampling_rate"],
            math.prod(config["encoder_rates"]),
            config["codebook_size"],
            config["vq_strides"],
            config["attn_window_size"],
        )

    @staticmethod
    def points_of(config: Any, layout: Layout) -> tuple[Point, ...]:
        return (_point(layout, CONTENT),)

    @staticmethod
    def run_encoder(model: Any, wave: torch.Tensor, point: Point) -> tuple[list[torch.Tensor], None]:
        return [stage[0] for stage in model.encode(wave)], None

    @staticmethod
    def run_decoder(model: Any, codes: list[torch.Tensor], gains: torch.Tensor | None) -> torch.Tensor:
        import torch

        with torch.random.fork_rng():
            torch.manual_seed(0)
            wave: torch.Tensor = model.decode([stage[None] for stage in codes])
        return wave

    @classmethod
    def read_config(cls, folder: Path) -> Any:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))

    @classmethod
    def load(cls, folder: Path) -> Any:
        import torch
        from snac import SNAC

        model = SNAC.from_config(folder / "config.json")
        model.load_state_dict(torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True))
        return model


def _layout(rate: int, hop: int, entries: int, strides: list[int], window: int | None) -> Layout:
    """Of a model whose stages quantise every so many frames of `hop`, with attention within `window` frames."""
    frames = math.lcm(*strides, window or 1)
    return Layout(rate, hop * frames, entries, tuple(frames // stride for stride in strides), causal=False)


def _point(layout: Layout, content: tuple[str, ...]) -> Point:
    return point(layout, len(layout.codes), f"{layout.kbps(len(layout.codes)):.2g}", content)


def _declare(khz: int, layout: Layout, content: tuple[str, ...], revision: str, *files: File) -> None:
    name = f"snac_{khz}k"
    register(
        Snac(
            name,
            f"SNAC {khz}k",
            f"SNAC, multi-scale codes, {layout.rate / 1000:g} kHz mono, by its package",
            "MIT (code and weights)",
            layout,
            [_point(layout, content)],
            Model(name, f"SNAC {khz} kHz", "MIT", files, repo=f"hubertsiuzdak/snac_{khz}khz", revision=revision),
        )
    )


# Content as its authors declare it: speech, then music and sound effects twice.
_declare(
    24,
    _layout(24000, 512, 4096, [4, 2, 1], None),
    ("speech",),
    "d73ad176a12188fcf4f360ba3bf2c2fbbe8f58ec",
    File("config.json", "", 300),
    File("pytorch_model.bin", "4b8164cc6606bfa627f1a784734c1e539891518f1191ed9194fe1e3b9b4bff40", 79488254),
)
_declare(
    32,
    _layout(32000, 384, 4096, [8, 4, 2, 1], 32),
    ("music",),
    "c84c6ac842dc7a44a6fb0f3b576ce94b48a7780f",
    File("config.json", "", 0),
    File("pytorch_model.bin", "bfee2f057c1e287443786bedab377b5176b430e911417683977b7af71ea3ba65", 0),
)
_declare(
    44,
    _layout(44100, 384, 4096, [8, 4, 2, 1], 32),
    ("music",),
    "873ebef9718b89660340c6f55a2b515e98cfa1d9",
    File("config.json", "", 0),
    File("pytorch_model.bin", "b0a676cbdc8d1cc53186f6d777bc956fb7932ceacdc657a4c3741646e9e7ead0", 0),
)
