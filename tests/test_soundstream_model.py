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
from codecbench.codecs.soundstream.seanet import dct_matrix  # noqa: E402


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
    x = torch.cat([speech(0.2), -speech(0.2)])
    with torch.no_grad():
        z = model.encoder(x)
        assert z.shape == (2, config.dimension, 15)
        codes = model.encode(x, 3)
        assert (codes.shape, codes.dtype) == ((2, 3, 15), torch.int64)
        assert model.decode(codes).shape == x.shape


@pytest.mark.parametrize("preset", ["base", "tiny"])
def test_training_starts_from_a_transform_that_works(preset):
    """A block DCT and back, cut to as many coefficients as there are channels; nothing but levels is approximate."""
    torch.manual_seed(0)
    config = PRESETS[preset]
    features = SoundStream(config).encoder.bands.count + config.encoder_channels[-1]
    model = SoundStream(replace(config, dimension=features)).eval()
    with torch.no_grad():
        x = speech()
        y = model.decoder(model.encoder(x))
    kept, basis = config.encoder_channels[-1], dct_matrix(config.hop).float()
    assert torch.allclose(basis @ basis.T, torch.eye(config.hop), atol=1e-5)
    before, after = (signal.reshape(-1, config.hop) @ basis.T for signal in (x, y))
    assert snr(before[:, :kept], after[:, :kept]) > 28
    assert after[:, kept:].abs().max() < 1e-5


def test_the_untrained_model_codes_level_and_silence():
    model = SoundStream(PRESETS["base"]).eval()
    with torch.no_grad():
        assert model.decoder(model.encoder(torch.zeros(1, 1, 6400))).abs().max() < 1e-3
        x = speech()
        for gain in (1.0, 0.1, 0.01):
            assert snr(x, model.decoder(model.encoder(x * gain)) / gain) > 6


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


def test_nearest_entries_of_fewer_stages_are_the_first_of_more():
    model = tiny_soundstream.model()
    x = speech()
    z = model.encoder(x)
    codes = model.quantizer.encode(z, 24)
    for stages in (1, 4, 23):
        assert torch.equal(model.quantizer.encode(z, stages), codes[:, :stages])


