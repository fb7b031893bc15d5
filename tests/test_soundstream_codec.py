"""The codec `soundstream` as the harness sees it: with a small model, and with the packaged weights where they are."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tiny_soundstream
from codecbench.bench import pipeline
from codecbench.bench.audio import Clip
from codecbench.bench.cli import main
from codecbench.bench.conformance import CLEAR, measure
from codecbench.bench.fingerprint import codec_fingerprint
from codecbench.bench.listing import list_codecs
from codecbench.codecs import CodecError, Encoded, Packet, registry
from codecbench.codecs import soundstream as package
from codecbench.codecs.soundstream import packaged

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

codec = registry.get("soundstream")
STAGES = {"3": 4, "6": 8, "9": 12, "12": 16, "18": 24}


def clip(seconds=1.0, channels=1):
    x = tiny_soundstream.speech()
    n = round(24000 * seconds)
    return Clip(np.stack([x[c * n : (c + 1) * n] for c in range(channels)]), 24000)


def save(path, status="preview"):
    from codecbench.codecs.soundstream.model import save

    save(tiny_soundstream.model(), path, {"status": status})


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A small model in the place of the packaged weights."""
    path = tmp_path / "soundstream.safetensors"
    monkeypatch.setattr(packaged, "WEIGHTS", path)
    save(path)
    return path


def test_declaration():
    assert [point.label for point in codec.points] == list(STAGES)
    for point in codec.points:
        assert point.params["stages"] == STAGES[point.label]
        assert point.kbps == float(point.label) == STAGES[point.label] * 0.75
        assert (point.mode, point.content) == ("cbr", ("speech", "music"))
        assert (codec.frame(24000, point), codec.delay(24000, point)) == (320, 640)
    assert (codec.rates, codec.channels) == ((24000,), (1,))
    assert "two channels apart" in codec.about


