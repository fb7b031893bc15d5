"""SoundStream's encoder and decoder (arXiv 2107.03312, section III-A and III-B), and where they start from.

Between the paper's network and this one lie three differences, all measured (docs/soundstream.md):

- The path outside the residual units is linear, and it starts as a transform with perfect reconstruction: the strided
  convolutions as a polyphase split, the last as an MDCT over two frames, the decoder as its inverse, which is complete
  a frame later. The residual units start at zero. So training begins with a transform codec that works, not with noise.
- Convolutions above the frame rate have no bias and their units a leaky ReLU: a louder input gives a louder output
  and nothing else, silence gives silence. Level is dealt with in one place, `Bands`.
- There are residual units at the frame rate too, where they are cheap and see a second of the past.

Shapes are [B, C, T]; one frame is 320 samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .conv import CausalConv1d, CausalConvTranspose1d, StreamState

#: share of noise in the shapes that no latent stands for; radians that a latent of 1 turns its phase by
NOISE, TURN = 0.6, 3.0
#: amplitude where a band's level turns from linear to logarithmic: -80 dBFS
KNEE = 1e-4


class ResidualUnit(nn.Module):
    """x + conv 1 (f (conv k, dilated (f (x)))), [B, C, T] -> [B, C, T]; it starts as the identity."""

    def __init__(self, channels: int, kernel: int, dilation: int, scale_free: bool) -> None:
        super().__init__()
        self.scale_free = scale_free
        self.wide = CausalConv1d(channels, channels, kernel, dilation=dilation, bias=not scale_free)
        self.mix = CausalConv1d(channels, channels, 1, bias=not scale_free)
        nn.init.zeros_(self.mix.conv.weight)

    def _activate(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, 0.2) if self.scale_free else F.elu(x)

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        return x + self.mix(self._activate(self.wide(self._activate(x), state)))  # type: ignore[no-any-return]


class Bands(nn.Module):
    """Groups of features, narrow at low frequencies and wider above, whose level and shape are told apart.

    The encoder's linear path ends in one feature a frequency. Their levels span 80 dB and matter most to the ear, their
    fine structure less; a quantiser that minimises the error of the features themselves spends nearly all its bits
    on the strongest and lets the others fall silent. So a frame goes to the quantiser as the logarithms of the bands'
    levels and the bands' shapes at level 1, as in the gain-shape coding of classic transform codecs (CELT: RFC 6716,
    section 4.3), and the decoder puts the two together again. Group normalisation that keeps what it divides by.
    """

    assign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        edges = band_edges(channels)
        self.count = len(edges) - 1
        assign = torch.zeros(self.count, channels)
        for band, (low, high) in enumerate(pairwise(edges)):
            assign[band, low:high] = 1
        self.register_buffer("assign", assign, persistent=False)

    def rms(self, x: Tensor) -> Tensor:
        """Features or shapes [B, C, T] -> root mean square of each band [B, bands, T]."""
        mean = (self.assign / self.assign.sum(1, keepdim=True)) @ x.square()
        return (mean + 1e-12).sqrt()

    def split(self, x: Tensor) -> Tensor:
        """Features [B, C, T] -> levels, then shapes, [B, bands + C, T]; shapes fade below the knee."""
        rms = self.rms(x)
        level = torch.log1p(rms / KNEE)
        gain = (level / 2).clamp_max(1) / (rms + KNEE / 10)
        return torch.cat([level, x * (self.assign.T @ gain)], 1)

    def join(self, x: Tensor) -> Tensor:
        """Levels and shapes [B, bands + C, T] -> features [B, C, T]: the shapes at exactly these levels."""
        level, shape = x[:, : self.count], x[:, self.count :]
        gain = torch.expm1(level.clamp(0, 12)) * KNEE / (self.rms(shape) + 0.03)
        return shape * (self.assign.T @ gain)


def band_edges(channels: int) -> list[int]:
    """Edges of bands 4 features wide at first, then a sixth of their frequency."""
    edges = [0]
    while edges[-1] < channels:
        edges.append(min(channels, edges[-1] + max(4, round(edges[-1] / 6))))
    if len(edges) > 2 and edges[-1] - edges[-2] < 4:
        del edges[-2]
    return edges


def _units(channels: int, kernel: int, dilations: Sequence[int], scale_free: bool) -> list[ResidualUnit]:
    return [ResidualUnit(channels, kernel, d, scale_free) for d in dilations]


class _Network(nn.Module):
    """Layers in a row, each given the stream's state."""

    layers: nn.ModuleList

    def _run(self, x: Tensor, state: StreamState | None, layers: Sequence[nn.Module]) -> Tensor:
        for layer in layers:
            x = layer(x, state)
        return x


