"""SoundStream's long-term postfilter finds the pitch, takes noise from between the harmonics and leaves the rest."""

import numpy as np
import pytest
import tiny_soundstream
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from codecbench.codecs.soundstream.postfilter import (  # noqa: E402
    HISTORY,
    LONGEST,
    LOOKAHEAD,
    SHORTEST,
    STRONGEST,
    SUBFRAME,
    Memory,
    pitch,
    postfilter,
    strength,
)

RATE = 24000
FRAME = 2 * SUBFRAME


def after(x, memory=None, stages=8):
    """Signals [B, T] filtered as if all frames were coded with so many stages, and the memory."""
    return postfilter(x, torch.full((len(x), x.shape[1] // FRAME), stages), memory)


def voice(period, subframes=60):
    """Twenty harmonics [1, T] with a period of so many samples, a fraction."""
    n = np.arange(subframes * SUBFRAME)
    harmonics = [np.cos(2 * np.pi * k * n / period + k * k) / k for k in range(1, 21) if k / period < 0.15]
    return (0.1 * np.sum(harmonics, 0))[None].astype(np.float32)


def found(x):
    padded = np.pad(x, ((0, 0), (HISTORY, 0)))
    lag, gain, _ = pitch(padded, Memory.silent(torch.from_numpy(x)).scores)
    return lag[:, 12:], gain[:, 12:]  # the first windows see silence


def filtered(x, stages=8):
    """Signals [B, T] after the filter, in time with them: [B, T - LOOKAHEAD]."""
    return after(x, None, stages)[0][:, LOOKAHEAD:]


@pytest.mark.parametrize("period", [60, 71.3, 119.5, 158, 240.25, 311])
def test_it_finds_the_period(period):
    lag, gain = found(voice(period))
    error = np.abs(lag / period - np.round(lag / period))
    assert np.median(error) < 0.01
    assert np.median(gain) > 0.9
    if period * 2 > LONGEST:
        assert np.median(lag) == pytest.approx(period, rel=0.01)


def test_noise_has_no_pitch():
    x = np.random.default_rng(0).normal(0, 0.1, (1, 100 * SUBFRAME)).astype(np.float32)
    lag, gain = found(x)
    assert gain.mean() < 0.02
    assert SHORTEST <= lag.min() <= lag.max() <= LONGEST
    y = filtered(torch.from_numpy(x))
    assert (y - torch.from_numpy(x)[:, :-LOOKAHEAD]).square().mean() < 1e-3 * np.square(x).mean()


def test_a_periodic_signal_loses_noise_and_nothing_else():
    clean = voice(123.4, 100)
    noise = 0.2 * clean.std() * np.random.default_rng(1).normal(size=clean.shape).astype(np.float32)
    middle = slice(20 * SUBFRAME, -LOOKAHEAD)

    def error(x):
        y = np.pad(filtered(torch.from_numpy(x)).numpy(), ((0, 0), (0, LOOKAHEAD)))
        return np.square((y - clean)[:, middle]).mean() / np.square(clean[:, middle]).mean()

    assert error(clean) < 0.01  # the treble of the other periods is softer
    assert error(clean + noise) < 0.6 * np.square(noise).mean() / np.square(clean).mean()


def test_silence_stays_and_level_does_not_matter():
    silence = torch.zeros(2, 4 * SUBFRAME)
    assert torch.equal(after(silence)[0], silence)
    assert after(silence[:, :0])[0].shape == (2, 0)
    x = torch.from_numpy(tiny_soundstream.speech(2.0)[: 300 * SUBFRAME])[None]
    assert torch.allclose(after(x / 64)[0] * 64, after(x)[0], atol=1e-5)


def test_the_more_stages_the_weaker():
    weights = strength(torch.arange(1, 25))
    assert (weights.diff() <= 0).all()
    assert weights[0] == STRONGEST
    assert weights[23] < STRONGEST / 2
    x = torch.from_numpy(tiny_soundstream.speech(2.0)[: 300 * SUBFRAME])[None]
    changes = [(filtered(x, stages) - x[:, :-LOOKAHEAD]).square().sum() for stages in (2, 6, 12, 24)]
    assert changes == sorted(changes, reverse=True)
    assert changes[0] > 2 * changes[-1]


def test_it_follows_the_mean_of_the_stages():
    """Of a variable bitrate: frames that are alike in the mean of late are filtered alike."""
    x = torch.from_numpy(tiny_soundstream.speech(6.0)[: 800 * SUBFRAME])[None]
    stages = torch.full((1, 400), 6)
    stages[:, 100:] = 24
    mixed, few, many = postfilter(x, stages)[0], after(x, stages=6)[0], after(x, stages=24)[0]
    assert torch.equal(mixed[:, : 100 * FRAME], few[:, : 100 * FRAME])
    assert not torch.equal(mixed, few)
    late = slice(350 * FRAME, None)
    assert (mixed - many)[:, late].square().sum() < 1e-4 * (few - many)[:, late].square().sum()
    uneven = torch.tensor([[3, 11]]).repeat(1, 200) + 1
    even = after(x, stages=8)[0]
    away = (postfilter(x, uneven)[0] - even)[:, late].square().sum()
    assert away < 0.02 * (even - after(x, stages=12)[0])[:, late].square().sum()


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 20), min_size=1, max_size=6), start=st.integers(0, 40000), seed=st.integers(0, 9))
def test_cut_anywhere_it_is_the_same(cuts, start, seed):
    x = torch.from_numpy(tiny_soundstream.speech(6.0)[start:][: sum(cuts) * FRAME].copy())[None]
    stages = torch.randint(3, 15, (1, sum(cuts)), generator=torch.Generator().manual_seed(seed))
    whole, parts, memory, at = postfilter(x, stages)[0], [], None, 0
    for cut in cuts:
        y, memory = postfilter(x[:, at * FRAME : (at + cut) * FRAME], stages[:, at : at + cut], memory)
        parts.append(y)
        at += cut
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-6)


def test_it_is_causal():
    x = torch.from_numpy(tiny_soundstream.speech(2.0)[: 200 * SUBFRAME])[None]
    changed = x.clone()
    changed[:, 100 * SUBFRAME :] = 0.5
    before = slice(0, 100 * SUBFRAME)
    assert torch.equal(after(changed)[0][:, before], after(x)[0][:, before])


def test_a_period_before_and_after_is_mixed_in():
    """A click in a voice comes back a period earlier, one and two later, softer, and nowhere else."""
    x = torch.from_numpy(voice(150, 80))
    click = x.clone()
    click[:, 40 * SUBFRAME] += 0.02  # too little to change lag and gain by much
    heard = (filtered(click) - filtered(x))[0].abs()
    heard[40 * SUBFRAME - 8 : 40 * SUBFRAME + 9] = 0
    near = torch.zeros_like(heard, dtype=torch.bool)
    for periods, least in ((-1, 0.05), (1, 0.05), (2, 0.015)):
        place = 40 * SUBFRAME + periods * 150
        near[place - 8 : place + 9] = True
        assert heard[place - 8 : place + 9].max() > 0.02 * least
    assert heard[~near].square().sum() < 0.1 * heard[near].square().sum()


def test_gradients_pass():
    x = torch.from_numpy(voice(150)).requires_grad_()
    after(x)[0].sum().backward()
    # each sample is heard once, at its place or a lag later, but for the last ones
    assert x.grad[:, SUBFRAME * 20 : -2 * LONGEST].mean().item() == pytest.approx(1, abs=0.02)
