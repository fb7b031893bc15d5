"""Neural codecs of a hub, by random checkpoints of each kind: real weights are not needed to know that bits, lengths,
packets and times are right."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codecbench.bench import _isolated, conformance, pipeline
from codecbench.bench.audio import Clip
from codecbench.bench.delay import probe
from codecbench.bench.download import sha256
from codecbench.bench.models import File, Model
from codecbench.codecs import CodecError, Encoded, Packet, _neural, registry
from codecbench.codecs._codes import Layout, pack, unpack
from codecbench.codecs._load import load_checkpoint
from codecbench.codecs._neural import NeuralCodec
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.usefixtures("forget_codecs")

NAMES = ["encodec", "encodec_chunks", "dac", "dac_even", "mimi", "xcodec", "snac", "snac_attention"]
#: one of each adapter goes through the whole kit, with its processes; the others through what they do differently
CHECKED = ["encodec_chunks", "dac", "mimi", "xcodec", "snac_attention"]
PACKAGES = {"snac": "snac", "snac_attention": "snac"}


def needs(name: str) -> Any:
    package = PACKAGES.get(name, "transformers")
    missing = find_spec(package) is None
    return pytest.param(name, marks=pytest.mark.skipif(missing, reason=f'{package} is missing: "codecbench[neural]"'))


each = pytest.mark.parametrize("name", [needs(name) for name in NAMES])
transformers_only = pytest.mark.parametrize("name", [needs("dac")])


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Those built so far."""
    return {"": tmp_path_factory.mktemp("checkpoints")}


@pytest.fixture
def folder(name: str, checkpoints: dict[str, Path]) -> Path:
    import tiny_neural

    if name not in checkpoints:
        tiny_neural.build(name, checkpoints[""] / name)
        checkpoints[name] = checkpoints[""] / name
    return checkpoints[name]


@pytest.fixture
def codec(name: str, folder: Path) -> NeuralCodec:
    """Not registered."""
    made = registered(name).with_weights(folder)
    assert isinstance(made, NeuralCodec)
    return made


def registered(name: str) -> NeuralCodec:
    """A codec of the package that takes such a checkpoint."""
    codec = next(codec for codec in registry if codec.takes == name.split("_")[0])
    assert isinstance(codec, NeuralCodec)
    return codec


def speech(codec: NeuralCodec, seconds: float = 0.5, channels: int = 1) -> Clip:
    parts = [probe(codec.rates[0], seconds, seed=seed).samples for seed in range(channels)]
    return Clip(np.concatenate(parts), codec.rates[0])


# What is declared


DECLARED = {
    # frames/s x bits a code x stages (Défossez et al. 2022; Kumar et al. 2023; Défossez et al. 2024; Ye et al. 2024)
    "encodec_24k": {"1.5": 75 * 10 * 2, "3": 75 * 10 * 4, "6": 75 * 10 * 8, "12": 75 * 10 * 16, "24": 75 * 10 * 32},
    # 150 frames of a chunk that covers 0.99 s, and its float32 gain
    "encodec_48k": {label: (32 + 150 * 10 * n) / 0.99 for label, n in (("3", 2), ("6", 4), ("12", 8), ("24", 16))},
    "dac_16k": {"1": 1000, "2": 2000, "3": 3000, "4": 4000, "6": 6000},
    "dac_24k": {"1.5": 1500, "3": 3000, "6": 6000, "12": 12000, "24": 24000},
    "dac_44k": {"1.72": 20 * 44100 / 512, "2.58": 30 * 44100 / 512, "3.45": 40 * 44100 / 512}
    | {"5.17": 60 * 44100 / 512, "7.75": 90 * 44100 / 512},
    "mimi": {"1.1": 12.5 * 11 * 8, "2.2": 12.5 * 11 * 16, "4.4": 12.5 * 11 * 32},
    "xcodec": {"0.5": 500, "1": 1000, "1.5": 1500, "2": 2000, "4": 4000},
    # stages of hop x 4, 2, 1 and of hop x 8, 4, 2, 1
    "snac_24k": {"0.98": 12 * 24000 / 512 * 1.75},
    "snac_32k": {"1.9": 12 * 32000 / 384 * 1.875},
    "snac_44k": {"2.6": 12 * 44100 / 384 * 1.875},
}


