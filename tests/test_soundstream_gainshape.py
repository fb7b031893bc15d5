"""The quantiser of levels and shapes: a closed loop that is the same at every rate, and what it learns."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import tiny_soundstream

torch = pytest.importorskip("torch")

from codecbench.codecs.soundstream import packaged  # noqa: E402
from codecbench.codecs.soundstream.bitstream import ABSENT  # noqa: E402
from codecbench.codecs.soundstream.gainshape import LOOP, GainShapeQuantizer  # noqa: E402
from codecbench.codecs.soundstream.model import load  # noqa: E402
from codecbench.codecs.soundstream.quantizer import nearest  # noqa: E402
from codecbench.codecs.soundstream.search import Coder  # noqa: E402

#: decibels of a unit of level, which is the logarithm of an amplitude
DECIBELS = 20 / np.log(10)


def latents_of(model, seconds=10.0):
    """[1, D, F], of speech."""
    x = torch.from_numpy(tiny_soundstream.speech(seconds)[: round(seconds * 75) * 320].copy())[None, None]
    with torch.no_grad():
        return model.encoder(x)


@pytest.fixture(scope="module", params=["tiny", "packaged"])
def model(request):
    if request.param == "tiny":
        return tiny_soundstream.model()
    if not packaged.WEIGHTS.exists():
        pytest.skip("no packaged weights")
    return load()


@pytest.fixture(scope="module")
def z(model):
    return latents_of(model)


@pytest.fixture(scope="module")
def codes(model, z):
    """Of all stages, [1, stages, F]."""
    return Coder(model.quantizer).codes(z, model.config.stages)


def parts(model, z):
    """Latents [B, D, F] as levels [B, bands, F] and shapes."""
    return z[:, : model.quantizer.bands], z[:, model.quantizer.bands :]


# Coding


def test_encoder_and_decoder_have_the_same_levels(model, z, codes):
    """What the next frame's are predicted from: in double precision to the last bits, in single to its rounding."""
    _, encoder = Coder(model.quantizer)(z[0].T, model.config.stages, None)
    _, decoder = copy.deepcopy(model.quantizer).double().decode(codes)
    np.testing.assert_allclose(decoder[0], encoder.coded, rtol=0, atol=1e-11)
    _, decoder = model.quantizer.decode(codes)
    np.testing.assert_allclose(decoder[0], encoder.coded, rtol=0, atol=1e-4)


def test_training_and_decoding_predict_the_same_to_the_bit(model, z):
    """The entries that training chooses, decoded: each frame is predicted from the levels before as it was there."""
    quantizer, level = model.quantizer, parts(model, z)[0].transpose(1, 2)
    predicted, _ = quantizer.track(level)
    left, codes = ((level - predicted) * quantizer.level_weights(predicted))[0], []
    for book in quantizer.levels.codebooks[:LOOP]:
        codes.append(nearest(left, book))
        left = left - book[codes[-1]]
    decoded, _ = quantizer.decode(torch.stack(codes)[None])
    for before, after in zip(parts(model, decoded)[0][0].T[:-1], predicted[0, 1:], strict=True):
        assert torch.equal(quantizer.predict(before[None])[0], after)


def test_the_loop_is_the_same_at_all_rates(model, codes):
    """A stream that is cut decodes with the levels it was predicted with: none drifts."""
    quantizer = model.quantizer
    low, after = quantizer.decode(codes[:, :LOOP])
    for stages in (3, 6, 7, 12, 13, 24):
        cut, end = quantizer.decode(codes[:, :stages])
        assert torch.equal(end, after)
        if sum(quantizer.kinds[:stages]) == LOOP:
            assert torch.equal(parts(model, cut)[0], parts(model, low)[0])
    assert not parts(model, low)[1].any()


def test_more_stages_come_nearer(model, z, codes):
    quantizer = model.quantizer
    level, shape = parts(model, z)
    decoded = [parts(model, quantizer.decode(codes[:, :n])[0]) for n in (2, 4, 8, 24)]
    shapes = [(shape - found).square().mean().item() for _, found in decoded]
    assert shapes == sorted(shapes, reverse=True)
    levels = [(level - found).square().mean().item() for found, _ in decoded]
    assert levels[-1] < 0.8 * levels[0]
    assert levels[0] < 0.02 * level.square().mean().item()


def test_chunks_decode_as_the_whole(model, codes):
    whole, end = model.quantizer.decode(codes)
    before, found = None, []
    for part in codes.split([1, 3, 150, codes.shape[2] - 154], 2):
        some, before = model.quantizer.decode(part, before)
        found.append(some)
    assert torch.allclose(torch.cat(found, 2), whole, atol=1e-5)
    assert torch.equal(before, end)
    empty, same = model.quantizer.decode(codes[..., :0], before)
    assert empty.shape == (1, model.config.dimension, 0)
    assert torch.equal(same, before)


