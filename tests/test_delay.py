"""The delay finder finds delays that are known."""

from __future__ import annotations

import numpy as np
import pytest
from codecbench.bench.delay import envelope_lag, lag, probe


@pytest.mark.parametrize("content", ["speech", "music"])
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("delay", [-7, 0, 1, 312])
def test_exact_delay(content, rate, delay):
    signal = probe(rate, 1.5, content).samples[0]
    delayed = np.roll(signal, delay)
    assert lag(signal, delayed, rate) == (delay, pytest.approx(1, abs=0.1))


@pytest.mark.parametrize("content", ["speech", "music"])
def test_noise_and_filter_do_not_move_it(content):
    signal = probe(16000, 2, content).samples[0]
    noise = np.random.default_rng(1).standard_normal(len(signal)) * signal.std() * 0.3
    polarity_and_gain = 0.2 * (np.roll(signal, 95) + noise)
    found, clarity = lag(signal, polarity_and_gain, 16000)
    assert found == 95
    assert clarity > 0.3


def test_unrelated_signals_are_not_clear():
    one, two = (probe(16000, 2, seed=seed).samples[0] for seed in (1, 2))
    assert lag(one, two, 16000)[1] < 0.1
    assert lag(one, np.zeros_like(one), 16000) == (pytest.approx(0, abs=4800), 0)


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("milliseconds", [0, 25, 60])
def test_envelope_survives_loss_of_phase(rate, milliseconds):
    signal = probe(rate, 3).samples[0]
    signs = np.random.default_rng(0).choice([-1, 1], len(signal))
    scrambled = np.roll(signal * signs, milliseconds * rate // 1000)
    found, clarity = envelope_lag(signal, scrambled, rate)
    assert abs(found - milliseconds * rate // 1000) <= 0.005 * rate
    assert clarity > 0.9


def test_probe_is_reproducible_and_bounded():
    one, two = probe(24000, 1.0, "music", seed=3), probe(24000, 1.0, "music", seed=3)
    assert np.array_equal(one.samples, two.samples)
    assert one.samples.shape == (1, 24000)
    assert 0.5 < np.abs(one.samples).max() < 1.0
