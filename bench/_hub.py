"""Models of the Hugging Face hub, in `huggingface_hub`'s own cache, pinned by the revision's commit.

The library is an optional one: without it nothing is found here, and the reason says how to install it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .download import DownloadError, sha256

if TYPE_CHECKING:
    from types import ModuleType


#: seconds that the hub has to answer
ANSWER = 5.0


def installed() -> bool:
    """True if the library is there."""
    return importlib.util.find_spec("huggingface_hub") is not None


def offline() -> bool:
    """True if HF_HUB_OFFLINE forbids the hub."""
    constants = _constants()
    return constants is not None and bool(constants.HF_HUB_OFFLINE)


def snapshot(repo: str, revision: str) -> Path | None:
    """Where the cache keeps a revision's files, there or not; None without the library."""
    constants = _constants()
    if constants is None:
        return None
    return Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "snapshots" / revision


def fetch(repo: str, revision: str, names: list[str]) -> Path:
    """Bring these files of a revision into the cache; returns their folder. Raises DownloadError."""
    try:
        import huggingface_hub
        from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars
    except ImportError as error:
        raise DownloadError(f'needs huggingface_hub: pip install "codecbench[neural]" ({error})') from error
    if not sys.stderr.isatty() and not are_progress_bars_disabled():
        disable_progress_bars()
    if why := _silent(huggingface_hub.constants.ENDPOINT):
        raise DownloadError(f"{huggingface_hub.constants.ENDPOINT} does not answer ({why}); try again later")
    try:
        return Path(huggingface_hub.snapshot_download(repo, revision=revision, allow_patterns=names))
    except Exception as error:  # of its HTTP library, which differs between versions
        why = (str(error).strip() or "no reason given").splitlines()[0]
        raise DownloadError(f"{repo} at revision {revision[:8]}: {type(error).__name__}: {why}") from error


def _silent(endpoint: str) -> str:
    """Why there is no answer, empty if there is one. The library itself would try for half a minute."""
    session = importlib.import_module("huggingface_hub.utils").get_session()
    try:
        session.head(endpoint, timeout=ANSWER)
    except Exception as error:  # of its HTTP library, which differs between versions
        return str(error).strip() or type(error).__name__
    return ""


def recorded(path: Path) -> str:
    """The hash by which the cache names a file that the hub sent: 64 hex digits of SHA-256, or 40 of git's blob; empty
    for a file that is elsewhere."""
    blob = path.resolve()
    known = path.is_symlink() and blob.parent.name == "blobs" and re.fullmatch("[0-9a-f]{64}|[0-9a-f]{40}", blob.name)
    return blob.name if known else ""


def digest(path: Path, digits: int) -> str:
    """SHA-256 in 64 hex digits, or in 40 git's name of the content, by which the hub names small files; computed once
    a process unless the file changes. Raises OSError."""
    state = path.stat()
    return _digest(path, digits, state.st_mtime_ns, state.st_size)


@functools.cache
def _digest(path: Path, digits: int, _mtime: int, size: int) -> str:
    if digits == 64:
        return sha256(path)
    return hashlib.sha1(f"blob {size}\0".encode() + path.read_bytes()).hexdigest()


def remove(revision: str) -> None:
    """Delete a revision from the cache, with those files that no other revision shares. Raises OSError."""
    from huggingface_hub import scan_cache_dir

    scan_cache_dir().delete_revisions(revision).execute()


def _constants() -> ModuleType | None:
    try:
        from huggingface_hub import constants
    except Exception:  # a library that is absent or broken must not end a listing
        return None
    return constants
