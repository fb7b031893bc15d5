"""The network and its quantiser: shapes, causality, where training starts, what the codebooks learn."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import tiny_soundstream

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from codecbench.codecs.soundstream import packaged  # noqa: E402
from codecbench.codecs.soundstream.conv import CausalConv1d, CausalConvTranspose1d, StreamState  # noqa: E402
from codecbench.codecs.soundstream.model import PRESETS, Config, SoundStream, load, save  # noqa: E402
from codecbench.codecs.soundstream.quantizer import ResidualVectorQuantizer, nearest, perplexity  # noqa: E402
from codecbench.codecs.soundstream.seanet import mdct_matrix  # noqa: E402


def speech(seconds=2.0):
    return torch.from_numpy(tiny_soundstream.speech()[: round(24000 * seconds)].copy())[None, None]


def snr(reference, signal):
    return 10 * torch.log10(reference.square().sum() / (reference - signal).square().sum()).item()


def latents(frames=4000, dimension=8, seed=0):
    """Clustered and of unequal variance, as an encoder's: [frames, dimension]."""
    random = torch.Generator().manual_seed(seed)
    centres = torch.randn(12, dimension, generator=random) * torch.linspace(2, 0.2, dimension)
    noise = 0.2 * torch.randn(frames, dimension, generator=random)
    return centres[torch.randint(12, (frames,), generator=random)] + noise


@pytest.mark.parametrize("preset", PRESETS)
def test_shapes(preset):
    config = PRESETS[preset]
    assert config.hop == 320
    model = SoundStream(config).eval()
    model.quantizer.levels.codebooks.normal_()
    model.quantizer.shapes.codebooks.normal_()
    x = torch.cat([speech(0.2), -speech(0.2)])
    with torch.no_grad():
        z = model.encoder(x)
        assert z.shape == (2, config.dimension, 15)
        codes = model.encode(x, 3)
        assert (codes.shape, codes.dtype) == ((2, 3, 15), torch.int64)
        assert model.decode(codes).shape == x.shape


def through_mdct(x, basis):
    """Analysis by the basis [kept, 2 hop] over two frames and synthesis by its transpose, a frame late: [B, 1, T]."""
    hop = basis.shape[1] // 2
    frames = torch.nn.functional.pad(x, (hop, 0)).unfold(-1, 2 * hop, hop)
    early, late = (frames @ basis.T @ basis).split(hop, -1)
    return (early + torch.nn.functional.pad(late, (0, 0, 1, -1))).flatten(-2)


def test_the_transform_reconstructs_perfectly():
    basis = mdct_matrix(320).float()
    assert torch.allclose(basis @ basis.T, torch.eye(320), atol=1e-5)
    x = speech()
    assert snr(x[..., :-320], through_mdct(x, basis)[..., 320:]) > 100


@pytest.mark.parametrize(("preset", "kept"), [("base", 256), ("base", 320), ("tiny", 64)])
def test_training_starts_from_a_transform_that_works(preset, kept):
    """An MDCT and back, cut to as many coefficients as there are channels; nothing but levels is approximate."""
    torch.manual_seed(0)
    config = PRESETS[preset]
    channels = (*config.encoder_channels[:-1], kept)
    config = replace(config, encoder_channels=channels, decoder_channels=channels)
    features = SoundStream(config).encoder.bands.count + kept
    model = SoundStream(replace(config, dimension=features)).eval()
    with torch.no_grad():
        x = speech()
        y = model.decoder(model.encoder(x))
    assert snr(through_mdct(x, mdct_matrix(config.hop)[:kept].float()), y) > 28
    if kept == config.hop:
        assert snr(x[..., : -config.hop], y[..., config.hop :]) > 28


def test_the_untrained_model_codes_level_and_silence():
    model = SoundStream(PRESETS["base"]).eval()
    with torch.no_grad():
        assert model.decoder(model.encoder(torch.zeros(1, 1, 6400))).abs().max() < 1e-3
        x = speech()
        for gain in (1.0, 0.1, 0.01):
            assert snr(x[..., :-320], model.decoder(model.encoder(x * gain))[..., 320:] / gain) > 12


