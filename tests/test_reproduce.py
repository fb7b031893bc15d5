"""`bench run --reproduce`: the same plan again, and any value that does not come out again is named."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from codecbench.bench import reproduce
from codecbench.bench.cli import main
from codecbench.bench.seal import seal
from codecbench.bench.store import FILE, Store
from codecbench.corpora import registry as corpora
from made_runs import make
from small_run import copy, small_run

OLD = Path(__file__).parent / "data" / "run-v4"
CODEC = """
import os
import numpy as np
from codecbench.bench.audio import Clip, from_pcm16, to_pcm16
from codecbench.codecs import Codec, Encoded, Packet, Point, register

class Rounds(Codec):
    name, family, licence, about = "t_rounds", "Test", "none", "rounds to 10 or 14 bits"
    points = (Point("10", 160.0, {"bits": 10}), Point("14", 224.0, {"bits": 14}))
    rates = (16000,)

    def encode(self, clip, point):
        step = 1 << (16 - point.params["bits"])
        pcm = (to_pcm16(clip.samples[0]).astype(np.int32) // step * step).astype(np.int16)
        frames = [pcm[i : i + 320].tobytes() for i in range(0, len(pcm), 320)]
        return Encoded(tuple(Packet(f, len(f) // 2 * point.params["bits"]) for f in frames), clip.rate, 1)

    def decode(self, encoded, point):
        pcm = np.frombuffer(b"".join(p.data for p in encoded.packets), np.int16)
        return Clip(from_pcm16(np.roll(pcm, int(os.environ.get("ROUNDS_SHIFT", "0"))))[None], encoded.rate)

    def delay(self, rate, point):
        return 0

    def frame(self, rate, point):
        return 320

    def versions(self):
        return {"shift": os.environ.get("ROUNDS_SHIFT", "0")}

register(Rounds())
"""


@pytest.fixture
def made(tmp_path, monkeypatch, forget_codecs):
    """A run of a user's own codec on a user's own clip, both given by relative paths, at one of two points."""
    folder = tmp_path / "made here"
    (folder / "my").mkdir(parents=True)
    (folder / "rounds.py").write_text(CODEC)
    shutil.copy(corpora.get("speech").items(None)[0].path, folder / "my" / "a.flac")
    monkeypatch.setenv("CODECBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ROUNDS_SHIFT", raising=False)
    monkeypatch.chdir(folder)
    args = ["--codec-module", "rounds.py", "--codecs", "t_rounds", "--points", "14", "--corpus", "my"]
    assert main(["run", *args, "--metrics", "si_sdr", "--no-timing", "--quiet", "--jobs", "1", "--out", "run"]) == 0
    monkeypatch.chdir(tmp_path)
    return folder / "run"


def again(*args, quiet=True):
    return main(["run", "--reproduce", *map(str, args), "--jobs", "1", *(["--quiet"] if quiet else [])])


def test_a_run_comes_out_again_or_is_said_not_to(made, tmp_path, capsys, monkeypatch):
    cache = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}
    assert again(made) == 2
    module = made.parent / "rounds.py"
    assert f"give --codec-module '{module}'" in capsys.readouterr().err
    assert again(made, "--codec-module", module) == 0
    shown = capsys.readouterr()
    assert "Equal: all values of 1 clips, 1 results, 1 scores, 1 rows of tokens" in shown.out
    assert "without the cache" in shown.err
    assert "not as it was" not in shown.err.replace("not as it was: commit", "")  # of a checkout that is worked on
    repeat = made.with_name("run-again")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")} == cache
    with closing(Store(repeat)) as one, closing(Store(made)) as two:
        points = "SELECT codec, point FROM points"
        assert one.rows(points) == two.rows(points) == [{"codec": "t_rounds", "point": "14"}]
        assert one.get("rows_sha256") == two.get("rows_sha256")
        assert one.get("clips_sha256") == two.get("clips_sha256")

    # Its rows hold, too, where the codec may be loaded.
    assert main(["verify", str(made), "--jobs", "1", "--codec-module", str(module)]) == 0
    assert "1 of 1 rows computed again: 1 hold" in capsys.readouterr().out

    # From run.json alone; the repeat is complete, and goes on where it is.
    record = tmp_path / "paper" / "run.json"
    record.parent.mkdir()
    shutil.copy(made / "run.json", record)
    assert again(record, "--out", repeat, "--codec-module", module) == 0
    assert "The hash of all values is the same" in capsys.readouterr().out

    # A decoder that is another one: everything says so.
    monkeypatch.setenv("ROUNDS_SHIFT", "1")
    assert again(made, "--out", tmp_path / "other", "--json", "--codec-module", module) == 1
    shown = capsys.readouterr()
    assert "codec t_rounds: shift 0 then, shift 1 now" in shown.err
    found = json.loads(shown.out)
    assert {(d["key"][0], d["field"]) for d in found["differences"]} == {("result", "wave_sha256"), ("score", "value")}
    assert found["compared"] == {"clip": 1, "result": 1, "score": 1, "tokens": 1}
    assert again(record, "--out", tmp_path / "other", "--codec-module", module) == 1
    assert "The hash of all values is another" in capsys.readouterr().out


def test_a_row_that_was_tampered_with_is_named(tmp_path_factory, tmp_path, capsys):
    run = small_run(tmp_path_factory)
    change = "UPDATE scores SET value = value + 0.25 WHERE codec = 'opus' AND point = '6' AND metric = 'stoi'"
    tampered = copy(run, tmp_path / "run", change)
    comparison = reproduce.compare(reproduce.load_record(tampered), run)
    assert {(d.key[0], d.key[3:], d.field) for d in comparison.differences} == {
        ("score", ("opus", "6", "stoi"), "value")
    }
    assert len(comparison.differences) == 6
    assert comparison.compared == {"clip": 6, "result": 18, "score": 36, "tokens": 3}
    assert reproduce.compare(reproduce.load_record(run), run).equal


def test_rows_that_only_one_has_are_differences(tmp_path):
    run = make(tmp_path / "a", {"x": [6, 12]}, clips="abc")
    fewer = make(tmp_path / "b", {"x": [6]}, clips="ab")
    found = reproduce.compare(reproduce.load_record(run), fewer).differences
    absent = {d.key for d in found}
    assert {(d.then, d.now) for d in found if d.field == ""} == {("there", "absent")}
    assert ("clip", "hand", "c") in absent
    assert ("score", "hand", "a", "x", "12", "stoi") in absent
    assert ("result", "hand", "c", "x", "6") in absent
    back = reproduce.compare(reproduce.load_record(fewer), run).differences
    assert {d.key for d in back} == absent
    assert {d.now for d in back} == {"there"}


def test_the_hash_is_of_all_values_and_of_nothing_else(tmp_path_factory, tmp_path):
    run = small_run(tmp_path_factory)

    def hash_after(*changes: str) -> str:
        folder = copy(run, tmp_path / str(len(list(tmp_path.iterdir()))), *changes)
        with closing(Store(folder, create=True)) as store:
            seal(store)
            return str(store.get("rows_sha256"))

    before = hash_after()
    assert before == json.loads((run / "run.json").read_text())["rows_sha256"]
    one = "clip = (SELECT min(clip) FROM clips) AND codec = 'opus' AND point = '6'"
    changes = {
        "results": ("bits = bits + 1", "setup_bits = 1", "coded_seconds = 1", "status = 'failed'", "reason = 'x'",
                    "native_rate = 1", "delay_samples = 1", "frame_samples = 1", "wave_sha256 = 'x'"),
        "scores": ("value = value + 1e-12", "value = NULL", "reason = 'x'", "metric = 'x' || metric"),
    }  # fmt: skip
    hashes = [hash_after(f"UPDATE {table} SET {c} WHERE {one}") for table, some in changes.items() for c in some]
    hashes += [hash_after(f"DELETE FROM {table} WHERE {one}") for table in changes]
    hashes.append(hash_after("UPDATE clips SET key = 'x' || key WHERE clip = (SELECT min(clip) FROM clips)"))
    assert before not in hashes
    assert len(set(hashes)) == len(hashes)
    aside = ["results SET seconds = 9, detail = 'x', wave = 'x'", "clips SET path = '/elsewhere/' || path"]
    assert {hash_after(f"UPDATE {what}") for what in (*aside, "scores SET detail = 'x'")} == {before}


def test_an_old_run_can_be_repeated(tmp_path):
    record = reproduce.load_record(OLD)
    plan, _ = reproduce.plan_again(record, offline=True)
    assert [(p.codec.name, p.point.label) for p in plan.points] == [("opus", "6"), ("g711_alaw", "64"), ("soundstream", "3")]  # fmt: skip # noqa: E501
    assert plan.suite.max_seconds == 3
    with closing(Store(OLD)) as store:
        keys = {(row["clip"], row["key"]) for row in store.rows("SELECT clip, key FROM clips")}
    assert {(clip.item.id, clip.key) for clip in plan.clips} == keys
    assert plan.digest() == record.info["plan"]


def test_what_is_not_as_it_was_is_said(tmp_path, monkeypatch):
    run = Path(shutil.copytree(OLD, tmp_path / "run"))
    with closing(Store(run, create=True)) as store, store:
        store.set("packages", store.get("packages") | {"pesq": "0.0.1", "gone": "1"})
        store.set("machine", store.get("machine") | {"python": "3.9.1"})
        store.set("suite", store.get("suite") | {"seed": 1})
        store.set("metrics", [m | {"fingerprint": "f"} for m in store.get("metrics")])
    with closing(sqlite3.connect(run / FILE)) as db:
        db.execute("UPDATE points SET versions = 'libopus 0.9', fingerprint = 'f' WHERE codec = 'opus'")
        db.execute("UPDATE points SET point = '65' WHERE codec = 'g711_alaw'")
        db.commit()
    plan, notes = reproduce.plan_again(reproduce.load_record(run), offline=True)
    text = "\n".join(notes)
    assert "pesq: 0.0.1 then, 0.0.4 now" in text
    assert "gone: 1 then, absent now" in text
    assert "python: 3.9.1 then" in text
    assert "suite: not the one" in text
    assert "metric stoi: its code" in text
    assert "codec opus: libopus 0.9 then, av" in text
    assert "codec g711_alaw 65 speech: there is no such operating point now" in text
    assert "g711_alaw" not in {p.codec.name for p in plan.points}


def test_a_suite_whose_paths_are_below_the_folder_of_the_run(tmp_path, monkeypatch):
    (tmp_path / "there" / "my").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    there = tmp_path / "there"
    assert reproduce._anchored("my", "my", there) == str(there / "my")
    assert reproduce._anchored("music:my", "my", there) == f"music:{there / 'my'}"
    assert reproduce._anchored("encodec:my@6", "my", there) == f"encodec:{there / 'my'}@6"
    for spec, path in (("speech", ""), ("none", "none"), ("/abs", "/abs"), ("s3://b/my", "s3://b/my")):
        assert reproduce._anchored(spec, path, there) == spec
    (tmp_path / "here" / "my").mkdir()
    assert reproduce._anchored("my", "my", there) == "my"


GOOD = {"suite": {"name": "a"}, "status": "complete", "rows_sha256": "0" * 64}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not the run.json of a run"),
        ('{"suite": "speech"}', "not the run.json of a run"),
        (json.dumps(GOOD | {"status": "running"}), "not complete"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "rows_sha256"}), "without the hash of its rows"),
        (json.dumps(GOOD), "'corpora' is missing"),
        (json.dumps(GOOD | {"packages": []}), "damaged: packages is no dict"),
        (json.dumps(GOOD | {"points": [{"codec": "opus"}]}), "damaged: points"),
        (json.dumps(GOOD | {"metrics": ["stoi"]}), "damaged: metrics"),
        (json.dumps(GOOD | {"suite": {"name": "a", "corpora": ["speech"], "codecs": 3}}), "codecs is 3"),
        (json.dumps(GOOD | {"suite": {"corpora": ["speech"], "codecs": ["none"], "metrics": ["stoi"]}}), "'none'"),
        (json.dumps(GOOD | {"suite": {"corpora": ["/no"], "codecs": ["opus"], "metrics": ["stoi"]}}), "/no"),
        (json.dumps(GOOD | {"suite": {"corpora": ["speech"], "codecs": ["opus"], "metrics": ["x"]}}), "'x'"),
    ],
)  # fmt: skip
def test_what_cannot_be_repeated_is_refused(tmp_path, capsys, text, error):
    file = tmp_path / "run.json"
    file.write_text(text)
    assert again(file) == 2
    assert error in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.json"]


def test_usage(tmp_path, capsys):
    assert again(tmp_path / "none") == 2
    assert "give a run folder, or its run.json" in capsys.readouterr().err
    for option in (["--suite", "quick"], ["--codecs", "opus"], ["--limit", "3"], ["--device", "cuda"]):
        assert again(OLD, *option) == 2
        assert "repeats a run as it was" in capsys.readouterr().err
    assert again(OLD, "--out", OLD) == 2
    assert "is the run itself" in capsys.readouterr().err
    assert again(OLD, "--dry-run") == 0
    assert "run-v4-again" in capsys.readouterr().out
