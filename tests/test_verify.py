"""`bench verify`: rows that hold are said to, and any value that was tampered with is found."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from codecbench.bench import verify as verification
from codecbench.bench.cache import Files
from codecbench.bench.cli import main
from codecbench.bench.executor import Failure
from codecbench.bench.fingerprint import digest
from codecbench.bench.store import Store
from codecbench.codecs import registry as codecs
from small_run import copy, small_run

OLD = Path(__file__).parent / "data" / "run-v4"
ROW = "codec = 'opus' AND point = '6' AND clip = (SELECT min(clip) FROM clips)"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small_run(tmp_path_factory)


def tasks(run, cache=None, notes=None):
    """The tasks of the clip that `ROW` names."""
    with closing(Store(run)) as store:
        info = store.info()
        keys = store.rows(f"SELECT corpus, clip, codec, point FROM results WHERE {ROW}")
        assert len(keys) == 1
        return verification._tasks(store, keys, info, cache, [] if notes is None else notes)


def judge(run, cache=None, notes=None):
    return tasks(run, cache, notes)[0].run(lambda stage: None)


@pytest.mark.parametrize("cached", [True, False])
def test_a_row_holds(run, cached):
    verdict = judge(run, run.parent / "cache" if cached else None)
    assert (verdict.state, verdict.findings) == ("holds", ())
    assert verdict.stream == ("stored" if cached else "encoded anew")
    assert verdict.checked == 7 + 2  # of the result, and two scores


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("stoi", f"UPDATE scores SET value = value + 1e-9 WHERE {ROW} AND metric = 'stoi'"),
        ("stoi", f"UPDATE scores SET value = NULL, reason = 'too_short' WHERE {ROW} AND metric = 'stoi'"),
        ("si_sdr", f"UPDATE scores SET value = 30 WHERE {ROW} AND metric = 'si_sdr'"),
        ("bits", f"UPDATE results SET bits = bits - 1 WHERE {ROW}"),
        ("setup_bits", f"UPDATE results SET setup_bits = 1 WHERE {ROW}"),
        ("coded_seconds", f"UPDATE results SET coded_seconds = coded_seconds * 2 WHERE {ROW}"),
        ("native_rate", f"UPDATE results SET native_rate = 8000 WHERE {ROW}"),
        ("delay_samples", f"UPDATE results SET delay_samples = delay_samples + 1 WHERE {ROW}"),
        ("frame_samples", f"UPDATE results SET frame_samples = 1 WHERE {ROW}"),
        ("decoded samples", f"UPDATE results SET wave_sha256 = 'x' || wave_sha256 WHERE {ROW}"),
        ("stream", f"UPDATE results SET wave = 'x' || wave WHERE {ROW}"),
        ("coding", f"UPDATE results SET status = 'failed', reason = 'codec_failed' WHERE {ROW}"),
    ],
)
def test_whatever_was_tampered_with_is_found(run, tmp_path, what, change):
    verdict = judge(copy(run, tmp_path / "run", change), run.parent / "cache")
    assert verdict.state == "differs"
    assert [finding.what for finding in verdict.findings] == [what]


def test_of_all_rows_only_the_one_that_was_tampered_with_differs(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CODECBENCH_CACHE", str(run.parent / "cache"))
    assert main(["verify", str(run), "--all", "--jobs", "1"]) == 0
    assert "18 of 18 rows computed again: 18 hold, 0 differ" in capsys.readouterr().out
    change = f"UPDATE scores SET value = value + 0.25 WHERE {ROW} AND metric = 'stoi'"
    tampered = copy(run, tmp_path / "run", change)
    before = sorted((f.name, f.stat().st_mtime) for f in tampered.rglob("*"))
    assert main(["verify", str(tampered), "--all", "--jobs", "1", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    wrong = [verdict for verdict in found["verdicts"] if verdict["state"] != "holds"]
    assert [(v["codec"], v["point"], v["state"]) for v in wrong] == [("opus", "6", "differs")]
    assert found["largest"] == {"stoi": pytest.approx(-0.25)}
    assert sorted((f.name, f.stat().st_mtime) for f in tampered.rglob("*")) == before


def test_a_stream_that_was_changed_in_the_cache_is_found(run, tmp_path):
    cache = Path(shutil.copytree(run.parent / "cache", tmp_path / "cache"))
    task = tasks(run, cache)[0]
    recipe = digest("coded", task.clip.key, task.point.fingerprint)
    path = cache / "stream" / recipe[:2] / recipe
    blob = bytearray(path.read_bytes())
    blob[-20] ^= 1
    path.write_bytes(blob)
    verdict = task.run(lambda stage: None)
    assert verdict.state == "differs"
    assert "stream" in {finding.what for finding in verdict.findings}
    path.write_bytes(b"no stream")
    verdict = task.run(lambda stage: None)
    assert (verdict.state, verdict.stream) == ("holds", "encoded anew")
    assert Files(cache).get_stream(recipe) == b"no stream"  # nothing is written


def test_what_other_versions_give_proves_nothing(run, tmp_path, monkeypatch):
    changes = [f"UPDATE points SET fingerprint = 'other', versions = 'libopus 0.9' WHERE {ROW.split(' AND clip')[0]}"]
    same = judge(copy(run, tmp_path / "same", *changes))
    assert same.state == "holds"
    changes.append(f"UPDATE results SET bits = bits + 8, wave_sha256 = '{'0' * 64}' WHERE {ROW}")
    changes.append(f"UPDATE scores SET value = value + 0.5 WHERE {ROW} AND metric = 'stoi'")
    verdict = judge(copy(run, tmp_path / "other", *changes))
    assert verdict.state == "unchecked"
    found = {finding.what: finding for finding in verdict.findings}
    assert set(found) == {"bits", "decoded samples", "stoi"}
    assert "made with libopus 0.9, here" in found["bits"].detail
    assert found["bits"].difference == -8
    assert found["stoi"].difference == pytest.approx(-0.5)


def test_a_metric_of_another_version_proves_nothing(run, tmp_path):
    with closing(Store(run)) as store:
        declared = json.dumps([m | {"fingerprint": "other"} for m in store.get("metrics")]).replace("'", "''")
    changes = [f"UPDATE run SET value = '{declared}' WHERE key = 'metrics'"]
    changes.append(f"UPDATE scores SET value = value + 0.5 WHERE {ROW} AND metric = 'stoi'")
    verdict = judge(copy(run, tmp_path / "run", *changes), run.parent / "cache")
    assert [(finding.what, finding.state) for finding in verdict.findings] == [("stoi", "unchecked")]
    assert "another version of pystoi" in verdict.findings[0].detail


def test_what_cannot_be_checked_says_why(run, tmp_path, monkeypatch):
    def why(*changes):
        folder = copy(run, tmp_path / str(len(list(tmp_path.iterdir()))), *changes)
        verdict = judge(folder, run.parent / "cache")
        assert verdict.state == "unchecked"
        assert len(verdict.findings) == 1
        return verdict.findings[0].detail

    gone = "UPDATE clips SET path = '/nowhere/a.flac', corpus = 'gone'"
    rest = [f"UPDATE {table} SET corpus = 'gone'" for table in ("results", "scores")]
    assert "/nowhere/a.flac: No such file" in why(gone, *rest)
    (tmp_path / "other.flac").write_bytes(Path(tasks(run)[0].place).read_bytes() + b"\0")
    assert "has changed" in why(f"UPDATE clips SET path = '{tmp_path / 'other.flac'}'")
    assert "has no numbers: timeout" in why(f"UPDATE results SET status = 'failed', reason = 'timeout' WHERE {ROW}")
    assert "has no value: crashed" in why(
        f"UPDATE scores SET value = NULL, reason = 'crashed' WHERE {ROW} AND metric = 'stoi'"
    )
    monkeypatch.setattr(type(codecs.get("opus")), "available", lambda self: "it has gone")
    assert "opus is not available here: it has gone" in why()


def test_a_clip_that_moved_with_its_corpus_is_found(run, tmp_path):
    moved = copy(run, tmp_path / "run", "UPDATE clips SET path = '/elsewhere/' || clip")
    assert judge(moved, run.parent / "cache").state == "holds"


def test_failures(run):
    task = tasks(run)[0]
    crash = Failure("crashed", "decode", "the worker ended")
    verdict = verification._failed(task, crash)
    assert (verdict.state, verdict.findings[0].detail) == ("unchecked", "crashed in decode: the worker ended")


def test_the_sample_is_of_every_point_and_the_same_for_the_same_seed():
    rows = [
        {"corpus": "c", "clip": str(i), "codec": codec, "point": "6"} for codec in ("a", "b", "c") for i in range(100)
    ]
    first = verification.choose(rows, 7, 0)
    assert first == verification.choose(rows, 7, 0)
    assert first != verification.choose(rows, 7, 1)
    assert sorted([row["codec"] for row in first].count(codec) for codec in "abc") == [2, 2, 3]
    assert sorted(map(str, verification.choose(rows, None, 3))) == sorted(map(str, rows))
    assert verification.choose([], 5, 0) == []


def test_an_old_run_is_verified_as_far_as_its_codecs_are_the_same(tmp_path, capsys, monkeypatch):
    """The embedded clips are found, though the run was made elsewhere, and G.711 is for ever."""
    monkeypatch.setenv("CODECBENCH_CACHE", str(tmp_path))
    assert main(["verify", str(OLD), "--jobs", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    states = {(v["codec"], v["state"]) for v in found["verdicts"]}
    assert ("g711_alaw", "holds") in states
    assert not [v for v in found["verdicts"] if v["state"] == "differs"]
    assert {v["stream"] for v in found["verdicts"]} == {"encoded anew"}


def test_code_that_a_run_names_is_not_run(run, tmp_path, capsys):
    trap = tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')")
    change = f"UPDATE run SET value = '{json.dumps([str(trap), 'encodec:/nowhere'])}' WHERE key = 'sources'"
    assert main(["verify", str(copy(run, tmp_path / "run", change)), "--jobs", "1", "--sample", "1", "--json"]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert [n for n in notes if f"give --codec-module {trap}" in n]
    assert [n for n in notes if "encodec:/nowhere" in n]
    assert not (tmp_path / "sprung").exists()


def test_usage(tmp_path, capsys):
    assert main(["verify", str(tmp_path)]) == 2
    assert "is no run folder" in capsys.readouterr().err
    assert main(["verify", str(OLD), "--codec-module", str(tmp_path / "none.py")]) == 2
    assert "not a Python file" in capsys.readouterr().err
