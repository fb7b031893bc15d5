"""Training losses on waveforms [B, 1, T] at 24 kHz, each a scalar that is 0 where both sides are equal.

The paper's (arXiv 2107.03312, III-E): `MelLoss`, `generator_loss` and `discriminator_loss` (hinge), `feature_loss`.
Additions that a short training needs, off by default: `LogMelLoss`, `ComplexSTFTLoss`, `snr_shortfall`.
In all, `x` is the reference and `y` what the decoder made of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

RATE = 24000


@dataclass(frozen=True)
class LossWeights:
    """Weights of the sum that the generator minimises; the defaults are the paper's (its commitment is not given)."""

    mel: float = 1.0
    adversarial: float = 1.0
    features: float = 100.0
    commitment: float = 0.25
    log_mel: float = 0.0
    complex_stft: float = 0.0
    snr: float = 0.0

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of the terms given, by field name; a KeyError names what is not a field."""
        return torch.stack([self[name] * term for name, term in terms.items()]).sum()

    def __getitem__(self, name: str) -> float:
        if name not in self.__dataclass_fields__:
            raise KeyError(f"no loss named {name!r}; there are: {', '.join(self.__dataclass_fields__)}")
        return float(getattr(self, name))


def mel_filters(window: int, bands: int, rate: int = RATE) -> Tensor:
    """Triangles of unit height, evenly spaced in mel = 2595 log10(1 + f / 700) from 0 to rate / 2.

    Returns float32 [bands, window / 2 + 1]. With short windows the lowest triangles fall between two bins and are 0.
    """
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + rate / 1400), bands + 2) / 2595) - 1)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.linspace(0, rate / 2, window // 2 + 1)[None]
    triangles = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    return torch.from_numpy(triangles.astype(np.float32))


def _power(z: Tensor) -> Tensor:
    return z.real.square() + z.imag.square()


class _Spectra(nn.Module):
    """STFTs with Hann windows at hop window / 4, centred, zeros beyond the ends."""

    def __init__(self, windows: Sequence[int], unit_power: bool) -> None:
        super().__init__()
        self.windows = tuple(windows)
        for size in self.windows:
            taps = torch.hann_window(size)
            scale = taps.square().sum().sqrt() if unit_power else torch.tensor(1.0)
            self.register_buffer(f"taps{size}", taps / scale, persistent=False)

    def stft(self, x: Tensor, size: int) -> Tensor:
        """x [B, 1, T] -> complex [B, size / 2 + 1, frames]."""
        taps = self.get_buffer(f"taps{size}")
        return torch.stft(
            x[:, 0].float(), size, size // 4, size, taps, center=True, pad_mode="constant", return_complex=True
        )


class MelLoss(_Spectra):
    """The paper's multi-scale spectral loss.

    The sum over windows s = 2^6 .. 2^11, hop s / 4, of |S(x) - S(y)|_1 + sqrt(s / 2) |log S(x) - log S(y)|_2, where S
    is a mel spectrogram of 64 bands (magnitudes of a plain Hann STFT) and both norms run over the bands. The paper sums
    over frames; here it is their mean, so that the loss does not grow with the crop. The log has a floor, which the
    paper does not give: noise of -90 dBFS with the longest window, well above what float32 leaves of empty bands.
    """

    FLOOR = 1e-3

    def __init__(self, windows: Sequence[int] = (64, 128, 256, 512, 1024, 2048), bands: int = 64) -> None:
        super().__init__(windows, unit_power=False)
        for size in self.windows:
            self.register_buffer(f"mel{size}", mel_filters(size, bands), persistent=False)

    def spectrogram(self, x: Tensor, size: int) -> Tensor:
        """x [B, 1, T] -> mel magnitudes [B, bands, frames]."""
        # The root needs a floor, or its gradient is infinite at silence.
        return self.get_buffer(f"mel{size}") @ (_power(self.stft(x, size)) + 1e-12).sqrt()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        total = x.new_zeros((), dtype=torch.float32)
        for size in self.windows:
            a, b = self.spectrogram(x, size), self.spectrogram(y, size)
            logs = (a + self.FLOOR).log() - (b + self.FLOOR).log()
            total = total + (a - b).abs().sum(1).mean()
            total = total + math.sqrt(size / 2) * torch.linalg.vector_norm(logs, dim=1).mean()
        return total


class LogMelLoss(_Spectra):
    """Mean |log10 P(x) - log10 P(y)| of mel power spectrograms, averaged over windows; floor at -60 dB.

    Unlike `MelLoss` the bands grow with the window, so that no triangle is empty.
    """

    BANDS: Mapping[int, int] = {2048: 80, 1024: 64, 512: 40, 256: 20, 128: 10}

    def __init__(self) -> None:
        super().__init__(tuple(self.BANDS), unit_power=True)
        for size, bands in self.BANDS.items():
            filters = mel_filters(size, bands)
            self.register_buffer(f"mel{size}", filters[filters.sum(1) > 0], persistent=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        total = x.new_zeros((), dtype=torch.float32)
        for size in self.windows:
            filters = self.get_buffer(f"mel{size}")
            a, b = ((filters @ _power(self.stft(z, size)) + 1e-6).log10() for z in (x, y))
            total = total + (a - b).abs().mean()
        return total / len(self.windows)


class ComplexSTFTLoss(_Spectra):
    """Mean |c(x) - c(y)| of complex STFTs whose magnitudes are raised to the power 0.3; it sees the phase."""

    def __init__(self, windows: Sequence[int] = (1024, 512, 256), power: float = 0.3) -> None:
        super().__init__(windows, unit_power=True)
        self.power = power

    def _compressed(self, x: Tensor, size: int) -> Tensor:
        z = self.stft(x, size)
        scale = (_power(z) + 1e-6).pow((self.power - 1) / 2)
        return torch.view_as_real(z) * scale[..., None]

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        total = x.new_zeros((), dtype=torch.float32)
        for size in self.windows:
            total = total + (self._compressed(x, size) - self._compressed(y, size)).abs().mean()
        return total / len(self.windows)


def snr_shortfall(x: Tensor, y: Tensor, goal: float = 30.0) -> Tensor:
    """By how many dB the signal-to-noise ratio of y misses `goal`, 0 if it does not; mean over the batch.

    A scaffold: it locks the phase within hundreds of steps, where spectral losses alone do not, and should then fade,
    since the ratio pulls the rate to the lowest frequencies. Powers below -60 dBFS count as noise of the measurement.
    """
    error = (x - y).float().square().mean((1, 2)) + 1e-6
    allowed = x.float().square().mean((1, 2)) * 10 ** (-goal / 10) + 1e-6
    return (10 * (error / allowed).log10()).clamp_min(0).mean()


def discriminator_loss(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Hinge: mean over the networks of max(0, 1 - D(x)) + max(0, 1 + D(y)); `fake` from a detached y."""
    each = [(1 - a.float()).relu().mean() + (1 + b.float()).relu().mean() for a, b in zip(real, fake, strict=True)]
    return torch.stack(each).mean()


def generator_loss(fake: Sequence[Tensor]) -> Tensor:
    """Hinge: mean over the networks of max(0, 1 - D(y)); 0 where every logit is at least 1."""
    return torch.stack([(1 - one.float()).relu().mean() for one in fake]).mean()


def feature_loss(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """Feature matching: the mean absolute difference of each hidden layer, averaged over layers and networks."""
    each = [
        (a.detach().float() - b.float()).abs().mean()
        for one, other in zip(real, fake, strict=True)
        for a, b in zip(one, other, strict=True)
    ]
    return torch.stack(each).mean()
