"""Residual vector quantiser (arXiv 2107.03312, section III-C): each stage codes what the stages before it left."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: what stays of the moving averages at an update: while the encoder moves, and when it stands still. An entry that is
#: the mean of few frames codes others worse (docs/soundstream.md).
MEMORY, LONG_MEMORY = 0.98, 0.995


def nearest(x: Tensor, codebook: Tensor) -> Tensor:
    """Index of the codebook's entry [K, D] nearest to each row of x [N, D], [N]."""
    return torch.addmm(codebook.square().sum(1)[None], x, codebook.T, alpha=-2).argmin(1)


class ResidualVectorQuantizer(nn.Module):
    """Stages of `size` entries each, learned by k-means and then by moving averages, never by gradients.

    Where the paper updates the averages at every step, here the statistics of `gather` frames are taken together:
    with the few hundred frames of a small batch the codebooks lag behind the encoder (docs/soundstream.md).

    Attributes
    ----------
    codebooks : [stages, size, D]
    usage : [stages, size], moving average of how often each entry was chosen; its mean over entries is 1.
    """

    codebooks: Tensor
    usage: Tensor

    def __init__(
        self, dimension: int, stages: int = 24, size: int = 1024, decay: float = MEMORY, dead: float = 0.1,
        gather: int = 4096,
    ) -> None:  # fmt: skip
        super().__init__()
        self.stages, self.size, self.decay, self.dead, self.gather = stages, size, decay, dead, gather
        self.register_buffer("codebooks", torch.zeros(stages, size, dimension))
        self.register_buffer("usage", torch.ones(stages, size))
        self._statistics: _Statistics | None = None

    @property
    def settled(self) -> bool:
        """Whether no statistics wait for an update: all the state is then in the buffers and may be saved."""
        return self._statistics is None

    def settle(self) -> None:
        """Forget the statistics that wait for an update."""
        self._statistics = None

    def decode(self, codes: Tensor, first: int = 0) -> Tensor:
        """Codes [B, n, F] of the stages from `first` on -> latents [B, D, F]. A code that no entry has adds nothing: it
        stands where a frame of a variable bitrate has fewer stages."""
        z = self.codebooks.new_zeros(len(codes), codes.shape[2], self.codebooks.shape[2])
        for codebook, code in zip(self.codebooks[first:], codes.unbind(1), strict=False):
            z += codebook[code.clamp_max(self.size - 1)] * (code < self.size)[..., None]
        return z.transpose(1, 2)

    @torch.no_grad()
    def quantise(self, x: Tensor, stages: int) -> Tensor:
        """Rows [N, D] -> what the first stages, the nearest entry of each in turn, make of them [N, D]."""
        quantised = torch.zeros_like(x)
        for codebook in self.codebooks[:stages]:
            quantised += codebook[nearest(x - quantised, codebook)]
        return quantised

    @torch.no_grad()
    def learn(self, x: Tensor, limit: Tensor) -> Tensor:
        """Rows [N, D] -> what the first `limit` [N] stages of each make of them [N, D], the nearest entry of each in
        turn (`search.py` finds better sums). In training mode all stages learn from all rows."""
        residual, quantised = x.clone(), torch.zeros_like(x)
        if self.training and self._statistics is None:
            self._statistics = _Statistics(self)
        for stage, codebook in enumerate(self.codebooks):
            code = nearest(residual, codebook)
            entry = codebook[code]
            if self.training and self._statistics is not None:
                self._statistics.add(stage, residual, entry, code)
            quantised += entry * (stage < limit)[:, None]
            residual -= entry
        if self._statistics is not None and self._statistics.frames >= self.gather:
            self._update(self._statistics)
            self._statistics = None
        return quantised

    def _update(self, new: _Statistics) -> None:
        scale = self.size / new.frames
        old = self.codebooks * (self.usage * self.decay)[..., None]
        self.usage.mul_(self.decay).add_(new.count * scale, alpha=1 - self.decay)
        self.codebooks.copy_((old + new.total * (scale * (1 - self.decay))) / self.usage.clamp_min(1e-4)[..., None])
        for stage in range(self.stages):
            _split(self.codebooks[stage], self.usage[stage], self.dead, new.error[stage], new.pool(stage))

    @torch.no_grad()
    def fit(self, latents: Tensor, sample: int = 30_000, iterations: int = 8) -> None:
        """K-means, stage after stage, on `sample` of the latents [N, D]; 20 times the codebook's size or more."""
        residual = latents.float().clone()
        for stage in range(self.stages):
            some = residual[torch.randperm(len(residual), device=residual.device)[:sample]]
            if len(some) < self.size:
                raise ValueError(f"k-means of {self.size} entries needs more than {len(latents)} frames")
            # Near the mean: so many vectors of so many dimensions are nearer to it than to one another.
            centre = some.mean(0)
            codebook = centre + (some[: self.size] - centre) * (0.3 if stage else 1.0)
            for iteration in range(iterations):
                code = nearest(some, codebook)
                count = torch.bincount(code, minlength=self.size).float()
                codebook = torch.where(
                    (count > 0)[:, None],
                    torch.zeros_like(codebook).index_add_(0, code, some) / count.clamp_min(1)[:, None],
                    codebook,
                )
                if iteration < iterations - 2:
                    error = _error(some - codebook[code], code, self.size)
                    _split(codebook, count * (self.size / len(some)), self.dead, error, some)
            code = nearest(residual, codebook)
            self.codebooks[stage] = codebook
            self.usage[stage] = torch.bincount(code, minlength=self.size).float() * (self.size / len(residual))
            residual = residual - codebook[code]


