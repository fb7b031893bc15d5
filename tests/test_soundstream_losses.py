"""SoundStream's losses and discriminators: shapes, filters against other formulas, zero at equality, gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from codecbench.bench.audio import read, resample  # noqa: E402
from codecbench.bench.metrics.mel import filterbank  # noqa: E402
from codecbench.codecs.soundstream import losses  # noqa: E402
from codecbench.codecs.soundstream.discriminators import STFTDiscriminator, WaveDiscriminator  # noqa: E402
from codecbench.codecs.soundstream.train.objective import adversarial  # noqa: E402
from codecbench.corpora import registry  # noqa: E402

RECONSTRUCTION = {
    "mel": losses.MelLoss(),
    "log_mel": losses.LogMelLoss(),
    "complex_stft": losses.ComplexSTFTLoss(),
    "snr": losses.snr_shortfall,
}


@pytest.fixture(scope="module")
def speech():
    """Two examples of real speech, [2, 1, 12000]."""
    clip = resample(read(registry.get("speech").items(None)[0].path), 24000)
    middle = clip.length // 2
    return torch.from_numpy(clip.samples[0, middle - 12000 : middle + 12000].reshape(2, 1, 12000).copy())


# Mel filters


def test_mel_filters_by_hand():
    """Even in the log of 1 + f / 700, which is 18.142857 at 12 kHz: two bands have corners at its cube root and that
    squared."""
    corner, upper = 700 * (18.142857 ** (1 / 3) - 1), 700 * (18.142857 ** (2 / 3) - 1)
    assert (corner, upper) == (pytest.approx(1139.4, abs=0.1), pytest.approx(4133.3, abs=0.1))
    filters = losses.mel_filters(window=240, bands=2)  # bins of 100 Hz
    assert filters.shape == (2, 121)
    assert filters[0, 5] == pytest.approx(500 / corner, rel=1e-3)
    assert filters[0, 20] == pytest.approx((upper - 2000) / (upper - corner), rel=1e-3)
    assert filters[1, 20] == pytest.approx((2000 - corner) / (upper - corner), rel=1e-3)
    assert float(filters[:, [0, -1]].abs().max()) < 1e-6


def test_mel_filters_equal_those_of_the_metric():
    """The harness's own filterbank of 64 bands is another implementation; its window at 24 kHz is 40 ms."""
    other = filterbank(24000)
    filters = losses.mel_filters(2 * (len(other) - 1), 64)
    np.testing.assert_allclose(filters.numpy(), other.T, atol=1e-6)


@pytest.mark.parametrize("window", [256, 1024, 2048])
def test_mel_filters_share_out_every_bin(window):
    """Between the first centre and the last, neighbouring triangles sum to one."""
    filters = losses.mel_filters(window, 20)
    peaks = filters.argmax(1)
    inner = filters[:, int(peaks[0]) + 1 : int(peaks[-1])].sum(0)
    np.testing.assert_allclose(inner.numpy(), 1, atol=1e-5)


# Reconstruction losses


@pytest.mark.parametrize("name", RECONSTRUCTION)
def test_zero_at_equality(name, speech):
    for x in (speech, speech * 0.01, torch.zeros_like(speech)):
        assert float(RECONSTRUCTION[name](x, x.clone())) == 0


