"""The cache that machines share: what one coded the next one reads, and no failure of it costs a run."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import fsspec
import numpy as np
import pytest
from codecbench.bench import shared
from codecbench.bench.api import resolve
from codecbench.bench.audio import Clip, from_pcm16
from codecbench.bench.cache import Files
from codecbench.bench.cli import main
from codecbench.bench.runner import Settings, execute
from codecbench.bench.store import Store

MODULE = str(Path(__file__).with_name("run_codecs.py"))
WAVE = Clip(from_pcm16(np.arange(-800, 800, dtype=np.int16)[None]), 16000)


@pytest.fixture(params=["folder", "url"])
def address(request, tmp_path, monkeypatch):
    """Where the shared cache is: an empty folder, or fsspec's store in this process."""
    (tmp_path / "shared").mkdir()
    given = str(tmp_path / "shared") if request.param == "folder" else f"memory://{tmp_path.name}/shared"
    monkeypatch.setenv(shared.VARIABLE, given)
    shared._opened.cache_clear()
    yield given
    shared._opened.cache_clear()
    fsspec.filesystem("memory").store.clear()


def failing(*args, **more):
    raise ConnectionError("the network is down")


@pytest.fixture
def broken(monkeypatch):
    """fsspec's store in this process as shared cache, after its network went down."""
    monkeypatch.setenv(shared.VARIABLE, "memory://broken")
    shared._opened.cache_clear()
    for method in ("cat_file", "pipe_file", "find"):
        monkeypatch.setattr(fsspec.implementations.memory.MemoryFileSystem, method, failing)
    yield
    shared._opened.cache_clear()


def test_what_one_machine_keeps_the_next_one_has(tmp_path, address):
    one, two = Files(tmp_path / "one"), Files(tmp_path / "two")
    assert two.get_stream("ab1") is None
    assert two.get_wave("ab2") is None
    one.put_stream("ab1", b"bits")
    one.put_wave("ab2", WAVE)
    assert two.get_stream("ab1") == b"bits"
    assert np.array_equal(two.get_wave("ab2").samples, WAVE.samples)
    assert two.wave_path("ab2") == tmp_path / "two" / "wave" / "ab" / "ab2.flac", "and has it here from now on"
    assert Files(tmp_path / "three").kept_waves(["ab2", "ab3", ""]) == {"ab2"}
    assert not (tmp_path / "three").exists(), "asking fetches nothing"


def test_it_holds_whole_files_only(tmp_path, address):
    Files(tmp_path / "one").put_stream("ab1", b"bits")
    assert shared.shared_cache().sizes("stream") == {"ab1": 4}
    assert shared.shared_cache().sizes("wave") == {}


def test_without_a_cache_it_is_not_used(tmp_path, address):
    Files(None).put_stream("ab1", b"bits")
    assert Files(tmp_path).get_stream("ab1") is None


def test_a_store_that_fails_is_told_once_and_left_alone(tmp_path, broken, caplog):
    files = Files(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert files.get_stream("ab1") is None
        files.put_stream("ab1", b"bits")
        files.put_wave("ab2", WAVE)
        assert files.kept_waves(["ab2", "ab3"]) == {"ab2"}
    assert files.get_stream("ab1") == b"bits"
    [record] = caplog.records
    assert "memory://broken is not used any more" in record.getMessage()
    assert "ConnectionError: the network is down" in record.getMessage()


def test_a_folder_that_is_not_mounted_is_told_and_not_made(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv(shared.VARIABLE, str(tmp_path / "mnt"))
    Files(tmp_path / "one").put_stream("ab1", b"bits")
    assert "no such folder; make it, or mount it" in caplog.text
    assert not (tmp_path / "mnt").exists()


def test_a_url_is_not_used_offline(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv(shared.VARIABLE, "s3://bucket/cache")
    assert Files(tmp_path).get_stream("ab1") is None
    assert "CODECBENCH_OFFLINE is set" in caplog.text


def test_info_shows_it_and_clear_leaves_it(tmp_path, address, monkeypatch, capsys):
    monkeypatch.setenv("CODECBENCH_CACHE", str(tmp_path / "one"))
    Files(tmp_path / "one").put_stream("ab1", b"bits")
    assert main(["cache", "clear"]) == main(["cache", "prune", "--max-size", "1KB"]) == 0
    capsys.readouterr()
    assert main(["cache", "info", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["stages"]["stream"] == [0, 0]
    assert told["shared"] == {"address": address, "stages": {"stream": [1, 4], "wave": [0, 0]}, "failure": ""}
    assert main(["cache", "info"]) == 0
    assert f"{address}, shared\n" in capsys.readouterr().out


def test_info_says_why_it_is_not_used(broken, capsys):
    assert main(["cache", "info"]) == 0
    assert "memory://broken, shared: ConnectionError: the network is down\n" in capsys.readouterr().out


def test_a_second_machine_codes_nothing_again(tmp_path, monkeypatch):
    (tmp_path / "shared").mkdir()
    monkeypatch.setenv(shared.VARIABLE, str(tmp_path / "shared"))
    monkeypatch.setenv("CODECBENCH_TEST_LOG", str(tmp_path / "log"))
    plan = resolve("speech", codecs=["t_good@14"], metrics=["si_sdr"], limit=2, timing=False, codec_modules=[MODULE])
    scores = []
    for machine in ("one", "two"):
        execute(plan, tmp_path / f"run {machine}", Settings(jobs=1, cache=tmp_path / machine))
        store = Store(tmp_path / f"run {machine}")
        scores.append(store.rows("SELECT * FROM scores ORDER BY corpus, clip"))
        store.close()
        calls = (tmp_path / "log").read_text().splitlines() if (tmp_path / "log").exists() else []
        (tmp_path / "log").unlink(missing_ok=True)
        assert len([c for c in calls if "t_good 14" in c]) == (4 if machine == "one" else 0)
    assert scores[0] == scores[1]
    assert len(scores[0]) == 2
