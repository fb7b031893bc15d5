"""The kernels of `kernels.py`, compiled once an installation: by one process, while others that need them wait.

numba keeps what it compiles beside the source or, where that cannot be written, in the user's cache. It takes seconds,
and two processes that compile at the same time may overwrite each other's files, so a lock lies in that folder.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType


@cache
def kernels() -> ModuleType:
    """The module of the compiled kernels."""
    with alone():
        from . import kernels as compiled
    return compiled


@cache
def gammatone(lanes: int) -> Callable[..., object]:
    """The filterbank of so many bands."""
    module = kernels()
    with alone():
        filterbank: Callable[..., object] = module.gammatone(lanes)
    return filterbank


def cache_folder() -> Path:
    """Where numba keeps what it compiles of this package.

    Where it finds no folder that can be written it is given one for temporary files, which all processes of the user
    share.
    """
    import numba

    try:
        return _probed()
    except RuntimeError:
        folder = Path(tempfile.gettempdir(), f"codecbench-numba-{os.getuid()}")
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid():  # whoever made it could have us run their code
            folder = Path(tempfile.mkdtemp(prefix="codecbench-numba-"))
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["NUMBA_CACHE_DIR"] = str(folder)
        setattr(numba.config, "CACHE_DIR", str(folder))  # noqa: B010  numba makes these names at run time
        return _probed()


def _probed() -> Path:
    """The folder that numba finds for a function of this package; RuntimeError if none. Compiles nothing."""
    import numba

    return Path(str(numba.njit(cache=True)(_probed).stats.cache_path))


@contextmanager
def alone() -> Iterator[None]:
    """Hold the lock of the cache's folder; it ends with the process, however that ends."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "codecbench.lock").open("a")
    except OSError:  # nothing can be kept here, so nobody is waiting for it either
        yield
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
