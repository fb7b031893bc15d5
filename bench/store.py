"""The store of a run: one SQLite file, written by the driver alone, read by reports.

Tables (all times in seconds, rates in Hz, NULL where a value does not exist):

run      what this run is: one row a key, value as JSON (see `bench/provenance.py`)
clips    one row a reference clip; status "planned", then "ok", or "failed" with a reason where it could not be read
points   one row an operating point of the plan, with its codec's description; unavailable codecs have a reason
results  one row a (clip, codec, point): status "ok" or "failed" with reason and detail; bits as sent
scores   one row a (clip, codec, point, metric): value, or NULL with the reason
timings  one row a (codec, point, content, direction), measured in a phase of its own
tokens   one row a (codec, point, content, stage) of a codec with codebooks, counted over the clips that were coded
checks   one row a self-check of the run

A result and its scores, or a point's tokens, are written in one transaction: a killed run has whole rows or none.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

from . import damage
from .files import regular_size
from .migrate import VersionError, at_version, version_of
from .names import printable
from .rows import TABLES, Row

FILE = "results.sqlite"
#: raised with every change of the tables, with a step in `migrate.py` from the version before
SCHEMA = 5


class StoreError(Exception):
    """A run folder that cannot be used; says what to do."""


def _insert(kind: type) -> tuple[str, tuple[str, ...]]:
    """The statement that writes a row of that kind, and its columns."""
    names = tuple(f.name for f in fields(kind))
    marks = ", ".join("?" * len(names))
    return f"INSERT OR REPLACE INTO {TABLES[kind][0]} ({', '.join(names)}) VALUES ({marks})", names


_INSERTS = {kind: _insert(kind) for kind in TABLES}
_COLUMNS = {table: {f.name: str(f.type) for f in fields(kind)} for kind, (table, _) in TABLES.items()}
#: seconds to wait for a lock that another program holds
WAIT = 30.0
#: what sqlite3 raises on a damaged file; UnicodeDecodeError where its own message holds bytes of the file
_DAMAGED = (sqlite3.DatabaseError, UnicodeDecodeError)
_ANEW = "get the folder again, or `bench run` it anew"


def _column(name: str, kind: str) -> str:
    sql = {"str": "TEXT NOT NULL", "int": "INTEGER NOT NULL", "float": "REAL NOT NULL"}.get(kind)
    if sql is None:
        sql = "INTEGER" if kind.startswith("int") else "REAL"
    return f"{name} {sql}"


def _lock(folder: Path) -> IO[str]:
    """An exclusive lock that ends with the process, however that ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a")
    except OSError as error:
        raise StoreError(f"{folder} cannot be written ({error.strerror}); give another --out") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise StoreError(f"another `bench run` is writing into {folder}; wait for it, or give another --out") from error
    return file


def remove(folder: Path) -> None:
    """Remove the store of a run folder and nothing else. Raises StoreError while a run writes there."""
    if folder.is_dir():
        with _lock(folder):
            for path in folder.glob(f"{FILE}*"):
                path.unlink()


