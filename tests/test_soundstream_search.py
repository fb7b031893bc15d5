"""The search for codes: the best sums, how sure they are, and float64 where they are not."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import tiny_soundstream

torch = pytest.importorskip("torch")

from codecbench.codecs.soundstream import search  # noqa: E402
from codecbench.codecs.soundstream.bitstream import ABSENT  # noqa: E402
from codecbench.codecs.soundstream.gainshape import LOOP  # noqa: E402
from codecbench.codecs.soundstream.ratecontrol import RateControl  # noqa: E402
from codecbench.codecs.soundstream.search import BEAM, FIRST, NEAR, Coder, Search  # noqa: E402


@pytest.fixture(scope="module")
def quantizer():
    return tiny_soundstream.model().quantizer


@pytest.fixture(scope="module")
def latents():
    """[F, D], float32, of four seconds of speech."""
    x = torch.from_numpy(tiny_soundstream.speech()[None, None, : 320 * 300])
    with torch.no_grad():
        return tiny_soundstream.model().encoder(x)[0].T.contiguous()


def test_margin_is_the_way_to_the_next_entry(quantizer):
    book = quantizer.levels.codebooks[0].double()
    a, b = book[[3, 11]]
    inside = a + 0.4 * (b - a)
    codes, margin = Search(book[None], torch.float64)(inside[None], 1)
    order = (book - inside).square().sum(1).argsort()
    assert codes[0, 0] == order[0]
    one, two = book[order[:2]]
    gap = (inside - two).square().sum() - (inside - one).square().sum()
    way = gap / (2 * (two - one).norm() + NEAR * inside.norm()) / inside.norm()
    assert margin[0] == pytest.approx(way.item(), rel=1e-9)


def assert_same(one, other):
    np.testing.assert_array_equal(one.coded, other.coded)
    np.testing.assert_array_equal(one.level, other.level)


def plainest(vector, books, keep=BEAM):
    """The path of a beam search over all sums one by one."""
    kept: list[tuple[float, list[int], np.ndarray]] = [(0.0, [], vector)]
    for book in books:
        sums = [([*path, k], left - entry) for _, path, left in kept for k, entry in enumerate(book)]
        kept = sorted(((float(left @ left), path, left) for path, left in sums), key=lambda one: one[0])[:keep]
    return kept[0][1]


@pytest.mark.parametrize("stages", [1, 2, 5, 8])
def test_search_keeps_the_best_sums_of_each_stage(quantizer, stages):
    shapes = quantizer.shapes
    random = torch.Generator().manual_seed(0)
    z = shapes.decode(torch.randint(shapes.size, (1, 8, 12), generator=random))[0].T.double()
    z = z + 0.3 * z.std() * torch.randn(z.shape, dtype=torch.float64, generator=random)
    codes, _ = Search(shapes.codebooks, torch.float64)(z, stages)
    books = shapes.codebooks[:stages].double().numpy()
    for vector, code in zip(z.numpy(), codes.tolist(), strict=True):
        assert code == plainest(vector, books)


def test_search_finds_nearer_sums_than_the_nearest_entries_in_turn(quantizer, latents):
    shapes, x = quantizer.shapes, latents[:, quantizer.bands :]
    codes, _ = Search(shapes.codebooks, torch.float32)(x, 4)
    found = shapes.decode(torch.from_numpy(codes.astype(np.int64)).T[None])[0].T
    assert (x - found).square().sum() < 0.97 * (x - shapes.quantise(x, 4)).square().sum()


def test_rows_with_their_own_numbers_of_stages_are_coded_as_alone(quantizer, latents):
    books, rows = quantizer.shapes.codebooks, latents[:, quantizer.bands :].double()
    search_for, random = Search(books, torch.float64), np.random.default_rng(0)
    counts = random.integers(0, len(books) + 1, len(rows))
    codes, margin = search_for(rows, counts)
    assert codes.shape == (len(rows), counts.max())
    for count in range(len(books) + 1):
        chosen = np.flatnonzero(counts == count)
        alone, near = search_for(rows[torch.from_numpy(chosen)], count)
        np.testing.assert_array_equal(codes[chosen, :count], alone)
        assert (codes[chosen, count:] == ABSENT).all()
        np.testing.assert_allclose(margin[chosen], near, rtol=1e-6)
    assert np.isinf(margin[counts == 0]).all()


def test_of_equal_entries_the_first_is_found(quantizer):
    books = quantizer.levels.codebooks.clone()
    books[0, 40] = books[0, 7]
    for dtype in (torch.float32, torch.float64):
        codes, margin = Search(books, dtype)(books[0, [40, 7, 8]].to(dtype), 1)
        assert codes[:, 0].tolist() == [7, 7, 8]
        assert (margin > 0.01).all()


@pytest.mark.parametrize(("stages", "repaid"), [(7, 0.2), (9, 0.0)])
def test_the_loops_codes_are_the_best_pairs_for_the_predicted_levels(quantizer, latents, stages, repaid):
    """Frame after frame, against the plainest search, with the prediction from the codes before and, where few stages
    code levels, a fifth of the last frame's error taken off."""
    quantizer = copy.deepcopy(quantizer).double()
    books = quantizer.levels.codebooks[:LOOP].numpy()
    codes, after = Coder(quantizer, torch.float64)(latents[:60].double(), stages, None)
    before = owed = torch.zeros(quantizer.bands, dtype=torch.float64)
    for level, code in zip(latents[:60, : quantizer.bands].double(), codes[:, :LOOP].tolist(), strict=True):
        predicted = quantizer.predict(before)
        weights = quantizer.level_weights(predicted)
        assert code == plainest(((level - repaid * owed - predicted) * weights).numpy(), books, FIRST)
        before = predicted + sum(torch.from_numpy(book[k]) for book, k in zip(books, code, strict=True)) / weights
        owed = before - level
    np.testing.assert_allclose(after.coded, before, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(after.level, level)


def test_what_a_frames_levels_miss_is_made_up_for_by_the_next(quantizer, latents, monkeypatch):
    """The error of levels that stay alike for long, which is what ears and metrics sum over, becomes less."""
    random, bands = torch.Generator().manual_seed(0), quantizer.bands
    still = latents[20::20, None].repeat(1, 200, 1)
    still[..., :bands] += 0.05 * torch.randn(still[..., :bands].shape, generator=random)

    def error():
        codes = Coder(quantizer).codes(still.transpose(1, 2), LOOP)
        decoded = quantizer.decode(codes)[0].transpose(1, 2)
        return float((decoded - still)[:, 50:, :bands].mean(1).square().mean())

    repaid = error()
    monkeypatch.setattr(search, "REPAID", 0.0)
    assert repaid < 0.9 * error()


@pytest.mark.parametrize("stages", [2, 3, 8, 24])
def test_codes_by_chunks_are_those_of_the_whole(quantizer, latents, stages):
    coder = Coder(quantizer)
    whole, end = coder(latents, stages, None)
    assert (whole.shape, whole.dtype) == ((len(latents), stages), np.uint16)
    parts, past = [], None
    for part in latents.split([1, 7, 100, 192]):
        codes, past = coder(part, stages, past)
        parts.append(codes)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert_same(past, end)
    batch = coder.codes(torch.stack([latents.T, latents.T.flip(1)]), stages)
    assert (batch.shape, batch.dtype) == ((2, stages, len(latents)), torch.int64)
    np.testing.assert_array_equal(batch[0].T.numpy(), whole)


@pytest.mark.parametrize(("fewer", "more"), [(2, 7), (8, 24)])
def test_the_levels_of_the_loop_are_the_same_at_all_low_and_at_all_higher_rates(quantizer, latents, fewer, more):
    coder = Coder(quantizer)
    (low, one), (high, two) = (coder(latents, stages, None) for stages in (fewer, more))
    np.testing.assert_array_equal(high[:, :LOOP], low[:, :LOOP])
    assert_same(one, two)


@pytest.mark.parametrize(("mean", "least"), [(4, 3), (16, 8)])
def test_a_frame_of_a_variable_bitrate_is_coded_as_at_the_constant_one_of_its_stages(quantizer, latents, mean, least):
    """Where both have low bitrates or neither has."""
    coder = Coder(quantizer)
    control = RateControl(mean)
    codes, end = coder(latents, control.range[1], None, None, control)
    counts = (codes != ABSENT).sum(1)
    assert len(set(counts[counts >= least].tolist())) > 3
    for count in set(counts[counts >= least].tolist()):
        alone, after = coder(latents, count, None)
        np.testing.assert_array_equal(codes[counts == count, :count], alone[counts == count])
        assert (codes[counts == count, count:] == ABSENT).all()
        assert_same(end, after)


@pytest.mark.parametrize(("stages", "before"), [(24, set()), (7, {2, 49})])
def test_where_margins_are_small_the_exact_latents_are_coded(quantizer, latents, monkeypatch, stages, before):
    """The frames that are asked for are those with a small margin, and their codes are those of what comes back; where
    errors are made up for, those before unsure levels too."""
    coder, other = Coder(quantizer), latents.double() + 0.5
    asked: set[int] = set()

    def exact(frames):
        asked.update(frames)
        return other[frames]

    plain, _ = coder(latents, stages, None)
    monkeypatch.setattr(search, "UNSURE", -1.0)
    np.testing.assert_array_equal(coder(latents, stages, None, exact)[0], plain)
    assert not asked
    monkeypatch.setattr(search, "UNSURE", np.inf)
    codes, _ = coder(latents, stages, None, exact)
    assert asked == set(range(len(latents)))
    np.testing.assert_array_equal(codes, Coder(quantizer, torch.float64)(other, stages, None)[0])

    # Fake margins: the stages of the loop are unsure in frames 3 and 50, the others in frame 7.
    two, rest, number = coder._two, coder._rest, iter(range(len(latents)))
    given = []

    def unsure_two(x, scale):
        code, _ = two(x, scale)
        if scale == 1.0:  # the second time, for the exact latents
            given.append(x)
            return code, np.inf
        return code, 0.0 if next(number) in (3, 50) else np.inf

    def unsure_rest(z, *how):
        found, margins = rest(z, *how)
        margins[:] = np.inf
        if len(z) == len(latents):
            margins[7] = 0.0
        return found, margins

    monkeypatch.setattr(search, "UNSURE", 6e-7)
    monkeypatch.setattr(coder, "_two", unsure_two)
    monkeypatch.setattr(coder, "_rest", unsure_rest)
    asked.clear()
    codes, _ = coder(latents, stages, None, exact)
    assert asked == {3, 7, 50} | before
    assert len(given) == 2
    np.testing.assert_array_equal(codes[:3], plain[:3])
    assert (codes[3, :LOOP] != plain[3, :LOOP]).any()
    kinds = np.array(quantizer.kinds[:stages])
    assert (codes[7, ~kinds] != plain[7, ~kinds]).any()


def test_codes_do_not_depend_on_the_rounding_of_float32(quantizer, latents):
    """Latents with noise of float32's size get the codes of the exact ones, which are asked for few frames."""
    precise, asked = latents.double(), []

    def exact(frames):
        asked.extend(frames)
        return precise[frames]

    want, _ = Coder(quantizer, torch.float64)(precise, 24, None)
    random, bands = torch.Generator().manual_seed(0), quantizer.bands
    for _ in range(3):
        noise = 1e-7 * torch.randn(latents.shape, generator=random)
        noise[:, :bands] *= latents[:, :bands].norm(dim=1, keepdim=True)
        noise[:, bands:] *= latents[:, bands:].norm(dim=1, keepdim=True)
        np.testing.assert_array_equal(Coder(quantizer)(latents + noise, 24, None, exact)[0], want)
    assert len(asked) < 0.2 * 3 * len(latents)
