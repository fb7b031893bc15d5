"""What listeners said: RUN/listening.sqlite, a part of the run's store with a writer of its own.

`results.sqlite` belongs to the driver of `bench run` and is replaced when a run starts anew; what people said is not
computed and cannot be computed again, so it lies beside it and no run touches it.

Tables (times in seconds, `created` in UTC, ISO 8601):

sessions  one row a listener's sitting; `plan` is its whole order as JSON (see `bench/listening/plan.py`)
ratings   one row a rating, written as it is given; a later one of the same condition replaces it
finished  one row a trial that was ended; ratings of other trials do not count

Each request is one transaction, so a killed server loses nothing that the page has shown as stored.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .plan import Trial, from_json

FILE = "listening.sqlite"
#: raised with every change of the tables; a file of another version is refused
SCHEMA = 1
METHODS = ("mushra", "abx", "acr")


class ListeningError(Exception):
    """A listening test that cannot be made, or an answer that cannot be taken; says what to do."""


@dataclass(frozen=True)
class Rating:
    """One judgement.

    rating: MUSHRA 0 to 100, ACR 1 to 5, ABX 1 if the answer was right, else 0. codec "reference" without a point is the
    reference itself. wave: key of the decoded clip that was heard, empty for what is no codec of the run.
    answer: ABX only, "A" or "B". position: of the playback in the clip when the judgement was made;
    seconds: since the trial was shown. trial: place in the session from 0; condition: place in the trial from 0.
    """

    session: str
    trial: int
    condition: int
    method: str
    corpus: str
    clip: str
    content: str
    codec: str
    point: str
    is_reference: int
    is_anchor: int
    is_training: int
    wave: str
    rating: float
    answer: str
    position: float
    seconds: float
    created: str


@dataclass(frozen=True)
class Session:
    """A listener's sitting: who, which method, in which order, when."""

    session: str
    listener: str
    method: str
    seed: int
    plan: tuple[Trial, ...]
    created: str


def now() -> str:
    """The time as it is stored."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


class Listening:
    """The file of one run folder; usable from any thread.

    Parameters
    ----------
    folder : the run folder.
    create : make the file if it is not there; else that is a ListeningError.
    """

    def __init__(self, folder: Path, create: bool = False) -> None:
        path = folder / FILE
        if not create and not path.exists():
            raise ListeningError(
                f"{folder} has no {FILE}; first let someone listen: bench listen {folder} --method mushra"
            )
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
        except sqlite3.Error as error:
            raise ListeningError(f"{path} cannot be opened: {error}") from error
        self._db.row_factory = sqlite3.Row
        try:
            self._prepare(path, create)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise ListeningError(f"{path} cannot be used: {error}") from error
        except ListeningError:
            self._db.close()
            raise

    def _prepare(self, path: Path, create: bool) -> None:
        if create:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")  # a judgement cannot be computed again
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == SCHEMA:
            return
        if version or not create:
            raise ListeningError(f"{path} has version {version}, this codecbench reads {SCHEMA}; move it away")
        kinds = {"str": "TEXT", "int": "INTEGER", "float": "REAL"}
        columns = ", ".join(f"{f.name} {kinds[str(f.type)]} NOT NULL" for f in fields(Rating))
        with self:
            self._db.execute(
                "CREATE TABLE sessions (session TEXT PRIMARY KEY, listener TEXT NOT NULL, method TEXT NOT NULL,"
                " seed INTEGER NOT NULL, plan TEXT NOT NULL, created TEXT NOT NULL) WITHOUT ROWID"
            )
            self._db.execute(f"CREATE TABLE ratings ({columns}, PRIMARY KEY (session, trial, condition)) WITHOUT ROWID")
            self._db.execute(
                "CREATE TABLE finished (session TEXT NOT NULL, trial INTEGER NOT NULL, seconds REAL NOT NULL,"
                " created TEXT NOT NULL, PRIMARY KEY (session, trial)) WITHOUT ROWID"
            )
            self._db.execute(f"PRAGMA user_version={SCHEMA}")

    def __enter__(self) -> Listening:
        """A transaction, of one thread at a time: committed at the end, rolled back on an exception."""
        self._lock.acquire()
        self._db.execute("BEGIN IMMEDIATE")
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        try:
            self._db.execute("COMMIT" if kind is None else "ROLLBACK")
        finally:
            self._lock.release()

    def add_session(self, session: Session) -> None:
        """Keep a session; one that is there already stays as it is. Call it inside a transaction."""
        plan = json.dumps([asdict(trial) for trial in session.plan])
        row = (session.session, session.listener, session.method, session.seed, plan, session.created)
        self._db.execute("INSERT OR IGNORE INTO sessions VALUES (?, ?, ?, ?, ?, ?)", row)

    def put(self, rating: Rating) -> None:
        """Keep a rating in place of an earlier one of the same condition. Call it inside a transaction."""
        data = asdict(rating)
        marks = ", ".join("?" * len(data))
        self._db.execute(f"INSERT OR REPLACE INTO ratings ({', '.join(data)}) VALUES ({marks})", list(data.values()))

    def finish(self, session: str, trial: int, seconds: float) -> None:
        """Note that a trial was ended; again changes nothing. Call it inside a transaction."""
        self._db.execute("INSERT OR IGNORE INTO finished VALUES (?, ?, ?, ?)", (session, trial, seconds, now()))

    def session(self, name: str) -> Session | None:
        """A session, None if there is none of that name."""
        rows = self.rows("SELECT * FROM sessions WHERE session = ?", name)
        if not rows:
            return None
        return Session(**{**rows[0], "plan": from_json(rows[0]["plan"])})

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """The rows that an SQL query gives, as dictionaries."""
        with self._lock:
            return [dict(row) for row in self._db.execute(query, values)]

    def close(self) -> None:
        """Fold the write-ahead log into the file and close it."""
        with contextlib.suppress(sqlite3.DatabaseError):  # another reader holds it, or the folder is read-only
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()
