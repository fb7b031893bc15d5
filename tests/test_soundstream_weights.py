"""What the weights that ship must keep, on embedded clips that they were not trained on."""

from __future__ import annotations

import csv
import hashlib
import json

import numpy as np
import pytest
from codecbench.bench.audio import Clip, read, resample
from codecbench.bench.metrics import registry as metrics
from codecbench.bench.metrics._metric import ReferenceCache, evaluate
from codecbench.codecs import registry as codecs
from codecbench.codecs.soundstream import packaged
from codecbench.corpora import registry as corpora

pytestmark = pytest.mark.skipif(not packaged.WEIGHTS.exists(), reason="no packaged weights")

CARD = packaged.WEIGHTS.with_name("MODEL_CARD.md")
#: one clip of each of four voices
VOICES = 4


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    found: dict[str, Clip] = {}
    for item in corpora.get("speech").items(None):
        if item.speaker not in found and len(found) < VOICES:
            clip = resample(read(item.path), 24000)
            found[item.speaker] = Clip(clip.samples[:1, : 6 * 24000], 24000)
    return list(found.values())


def coded(clip: Clip, label: str) -> Clip:
    codec = codecs.get("soundstream")
    point = codec.point(label)
    late = codec.delay(clip.rate, point)
    padded = Clip(np.pad(clip.samples, ((0, 0), (0, late))), clip.rate)
    decoded = codec.decode(codec.encode(padded, point), point)
    return Clip(decoded.samples[:, late : late + clip.length].clip(-1, 1), clip.rate)


def score(name: str, reference: Clip, degraded: Clip) -> float:
    return evaluate(metrics.get(name), ReferenceCache(reference), degraded).value


def test_floors_at_6_kbps(clips):
    """STOI >= 0.88, and ViSQOL above the 1.83 that Opus has at 6 kbps on the whole speech suite."""
    assert np.mean([score("stoi", one, coded(one, "6")) for one in clips]) >= 0.88
    assert np.mean([score("visqol_speech", one, coded(one, "6")) for one in clips]) > 2.2


def test_quality_rises_with_the_bitrate(clips):
    for name in ("pesq_wb", "visqol_speech"):
        low, middle, high = (
            np.mean([score(name, one, coded(one, label)) for one in clips]) for label in ("3", "6", "12")
        )
        assert low < middle < high


def test_silence_stays_silence():
    silence = Clip(np.zeros((1, 24000), np.float32), 24000)
    for label in ("3", "18"):
        rms = float(np.sqrt(np.square(coded(silence, label).samples).mean()))
        assert 20 * np.log10(rms + 1e-12) < -60


def test_a_copy_40_db_quieter_scores_the_same(clips):
    for label in ("6", "12"):
        loud = np.mean([score("pesq_wb", one, coded(one, label)) for one in clips])
        quiet = []
        for one in clips:
            decoded = coded(Clip(one.samples * np.float32(0.01), one.rate), label)
            quiet.append(score("pesq_wb", one, Clip(decoded.samples * np.float32(100), one.rate)))
        assert abs(np.mean(quiet) - loud) < 0.2


def test_the_card_says_what_the_file_says():
    metadata = packaged.metadata()
    card = CARD.read_text(encoding="utf-8")
    assert metadata["status"] in ("preview", "released")
    assert f"status: {metadata['status']}" in card
    assert packaged.model_id() in card
    json.loads(metadata["config"])


def test_nothing_of_the_embedded_corpora_was_trained_on():
    with packaged.WEIGHTS.with_name("manifest.csv").open(newline="", encoding="utf-8") as file:
        trained = {row["sha256"] for row in csv.DictReader(file)}
    assert len(trained) > 10
    items = [item for name in ("speech", "music") for item in corpora.get(name).items(None)]
    assert items
    assert not trained & {hashlib.sha256(item.path.read_bytes()).hexdigest() for item in items}
