"""Variable bitrate: how many stages each frame has, at a mean that is given.

What speech is judged by are its loud frames; in a pause or a soft consonant a listener, as PESQ and STOI, misses little
of what a constant bitrate spends there. So a frame has more stages the nearer its level comes to the peak level of
late: a sigmoid around a threshold, which rises with every stage above the mean that is wanted and falls with every one
below it (integral control). It is causal: no frame waits for another.

All follows from the levels that the first stages of the frame coded, a function of codes alone; so the choice does not
depend on the rounding of float32, nor on how a signal is cut into chunks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: stages that every frame has; a mean is more
FEWEST = 3
#: a unit of level is a neper
_DECIBEL = math.log(10) / 20
#: decibels a frame that the peak falls by; its least level, -60 dBFS, so that noise alone is a pause
_FALL, _LEAST = 0.02, math.log1p(10)
#: decibels below the peak where a frame has the mean, at first; decibels for a factor of e in the odds of more
_THRESHOLD, _SLOPE = -18.0, 6.0
#: decibels that the threshold rises by with the difference between the most stages and the fewest
_STEP = 0.4


@dataclass
class RateControl:
    """The choice for one channel, frame after frame.

    Parameters
    ----------
    mean : stages a frame wanted, 4 or more.
    most : stages of the model.

    Raises
    ------
    ValueError : a mean below 4 or above `most`.
    """

    mean: int
    most: int = 24
    peak: float = _LEAST
    threshold: float = _THRESHOLD

    def __post_init__(self) -> None:
        if not FEWEST < self.mean <= self.most:
            raise ValueError(f"a mean of {self.mean} stages; there are {FEWEST + 1} to {self.most}")

    @property
    def range(self) -> tuple[int, int]:
        """Fewest and most stages of a frame."""
        return max(FEWEST, self.mean // 3), min(self.most, self.mean * 7 // 4)

    def __call__(self, levels: NDArray[np.float64]) -> NDArray[np.int64]:
        """Levels of the next frames [F, bands] (`seanet.Bands`) -> their stages [F]."""
        low, high = self.range
        odds = (high - self.mean) / (self.mean - low)
        stages = np.empty(len(levels), np.int64)
        for frame, level in enumerate(levels.max(1).tolist()):
            self.peak = max(self.peak - _FALL * _DECIBEL, level)
            over = (level - self.peak) / _DECIBEL - self.threshold
            stages[frame] = round(low + (high - low) / (1 + odds * math.exp(-over / _SLOPE)))
            self.threshold += _STEP * (stages[frame] - self.mean) / (high - low)
        return stages
