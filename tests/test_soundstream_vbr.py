"""Variable bitrate: what the control spends where, and the packets of the codec `soundstream-vbr`."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_soundstream
from codecbench.bench import pipeline
from codecbench.bench.audio import Clip, read, resample
from codecbench.bench.metrics import registry as metrics
from codecbench.bench.metrics._metric import ReferenceCache, evaluate
from codecbench.codecs import CodecError, Encoded, Packet, registry
from codecbench.codecs.soundstream import packaged
from codecbench.codecs.soundstream.ratecontrol import RateControl
from codecbench.corpora import registry as corpora

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

codec = registry.get("soundstream-vbr")


def levels(decibels):
    """[F, 2] of frames whose louder band is so many dB above 1e-4 of full scale."""
    amplitude = 10 ** (np.asarray(decibels, float) / 20)
    return np.log1p(np.stack([amplitude, amplitude / 10], 1))


def talk(pause, seconds=60):
    """dB of words of half a second with pauses between them, which are 45 dB softer."""
    rng = np.random.default_rng(0)
    word = rng.normal(58, 6, round(seconds * 75))
    return np.where(np.arange(len(word)) % 75 < 75 * (1 - pause), word, 13)


@pytest.mark.parametrize("mean", [4, 6, 8, 12, 16, 20])
@pytest.mark.parametrize("pause", [0.0, 0.2, 0.5])
def test_the_mean_is_held_within_the_range(mean, pause):
    control = RateControl(mean)
    low, high = control.range
    stages = control(levels(talk(pause)))
    assert low <= stages.min() <= mean <= stages.max() <= high <= 24
    assert low >= 3
    assert stages.mean() == pytest.approx(mean, rel=0.02)
    every_ten_seconds = stages.reshape(-1, 750).mean(1)
    assert every_ten_seconds == pytest.approx(np.full(6, mean), rel=0.1)


@pytest.mark.parametrize("level", [70, 20, -20])
def test_steady_sound_comes_to_the_constant_bitrate(level):
    """Music without pauses, noise, digital silence."""
    stages = RateControl(8)(levels(np.full(3000, level)))
    assert stages[1000:].mean() == pytest.approx(8, abs=0.05)
    assert np.ptp(stages[1000:]) <= 1


def test_louder_frames_have_more():
    decibels = talk(0.3)
    stages = RateControl(8)(levels(decibels))[750:]
    loud, pause = stages[decibels[750:] > 55], stages[decibels[750:] < 20]
    assert loud.mean() > 9
    assert pause.mean() < 5


def test_a_softer_speaker_has_as_much_soon():
    """20 dB softer from one moment on: the peak that frames are compared with falls."""
    decibels = np.concatenate([talk(0.3), talk(0.3) - 20])
    stages = RateControl(8)(levels(decibels))
    half = len(stages) // 2
    assert stages[half:].mean() == pytest.approx(8, rel=0.05)
    loud = decibels[half:] > 30
    assert stages[half:][loud][-1500:].mean() > 9


@pytest.mark.parametrize("mean", [-1, 0, 2, 3, 25])
def test_means_that_cannot_be_held_are_refused(mean):
    with pytest.raises(ValueError, match=f"a mean of {mean} stages; there are 4 to 24"):
        RateControl(mean)
    assert set(RateControl(24)(levels(talk(0.3)))) == {24}


def test_cutting_it_up_changes_nothing():
    x = levels(talk(0.3, 10))
    whole, control = RateControl(8)(x), RateControl(8)
    np.testing.assert_array_equal(np.concatenate([control(part) for part in np.split(x, [1, 8, 9, 300])]), whole)


# The codec


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A small model in the place of the packaged weights."""
    from codecbench.codecs.soundstream.model import save

    path = tmp_path / "soundstream.safetensors"
    monkeypatch.setattr(packaged, "WEIGHTS", path)
    save(tiny_soundstream.model(), path, {"status": "preview"})
    return path


@pytest.mark.parametrize("point", codec.points, ids=lambda point: point.label)
def test_a_packets_length_tells_its_stages(weights, point):
    """Packets of several sizes, 10 bits a stage, that give back the codes they were made of."""
    assert point.mode == "vbr"
    clip = Clip(tiny_soundstream.speech()[None], 24000)
    stream = pipeline.encode(codec, point, clip)
    (encoded,) = stream.parts
    assert stream.kbps == pytest.approx(point.kbps, rel=0.12)
    sizes = {(len(packet.data), packet.bits) for packet in encoded.packets}
    assert len(sizes) > 3
    assert all(bits % 10 == 0 and size == -(-bits // 8) for size, bits in sizes)
    codes = codec._unpack(encoded.packets, point)
    assert codec._pack(codes) == encoded.packets
    decoded = codec.decode(encoded, point)
    assert decoded.samples.shape == (1, 320 * len(encoded.packets))
    assert codec.tokens(encoded, point) is None


def test_packets_of_no_such_size_are_refused(weights):
    point = codec.point("6")
    for size in (0, 1, 2, 6, 11, 31, 400):
        with pytest.raises(CodecError, match=rf"soundstream-vbr 6: packet 1 has {size} bytes"):
            codec.decode(Encoded((Packet(bytes(10), 80), Packet(bytes(size), 8 * size)), 24000, 1), point)
    assert codec.decode(Encoded((), 24000, 1), point).length == 0


def test_it_is_better_at_the_same_bitrate():
    """On speech, with the weights that ship: what it is there for."""
    if not packaged.WEIGHTS.exists():
        pytest.skip("no packaged weights")
    clips = [Clip(resample(read(item.path, item.start, item.seconds), 24000).samples[:1], 24000) for item in some()]
    found = []
    for name in ("soundstream", "soundstream-vbr"):
        one, pesq, kbps = registry.get(name), [], []
        for clip in clips:
            stream = pipeline.encode(one, one.point("6"), clip)
            kbps.append(stream.kbps)
            decoded = pipeline.decode(one, one.point("6"), stream, clip)
            pesq.append(evaluate(metrics.get("pesq_wb"), ReferenceCache(clip), decoded).value)
        assert np.mean(kbps) < 6.3
        found.append(np.mean(pesq))
    assert found[1] > found[0] + 0.02


def some():
    """Two embedded clips of each of four speakers."""
    items = list(corpora.get("speech").items(None))
    speakers = list(dict.fromkeys(item.speaker for item in items))[:4]
    return [item for speaker in speakers for item in [one for one in items if one.speaker == speaker][:2]]
