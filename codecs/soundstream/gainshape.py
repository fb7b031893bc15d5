"""The quantiser: levels of bands by prediction from the frame before, then shapes weighted by those levels.

Latents are levels (the logarithms of the bands' amplitudes) and shapes (`seanet.Bands`). Levels change slowly: what the
last frame says of the next is nine tenths of their energy in decibels, so coding them afresh in every frame spends most
of the bits of the first stages on what the decoder knows. So levels go through predictive vector quantisation (Cuperman
and Gersho, IEEE Trans. Communications 33, 1985): a linear prediction from the quantised levels of the frame before, and
the residual by the residual vector quantiser's first stages. The loop is closed on those stages alone, which every
bitrate has: all bitrates predict the same, and a stream that is cut to fewer stages does not drift.

Shapes go through stages of their own, after a gain for each band that both sides know from the quantised levels: louder
bands are coded more precisely, by a power between that of equal noise and that of equal signal-to-noise ratio, as noise
shaping in classic codecs has it. So are the levels themselves, by a lower power of those that were predicted; those of
the bands above 4 kHz, which have no shapes, count less.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .quantizer import ResidualVectorQuantizer

#: level stages in the loop, the first two of every stream
LOOP = 2
#: power of a band's amplitude, relative to the loudest band's, that its shape is weighted by
SHAPE_POWER = 0.4
#: no part of a wrong level outlives a frame by more than this: half a second after a start in mid-stream 7 % are left.
#: Unlimited it was 0.98, and the levels coded are no more exact (2.41 dB against 2.43).
FORGET = 0.93


def shape_weights(levels: Tensor, assign: Tensor) -> Tensor:
    """Levels [..., bands] -> weights [..., shapes] of the shapes that `assign` [bands, shapes] puts into the bands."""
    return weights(levels, SHAPE_POWER) @ assign


def weights(levels: Tensor, power: float) -> Tensor:
    """Levels [..., bands] -> the bands' amplitudes, relative to the loudest one's, to that power."""
    return (power * (levels - levels.amax(-1, keepdim=True))).exp()


class GainShapeQuantizer(nn.Module):
    """Latents of `bands` levels and `dimension - bands` shapes.

    Parameters
    ----------
    assign : [bands, dimension - bands], 1 where a shape belongs to a band.
    stages : in all; `level_stages` names those that code levels, the first `LOOP` of them the first of all.
    level_power : of a band's amplitude, as predicted, that errors of its level are weighted by.
    treble : further weight of the errors of the levels of bands without shapes.

    Attributes
    ----------
    mean [bands], feedback [bands, bands] : the prediction is mean + (levels before - mean) @ feedback.
    """

    mean: Tensor
    feedback: Tensor
    assign: Tensor
    ready: Tensor

    def __init__(
        self,
        assign: Tensor,
        stages: int,
        level_stages: Sequence[int],
        level_power: float,
        treble: float,
        size: int = 1024,
        gather: int = 4096,
    ) -> None:
        super().__init__()
        if tuple(level_stages[:LOOP]) != tuple(range(LOOP)):
            raise ValueError(f"the first {LOOP} stages code levels, not those numbered {list(level_stages)}")
        self.bands, shapes = assign.shape
        self.stages, self.size, self.level_power = stages, size, level_power
        self.kinds = tuple(stage in level_stages for stage in range(stages))
        self.levels = ResidualVectorQuantizer(self.bands, sum(self.kinds), size, gather=gather)
        self.shapes = ResidualVectorQuantizer(shapes, stages - sum(self.kinds), size, gather=gather)
        self.register_buffer("mean", torch.zeros(self.bands))
        self.register_buffer("feedback", torch.zeros(self.bands, self.bands))
        self.register_buffer("assign", assign.clone(), persistent=False)
        self._importance = torch.where(assign.any(1), 1.0, treble)  # no buffer: half precision would change it
        self.register_buffer("ready", torch.tensor(False))

    @property
    def settled(self) -> bool:
        """Whether no statistics wait for an update: all the state is then in the buffers and may be saved."""
        return self.levels.settled and self.shapes.settled

    def settle(self) -> None:
        """Forget the statistics that wait for an update."""
        self.levels.settle()
        self.shapes.settle()

    def split(self, stages: int) -> tuple[int, int]:
        """How many of the first `stages` code levels, and how many shapes. ValueError below `LOOP`."""
        if not LOOP <= stages <= self.stages:
            raise ValueError(f"{stages} stages; these weights have {LOOP} to {self.stages}")
        levels = sum(self.kinds[:stages])
        return levels, stages - levels

    def predict(self, levels: Tensor) -> Tensor:
        """Levels of a frame [..., bands] -> what they say of the next one."""
        return self.mean + (levels - self.mean) @ self.feedback

    def level_weights(self, levels: Tensor) -> Tensor:
        """Levels [..., bands] that are expected -> weights [..., bands] of the errors of those that come."""
        return weights(levels, self.level_power) * self._importance.to(levels)

    def gains(self, levels: Tensor) -> Tensor:
        """Levels [..., bands], decoded by the stages of the loop -> the weights [..., shapes] of the shapes."""
        return shape_weights(levels, self.assign)

    def track(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """The closed loop, entries nearest in turn: levels [B, F, bands] -> what is predicted and what is coded of
        them, [B, F, bands] each."""
        before = self.mean.new_zeros(len(levels), self.bands)  # silence
        predictions, coded = [], []
        for level in levels.unbind(1):
            predicted = self.predict(before)
            weight = self.level_weights(predicted)
            before = predicted + self.levels.quantise((level - predicted) * weight, LOOP) / weight
            predictions.append(predicted)
            coded.append(before)
        return torch.stack(predictions, 1), torch.stack(coded, 1)

    def decode(self, codes: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Codes [B, n, F] -> latents [B, dimension, F], and the levels after the last frame [B, bands], which are the
        `before` of codes that follow. A frame with fewer stages has codes of `size` or more in the others."""
        levels, shapes = self.split(codes.shape[1])
        kinds = torch.tensor(self.kinds[: codes.shape[1]])
        residual = self.levels.decode(codes[:, kinds][:, :LOOP]).transpose(1, 2)
        before = residual.new_zeros(len(codes), self.bands) if before is None else before
        tracked = []
        for one in residual.unbind(1):
            predicted = self.predict(before)
            before = predicted + one / self.level_weights(predicted)
            tracked.append(before)
        base = torch.stack(tracked, 1) if tracked else residual
        level = base
        if levels > LOOP:
            fine = self.levels.decode(codes[:, kinds][:, LOOP:], LOOP).transpose(1, 2)
            level = base + fine / self.level_weights(base)
        if shapes:
            shape = self.shapes.decode(codes[:, ~kinds]).transpose(1, 2) / self.gains(base)
        else:
            shape = base.new_zeros(*base.shape[:2], self.assign.shape[1])
        return torch.cat([level, shape], 2).transpose(1, 2), before

    def forward(self, z: Tensor, stages: Tensor) -> tuple[Tensor, Tensor]:
        """Quantise for training, entries nearest in turn.

        Parameters
        ----------
        z : latents [B, D, F].
        stages : [B, F], how many stages each frame uses (quantiser dropout); all stages learn from every frame.

        Returns
        -------
        quantised latents [B, D, F] with the gradient passed straight through; the commitment loss, of the residual
        levels relative to their energy and of the weighted shapes relative to theirs.
        """
        x = z.transpose(1, 2).float()
        level, shape = x[..., : self.bands], x[..., self.bands :]
        splits = torch.tensor([self.split(int(n)) for n in stages.flatten()], device=z.device)
        with torch.no_grad():
            predicted, base = (one.flatten(0, 1) for one in self.track(level))
            residual = level.flatten(0, 1) - predicted
            gains, fine = self.gains(base), self.level_weights(predicted)
            levels = predicted + self.levels.learn(residual * fine, splits[:, 0]) / fine
            shapes = self.shapes.learn(shape.flatten(0, 1) * gains, splits[:, 1]) / gains
            quantised = torch.cat([levels, shapes], 1).view_as(x)
            weights = torch.cat([fine, gains], 1).view_as(x)
            energy = (residual * fine).square().sum(1).mean(), (shape.flatten(0, 1) * gains).square().sum(1).mean()
        error = ((x - quantised) * weights).square()
        parts = error[..., : self.bands], error[..., self.bands :]
        commitment = sum(
            (part.sum(-1).mean() / whole.clamp_min(1e-6) for part, whole in zip(parts, energy, strict=True)),
            start=x.new_zeros(()),
        )
        return (x + (quantised - x).detach()).transpose(1, 2), commitment

    @torch.no_grad()
    def fit(self, latents: Tensor, sample: int = 30_000, iterations: int = 8) -> None:
        """Prediction by least squares and codebooks by k-means, from stretches of latents [N, D, F]."""
        x = latents.transpose(1, 2).float()
        level, shape = x[..., : self.bands], x[..., self.bands :]
        self.mean.copy_(level.mean((0, 1)))
        before = level
        for closed in (False, True, True):
            self._fit_feedback(before[:, :-1], level[:, 1:])
            predicted = self.track(level)[0] if closed else self.predict(before.roll(1, 1))
            residual = (level - predicted) * self.level_weights(predicted)
            residual = residual[:, 2:].flatten(0, 1)  # without what saw no past
            self.levels.fit(residual, sample, iterations)
            before = self.track(level)[1]
        self.shapes.fit((shape * self.gains(before)).flatten(0, 1), sample, iterations)
        self.ready.fill_(True)

    def _fit_feedback(self, before: Tensor, now: Tensor) -> None:
        x, y = ((one - self.mean).flatten(0, 1).double() for one in (before, now))
        square = x.T @ x
        ridge = 1e-4 * square.diagonal().mean() * torch.eye(len(square), dtype=torch.double, device=x.device)
        values, vectors = torch.linalg.eig(torch.linalg.solve(square + ridge, x.T @ y))
        shortened = torch.diag(values * (FORGET / values.abs().clamp_min(FORGET)))
        self.feedback.copy_((vectors @ shortened @ torch.linalg.inv(vectors)).real)
