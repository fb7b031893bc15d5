"""Anchors: exact rounding, attenuation as BS.1534 asks, MNRU's signal-to-noise ratio, order and purity."""

from __future__ import annotations

import numpy as np
import pytest
from codecbench.bench.audio import Clip, from_pcm16
from codecbench.codecs import CodecError, Encoded, Packet, registry


def noise(rate: int, seconds: float = 1.0, channels: int = 1, scale: float = 0.1) -> Clip:
    rng = np.random.default_rng(7)
    samples = (scale * rng.standard_normal((channels, round(rate * seconds)))).astype(np.float32)
    return Clip(samples.clip(-1, 1), rate)


def coded(name: str, label: str, clip: Clip) -> tuple[Encoded, Clip]:
    codec = registry.get(name)
    point = codec.point(label)
    encoded = codec.encode(clip, point)
    return encoded, codec.decode(Encoded.from_bytes(encoded.to_bytes()), point)


def test_pcm16_is_the_identity_of_16_bit_audio() -> None:
    every = np.arange(-32768, 32768, dtype=np.int16)
    clip = Clip(from_pcm16(every)[None, :], 48000)
    encoded, out = coded("pcm", "16", clip)
    assert np.array_equal(out.samples, clip.samples)
    assert encoded.bits == 16 * 65536


@pytest.mark.parametrize("bits", [8, 12])
def test_pcm_rounds_exactly(bits: int) -> None:
    clip = noise(16000, channels=2, scale=0.5)
    encoded, out = coded("pcm", str(bits), clip)
    step = 2.0 ** (1 - bits)
    assert encoded.bits == bits * clip.length * 2
    assert np.array_equal(out.samples / step, np.rint(out.samples / step)), "samples lie on the grid"
    assert np.abs(out.samples - clip.samples)[clip.samples < 1 - step].max() <= step / 2
    assert out.samples.max() == 1 - step, "full scale clips to the largest code"


def test_pcm_noise_is_6_db_a_bit() -> None:
    clip = noise(16000, 2.0)
    power = [float(np.mean((coded("pcm", label, clip)[1].samples - clip.samples) ** 2)) for label in ("8", "12")]
    assert 10 * np.log10(power[0] / power[1]) == pytest.approx(4 * 6.0206, abs=0.2)
    assert power[0] == pytest.approx(2.0**-14 / 12, rel=0.03)  # step^2 / 12


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000])
@pytest.mark.parametrize(("label", "passband"), [("3.5k", 3500), ("7k", 7000)])
def test_lowpass_attenuation(label: str, passband: int, rate: int) -> None:
    codec = registry.get("lowpass")
    point = codec.point(label)
    if rate not in (point.rates or codec.rates):
        with pytest.raises(CodecError, match=f"not at {rate}"):
            codec.encode(noise(rate), point)
        assert codec.native_rate(rate, point) == 16000
        return
    impulse = np.zeros((1, rate), np.float32)
    impulse[0, rate // 2] = 1
    out = coded("lowpass", label, Clip(impulse, rate))[1].samples[0].astype(np.float64)
    assert np.argmax(out) == rate // 2, "no delay"
    gain = 20 * np.log10(np.abs(np.fft.rfft(out)) + 1e-12)  # bins of 1 Hz
    assert np.abs(gain[: passband + 1]).max() < 0.1
    scale = passband // 3500  # BS.1534-3: 25 dB at 4 kHz, 50 dB at 4.5 kHz for the 3.5 kHz anchor
    stops = [(passband + 500 * scale, 25), (passband + 1000 * scale, 50)]
    for edge, attenuation in stops:
        if edge < rate / 2:
            assert gain[edge:].max() < -attenuation


def test_lowpass_of_a_clip_shorter_than_the_filter() -> None:
    for n in (0, 1, 3, 100):
        clip = Clip(np.full((1, n), 0.5, np.float32), 48000)
        assert coded("lowpass", "3.5k", clip)[1].samples.shape == (1, n)


@pytest.mark.parametrize("q", [10, 20, 30])
@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_mnru_ratio(q: int, rate: int) -> None:
    clip = noise(rate, 2.0, channels=2)
    out = coded("mnru", str(q), clip)[1]
    error = out.samples.astype(np.float64) - clip.samples
    for channel in range(2):
        measured = 10 * np.log10(np.mean(clip.samples[channel].astype(np.float64) ** 2) / np.mean(error[channel] ** 2))
        assert measured == pytest.approx(q, abs=0.3)
    modulation = error / clip.samples * 10 ** (q / 20)
    assert abs(np.asarray(np.corrcoef(modulation))[0, 1]) < 0.05, "channels have noise of their own"


def test_mnru_is_the_same_every_time_and_another_for_another_clip() -> None:
    one, two = noise(16000), Clip(noise(16000).samples * np.float32(0.5), 16000)
    assert np.array_equal(coded("mnru", "10", one)[1].samples, coded("mnru", "10", one)[1].samples)
    assert not np.allclose(coded("mnru", "10", one)[1].samples, 2 * coded("mnru", "10", two)[1].samples, atol=1e-3)


def test_silence_stays_silent() -> None:
    silent = Clip(np.zeros((1, 800), np.float32), 16000)
    for name in ("pcm", "lowpass", "mnru"):
        for point in registry.get(name).points:
            assert not coded(name, point.label, silent)[1].samples.any()


@pytest.mark.parametrize("name", ["pcm", "lowpass", "mnru"])
def test_refusals(name: str) -> None:
    codec = registry.get(name)
    point = codec.points[0]
    with pytest.raises(CodecError, match="NaN"):
        codec.encode(Clip(np.full((1, 80), np.nan, np.float32), 16000), point)
    with pytest.raises(CodecError, match="not at 12345"):
        codec.encode(noise(12345), point)
    with pytest.raises(CodecError, match="channels, not 3"):
        codec.encode(noise(16000, channels=3), point)
    encoded = codec.encode(noise(16000), point)
    cut = Packet(encoded.packets[0].data[:-4], encoded.packets[0].bits)
    with pytest.raises(CodecError, match="bytes of PCM"):
        codec.decode(Encoded((cut,), 16000, 1), point)


def test_anchors_have_no_bitrate() -> None:
    for name in ("pcm", "lowpass", "mnru"):
        assert registry.get(name).kind == "anchor"
        assert all(point.kbps is None for point in registry.get(name).points)
