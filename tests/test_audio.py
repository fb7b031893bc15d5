"""Reading: right samples, or an error that names the file."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile as sf
from codecbench.bench.audio import AudioError, Clip, from_pcm16, read, resample, to_pcm16, write_flac


def sine(rate, seconds=0.5, channels=1, frequency=440.0):
    t = np.arange(round(rate * seconds)) / rate
    return Clip(np.tile((0.5 * np.sin(2 * np.pi * frequency * t)).astype(np.float32), (channels, 1)), rate)


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_flac_round_trip(tmp_path, rate, channels):
    clip = sine(rate, channels=channels)
    write_flac(tmp_path / "a.flac", clip)
    back = read(tmp_path / "a.flac")
    assert (back.rate, back.samples.shape) == (rate, clip.samples.shape)
    np.testing.assert_array_equal(back.samples, from_pcm16(to_pcm16(clip.samples)))


def test_a_part_of_a_file(tmp_path):
    clip = sine(16000, 1.0)
    write_flac(tmp_path / "a.flac", clip)
    part = read(tmp_path / "a.flac", start=0.25, seconds=0.5)
    np.testing.assert_array_equal(part.samples, read(tmp_path / "a.flac").samples[:, 4000:12000])
    assert read(tmp_path / "a.flac", start=0.9, seconds=5).length == 1600


def test_formats_that_only_ffmpeg_reads(tmp_path):
    av = pytest.importorskip("av")
    clip = sine(48000, 1.0, 2)
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        stream.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(clip.samples, format="fltp", layout="stereo")
        frame.sample_rate = 48000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    back = read(path)
    assert (back.rate, back.channels) == (48000, 2)
    assert abs(back.seconds - 1.0) < 0.06
    assert 0.3 < np.sqrt(np.mean(back.samples[:, 10000:40000] ** 2)) < 0.4  # a sine of 0.5 has 0.354


@pytest.mark.parametrize("end", [0.5, 0.9])
def test_truncated_lossless_files_are_refused(tmp_path, end):
    rng = np.random.default_rng(0)
    write_flac(tmp_path / "a.flac", Clip(rng.uniform(-0.5, 0.5, (1, 50000)).astype(np.float32), 16000))
    blob = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "b.flac").write_bytes(blob[: int(len(blob) * end)])
    with pytest.raises(AudioError, match=r"b\.flac.*truncated"):
        read(tmp_path / "b.flac")


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("not audio")
    sf.write(tmp_path / "nan.wav", np.array([0.0, np.nan, 0.1]), 16000, subtype="FLOAT")
    sf.write(tmp_path / "none.wav", np.zeros(0), 16000)
    for name, message in (
        ("empty.wav", "empty"),
        ("text.wav", "not readable as audio"),
        ("nan.wav", "NaN or infinite"),
        ("none.wav", "no samples"),
        ("missing.wav", "No such file"),
    ):
        with pytest.raises(AudioError, match=f"{name}.*{message}"):
            read(tmp_path / name)


def test_clip_refuses_other_types():
    with pytest.raises(ValueError, match="float32"):
        Clip(np.zeros((1, 4)), 16000)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="channels, n"):
        Clip(np.zeros(4, np.float32), 16000)


def test_pcm16_rounds_and_clips():
    x = np.array([-1.5, -1.0, -0.4 / 32768, 0.6 / 32768, 1.0], np.float32)
    assert to_pcm16(x).tolist() == [-32768, -32768, 0, 1, 32767]


@pytest.mark.parametrize("rate", [8000, 24000, 44100, 48000])
def test_resampling_keeps_time_and_level(rate):
    clip = sine(16000, 1.0)
    out = resample(clip, rate)
    assert out.length == rate
    wanted = sine(rate, 1.0)
    middle = slice(rate // 4, 3 * rate // 4)
    assert np.abs(out.samples[0, middle] - wanted.samples[0, middle]).max() < 2e-4