class Encoder(_Network):
    """Waveform [B, 1, T] -> latents [B, D, T / hop].

    Parameters
    ----------
    channels : at each rate from the sample rate down to the frame rate, one more than there are strides.
    dilations : of the residual units at each of these rates.
    kernel : of the residual units above the frame rate; at it, `frame_kernel`.
    """

    def __init__(
        self,
        channels: Sequence[int],
        dimension: int,
        strides: Sequence[int],
        dilations: Sequence[Sequence[int]],
        kernel: int,
        frame_kernel: int,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [CausalConv1d(1, channels[0], 7, bias=False)]
        for i, stride in enumerate(strides):
            layers += _units(channels[i], kernel, dilations[i], scale_free=True)
            layers.append(CausalConv1d(channels[i], channels[i + 1], 2 * stride, stride, bias=False))
        self.layers = nn.ModuleList(layers)
        self.bands = Bands(channels[-1])
        features = self.bands.count + channels[-1]
        frame = _units(features, frame_kernel, dilations[-1], scale_free=False)
        self.frame_layers = nn.ModuleList([*frame, CausalConv1d(features, dimension, 3)])

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        x = self.bands.split(self._run(x, state, list(self.layers)))
        return self._run(x, state, list(self.frame_layers))


class Decoder(_Network):
    """Latents [B, D, T] -> waveform [B, 1, T * hop]: the encoder mirrored. Channels and dilations are given in the
    encoder's order, from the sample rate down.

    The shapes of the highest frequencies have no latents. A network that minimises a distance puts a fixed pattern
    there, which is heard as tones, so part of them is noise: the sine of a random projection of the latents, which the
    same latents always give, in whatever chunks they come.
    """

    noise: Tensor

    def __init__(
        self,
        channels: Sequence[int],
        dimension: int,
        strides: Sequence[int],
        dilations: Sequence[Sequence[int]],
        kernel: int,
        frame_kernel: int,
    ) -> None:
        super().__init__()
        self.bands = Bands(channels[-1])
        features = self.bands.count + channels[-1]
        frame = _units(features, frame_kernel, dilations[-1], scale_free=False)
        self.frame_layers = nn.ModuleList([CausalConv1d(dimension, features, 3), *frame])
        self.register_buffer("noise", TURN * torch.randn(features - dimension, dimension))
        layers: list[nn.Module] = []
        for i in reversed(range(len(strides))):
            layers.append(CausalConvTranspose1d(channels[i + 1], channels[i], strides[i], bias=False))
            layers += _units(channels[i], kernel, dilations[i], scale_free=True)
        self.layers = nn.ModuleList([*layers, CausalConv1d(channels[0], 1, 7, bias=False)])

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        features = self._filled(self._run(x, state, list(self.frame_layers)), x.detach())
        return self._run(self.bands.join(features), state, list(self.layers))

    def _filled(self, features: Tensor, latents: Tensor) -> Tensor:
        """Levels and shapes [B, bands + C, T] with noise in those that no latent stands for."""
        dimension = latents.shape[1]
        noise = (3 * (self.noise @ latents).sin()).clamp(-1, 1)  # even: a peak is a click
        rms = self.bands.assign.T @ self.bands.rms(features[:, self.bands.count :])
        fill = NOISE * noise * rms[:, dimension - self.bands.count :]
        return torch.cat([features[:, :dimension], (1 - NOISE) * features[:, dimension:] + fill], 1)


def mdct_matrix(size: int) -> Tensor:
    """Orthonormal MDCT of hop `size` with the power-complementary window of Vorbis I, [size, 2 size]: row k is the k-th
    basis function. (Princen, Johnson and Bradley, ICASSP 1987; the window: Vorbis I specification, section 4.3.1.)"""
    n = torch.arange(2 * size, dtype=torch.float64)
    k = torch.arange(size, dtype=torch.float64)[:, None]
    window = (math.pi / 2 * (math.pi / (2 * size) * (n + 0.5)).sin().square()).sin()
    return math.sqrt(2 / size) * window * torch.cos(math.pi / size * (n + 0.5 + size / 2) * (k + 0.5))


@torch.no_grad()
def start_as_transform(encoder: Encoder, decoder: Decoder, strides: Sequence[int]) -> None:
    """Set the linear path to an MDCT over each frame and the one before, and its inverse, reduced to as many
    coefficients as there are channels and latent dimensions; what of the layers it does not use stays random, unheard
    at first. What comes out is the input `hop` samples late, since a frame is whole with the next one's first half.

    Shapes are weighted by a falling line from the lowest band to the highest.
    """
    down = [layer for layer in encoder.layers if isinstance(layer, CausalConv1d)]
    up = [layer for layer in decoder.layers if isinstance(layer, CausalConvTranspose1d)][::-1]
    last = decoder.layers[-1]
    assert isinstance(last, CausalConv1d)
    last.conv.weight.zero_()
    last.conv.weight[0, 0, -1] = 1
    down[0].conv.weight[0] = 0
    down[0].conv.weight[0, 0, -1] = 1
    used = 1  # channels that carry the polyphase components
    for i, stride in enumerate(strides[:-1]):
        forward, back = down[i + 1].conv.weight, up[i].conv.weight
        forward[: used * stride] = 0
        back[:, :used] = 0
        for c in range(used):
            for phase in range(stride):
                forward[c * stride + phase, c, stride + phase] = 1
                back[c * stride + phase, c, phase] = 1
        used *= stride
    hop = used * strides[-1]
    order = _sample_order(strides)  # [used, stride]: which sample of the frame a component and tap is
    order = torch.cat([order, hop + order], 1)  # of the frame before, then of this one
    kept = min(hop, down[-1].conv.out_channels)
    basis = mdct_matrix(hop)[:kept][:, order].float()  # [kept, used, 2 stride]
    down[-1].conv.weight.mul_(0.1)
    down[-1].conv.weight[:kept] = 0
    down[-1].conv.weight[:kept, :used] = basis
    up[-1].conv.weight[:, :used] = 0
    up[-1].conv.weight[:kept, :used] = basis
    # Latents: all levels, then the shapes of the lowest frequencies, whose waveform matters most. The other shapes are
    # random functions of the latents, which `join` brings to their bands' levels: noise filling, until trained.
    to_latent, from_latent = encoder.frame_layers[-1], decoder.frame_layers[0]
    assert isinstance(to_latent, CausalConv1d)
    assert isinstance(from_latent, CausalConv1d)
    bands, n = encoder.bands.count, to_latent.conv.out_channels
    width = encoder.bands.assign.sum(1) @ encoder.bands.assign
    weight = torch.linspace(1.5, 0.2, bands) @ encoder.bands.assign
    scale = torch.cat([torch.ones(bands), weight * width.rsqrt()])[:n]
    index = torch.arange(n)
    for layer, value in ((to_latent, scale), (from_latent, 1 / scale)):
        layer.conv.weight[:n] = 0
        layer.conv.weight[index, index, -1] = value
        layer.conv.weight[n:].mul_(0.1)


def _sample_order(strides: Sequence[int]) -> Tensor:
    """[components, last stride]: the place in its frame of each polyphase component's tap."""
    order = torch.arange(math.prod(strides))[:, None]  # [T, channels] of sample numbers
    for stride in strides[:-1]:
        order = order.reshape(-1, stride, order.shape[1]).transpose(1, 2).reshape(order.shape[0] // stride, -1)
    return order.T
