"""Is the file of a store what a run wrote? Disks lose pages and flip bits, and other programs write files of the same
name: such values must not reach a table, nor end a reader with an error that says nothing.

Found here: lost tables and columns, values of another type, pages that no longer fit together. A number that became
another number is found by `bench verify`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

#: table -> column -> type as a dataclass's field has it: "str", "int | None", "float" ...
Columns = Mapping[str, Mapping[str, str]]

_TYPES = {"str": "'text'", "int": "'integer'", "float": "'real', 'integer'"}
#: what readers rely on in the table `run`, where it is there
_RUN: dict[str, type | tuple[type, ...]] = {
    "created": str,
    "machine": dict,
    "merged": list,
    "metrics": list,
    "packages": dict,
    "seed": int,
    "status": str,
    "suite": (dict, str),
}
_METRIC: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "title": str,
    "digits": int,
    "higher_is_better": (bool, type(None)),
    "unit": str,
}


def lost(db: sqlite3.Connection, columns: Columns) -> str:
    """Which tables or columns are not there; empty if all are."""
    for table, wanted in {"run": {"key": "str", "value": "str"}, **columns}.items():
        there = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
        if missing := sorted(set(wanted) - there):
            return f"its table {table} lacks {', '.join(missing)}" if there else f"it lacks the table {table}"
    return ""


def wrong(db: sqlite3.Connection, columns: Columns) -> Iterator[str]:
    """What is wrong with the values; nothing if they are such as a run writes. Reads all of the file."""
    for table, wanted in columns.items():
        for column, kind in wanted.items():
            name, _, null = kind.partition(" | ")
            allowed = f"{_TYPES[name]}, 'null'" if null else _TYPES[name]
            query = f"SELECT count(*) FROM {table} WHERE typeof({column}) NOT IN ({allowed})"
            if count := db.execute(query).fetchone()[0]:
                yield f"{count} values of {table}.{column} are not of its type"
    for key, text in db.execute("SELECT key, value FROM run"):
        try:
            value = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            yield f"the value {key!r} of its table run is no JSON"
            continue
        expected = _RUN.get(key)
        if expected and value is not None and not isinstance(value, expected):
            yield f"the value {key!r} of its table run is of another type"
        elif key == "metrics" and value and not all(map(_is_metric, value)):
            yield "the value 'metrics' of its table run does not describe metrics"
    for (text,) in db.execute("PRAGMA quick_check(1)"):
        if text != "ok":
            yield text


def _is_metric(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and "name" in value
        and all(isinstance(value[key], kind) for key, kind in _METRIC.items() if key in value)
    )


def hindrance(error: sqlite3.OperationalError) -> str:
    """What keeps SQLite from reading or writing a good file, and what to do."""
    text = str(error)
    kept = "what was computed before is kept, and the same command goes on"
    if "full" in text:
        return f"the disk is full; free some space: {kept}"
    if "locked" in text or "busy" in text:
        return f"another program holds it locked; end that program: {kept}"
    if "readonly" in text:
        return f"folder or file are read-only; give them back their permissions: {kept}"
    return f"{text}; see to its disk: {kept}"
