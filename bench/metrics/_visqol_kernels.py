"""ViSQOL's two inner loops: the gammatone spectrogram and the similarity of every patch at every offset.

The same arithmetic in the same order as visqol-python's kernels, so the results are equal to the last bit. What differs
is which loop is the inner one and how the arrays lie in memory, so that a CPU computes several values at a time: there
the filters' inner loop runs over samples, each waiting for the one before, here over bands; and here what a comparison
needs of the degraded side alone is computed once an offset, not once for every reference patch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


@lru_cache(maxsize=4)
def gammatone(lanes: int) -> Callable[[Array, Array, Array, int, int], Array]:
    """The filterbank for a number of bands, compiled for it: only a constant lets the compiler see that rows of `state`
    do not overlap.

    The function: (signal, window, coefficients, hop, frames) -> RMS of each band in each frame, every frame filtered
    from rest, [lanes, frames]. coefficients : [10, lanes] flattened; a1, a2, and of each of the 4 stages b0 and b1.
    """

    @njit(cache=True, error_model="numpy")
    def spectrogram(signal: Array, window: Array, coefficients: Array, hop: int, frames: int) -> Array:
        size = window.shape[0]
        out = np.empty((lanes, frames))
        state = np.empty(9 * lanes)
        for frame in range(frames):
            state[:] = 0.0
            start = frame * hop
            for k in range(size):
                x = signal[start + k] * window[k]
                for i in range(lanes):
                    a1 = coefficients[i]
                    a2 = coefficients[lanes + i]
                    y0 = coefficients[2 * lanes + i] * x + state[i]
                    state[i] = coefficients[3 * lanes + i] * x - a1 * y0 + state[lanes + i]
                    state[lanes + i] = -(a2 * y0)
                    y1 = coefficients[4 * lanes + i] * y0 + state[2 * lanes + i]
                    state[2 * lanes + i] = coefficients[5 * lanes + i] * y0 - a1 * y1 + state[3 * lanes + i]
                    state[3 * lanes + i] = -(a2 * y1)
                    y2 = coefficients[6 * lanes + i] * y1 + state[4 * lanes + i]
                    state[4 * lanes + i] = coefficients[7 * lanes + i] * y1 - a1 * y2 + state[5 * lanes + i]
                    state[5 * lanes + i] = -(a2 * y2)
                    y3 = coefficients[8 * lanes + i] * y2 + state[6 * lanes + i]
                    state[6 * lanes + i] = coefficients[9 * lanes + i] * y2 - a1 * y3 + state[7 * lanes + i]
                    state[7 * lanes + i] = -(a2 * y3)
                    state[8 * lanes + i] += y3 * y3
            for i in range(lanes):
                out[i, frame] = np.sqrt(state[8 * lanes + i] / size)
        return out

    function: Callable[[Array, Array, Array, int, int], Array] = spectrogram
    return function


@njit(cache=True, error_model="numpy")
def local_statistics(patches: Array, weights: Array) -> tuple[Array, Array]:
    """Weighted mean and variance in the 3 x 3 neighbourhood of each value.

    patches : [n, bands + 2, frames + 2], edges repeated. Both results [n, bands, frames].
    """
    n, bands, frames = patches.shape[0], patches.shape[1] - 2, patches.shape[2] - 2
    mean = np.empty((n, bands, frames))
    variance = np.empty((n, bands, frames))
    for i in range(n):
        for row in range(bands):
            for col in range(frames):
                first = 0.0
                second = 0.0
                for r in range(3):
                    for c in range(3):
                        value = patches[i, row + r, col + c]
                        first += weights[r, c] * value
                        second += weights[r, c] * (value * value)
                mean[i, row, col] = first
                variance[i, row, col] = second - first * first
    return mean, variance


@njit(cache=True, error_model="numpy")
def similarity(
    ref: Array, ref_mean: Array, ref_var: Array, deg: Array, deg_mean: Array, deg_var: Array, w: Array, out: Array
) -> float:
    """Mean NSIM of two patches with repeated edges [bands + 2, frames + 2], their local statistics [bands, frames].

    out : scratch of a patch's size.
    """
    c1 = (0.01 * 1.0) ** 2
    c3 = (0.03 * 1.0) ** 2 / 2.0
    bands, frames = ref_mean.shape
    for row in range(bands):
        for col in range(frames):
            cross = w[0, 0] * (ref[row, col] * deg[row, col])
            cross += w[0, 1] * (ref[row, col + 1] * deg[row, col + 1])
            cross += w[0, 2] * (ref[row, col + 2] * deg[row, col + 2])
            cross += w[1, 0] * (ref[row + 1, col] * deg[row + 1, col])
            cross += w[1, 1] * (ref[row + 1, col + 1] * deg[row + 1, col + 1])
            cross += w[1, 2] * (ref[row + 1, col + 2] * deg[row + 1, col + 2])
            cross += w[2, 0] * (ref[row + 2, col] * deg[row + 2, col])
            cross += w[2, 1] * (ref[row + 2, col + 1] * deg[row + 2, col + 1])
            cross += w[2, 2] * (ref[row + 2, col + 2] * deg[row + 2, col + 2])
            m, d = ref_mean[row, col], deg_mean[row, col]
            intensity = (2.0 * (m * d) + c1) / (m * m + d * d + c1)
            product = ref_var[row, col] * deg_var[row, col]
            scale = c3 if product < 0.0 else np.sqrt(product) + c3
            out[row, col] = intensity * ((cross - m * d + c3) / scale)
    total = 0.0
    for row in range(bands):
        band = 0.0
        for col in range(frames):
            band += out[row, col]
        total += band / frames
    return float(total / bands)


@njit(cache=True, error_model="numpy")
def match_patches(
    ref: Array, deg: Array, starts: Indices, count: int, search: int, weights: Array
) -> tuple[Array, Indices]:
    """Dynamic programming over the offsets of each reference patch in the degraded spectrogram.

    ref, deg : patches with repeated edges [patches or offsets, bands + 2, frames + 2].
    starts : offset of each reference patch in the reference; count : how many of them to match.
    search : how far to look to either side.

    Returns the cumulative similarities and, for each, the offset of the patch before; equal to the offset itself where
    the patch was lost. Both [patches, offsets].
    """
    offsets = deg.shape[0]
    ref_mean, ref_var = local_statistics(ref, weights)
    deg_mean, deg_var = local_statistics(deg, weights)
    scratch = np.empty((ref.shape[1] - 2, ref.shape[2] - 2))
    total = np.zeros((len(starts), offsets))
    back = np.full((len(starts), offsets), -1, dtype=np.int64)
    for p in range(count):
        low = max(0, starts[p] - search)
        high = min(offsets - 1, starts[p] + search)
        best, best_offset = -1e308, -1
        upto = max(0, starts[p - 1] - search) if p > 0 else 0
        for offset in range(low, high + 1):
            value = similarity(
                ref[p], ref_mean[p], ref_var[p], deg[offset], deg_mean[offset], deg_var[offset], weights, scratch
            )
            if p > 0:
                # the best of the patch before at any offset before this one; the last one of equals
                while upto < offset:
                    if total[p - 1, upto] >= best:
                        best, best_offset = total[p - 1, upto], upto
                    upto += 1
                value += best
                if total[p - 1, offset] > value:
                    value, best_here = total[p - 1, offset], offset
                else:
                    best_here = best_offset
                back[p, offset] = best_here
            total[p, offset] = value
    return total, back
