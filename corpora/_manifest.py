"""Manifests: a table that lists clips, as CSV or TOML. The embedded corpora use the same form.

One row (CSV) or one `[[clip]]` (TOML) a clip. Only `file` is needed: the audio file, relative to the manifest's
folder, or its URL. Known columns: id (default: the file without its suffix), content ("speech" or "music"), speaker,
language, genre, licence, credit, lossy (yes or no), start and seconds (the part of the file, in seconds). Others are
ignored, so that a manifest can hold its own notes.
"""

from __future__ import annotations

import csv
import io
import os
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..bench.files import TextError, parse_toml, read_text
from ..bench.places import Place, is_url, remote, why
from ._corpus import Content, CorpusError, Item

SUFFIXES = {".csv", ".toml"}
#: characters of a path, and seconds of a file, that no system exceeds
_PATH_LIMIT, _SECONDS_LIMIT = 4096, 1e9
_COLUMNS = {"file", "id", "content", "speaker", "language", "genre", "licence", "credit", "lossy", "start", "seconds"}
_YES_NO = {"": False, "no": False, "false": False, "0": False, "yes": True, "true": True, "1": True}


def read_manifest(path: Place, corpus: str, content: Content = "speech") -> list[Item]:
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
            raise CorpusError(f"{path}: the id {reprlib.repr(item.id)} is there twice; ids must be unique")
        seen.add(item.id)
    return sorted(items, key=lambda item: item.id)


def _rows(path: Place) -> list[Mapping[str, Any]]:
    try:
        text = read_text(path, "utf-8-sig") if isinstance(path, Path) else path.read_text("utf-8-sig")
        if path.suffix.lower() == ".csv":
            return _csv_rows(text)
        rows = parse_toml(text).get("clip", [])
    except (TextError, csv.Error) as error:
        raise CorpusError(f"{path}: cannot be read as a manifest: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise CorpusError(f"{path}: clips are listed as [[clip]] tables")
    return rows


def _csv_rows(text: str) -> list[Mapping[str, Any]]:
    """Rows by column. A quote that is not closed would swallow rows, and a comma that is not quoted cut a name short:
    both are errors."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    columns = [name.strip() for name in reader.fieldnames or []]
    reader.fieldnames = columns
    if columns and "file" not in columns:
        raise csv.Error(f"no column `file`, separated by commas; the columns are {reprlib.repr(columns)}")
    if len(set(columns)) < len(columns):
        raise csv.Error(f"a column is there twice; the columns are {reprlib.repr(columns)}")
    rows: list[Mapping[str, Any]] = []
    for row in reader:
        if None in row:
            raise csv.Error(f"line {reader.line_num} has more cells than columns; a name with a comma needs quotes")
        rows.append(row)
    return rows


def _item(row: Mapping[str, Any], where: str, folder: Place, corpus: str, content: Content) -> Item:
    def text(key: str) -> str:
        value = row.get(key)
        return "" if value is None else str(value).strip()

    for key in sorted(_COLUMNS & set(row)):
        if isinstance(row[key], (list, dict)) or "\0" in str(row[key]):
            raise CorpusError(f"{where}: {key} is {reprlib.repr(row[key])}; it must be one text or number")
    file = str(row.get("file") or "")
    if not file.strip():
        raise CorpusError(f"{where} has no file")
    if len(file) > _PATH_LIMIT:
        raise CorpusError(f"{where}: file is {len(file)} characters long; a path has at most {_PATH_LIMIT}")
    lossy = _YES_NO.get(text("lossy").lower())
    if lossy is None:
        raise CorpusError(f"{where}: lossy is {reprlib.repr(text('lossy'))}; it must be yes or no")
    kind = text("content") or content
    if kind not in ("speech", "music"):
        raise CorpusError(f"{where}: content is {reprlib.repr(kind)}; it must be speech or music")
    return Item(
        id=text("id") or os.path.splitext(file)[0],
        corpus=corpus,
        path=_path(folder, file, where),
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


def _path(folder: Place, file: str, where: str) -> Place:
    if is_url(file):
        try:
            return remote(file)
        except OSError as error:
            raise CorpusError(f"{where}: {file}: {why(error)}") from error
    if not isinstance(folder, Path) and file.startswith("/"):
        raise CorpusError(f"{where}: file is {file!r}; in a manifest at a URL it is a path below it, or a URL")
    return folder / file


def _seconds(text: str, where: str, key: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= _SECONDS_LIMIT:
        raise CorpusError(f"{where}: {key} is {reprlib.repr(text)}; it must be a number of seconds, 0 or more")
    return value