@pytest.mark.parametrize("label", STAGES)
def test_packets_are_ten_bits_a_stage_and_the_rate_is_exact(weights, label):
    point = codec.point(label)
    stream = pipeline.encode(codec, point, clip(1.0037))
    assert stream.kbps == pytest.approx(float(label), rel=1e-12)
    (encoded,) = stream.parts
    assert {packet.bits for packet in encoded.packets} == {10 * STAGES[label]}
    assert {len(packet.data) for packet in encoded.packets} == {-(-10 * STAGES[label] // 8)}
    decoded = codec.decode(encoded, point)
    assert (decoded.rate, decoded.samples.shape) == (24000, (1, 320 * len(encoded.packets)))


def test_packets_of_a_higher_rate_cut_short_are_of_the_lower_one(weights):
    x = clip().samples[0]
    high = codec.encode(clip(), codec.point("12"))
    point = codec.point("6")
    cut = replace(high, packets=tuple(Packet(packet.data[:10], 80) for packet in high.packets))
    errors = []
    for encoded in (codec.encode(clip(), point), cut):
        y = codec.decode(encoded, point).samples[0]
        errors.append(np.square(x[:-640] - y[640 : len(x)]).sum())
    assert errors[1] < 1.5 * errors[0]


def test_stereo_counts_both_channels(weights):
    stream = pipeline.encode(codec, codec.point("6"), clip(1.0, 2))
    assert stream.kbps == pytest.approx(12)
    mono = pipeline.encode(codec, codec.point("6"), Clip(clip(1.0, 2).samples[1:], 24000))
    assert stream.parts[1] == mono.parts[0]


def test_frames_are_what_whole_files_give(weights):
    point = codec.point("12")
    framed = np.concatenate(list(codec.frames(clip(1.01), point)))
    whole = codec.decode(codec.encode(clip(1.01), point), point).samples[0]
    np.testing.assert_allclose(framed, whole, rtol=0, atol=1e-5)


def test_damaged_packets_are_refused(weights):
    point = codec.point("6")
    encoded = codec.encode(clip(), point)
    for data in (b"", encoded.packets[3].data[:-1], encoded.packets[3].data + b"\0"):
        packets = (*encoded.packets[:3], Packet(data, 0))
        with pytest.raises(CodecError, match=rf"soundstream 6: packet 3 has {len(data)} bytes, not 10"):
            codec.decode(Encoded(packets, 24000, 1), point)
    with pytest.raises(CodecError, match="the model has 64 a stage"):
        codec.decode(Encoded((Packet(b"\xff" * 10, 80),), 24000, 1), point)
    assert codec.decode(Encoded((), 24000, 1), point).length == 0


def test_weights_with_fewer_stages_are_refused(weights):
    from codecbench.codecs.soundstream import model

    model.save(tiny_soundstream.model(8), weights, {})
    with pytest.raises(CodecError, match="24 stages; these weights have 2 to 8"):
        codec.encode(clip(), codec.point("18"))


def test_absent_and_damaged_weights_are_told(weights):
    assert codec.available() is None
    weights.write_bytes(b"nothing")
    assert "is not a safetensors file" in codec.available()
    weights.unlink()
    assert "no weights at" in codec.available()
    assert "bench train soundstream" in codec.available()
    with pytest.raises(CodecError, match=r"soundstream\.safetensors"):
        codec.encode(clip(), codec.point("6"))
    row = next(row for row in list_codecs() if row["name"] == "soundstream")
    assert row["unavailable"] == codec.available()
    assert row["note"] == ""


@pytest.mark.parametrize("absent", ["torch", "safetensors", "onnx", "onnxruntime"])
def test_an_absent_package_is_told(weights, monkeypatch, absent):
    monkeypatch.setattr(package, "find_spec", lambda name: None if name == absent else object())
    assert codec.available() == f"it needs {absent}: pip install {absent}"


def test_a_preview_says_so_and_a_release_does_not(weights, capsys):
    assert "not for SoundStream" in codec.note()
    assert "Lyra V2" in codec.note()
    assert main(["list", "codecs"]) == 0
    assert "soundstream: its weights are a preview" in " ".join(capsys.readouterr().out.split())
    save(weights, "released")
    assert codec.note() == ""


def test_weights_are_in_the_fingerprint(weights):
    point = codec.point("6")
    before, versions = codec_fingerprint(codec, point), codec.versions()
    assert versions["weights"] == packaged.model_id()
    assert {"torch", "onnxruntime"} <= set(versions)
    save(weights, "released")
    assert codec_fingerprint(codec, point) != before
    assert codec.versions()["weights"] != versions["weights"]


def test_new_weights_are_coded_with(weights):
    import copy

    from codecbench.codecs.soundstream import model

    point = codec.point("6")
    before = codec.encode(clip(), point)
    changed = copy.deepcopy(tiny_soundstream.model())
    changed.quantizer.levels.codebooks.mul_(0.5)
    model.save(changed, weights, {})
    assert codec.encode(clip(), point) != before


def test_the_packages_list_needs_no_torch():
    code = "import sys; from codecbench.codecs import registry; registry.get('soundstream').available(); "
    done = subprocess.run(
        [sys.executable, "-c", code + "print(sorted({'torch', 'onnxruntime', 'onnx'} & set(sys.modules)))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


class TestPackagedWeights:
    """Of whatever quality they are, these hold."""

    @pytest.fixture(autouse=True)
    def _there(self):
        if codec.available():
            pytest.skip(codec.available())

    def test_silence_decodes_to_silence(self):
        silence = Clip(np.zeros((1, 24000), np.float32), 24000)
        for label in STAGES:
            decoded = codec.decode(codec.encode(silence, codec.point(label)), codec.point(label))
            assert np.sqrt((decoded.samples**2).mean()) < 1e-3  # -60 dBFS

    def test_the_declared_delay_is_the_measured_one(self):
        for label in ("9", "18"):
            found = measure(codec, codec.point(label), 24000)
            assert found.delay == codec.delay(24000, codec.point(label)) == 640
            assert found.clarity > CLEAR

    def test_more_stages_come_nearer(self):
        x = clip(5.0)
        error = []
        for label in ("3", "6", "18"):
            y = codec.decode(codec.encode(x, codec.point(label)), codec.point(label)).samples[0, 640:]
            spectra = [np.abs(np.fft.rfft(s[:119296].reshape(-1, 512) * np.hanning(512))) for s in (x.samples[0], y)]
            error.append(np.abs(np.log10(spectra[0] + 1e-2) - np.log10(spectra[1] + 1e-2)).mean())
        assert error == sorted(error, reverse=True)

    def test_status_is_one_of_two(self):
        assert packaged.metadata()["status"] in ("preview", "released")