@pytest.mark.parametrize("name", RECONSTRUCTION)
def test_falls_on_the_way_to_the_target(name, speech):
    noise = torch.randn(speech.shape, generator=torch.Generator().manual_seed(0)) * speech.std()
    values = [float(RECONSTRUCTION[name](speech, torch.lerp(speech, noise, part))) for part in (1, 0.6, 0.3, 0.1, 0.05)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.6 * values[0]


@pytest.mark.parametrize("level", [0.0, 1e-5, 1.0])
@pytest.mark.parametrize("name", RECONSTRUCTION)
def test_gradient_is_finite(name, level, speech):
    """On silence, at equality and on loud noise."""
    for target in (torch.zeros_like(speech), speech):
        for y in (target.clone(), level * torch.ones_like(speech)):
            y.requires_grad_()
            RECONSTRUCTION[name](target, y).backward()
            assert torch.isfinite(y.grad).all()


def test_mel_loss_by_another_way(speech):
    """The paper's formula, with NumPy's FFT and double precision."""
    generator = np.random.default_rng(0)
    x = speech[:1]
    y = x + 0.01 * torch.from_numpy(generator.standard_normal(x.shape).astype(np.float32))
    total = 0.0
    for size in (64, 128, 256, 512, 1024, 2048):
        filters = losses.mel_filters(size, 64).double().numpy()
        taps = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
        pair = []
        for signal in (x, y):
            padded = np.pad(signal[0, 0].double().numpy(), size // 2)
            frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: size // 4]
            pair.append(filters @ np.abs(np.fft.rfft(frames * taps)).T)
        a, b = pair
        total += np.abs(a - b).sum(0).mean()
        total += math.sqrt(size / 2) * np.sqrt(np.square(np.log(a + 1e-3) - np.log(b + 1e-3)).sum(0)).mean()
    assert float(losses.MelLoss()(x, y)) == pytest.approx(total, rel=3e-3)  # float32


def test_snr_shortfall_is_in_decibels(speech):
    x = 0.5 * torch.ones(1, 1, 1000)
    assert float(losses.snr_shortfall(x, 0.9 * x)) == pytest.approx(30 - 20, abs=0.05)  # an error of a tenth: 20 dB
    assert float(losses.snr_shortfall(x, 0.99 * x)) == 0  # 40 dB is enough
    assert float(losses.snr_shortfall(x, 0.99 * x, goal=45)) == pytest.approx(5, abs=0.5)


def test_only_the_snr_and_the_complex_stft_see_the_phase(speech):
    assert float(RECONSTRUCTION["log_mel"](speech, -speech)) < 1e-6
    assert float(RECONSTRUCTION["complex_stft"](speech, -speech)) > 0.05
    assert float(RECONSTRUCTION["snr"](speech, -speech)) > 30


# Adversarial losses


def test_hinge_by_hand():
    real, fake = [torch.tensor([2.0, 0.5])], [torch.tensor([-3.0, 0.0])]
    assert float(losses.discriminator_loss(real, fake)) == pytest.approx(0.25 + 0.5)
    assert float(losses.generator_loss(fake)) == pytest.approx((4 + 1) / 2)
    assert float(losses.discriminator_loss([torch.tensor([1.0])], [torch.tensor([-1.0])])) == 0
    assert float(losses.generator_loss([torch.tensor([1.0, 5.0])])) == 0


def test_networks_count_equally_however_many_logits():
    fake = [torch.zeros(100), torch.full((2,), -1.0)]
    assert float(losses.generator_loss(fake)) == pytest.approx(1.5)


def test_feature_loss():
    real = [[torch.ones(2, 3), torch.zeros(4)], [torch.ones(5)]]
    fake = [[torch.zeros(2, 3), torch.zeros(4)], [torch.full((5,), 3.0)]]
    assert float(losses.feature_loss(real, fake)) == pytest.approx((1 + 0 + 2) / 3)
    assert float(losses.feature_loss(real, real)) == 0


def test_paper_weights_and_the_sum():
    weights = losses.LossWeights()
    assert (weights.mel, weights.adversarial, weights.features) == (1, 1, 100)
    assert (weights.log_mel, weights.complex_stft, weights.snr) == (0, 0, 0)
    terms = {"mel": torch.tensor(2.0), "features": torch.tensor(0.5), "snr": torch.tensor(9.0)}
    assert float(weights.total(terms)) == pytest.approx(52)
    with pytest.raises(KeyError, match="no loss named 'mle'"):
        weights.total({"mle": torch.tensor(1.0)})


# Discriminators


def test_wave_discriminator_is_the_papers():
    with torch.device("meta"):  # 17 million weights that nobody needs here
        net = WaveDiscriminator()
        logits, features = net(torch.zeros(2, 1, 12800))
    assert [tuple(one.shape) for one in logits] == [(2, 1, 50), (2, 1, 25), (2, 1, 13)]
    assert [one.shape[1] for one in features[0]] == [16, 64, 256, 1024, 1024, 1024]
    assert [one.shape[2] for one in features[0]] == [12800, 3200, 800, 200, 50, 50]
    assert [layer.groups for layer in net.networks[0].hidden] == [1, 4, 16, 64, 256, 1]  # 4 channels a group
    assert len(features) == 3


def test_stft_discriminator_is_the_papers():
    logits, features = STFTDiscriminator(channels=4)(torch.randn(2, 1, 16384))
    assert tuple(logits[0].shape) == (2, 1, 9, 1)  # T / (256 * 8), one more for the centred frames
    assert [one.shape[1] // 4 for one in features[0]] == [1, 2, 4, 4, 8, 8, 16]
    assert [one.shape[3] for one in features[0]] == [512, 256, 128, 64, 32, 16, 8]
    assert [one.shape[2] for one in features[0]] == [65, 65, 33, 33, 17, 17, 9]


@pytest.mark.parametrize("length", [1024, 6400, 12799])
def test_discriminators_take_any_length(length):
    for net in (WaveDiscriminator(4, 16), STFTDiscriminator(2)):
        logits, features = net(torch.randn(1, 1, length))
        assert all(torch.isfinite(one).all() for one in [*logits, *features[0], *features[-1]])


def test_adversarial_gradients_keep_apart(speech):
    """The generator's losses leave the discriminators alone, and theirs the generator."""
    torch.manual_seed(0)
    nets = torch.nn.ModuleList([WaveDiscriminator(4, 16), STFTDiscriminator(2)])
    y = (speech + 0.1).requires_grad_()
    terms, loss = adversarial(nets, speech, y)
    losses.LossWeights().total(terms).backward()
    assert float(y.grad.abs().sum()) > 0
    assert all(one.grad is None for one in nets.parameters())
    y.grad = None
    loss.backward()
    assert y.grad is None
    assert all(one.grad is not None and torch.isfinite(one.grad).all() for one in nets.parameters())


def test_discriminators_learn(speech):
    """They tell speech from noise within a few steps: a loss below the 2 of a coin."""
    torch.manual_seed(0)
    nets = torch.nn.ModuleList([WaveDiscriminator(4, 16), STFTDiscriminator(2)])
    optimizer = torch.optim.AdamW(nets.parameters(), 2e-3)
    noise = torch.randn_like(speech) * speech.std()
    for _ in range(30):
        _, loss = adversarial(nets, speech, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 1.2