def test_each_frame_may_have_its_own_number_of_stages(model, codes):
    """Each decodes as a stream of that many stages does, since all predict the same."""
    quantizer, counts = model.quantizer, torch.tensor([2, 3, 5, 8, 13, 24])
    mixed, each = codes.clone(), counts[torch.arange(codes.shape[2]) % len(counts)]
    mixed[:, torch.arange(24)[:, None] >= each] = ABSENT
    found, after = quantizer.decode(mixed)
    for count in counts.tolist():
        whole, end = quantizer.decode(codes[:, :count])
        assert torch.allclose(found[..., each == count], whole[..., each == count], atol=1e-6)
        assert torch.equal(after, end)
    # and in training
    z, bands = latents_of(model), quantizer.bands
    with torch.no_grad():
        some, _ = quantizer(z, each[None])
        for count in counts.tolist():
            alone, _ = quantizer(z, torch.full_like(each, count)[None])
            assert torch.allclose(some[..., each == count], alone[..., each == count], atol=1e-6)
    assert not some[:, bands:, each == 2].abs().gt(1e-6).any()


@pytest.mark.parametrize("start", [75, 300])
def test_a_start_in_mid_stream_converges(model, codes, start):
    whole, _ = model.quantizer.decode(codes)
    late, _ = model.quantizer.decode(codes[..., start:])
    apart = DECIBELS * parts(model, whole[..., start:] - late)[0][0].abs().amax(0)
    assert apart[0] > 3
    assert apart[150] < 0.25 * apart[0]
    assert apart[300:].max() < 0.1 * apart[0]


def test_a_lost_frame_is_forgotten(model, codes):
    """The frame before in its place, as an application might do."""
    damaged = codes.clone()
    damaged[..., 200] = damaged[..., 199]
    apart = DECIBELS * parts(model, model.quantizer.decode(codes)[0] - model.quantizer.decode(damaged)[0])[0][0].abs()
    assert apart[:, :200].max() == 0
    assert apart[:, 200:].amax(0)[250:].max() < 1


def test_numbers_of_stages_that_there_are_not_are_refused(model):
    quantizer = model.quantizer
    for stages in (-1, 0, 1, 25):
        with pytest.raises(ValueError, match=rf"{stages} stages; these weights have 2 to 24"):
            quantizer.split(stages)
    with pytest.raises(ValueError, match="1 stages"):
        quantizer.decode(torch.zeros(1, 1, 5, dtype=torch.int64))
    assert [quantizer.split(n) for n in (2, 3, 7, 24)] == [(2, 0), (2, 1), (3, 4), (8, 16)]


def test_the_first_stages_code_levels():
    for stages in ((0, 2), (1, 2), (0,), ()):
        with pytest.raises(ValueError, match="the first 2 stages code levels"):
            GainShapeQuantizer(torch.ones(2, 6), 8, stages, 0.1, 0.5)


# Learning


def made(stages=8, level_stages=(0, 1, 6), **options):
    """A quantiser of 3 bands of 4 shapes, and latents [5, 15, 400] whose levels change slowly."""
    random = torch.Generator().manual_seed(1)
    assign = torch.eye(3).repeat_interleave(4, 1)
    steps = torch.randn(5, 3, 400, generator=random)
    level = torch.zeros(5, 3, 400)
    for frame in range(1, 400):
        level[..., frame] = 0.95 * level[..., frame - 1] + 0.3 * steps[..., frame]
    shape = torch.randn(5, 12, 400, generator=random)
    torch.manual_seed(0)
    return GainShapeQuantizer(assign, stages, level_stages, 0.1, 0.5, 32, **options), torch.cat([level + 5, shape], 1)


def relative(quantizer, x, stages=8):
    """Errors of levels and shapes as shares of their variance, without the frames that come up from silence."""
    found, _ = quantizer.decode(Coder(quantizer, torch.float64).codes(x.double(), stages))
    x, found = x[..., 40:], found[..., 40:]
    return [
        ((a - b).square().mean() / a.var()).item()
        for a, b in zip(x.tensor_split([3], 1), found.tensor_split([3], 1), strict=True)
    ]


