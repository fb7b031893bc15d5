"""Manifests: a table that lists clips, as CSV or TOML. The embedded corpora use the same form.

One row (CSV) or one `[[clip]]` (TOML) a clip. Only `file` is needed: the audio file, relative to the manifest's
folder. Known columns: id (default: the file without its suffix), content ("speech" or "music"), speaker, language,
genre, licence, credit, lossy (yes or no), start and seconds (the part of the file, in seconds). Others are ignored,
so that a manifest can hold its own notes.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ._corpus import Content, CorpusError, Item

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SUFFIXES = {".csv", ".toml"}
_YES_NO = {"": False, "no": False, "false": False, "0": False, "yes": True, "true": True, "1": True}


def read_manifest(path: Path, corpus: str, content: Content = "speech") -> list[Item]:
    """The clips of a manifest, sorted by id.

    Parameters
    ----------
    corpus : name that the items carry.
    content : of the rows that do not say it.

    Raises
    ------
    CorpusError : unreadable, no clips, a row without a file, an id twice, a value that is out of range.
    """
    items = [_item(row, f"{path}: clip {n}", path.parent, corpus, content) for n, row in enumerate(_rows(path), 1)]
    if not items:
        raise CorpusError(f"{path}: lists no clips; it needs one row (CSV) or one [[clip]] (TOML) each, with a file")
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise CorpusError(f"{path}: the id {item.id!r} is there twice; ids must be unique")
        seen.add(item.id)
    return sorted(items, key=lambda item: item.id)


def _rows(path: Path) -> list[Mapping[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path}: cannot be read as a manifest ({error})") from error
    if path.suffix.lower() == ".csv":
        try:
            return list(csv.DictReader(text.splitlines(keepends=True)))
        except csv.Error as error:
            raise CorpusError(f"{path}: not valid CSV ({error})") from error
    try:
        rows = tomllib.loads(text).get("clip", [])
    except tomllib.TOMLDecodeError as error:
        raise CorpusError(f"{path}: not valid TOML ({error})") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise CorpusError(f"{path}: clips are listed as [[clip]] tables")
    return rows


def _item(row: Mapping[str, Any], where: str, folder: Path, corpus: str, content: Content) -> Item:
    def text(key: str) -> str:
        value = row.get(key)
        return "" if value is None else str(value).strip()

    file = str(row.get("file") or "")
    if not file or "\0" in file:
        raise CorpusError(f"{where} has no file")
    lossy = _YES_NO.get(text("lossy").lower())
    if lossy is None:
        raise CorpusError(f"{where}: lossy is {text('lossy')!r}; it must be yes or no")
    kind = text("content") or content
    if kind not in ("speech", "music"):
        raise CorpusError(f"{where}: content is {kind!r}; it must be speech or music")
    return Item(
        id=text("id") or os.path.splitext(file)[0],
        corpus=corpus,
        path=folder / file,
        content="speech" if kind == "speech" else "music",
        speaker=text("speaker"),
        language=text("language"),
        genre=text("genre"),
        licence=text("licence"),
        credit=text("credit"),
        lossy=lossy,
        start=_seconds(text("start"), where, "start") or 0.0,
        seconds=_seconds(text("seconds"), where, "seconds"),
    )


def _seconds(text: str, where: str, key: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise CorpusError(f"{where}: {key} is {text!r}; it must be a number of seconds, 0 or more")
    return value