def test_every_stage_comes_nearer():
    model = tiny_soundstream.model()
    z = model.encoder(speech())
    codes = model.quantizer.encode(z, 24)
    errors = [(z - model.quantizer.decode(codes[:, :n])).square().mean().item() for n in range(1, 25)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.2 * errors[0]


def test_entries_decode_to_themselves():
    quantizer = ResidualVectorQuantizer(8, stages=1, size=16)
    quantizer.codebooks.copy_(torch.randn(1, 16, 8))
    codes = torch.arange(16)[None, None]
    z = quantizer.decode(codes)
    assert torch.equal(z[0].T, quantizer.codebooks[0])
    assert torch.equal(quantizer.encode(z, 1), codes)


def test_nearest_is_the_nearest():
    x, codebook = latents(200), latents(30, seed=1)
    assert torch.equal(nearest(x, codebook), torch.cdist(x.double(), codebook.double()).argmin(1))


def test_perplexity():
    even = torch.arange(64).repeat(10)
    codes = torch.stack([even, torch.zeros(640, dtype=torch.int64), even % 4], 1)
    assert perplexity(codes, 64).tolist() == pytest.approx([64, 1, 4])


def test_k_means_beats_random_entries_and_uses_all():
    x = latents()
    quantizer = ResidualVectorQuantizer(8, stages=3, size=32)
    torch.manual_seed(0)
    quantizer.fit(x)
    z = x.T[None]
    codes = quantizer.encode(z, 3)
    error = (z - quantizer.decode(codes[:, :1])).square().mean()
    random = x[torch.randperm(len(x))[:32]]
    assert error < 0.75 * (x - random[nearest(x, random)]).square().mean()
    assert (perplexity(codes[0].T, 32) > 16).all()
    assert quantizer.ready
    assert torch.allclose(quantizer.usage.mean(1), torch.ones(3))
    with pytest.raises(ValueError, match="k-means of 32 entries needs more than 20 frames"):
        quantizer.fit(x[:20])


def trained(quantizer, batches, stages=2):
    quantizer.train()
    for x in batches:
        quantizer(x.T[None], torch.tensor([stages]))
    return quantizer.eval()


def test_moving_averages_follow_the_latents():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(8, stages=2, size=32, decay=0.8, gather=4000)
    quantizer.fit(latents())
    moved = latents() + 1.5
    z = moved.T[None]

    def error():
        return (z - quantizer.decode(quantizer.encode(z, 2))).square().mean().item()

    before = error()
    trained(quantizer, [moved] * 20)
    assert error() < 0.5 * before


def test_codebooks_change_only_where_enough_was_gathered():
    quantizer = ResidualVectorQuantizer(8, stages=2, size=32, gather=1000)
    quantizer.fit(latents())
    before = quantizer.codebooks.clone()
    assert quantizer.settled
    trained(quantizer, [latents(600)])
    assert torch.equal(quantizer.codebooks, before)
    assert not quantizer.settled
    trained(quantizer, [latents(600)])
    assert not torch.equal(quantizer.codebooks, before)
    assert quantizer.settled
    after = quantizer.codebooks.clone()
    quantizer(latents(5000).T[None], torch.tensor([2]))  # in evaluation nothing is learned
    assert torch.equal(quantizer.codebooks, after)


def test_dead_entries_come_to_life():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(8, stages=2, size=32, decay=0.5, gather=4000)
    quantizer.fit(latents())
    quantizer.codebooks[0, :20] = 1e3  # nobody's nearest
    z = latents().T[None]
    assert perplexity(quantizer.encode(z, 2)[0].T, 32)[0] < 13
    trained(quantizer, [latents()] * 12)
    assert quantizer.codebooks.abs().max() < 100
    assert perplexity(quantizer.encode(z, 2)[0].T, 32)[0] > 20


def test_quantiser_dropout_and_gradient():
    """Each example uses its own number of stages, all stages get codes, the gradient passes straight through."""
    quantizer = ResidualVectorQuantizer(8, stages=4, size=32)
    quantizer.fit(latents())
    quantizer.eval()
    z = latents(60).reshape(3, 20, 8).transpose(1, 2).clone().requires_grad_()
    out, commitment, codes = quantizer(z, torch.tensor([1, 3, 4]))
    assert codes.shape == (3, 4, 20)
    assert torch.equal(codes, quantizer.encode(z, 4))
    for row, stages in enumerate((1, 3, 4)):
        assert torch.allclose(out[row], quantizer.decode(codes[row : row + 1, :stages])[0], atol=1e-5)
    weight = torch.randn(out.shape)
    (out * weight).sum().backward(retain_graph=True)
    assert torch.equal(z.grad, weight)
    z.grad = None
    commitment.backward()
    assert 0 < commitment < 1
    assert torch.allclose(torch.sign(z.grad), torch.sign(z - out).detach())


def test_weights_on_disk(tmp_path, monkeypatch):
    model, path = tiny_soundstream.model(), tmp_path / "w.safetensors"
    save(model, path, {"status": "preview"})
    again = load(path)
    assert again.config == model.config
    assert not again.training
    x = speech(0.5)
    half = copy.deepcopy(model).half().float()
    half.quantizer.codebooks.copy_(model.quantizer.codebooks.half().float())
    assert torch.equal(again.encode(x, 24), half.encode(x, 24))
    assert packaged.metadata(path)["status"] == "preview"
    assert Config.from_json(packaged.metadata(path)["config"]) == model.config
    name = packaged.model_id(path)
    assert len(name) == 16
    save(again, path, {"status": "released"})
    assert packaged.model_id(path) != name
    monkeypatch.setattr(packaged, "WEIGHTS", path)
    assert load().config == model.config


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
