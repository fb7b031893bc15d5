"""What changes while a model trains, and its form on disk; equal states go on equally, to the bit, on one machine."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..discriminators import STFTDiscriminator, WaveDiscriminator
from ..model import PRESETS, SoundStream
from .checkpoint import CheckpointError
from .presets import Preset


@dataclass
class Progress:
    """How far a run is: steps, seconds of audio seen, minutes trained, those of the last validation, its best score."""

    step: int = 0
    audio_seconds: float = 0.0
    minutes: float = 0.0
    validated: float = 0.0
    best: float | None = None


class State:
    """The model, the moving average of its weights, the discriminators, both optimisers."""

    def __init__(self, preset: Preset, device: torch.device, seed: int) -> None:
        torch.manual_seed(seed)
        self.model = SoundStream(PRESETS[preset.model]).to(device)
        self.model.quantizer.levels.gather = self.model.quantizer.shapes.gather = preset.gather
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            [{"params": self.model.encoder.parameters()}, {"params": self.model.decoder.parameters()}],
            preset.rate,
            betas=(0.8, 0.99),
            weight_decay=0.0,
        )
        self.discriminators: nn.ModuleList | None = None
        self.discriminator_optimizer: torch.optim.AdamW | None = None
        if preset.adversarial:
            wave = WaveDiscriminator(preset.wave_channels, preset.wave_max)
            self.discriminators = nn.ModuleList([wave, STFTDiscriminator(preset.stft_channels)]).to(device)
            self.discriminator_optimizer = torch.optim.AdamW(
                self.discriminators.parameters(), preset.rate / 2, betas=(0.5, 0.9), weight_decay=0.0
            )
        self.progress = Progress()

    def start_from(self, weights: SoundStream) -> None:
        """Take over the weights of a trained model. Raises ValueError if it has another shape."""
        if weights.config != self.model.config:
            raise ValueError(f"its architecture is {weights.config}, the preset's is {self.model.config}")
        self.model.load_state_dict(weights.state_dict())
        self.average.load_state_dict(weights.state_dict())

    @torch.no_grad()
    def move_average(self, limit: float) -> None:
        """Move the averaged weights towards the present ones: 10 / (10 + step) of the way at first, 1 - limit later."""
        step = self.progress.step
        keep = min(limit, (1 + step) / (10 + step))
        for mean, value in zip(self.average.parameters(), self.model.parameters(), strict=True):
            mean.lerp_(value, 1 - keep)

    def averaged(self) -> SoundStream:
        """The model with averaged weights and present codebooks, in eval mode; valid until the next step."""
        for mine, theirs in zip(self.average.buffers(), self.model.buffers(), strict=True):
            mine.copy_(theirs)
        return self.average

    @torch.no_grad()
    def shorten_momenta(self) -> None:
        """Round all first moments to bfloat16, so that half as many bytes hold them exactly.

        Not the second ones: with a decay of 0.99 most of their changes would be lost in the rounding.
        """
        for _, moment, value in self._moments():
            if moment == "exp_avg":
                value.copy_(value.bfloat16())

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name, for `checkpoint.save`."""
        out = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        out |= {f"average.{name}": value for name, value in self.average.named_parameters()}
        for name, moment, value in self._moments():
            out[f"{moment}.{name}"] = value.bfloat16() if moment == "exp_avg" else value
        if self.discriminators is not None:
            out |= {f"discriminators.{name}": value for name, value in self.discriminators.state_dict().items()}
        return out

    def restore(self, tensors: dict[str, Tensor], progress: Progress) -> None:
        """Inverse of `tensors`. Raises CheckpointError that names what does not fit."""
        groups: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            head, _, name = key.partition(".")
            groups.setdefault(head, {})[name] = value
        try:
            self.model.load_state_dict(groups["model"])
            self.average.load_state_dict(self.model.state_dict())
            self.average.load_state_dict(groups["average"], strict=False)
            if self.discriminators is not None:
                self.discriminators.load_state_dict(groups["discriminators"])
            for name, parameter, optimizer in self._parameters():
                if name in groups.get("exp_avg", {}):
                    optimizer.state[parameter] = {
                        "step": groups["step"][name].clone(),
                        "exp_avg": groups["exp_avg"][name].to(parameter),
                        "exp_avg_sq": groups["exp_avg_sq"][name].to(parameter),
                    }
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"the saved state is of another model: {error}; start anew with --fresh") from error
        self.model.quantizer.settle()
        self.progress = progress

    def _parameters(self) -> list[tuple[str, nn.Parameter, torch.optim.Optimizer]]:
        found: list[tuple[str, nn.Parameter, torch.optim.Optimizer]] = [
            (f"model.{name}", parameter, self.optimizer) for name, parameter in self.model.named_parameters()
        ]
        if self.discriminators is not None and self.discriminator_optimizer is not None:
            named = self.discriminators.named_parameters()
            found += [(f"discriminators.{name}", parameter, self.discriminator_optimizer) for name, parameter in named]
        return found

    def _moments(self) -> list[tuple[str, str, Tensor]]:
        return [
            (name, moment, value)
            for name, parameter, optimizer in self._parameters()
            for moment, value in optimizer.state.get(parameter, {}).items()
        ]


def seed_step(seed: int, step: int) -> None:
    """Seed PyTorch for a step: random numbers then depend on (seed, step) alone, and no generator needs saving."""
    words = np.random.SeedSequence((seed, step)).generate_state(2)
    torch.manual_seed((int(words[0]) << 31) ^ int(words[1]))
