"""Each metric against its package or its formula."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from codecbench.bench.audio import Clip, resample
from codecbench.bench.metrics import Reason, evaluate, registry, si_sdr
from codecbench.bench.metrics._spectra import power_spectra
from codecbench.bench.metrics.mel import filterbank
from codecbench.bench.remote import read_clip
from codecbench.corpora import registry as corpora
from numpy.typing import NDArray


def speech(count: int) -> list[Clip]:
    """Clips spread over the embedded speech, 16 kHz, their first 4 s at most."""
    if "speech" not in corpora:
        pytest.skip("the embedded speech is not there")
    items = corpora.get("speech").items(None)
    chosen = [items[i * len(items) // count] for i in range(count)]
    return [resample(read_clip(item.path, item.start, 4.0), 16000) for item in chosen]


@pytest.fixture(scope="module")
def clip() -> Clip:
    return speech(1)[0]


def noisy(clip: Clip, decibels: float, modulated: bool = False) -> Clip:
    """With noise that many dB below the signal: white, or as in ITU-T P.810 in proportion to the signal."""
    noise = np.random.default_rng(1).standard_normal(clip.samples.shape)
    x = clip.samples.astype(np.float64)
    noise *= x if modulated else np.sqrt(np.mean(np.square(x)))
    return Clip((x + noise * 10 ** (-decibels / 20)).astype(np.float32), clip.rate)


def changed(clip: Clip, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Clip:
    return Clip(change(clip.samples.copy()), clip.rate)


@pytest.mark.parametrize(
    ("name", "rate", "mode"), [("pesq_wb", 16000, "wb"), ("pesq_nb", 16000, "nb"), ("pesq_nb", 8000, "nb")]
)
def test_pesq_equals_the_package(name: str, rate: int, mode: str) -> None:
    import pesq

    for clip in speech(10):
        clip = resample(clip, rate)
        degraded = noisy(clip, 15, modulated=True)
        score = evaluate(registry.get(name), clip, degraded).value
        assert score == pesq.pesq(rate, clip.samples[0], degraded.samples[0], mode)


def test_pesq_keeps_nothing_from_clip_to_clip() -> None:
    """The C code keeps its state in globals, rate and mode among them."""
    first, second = speech(2)
    narrow = resample(second, 8000)

    def scores() -> list[float]:
        pairs = ("pesq_wb", first), ("pesq_nb", narrow), ("pesq_nb", first), ("pesq_wb", second)
        return [evaluate(registry.get(name), clip, noisy(clip, 15)).value for name, clip in pairs]

    before = scores()
    assert scores() == before
    assert [evaluate(registry.get("pesq_wb"), first, noisy(first, 15)).value] == before[:1]


CROWD = """
import sys
import numpy as np
from codecbench.bench.audio import Clip
from codecbench.bench.metrics import evaluate, registry
rng = np.random.default_rng(0)
rate = int(sys.argv[2])
burst = np.concatenate([rng.normal(0, 0.2, rate * 204 // 1000), np.zeros(rate * 208 // 1000)])
x = np.tile(burst, 120).astype(np.float32)[None]
y = (x + rng.normal(0, 0.01, x.shape)).astype(np.float32)
score = evaluate(registry.get(sys.argv[1]), Clip(x, rate), Clip(y, rate))
assert score.reason is None, score
sys.stdout.write(repr(score.value))
"""


@pytest.mark.parametrize(("name", "rate"), [("pesq_wb", 16000), ("pesq_nb", 16000), ("pesq_nb", 8000)])
def test_pesq_survives_a_crowd_of_utterances(name: str, rate: int) -> None:
    """120 bursts in 50 s, as dense as PESQ tells apart; unguarded the C code dies of 60 and misjudges 52."""
    done = subprocess.run([sys.executable, "-c", CROWD, name, str(rate)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert 1.0 <= float(done.stdout) <= 4.65


@pytest.mark.parametrize("rate", [8000, 10000, 16000, 44100])
def test_stoi_equals_pystoi(rate: int) -> None:
    import pystoi

    for clip in speech(3):
        clip = resample(clip, rate)
        degraded = noisy(clip, 5)
        x, y = (c.samples[0].astype(np.float64) for c in (clip, degraded))
        assert evaluate(registry.get("stoi"), clip, degraded).value == pytest.approx(pystoi.stoi(x, y, rate), abs=1e-12)
        extended = pystoi.stoi(x, y, rate, extended=True)
        assert evaluate(registry.get("estoi"), clip, degraded).value == pytest.approx(extended, abs=1e-9)


def test_estoi_of_a_gap_does_not_scatter(clip: Clip) -> None:
    """Where the degraded clip is digital silence ESTOI correlates its own dither; ours is the same each time."""
    import pystoi

    def gap(x: NDArray[np.float32]) -> NDArray[np.float32]:
        x[:, 16000:32000] = 0
        return x

    degraded = changed(clip, gap)
    x, y = (c.samples[0].astype(np.float64) for c in (clip, degraded))
    pystois = [pystoi.stoi(x, y, 16000, extended=True) for _ in range(5)]
    scores = {evaluate(registry.get("estoi"), clip, degraded).value for _ in range(3)}
    assert len(scores) == 1
    assert scores.pop() == pytest.approx(np.mean(pystois), abs=0.02)


@pytest.mark.parametrize("name", ["stoi", "estoi"])
def test_stoi_without_enough_speech(name: str, clip: Clip) -> None:
    """pystoi answers 1e-5."""
    samples = np.zeros((1, 32000), np.float32)
    loudest = int(np.argmax(np.abs(clip.samples[0, 2000:-2000]))) + 2000
    samples[0, 8000:11000] = clip.samples[0, loudest - 1500 : loudest + 1500]
    burst = Clip(samples, 16000)
    assert evaluate(registry.get(name), burst, noisy(burst, 10)).reason is Reason.NO_SPEECH


@pytest.mark.parametrize("name", ["pesq_wb", "pesq_nb", "visqol_speech"])
def test_clicks_are_no_speech(name: str) -> None:
    samples = np.zeros((1, 32000), np.float32)
    samples[0, 20000] = 1.0
    click = Clip(samples, 16000)
    score = evaluate(registry.get(name), click, noisy(click, 20))
    assert score.reason is Reason.NO_SPEECH or 1 <= score.value <= 5


def test_si_sdr_by_its_formula() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.1, 16000)
    x -= x.mean()
    noise = rng.normal(0, 0.1, 16000)
    noise -= noise.mean()
    noise -= noise @ x / (x @ x) * x
    noise *= np.sqrt(x @ x / (noise @ noise))
    prepared = si_sdr.prepare(x, 16000)
    for decibels in (-40.0, 0.0, 12.5, 60.0):
        y = 0.3 * (x + noise * 10 ** (-decibels / 20)) + 0.01  # neither gain nor offset counts
        assert si_sdr.si_sdr(x, y, 16000, prepared) == pytest.approx(decibels, abs=1e-9)
    assert si_sdr.si_sdr(x, -2 * x, 16000, prepared) == 100.0
    assert si_sdr.si_sdr(x, noise, 16000, prepared) == -100.0
    assert si_sdr.si_sdr(x, np.ones(16000), 16000, prepared) == -100.0


@pytest.mark.parametrize(("name", "expected"), [("lsd", 20 * math.log10(2)), ("mel", 20 * math.log10(2))])
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_spectral_distances_of_a_gain(name: str, expected: float, rate: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (1, rate)).astype(np.float32)
    for gain in (0.5, 2.0):
        score = evaluate(registry.get(name), Clip(noise, rate), Clip(noise * np.float32(gain), rate))
        # noise has a few bins under the floor, 80 dB below its strongest
        assert score.value == pytest.approx(expected, rel=1e-3)


def test_spectra_and_mel_bands() -> None:
    rate = 16000
    tone = np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)
    power = power_spectra(tone, rate)
    assert power.shape == (-(-(rate - 512) // 128) + 1, 257)
    assert np.all(np.argmax(power[:-4], axis=1) == 32)
    for each in (8000, 16000, 44100, 48000):
        bank = filterbank(each)
        assert np.all(bank.max(axis=0) > 0)
        # from the centre of the first band to that of the last, the triangles sum to 1
        total = bank.sum(axis=1)[np.argmax(bank[:, 0]) + 1 : np.argmax(bank[:, -1])]
        assert np.allclose(total, 1)
    mel = power @ filterbank(rate)
    assert np.all(np.argmax(mel[:-4], axis=1) == np.argmax(filterbank(rate)[32]))


def test_loudness_of_a_gain_and_of_the_standard_tone() -> None:
    """A 997 Hz sine at 0 dBFS in one channel reads -3.01 LKFS (ITU-R BS.1770-4); meters may be 0.1 LU off."""
    import pyloudnorm

    rate = 48000
    tone = np.sin(2 * np.pi * 997 * np.arange(3 * rate) / rate)
    assert pyloudnorm.Meter(rate).integrated_loudness(tone) == pytest.approx(-3.01, abs=0.1)
    clip = Clip((0.5 * tone)[None].astype(np.float32), rate)
    for decibels in (-6.0, 3.0):
        louder = Clip(clip.samples * np.float32(10 ** (decibels / 20)), clip.rate)
        assert evaluate(registry.get("loudness_diff"), clip, louder).value == pytest.approx(decibels, abs=1e-3)
    faint = changed(clip, lambda x: x * np.float32(3e-4))
    assert evaluate(registry.get("loudness_diff"), faint, clip).reason is Reason.SILENT_REFERENCE
    assert evaluate(registry.get("loudness_diff"), clip, faint).reason is Reason.SILENT_DEGRADED
