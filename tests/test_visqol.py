"""ViSQOL against visqol-python, from which it differs in the envelope alone, and that against Google's steps."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from codecbench.bench.audio import Clip, resample
from codecbench.bench.metrics import Reason, _visqol, evaluate, registry
from codecbench.bench.metrics._visqol import align
from codecbench.bench.remote import read_clip
from codecbench.corpora import registry as corpora
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

Array = NDArray[np.float64]
MODES: tuple[_visqol.Mode, ...] = ("speech", "audio")


def speech(rate: int, index: int = 0, seconds: float = 3.5) -> Array:
    if "speech" not in corpora:
        pytest.skip("the embedded speech is not there")
    items = corpora.get("speech").items(None)
    item = items[index * 7 % len(items)]
    samples: Array = resample(read_clip(item.path, item.start, seconds), rate).samples[0].astype(np.float64)
    return samples


def google_envelope(signal: Array) -> Array:
    """Envelope::CalcUpperEnv step by step: forward real FFT, Hilbert's weights, inverse *real* FFT, magnitude, mean."""
    n = len(signal)
    mean = signal.mean()
    size = 32
    while size < n:
        size *= 2
    spectrum = np.fft.fft(signal - mean, size)
    weights = np.zeros(size)
    weights[0] = 1
    weights[n // 2] = 1 if n % 2 == 0 else 2
    weights[1 : (size + 1) // 2 if n % 2 else size // 2] = 2
    kept = (spectrum * weights)[: size // 2 + 1]  # the inverse reads this half and takes the other for its mirror
    kept[-1] = kept[-1].real
    envelope: Array = np.abs(np.fft.irfft(kept, size)[:n]) + mean
    return envelope


@settings(deadline=None, max_examples=60)
@given(n=st.integers(2, 3000), seed=st.integers(0, 9))
@example(n=32, seed=0)
@example(n=31, seed=0)
@example(n=33, seed=0)
@example(n=64, seed=0)
@example(n=1024, seed=0)
@example(n=2, seed=0)
def test_envelope_is_googles(n: int, seed: int) -> None:
    signal = np.random.default_rng(seed).normal(0.1, 1, n)
    assert np.allclose(align.upper_envelope(signal), google_envelope(signal), rtol=0, atol=1e-12)


def test_the_envelope_is_not_the_libraries() -> None:
    from visqol.signal_utils import upper_envelope

    signal = np.random.default_rng(0).normal(0, 1, 1000)
    assert np.max(np.abs(align.upper_envelope(signal) - upper_envelope(signal))) > 0.1


def degradations(x: Array, rate: int) -> Iterator[tuple[str, Array]]:
    rng = np.random.default_rng(3)
    noise = rng.standard_normal(len(x))
    yield "identical", x.copy()
    yield "noise", x + 0.003 * noise
    yield "modulated noise", x * (1 + 0.2 * noise)
    yield "late", np.concatenate([np.zeros(37), x[:-37]]) + 0.001 * noise
    yield "early", np.concatenate([x[rate // 20 :], np.zeros(rate // 20)]) + 0.001 * noise
    yield "another signal", noise * np.std(x)
    gap = x + 0.001 * noise
    gap[rate : rate + rate // 2] = 0
    yield "gap", gap
    warp = np.interp(np.arange(len(x)) + 40 * np.sin(np.arange(len(x)) / rate * 4), np.arange(len(x)), x)
    yield "wandering delay", warp
    yield "quiet", 0.05 * x + 0.0001 * noise
    yield "shorter", x[: int(0.8 * len(x))].copy()


@pytest.mark.parametrize("mode", MODES)
def test_equal_to_the_library_but_for_the_envelope(mode: _visqol.Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the library's envelope in ours, and with ours in the library: the same scores to the last bit."""
    from visqol import VisqolApi, alignment
    from visqol.signal_utils import upper_envelope

    scorer = _visqol.scorer(mode)
    api = VisqolApi()
    api.create(mode=mode, use_lattice_model=True if mode == "speech" else None)
    x = speech(scorer.rate, seconds=2.5)
    ours = align.upper_envelope
    for name, y in degradations(x, scorer.rate):
        if mode == "audio" and name not in ("identical", "modulated noise", "early", "wandering delay"):
            continue  # the library takes a second each
        with monkeypatch.context() as patch:
            patch.setattr(align, "upper_envelope", upper_envelope)
            stock = api.measure_from_arrays(x, y, scorer.rate).moslqo
            assert scorer.score(_visqol.Reference(x, scorer), y) == pytest.approx(stock, abs=1e-9), name
        with monkeypatch.context() as patch:
            patch.setattr(alignment, "upper_envelope", ours)
            mended = api.measure_from_arrays(x, y, scorer.rate).moslqo
        assert scorer.score(_visqol.Reference(x, scorer), y) == pytest.approx(mended, abs=1e-9), name


def test_reference_serves_all_codecs_alike() -> None:
    scorer = _visqol.scorer("speech")
    x = speech(16000)
    shared = _visqol.Reference(x, scorer)
    for name, y in degradations(x, 16000):
        assert scorer.score(shared, y) == scorer.score(_visqol.Reference(x, scorer), y), name


def test_support_vector_regression_is_libsvms_but_always_the_same() -> None:
    from visqol import api
    from visqol.quality_mapper import SvrSimilarityToQualityMapper

    library = SvrSimilarityToQualityMapper(api._DEFAULT_SVR_MODEL)
    library.init()
    ours = _visqol.scorer("audio").mapper
    rng = np.random.default_rng(0)
    for _ in range(20):
        means = rng.uniform(0.2, 1.0) + rng.uniform(-0.2, 0.2, 32)
        assert ours.predict_quality(means) == pytest.approx(library.predict_quality(means), abs=1e-12)
        assert len({ours.predict_quality(means) for _ in range(20)}) == 1


def test_gammatone_is_the_libraries_to_the_last_bit() -> None:
    from visqol.analysis_window import AnalysisWindow
    from visqol.audio_utils import AudioSignal
    from visqol.gammatone import GammatoneSpectrogramBuilder, convert_to_db

    for mode, bands in zip(MODES, (21, 32), strict=True):
        scorer = _visqol.scorer(mode)
        signal = np.random.default_rng(0).normal(0, 0.1, scorer.rate)
        builder = GammatoneSpectrogramBuilder(bands, 50.0, speech_mode=mode == "speech")
        library = builder.build(AudioSignal(signal, scorer.rate), AnalysisWindow(scorer.rate)).data
        assert np.array_equal(scorer.spectrogram(signal), np.maximum(convert_to_db(library), -45))


def test_matching_is_the_libraries_to_the_last_bit() -> None:
    from visqol.patch_selector import find_most_optimal_deg_patches

    scorer = _visqol.scorer("speech")
    rng = np.random.default_rng(5)
    for frames, late in ((120, 0), (120, 17), (70, 0), (45, 0)):
        ref = rng.uniform(0, 45, (21, 120))
        deg = np.clip(np.roll(ref, late, axis=1)[:, :frames] + rng.normal(0, 4, (21, frames)), 0, None)
        starts = [9, 29, 49, 69, 89]
        patches = [ref[:, s : s + 20] for s in starts]
        library = find_most_optimal_deg_patches(patches, starts, deg, scorer.frame_seconds)
        ours = scorer.matches(ref, starts, deg)
        assert len(ours) == len(library)
        for a, b in zip(ours, library, strict=True):
            assert (a.similarity, a.deg_patch_start_time, a.deg_patch_end_time) == (
                b.similarity,
                b.deg_patch_start_time,
                b.deg_patch_end_time,
            )
            for name in ("freq_band_means", "freq_band_stddevs", "freq_band_deg_energy"):
                assert np.array_equal(getattr(a, name), getattr(b, name)), name
            assert (a.ref_patch_start_time, a.ref_patch_end_time) == (b.ref_patch_start_time, b.ref_patch_end_time)


def test_voice_activity_is_the_libraries() -> None:
    from visqol.analysis_window import AnalysisWindow
    from visqol.audio_utils import AudioSignal
    from visqol.patch_creator import VadPatchCreator

    scorer = _visqol.scorer("speech")
    rng = np.random.default_rng(0)
    for index in range(6):
        x = speech(16000, index) if index < 4 else rng.normal(0, 0.01, 40000) * (np.arange(40000) > 20000)
        x[30000:30010] -= 0.5 * (index % 2)  # the level is that of the largest sample, not of the largest magnitude
        frames = scorer.frames(len(x))
        library = VadPatchCreator(20).create_ref_patch_indices(
            np.zeros((21, frames)), AudioSignal(x, 16000), AnalysisWindow(16000)
        )
        assert scorer.patch_starts(x, frames) == library


def test_lattice_model_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    """visqol-python alone would answer with another mapping."""
    _visqol.scorer.cache_clear()
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    try:
        clip = Clip(speech(16000)[None].astype(np.float32), 16000)
        score = evaluate(registry.get("visqol_speech"), clip, clip)
        assert score.reason is Reason.NOT_INSTALLED
        assert "pip install" in score.detail
    finally:
        _visqol.scorer.cache_clear()


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_loading_is_silent() -> None:
    assert run("from codecbench.bench.metrics import _visqol; _visqol.scorer('speech')") == ""


def test_compiled_code_is_kept_where_nothing_can_be_written(tmp_path: Path) -> None:
    """In a folder for temporary files that all processes of a user share."""
    code = """
import os
import sys
from numba.core import caching
def refuse(self):
    raise OSError("read-only")
for name in dir(caching):
    locator = getattr(caching, name)
    if "InTree" in name or "UserWide" in name:
        locator.ensure_cache_path = refuse
from codecbench.bench.metrics._visqol import compiled
os.environ.pop("NUMBA_CACHE_DIR", None)
folder = compiled.cache_folder()
assert str(folder).startswith(os.environ["NUMBA_CACHE_DIR"])
sys.stdout.write(str(folder))
"""
    folders = {run(code, TMPDIR=str(tmp_path)) for _ in range(2)}
    assert len(folders) == 1
    assert Path(folders.pop()).is_relative_to(tmp_path)


def test_kernels_are_compiled_by_one_process_for_all(tmp_path: Path) -> None:
    """Of two that start at the same time on an empty cache, one compiles and the other one waits and loads."""
    code = """
import sys
from codecbench.bench.metrics._visqol import compiled
found = compiled.kernels()
for kernel in (found.compare, found.match_patches, compiled.gammatone(24)):
    stats = kernel.stats
    sys.stdout.write(f"{sum(stats.cache_misses.values())} {sum(stats.cache_hits.values())};")
"""
    with ThreadPoolExecutor(2) as both:
        counts = sorted(both.map(lambda _: run(code, NUMBA_CACHE_DIR=str(tmp_path)), range(2)))
    assert counts == ["0 1;0 1;0 1;", "1 0;1 0;1 0;"] or counts == ["0 1;0 1;1 0;", "1 0;1 0;0 1;"]


def test_a_lock_that_cannot_be_had_hinders_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from codecbench.bench.metrics._visqol import compiled

    (tmp_path / "file").touch()
    monkeypatch.setattr(compiled, "cache_folder", lambda: tmp_path / "file" / "below")
    with compiled.alone():
        pass


def test_metrics_are_listed_without_their_heavy_libraries() -> None:
    code = (
        "import sys; from codecbench.bench.metrics import registry; registry.names(); "
        "assert not {'visqol', 'numba', 'scipy', 'pesq', 'pystoi', 'pyloudnorm'} & set(sys.modules), sys.modules.keys()"
    )
    assert run(code) == ""
