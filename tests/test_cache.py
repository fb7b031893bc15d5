"""The cache: whole files or none, a limit, and never a reason to fail."""

from __future__ import annotations

import os

import numpy as np
import pytest
from codecbench.bench.audio import Clip, from_pcm16
from codecbench.bench.cache import CacheError, Files, Index, cache_folder, clear, prune, size_limit, stage_sizes


@pytest.fixture
def clip():
    rng = np.random.default_rng(0)
    return Clip(from_pcm16(rng.integers(-32768, 32768, (2, 4801)).astype(np.int16)), 48000)


def test_a_wave_comes_back_to_the_bit(tmp_path, clip):
    files = Files(tmp_path)
    assert files.get_wave("aa11") is None
    files.put_wave("aa11", clip)
    back = files.get_wave("aa11")
    assert back is not None
    assert back.rate == clip.rate
    np.testing.assert_array_equal(back.samples, clip.samples)
    assert [p.name for p in (tmp_path / "wave").rglob("*") if p.is_file()] == ["aa11.flac"]


def test_a_damaged_wave_is_as_if_absent(tmp_path, clip):
    files = Files(tmp_path)
    files.put_wave("aa11", clip)
    path = files.wave_path("aa11")
    assert path is not None
    path.write_bytes(path.read_bytes()[:300])
    assert files.get_wave("aa11") is None


def test_streams(tmp_path):
    files = Files(tmp_path)
    assert files.get_stream("bb22") is None
    files.put_stream("bb22", b"packets")
    assert files.get_stream("bb22") == b"packets"


def test_without_a_folder_nothing_is_kept(clip):
    files = Files(None)
    files.put_stream("a", b"x")
    files.put_wave("a", clip)
    assert files.get_stream("a") is None
    assert files.get_wave("a") is None
    assert files.wave_path("a") is None


def test_index_keeps_values_and_survives_damage(tmp_path):
    index = Index(tmp_path)
    index.put([("k", [1.5, "", ""]), ("n", [None, "too_short", "0.1 s"])])
    index.close()
    index = Index(tmp_path)
    assert index.get("k") == [1.5, "", ""]
    assert index.get("n") == [None, "too_short", "0.1 s"]
    assert index.get("?") is None
    index.close()
    for path in tmp_path.glob("index.sqlite*"):
        path.write_bytes(b"this is no database at all" * 100)
    index = Index(tmp_path)
    assert index.get("k") is None
    index.close()


def test_prune_removes_what_was_used_longest_ago(tmp_path):
    files = Files(tmp_path)
    for age, key in enumerate(["new1", "mid2", "old3"]):
        files.put_stream(key, bytes(1000))
        os.utime(tmp_path / "stream" / key[:2] / key, (1e9 - age, 1e9 - age))
    assert prune(tmp_path, 3000) == (0, 0)
    assert prune(tmp_path, 2000) == (1, 1000)
    assert files.get_stream("old3") is None
    assert files.get_stream("new1") is not None
    assert stage_sizes(tmp_path)["stream"] == (2, 2000)


def test_clear_leaves_other_files_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    Files(tmp_path).put_stream("aa", b"x")
    Index(tmp_path).close()
    clear(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_folder_and_limit_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("CODECBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("CODECBENCH_CACHE_LIMIT", "2e9")
    assert cache_folder() == tmp_path
    assert size_limit() == 2_000_000_000
    monkeypatch.setenv("CODECBENCH_CACHE_LIMIT", "5 GB")
    with pytest.raises(CacheError, match="give bytes, such as 5e9"):
        size_limit()


def test_a_folder_that_cannot_be_used(tmp_path, clip):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError, match="set CODECBENCH_CACHE, or give --no-cache"):
        Index(tmp_path / "file" / "cache")
    files = Files(tmp_path / "file" / "cache")
    files.put_stream("aa", b"x")  # costs the cache, not the run
    files.put_wave("aa", clip)
    assert files.get_stream("aa") is None
    assert files.get_wave("aa") is None
