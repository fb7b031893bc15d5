"""Files that users name: read only where reading ends, and told apart from what is none. Files that are written: whole
or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import uuid
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: bytes of a TOML file or codec module that are read; a larger one is something else under that name
TEXT_LIMIT = 256_000_000

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class TextError(Exception):
    """A text file that cannot be read, or is no TOML. The message says what is wrong; the caller names the file."""


def user_path(text: str | os.PathLike[str]) -> Path:
    """A path as the user wrote it, `~` and `~name` replaced where there is such a user."""
    return Path(os.path.expanduser(text))


def regular_size(path: Path) -> int:
    """Bytes of a file. OSError where there is none, or where it is a folder, FIFO or device, which may never end."""
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        kind = _KINDS.get(stat.S_IFMT(info.st_mode), "something else")
        raise OSError(errno.EINVAL, f"{kind}, not a file", str(path))
    return info.st_size


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """A text file that is UTF-8, line ends made "\\n". Raises TextError."""
    try:
        size = regular_size(path)
        if size > TEXT_LIMIT:
            raise TextError(f"{size / 1e6:.0f} MB, which is more than {TEXT_LIMIT / 1e6:.0f} MB of text")
        return path.read_text(encoding)
    except OSError as error:
        raise TextError(error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise TextError(f"not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except ValueError as error:  # a path with a NUL
        raise TextError(str(error)) from error


def parse_toml(text: str) -> dict[str, Any]:
    """TOML as a dictionary. Raises TextError."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TextError("arrays or tables are nested too deep") from None
    except ValueError as error:  # also TOMLDecodeError, and numbers of too many digits
        raise TextError(f"not valid TOML: {error}") from error


def replace(path: Path, data: bytes) -> None:
    """Write a file beside its place and move it there, so that neither a reader, a crash nor a full disk meets it half
    written. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")  # other machines may write there, too
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
