"""Paths and URLs as users write them: one of this machine is a `pathlib.Path`, one at a URL a `upath.UPath`, which has
the same methods and reads whatever store fsspec knows."""

from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import TYPE_CHECKING, Union

from .download import offline
from .files import user_path

if TYPE_CHECKING:
    from upath import UPath

Place = Union[Path, "UPath"]


class PlaceError(OSError):
    """A URL that cannot be used; `strerror` says why and what to do, `filename` is the URL."""

    def __init__(self, url: object, why: str) -> None:
        super().__init__(errno.EIO, why, str(url))


def is_url(text: object) -> bool:
    """True for a path or text of the form PROTOCOL://..."""
    return re.match(r"[a-z][a-z0-9+.-]*://", str(text), re.IGNORECASE) is not None


def remote(url: str) -> UPath:
    """A URL, ready to be read; no network is used yet.

    Raises
    ------
    PlaceError : a protocol that nobody knows or whose package is not installed; CODECBENCH_OFFLINE is set.
    """
    from upath import UPath

    protocol = url.partition("://")[0].lower()
    if offline() and protocol not in ("memory", "file", "local"):
        raise PlaceError(url, "CODECBENCH_OFFLINE is set, which forbids to use the network")
    try:
        found = UPath(url.rstrip("/"))
        found.fs  # noqa: B018 - imports the protocol's package
    except ImportError as error:
        package = getattr(error.__cause__, "name", None) or protocol
        raise PlaceError(url, f"{protocol}:// needs a package that is not installed: pip install {package}") from error
    except Exception as error:
        raise PlaceError(url, why(error)) from error
    return found


def place(text: str) -> Place:
    """A path or URL; `~` is the home folder. Raises PlaceError."""
    return remote(text) if is_url(text) else user_path(text)


def why(error: BaseException) -> str:
    """What an error of a store says, in words."""
    if isinstance(error, PlaceError):
        return str(error.strerror)
    if isinstance(error, FileNotFoundError):
        # fsspec's HTTP calls every failure so
        return why(error.__cause__) if error.__cause__ else "no such file or folder"
    if isinstance(error, PermissionError):
        return f"access is denied ({error}); credentials are those of your own environment"
    return f"{type(error).__name__}: {error}".removesuffix(": ")
