"""The pipeline around an adapter: alignment, padding, channels, rates and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from codecbench.bench.audio import Clip, from_pcm16, to_pcm16
from codecbench.bench.pipeline import Stream, code, decode, encode, prepare
from codecbench.codecs import Codec, CodecError, Encoded, Packet, Point


class Late(Codec):
    """16-bit PCM in frames of 160 samples whose decoder is late by 37 samples."""

    name, family, licence, about = "late", "Test", "none", "a delay line"
    points = (Point("16", None),)
    rates = (16000, 48000)

    def __init__(self, **changes):
        self.__dict__.update(changes)

    def encode(self, clip, point):
        pcm = to_pcm16(clip.samples)
        frames = [pcm[:, i : i + 160].T.tobytes() for i in range(0, clip.length, 160)]
        return Encoded(tuple(Packet(f, 8 * len(f)) for f in frames), clip.rate, clip.channels)

    def decode(self, encoded, point):
        pcm = np.frombuffer(b"".join(p.data for p in encoded.packets), np.int16).reshape(-1, encoded.channels).T
        return Clip(np.pad(from_pcm16(pcm), ((0, 0), (37, 0)))[:, : pcm.shape[1]], encoded.rate)

    def delay(self, rate, point):
        return 37

    def frame(self, rate, point):
        return 160


def noise(rate, length, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    return Clip(from_pcm16(rng.integers(-9000, 9000, (channels, length)).astype(np.int16)), rate)


@pytest.mark.parametrize("length", [1, 159, 160, 161, 122, 123, 124, 5000])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_delay_is_removed_to_the_sample(length, channels):
    codec, clip = Late(), noise(16000, length, channels)
    stream, out = code(codec, codec.points[0], clip)
    np.testing.assert_array_equal(out.samples, clip.samples)
    frames = -(-(length + 37) // 160)
    assert stream.bits == frames * 160 * 16 * channels
    assert stream.seconds == frames * 160 / 16000
    assert stream.kbps == pytest.approx(256 * channels)


def test_a_mono_codec_codes_channels_apart_and_both_count():
    codec, clip = Late(), noise(16000, 1600, 2)
    assert len(encode(codec, codec.points[0], clip).parts) == 2
    together = Late(channels=(1, 2))
    stream, out = code(together, together.points[0], clip)
    assert len(stream.parts) == 1
    assert stream.kbps == pytest.approx(512)
    np.testing.assert_array_equal(out.samples, clip.samples)


@pytest.mark.parametrize(
    ("rate", "native"), [(8000, 16000), (16000, 16000), (22050, 48000), (48000, 48000), (96000, 48000)]
)
def test_the_native_rate_is_the_next_one_up(rate, native):
    codec, clip = Late(), noise(rate, rate // 2)
    assert prepare(codec, codec.points[0], clip).rate == native
    _, out = code(codec, codec.points[0], clip)
    assert (out.rate, out.length) == (rate, clip.length)


def test_resampling_there_and_back_stays_in_time():
    codec = Late()
    t = np.arange(8000) / 8000
    clip = Clip((0.3 * np.sin(2 * np.pi * 700 * t))[None].astype(np.float32), 8000)
    _, out = code(codec, codec.points[0], clip)
    error = out.samples[0, 500:-500] - clip.samples[0, 500:-500]
    assert np.abs(error).max() < 5e-4  # an 8-sample lag would leave 0.6


def test_a_point_may_have_rates_of_its_own():
    codec = Late(points=(Point("8k", None, rates=(8000,)),))
    assert prepare(codec, codec.points[0], noise(48000, 4800)).rate == 8000


class Broken(Late):
    how = ""

    def encode(self, clip, point):
        encoded = super().encode(clip, point)
        if self.how == "no packet":
            return Encoded((), clip.rate, clip.channels)
        if self.how == "bits":
            return Encoded((Packet(b"a", 9),), clip.rate, clip.channels)
        return encoded

    def decode(self, encoded, point):
        clip = super().decode(encoded, point)
        if self.how == "nan":
            return Clip(clip.samples * np.float32("nan"), clip.rate)
        if self.how == "short":
            return Clip(clip.samples[:, : clip.length // 2], clip.rate)
        if self.how == "channels":
            return Clip(np.repeat(clip.samples, 2, axis=0), clip.rate)
        return clip


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no packet", "made no packet"),
        ("bits", "declares 9 bits for 1 bytes"),
        ("nan", "NaN or infinite"),
        ("short", "s less than it was given"),
        ("channels", "decoded 2 channels of 1"),
    ],
)
def test_what_an_adapter_does_wrong_is_said(how, message):
    codec = Broken(how=how)
    with pytest.raises(CodecError, match=message):
        code(codec, codec.points[0], noise(16000, 3200))


def test_six_channels_are_refused():
    codec = Late()
    with pytest.raises(CodecError, match="6 channels"):
        code(codec, codec.points[0], noise(48000, 480, 6))


def test_a_stereo_codec_refuses_mono():
    codec = Late(channels=(2,))
    with pytest.raises(CodecError, match="stereo only"):
        code(codec, codec.points[0], noise(16000, 480))


def test_a_stream_comes_back_from_bytes_and_decodes_the_same():
    codec, clip = Late(), noise(16000, 1000, 2)
    stream, out = code(codec, codec.points[0], clip)
    back = Stream.from_bytes(stream.to_bytes())
    assert back == stream
    np.testing.assert_array_equal(decode(codec, codec.points[0], back, clip).samples, out.samples)
    blob = stream.to_bytes()
    for damaged in (b"", b"{}\n", blob[:-1], blob[10:], b"[1]\nxx"):
        assert Stream.from_bytes(damaged) is None
