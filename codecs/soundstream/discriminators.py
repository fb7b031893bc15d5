"""The two discriminators of SoundStream (arXiv 2107.03312, section III-D): on waveforms and on a complex STFT.

Both return `(logits, features)`: a list of logits, one for each network, and for each network the list of its hidden
layers, which the feature matching loss compares. Both are fully convolutional, so logits are one for each stretch of
time and a loss averages over them.

What the paper leaves open: activations are leaky ReLU of slope 0.2 and all convolutions are weight-normalised (as torch
parametrizations), as in MelGAN, whose wave discriminator this is. `channels` scales both; the defaults are the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

#: logits of each network, hidden layers of each network
Judgement = tuple[list[Tensor], list[list[Tensor]]]


def _conv1d(cin: int, cout: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    layer: nn.Module = weight_norm(nn.Conv1d(cin, cout, kernel, stride, padding=kernel // 2, groups=groups))
    return layer


class WaveNetwork(nn.Module):
    """One resolution of the wave discriminator (MelGAN's): four grouped convolutions that divide the rate by 256.

    A plain convolution to `channels`; four of stride 4 in groups of 4 channels, each with 4 times the channels of
    the one before up to `max_channels`; two plain ones.
    """

    def __init__(self, channels: int = 16, max_channels: int = 1024) -> None:
        super().__init__()
        layers = [_conv1d(1, channels, 15)]
        for _ in range(4):
            wider = min(4 * channels, max_channels)
            layers.append(_conv1d(channels, wider, 41, stride=4, groups=channels // 4))
            channels = wider
        layers += [_conv1d(channels, channels, 5)]
        self.hidden = nn.ModuleList(layers)
        self.last = _conv1d(channels, 1, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """x [B, 1, T] -> logits [B, 1, T / 256], features of 6 layers [B, C, T / stride]."""
        features = []
        for layer in self.hidden:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.last(x), features


class WaveDiscriminator(nn.Module):
    """`WaveNetwork` at three resolutions: the waveform, and averaged down by 2 and by 4."""

    def __init__(self, channels: int = 16, max_channels: int = 1024, resolutions: int = 3) -> None:
        super().__init__()
        self.networks = nn.ModuleList(WaveNetwork(channels, max_channels) for _ in range(resolutions))

    def forward(self, x: Tensor) -> Judgement:
        """x [B, 1, T] -> 3 logits [B, 1, T / 256 / 2^r], 3 x 6 features."""
        logits, features = [], []
        for index, network in enumerate(self.networks):
            if index:
                x = F.avg_pool1d(x, 4, 2, padding=1, count_include_pad=False)
            one, hidden = network(x)
            logits.append(one)
            features.append(hidden)
        return logits, features


class ResidualUnit2d(nn.Module):
    """3 x 3 convolution, then one of (time stride + 2) x (frequency stride + 2) that strides; beside it a 1 x 1."""

    def __init__(self, channels: int, factor: int, stride: tuple[int, int]) -> None:
        super().__init__()
        time, frequency = stride
        self.inner = weight_norm(nn.Conv2d(channels, channels, 3, padding=1))
        self.pad = (1, frequency, 1, time)  # to ceil(size / stride), as the 1 x 1 beside it gives
        self.outer = weight_norm(nn.Conv2d(channels, factor * channels, (time + 2, frequency + 2), stride))
        self.skip = weight_norm(nn.Conv2d(channels, factor * channels, 1))
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, frames, bins] -> [B, factor C, ceil(frames / time stride), ceil(bins / frequency stride)]."""
        y = self.inner(F.leaky_relu(x, 0.2))
        y = self.outer(F.pad(F.leaky_relu(y, 0.2), self.pad))
        # A 1 x 1 convolution with a stride, by hand: PyTorch 2.13's writes beyond its memory on CPUs (channels last).
        time, frequency = self.stride
        return cast(Tensor, y + self.skip(x[:, :, ::time, ::frequency]))


class STFTDiscriminator(nn.Module):
    """Complex STFT of window 1024 and hop 256, 7 x 7 convolution, six residual units, 1 x (bins / 64) convolution.

    The strides (time, frequency) alternate between (1, 2) and (2, 2), and the channels grow 1, 2, 4, 4, 8, 8, 16 times.
    Real and imaginary part are the two input channels; the bin at half the rate is left out, so that 512 remain.
    """

    UNITS: Sequence[tuple[int, tuple[int, int]]] = (
        (2, (1, 2)),
        (2, (2, 2)),
        (1, (1, 2)),
        (2, (2, 2)),
        (1, (1, 2)),
        (2, (2, 2)),
    )
    window: Tensor

    def __init__(self, channels: int = 32, window: int = 1024, hop: int = 256) -> None:
        super().__init__()
        self.hop = hop
        # Unit power gain: the input of the network is then of the waveform's own order of magnitude.
        taps = torch.hann_window(window)
        self.register_buffer("window", taps / taps.square().sum().sqrt(), persistent=False)
        layers: list[nn.Module] = [weight_norm(nn.Conv2d(2, channels, 7, padding=3))]
        for factor, stride in self.UNITS:
            layers.append(ResidualUnit2d(channels, factor, stride))
            channels *= factor
        self.hidden = nn.ModuleList(layers)
        self.last = weight_norm(nn.Conv2d(channels, 1, (1, window // 2 // 64)))

    def forward(self, x: Tensor) -> Judgement:
        """x [B, 1, T], T >= 512 -> 1 logit [B, 1, T / 2048, 1], 1 x 7 features [B, C, frames, bins]."""
        size = len(self.window)
        # Float32 whatever autocast says: bfloat16 has no FFT.
        spectrum = torch.stft(x[:, 0].float(), size, self.hop, size, self.window, return_complex=True)
        y = torch.view_as_real(spectrum[:, :-1]).permute(0, 3, 2, 1).contiguous()  # [B, 2, frames, bins]
        features = []
        for layer in self.hidden:
            y = layer(y)
            features.append(y)
        return [self.last(F.leaky_relu(y, 0.2))], [features]
