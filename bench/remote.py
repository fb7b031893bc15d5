"""Audio at a URL, of any store that fsspec knows: fetched once a machine, kept by its content.

    CACHE/audio/ab/abc....flac    fetched files, named by their SHA-256
    CACHE/audio/known/ab/abc...   the SHA-256 of what a URL holds in one version (its ETag or the like)

Processes that want the same file wait for the first one to fetch it. `bench/cache.py` says where CACHE is.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .audio import AudioError, Clip, read
from .cache import cache_folder
from .download import sha256 as hash_file
from .files import replace
from .fingerprint import digest
from .places import Place, PlaceError, is_url, remote, why

#: seconds before the second and third attempt to fetch a file
PAUSES = (1.0, 4.0)
#: what stores say about a file that differs when its content does
_VERSION = {
    *("ETag", "etag", "Content-MD5", "Digest", "md5Hash", "content_settings", "generation", "VersionId", "version_id"),
    *("LastModified", "last_modified", "Last-Modified", "mtime", "updated", "created"),
}
CHANGED = "the file has changed since the run was planned"


class ChangedError(PlaceError):
    """A file whose content is not the one that was planned."""


def local(path: Place | str, sha256: str = "") -> Path:
    """A file of this machine that holds the content of `path`: that file itself or, of a URL, a copy in the cache.

    Parameters
    ----------
    sha256 : of the content that is wanted; empty for whatever is there now.

    Raises
    ------
    OSError : it cannot be had (of a URL: PlaceError).
    ChangedError : it holds something else.
    """
    if not is_url(path):
        file = Path(str(path))
        if sha256 and hash_file(file) != sha256:
            raise ChangedError(path, CHANGED)
        return file
    url = str(path)
    note = None if sha256 else _note(url)
    kept = _kept(url, sha256 or _noted(note))
    if kept is None:
        with _alone(url):
            kept = _kept(url, sha256 or _noted(note)) or _fetch(url, sha256, note)
    return kept


def read_clip(path: Place | str, start: float = 0.0, seconds: float | None = None, sha256: str = "") -> Clip:
    """Read the part of a file at a path or URL; the parameters are those of `audio.read` and `local`.

    Raises
    ------
    AudioError : the file cannot be had or read, or holds something else; the message names path or URL.
    """
    try:
        before = None if is_url(path) else _stamp(Path(str(path)))
        file = local(path, sha256)
    except OSError as error:
        raise AudioError(f"{path}: {error.strerror or error}") from error
    try:
        clip = read(file, start, seconds)
    except AudioError as error:
        raise AudioError(str(error).replace(str(file), str(path))) from error
    if sha256 and before and before != _stamp(file):  # after it was hashed
        raise AudioError(f"{path}: {CHANGED}")
    return clip


def _stamp(file: Path) -> tuple[int, ...]:
    """Changes with every change of a file, even one that puts its times back; (0,) where it is gone."""
    try:
        found = file.stat()
    except OSError:
        return (0,)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _kept(url: str, sha256: str) -> Path | None:
    """The whole copy of what is wanted, None if there is none."""
    if not sha256:
        return None
    path = _copy(url, sha256)
    try:
        if hash_file(path) != sha256:  # a damaged copy is fetched again
            return None
        os.utime(path)
    except OSError:
        return None
    return path


def _copy(url: str, sha256: str) -> Path:
    suffix = Path(url.partition("?")[0]).suffix.lower()
    return cache_folder() / "audio" / sha256[:2] / f"{sha256}{suffix}"


def _note(url: str) -> Path | None:
    """Where the hash of a URL's present version is noted; None where the store tells no versions apart."""
    there = remote(url)
    try:
        info: dict[str, Any] = there.fs.info(there.path)
    except Exception:  # fetching it will tell
        return None
    version = {key: str(value) for key, value in info.items() if key in _VERSION}
    key = digest(url, info.get("size"), version)
    return cache_folder() / "audio" / "known" / key[:2] / key if version else None


def _noted(note: Path | None) -> str:
    """The hash in a note, empty if there is none."""
    try:
        if note is None:
            return ""
        os.utime(note)
        return note.read_text()
    except OSError:
        return ""


def _fetch(url: str, sha256: str, note: Path | None) -> Path:
    there = remote(url)
    folder = cache_folder() / "audio"
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{digest(url)}.{os.getpid()}.part"
    try:
        for pause in (*PAUSES, None):
            try:
                there.fs.get_file(there.path, str(part))
                break
            except Exception as error:
                if pause is None or isinstance(error, (FileNotFoundError, PermissionError)):
                    raise PlaceError(url, why(error)) from error
                time.sleep(pause)
        got = hash_file(part)
        if sha256 and got != sha256:
            raise ChangedError(url, CHANGED)
        copy = _copy(url, got)
        copy.parent.mkdir(exist_ok=True)
        part.replace(copy)
    finally:
        part.unlink(missing_ok=True)
    if note:
        note.parent.mkdir(parents=True, exist_ok=True)
        replace(note, got.encode())
    return copy


@contextmanager
def _alone(url: str) -> Iterator[None]:
    """Only one process of this machine at a time is here with that URL."""
    lock = cache_folder() / "audio" / f"{digest(url)}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)  # who waits for it looks for the copy before it fetches
