"""The entries of the codebooks whose sum is nearest to the latents, and how sure that is.

The nearest entry of each stage in turn is not the best sum, which is too costly to find. Between the two is a beam
search (also called M-search; Jelinek and Anderson, IEEE Trans. Information Theory 17, 1971): after each stage the best
few sums are kept. Decoder and stream know nothing of it.

Two sums can be so equally near that the rounding of float32 decides between them, and rounding depends on the
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

#: sums kept after each stage
BEAM = 4
#: sums that are nearer to each other than about this share of the latents' norm count as that far apart
NEAR = 0.1
#: for silence, and where a stage has but one entry
_TINY = 1e-30


class Search:
    """The codebooks, ready to be searched in the given precision. Of equal entries only the first is ever found."""

    def __init__(self, quantizer: ResidualVectorQuantizer, dtype: torch.dtype) -> None:
        codebooks = quantizer.codebooks.detach().cpu()
        self.entries = codebooks.to(dtype)
        self.norms = self.entries.square().sum(2)
        for norms, entries in zip(self.norms, codebooks.numpy(), strict=True):
            again = np.ones(len(entries), bool)
            again[np.unique(entries, axis=0, return_index=True)[1]] = False
            norms[torch.from_numpy(again)] = torch.inf

    def codes(self, z: Tensor, stages: int) -> Tensor:
        """Latents [B, D, F] -> codes [B, stages, F], int64, on the latents' device."""
        found = [self(one.T.cpu().to(self.entries.dtype), stages)[0] for one in z]
        return torch.from_numpy(np.stack(found).astype(np.int64)).transpose(1, 2).to(z.device)

    def __call__(self, z: Tensor, stages: int) -> tuple[Codes, NDArray[np.float64]]:
        """Latents [F, D] -> codes [F, stages] and margin [F].

        The margin is how far the latents are, at the closest of all decisions, from where another sum would have been
        kept, as a share of their norm; smaller where the two sums lie so near to each other that the rounding of
        distances counts.
        """
        frames, rows = len(z), np.arange(len(z))
        residual = z[:, None]  # [F, sums, D]
        codes, margin = np.empty((frames, 1, 0), np.int64), np.full(frames, np.inf)
        norm = z.norm(dim=1).numpy()
        for stage in range(stages):
            sums, size = residual.shape[1], self.entries.shape[1]
            keep = min(BEAM if stage < stages - 1 else 1, sums * size - 1)
            products = torch.addmm(self.norms[stage], residual.flatten(0, 1), self.entries[stage].T, alpha=-2)
            distances = products.view(frames, sums, size).add_(residual.square().sum(2, keepdim=True))
            distance = distances.view(frames, sums * size).numpy()
            best, least = np.empty((frames, keep + 1), np.int64), np.empty((frames, keep + 1))
            for rank in range(keep + 1):  # faster than a partial sort
                best[:, rank] = distance.argmin(1)
                least[:, rank] = distance[rows, best[:, rank]]
                distance[rows, best[:, rank]] = np.inf
            one, entry = np.divmod(best, size)  # the sum before, and what is added to it
            before = torch.from_numpy((one + sums * rows[:, None]).ravel())
            residual = residual.flatten(0, 1).index_select(0, before)
            residual -= self.entries[stage].index_select(0, torch.from_numpy(entry.ravel()))
            residual = residual.view(frames, keep + 1, -1)
            apart = (residual[:, keep] - residual[:, keep - 1]).norm(dim=1).numpy()
            with np.errstate(invalid="ignore"):
                gap = least[:, keep] - least[:, keep - 1]
            gap[np.isnan(gap)] = np.inf  # neither is a sum: equal entries
            margin = np.minimum(margin, gap / (2 * apart + NEAR * norm + _TINY))
            residual = residual[:, :keep]
            codes = np.concatenate([codes[rows[:, None], one[:, :keep]], entry[:, :keep, None]], axis=2)
        return codes[:, 0].astype(np.uint16), margin / (norm + _TINY)
