"""The three-stage cache: bitstreams, decoded clips, scores.

A recipe (clip, codec fingerprint) names a bitstream; the bitstream's content and the fingerprint name the decoded clip;
the two clips' contents and the metric's fingerprint name a score. So a new metric codes nothing again, a changed codec
computes only itself again, and a codec that decodes to the same samples as before is not scored again.

    FOLDER/index.sqlite            recipes and scores; written by drivers only
    FOLDER/stream/ab/abc...        bitstreams (`Encoded.to_bytes`)
    FOLDER/wave/ab/abc....flac     decoded clips, 16 bit, at the reference's rate
    FOLDER/audio                   clips of corpora at URLs (`bench/remote.py`)

The folder is the platform's cache folder, or CODECBENCH_CACHE. Files are written under another name and moved, so a
killed run leaves whole files or none. What was used longest ago goes first when the size limit (CODECBENCH_CACHE_LIMIT
in bytes, 5 GB) is passed. Bitstreams and decoded clips may be shared with other machines (`bench/shared.py`); the index
is not, for SQLite's files must not lie on a network file system.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from .audio import AudioError, Clip, read, write_flac
from .files import replace
from .shared import shared_cache

STAGES = ("stream", "wave", "audio")
DEFAULT_LIMIT = 5_000_000_000


def cache_folder() -> Path:
    """CODECBENCH_CACHE, or the platform's cache folder."""
    given = os.environ.get("CODECBENCH_CACHE")
    return Path(given) if given else Path(platformdirs.user_cache_dir("codecbench"))


class CacheError(Exception):
    """A cache that cannot be used; says what to do."""


def size_limit() -> int:
    """The size limit in bytes. Raises CacheError if CODECBENCH_CACHE_LIMIT is no number."""
    given = os.environ.get("CODECBENCH_CACHE_LIMIT", DEFAULT_LIMIT)
    try:
        return int(float(given))
    except ValueError as error:
        raise CacheError(f"CODECBENCH_CACHE_LIMIT is {given!r}; give bytes, such as 5e9") from error


@dataclass(frozen=True)
class Files:
    """The file side of the cache: safe to use from any number of processes. None as folder: nothing is kept."""

    folder: Path | None

    def _path(self, stage: str, key: str) -> Path:
        assert self.folder is not None
        return self.folder / _name(stage, key)

    def _find(self, stage: str, key: str) -> Path | None:
        """Where a file lies, fetched from the shared cache if it is only there."""
        if self.folder is None or not key:
            return None
        path = self._path(stage, key)
        if not path.exists():
            shared = shared_cache()
            blob = shared.get(_name(stage, key)) if shared else None
            if blob is None or not _keep(path, blob):
                return None
        return path

    def get_stream(self, key: str) -> bytes | None:
        """A bitstream, None if it is not there."""
        try:
            path = self._find("stream", key)
            if path is None:
                return None
            blob = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return blob

    def put_stream(self, key: str, blob: bytes) -> None:
        """Keep a bitstream."""
        if self.folder is None:
            return
        _keep(self._path("stream", key), blob)
        if shared := shared_cache():
            shared.put(_name("stream", key), blob)

    def get_wave(self, key: str) -> Clip | None:
        """A decoded clip, None if it is not there or cannot be read."""
        try:
            path = self._find("wave", key)
            if path is None:
                return None
            clip = read(path)
            os.utime(path)
        except (AudioError, OSError):
            return None
        return clip

    def put_wave(self, key: str, clip: Clip) -> None:
        """Keep a decoded clip; its samples must be 16-bit values."""
        if self.folder is None:
            return
        path = self._path("wave", key)
        with contextlib.suppress(OSError, AudioError):  # a full disk costs the cache, not the run
            path.parent.mkdir(parents=True, exist_ok=True)
            write_flac(path, clip)
            if shared := shared_cache():
                shared.put(_name("wave", key), path.read_bytes())

    def wave_path(self, key: str) -> Path | None:
        """Where a decoded clip lies on this machine, None if it is nowhere."""
        return self._find("wave", key)

    def kept_waves(self, keys: Iterable[str]) -> set[str]:
        """Those of the decoded clips that are here or in the shared cache."""
        if self.folder is None:
            return set()
        wanted = {key for key in keys if key}
        here = {key for key in wanted if self._path("wave", key).exists()}
        shared = shared_cache() if here < wanted else None
        there = shared.sizes("wave") if shared else {}
        return here | {key for key in wanted if f"{key}.flac" in there}