@pytest.mark.parametrize("name", DECLARED)
def test_declared_bitrates(name: str) -> None:
    codec = registry.get(name)
    assert {point.label: pytest.approx(1000 * (point.kbps or 0)) for point in codec.points} == DECLARED[name]
    assert all(point.mode == "cbr" for point in codec.points)
    assert codec.model is not None
    assert (codec.model.name, len(codec.model.revision)) == (name, 40)


def test_families_are_curves() -> None:
    """Models of different rates are different codecs: no curve joins them."""
    families = [registry.get(name).family for name in DECLARED]
    assert len(set(families)) == len(families)


@pytest.mark.skipif(find_spec("transformers") is None, reason='transformers is missing: "codecbench[neural]"')
def test_declared_layouts_are_those_of_the_real_configurations() -> None:
    """The defaults of transformers are the published models; what differs is as their cards have it."""
    from transformers import DacConfig, EncodecConfig, MimiConfig, XcodecConfig

    stereo = {"sampling_rate": 48000, "audio_channels": 2, "normalize": True, "chunk_length_s": 1.0, "overlap": 0.01}
    stereo |= {"target_bandwidths": [3.0, 6.0, 12.0, 24.0], "use_causal_conv": False, "norm_type": "time_group_norm"}
    ratios = [2, 4, 5, 8]
    configs = {
        "encodec_24k": EncodecConfig(),
        "encodec_48k": EncodecConfig(**stereo),
        "dac_16k": DacConfig(sampling_rate=16000, downsampling_ratios=ratios, n_codebooks=12),
        "dac_24k": DacConfig(sampling_rate=24000, downsampling_ratios=ratios, n_codebooks=32),
        "dac_44k": DacConfig(sampling_rate=44100, n_codebooks=9),
        "mimi": MimiConfig(),
        "xcodec": XcodecConfig(),
    }
    for name, config in configs.items():
        codec = registry.get(name)
        assert isinstance(codec, NeuralCodec)
        assert codec.layout_of(config) == codec.layout
        derived = {point.label: point.kbps for point in codec.points_of(config, codec.layout)}
        if not name.startswith(("dac", "mimi")):  # of these we declare other points than the doubling ones
            assert derived == {point.label: point.kbps for point in codec.points}


def test_listing_imports_no_library() -> None:
    script = (
        "import sys; from codecbench.codecs import registry; "
        "[(c.available(), c.points) for c in registry if c.name.startswith(('enc', 'dac', 'mimi', 'x', 'snac'))]; "
        "print([m for m in ('torch', 'transformers', 'snac') if m in sys.modules])"
    )
    import subprocess

    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("name", DECLARED)
