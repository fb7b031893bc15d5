"""The codes of latents: entries of the codebooks whose sum is nearest to them, and how sure that is.

The nearest entry of each stage in turn is not the best sum, which is too costly to find. Between the two is a beam
search (also called M-search; Jelinek and Anderson, IEEE Trans. Information Theory 17, 1971): after each stage the best
few sums are kept. Decoder and stream know nothing of it.

Two sums can be so equally near that the rounding of float32 decides between them, and rounding depends on the
machine, the library and how much was coded at once. The margin tells such frames, which are then coded in float64,
where rounding is a hundred million times smaller: codes are a function of the weights and the samples only. The
pattern is that of adaptive predicates (Shewchuk 1997). The levels' prediction is a function of the codes before, always
in float64.

At low bitrates, of the error that the loop's stages leave in the levels of a frame, a part is taken off those of the
next one before they are coded (noise feedback: Atal and Schroeder, IEEE Trans. Acoustics, Speech and Signal Processing
27, 1979). So levels are not too high or too low for long, which is heard more than that they waver. The decoder knows
nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .bitstream import ABSENT
from .gainshape import LOOP, GainShapeQuantizer, shape_weights
from .ratecontrol import RateControl

Codes = NDArray[np.uint16]
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
#: latents [n, D] of the frames with these numbers, in float64
Exact = Callable[[list[int]], Tensor]

#: sums kept after each stage
BEAM = 4
#: entries of the loop's first stage that are tried with all of its second
FIRST = 16
#: sums that are nearer to each other than about this share of the latents' norm count as that far apart
NEAR = 0.1
#: a frame is coded in float64 where its margin is less: three times the largest of those that float32 coded otherwise
UNSURE = 6e-7
#: share of the error of a frame's levels that is taken off the next frame's, where at most so many stages code levels:
#: with more of them the loop's error is not what is heard (docs/decisions/0017)
REPAID, COARSE = 0.2, LOOP + 1
#: for silence, and where a stage has but one entry
_TINY = 1e-30


class Search:
    """Codebooks [stages, size, D], ready to be searched in the given precision. Of equal entries only the first is ever
    found."""

    def __init__(self, codebooks: Tensor, dtype: torch.dtype) -> None:
        codebooks = codebooks.detach().cpu()
        self.entries = codebooks.to(dtype)
        self.norms = self.entries.square().sum(2)
        for norms, entries in zip(self.norms, codebooks.numpy(), strict=True):
            again = np.ones(len(entries), bool)
            again[np.unique(entries, axis=0, return_index=True)[1]] = False
            norms[torch.from_numpy(again)] = torch.inf

    def __call__(self, z: Tensor, stages: int | Counts, scale: Tensor | None = None) -> tuple[Codes, Floats]:
        """Rows [F, D], each with its number of stages or all with one -> codes [F, most stages], `ABSENT` in those that
        a row does not have, and margin [F].

        The margin is how far a row is, at the closest of all decisions, from where another sum would have been kept, as
        a share of `scale` [F], the row's norm if None; smaller where the two sums lie so near to each other that the
        rounding of distances counts.
        """
        counts = np.broadcast_to(stages, len(z))
        order = np.argsort(-counts, kind="stable")  # rows that have no further stage are the last ones
        counts, found = counts[order], np.full((len(z), counts.max(initial=0)), ABSENT, np.uint16)
        norm = (z.norm(dim=1) if scale is None else scale).numpy()
        margin = np.full(len(z), np.inf)
        residual = z[torch.from_numpy(order)][:, None]  # [F, sums, D]
        codes = np.empty((len(z), 1, 0), np.int64)
        for stage in range(found.shape[1]):
            frames = int((counts > stage).sum())
            rows, last = np.arange(frames), counts[:frames] == stage + 1
            residual, sums, size = residual[:frames], residual.shape[1], self.entries.shape[1]
            keep = 1 if last.all() else min(BEAM, sums * size - 1)
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
            worst = np.where(last, 0, keep - 1)  # of the sums that are kept
            apart = (residual[rows, worst + 1] - residual[rows, worst]).norm(dim=1).numpy()
            with np.errstate(invalid="ignore"):
                gap = least[rows, worst + 1] - least[rows, worst]
            gap[np.isnan(gap)] = np.inf  # neither is a sum: equal entries
            here = order[:frames]
            margin[here] = np.minimum(margin[here], gap / (2 * apart + NEAR * norm[here] + _TINY))
            residual = residual[:, :keep]
            codes = np.concatenate([codes[rows[:, None], one[:, :keep]], entry[:, :keep, None]], axis=2)
            found[here[last], : stage + 1] = codes[last, 0]
        return found, margin / (norm + _TINY)


@dataclass(frozen=True)
class Past:
    """The levels [bands] of the last frame, as the stages of the loop coded them and as they were."""

    coded: Floats
    level: Floats


class Coder:
    """A quantiser's search: levels frame after frame, since each is predicted from the codes before, then the rest at
    once.

    Parameters
    ----------
    dtype : of the search where it can be float32; what is unsure in it is done again in float64.
    """

    def __init__(self, quantizer: GainShapeQuantizer, dtype: torch.dtype = torch.float32) -> None:
        self.quantizer, self.dtype = quantizer, dtype
        levels, shapes = quantizer.levels.codebooks, quantizer.shapes.codebooks
        loop = Search(levels[:LOOP], torch.float64)
        self._searches = {kind: (Search(levels[LOOP:], kind), Search(shapes, kind)) for kind in {dtype, torch.float64}}
        self._mean = quantizer.mean.double().cpu().numpy()
        self._feedback = quantizer.feedback.double().cpu().numpy()
        self._entries = [one.numpy() for one in loop.entries]
        # Norms of the first stage's entries, and of all sums of two: looking them up is faster than a product.
        self._norms, more = (one.numpy() for one in loop.norms)
        self._pairs = self._norms[:, None] + more + 2 * self._entries[0] @ self._entries[1].T
        self._assign = quantizer.assign.double().cpu()

    def codes(self, z: Tensor, stages: int) -> Tensor:
        """Latents [B, D, F] -> codes [B, stages, F], int64, on the latents' device."""
        found = [self(one.T.cpu(), stages, None)[0] for one in z]
        return torch.from_numpy(np.stack(found).astype(np.int64)).transpose(1, 2).to(z.device)

    def __call__(
        self,
        z: Tensor,
        stages: int,
        past: Past | None,
        exact: Exact | None = None,
        control: RateControl | None = None,
    ) -> tuple[Codes, Past]:
        """Latents [F, D] of the next frames -> codes [F, stages] and the past of what follows.

        Parameters
        ----------
        past : what the frames before left; None at the start.
        exact : asked for latents where rounding could decide, of these frames and, as number -1, of the one before.
        control : says how many stages each frame has, at most `stages`, the others are `ABSENT`; None for all.
        """
        bands = self.quantizer.bands
        began = past is not None
        repaid = REPAID if self.quantizer.split(stages)[0] <= COARSE else 0.0
        past = past or Past(np.zeros(bands), np.zeros(bands))
        levels = z[:, :bands].double()
        inside, base = np.empty((len(z), LOOP), np.uint16), np.empty((len(z), bands))
        for frame, level in enumerate(levels.numpy()):
            predicted = self._mean + (past.coded - self._mean) @ self._feedback
            weights = self.quantizer.level_weights(torch.from_numpy(predicted)).numpy()
            wanted = level - repaid * (past.coded - past.level)
            inside[frame], margin = self._two((wanted - predicted) * weights, float(np.sqrt(level @ level)))
            if margin < UNSURE and exact is not None:
                asked = [frame - 1, frame] if repaid and (began or frame) else [frame]
                *before, level = exact(asked)[:, :bands].numpy()
                wanted = level - repaid * (past.coded - (before[0] if before else past.level))
                inside[frame], _ = self._two((wanted - predicted) * weights, 1.0)
            coded = self._entries[0][inside[frame, 0]] + self._entries[1][inside[frame, 1]]
            past = Past(predicted + coded / weights, level)
            base[frame] = past.coded
        counts = np.full(len(z), stages) if control is None else control(base)
        out, margins = self._rest(z, base, counts, stages, self.dtype)
        unsure = np.flatnonzero(margins < UNSURE)
        if len(unsure) and exact is not None:
            out[unsure], _ = self._rest(exact(unsure.tolist()), base[unsure], counts[unsure], stages, torch.float64)
        out[:, :LOOP] = inside
        return out, past

    def _two(self, x: Floats, scale: float) -> tuple[tuple[int, int], float]:
        """The pair of entries of the loop's two stages whose sum is nearest to x [bands], of those with one of the
        nearest few entries of the first stage; and the margin."""
        one, two = self._entries
        product = -2 * (one @ x)
        first = self._norms + product
        near = np.argpartition(first, FIRST)[: FIRST + 1]
        near = near[np.argsort(first[near], kind="stable")]
        kept, lost = near[FIRST - 1 : FIRST + 1]
        gap = (first[lost] - first[kept]) / 2 / np.linalg.norm(one[lost] - one[kept])
        second = self._pairs[near[:FIRST]]
        second += product[near[:FIRST], None]
        second -= 2 * (two @ x)
        second = second.ravel()
        best = int(second.argmin())
        least, second[best] = second[best], np.inf
        other = int(second.argmin())
        sums = [one[near[i // len(two)]] + two[i % len(two)] for i in (best, other)]
        last = (second[other] - least) / 2 / (np.linalg.norm(sums[0] - sums[1]) + _TINY)
        return (int(near[best // len(two)]), best % len(two)), float(min(gap, last)) / (scale + _TINY)

    def _rest(self, z: Tensor, base: Floats, counts: Counts, stages: int, dtype: torch.dtype) -> tuple[Codes, Floats]:
        """Codes [F, stages] but for those of the loop and margins [F] of latents [F, D] with these levels by the loop,
        of which each has so many stages [F]."""
        bands, known = self.quantizer.bands, torch.from_numpy(base)
        fine, shapes = self._searches[dtype]
        kinds = np.array(self.quantizer.kinds[:stages])
        split = kinds.cumsum()[counts - 1]  # how many of them code levels
        level = z[:, :bands]
        gains, weights = shape_weights(known, self._assign), self.quantizer.level_weights(known)
        left = ((level.double() - known) * weights).to(dtype)
        codes, margins = fine(left, split - LOOP, level.norm(dim=1).to(dtype))
        more, further = shapes((z[:, bands:].double() * gains).to(dtype), counts - split)
        out = np.full((len(z), stages), ABSENT, np.uint16)
        out[:, np.flatnonzero(kinds)[LOOP:][: codes.shape[1]]] = codes
        out[:, np.flatnonzero(~kinds)[: more.shape[1]]] = more
        return out, np.minimum(margins, further)
