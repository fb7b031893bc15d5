"""Disks that are full or read-only, locks, and folders that go: a run stops with a message, what it wrote is whole, and
it goes on when that is mended; a cache costs itself and not the run."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from codecbench.bench import store as stores
from codecbench.bench.cache import Index
from codecbench.bench.store import Store, StoreError
from faults._support import command, environment, linux, make_clips, orphans, results, start, tables

pytestmark = linux

MODULE = Path(__file__).with_name("slow_codec.py")
CLIPS = 6


@contextmanager
def disk(folder: Path, size: str, *options: str) -> Iterator[Path]:
    """A file system of its own, of a few MB or KB."""
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip(f"mounts nothing here: {made.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, leave: int = 0) -> Path:
    """Take all of a disk's space but so many bytes."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file, suppress(OSError):
        free = os.statvfs(folder)
        file.write(bytes(max(0, free.f_bavail * free.f_frsize - leave)))
        while leave == 0:
            file.write(bytes(4096))
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return make_clips(tmp_path_factory.mktemp("corpus") / "clips", CLIPS)


class Bench:
    """What starts a run over the clips with one codec."""

    def __init__(self, clips: Path) -> None:
        self.args = ["--corpus", str(clips), "--codec-module", str(MODULE), "--codecs", "s_slow"]

    def start(self, folder: Path, cache: Path, *more: str, seconds: str = "0") -> subprocess.Popen[str]:
        return start(command(folder, *self.args, *more), environment(cache, CODECBENCH_TEST_SECONDS=seconds))

    def under_way(self, folder: Path, cache: Path) -> subprocess.Popen[str]:
        """A run that has written two of its rows and takes its time for the others."""
        process = self.start(folder, cache, seconds="0.4")
        while len(results(folder)) < 2:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        return process

    def __call__(self, folder: Path, cache: Path, *more: str) -> tuple[int, str]:
        return ended(self.start(folder, cache, *more))


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and what it said, in one line."""
    err = process.communicate(timeout=120)[1].replace("\n", " ")
    assert "Traceback" not in err, err
    return process.returncode, err


@pytest.fixture(scope="module")
def bench(clips):
    return Bench(clips)


@pytest.fixture(scope="module")
def calm(tmp_path_factory, bench):
    """The tables of a run that nothing disturbed."""
    root = tmp_path_factory.mktemp("calm")
    assert bench(root / "run", root / "cache") == (0, "")
    return tables(root / "run")


@pytest.mark.slow
def test_full_disk_of_the_store(tmp_path, bench, calm):
    with disk(tmp_path / "disk", "4m") as small:
        process = bench.under_way(small / "run", tmp_path / "cache")
        filler = fill(small)
        code, err = ended(process)
        assert code == 2
        assert "the disk is full; free some space: what was computed before is kept" in err
        filler.unlink()
        before = results(small / "run")
        assert len(before) >= 2
        assert set(before.values()) == {2}
        assert orphans(small / "run") == 0
        assert bench(small / "run", tmp_path / "cache")[0] == 0
        assert before.items() <= results(small / "run").items()
        assert tables(small / "run") == calm


@pytest.mark.slow
def test_disk_that_is_full_when_the_tables_are_written(tmp_path, bench, calm):
    with disk(tmp_path / "disk", "4m") as small:
        assert bench(small / "run", tmp_path / "cache")[0] == 0
        for path in (small / "run").iterdir():
            if path.name not in ("results.sqlite", ".lock"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        with closing(sqlite3.connect(small / "run" / "results.sqlite")) as db, db:
            db.execute("UPDATE run SET value = 'false' WHERE key = 'written'")
        filler = fill(small, leave=250_000)  # enough for the store
        code, err = bench(small / "run", tmp_path / "cache")
        assert code == 2
        assert "tables and page could not be written (No space left on device)" in err
        assert len(results(small / "run")) == CLIPS
        assert not list((small / "run").glob(".*.tmp"))
        filler.unlink()
        assert bench(small / "run", tmp_path / "cache")[0] == 0
        assert tables(small / "run") == calm


@pytest.mark.slow
def test_full_disk_of_the_cache(tmp_path, bench, calm):
    for leave in (40_000, 130_000):  # full at the first clip, full after some
        with disk(tmp_path / f"disk{leave}", "1m") as small:
            Index(small / "cache").close()
            fill(small, leave)
            assert bench(tmp_path / f"run{leave}", small / "cache")[0] == 0
            assert tables(tmp_path / f"run{leave}") == calm
            assert not list((small / "cache").rglob("*.part"))


@pytest.mark.slow
def test_read_only_disk(tmp_path, bench, calm):
    with disk(tmp_path / "disk", "4m") as small:
        assert bench(small / "run", tmp_path / "cache")[0] == 0
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        code, err = bench(small / "run", tmp_path / "cache")
        assert code == 2
        assert "cannot be written (Read-only file system); give another --out" in err
        code, err = bench(tmp_path / "other", small / "cache")
        assert code == 2
        assert "set CODECBENCH_CACHE, or give --no-cache" in err
        assert tables(small / "run") == calm


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="becomes another user as root")
def test_folder_of_another_user(clips):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        shutil.copytree(clips, Path(folder) / "clips")
        args = command(Path(folder) / "run", "--corpus", f"{folder}/clips", "--codecs", "g711_mulaw")
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        env = environment(Path("/tmp/nowhere"), HOME="/tmp", MPLCONFIGDIR="/tmp")
        if subprocess.run(
            [*nobody, sys.executable, "-c", "import codecbench.bench"], env=env, capture_output=True
        ).returncode:
            pytest.skip("another user cannot read the installed package")
        code, err = ended(start([*nobody, *args], env))
        assert "cannot be written (Permission denied); give another --out" in err
        assert code == 2


def test_store_that_becomes_read_only(tmp_path):
    store = Store(tmp_path / "run", create=True)
    store._db.execute("PRAGMA query_only=1")  # SQLite then says the same
    with pytest.raises(StoreError, match="folder or file are read-only; give them back their permissions"), store:
        store.set("seed", 1)
    store.close()


@pytest.mark.slow
def test_store_locked_by_another_program(tmp_path, bench, calm):
    process = bench.under_way(tmp_path / "run", tmp_path / "cache")
    with closing(sqlite3.connect(tmp_path / "run" / "results.sqlite", isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(3)
        assert process.poll() is None, "it waits"
        other.execute("ROLLBACK")
    assert ended(process) == (0, "")
    assert tables(tmp_path / "run") == calm


def test_store_locked_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "WAIT", 0.3)
    store = Store(tmp_path / "run", create=True)
    with store:
        store.set("seed", 1)
    with closing(sqlite3.connect(tmp_path / "run" / "results.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="another program holds it locked; end that program"), store:
            store.set("seed", 2)
        other.execute("ROLLBACK")
    with store:
        assert store.get("seed") == 1
        store.set("seed", 3)
    store.close()


@pytest.mark.slow
def test_a_reader_that_is_stuck_disturbs_nothing(tmp_path, bench, calm):
    assert bench(tmp_path / "run", tmp_path / "cache", "--limit", "2")[0] == 0
    with closing(sqlite3.connect(tmp_path / "run" / "results.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM results").fetchone()
        began = time.monotonic()
        assert bench(tmp_path / "run", tmp_path / "cache", "--limit", "2", "--retry-failed")[0] == 0
        assert time.monotonic() - began < 25, "it waits for the reader"


def test_an_interrupt_between_two_statements(tmp_path):
    store = Store(tmp_path / "run", create=True)
    store.__enter__()
    store.set("seed", 1)  # the interrupt comes before the block has begun, and nothing ends the transaction
    with store:
        store.set("status", "interrupted")
    assert (store.get("seed"), store.get("status")) == (None, "interrupted")
    store.close()


@pytest.mark.slow
def test_run_folder_that_goes(tmp_path, bench, calm):
    process = bench.under_way(tmp_path / "run", tmp_path / "cache")
    shutil.rmtree(tmp_path / "run")
    code, err = ended(process)
    assert code == 2
    assert "was removed or replaced while the run was writing it" in err
    assert bench(tmp_path / "run", tmp_path / "cache")[0] == 0
    assert tables(tmp_path / "run") == calm


@pytest.mark.slow
def test_cache_that_goes_or_is_damaged_or_locked(tmp_path, bench, calm):
    process = bench.under_way(tmp_path / "a", tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache")
    assert ended(process) == (0, "")
    assert tables(tmp_path / "a") == calm
    assert bench(tmp_path / "b", tmp_path / "cache")[0] == 0
    index = tmp_path / "cache" / "index.sqlite"
    blob = index.read_bytes()
    index.write_bytes(blob[:4096] + bytes(len(blob) - 4096))  # its first page is good
    assert bench(tmp_path / "c", tmp_path / "cache")[0] == 0
    assert tables(tmp_path / "c") == calm


def test_index_that_is_locked(tmp_path, monkeypatch):
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, **kw: real(path, **kw | {"timeout": 0.2}))
    index = Index(tmp_path)
    index.put([("a", 1)])
    with closing(real(tmp_path / "index.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        index.put([("b", 2)])
        other.execute("ROLLBACK")
        assert (index.get("a"), index.get("b")) == (1, None)
        began = time.monotonic()
        other.execute("BEGIN IMMEDIATE")
        for number in range(20):
            index.put([(str(number), 2)])
        assert time.monotonic() - began < 1, "it waits for the lock once a run"
        other.execute("ROLLBACK")
    index.close()