def test_unavailable(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    codec = registry.get(name)
    monkeypatch.setenv("CODECBENCH_MODELS", str(tmp_path))
    monkeypatch.setattr(_neural, "find_spec", lambda package: None)
    assert codec.available() == 'it needs torch: pip install "codecbench[neural]"'
    monkeypatch.setattr(_neural, "find_spec", lambda package: True)
    assert f"bench models get {name}" in (codec.available() or "")


def test_no_random_model_is_registered() -> None:
    assert not [name for name in registry.names() if ":" in name]


# Packets


@st.composite
def streams(draw: st.DrawFn) -> tuple[Layout, list[np.ndarray[Any, Any]], np.ndarray[Any, Any] | None]:
    entries = draw(st.integers(2, 5000))
    codes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    layout = Layout(16000, 320, entries, tuple(codes), gains=draw(st.booleans()))
    count = draw(st.integers(1, 4))
    stages = [
        np.array(draw(st.lists(st.integers(0, entries - 1), min_size=n * count, max_size=n * count))) for n in codes
    ]
    gains = np.array(draw(st.lists(st.floats(0, 2.0**100, width=32), min_size=count, max_size=count)), np.float32)
    return layout, stages, gains if layout.gains else None


@settings(max_examples=60, deadline=None)
@given(streams())
def test_packets(stream: tuple[Layout, list[np.ndarray[Any, Any]], np.ndarray[Any, Any] | None]) -> None:
    layout, stages, gains = stream
    packets = pack(layout, stages, gains)
    assert {packet.bits for packet in packets} == {layout.packet_bits(len(stages))}
    assert {len(packet.data) for packet in packets} == {-(-packets[0].bits // 8)}
    found, scales = unpack(layout, packets, len(stages))
    assert all(np.array_equal(one, two) for one, two in zip(found, stages, strict=True))
    assert (scales is None) if gains is None else np.array_equal(scales, gains)  # type: ignore[arg-type]


def test_packet_by_hand() -> None:
    """10 bits a code, stage after stage, most significant bit first."""
    layout = Layout(16000, 640, 1024, (1, 2))
    (packet,) = pack(layout, [np.array([0b1100000001]), np.array([0b0000000011, 0b1000000000])], None)
    assert packet == Packet(bytes([0b11000000, 0b01000000, 0b00111000, 0b00000000]), 30)


def test_damaged_packets() -> None:
    layout = Layout(16000, 320, 1000, (1,), gains=True)
    (packet,) = pack(layout, [np.array([999])], np.array([0.5], np.float32))
    cases = {
        "no packets": [],
        "packet 1 has 5 bytes, not 6": [packet, Packet(packet.data[:5], 40)],
        "packet 0 has a code beyond the 1000 entries": [Packet(packet.data[:4] + b"\xff\xff", 42)],
        "packet 0 has a gain that is no positive number": [Packet(b"\x7f\xc0\x00\x00" + packet.data[4:], 42)],
    }
    for message, packets in cases.items():
        with pytest.raises(ValueError, match=message):
            unpack(layout, packets, 1)


# Every kind, through everything


@pytest.mark.parametrize("name", [needs(name) for name in CHECKED])
def test_conformance(name: str, folder: Path) -> None:
    codec = registry.get(load_checkpoint(name.split("_")[0], folder))
    checks = conformance.check(codec)
    assert [f"{check.name} {check.point}: {check.detail}" for check in checks if not check.passed] == []
    assert {"delay", "rate", "other process", "damage: bits flipped"} <= {check.name for check in checks}


@each
def test_delay_and_rate(codec: NeuralCodec) -> None:
    for point in codec.points:
        found = conformance.measure(codec, point, codec.rates[0])
        assert found.constant
        assert found.kbps == pytest.approx(point.kbps, rel=1e-9)
        assert found.clarity > conformance.CLEAR
        assert abs(found.delay) <= conformance.PARAMETRIC_SECONDS * found.rate


@each
def test_burst_comes_out_where_it_went_in(codec: NeuralCodec) -> None:
    rate, late = codec.rates[0], []
    quiet = 0.02 * probe(rate, 2.0, seed=3).samples
    burst = 0.5 * np.random.default_rng(0).standard_normal(rate // 50).astype(np.float32)
    for at in (0.5, 0.731, 1.2):
        loud = quiet.copy()
        loud[:, int(at * rate) :][:, : len(burst)] += burst
        one, two = (codec.decode(codec.encode(Clip(x, rate), p), p) for x in (quiet, loud) for p in codec.points[-1:])
        energy = np.cumsum(np.square(two.samples - one.samples)[0])
        late.append(np.searchsorted(energy, energy[-1] / 2) / rate - at - 0.01)
    # a group norm spreads it over a chunk of 0.2 s
    assert abs(np.mean(late)) < (0.04 if codec.layout.gains else 0.015)


@each
def test_lengths(codec: NeuralCodec) -> None:
    frame = codec.layout.frame
    for point in (codec.points[0], codec.points[-1]):
        for length in (1, frame - 1, frame, frame + 1, 3 * frame - 5):
            clip = Clip(speech(codec, 1.0).samples[:, :length], codec.rates[0])
            encoded = codec.encode(clip, point)
            assert len(encoded.packets) == -(-length // frame)
            assert codec.decode(encoded, point).length == len(encoded.packets) * frame
            assert pipeline.code(codec, point, clip)[1].length == length
    with pytest.raises(CodecError, match="no samples"):
        codec.encode(Clip(np.zeros((1, 0), np.float32), codec.rates[0]), codec.points[0])


@each
def test_as_the_library_does_it(name: str, codec: NeuralCodec, folder: Path) -> None:
    """The adapter's packets lose nothing: decoded is what the library makes of the same samples in one go."""
    import torch

    point, frame = codec.points[-1], codec.layout.frame
    clip = speech(codec, 1.0, codec.channels[-1])
    clip = Clip(clip.samples[:, : clip.length // frame * frame], clip.rate)
    ours = codec.decode(codec.encode(clip, point), point)
    model = codec.load(folder).eval()
    wave = torch.from_numpy(clip.samples)[None]
    with torch.inference_mode():
        if name == "encodec_chunks":
            count = clip.length // frame
            coded = model.encode(torch.nn.functional.pad(wave, (0, 480)), bandwidth=point.params["bandwidth"])
            theirs = model.decode(coded.audio_codes[:count], coded.audio_scales[:count]).audio_values
        elif codec.package == "snac":
            torch.manual_seed(0)
            theirs = model(wave)[0]
        else:
            setting = {"dac": "n_quantizers", "mimi": "num_quantizers"}.get(codec.takes, "bandwidth")
            theirs = model(wave, **{setting: point.params.get("bandwidth", point.params["stages"])}).audio_values
    expected = theirs.numpy().reshape(codec.channels[-1], -1)[:, : clip.length]
    made = expected.shape[1]
    assert clip.length - made == (8 if name == "dac" else 0)
    # DAC's and SNAC's forward add and subtract the latents for the gradient's sake, which rounds
    assert np.allclose(ours.samples[:, :made], expected, atol=2e-4)
    assert not ours.samples[:, made:].any()


@each
def test_tokens(codec: NeuralCodec) -> None:
    for point in codec.points:
        encoded = codec.encode(speech(codec), point)
        tokens = codec.tokens(encoded, point)
        stages = point.params["stages"]
        assert tokens.sizes == (64,) * stages
        assert [len(one) for one in tokens.codes] == [len(encoded.packets) * n for n in codec.layout.codes[:stages]]
        assert all(len(np.unique(one)) > 8 for one in tokens.codes)
    with pytest.raises(CodecError, match="no packets"):
        codec.tokens(Encoded((), codec.rates[0], 1), codec.points[0])


@each
def test_points_are_prefixes(codec: NeuralCodec) -> None:
    """A residual quantiser's stages are refined, not replaced: fewer are the beginning of more."""
    clip = speech(codec)
    every = [codec.tokens(codec.encode(clip, point), point).codes for point in codec.points]
    for codes in every:
        assert all(np.array_equal(one, two) for one, two in zip(codes, every[-1], strict=False))


@each
def test_pickle_and_threads(codec: NeuralCodec) -> None:
    import torch

    point, clip = codec.points[-1], speech(codec)
    before = torch.get_num_threads()
    encoded = codec.encode(clip, point)
    wave = codec.decode(encoded, point).samples
    other = pickle.loads(pickle.dumps(codec))
    assert other.config() == codec.config()
    state = torch.random.get_rng_state()
    torch.manual_seed(1)
    torch.set_num_threads(2)
    try:
        assert other.encode(clip, point) == encoded
        assert np.array_equal(other.decode(Encoded.from_bytes(encoded.to_bytes()), point).samples, wave)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
        torch.random.set_rng_state(state)


@each
def test_damage(codec: NeuralCodec) -> None:
    point = codec.points[0]
    for _, damaged in _isolated.damage(codec.encode(speech(codec), point)):
        try:
            wave = codec.decode(damaged, point)
        except CodecError:
            continue
        assert np.isfinite(wave.samples).all()


@pytest.mark.parametrize("name", [needs("encodec_chunks")])
def test_mono_in_a_stereo_model(codec: NeuralCodec) -> None:
    """Coded as two equal channels: the bits of stereo, one channel out."""
    point, mono = codec.points[0], speech(codec)
    both = Clip(np.repeat(mono.samples, 2, axis=0), mono.rate)
    one, two = codec.encode(mono, point), codec.encode(both, point)
    assert one.packets == two.packets
    decoded, stereo = codec.decode(one, point), codec.decode(two, point)
    assert (decoded.channels, stereo.channels) == (1, 2)
    assert np.allclose(decoded.samples[0], stereo.samples.mean(axis=0))
    assert "mono" in codec.note()


@pytest.mark.parametrize("name", [needs("encodec_chunks")])
def test_gain_follows_the_level(codec: NeuralCodec) -> None:
    """The gain travels: a clip 20 dB lower has the same codes and decodes 20 dB lower."""
    point, loud = codec.points[0], speech(codec, channels=2)
    soft = Clip(0.1 * loud.samples, loud.rate)
    one, two = (codec.encode(clip, point) for clip in (loud, soft))
    assert np.mean(codec.tokens(one, point).codes[0] == codec.tokens(two, point).codes[0]) > 0.95
    levels = [codec.decode(encoded, point).samples.std() for encoded in (one, two)]
    assert levels[0] / levels[1] == pytest.approx(10, rel=0.1)


# Where the weights come from


@transformers_only
def test_weights_of_the_store(
    name: str, codec: NeuralCodec, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A declared codec takes the model's folder once it is verified, and says its revision."""
    monkeypatch.setenv("CODECBENCH_MODELS", str(tmp_path))
    files = tuple(
        File(path.name, sha256(path), path.stat().st_size) for path in sorted(folder.iterdir()) if path.is_file()
    )
    model = Model("tiny", "Tiny", "none", files, repo="nobody/tiny", revision="0123456789abcdef" * 2)
    declared = type(codec)("tiny", "Tiny", "a test", "none", codec.layout, codec.points, model)
    clip, point = speech(codec), codec.points[0]
    assert "bench models get tiny" in (declared.available() or "")
    with pytest.raises(CodecError, match="bench models get tiny"):
        declared.encode(clip, point)
    shutil.copytree(folder, tmp_path / "tiny")
    assert declared.available() is None
    assert declared.versions()["weights"] == "0123456789ab"
    assert declared.encode(clip, point) == codec.encode(clip, point)
    unfit = type(codec)("unfit", "Unfit", "a test", "none", replace(codec.layout, entries=4096), codec.points, model)
    with pytest.raises(CodecError, match=r"entries=64.*, not the declared .*entries=4096"):
        unfit.encode(clip, point)
    # A configuration that no hash is known for: another one must not pass for it in cache or tables.
    config = next(file for file in files if file.name == "config.json")
    open_files = tuple(File(file.name, "", 0) if file is config else file for file in files)
    declared.model = replace(model, files=open_files)
    assert declared.versions()["weights"] == f"0123456789ab+{config.sha256[:8]}"


@each
def test_names_of_own_weights(name: str, codec: NeuralCodec, folder: Path, tmp_path: Path) -> None:
    assert codec.name == f"{codec.takes}:{name}-{codec.versions()['weights'][:8]}"
    assert codec.name.split(":")[1] in codec.family
    assert codec.available() is None
    copied = Path(shutil.copytree(folder, tmp_path / name))
    assert registered(name).with_weights(copied).name == codec.name
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(config, indent=7))
    assert registered(name).with_weights(copied).name != codec.name


@pytest.mark.parametrize("name", [needs("dac"), needs("snac")])
def test_broken_checkpoints(name: str, folder: Path, tmp_path: Path) -> None:
    def refused(match: str) -> None:
        with pytest.raises(CodecError, match=match) as caught:
            registered(name).with_weights(place)
        assert str(place) in str(caught.value)

    place = tmp_path / "empty"
    place.mkdir()
    refused("no config.json")
    shutil.copy(folder / "config.json", place)
    refused("no weights")
    place = Path(shutil.copytree(folder, tmp_path / "cut"))
    weights = next(file for file in place.iterdir() if file.suffix in (".safetensors", ".bin"))
    weights.write_bytes(weights.read_bytes()[:1000])
    refused("cannot be loaded")
    place = Path(shutil.copytree(folder, tmp_path / "other"))
    (place / "config.json").write_text(json.dumps({"model_type": "bert"}))
    refused("that can be run")
    (place / "config.json").write_text("{")
    refused("that can be run")
    place = Path(shutil.copytree(folder, tmp_path / "wrong"))
    config = json.loads((place / "config.json").read_text())
    wider = {"codebook_size": 128} if name == "dac" else {"vq_strides": [8, 4, 2, 1]}
    (place / "config.json").write_text(json.dumps(config | wider))
    refused("cannot be loaded")
    place = Path(shutil.copy(folder / "config.json", tmp_path / "file.json"))
    refused("a checkpoint is a folder")


@transformers_only
def test_missing_weights_are_not_made_up(name: str, folder: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    place = Path(shutil.copytree(folder, tmp_path / "short"))
    weights = load_file(place / "model.safetensors")
    del weights["decoder.conv1.weight"]
    save_file(weights, place / "model.safetensors", {"format": "pt"})
    with pytest.raises(CodecError, match=r"1 missing keys, such as decoder\.conv1\.weight"):
        registered(name).with_weights(place)


@pytest.mark.parametrize("name", [needs("encodec")])
def test_normalising_without_chunks_is_refused(name: str, folder: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(folder, tmp_path / "normal"))
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(config | {"normalize": True}))
    with pytest.raises(CodecError, match="normalises without chunks"):
        registered(name).with_weights(place)
