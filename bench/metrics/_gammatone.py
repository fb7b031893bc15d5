"""Gammatone spectrogram of ViSQOL with all bands of a sample filtered together.

The same arithmetic in the same order as visqol-python's kernel, so the result is equal to the last bit; but there the
inner loop runs over samples, each waiting for the one before, and here over bands, which a CPU does several at a time.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]


@njit(cache=True)
def spectrogram(signal: Array, window: Array, numerators: Array, denominator: Array, hop: int, frames: int) -> Array:
    """RMS of each band's output in each frame, every frame filtered from rest, [bands, frames].

    numerators : [stages 4, coefficients 2, bands], b0 and b1; b2 of a gammatone stage is 0.
    denominator : [2, bands], a1 and a2, common to the stages.
    """
    bands = denominator.shape[1]
    size = window.shape[0]
    a1, a2 = denominator[0], denominator[1]
    b00, b01 = numerators[0, 0], numerators[0, 1]
    b10, b11 = numerators[1, 0], numerators[1, 1]
    b20, b21 = numerators[2, 0], numerators[2, 1]
    b30, b31 = numerators[3, 0], numerators[3, 1]
    out = np.empty((bands, frames))
    state = np.empty((8, bands))
    u0, v0, u1, v1, u2, v2, u3, v3 = state[0], state[1], state[2], state[3], state[4], state[5], state[6], state[7]
    energy = np.empty(bands)
    for frame in range(frames):
        state[:] = 0.0
        energy[:] = 0.0
        start = frame * hop
        for k in range(size):
            x = signal[start + k] * window[k]
            for band in range(bands):
                c1, c2 = a1[band], a2[band]
                y0 = b00[band] * x + u0[band]
                u0[band] = b01[band] * x - c1 * y0 + v0[band]
                v0[band] = -(c2 * y0)
                y1 = b10[band] * y0 + u1[band]
                u1[band] = b11[band] * y0 - c1 * y1 + v1[band]
                v1[band] = -(c2 * y1)
                y2 = b20[band] * y1 + u2[band]
                u2[band] = b21[band] * y1 - c1 * y2 + v2[band]
                v2[band] = -(c2 * y2)
                y3 = b30[band] * y2 + u3[band]
                u3[band] = b31[band] * y2 - c1 * y3 + v3[band]
                v3[band] = -(c2 * y3)
                energy[band] += y3 * y3
        for band in range(bands):
            out[band, frame] = np.sqrt(energy[band] / size)
    return out
