"""Published scores of published signals, where the signals are at hand.

They are not ours to ship. To run these: clone https://github.com/google/visqol and https://github.com/ludlows/PESQ into
one folder and set CODECBENCH_TESTDATA to it.
"""

from __future__ import annotations

import csv
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
with (Path(__file__).parent / "data/visqol_conformance.csv").open(newline="") as table:
    CONFORMANCE = [
        (row["model"], row["reference"], row["degraded"], float(row["moslqo"])) for row in csv.DictReader(table)
    ]


@pytest.mark.parametrize(("model", "reference", "degraded", "expected"), CONFORMANCE)
def test_visqol_conformance(model: str, reference: str, degraded: str, expected: float) -> None:
    """Google's cases score whole files at their own rate, 48 kHz also in speech mode, and mixed down to mono."""
    from visqol.quality_mapper import SpeechSimilarityToQualityMapper

    def mono(name: str) -> tuple[NDArray[np.float64], int]:
        data, rate = sf.read(published(f"visqol/testdata/{name}.wav"), always_2d=True)
        return data.mean(axis=1), rate

    x, rate = mono(reference)
    y, _ = mono(degraded)
    mode: _visqol.Mode = "audio" if model == "audio" else "speech"
    scorer = _visqol.Scorer(mode, rate)
    if model in ("exponential", "unscaled"):
        scorer.mapper = SpeechSimilarityToQualityMapper(scale_to_max_mos=model == "exponential")
    assert scorer.score(_visqol.Reference(x, scorer), y) == pytest.approx(expected, abs=1e-5)