class Store:
    """The store of one run folder, for writing when `create` is true. Only one process may write; any may read.

    A store of an older version is migrated when it is opened for writing, and read as one of this version otherwise.
    """

    def __init__(self, folder: Path, create: bool = False) -> None:
        self.folder = folder
        path = folder / FILE
        self._lock = None
        if create:
            self._lock = _lock(folder)
        elif not os.path.exists(path):
            raise StoreError(f"{folder} is no run folder: it has no {FILE}; give the folder that `bench run` wrote")
        try:
            if os.path.lexists(path):
                regular_size(path)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=WAIT)
            found = path.stat()
            self._file = (found.st_dev, found.st_ino)
        except (OSError, *_DAMAGED) as error:
            if self._lock:
                self._lock.close()
            why = getattr(error, "strerror", None) or error
            raise StoreError(f"{path} cannot be opened: {why}; {_ANEW}") from error
        try:
            if create and version_of(self._db) == 0:
                self._create()
            else:
                self._db = at_version(self._db, SCHEMA, in_place=create)
            if problem := damage.lost(self._db, _COLUMNS):
                raise VersionError(f"is damaged or another program's: {problem}; {_ANEW}")
            self._db.row_factory = sqlite3.Row
            if create:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
        except sqlite3.OperationalError as error:
            self.close()
            raise self._stopped(error) from error
        except _DAMAGED as error:
            self.close()
            raise StoreError(f"{path} cannot be read: {error}; {_ANEW}") from error
        except VersionError as error:
            self.close()
            raise StoreError(f"{path} {error}") from error
        except StoreError:
            self.close()
            raise

    def _create(self) -> None:
        if self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise VersionError("is another program's database; give another --out")
        with self:
            self._db.execute("CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
            for row, (table, key) in TABLES.items():
                columns = ", ".join(_column(f.name, str(f.type)) for f in fields(row))
                self._db.execute(f"CREATE TABLE {table} ({columns}, PRIMARY KEY ({key})) WITHOUT ROWID")
            self._db.execute(f"PRAGMA user_version={SCHEMA}")

    def __enter__(self) -> Store:
        """A transaction: committed at the end, rolled back on an exception. StoreError where it cannot be."""
        try:
            found = os.stat(self.folder / FILE)
        except OSError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != self._file:  # SQLite would write on, into nothing
            raise StoreError(f"{self.folder / FILE} was removed or replaced while the run was writing it; start anew")
        try:
            if self._db.in_transaction:  # an interrupt came between BEGIN and the block
                self._db.execute("ROLLBACK")
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise self._stopped(error) from error
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
                return
        except sqlite3.OperationalError as error:
            value = error
        with contextlib.suppress(sqlite3.OperationalError):  # SQLite has done it already
            self._db.execute("ROLLBACK")
        if isinstance(value, sqlite3.OperationalError):
            raise self._stopped(value) from value

    def _stopped(self, error: sqlite3.OperationalError) -> StoreError:
        return StoreError(f"{self.folder / FILE} cannot be used: {damage.hindrance(error)}")

    def put(self, rows: Iterable[Row]) -> None:
        """Insert or replace rows by their key; call it inside a transaction."""
        for row in rows:
            statement, names = _INSERTS[type(row)]
            values = [getattr(row, name) for name in names]
            # A file name that is not UTF-8 reaches Python with surrogates, which SQLite refuses.
            self._db.execute(statement, [printable(v) if isinstance(v, str) and not v.isascii() else v for v in values])

    def delete(self, table: str, where: Mapping[str, object]) -> None:
        """Delete the rows of a table whose columns have these values."""
        clause = " AND ".join(f"{column} = ?" for column in where)
        self._db.execute(f"DELETE FROM {table} WHERE {clause}", list(where.values()))

    def clear(self, table: str) -> None:
        """Delete all rows of a table."""
        self._db.execute(f"DELETE FROM {table}")

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """The rows that an SQL query gives, as dictionaries. StoreError where the file is damaged or locked."""
        with self._reading():
            return [dict(row) for row in self._db.execute(query, values)]

    def columns(self, query: str) -> dict[str, list[Any]]:
        """The same by column. Equal texts are one object: a large table takes a sixth of what its rows would."""
        with self._reading():
            cursor = self._db.execute(query)
            found: dict[str, list[Any]] = {name: [] for name, *_ in cursor.description}
            texts: dict[str, str] = {}
            for row in cursor:
                for column, value in zip(found.values(), row, strict=True):
                    column.append(texts.setdefault(value, value) if isinstance(value, str) else value)
            return found

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise self._stopped(error) from error
        except _DAMAGED as error:
            raise StoreError(f"{self.folder / FILE} cannot be read: {error}; {_ANEW}") from error

    def check(self) -> None:
        """StoreError where values are not such as a run writes; reads the whole file."""
        try:
            if (self.folder / FILE).stat().st_size % self._db.execute("PRAGMA page_size").fetchone()[0]:
                raise StoreError(f"{self.folder / FILE} is cut short: it ends within a page; {_ANEW}")
            for problem in damage.wrong(self._db, _COLUMNS):
                raise StoreError(f"{self.folder / FILE} is damaged: {problem}; {_ANEW}")
        except _DAMAGED as error:
            raise StoreError(f"{self.folder / FILE} is damaged: {error}; {_ANEW}") from error

    @property
    def changes(self) -> int:
        """Rows inserted, changed or deleted since it was opened."""
        return self._db.total_changes

    def set(self, key: str, value: Any) -> None:
        """Write a value of the table `run`, as JSON."""
        self._db.execute("INSERT OR REPLACE INTO run VALUES (?, ?)", (key, json.dumps(value, sort_keys=True)))

    def get(self, key: str) -> Any:
        """A value of the table `run`, None if it is not there."""
        found = self.rows("SELECT value FROM run WHERE key = ?", key)
        try:
            return json.loads(found[0]["value"]) if found else None
        except (ValueError, TypeError, RecursionError) as error:
            raise StoreError(f"{self.folder / FILE} is damaged: the value {key!r} is no JSON; {_ANEW}") from error

    def info(self) -> dict[str, Any]:
        """All values of the table `run`, in the order of their keys."""
        return {row["key"]: self.get(row["key"]) for row in self.rows("SELECT key FROM run ORDER BY key")}

    def close(self) -> None:
        """Fold the write-ahead log into the file and close it."""
        with contextlib.suppress(*_DAMAGED):  # a reader holds it, or the folder is read-only
            self._db.execute("PRAGMA busy_timeout=1000")  # readers may be long
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()
        if self._lock:
            self._lock.close()