def _error(difference: Tensor, code: Tensor, size: int) -> Tensor:
    """The squared error [size] that each entry is responsible for; differences [N, D] of the frames coded by it."""
    return torch.bincount(code, difference.square().sum(1), minlength=size)


def _split(codebook: Tensor, usage: Tensor, dead: float, error: Tensor, frames: Tensor) -> None:
    """Put entries whose usage is below `dead` beside those with the largest error, a tenth of the way to some frame
    [N, D], and share their usage; in place.

    A frame itself, as in the paper, would hardly ever be chosen: at the low signal-to-noise ratio of a stage all other
    frames lie farther from it than from the mean of them all (docs/soundstream.md).
    """
    unused = (usage < dead).nonzero()[:, 0]
    unused = unused[: len(usage) // 2]
    if not len(unused):
        return
    popular = error.topk(len(unused)).indices
    towards = frames[torch.randint(len(frames), (len(unused),), device=frames.device)]
    codebook[unused] = codebook[popular].lerp(towards, 0.1)
    usage[popular] /= 2
    usage[unused] = usage[popular]


class _Statistics:
    """Counts, sums and a sample of what each entry of each stage was chosen for, since the last update."""

    def __init__(self, quantizer: ResidualVectorQuantizer) -> None:
        self.count = torch.zeros_like(quantizer.usage)
        self.total = torch.zeros_like(quantizer.codebooks)
        self.error = torch.zeros_like(quantizer.usage)
        self.frames = 0
        self._size = quantizer.size
        self._pools: list[list[Tensor]] = [[] for _ in range(quantizer.stages)]

    def add(self, stage: int, residual: Tensor, entry: Tensor, code: Tensor) -> None:
        self.count[stage] += torch.bincount(code, minlength=self._size).float()
        self.total[stage].index_add_(0, code, residual)
        self.error[stage] += _error(residual - entry, code, self._size)
        self._pools[stage].append(residual[torch.randperm(len(residual), device=residual.device)[:128]])
        if stage == 0:
            self.frames += len(residual)

    def pool(self, stage: int) -> Tensor:
        return torch.cat(self._pools[stage])


def perplexity(codes: Tensor, size: int) -> Tensor:
    """How many entries are used as if equally often, exp of the entropy: codes [N, stages] -> [stages], 1 to size."""
    result = []
    for stage in codes.T:
        p = torch.bincount(stage.flatten(), minlength=size).double()
        p = p[p > 0] / p.sum()
        result.append((-(p * p.log()).sum()).exp())
    return torch.stack(result)
