"""The nearest entries of the codebooks, and how sure that is.

Two entries can be so equally near that the rounding of float32 decides between them, and rounding depends on the
machine, the library and how much was coded at once. The margin tells such frames, which are then coded in float64,
where rounding is a hundred million times smaller: codes are a function of the weights and the samples only. The
pattern is that of adaptive predicates (Shewchuk 1997).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .quantizer import ResidualVectorQuantizer

Codes = NDArray[np.uint16]

#: for the division where a stage has but one entry
_TINY = 1e-30


class Search:
    """The codebooks, ready to be searched in the given precision. Of equal entries only the first is ever found."""

    def __init__(self, quantizer: ResidualVectorQuantizer, dtype: torch.dtype) -> None:
        self.entries = quantizer.codebooks.to(dtype)
        self.norms = self.entries.square().sum(2)
        for norms, entries in zip(self.norms, quantizer.codebooks.numpy(), strict=True):
            again = np.ones(len(entries), bool)
            again[np.unique(entries, axis=0, return_index=True)[1]] = False
            norms[torch.from_numpy(again)] = torch.inf

    def __call__(self, z: Tensor, stages: int) -> tuple[Codes, NDArray[np.float64]]:
        """Latents [F, D] -> codes [F, stages] and margin [F].

        The margin is how far the residual is, at the closest of the stages, from where another entry would be the
        nearest, as a share of the latents' norm.
        """
        rows, residual = np.arange(len(z)), z
        codes, margin = np.empty((len(z), stages), np.uint16), np.full(len(z), np.inf)
        for stage in range(stages):
            entries = self.entries[stage]
            distance = torch.addmm(self.norms[stage], residual, entries.T, alpha=-2).numpy()
            best = distance.argmin(1)
            least = distance[rows, best]
            distance[rows, best] = np.inf
            second = distance.argmin(1)
            entry = entries.index_select(0, torch.from_numpy(best))
            apart = (entry - entries.index_select(0, torch.from_numpy(second))).numpy()
            gap = distance[rows, second] - least
            margin = np.minimum(margin, gap / (2 * np.sqrt((apart * apart).sum(1)) + _TINY))
            residual = residual - entry
            codes[:, stage] = best
        return codes, margin / (z.norm(dim=1).numpy() + _TINY)