def test_fit_predicts_and_lowers_the_error():
    quantizer, x = made()
    assert not quantizer.ready
    quantizer.levels.codebooks.normal_()
    quantizer.shapes.codebooks.normal_()
    before = relative(quantizer, x)
    quantizer.fit(x, iterations=4)
    assert quantizer.ready
    after = relative(quantizer, x)
    assert all(a < 0.5 * b for a, b in zip(after, before, strict=True))
    assert after[0] < 0.04
    assert torch.allclose(quantizer.mean, torch.full((3,), 5.0), atol=0.5)
    assert torch.allclose(quantizer.feedback, 0.95 * torch.eye(3), atol=0.06)
    # Without the prediction the two stages of 32 entries leave more.
    plain, _ = made()
    plain.levels.fit(x[:, :3].transpose(1, 2).flatten(0, 1), iterations=4)
    plain.shapes.fit(x[:, 3:].transpose(1, 2).flatten(0, 1), iterations=4)
    assert relative(quantizer, x, 2)[0] < 0.5 * relative(plain, x, 2)[0]


def test_the_fitted_prediction_forgets(model):
    """Else what differs between an encoder and a decoder would grow."""
    assert np.abs(np.linalg.eigvals(model.quantizer.feedback.double().numpy())).max() < 0.94


def test_louder_bands_weigh_more():
    quantizer, _ = made()
    weights = quantizer.level_weights(torch.tensor([[5.0, 3.0, 4.0], [0.0, 0.0, 0.0]]))
    assert torch.allclose(weights, torch.tensor([[1.0, 0.8187, 0.9048], [1.0, 1.0, 1.0]]), atol=1e-4)
    gains = quantizer.gains(torch.tensor([[5.0, 3.0, 5.0], [0.0, 0.0, 0.0]]))
    assert gains.shape == (2, 12)
    assert torch.equal(gains[1], torch.ones(12))
    assert (gains[0, 4:8] < 0.6).all()
    assert torch.equal(gains[0, :4], torch.ones(4))


def test_levels_without_shapes_weigh_less(model):
    quantizer = model.quantizer
    shaped = quantizer.assign.sum(1) > 0
    assert shaped[0]
    assert not shaped[-1]
    flat = quantizer.level_weights(torch.full((quantizer.bands,), 4.0))
    assert torch.equal(flat, torch.where(shaped, 1.0, 0.7))


def test_forward_passes_the_gradient_straight_through():
    """Each example uses its own number of stages; the commitment draws latents to what they are quantised to."""
    quantizer, x = made()
    quantizer.fit(x, iterations=4)
    quantizer.eval()
    z = x[:3, :, :50].clone().requires_grad_()
    out, commitment = quantizer(z, torch.tensor([2, 5, 8])[:, None].expand(3, 50))
    assert out.shape == z.shape
    assert not out[0, 3:].abs().gt(1e-6).any()  # two stages: levels alone
    errors = (out - z).detach().square().mean((1, 2))
    assert errors[0] > errors[1] > errors[2]
    weight = torch.randn(out.shape)
    (out * weight).sum().backward(retain_graph=True)
    assert torch.equal(z.grad, weight)
    z.grad = None
    commitment.backward()
    assert 0 < commitment < 2
    assert torch.equal(torch.sign(z.grad), torch.sign(z - out).detach())


def test_forward_gives_what_its_codes_decode_to():
    """In training as in the decoder: levels from the loop at every rate, shapes after its gains."""
    quantizer, x = made()
    quantizer.fit(x, iterations=4)
    out, _ = quantizer.eval()(x, torch.full((5, 400), 2))
    levels = out[:, :3].transpose(1, 2)
    loop, _ = quantizer.track(x[:, :3].transpose(1, 2))
    # Each is predicted from the last one's quantised levels.
    assert torch.allclose(loop[:, 1:], quantizer.predict(levels[:, :-1]), atol=1e-5)
    assert torch.allclose(loop[:, 0], quantizer.predict(torch.zeros(5, 3)), atol=1e-5)


def test_training_moves_the_codebooks_and_waits_for_enough():
    quantizer, x = made(gather=3000)
    quantizer.fit(x, iterations=4)
    before = [part.codebooks.clone() for part in (quantizer.levels, quantizer.shapes)]
    quantizer.train()
    assert quantizer.settled
    quantizer(x, torch.full((5, 400), 8))  # 2000 frames
    assert not quantizer.settled
    assert torch.equal(quantizer.levels.codebooks, before[0])
    quantizer(x, torch.full((5, 400), 8))
    assert quantizer.settled
    assert not torch.equal(quantizer.levels.codebooks, before[0])
    assert not torch.equal(quantizer.shapes.codebooks, before[1])
    quantizer(x, torch.full((5, 400), 8))
    quantizer.settle()
    assert quantizer.settled
