"""All metrics: what bad input gives, ceilings, order, purity."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from codecbench.bench.audio import Clip, resample
from codecbench.bench.metrics import Metric, Reason, _metric, _visqol, evaluate, registry, stoi
from codecbench.bench.metrics._metric import ReferenceCache, Signals, missing, remembered, scoring_rate
from codecbench.bench.remote import read_clip
from codecbench.corpora import registry as corpora
from numpy.typing import NDArray

METRICS = list(registry)
every_metric = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)


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


def suited(clip: Clip, metric: Metric) -> Clip:
    """The clip at a rate that the metric takes."""
    return resample(clip, 48000) if metric.min_rate > clip.rate else clip


def noisy(clip: Clip, decibels: float, modulated: bool = False) -> Clip:
    """With noise that many dB below the signal: white, or as in ITU-T P.810 in proportion to the signal."""
    noise = np.random.default_rng(1).standard_normal(clip.samples.shape)
    x = clip.samples.astype(np.float64)
    noise *= x if modulated else np.sqrt(np.mean(np.square(x)))
    return Clip((x + noise * 10 ** (-decibels / 20)).astype(np.float32), clip.rate)


def changed(clip: Clip, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Clip:
    return Clip(change(clip.samples.copy()), clip.rate)


def spoilt(samples: NDArray[np.float32], value: float) -> NDArray[np.float32]:
    samples[0, 100] = value
    return samples


def test_the_metrics_of_the_suites_are_there() -> None:
    names = "estoi loudness_diff lsd mel pesq_nb pesq_wb si_sdr stoi visqol_audio visqol_speech"
    assert set(names.split()) <= set(registry.names())


@every_metric
def test_declaration(metric: Metric) -> None:
    assert metric.low < metric.high
    assert metric.low <= metric.ceiling <= metric.high
    assert metric.title
    assert metric.domain
    assert metric.reference
    assert importlib.metadata.version(metric.package)
    assert metric.available() is None
    assert metric.min_seconds > 0


# --- bad input ---

BAD: dict[str, tuple[Reason, Callable[[Clip], tuple[Clip, Clip]]]] = {
    "silent reference": (Reason.SILENT_REFERENCE, lambda c: (changed(c, np.zeros_like), c)),
    "silent degraded": (Reason.SILENT_DEGRADED, lambda c: (c, changed(c, np.zeros_like))),
    "both silent": (Reason.SILENT_REFERENCE, lambda c: (changed(c, np.zeros_like), changed(c, np.zeros_like))),
    "constant reference": (Reason.SILENT_REFERENCE, lambda c: (changed(c, lambda x: 0 * x + np.float32(0.3)), c)),
    "constant degraded clip": (Reason.SILENT_DEGRADED, lambda c: (c, changed(c, lambda x: 0 * x + np.float32(0.3)))),
    "inaudible reference": (Reason.SILENT_REFERENCE, lambda c: (changed(c, lambda x: x * np.float32(1e-5)), c)),
    "NaN in the reference": (Reason.NOT_FINITE, lambda c: (changed(c, lambda x: spoilt(x, np.nan)), c)),
    "NaN in the degraded clip": (Reason.NOT_FINITE, lambda c: (c, changed(c, lambda x: spoilt(x, np.nan)))),
    "infinity": (Reason.NOT_FINITE, lambda c: (c, changed(c, lambda x: spoilt(x, np.inf)))),
    "one sample less": (Reason.LENGTH_MISMATCH, lambda c: (c, changed(c, lambda x: x[:, 1:]))),
    "another rate": (Reason.RATE_MISMATCH, lambda c: (c, Clip(c.samples, c.rate * 2))),
    "mono against stereo": (Reason.CHANNEL_MISMATCH, lambda c: (c, changed(c, lambda x: np.repeat(x, 2, axis=0)))),
    "no samples": (Reason.TOO_SHORT, lambda c: (changed(c, lambda x: x[:, :0]), changed(c, lambda x: x[:, :0]))),
    "one sample": (Reason.TOO_SHORT, lambda c: (changed(c, lambda x: x[:, :1]), changed(c, lambda x: x[:, :1]))),
}


@every_metric
@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_nan_with_its_reason(metric: Metric, case: str, clip: Clip) -> None:
    reason, make = BAD[case]
    score = evaluate(metric, *make(suited(clip, metric)))
    assert math.isnan(score.value)
    assert score.reason is reason


@every_metric
def test_just_too_short_and_just_long_enough(metric: Metric, clip: Clip) -> None:
    clip = suited(clip, metric)
    n = math.ceil(metric.min_seconds * clip.rate)
    start = int(np.argmax(np.abs(clip.samples[0, : -2 * n]))) if clip.length > 3 * n else 0
    start = min(start, clip.length - n)
    short = changed(clip, lambda x: x[:, start : start + n - 1])
    assert evaluate(metric, short, short).reason is Reason.TOO_SHORT
    enough = changed(clip, lambda x: x[:, start : start + n])
    score = evaluate(metric, enough, noisy(enough, 20))
    # a second around the loudest sample; a speech metric may find too little speech in it, and must say so
    assert score.reason in (None, Reason.NO_SPEECH)
    assert math.isnan(score.value) == (score.reason is not None)


@every_metric
def test_low_rate(metric: Metric) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 50000)).astype(np.float32)
    if metric.min_rate:
        clip = Clip(noise, metric.min_rate - 1)
        assert evaluate(metric, clip, clip).reason is Reason.BANDWIDTH


@pytest.mark.parametrize(
    ("name", "rate", "expected"),
    [
        ("pesq_wb", 16000, 16000),
        ("pesq_wb", 48000, 16000),
        ("pesq_nb", 8000, 8000),
        ("pesq_nb", 11025, 8000),
        ("pesq_nb", 44100, 16000),
        ("stoi", 44100, 44100),
        ("visqol_speech", 48000, 16000),
        ("visqol_audio", 44100, 48000),
        ("visqol_audio", 96000, 48000),
    ],
)
def test_rate_of_scoring(name: str, rate: int, expected: int) -> None:
    assert scoring_rate(registry.get(name), rate) == expected


def test_integers_are_no_clip() -> None:
    with pytest.raises(ValueError, match="float32"):
        Clip(np.zeros((1, 100), np.int16), 16000)


def test_missing_package_and_failing_function() -> None:
    clip = Clip(np.random.default_rng(0).normal(0, 0.1, (1, 16000)).astype(np.float32), 16000)
    metric = registry.get("si_sdr")

    def raising(*_: object) -> float:
        raise RuntimeError("broken inside")

    score = evaluate(dataclasses.replace(metric, available=lambda: "pip install it"), clip, clip)
    assert (score.reason, score.detail) == (Reason.NOT_INSTALLED, "pip install it")
    assert missing("some-package", "numpy", "no_such_module_a", "no_such_module_b") == (
        "no_such_module_a, no_such_module_b not installed; pip install 'some-package'"
    )

    def importing(*_: object) -> float:
        raise ModuleNotFoundError("No module named 'pesq'")

    score = evaluate(dataclasses.replace(metric, function=importing), clip, clip)
    assert score.reason is Reason.NOT_INSTALLED
    assert "pip install" in score.detail
    score = evaluate(dataclasses.replace(metric, function=raising), clip, clip)
    assert (score.reason, score.detail) == (Reason.FAILED, "RuntimeError: broken inside")
    score = evaluate(dataclasses.replace(metric, function=lambda *_: math.nan), clip, clip)
    assert score.reason is Reason.NOT_FINITE
    assert math.isnan(score.value)


# --- every metric ---


@every_metric
def test_identity_scores_at_the_ceiling(metric: Metric) -> None:
    for clip in speech(3):
        clip = suited(clip, metric)
        assert evaluate(metric, clip, clip).value == pytest.approx(metric.ceiling, abs=metric.tolerance)


@pytest.mark.parametrize(
    "metric", [m for m in METRICS if m.higher_is_better is not None], ids=lambda metric: metric.name
)
@pytest.mark.parametrize("modulated", [False, True], ids=["white noise", "modulated noise"])
def test_order_of_noise(metric: Metric, modulated: bool) -> None:
    clips = [suited(clip, metric) for clip in speech(3)]
    scores = [
        np.mean([evaluate(metric, clip, noisy(clip, decibels, modulated)).value for clip in clips])
        for decibels in (30, 20, 10)
    ]
    assert all(metric.low <= score <= metric.high for score in scores)
    ranks = [-score if metric.higher_is_better else score for score in scores]
    assert ranks[0] < ranks[1] <= ranks[2]
    assert ranks[0] < ranks[2]


SIGNALS: dict[str, Callable[[int, np.random.Generator], NDArray[np.float64]]] = {
    "impulse": lambda n, rng: np.eye(1, n, n // 2)[0],
    "square": lambda n, rng: np.sign(np.sin(np.arange(n) / 10)),
    "sine": lambda n, rng: 0.5 * np.sin(np.arange(n) / 6),
    "faint": lambda n, rng: rng.normal(0, 1.2e-4, n),
    "beyond full scale": lambda n, rng: rng.normal(0, 3, n),
    "half": lambda n, rng: np.where(np.arange(n) < n // 2, rng.normal(0, 0.1, n), 0),
    "negative": lambda n, rng: -np.abs(rng.normal(0, 0.1, n)),
}


@every_metric
def test_no_signal_is_out_of_range_or_fails(metric: Metric) -> None:
    rate = max(16000, metric.min_rate)
    rng = np.random.default_rng(0)
    clips = [Clip(make(2 * rate, rng)[None].astype(np.float32), rate) for make in SIGNALS.values()]
    for reference in clips:
        for degraded in clips:
            score = evaluate(metric, reference, degraded)
            if score.reason is None:
                assert metric.low - 1e-9 <= score.value <= metric.high + 1e-9
            else:
                assert score.reason in (Reason.NO_SPEECH, Reason.SILENT_REFERENCE, Reason.SILENT_DEGRADED)


@every_metric
def test_pure(metric: Metric, clip: Clip) -> None:
    """No input is changed, and a score does not depend on what was scored before or on what is shared."""
    clip = suited(clip, metric)
    degraded = [noisy(clip, decibels) for decibels in (15, 25)]
    for each in (clip, *degraded):
        each.samples.setflags(write=False)
    before = clip.samples.tobytes()
    cache = ReferenceCache(clip)
    first = [evaluate(metric, cache, d).value for d in degraded]
    again = [evaluate(metric, cache, d).value for d in reversed(degraded)][::-1]
    alone = [evaluate(metric, clip, d).value for d in degraded]
    assert all(math.isfinite(value) for value in first)
    assert first == again == alone
    assert clip.samples.tobytes() == before


@every_metric
def test_stereo_is_the_mean_of_its_channels(metric: Metric) -> None:
    left, right = (suited(clip, metric) for clip in speech(2))
    n = min(left.length, right.length)
    left, right = (changed(clip, lambda x: x[:, :n]) for clip in (left, right))
    worse = [noisy(left, 25), noisy(right, 10)]
    both = Clip(np.concatenate([left.samples, right.samples]), left.rate)
    degraded = Clip(np.concatenate([d.samples for d in worse]), left.rate)
    apart = [evaluate(metric, a, b).value for a, b in zip((left, right), worse, strict=True)]
    assert evaluate(metric, both, degraded).value == pytest.approx(np.mean(apart), rel=1e-6)

    silence = np.zeros_like(left.samples)
    half = Clip(np.concatenate([left.samples, silence]), left.rate)
    coded = Clip(np.concatenate([worse[0].samples, silence]), left.rate)
    assert evaluate(metric, half, coded).value == pytest.approx(apart[0], rel=1e-6)
    assert evaluate(metric, both, coded).reason is Reason.SILENT_DEGRADED
    assert evaluate(metric, half, degraded).reason is Reason.SILENT_REFERENCE


@pytest.mark.parametrize("metric", [m for m in METRICS if m.piece_seconds], ids=lambda metric: metric.name)
def test_long_clips_are_scored_in_pieces(metric: Metric) -> None:
    metric = dataclasses.replace(metric, piece_seconds=3.0)
    parts = [changed(suited(clip, metric), lambda x: np.tile(x, 2)) for clip in speech(3)]
    n = 3 * parts[0].rate
    parts = [changed(clip, lambda x: x[:, :n]) for clip in parts]
    worse = [noisy(clip, decibels) for clip, decibels in zip(parts, (10, 20, 30), strict=True)]
    joined, degraded = (
        Clip(np.concatenate([c.samples for c in clips], axis=1), parts[0].rate) for clips in (parts, worse)
    )
    apart = [evaluate(metric, a, b).value for a, b in zip(parts, worse, strict=True)]
    assert evaluate(metric, joined, degraded).value == pytest.approx(np.mean(apart), abs=0.02)

    def mute(x: NDArray[np.float32]) -> NDArray[np.float32]:
        x[:, n : 2 * n] = 0
        return x

    gap = evaluate(metric, joined, changed(degraded, mute))
    assert gap.reason is Reason.SILENT_DEGRADED
    assert "from" in gap.detail
    pause = evaluate(metric, changed(joined, mute), changed(degraded, mute)).value
    assert pause == pytest.approx((apart[0] + apart[2]) / 2, abs=0.02)


# --- what is computed once ---


def test_reference_side_once_a_clip_and_degraded_side_once_for_all_metrics(
    clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = resample(clip, 48000)
    counts: dict[str, int] = {}

    def counted(module: object, name: str) -> None:
        function = getattr(module, name)

        def counting(*args: Any) -> Any:
            counts[name] = counts.get(name, 0) + 1
            return function(*args)

        monkeypatch.setattr(module, name, counting)

    counted(_metric, "resample")
    counted(stoi, "_segments")
    counted(_visqol.scorer("speech"), "patch_starts")
    names = ("stoi", "estoi", "pesq_wb", "visqol_speech")
    cache = ReferenceCache(clip)
    shared, degraded = [], [noisy(clip, decibels) for decibels in (10, 20, 30)]
    for each in map(Signals, degraded):
        shared.append([evaluate(registry.get(name), cache, each).value for name in names])
    assert counts == {"resample": 1 + 3, "_segments": 1 + 3, "patch_starts": 1}
    assert shared == [[evaluate(registry.get(name), clip, each).value for name in names] for each in degraded]


def test_metrics_that_prepare_alike_share_what_is_prepared(clip: Clip) -> None:
    made = []

    def prepare(reference: NDArray[np.float64], rate: int) -> object:
        made.append(rate)
        return object()

    plain = dataclasses.replace(registry.get("si_sdr"), function=lambda *_: 1.0, prepare=prepare)
    cache = ReferenceCache(clip)
    for metric in (plain, dataclasses.replace(plain, name="other"), dataclasses.replace(plain, rates=(8000,))):
        assert evaluate(metric, cache, noisy(clip, 10)).value == 1.0
    assert made == [16000, 8000]


def test_a_metric_cannot_change_what_others_score(clip: Clip) -> None:
    def vandal(reference: NDArray[np.float64], degraded: NDArray[np.float64], rate: int) -> float:
        degraded[:] = reference
        return 1.0

    cache, degraded = ReferenceCache(clip), Signals(noisy(clip, 10))
    before = evaluate(registry.get("si_sdr"), cache, degraded)
    metric = dataclasses.replace(registry.get("si_sdr"), function=vandal, prepare=None)
    score = evaluate(metric, cache, degraded)
    assert score.reason is Reason.FAILED
    assert "read-only" in score.detail
    assert evaluate(registry.get("si_sdr"), cache, degraded) == before


def test_what_is_remembered_is_of_one_signal_that_cannot_change() -> None:
    calls = []

    @remembered
    def total(signal: NDArray[np.float64], factor: int) -> float:
        calls.append(factor)
        return float(np.sum(signal)) * factor

    fixed, other, open_to_change = np.ones(3), np.ones(3), np.ones(3)
    fixed.flags.writeable = other.flags.writeable = False
    assert [total(fixed, 2), total(fixed, 2), total(fixed, 3), total(other, 3)] == [6, 6, 9, 9]
    assert calls == [2, 3, 3]
    assert total(open_to_change, 1) == 3
    open_to_change[:] = 2
    assert total(open_to_change, 1) == 6
