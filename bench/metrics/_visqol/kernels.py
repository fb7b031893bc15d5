"""ViSQOL's inner loops: the gammatone spectrogram, the similarity of two patches, of every patch at every offset.

The same arithmetic in the same order as visqol-python's kernels, so the results are equal to the last bit. What differs
is which loop is the inner one and how the arrays lie in memory, so that a CPU computes several values at a time: there
the filters' inner loop runs over samples, each waiting for the one before, here over bands; and here what a comparison
needs of the degraded side alone is computed once an offset, not once for every reference patch.

Importing this module compiles, or loads what was compiled: only `compiled.kernels` does so. Every kernel has the one
signature and a cache file of its own: numba may mix up two variants of a function if two processes compile them at
once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numba import float64, int64, njit, types
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

LINE = types.Array(float64, 1, "C", readonly=True)
PLANE = types.Array(float64, 2, "C", readonly=True)
STARTS = types.Array(int64, 1, "C", readonly=True)

Tuple: Any = types.Tuple
Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(signature: Any) -> Callable[[Function], Function]:
    """Compile for these types only, now, or load what was compiled."""
    decorator: Callable[[Function], Function] = njit(signature, cache=True, error_model="numpy")
    return decorator


@lru_cache(maxsize=4)
def gammatone(lanes: int) -> Callable[[Array, Array, Array, int, int], Array]:
    """The filterbank for a number of bands, compiled for it: only a constant lets the compiler see that rows of `state`
    do not overlap.

    The function: (signal, window, coefficients, hop, frames) -> RMS of each band in each frame, every frame filtered
    from rest, [lanes, frames]. coefficients : [10, lanes] flattened; a1, a2, and of each of the 4 stages b0 and b1.
    """

    def spectrogram(signal: Array, window: Array, coefficients: Array, hop: int, frames: int) -> Array:
        size = window.shape[0]
        out = np.empty((lanes, frames))
        state = np.empty(9 * lanes)
        for frame in range(frames):
            for i in range(9 * lanes):
                state[i] = 0.0
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

    spectrogram.__qualname__ = f"gammatone_{lanes}"  # numba names the cache file after it
    return kernel(float64[:, ::1](LINE, LINE, LINE, int64, int64))(spectrogram)


@njit(error_model="numpy")
def cut(spectrogram: Array, start: int, frames: int, out: Array) -> None:
    """A patch with its edges repeated, [bands + 2, frames + 2]; zeros after the spectrogram's end."""
    bands, end = spectrogram.shape
    for row in range(bands + 2):
        for col in range(frames + 2):
            at = start + min(max(col - 1, 0), frames - 1)
            out[row, col] = spectrogram[min(max(row - 1, 0), bands - 1), at] if at < end else 0.0


@njit(error_model="numpy")
def local_statistics(patch: Array, weights: Array, mean: Array, variance: Array) -> None:
    """Weighted mean and variance in the 3 x 3 neighbourhood of each value of a patch with repeated edges."""
    bands, frames = mean.shape
    for row in range(bands):
        for col in range(frames):
            first = 0.0
            second = 0.0
            for r in range(3):
                for c in range(3):
                    value = patch[row + r, col + c]
                    first += weights[r, c] * value
                    second += weights[r, c] * (value * value)
            mean[row, col] = first
            variance[row, col] = second - first * first


@njit(error_model="numpy")
def similarity(
    ref: Array, ref_mean: Array, ref_var: Array, deg: Array, deg_mean: Array, deg_var: Array, w: Array, out: Array
) -> float:
    """Mean NSIM of two patches with repeated edges [bands + 2, frames + 2], their local statistics [bands, frames].

    out : filled with the NSIM of each value, [bands, frames].
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


@kernel(Tuple((float64, float64[:, ::1]))(PLANE, int64, PLANE, int64, int64, PLANE))
def compare(ref: Array, start: int, deg: Array, offset: int, frames: int, weights: Array) -> tuple[float, Array]:
    """The similarity of two patches of so many frames, one at `start` of a spectrogram, one at `offset` of another.

    Returns its mean, and of each band the mean, the standard deviation and the degraded side's mean level, [3, bands].
    """
    bands = ref.shape[0]
    sides = np.empty((2, bands + 2, frames + 2))
    local = np.empty((5, bands, frames))
    cut(ref, start, frames, sides[0])
    cut(deg, offset, frames, sides[1])
    local_statistics(sides[0], weights, local[0], local[1])
    local_statistics(sides[1], weights, local[2], local[3])
    values = local[4]
    total = similarity(sides[0], local[0], local[1], sides[1], local[2], local[3], weights, values)
    result = np.empty((3, bands))
    for row in range(bands):
        mean = 0.0
        level = 0.0
        for col in range(frames):
            mean += values[row, col]
            level += sides[1, row + 1, col + 1]
        mean /= frames
        squares = 0.0
        for col in range(frames):
            squares += (values[row, col] - mean) * (values[row, col] - mean)
        result[0, row] = mean
        result[1, row] = np.sqrt(squares / (frames - 1)) if frames > 1 else 0.0
        result[2, row] = level / frames
    return total, result


@kernel(Tuple((float64[:, ::1], int64[:, ::1]))(PLANE, PLANE, STARTS, int64, int64, int64, PLANE))
def match_patches(
    ref: Array, deg: Array, starts: Indices, count: int, frames: int, search: int, weights: Array
) -> tuple[Array, Indices]:
    """Dynamic programming over the offsets of each reference patch in the degraded spectrogram.

    ref, deg : spectrograms [bands, any]. frames : of a patch.
    starts : offset of each reference patch in the reference; count : how many of them to match.
    search : how far to look to either side.

    Returns the cumulative similarities and, for each, the offset of the patch before; equal to the offset itself where
    the patch was lost. Both [patches, offsets].
    """
    bands, offsets = deg.shape
    patches = np.empty((offsets + 1, bands + 2, frames + 2))  # the last one is the reference's
    mean = np.empty((offsets + 1, bands, frames))
    variance = np.empty((offsets + 1, bands, frames))
    scratch = np.empty((bands, frames))
    for offset in range(offsets):
        cut(deg, offset, frames, patches[offset])
        local_statistics(patches[offset], weights, mean[offset], variance[offset])
    total = np.zeros((len(starts), offsets))
    back = np.full((len(starts), offsets), -1, dtype=np.int64)
    for p in range(count):
        cut(ref, starts[p], frames, patches[offsets])
        local_statistics(patches[offsets], weights, mean[offsets], variance[offsets])
        low = max(0, starts[p] - search)
        high = min(offsets - 1, starts[p] + search)
        best, best_offset = -1e308, -1
        upto = max(0, starts[p - 1] - search) if p > 0 else 0
        for offset in range(low, high + 1):
            value = similarity(
                patches[offsets],
                mean[offsets],
                variance[offsets],
                patches[offset],
                mean[offset],
                variance[offset],
                weights,
                scratch,
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
