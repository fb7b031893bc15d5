"""What is heard in a trial: the reference and its conditions, cut and matched in loudness, as WAV files.

All signals of a trial have one length and one rate. Each condition is brought to the loudness of the reference by one
gain, and then the whole trial is turned down together as far as its loudest peak needs, so that nothing clips.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from ..audio import AudioError, Clip, to_pcm16
from ..cache import Files
from ..remote import read_clip
from .plan import Condition, Trial
from .store import ListeningError

#: seconds; BS.1534-3, 5.1: about 10 s, preferably not more than 12 s
LONGEST = 12.0
PIECE = 10.0
#: a block of BS.1770; what is shorter has no integrated loudness
_BLOCK = 0.4
_PEAK = 32767 / 32768


@dataclass(frozen=True)
class Heard:
    """WAV files of a trial, 16 bit: the reference, and the conditions in the trial's order."""

    reference: bytes
    conditions: tuple[bytes, ...]


def prepare(trial: Trial, cache: Path) -> Heard:
    """Read, cut and match a trial's signals. Raises ListeningError if a file is not there any more."""
    try:
        whole = read_clip(trial.clip.path, trial.clip.start, trial.clip.seconds)
    except AudioError as error:
        raise ListeningError(f"the reference cannot be read: {error}") from error
    signals = [cut(whole)]
    for condition in trial.conditions:
        clip = _condition(condition, whole, cache)
        if (clip.rate, clip.samples.shape) != (whole.rate, whole.samples.shape):
            raise ListeningError(
                f"{condition.codec}@{condition.point} of {trial.clip.clip} is not as long as its reference"
            )
        signals.append(cut(clip))
    files = [_wav(samples, whole.rate) for samples in matched([s.samples for s in signals], whole.rate)]
    return Heard(files[0], tuple(files[1:]))


def cut(clip: Clip) -> Clip:
    """The clip, or its first 10 s if it is longer than 12 s."""
    if clip.seconds <= LONGEST:
        return clip
    return Clip(np.ascontiguousarray(clip.samples[:, : round(PIECE * clip.rate)]), clip.rate)


def matched(signals: list[NDArray[np.float32]], rate: int) -> list[NDArray[np.float64]]:
    """The signals [channels, n] at the loudness of the first, all scaled by one factor if a peak would clip."""
    target = loudness(signals[0], rate)
    out = []
    for signal in signals:
        gain = target - loudness(signal, rate)
        # A silent side has no loudness: there is nothing to match.
        out.append(signal.astype(np.float64) * (10 ** (gain / 20) if math.isfinite(gain) else 1.0))
    peak = max(float(np.abs(signal).max(initial=0.0)) for signal in out)
    return [signal * min(1.0, _PEAK / peak) if peak else signal for signal in out]


def loudness(samples: NDArray[np.float32], rate: int) -> float:
    """Integrated loudness of BS.1770-4 in LUFS, all channels together; for clips below 0.4 s the level in dB.

    -inf for silence.
    """
    import pyloudnorm

    x = samples.astype(np.float64)
    if samples.shape[1] <= math.ceil(_BLOCK * rate):
        power = float(np.mean(x**2))
        return 10 * math.log10(power) if power > 0 else -math.inf
    return float(pyloudnorm.Meter(rate).integrated_loudness(x.T))


def _condition(condition: Condition, reference: Clip, cache: Path) -> Clip:
    if condition.role == "reference":
        return reference
    name = f"{condition.codec}@{condition.point}"
    if condition.role == "anchor":
        from ...codecs import CodecError
        from ...codecs import registry as codecs
        from ..pipeline import code

        codec = codecs.get(condition.codec)
        try:
            return code(codec, codec.point(condition.point), reference)[1]
        except CodecError as error:
            raise ListeningError(f"the anchor {name} cannot be made: {error}") from error
    clip = Files(cache).get_wave(condition.wave)
    if clip is None:
        raise ListeningError(f"the decoded clip of {name} is no longer in the cache {cache}; start `bench listen` anew")
    return clip


def _wav(samples: NDArray[np.float64], rate: int) -> bytes:
    file = io.BytesIO()
    sf.write(file, to_pcm16(samples).T, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()
