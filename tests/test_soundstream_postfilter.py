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
    STRENGTH,
    SUBFRAME,
    pitch,
    postfilter,
)

RATE = 24000


def voice(period, subframes=60):
    """Twenty harmonics [1, T] with a period of so many samples, a fraction."""
    n = np.arange(subframes * SUBFRAME)
    harmonics = [np.cos(2 * np.pi * k * n / period + k * k) / k for k in range(1, 21) if k / period < 0.15]
    return (0.1 * np.sum(harmonics, 0))[None].astype(np.float32)


def found(x):
    lag, gain = pitch(np.pad(x, ((0, 0), (HISTORY, 0))))
    return lag[:, 12:], gain[:, 12:]  # the first windows see silence


def filtered(x):
    """Signals [B, T] after the filter, in time with them: [B, T - LOOKAHEAD]."""
    return postfilter(x)[0][:, LOOKAHEAD:]


@pytest.mark.parametrize("period", [60, 71.3, 119.5, 158, 240.25, 311])
def test_it_finds_the_period(period):
    lag, gain = found(voice(period))
    error = np.abs(lag / period - np.round(lag / period))
    assert np.median(error) < 0.01
    assert np.median(gain) > 0.9 * STRENGTH
    if period * 2 > LONGEST:
        assert np.median(lag) == pytest.approx(period, rel=0.01)


def test_noise_has_no_pitch():
    x = np.random.default_rng(0).normal(0, 0.1, (1, 100 * SUBFRAME)).astype(np.float32)
    lag, gain = found(x)
    assert gain.mean() < 0.02 * STRENGTH
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
    assert torch.equal(postfilter(silence)[0], silence)
    assert postfilter(silence[:, :0])[0].shape == (2, 0)
    x = torch.from_numpy(tiny_soundstream.speech(2.0)[: 300 * SUBFRAME])[None]
    assert torch.allclose(postfilter(x / 64)[0] * 64, postfilter(x)[0], atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 40), min_size=1, max_size=6), start=st.integers(0, 40000))
def test_cut_anywhere_it_is_the_same(cuts, start):
    x = torch.from_numpy(tiny_soundstream.speech(6.0)[start:][: sum(cuts) * SUBFRAME].copy())[None]
    whole, parts, memory, at = postfilter(x)[0], [], None, 0
    for cut in cuts:
        y, memory = postfilter(x[:, at : at + cut * SUBFRAME], memory)
        parts.append(y)
        at += cut * SUBFRAME
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-6)


def test_it_is_causal():
    x = torch.from_numpy(tiny_soundstream.speech(2.0)[: 200 * SUBFRAME])[None]
    changed = x.clone()
    changed[:, 100 * SUBFRAME :] = 0.5
    before = slice(0, 100 * SUBFRAME)
    assert torch.equal(postfilter(changed)[0][:, before], postfilter(x)[0][:, before])


def test_a_period_before_and_after_is_mixed_in():
    """A click in a voice comes back a period earlier and later, softer, and nowhere else."""
    x = torch.from_numpy(voice(150, 80))
    click = x.clone()
    click[:, 40 * SUBFRAME] += 0.02  # too little to change lag and gain by much
    heard = (filtered(click) - filtered(x))[0].abs()
    heard[40 * SUBFRAME - 8 : 40 * SUBFRAME + 9] = 0
    near = torch.zeros_like(heard, dtype=torch.bool)
    for place in (40 * SUBFRAME - 150, 40 * SUBFRAME + 150):
        near[place - 8 : place + 9] = True
        assert heard[place - 8 : place + 9].max() > 0.02 * 0.05
    assert heard[~near].square().sum() < 0.1 * heard[near].square().sum()


def test_gradients_pass():
    x = torch.from_numpy(voice(150)).requires_grad_()
    postfilter(x)[0].sum().backward()
    # each sample is heard once, at its place or a lag later, but for the last ones
    assert x.grad[:, SUBFRAME * 20 : -2 * LONGEST].mean().item() == pytest.approx(1, abs=0.02)
