"""Causal convolutions that run on a whole signal or, with a state, chunk by chunk.

Sources: Zeghidour et al. 2021 (arXiv 2107.03312), section III-A. Shapes are [B, C, T].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class StreamState:
    """What a stream's next chunk must know of the chunks before it: the last inputs of every convolution.

    An empty state stands for silence before the start, as the padding of a whole signal does.
    """

    past: dict[nn.Module, Tensor] = field(default_factory=dict)

    def extend(self, module: nn.Module, x: Tensor, length: int) -> Tensor:
        """x [B, C, T] with the `length` inputs before it, [B, C, length + T]; the last ones are kept."""
        past = self.past.get(module)
        if past is None:
            past = x.new_zeros(*x.shape[:-1], length)
        x = torch.cat([past, x], -1)
        self.past[module] = x[..., x.shape[-1] - length :]
        return x


class CausalConv1d(nn.Module):
    """Convolution whose output i sees the inputs up to `(i + 1) * stride - 1` and none after.

    [B, C_in, T] -> [B, C_out, T / stride]; T is a multiple of the stride.
    """

    def __init__(
        self, c_in: int, c_out: int, kernel: int, stride: int = 1, dilation: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(c_in, c_out, kernel, stride, dilation=dilation, bias=bias)
        self.context = (kernel - 1) * dilation - (stride - 1)
        nn.init.normal_(self.conv.weight, std=1 / math.sqrt(c_in * kernel))
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        if self.context:
            x = F.pad(x, (self.context, 0)) if state is None else state.extend(self, x, self.context)
        return self.conv(x)  # type: ignore[no-any-return]


class CausalConvTranspose1d(nn.Module):
    """Transposed convolution with kernel 2 x stride: output frame i is made of the inputs i and i - 1.

    [B, C_in, T] -> [B, C_out, T * stride].
    """

    def __init__(self, c_in: int, c_out: int, stride: int, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose1d(c_in, c_out, 2 * stride, stride, bias=bias)
        self.stride = stride
        nn.init.normal_(self.conv.weight, std=1 / math.sqrt(2 * c_in))
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        x = F.pad(x, (1, 0)) if state is None else state.extend(self, x, 1)
        return self.conv(x)[..., self.stride : -self.stride]  # type: ignore[no-any-return]
