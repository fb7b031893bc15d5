"""The store: transactions whole or not at all, one writer, and a refusal of what is none."""

from __future__ import annotations

import sqlite3

import pytest
from codecbench.bench.rows import CheckRow, ScoreRow
from codecbench.bench.store import FILE, Store, StoreError, remove


def test_rows_and_values_come_back(tmp_path):
    store = Store(tmp_path / "run", create=True)
    score = ScoreRow("c", 'a "quoted"\nname \U0001f3b5', "opus", "6", "stoi", 0.1 + 0.2, "", "")
    with store:
        store.put([score, ScoreRow("c", "b", "opus", "6", "stoi", None, "too_short", "0.1 s")])
        store.set("seed", 3)
    store.close()
    reader = Store(tmp_path / "run")
    rows = reader.rows("SELECT * FROM scores ORDER BY clip")
    assert ScoreRow(**rows[0]) == score
    assert rows[1]["value"] is None
    assert reader.get("seed") == 3
    assert reader.get("nothing") is None
    reader.close()


def test_a_transaction_that_fails_leaves_nothing(tmp_path):
    store = Store(tmp_path, create=True)

    def write_and_fail():
        with store:
            store.put([CheckRow("a", 1, "")])
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        write_and_fail()
    assert store.rows("SELECT * FROM checks") == []
    with store:
        store.put([CheckRow("a", 1, ""), CheckRow("a", 0, "again")])
    assert store.rows("SELECT passed FROM checks") == [{"passed": 0}]
    store.close()


def test_one_writer(tmp_path):
    store = Store(tmp_path, create=True)
    with pytest.raises(StoreError, match="another `bench run` is writing"):
        Store(tmp_path, create=True)
    with pytest.raises(StoreError, match="another `bench run` is writing"):
        remove(tmp_path)
    Store(tmp_path).close()  # readers may
    store.close()
    remove(tmp_path)
    assert not (tmp_path / FILE).exists()
    Store(tmp_path, create=True).close()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        Store(tmp_path / "file" / "run", create=True)


def test_what_is_no_run_folder_is_refused(tmp_path):
    with pytest.raises(StoreError, match="is no run folder"):
        Store(tmp_path)
    (tmp_path / FILE).write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="cannot be read"):
        Store(tmp_path)
    (tmp_path / FILE).unlink()
    db = sqlite3.connect(tmp_path / FILE)
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StoreError, match=r"version 99.*pip install -U"):
        Store(tmp_path)
