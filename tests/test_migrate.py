"""Stores of older versions: a committed run of version 4 becomes one of this version, whole or not at all."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest
from codecbench.bench import migrate
from codecbench.bench.cli import main
from codecbench.bench.rows import TimingRow
from codecbench.bench.store import FILE, SCHEMA, Store, StoreError

OLD = Path(__file__).parent / "data" / "run-v4"
TABLES = ("run", "clips", "points", "results", "scores", "timings", "tokens", "checks")
NEW = {"timings": {"comparable": 1, "host": ""}, "results": {"wave_sha256": ""}}


def tables(path: Path) -> dict[str, list[dict[str, object]]]:
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        return {name: [dict(row) for row in db.execute(f"SELECT * FROM {name}")] for name in TABLES}


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return migrate.version_of(db)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD, tmp_path / "run"))


def test_every_older_version_has_its_step():
    assert list(migrate.STEPS) == list(range(4, SCHEMA))
    assert version(OLD / FILE) == 4


def test_a_writer_migrates_in_place_and_loses_nothing(old, tmp_path):
    before = tables(old / FILE)
    Store(old, create=True).close()
    assert version(old / FILE) == SCHEMA
    after = tables(old / FILE)
    for name, rows in before.items():
        assert rows, f"the old run has no row in {name}"
        assert after[name] == [row | NEW.get(name, {}) for row in rows]
    store = Store(old)
    assert {TimingRow(**row).comparable for row in store.rows("SELECT * FROM timings")} == {1}
    store.close()
    # Its tables have the columns of a new store's.
    Store(tmp_path / "new", create=True).close()
    shapes = []
    for folder in (old, tmp_path / "new"):
        with closing(sqlite3.connect(folder / FILE)) as db:
            columns = {t: db.execute(f"PRAGMA table_info({t})").fetchall() for t in TABLES}
        shapes.append({t: [(name, kind, null, key) for _, name, kind, null, _, key in c] for t, c in columns.items()})
    assert shapes[0] == shapes[1]


def test_a_reader_leaves_the_file_as_it_is(old):
    before = (old / FILE).read_bytes()
    old.chmod(0o555)
    (old / FILE).chmod(0o444)
    try:
        store = Store(old)
        assert {row["host"] for row in store.rows("SELECT host FROM timings")} == {""}
        assert store.get("status") == "complete"
        store.close()
    finally:
        old.chmod(0o755)
    assert (old / FILE).read_bytes() == before
    assert sorted(path.name for path in old.iterdir()) == ["results.sqlite", "run.json"]


def test_reports_read_it(capsys):
    assert main(["show", str(OLD), "--json"]) == 0
    assert main(["compare", str(OLD), str(OLD)]) == 0
    assert "soundstream" in capsys.readouterr().out
    assert version(OLD / FILE) == 4


@pytest.mark.parametrize(("number", "advice"), [(3, "run it anew"), (SCHEMA + 1, "pip install -U codecbench")])
@pytest.mark.parametrize("write", [False, True])
def test_other_versions_are_refused_and_left_as_they_are(old, number, advice, write):
    with closing(sqlite3.connect(old / FILE)) as db:
        db.execute(f"PRAGMA user_version={number}")
    before = (old / FILE).read_bytes()
    with pytest.raises(StoreError, match=rf"version {number}.*{advice}"):
        Store(old, create=write)
    assert (old / FILE).read_bytes() == before


def test_a_step_that_fails_leaves_the_old_store(old, monkeypatch):
    def broken(db: sqlite3.Connection) -> None:
        db.execute("ALTER TABLE timings ADD COLUMN half INTEGER")
        db.execute("nonsense")

    before = tables(old / FILE)
    monkeypatch.setitem(migrate.STEPS, 4, broken)
    for write in (False, True):
        with pytest.raises(StoreError, match="nonsense"):
            Store(old, create=write)
    assert version(old / FILE) == 4
    assert tables(old / FILE) == before


def test_killed_after_any_statement_it_is_the_old_store_or_the_new(old, tmp_path):
    script = textwrap.dedent("""
        import os, signal, sqlite3, sys
        from pathlib import Path
        from codecbench.bench import store
        left = int(sys.argv[2])
        def count(statement):
            global left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        connect = sqlite3.connect
        def traced(*args, **kwargs):
            db = connect(*args, **kwargs)
            db.set_trace_callback(count)
            return db
        sqlite3.connect = traced
        store.Store(Path(sys.argv[1]), create=True).close()
    """)
    before, versions = tables(old / FILE), []
    for statements in range(12):
        folder = Path(shutil.copytree(old, tmp_path / str(statements)))
        code = subprocess.run([sys.executable, "-c", script, str(folder), str(statements)], check=False).returncode
        assert code in (0, -signal.SIGKILL)
        versions.append(version(folder / FILE))
        kept = tables(folder / FILE)
        more = NEW if versions[-1] == SCHEMA else {}
        assert kept == {name: [row | more.get(name, {}) for row in rows] for name, rows in before.items()}
        Store(folder, create=True).close()  # and the next one goes on
        assert version(folder / FILE) == SCHEMA
    assert versions == sorted(versions)
    assert set(versions) == {4, SCHEMA}