@pytest.mark.parametrize(
    ("layer", "length"),
    [
        (CausalConv1d(2, 3, 7), 40), (CausalConv1d(2, 3, 3, dilation=9), 40), (CausalConv1d(2, 3, 8, stride=4), 40),
        (CausalConv1d(2, 3, 1), 40), (CausalConvTranspose1d(2, 3, 5), 40),
    ],
)  # fmt: skip
def test_convolutions_are_causal_and_stream(layer, length):
    x = torch.randn(1, 2, length, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole, state = layer(x), StreamState()
        chunks = torch.cat([layer(part, state) for part in x.split((4, 12, 24), -1)], -1)
        assert torch.allclose(whole, chunks, atol=1e-6)
        ratio = whole.shape[-1] / length
        for n in (0, 7, 20):
            changed = x.clone()
            changed[..., n:] += 1
            different = (layer(changed) != whole).any(1)[0].nonzero()
            assert different.min() == int(n * ratio)  # the output that holds sample n, and none before


def fitted(stages=2, **options):
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(8, stages=stages, size=32, **options)
    quantizer.fit(latents())
    return quantizer


def error(quantizer, x, stages):
    return (x - quantizer.quantise(x, stages)).square().mean().item()


def test_every_stage_comes_nearer():
    quantizer, x = fitted(12), latents()
    errors = [error(quantizer, x, stages) for stages in range(1, 13)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.2 * errors[0]


def test_entries_decode_to_themselves():
    quantizer = ResidualVectorQuantizer(8, stages=3, size=16)
    quantizer.codebooks.copy_(torch.randn(3, 16, 8))
    codes = torch.arange(16)[None, None]
    for stage in range(3):
        assert torch.equal(quantizer.decode(codes, stage)[0].T, quantizer.codebooks[stage])
    both = quantizer.decode(codes.repeat(1, 2, 1), 1)[0].T
    assert torch.equal(both, quantizer.codebooks[1] + quantizer.codebooks[2])
    assert torch.equal(quantizer.quantise(quantizer.codebooks[0], 1), quantizer.codebooks[0])


def test_each_row_uses_its_own_number_of_stages():
    quantizer, x = fitted(4).eval(), latents(60)
    limit = torch.arange(60) % 5
    found = quantizer.learn(x, limit)
    for stages in range(5):
        of_these = limit == stages
        assert torch.allclose(found[of_these], quantizer.quantise(x[of_these], stages), atol=1e-6)


def test_nearest_is_the_nearest():
    x, codebook = latents(200), latents(30, seed=1)
    assert torch.equal(nearest(x, codebook), torch.cdist(x.double(), codebook.double()).argmin(1))


def test_perplexity():
    even = torch.arange(64).repeat(10)
    codes = torch.stack([even, torch.zeros(640, dtype=torch.int64), even % 4], 1)
    assert perplexity(codes, 64).tolist() == pytest.approx([64, 1, 4])


def test_k_means_beats_random_entries_and_uses_all():
    x, quantizer = latents(), fitted(3)
    random = x[torch.randperm(len(x))[:32]]
    assert error(quantizer, x, 1) < 0.75 * (x - random[nearest(x, random)]).square().mean()
    assert perplexity(nearest(x, quantizer.codebooks[0])[:, None], 32) > 16
    assert torch.allclose(quantizer.usage.mean(1), torch.ones(3))
    with pytest.raises(ValueError, match="k-means of 32 entries needs more than 20 frames"):
        quantizer.fit(x[:20])


def trained(quantizer, batches):
    quantizer.train()
    for x in batches:
        quantizer.learn(x, torch.full((len(x),), quantizer.stages))
    return quantizer.eval()


def test_moving_averages_follow_the_latents():
    quantizer, moved = fitted(decay=0.8, gather=4000), latents() + 1.5
    before = error(quantizer, moved, 2)
    trained(quantizer, [moved] * 20)
    assert error(quantizer, moved, 2) < 0.5 * before


def test_codebooks_change_only_where_enough_was_gathered():
    quantizer = fitted(gather=1000)
    before = quantizer.codebooks.clone()
    assert quantizer.settled
    trained(quantizer, [latents(600)])
    assert torch.equal(quantizer.codebooks, before)
    assert not quantizer.settled
    trained(quantizer, [latents(600)])
    assert not torch.equal(quantizer.codebooks, before)
    assert quantizer.settled
    after = quantizer.codebooks.clone()
    quantizer.learn(latents(5000), torch.full((5000,), 2))  # in evaluation nothing is learned
    assert torch.equal(quantizer.codebooks, after)


def test_dead_entries_come_to_life():
    quantizer, x = fitted(decay=0.5, gather=4000), latents()
    quantizer.codebooks[0, :20] = 1e3  # nobody's nearest
    assert perplexity(nearest(x, quantizer.codebooks[0])[:, None], 32) < 13
    trained(quantizer, [x] * 12)
    assert quantizer.codebooks.abs().max() < 100
    assert perplexity(nearest(x, quantizer.codebooks[0])[:, None], 32) > 20


def test_weights_on_disk(tmp_path, monkeypatch):
    model, path = tiny_soundstream.model(), tmp_path / "w.safetensors"
    save(model, path, {"status": "preview"})
    again = load(path)
    assert again.config == model.config
    assert not again.training
    x = speech(0.5)
    half = copy.deepcopy(model).half().float()
    assert torch.equal(again.encode(x, 24), half.encode(x, 24))
    assert packaged.metadata(path)["status"] == "preview"
    assert Config.from_json(packaged.metadata(path)["config"]) == model.config
    name = packaged.model_id(path)
    assert len(name) == 16
    save(again, path, {"status": "released"})
    assert packaged.model_id(path) != name
    monkeypatch.setattr(packaged, "WEIGHTS", path)
    assert load().config == model.config


def test_weights_of_the_architecture_before_are_refused(tmp_path):
    from safetensors import safe_open
    from safetensors.torch import save_file

    new, old = tmp_path / "new.safetensors", tmp_path / "old.safetensors"
    save(tiny_soundstream.model(), new, {})
    with safe_open(str(new), "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys() if name.startswith("encoder.")}  # noqa: SIM118
        config = json.loads(file.metadata()["config"])
    del config["level_treble"]
    save_file(tensors | {"quantizer.codebooks": torch.zeros(24, 64, 16)}, old, {"config": json.dumps(config)})
    with pytest.raises(ValueError, match=r"old\.safetensors .*of an older codecbench"):
        load(old)


def test_what_is_no_model_is_named(tmp_path):
    path = tmp_path / "w.safetensors"
    with pytest.raises(FileNotFoundError, match=r"w\.safetensors"):
        load(path)
    for blob in (b"", b"no weights", np.arange(4000, dtype=np.uint8).tobytes()):
        path.write_bytes(blob)
        with pytest.raises(ValueError, match=r"w\.safetensors"):
            load(path)
        with pytest.raises(ValueError, match=r"w\.safetensors is not a safetensors file"):
            packaged.metadata(path)
    for text in ("[]", '{"no": 1}', "nothing", json.dumps({"strides": 3, "x": 1})):
        with pytest.raises(ValueError, match=r"configuration|Expecting"):
            Config.from_json(text)


def test_shapes_without_latents_are_partly_noise():
    """It differs from frame to frame as the latents do, has the level of the shapes, and leaves the others alone."""
    from codecbench.codecs.soundstream.seanet import NOISE

    model = tiny_soundstream.model()
    decoder, bands, dimension = model.decoder, model.encoder.bands, model.config.dimension
    latents = model.encoder(torch.from_numpy(tiny_soundstream.speech())[None, None])
    features = torch.ones(1, bands.count + bands.assign.shape[1], latents.shape[2])
    filled = decoder._filled(features, latents)
    assert torch.equal(filled[:, :dimension], features[:, :dimension])
    noise = (filled[:, dimension:] - (1 - NOISE)) / NOISE
    assert noise.abs().max() <= 1 + 1e-5
    assert noise.square().mean().sqrt() == pytest.approx(0.926, abs=0.02)
    assert noise.mean().abs() < 0.1
    neighbours = (noise[..., 1:] * noise[..., :-1]).mean() / noise.square().mean()
    assert neighbours.abs() < 0.2
    assert torch.allclose(decoder._filled(features[..., 5:6], latents[..., 5:6]), filled[..., 5:6], atol=1e-4)
