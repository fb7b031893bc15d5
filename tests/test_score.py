"""bench score: the same numbers as a run, what is mended is said, what cannot be is a reason."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from codecbench.bench import scoring
from codecbench.bench.audio import Clip, from_pcm16, read, resample, to_pcm16
from codecbench.bench.cache import Files
from codecbench.bench.cli import main
from codecbench.bench.executor import Failure
from codecbench.bench.metrics import evaluate
from codecbench.bench.metrics import registry as metrics
from codecbench.bench.scoring import Pair, ScoreError, fit, match, score
from small_run import small_run

FAST = ["--metrics", "stoi,si_sdr"]


@pytest.fixture(scope="module")
def clip() -> Clip:
    """Three seconds of real speech, 16 bits, 16 kHz."""
    path = sorted((Path(scoring.__file__).parents[1] / "corpora/embedded/speech").glob("*.flac"))[0]
    return Clip(from_pcm16(to_pcm16(resample(read(path, 0.0, 3.0), 16000).samples)), 16000)


@pytest.fixture(scope="module")
def coded(clip: Clip) -> Clip:
    """The clip with noise at 20 dB, as a codec that keeps the waveform leaves it."""
    noise = np.random.default_rng(1).standard_normal(clip.samples.shape) * np.std(clip.samples) / 10
    return Clip(from_pcm16(to_pcm16(clip.samples + noise)), clip.rate)


def write(path: Path, samples: np.ndarray, rate: int = 16000, subtype: str = "PCM_16") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, samples.T, rate, subtype=subtype)
    return path


def bench(*args: object) -> int:
    return main(["score", *map(str, args)])


def as_json(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, dict]:
    capsys.readouterr()
    code = bench(*args, "--json")
    return code, json.loads(capsys.readouterr().out)


def test_the_scores_are_those_of_a_run(tmp_path_factory, tmp_path, capsys):
    run = small_run(tmp_path_factory)
    with closing(sqlite3.connect(run / "results.sqlite")) as db:
        db.row_factory = sqlite3.Row
        rows = [dict(r) for r in db.execute(
            "SELECT * FROM results JOIN clips USING (corpus, clip) WHERE codec = 'opus' AND point = '6' LIMIT 2"
        )]  # fmt: skip
        for row in rows:
            wave = Files(run.parent / "cache").get_wave(row["wave"])
            assert wave is not None
            mine = write(tmp_path / "deg.wav", wave.samples, wave.rate)
            code, found = as_json(capsys, row["path"], mine, *FAST)
            assert code == 0
            for name in ("stoi", "si_sdr"):
                (stored,) = db.execute(
                    "SELECT value FROM scores WHERE clip = ? AND codec = 'opus' AND point = '6' AND metric = ?",
                    (row["clip"], name),
                ).fetchone()
                assert found["pairs"][0][name] == stored


def test_folders(tmp_path, capsys, clip, coded):
    ref, deg = tmp_path / "ref", tmp_path / "deg"
    for name, samples in (("a/one", coded.samples), ("a/two", clip.samples), ("three", coded.samples * 0)):
        write(ref / f"{name}.flac", clip.samples)
        write(deg / f"{name}.wav", samples)
    write(ref / "alone.wav", clip.samples)
    write(deg / "b/one.wav", clip.samples)
    (deg / "notes.txt").write_text("no audio")
    (ref / "damaged.wav").write_bytes(b"RIFF....")
    write(deg / "damaged.wav", clip.samples)
    assert bench(ref, deg, *FAST, "--jobs", 2, "--csv", tmp_path / "it.csv") == 1
    told = capsys.readouterr()
    assert f"not scored: {ref / 'alone.wav'}: nothing of that name in {deg}" in told.err
    assert f"not scored: {deg / 'b/one.wav'}: nothing of that name in {ref}" in told.err
    assert "notes" not in told.out + told.err
    assert "three: no stoi, si_sdr: silent_degraded" in told.out
    assert "damaged: no stoi, si_sdr: clip_unreadable" in told.out
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO((tmp_path / "it.csv").read_text()))}
    assert list(rows) == ["a/one", "a/two", "damaged", "three"]
    assert float(rows["a/one"]["si_sdr"]) == pytest.approx(20, abs=0.2)
    assert float(rows["a/two"]["si_sdr"]) == 100.0
    assert rows["three"]["si_sdr"] == ""
    assert rows["three"]["si_sdr_reason"] == "silent_degraded"
    mean = (float(rows["a/one"]["si_sdr"]) + 100) / 2
    assert f"{mean:.1f} (n 2/4)" in told.out
    code, found = as_json(capsys, ref / "a", deg / "a", *FAST, "--jobs", 1)
    assert code == 0
    assert found["mean"]["si_sdr"]["value"] == mean
    assert found["not_scored"] == []
    assert bench(ref / "a", deg / "a", *FAST, "--csv", "-", "--jobs", 1) == 0
    assert len(list(csv.DictReader(io.StringIO(capsys.readouterr().out)))) == 2


@pytest.mark.parametrize(
    ("delay", "longer"), [(8, True), (8, False), (300, True), (300, False), (-8, False), (-50, True)]
)
def test_a_delay_is_told_and_removed(tmp_path, capsys, clip, coded, delay, longer):
    ref = write(tmp_path / "ref.wav", clip.samples)
    late = np.pad(coded.samples, ((0, 0), (max(0, delay), 0)))[:, max(0, -delay) :]
    late = np.pad(late, ((0, 0), (0, max(0, -delay)))) if longer else late[:, : clip.length]
    deg = write(tmp_path / "deg.wav", late)
    code, found = as_json(capsys, ref, deg, *FAST)
    (one,) = found["pairs"]
    assert code == 0
    assert one["delay_samples"] == delay
    assert one["delay_ms"] == pytest.approx(delay / 16)
    assert not one["aligned"]
    assert one["si_sdr"] < 7  # 20 when aligned
    assert any("WARNING: not in time" in note for note in one["notes"])
    code, found = as_json(capsys, ref, deg, *FAST, "--align")
    (one,) = found["pairs"]
    assert one["aligned"]
    assert one["si_sdr"] == pytest.approx(20, abs=0.3)
    assert any(f"a delay of {delay} samples" in note for note in one["notes"])


def test_what_delay_cannot_be_found_is_not_removed(clip, coded):
    other = Clip(np.random.default_rng(2).standard_normal(clip.samples.shape).astype(np.float32) * 0.1, clip.rate)
    fitted = fit(clip, other, align=True)
    assert fitted.delay is None
    assert "no clear delay found" in fitted.notes[0]
    assert fitted.degraded.length == clip.length
    aligned = fit(clip, coded, align=True)
    assert (aligned.delay, aligned.notes) == (0, ())
    assert np.array_equal(aligned.degraded.samples, coded.samples)


@pytest.mark.parametrize("extra", [1, 1600, -1, -1600])
def test_a_length_within_the_tolerance_is_mended(clip, extra):
    samples = np.pad(clip.samples, ((0, 0), (0, max(0, extra))))[:, : clip.length + extra]
    fitted = fit(clip, Clip(samples, clip.rate))
    assert fitted.degraded.length == clip.length
    assert f"{abs(extra)} samples" in fitted.notes[0]
    assert ("cut" if extra > 0 else "padded with zeros") in fitted.notes[0]


@pytest.mark.parametrize("extra", [1601, -1601])
def test_a_length_beyond_it_is_refused(tmp_path, capsys, clip, extra):
    samples = np.pad(clip.samples, ((0, 0), (0, max(0, extra))))[:, : clip.length + extra]
    ref, deg = write(tmp_path / "ref.wav", clip.samples), write(tmp_path / "deg.wav", samples)
    code, found = as_json(capsys, ref, deg, *FAST)
    assert code == 1
    assert found["pairs"][0]["stoi"] is None
    assert found["pairs"][0]["stoi_reason"] == "length_mismatch"
    assert "only up to 100 ms are mended" in found["pairs"][0]["notes"][0]


def test_other_rates_are_resampled_and_other_channels_refused(tmp_path, capsys, clip):
    ref = write(tmp_path / "ref.wav", clip.samples)
    high = resample(clip, 48000)
    deg = write(tmp_path / "high.wav", high.samples, 48000, "FLOAT")
    code, found = as_json(capsys, ref, deg, *FAST)
    assert code == 0
    assert found["pairs"][0]["notes"] == ["resampled from 48000 to 16000 Hz"]
    expected = evaluate(metrics.get("si_sdr"), clip, Clip(from_pcm16(to_pcm16(resample(high, 16000).samples)), 16000))
    assert found["pairs"][0]["si_sdr"] == pytest.approx(expected.value, abs=1e-9)
    stereo = write(tmp_path / "stereo.wav", np.concatenate([clip.samples] * 2))
    code, found = as_json(capsys, ref, stereo, *FAST)
    assert code == 1
    assert found["pairs"][0]["stoi_reason"] == "channel_mismatch"
    assert found["pairs"][0]["stoi_detail"] == "1 against 2"


def test_clipping_is_told(clip):
    loud = Clip(clip.samples * np.float32(1.5 / np.max(np.abs(clip.samples))), clip.rate)
    assert "its peak is 1.5" in fit(clip, loud).notes[-1]


def test_default_metrics_are_those_of_the_suite(tmp_path, capsys, clip, coded):
    ref, deg = write(tmp_path / "ref.wav", clip.samples), write(tmp_path / "deg.wav", coded.samples)
    code, found = as_json(capsys, ref, deg)
    assert code == 0
    assert list(found["mean"]) == ["pesq_wb", "stoi", "estoi", "visqol_speech", "si_sdr"]
    assert 1 < found["mean"]["pesq_wb"]["value"] < 4.5
    code, found = as_json(capsys, ref, deg, "--content", "music")
    assert code == 1
    assert found["pairs"][0]["visqol_audio_reason"] == "bandwidth"  # a 16 kHz reference


def test_usage(tmp_path, capsys, clip):
    one = write(tmp_path / "one.wav", clip.samples)
    (tmp_path / "empty").mkdir()
    for args, said in (
        ((one, tmp_path / "none.wav"), "none.wav: no such file or folder"),
        ((one, tmp_path), "two audio files, or two folders"),
        ((tmp_path, tmp_path / "empty"), "no audio file here or below"),
        ((one, one, "--metrics", "pesk"), "pesq_wb"),
        ((one, one, "--metrics", ","), "--metrics names none"),
        ((one, one, "--json", "--csv", "-"), "both print"),
        ((one, one, *FAST, "--csv", "/nonexistent/it.csv"), "/nonexistent/it.csv cannot be written"),
    ):
        assert bench(*args) == 2
        assert said in capsys.readouterr().err
    for jobs in ("0", "-1", "two"):
        with pytest.raises(SystemExit, match="2"):
            bench(one, one, "--jobs", jobs)
        assert "no whole number of at least 1" in capsys.readouterr().err


def test_names_are_matched_one_to_one(tmp_path, clip):
    for name in ("ref/a.wav", "deg/a.wav", "deg/a.flac", "ref/b.wav", "deg/b.wav"):
        write(tmp_path / name, clip.samples)
    pairs, alone = match(tmp_path / "ref", tmp_path / "deg")
    assert [pair.name for pair in pairs] == ["b"]
    assert len(alone) == 1
    assert alone[0].startswith("a: not one to one")
    with pytest.raises(ScoreError, match="no such file"):
        match(tmp_path / "ref", tmp_path / "gone")


def test_a_name_that_is_not_unicode(tmp_path, capsys, clip):
    for folder in ("ref", "deg"):
        made = write(tmp_path / folder / "x.wav", clip.samples)
        os.rename(made, os.path.join(os.fsencode(tmp_path / folder), b"n\xff[bold].wav"))
    assert bench(tmp_path / "ref", tmp_path / "deg", "--metrics", "si_sdr", "--csv", tmp_path / "it.csv") == 0
    assert "n\\xff[bold]" in capsys.readouterr().out
    assert "n\\xff[bold]" in (tmp_path / "it.csv").read_text()


def test_a_metric_that_kills_its_worker_costs_only_itself(monkeypatch, clip, tmp_path):
    class Pool:
        def __init__(self, *_: object) -> None:
            self.tasks: list[scoring.ScoreTask] = []

        def __enter__(self) -> Pool:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def submit(self, task: scoring.ScoreTask) -> None:
            self.tasks.append(task)

        def results(self, tasks):
            self.tasks = list(tasks)
            while self.tasks:
                task = self.tasks.pop(0)
                if task.pair.name == "gone":
                    yield task, Failure("timeout", "read", "no end after 300 s")
                elif task.skip:
                    yield task, task.run(lambda _: None)
                else:
                    yield task, Failure("crashed", "metric stoi", "exit code -11")

    monkeypatch.setattr(scoring, "Pool", Pool)
    path = write(tmp_path / "a.wav", clip.samples)
    one, gone = score([Pair("a", path, path), Pair("gone", path, path)], ["stoi", "si_sdr"], jobs=2)
    assert [(s.value, s.reason) for s in one.scores] == [(None, "crashed"), (100.0, "")]
    assert [(s.value, s.reason) for s in gone.scores] == [(None, "timeout"), (None, "timeout")]
    assert math.isnan(gone.delay_ms)
