"""A cache that machines share: bitstreams and decoded clips in a shared folder or at a URL of any store fsspec knows.

CODECBENCH_SHARED_CACHE, the same on every machine, is its path or URL. It has the files of the local cache under the
same names (`bench/cache.py`), is asked for what the local one lacks, and gets what is computed. Nothing is ever removed
from it here. Files appear whole: a folder gets them under another name first, and object stores put in one step.

A failure costs the sharing, not the run: it is logged once a process, which then goes on without.
"""

from __future__ import annotations

import functools
import logging
import os
from pathlib import Path

from .files import replace
from .places import Place, PlaceError, place, why

VARIABLE = "CODECBENCH_SHARED_CACHE"
_log = logging.getLogger(__name__)


def shared_cache() -> Shared | None:
    """The shared cache, None where there is none."""
    given = os.environ.get(VARIABLE)
    return _opened(given) if given else None


class Shared:
    """Files by name, such as "stream/ab/abc...". No method raises."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.failure = ""  # why it is not used any more
        self._root: Place | None = None
        try:
            self._root = place(address)
            if isinstance(self._root, Path) and not self._root.is_dir():
                raise PlaceError(address, "there is no such folder; make it, or mount it")
        except OSError as error:
            self._give_up(error)

    def get(self, name: str) -> bytes | None:
        """A file, None if it is not there."""
        try:
            if isinstance(self._root, Path):
                return (self._root / name).read_bytes()
            if self._root is not None:
                blob: bytes = self._root.fs.cat_file(f"{self._root.path}/{name}")
                return blob
        except FileNotFoundError:
            return None
        except Exception as error:
            self._give_up(error)
        return None

    def put(self, name: str, blob: bytes) -> None:
        """Keep a file."""
        try:
            if isinstance(self._root, Path):
                path = self._root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                replace(path, blob)
            elif self._root is not None:
                self._root.fs.pipe_file(f"{self._root.path}/{name}", blob)
        except Exception as error:
            self._give_up(error)

    def sizes(self, stage: str) -> dict[str, int]:
        """Bytes of each file of a stage, by the last part of its name."""
        try:
            if isinstance(self._root, Path):
                files = [path for path in (self._root / stage).rglob("*") if path.is_file()]
                return {path.name: path.stat().st_size for path in files}
            if self._root is not None:
                found = self._root.fs.find(f"{self._root.path}/{stage}", detail=True)
                return {name.rpartition("/")[2]: int(info["size"] or 0) for name, info in found.items()}
        except FileNotFoundError:
            return {}
        except Exception as error:
            self._give_up(error)
        return {}

    def _give_up(self, error: Exception) -> None:
        self._root, self.failure = None, why(error)
        _log.warning("the shared cache %s is not used any more by this process: %s", self.address, self.failure)


_opened = functools.cache(Shared)