def _name(stage: str, key: str) -> str:
    return f"{stage}/{key[:2]}/{key}" + (".flac" if stage == "wave" else "")


def _keep(path: Path, blob: bytes) -> bool:
    """Write a file, whole or not at all; False if it cannot be: a full disk costs the cache, not the run."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, blob)
    except OSError:
        return False
    return True


class Index:
    """The SQLite side of the cache: recipes and scores by key, JSON values.

    Once it is open, whatever happens to it costs the cache and not the run: a value that cannot be read is not there,
    and after one that could not be written (a full disk, a lock that does not end) nothing more is.
    """

    def __init__(self, folder: Path) -> None:
        self._path, self._full = folder / "index.sqlite", False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = self._open()
        except (OSError, sqlite3.Error) as error:
            raise CacheError(
                f"the cache folder {folder} cannot be used ({error}); set CODECBENCH_CACHE, or give --no-cache"
            ) from error

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.OperationalError:  # it is locked, or its disk is full
            raise
        except sqlite3.DatabaseError:  # damaged: a cache may be lost, a run may not
            for path in self._path.parent.glob("index.sqlite*"):
                path.unlink(missing_ok=True)
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, timeout=30)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute("CREATE TABLE IF NOT EXISTS entry (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
        except sqlite3.DatabaseError:
            db.close()
            raise
        return db

    def get(self, key: str) -> object | None:
        """The value under a key, None if there is none."""
        try:
            row = self._db.execute("SELECT value FROM entry WHERE key = ?", (key,)).fetchone()
            return None if row is None else json.loads(row[0])
        except (sqlite3.Error, ValueError):
            return None

    def put(self, items: Iterable[tuple[str, object]]) -> None:
        """Keep values under keys, in one transaction."""
        if self._full:
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO entry VALUES (?, ?)", [(k, json.dumps(v)) for k, v in items])
            self._db.execute("COMMIT")
        except sqlite3.Error:
            self._full = True
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")

    def close(self) -> None:
        self._db.close()


def stage_sizes(folder: Path) -> dict[str, tuple[int, int]]:
    """Files and bytes a stage: those of STAGES, and "index"."""
    sizes = {}
    for stage in STAGES:
        files = [f.stat().st_size for f in (folder / stage).rglob("*") if f.is_file()]
        sizes[stage] = (len(files), sum(files))
    index = [f.stat().st_size for f in folder.glob("index.sqlite*")]
    sizes["index"] = (len(index), sum(index))
    return sizes


def prune(folder: Path, limit: int) -> tuple[int, int]:
    """Remove the files used longest ago until all but the index take at most `limit` bytes.

    Returns the number of files removed and their bytes. A removed file is computed or fetched again when it is wanted.
    """
    entries = []
    for stage in STAGES:
        for path in (folder / stage).rglob("*"):
            if path.is_file():
                stat = path.stat()
                entries.append((stat.st_mtime, stat.st_size, path))
    total, removed, freed = sum(size for _, size, _ in entries), 0, 0
    for _, size, path in sorted(entries):
        if total - freed <= limit:
            break
        path.unlink(missing_ok=True)
        removed, freed = removed + 1, freed + size
    return removed, freed


def clear(folder: Path) -> None:
    """Remove everything that the cache wrote into its folder, and nothing else."""
    for stage in STAGES:
        shutil.rmtree(folder / stage, ignore_errors=True)
    for path in folder.glob("index.sqlite*"):
        path.unlink(missing_ok=True)
