"""Published scores of published signals, where the signals are at hand.

They are not ours to ship. To run these: clone https://github.com/google/visqol and https://github.com/ludlows/PESQ into
one folder and set CODECBENCH_TESTDATA to it.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from codecbench.bench.audio import read
from codecbench.bench.metrics import _visqol, evaluate, registry
from numpy.typing import NDArray


def published(name: str) -> Path:
    path = Path(os.environ.get("CODECBENCH_TESTDATA", "")) / name
    if "CODECBENCH_TESTDATA" not in os.environ or not path.exists():
        pytest.skip(f"CODECBENCH_TESTDATA has no {name}")
    return path


@pytest.mark.parametrize(("name", "expected"), [("pesq_wb", 1.0832337141), ("pesq_nb", 1.6072081327)])
def test_pesq_pair(name: str, expected: float) -> None:
    """The pair of ludlows/PESQ with the scores of its readme and tests."""
    folder = published("PESQ/audio")
    score = evaluate(registry.get(name), read(folder / "speech.wav"), read(folder / "speech_bab_0dB.wav"))
    assert score.value == pytest.approx(expected, abs=1e-6)


#: Google ViSQOL, src/include/conformance.h (version 333) and tests/conformance_test.cc, which allows 1e-4
SUBSET = "conformance_testdata_subset/"
SPEECH = "clean_speech/"
SHORT = "short_duration/5_second/guitar48_stereo_5_sec"
CONFORMANCE = [
    ("lattice", SPEECH + "CA01_01", SPEECH + "transcoded_CA01_01", 3.3129234313964844),
    ("exponential", SPEECH + "CA01_01", SPEECH + "transcoded_CA01_01", 3.374505555111911),
    ("lattice", SPEECH + "CA01_01", SPEECH + "CA01_01", 4.505550384521484),
    ("unscaled", SPEECH + "CA01_01", SPEECH + "CA01_01", 4.015861169223797),
    ("audio", SUBSET + "strauss48_stereo", SUBSET + "strauss48_stereo_lp35", 1.3888791489130758),
    ("audio", SUBSET + "steely48_stereo", SUBSET + "steely48_stereo_lp7", 2.2501683734385183),
    ("audio", SUBSET + "sopr48_stereo", SUBSET + "sopr48_stereo_256kbps_aac", 4.68228969737946),
    ("audio", SUBSET + "ravel48_stereo", SUBSET + "ravel48_stereo_128kbps_opus", 4.465141897255348),
    ("audio", SUBSET + "moonlight48_stereo", SUBSET + "moonlight48_stereo_128kbps_aac", 4.684292801646114),
    ("audio", SUBSET + "harpsichord48_stereo", SUBSET + "harpsichord48_stereo_96kbps_mp3", 4.22374532766003),
    ("audio", SUBSET + "guitar48_stereo", SUBSET + "guitar48_stereo_64kbps_aac", 4.349722308064298),
    ("audio", SUBSET + "glock48_stereo", SUBSET + "glock48_stereo_48kbps_aac", 4.332452943882108),
    ("audio", SUBSET + "contrabassoon48_stereo", SUBSET + "contrabassoon48_stereo_24kbps_aac", 2.346868205375293),
    ("audio", SUBSET + "castanets48_stereo", SUBSET + "castanets48_stereo", 4.732101253042348),
    ("audio", SUBSET + "guitar48_stereo", SHORT, 4.314508583690198),
    ("audio", SHORT, SUBSET + "guitar48_stereo", 4.550791119387646),
    ("lattice", SUBSET + "guitar48_stereo", SPEECH + "CA01_01", 1.4982070922851562),
    ("exponential", SUBSET + "guitar48_stereo", SPEECH + "CA01_01", 1.269675546824064),
    ("lattice", "alignment/reference", "alignment/degraded", 1.19293212890625),
    ("exponential", "alignment/reference", "alignment/degraded", 1.357521678867611),
]


@pytest.mark.parametrize(("model", "reference", "degraded", "expected"), CONFORMANCE)
def test_visqol_conformance(
    model: str, reference: str, degraded: str, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Google's cases score whole files at their own rate, 48 kHz also in speech mode, and mixed down to mono."""
    from visqol.quality_mapper import SpeechSimilarityToQualityMapper

    def mono(name: str) -> tuple[NDArray[np.float64], int]:
        data, rate = sf.read(published(f"visqol/testdata/{name}.wav"), always_2d=True)
        return data.mean(axis=1), rate

    x, rate = mono(reference)
    y, _ = mono(degraded)
    mode: _visqol.Mode = "audio" if model == "audio" else "speech"
    monkeypatch.setitem(_visqol.RATES, mode, rate)
    scorer = _visqol.Scorer(mode)
    if model in ("exponential", "unscaled"):
        scorer.mapper = SpeechSimilarityToQualityMapper(scale_to_max_mos=model == "exponential")
    assert scorer.score(_visqol.Reference(x, scorer), y) == pytest.approx(expected, abs=1e-5)
