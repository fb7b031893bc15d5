"""Anchors: signals of known quality that frame the codecs' scores. They are no codecs and have no bitrate.

`pcm` (rounding to 16, 12 or 8 bits), `lowpass` (ITU-R BS.1534-3) and `mnru` (ITU-T P.810). All have
zero delay. The packets of `lowpass` and `mnru` hold the anchor itself as 16-bit PCM.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from ..bench.audio import Clip, Samples, from_pcm16, to_pcm16
from . import Codec, CodecError, Encoded, Packet, Point, register

RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000)


class Anchor(Codec):
    """A degradation of the clip; one packet of planar 16-bit PCM carries it."""

    family = "Anchor"
    licence = "Apache-2.0"
    rates = RATES
    channels = (1, 2)
    kind = "anchor"

    @abstractmethod
    def degrade(self, clip: Clip, point: Point) -> Samples | NDArray[np.float64]:
        """The anchor's samples, [channels, n]."""

    def sample_bits(self, point: Point) -> int:
        """Bits that carry one sample of one channel."""
        return 16

    def encode(self, clip: Clip, point: Point) -> Encoded:
        self.check(clip, point)
        data = to_pcm16(self.degrade(clip, point)).astype("<i2").tobytes()
        packet = Packet(data, clip.channels * clip.length * self.sample_bits(point))
        return Encoded((packet,), clip.rate, clip.channels)

    def decode(self, encoded: Encoded, point: Point) -> Clip:
        parts = []
        for packet in encoded.packets:
            if len(packet.data) % (2 * encoded.channels) or packet.bits * 2 != len(packet.data) * self.sample_bits(
                point
            ):
                raise CodecError(
                    f"{self.name} {point.label}: {len(packet.data)} bytes of PCM declare {packet.bits} bits"
                )
            pcm = np.frombuffer(packet.data, "<i2").reshape(encoded.channels, -1)
            parts.append(from_pcm16(pcm.astype(np.int16)))
        return Clip(np.concatenate([np.zeros((encoded.channels, 0), np.float32), *parts], axis=1), encoded.rate)

    def delay(self, rate: int, point: Point) -> int:
        return 0

    def frame(self, rate: int, point: Point) -> int:
        return 0

    def versions(self) -> dict[str, str]:
        return {"numpy": np.__version__}


class Pcm(Anchor):
    """Uniform rounding to `bits` bits, mid-tread, without dither; 16 bits is the identity of a 16-bit file."""

    name = "pcm"
    about = "linear PCM, rounded without dither; 16 bits is the identity"
    points = tuple(Point(str(bits), None, {"bits": bits}) for bits in (16, 12, 8))

    def degrade(self, clip: Clip, point: Point) -> NDArray[np.float64]:
        half = 2 ** (int(point.params["bits"]) - 1)
        steps: NDArray[np.float64] = np.rint(clip.samples.astype(np.float64) * half)
        rounded: NDArray[np.float64] = steps.clip(-half, half - 1) / half
        return rounded

    def sample_bits(self, point: Point) -> int:
        return int(point.params["bits"])


class Lowpass(Anchor):
    """Low-pass filtered copies: linear-phase FIR (Kaiser window), centred, so without delay.

    BS.1534-3 asks of the 3.5 kHz anchor a pass-band ripple within 0.1 dB up to 3.5 kHz, at least 25 dB at 4 kHz and
    50 dB at 4.5 kHz. This filter reaches 60 dB at 4 kHz already. The 7 kHz anchor, for which the recommendation gives
    the band only, has the same transition of 500 Hz: flat to 7 kHz, 60 dB from 7.5 kHz.
    """

    name = "lowpass"
    about = "low-pass anchors of ITU-R BS.1534 (linear-phase FIR, zero delay)"
    points = (
        Point("3.5k", None, {"passband": 3500.0}),
        Point("7k", None, {"passband": 7000.0}, rates=tuple(rate for rate in RATES if rate >= 16000)),
    )
    transition = 500.0

    def degrade(self, clip: Clip, point: Point) -> NDArray[np.float64]:
        from scipy.signal import firwin, kaiserord, oaconvolve

        taps, beta = kaiserord(60.0, self.transition / (clip.rate / 2))
        cutoff = float(point.params["passband"]) + self.transition / 2
        filter_ = firwin(taps | 1, cutoff, window=("kaiser", beta), fs=clip.rate)
        out: NDArray[np.float64] = oaconvolve(clip.samples.astype(np.float64), filter_[None, :], mode="same", axes=1)
        return out

    def versions(self) -> dict[str, str]:
        import scipy

        return {"numpy": np.__version__, "scipy": scipy.__version__}


class Mnru(Anchor):
    """Modulated noise reference unit: y = x (1 + 10^(-Q/20) N), N Gaussian of unit variance, Q in dB.

    ITU-T P.810 (02/96) without its input and output filters, which belong to the telephone band: so the noise is
    as wide as the clip's rate allows. The noise is seeded by the clip's samples: the same clip gets the same noise
    at every Q, channels get noise of their own.
    """

    name = "mnru"
    about = "modulated noise reference unit of ITU-T P.810, without band filters"
    points = tuple(Point(str(q), None, {"q": float(q)}) for q in (10, 20, 30))

    def degrade(self, clip: Clip, point: Point) -> NDArray[np.float64]:
        seed = int.from_bytes(hashlib.sha256(np.ascontiguousarray(clip.samples).tobytes()).digest()[:8], "little")
        noise = np.random.default_rng(seed).standard_normal(clip.samples.shape)
        return clip.samples.astype(np.float64) * (1 + 10 ** (-float(point.params["q"]) / 20) * noise)


register(Pcm())
register(Lowpass())
register(Mnru())
