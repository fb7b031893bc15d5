"""What generator and discriminators minimise, from a batch and its reconstruction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from .. import losses
from ..discriminators import Judgement
from ..losses import LossWeights


class Reconstruction(nn.Module):
    """The losses that need no discriminator; those of weight 0 are not computed.

    All but the paper's are of signals scaled so that the reference has -20 dBFS: a quiet example teaches as much as a
    loud one, and their floors lie 40 dB below it. The gain has a limit, so that silence is not scaled up.
    """

    LEVEL, QUIETEST = 0.1, 3e-5

    def __init__(self) -> None:
        super().__init__()
        self.mel = losses.MelLoss()
        self.log_mel = losses.LogMelLoss()
        self.complex_stft = losses.ComplexSTFTLoss()

    def forward(self, x: Tensor, y: Tensor, weights: LossWeights) -> dict[str, Tensor]:
        """Reference and reconstruction [B, 1, T] -> scalars by their names in `LossWeights`."""
        terms: dict[str, Tensor] = {}
        if weights.mel:
            terms["mel"] = self.mel(x, y)
        gain = self.LEVEL / x.square().mean((1, 2), keepdim=True).sqrt().clamp_min(self.QUIETEST)
        x, y = x * gain, y * gain
        if weights.log_mel:
            terms["log_mel"] = self.log_mel(x, y)
        if weights.complex_stft:
            terms["complex_stft"] = self.complex_stft(x, y)
        if weights.snr:
            terms["snr"] = losses.snr_shortfall(x, y)
        return terms


def adversarial(nets: nn.ModuleList, x: Tensor, y: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """The generator's adversarial and feature losses by name, and the loss of the discriminators.

    Both come from the same weights, so one pass on x serves both; the discriminators are then updated after the
    generator. The generator's losses leave no gradient in the discriminators, nor theirs one in the generator.
    """
    real = [net(x) for net in nets]
    nets.requires_grad_(False)
    fake = [net(y) for net in nets]
    nets.requires_grad_(True)
    detached = [net(y.detach()) for net in nets]
    terms = {
        "adversarial": losses.generator_loss(_logits(fake)),
        "features": losses.feature_loss(_features(real), _features(fake)),
    }
    return terms, losses.discriminator_loss(_logits(real), _logits(detached))


def _logits(judged: Iterable[Judgement]) -> Sequence[Tensor]:
    return [one for logits, _ in judged for one in logits]


def _features(judged: Iterable[Judgement]) -> Sequence[Sequence[Tensor]]:
    return [one for _, features in judged for one in features]
