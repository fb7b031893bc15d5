"""Stores of older versions: what changed in their tables since, a function a version.

A store that is opened for writing is migrated in place, in one transaction: killed in the middle of it, the file is
the old one or the new one. A reader migrates a copy in memory, and the file is left as it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable


class VersionError(Exception):
    """A store of a version that cannot be used here; says what to do."""


def _from_4(db: sqlite3.Connection) -> None:
    """Before executors of other machines every point was timed alone, on the driver's machine; decoded samples had no
    hash."""
    db.execute("ALTER TABLE timings ADD COLUMN comparable INTEGER NOT NULL DEFAULT 1")
    db.execute("ALTER TABLE timings ADD COLUMN host TEXT NOT NULL DEFAULT ''")
    db.execute("ALTER TABLE results ADD COLUMN wave_sha256 TEXT NOT NULL DEFAULT ''")


#: version -> what makes it the next one
STEPS: dict[int, Callable[[sqlite3.Connection], None]] = {4: _from_4}


def migrate(db: sqlite3.Connection, schema: int) -> None:
    """Bring the tables to version `schema`, in one transaction. `db` has no transaction open and begins none itself."""
    db.execute("BEGIN IMMEDIATE")
    try:
        version = version_of(db)  # under the lock: another process may have been first
        while version < schema:
            STEPS[version](db)
            version += 1
        db.execute(f"PRAGMA user_version={version}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def version_of(db: sqlite3.Connection) -> int:
    """The version of a store's tables, 0 where there are none yet."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def at_version(db: sqlite3.Connection, schema: int, in_place: bool) -> sqlite3.Connection:
    """A connection to the store's content as version `schema` has it: `db` itself, or a copy in memory and `db` closed.

    Raises
    ------
    VersionError : a version that cannot become that one.
    """
    version = version_of(db)
    if version > schema:
        raise VersionError(f"has store version {version}, this codecbench reads {schema}; pip install -U codecbench")
    if version < min(STEPS):
        raise VersionError(f"has store version {version}, this codecbench reads {schema}; run it anew")
    if version == schema:
        return db
    if in_place:
        migrate(db, schema)
        return db
    copy = sqlite3.connect(":memory:", isolation_level=None)
    try:
        db.backup(copy)
        migrate(copy, schema)
    except BaseException:
        copy.close()
        raise
    db.close()
    return copy
