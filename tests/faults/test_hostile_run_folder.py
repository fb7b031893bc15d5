"""Hostile run folders: what the commands that read runs say of them, and what `bench run` does there."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import sys
from contextlib import closing

import pytest
from codecbench.bench import store
from codecbench.bench.cli import main
from codecbench.bench.store import FILE, Store, StoreError
from codecbench.reports.frame import summary
from faults.hostile import Case
from made_runs import LSD, STOI, make

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="files of Linux")

TITLE = "Run folders"
ABOUT = """
`bench show`, `report`, `compare`, `export` and `leaderboard` end with exit code 2 and the message. A value that became
another value of its type is not noticed by them: that is what `bench verify` is for.
"""
READERS = ("show {}", "show --json {}", "report {} -o {}.html", "compare {} {}", "leaderboard {} -o {}.html",
           "export {} --format csv")  # fmt: skip


def sql(*statements):
    """The run after these statements."""

    def make(run):
        with closing(sqlite3.connect(run / FILE)) as db:
            for statement in statements:
                db.execute(statement)
            db.commit()
        return run

    return make


def changed(change):
    """The run with other bytes in its store."""

    def make(run):
        (run / FILE).write_bytes(change((run / FILE).read_bytes()))
        return run

    return make


def without(table, column):
    """The run as if `column` had never been: SQLite cannot drop a column of a key."""

    def make(run):
        with closing(sqlite3.connect(run / FILE)) as db:
            (text,) = db.execute("SELECT sql FROM sqlite_master WHERE name = ?", [table]).fetchone()
            names = [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[1] != column]
            db.execute(f"ALTER TABLE {table} RENAME TO old")
            db.execute(re.sub(rf"\b{column} \w+( NOT NULL)?, ", "", text))
            db.execute(f"INSERT INTO {table} SELECT {', '.join(names)} FROM old")
            db.execute("DROP TABLE old")
            db.commit()
        return run

    return make


def loose(table, values):
    """The run with a table that takes anything, and these values in it."""

    def make(run):
        with closing(sqlite3.connect(run / FILE)) as db:
            names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            db.execute(f"ALTER TABLE {table} RENAME TO old")
            db.execute(f"CREATE TABLE {table} ({', '.join(names)})")
            db.execute(f"INSERT INTO {table} SELECT * FROM old")
            db.execute("DROP TABLE old")
            db.execute(f"UPDATE {table} SET {values}")
            db.commit()
        return run

    return make


def value(key, text):
    return sql(f"UPDATE run SET value = '{text}' WHERE key = '{key}'")


def gone(run):
    shutil.rmtree(run)
    return run


def empty(run):
    (run / FILE).unlink()
    return run


def a_file(run):
    shutil.rmtree(run)
    run.write_text("not a folder")
    return run


def folder_for_store(run):
    (run / FILE).unlink()
    (run / FILE).mkdir()
    return run


def fifo_for_store(run):
    (run / FILE).unlink()
    os.mkfifo(run / FILE)
    return run


def link_for_store(target):
    def make(run):
        (run / FILE).unlink()
        (run / FILE).symlink_to(target)
        return run

    return make


def linked(run):
    (run.parent / "link").symlink_to(run)
    return run.parent / "link"


def garbage_beside(run):
    for name in ("run.json", "scores.csv", "summary.md", "index.html"):
        (run / name).write_bytes(b"\0garbage\xff")
    return run


def lonely_log(run):
    (run / f"{FILE}-wal").write_bytes(b"garbage" * 1000)
    (run / f"{FILE}-shm").write_bytes(b"garbage" * 1000)
    return run


def other_program(run):
    (run / FILE).unlink()
    with closing(sqlite3.connect(run / FILE)) as db:
        db.execute("CREATE TABLE moz_places (id INTEGER, url TEXT)")
        db.execute("PRAGMA user_version = 5")
        db.commit()
    return run


def scramble(blob):
    """A page in the middle, its bytes turned round."""
    return blob[:8192] + blob[8192:12288][::-1] + blob[12288:]


CASES = (
    Case(
        "no such folder", gone, r"is no run folder: it has no results\.sqlite; give the folder that `bench run` wrote"
    ),
    Case("a file", a_file, r"is no run folder"),
    Case("a folder without a store", empty, r"is no run folder"),
    Case("a folder in the store's place", folder_for_store, r"cannot be opened: a folder, not a file"),
    Case("a FIFO in the store's place", fifo_for_store, r"cannot be opened: a FIFO, not a file"),
    Case("a link to nothing in the store's place", link_for_store("nowhere"), r"is no run folder"),
    Case("a link to /dev/zero in the store's place", link_for_store("/dev/zero"), r"cannot be opened: a device"),
    Case(
        "a store of 0 bytes", changed(lambda blob: b""), r"has store version 0, this codecbench reads \d+; run it anew"
    ),
    Case("a store of garbage", changed(lambda blob: b"garbage" * 999), r"cannot be read: file is not a database"),
    Case("a store cut in its first page", changed(lambda blob: blob[:2000]), r"cannot be (read|used)|damaged"),
    Case("a store cut in the middle", changed(lambda blob: blob[: len(blob) // 2]), r"cannot be (read|used)|damaged"),
    Case("a store that lost its last byte", changed(lambda blob: blob[:-1]), r"is cut short: it ends within a page"),
    Case("a store with a page turned round", changed(scramble), r"cannot be (read|used)|damaged"),
    Case("a store of zeros", changed(lambda blob: bytes(len(blob))), r"cannot be read|store version 0"),
    Case("another program's database", other_program, r"lacks the table run|store version 0"),
    Case(
        "a newer store",
        sql("PRAGMA user_version = 99"),
        r"has store version 99, this codecbench reads \d+; pip install",
    ),
    Case(
        "a store from before migration",
        sql("PRAGMA user_version = 3"),
        r"has store version 3, this codecbench reads \d+; run it anew",
    ),
    Case("a negative version", sql("PRAGMA user_version = -7"), r"has store version -7"),
    Case("a table is missing", sql("DROP TABLE scores"), r"it lacks the table scores"),
    Case("the table run is missing", sql("DROP TABLE run"), r"it lacks the table run"),
    Case("a column is missing", without("results", "bits"), r"its table results lacks bits"),
    Case("NULL where none may be", loose("clips", "speaker = NULL"), r"values of clips\.speaker are not of its type"),
    Case(
        "text in a column of numbers", loose("results", "bits = 'many'"), r"values of results\.bits are not of its type"
    ),
    Case(
        "a number in a column of text", loose("points", "family = 3"), r"values of points\.family are not of its type"
    ),
    Case("bytes in a column of text", loose("clips", "clip = x'ff00'"), r"values of clips\.clip are not of its type"),
    Case("text that is not UTF-8", loose("clips", "speaker = CAST(x'ff41' AS TEXT)"), r"cannot be (read|used)|damaged"),
    Case("a value that is no JSON", value("seed", "{"), r"the value 'seed' (of its table run )?is no JSON"),
    Case(
        "JSON nested too deep", value("machine", "[" * 100_000), r"the value 'machine' (of its table run )?is no JSON"
    ),
    Case("a seed that is text", value("seed", '"three"'), r"the value 'seed' of its table run is of another type"),
    Case(
        "metrics that are a table", value("metrics", '{"name": "stoi"}'), r"the value 'metrics' .* is of another type"
    ),
    Case("a metric without a name", value("metrics", '[{"title": "STOI"}]'), r"'metrics' .* does not describe metrics"),
    Case("digits that are text", value("metrics", '[{"name": "stoi", "digits": "2"}]'), r"does not describe metrics"),
    Case(
        "a value that became another one", sql("UPDATE scores SET value = 0.5"), gives="read; `bench verify` finds it"
    ),
    Case("a link to a run folder", linked, gives="read as the folder"),
    Case("garbage in run.json and tables beside", garbage_beside, gives="read: they are written, never read"),
    Case("a write-ahead log of garbage", lonely_log, gives="read: SQLite ignores it"),
    Case(
        "waves that are gone",
        sql("UPDATE results SET wave = 'feedbeef'"),
        gives="read; the page has no audio and says so",
    ),
    Case("a metric that nobody declared", sql("UPDATE scores SET metric = 'mine' WHERE metric = 'lsd'"), gives="read"),
    Case(
        "HTML in every name",
        sql(
            "UPDATE clips SET speaker = '<script>alert(1)</script>'",
            "UPDATE points SET about = '<img src=x onerror=alert(1)>'",
        ),
        gives="read, escaped on the page",
    ),
    Case("no results", sql("DELETE FROM results", "DELETE FROM scores"), gives="read: nothing was measured"),
    Case(
        "nothing at all",
        sql(
            "DELETE FROM results",
            "DELETE FROM scores",
            "DELETE FROM clips",
            "DELETE FROM points",
            "DELETE FROM timings",
            "DELETE FROM checks",
            "DELETE FROM run",
        ),
        gives="read: nothing was measured",
    ),
)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    return make(folder / "run", {"opus": [6, 12], "pcm": [0]}, clips=tuple("abc"), metrics=(STOI, LSD), timed=0.1)


@pytest.fixture
def run(good, tmp_path):
    return shutil.copytree(good, tmp_path / "run")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_run_folder(case, run, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("CODECBENCH_CACHE", str(tmp_path / "cache"))
    folder = case.make(run)
    readers = READERS if case.refused else READERS[2:3] if "page" in case.gives else READERS[:1]
    for reader in readers:
        code = main([part.format(folder) for part in reader.split()])
        said = capsys.readouterr()
        if case.refused:
            assert code == 2, reader
            assert re.search(case.refused, said.err.replace("\n", " ")), said.err
            assert str(folder) in said.err.replace("\n", "")
            assert "Traceback" not in said.err
        else:
            # What was not measured cannot be ranked: that is said with the exit code of a usage error, too.
            assert code in ((0, 2) if "nothing" in case.gives else (0,)), said.err
    if case.gives and "escaped" in case.gives:
        page = (folder.parent / f"{folder.name}.html").read_text()
        assert "<script>alert(1)" not in page
        assert "<img src=x" not in page


def test_a_new_run_does_not_write_into_what_is_none(run, capsys):
    for make_it in (other_program, changed(lambda blob: b"garbage" * 999)):
        make_it(run)
        before = (run / FILE).read_bytes()
        args = ["run", "--codecs", "pcm", "--metrics", "si_sdr", "--limit", "1", "--no-timing", "--out", str(run)]
        assert main(args) == 2
        assert "Traceback" not in capsys.readouterr().err
        assert (run / FILE).read_bytes() == before


def test_another_programs_database_without_a_version_is_left_alone(run):
    (run / FILE).unlink()
    with closing(sqlite3.connect(run / FILE)) as db:
        db.execute("CREATE TABLE mine (id INTEGER)")
        db.commit()
    with pytest.raises(StoreError, match="another program"):
        Store(run, create=True)


def test_reading_a_run_leaves_nothing_behind(run):
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    assert len(summary(run)) == 3
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_every_declared_column_is_looked_for(run):
    """What the check of columns knows is what a run writes."""
    with closing(sqlite3.connect(run / FILE)) as db:
        for table, columns in store._COLUMNS.items():
            assert [row[1] for row in db.execute(f"PRAGMA table_info({table})")] == list(columns)
        assert json.loads(db.execute("SELECT value FROM run WHERE key = 'status'").fetchone()[0]) == "complete"
