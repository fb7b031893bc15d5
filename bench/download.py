"""Downloading one file from a public address: resumed after a broken connection, checked, whole or not there at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .files import regular_size

Progress = Callable[[int, int], None]  # bytes there, bytes in all
ATTEMPTS, FRUITLESS = 8, 3  # in all, and where not a byte has come
CHUNK, BLOCK = 1 << 20, 1 << 16  # of a file, and of a connection: a slow one must show progress


class DownloadError(Exception):
    """A file that could not be had; the message names the address, what was wrong and what to do."""


def offline() -> bool:
    """True if CODECBENCH_OFFLINE forbids any use of the network."""
    return os.environ.get("CODECBENCH_OFFLINE", "").lower() not in ("", "0", "false", "no", "off")


def fetch(
    url: str,
    checksum: str,
    size: int,
    folder: Path,
    progress: Progress = lambda done, total: None,
    pause: float = 2.0,
    attempts: int = ATTEMPTS,
    keep_refused: bool = False,
) -> Path:
    """Download one file, going on where an earlier attempt stopped; it appears only once its checksum is right.

    Parameters
    ----------
    checksum : "sha256:...", "sha1:..." or "md5:...", as published.
    size : in bytes.
    folder : where the file lands, under the last part of the address; made if need be.
    progress : called with the bytes that are there and the bytes in all.
    pause : seconds before the second attempt after a broken connection; doubled each time.
    keep_refused : a file with a wrong checksum is kept as NAME.refused, else removed.

    Raises
    ------
    DownloadError : offline, the network gave up, a wrong checksum, another process that downloads it, a folder that
        cannot be written.
    """
    import pooch
    import requests

    name = file_name(url)

    def resume(url: str, output: Any, _: object) -> None:
        if offline():
            raise DownloadError(f"{url}: CODECBENCH_OFFLINE is set, which forbids to download it")
        part = folder / f"{name}.part"
        with _alone(part, url):
            before = part.stat().st_size
            for attempt in range(attempts):
                try:
                    _append(url, part, size, progress)
                    break
                except requests.RequestException as error:
                    status = error.response.status_code if error.response is not None else 0
                    tries = attempts if part.stat().st_size > before else min(attempts, FRUITLESS)
                    if attempt >= tries - 1 or 400 <= status < 500:
                        raise DownloadError(f"{url}: {_why(error)}; run the same command again to go on") from error
                    time.sleep(pause * 2**attempt)
            if keep_refused and not pooch.hashes.hash_matches(str(part), checksum):
                kept = part.replace(folder / f"{name}.refused")
                raise DownloadError(
                    f"{url}: the file has not the published checksum; it was refused and kept as {kept}"
                )
            part.replace(output)

    logger = pooch.get_logger()
    logger.setLevel("WARNING")  # the caller shows progress
    try:
        path = pooch.retrieve(url, checksum, name, folder, downloader=resume)
    except ValueError as error:  # pooch's word for a wrong checksum; it has removed the file
        raise DownloadError(f"{url}: the file has not the published checksum; nothing was kept") from error
    except OSError as error:
        raise DownloadError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return Path(path)


def file_name(url: str) -> str:
    """The last part of an address."""
    return url.rpartition("/")[2]


def sha256(path: Path) -> str:
    """Of the file's bytes, in hexadecimal. OSError also where it is a FIFO or a device, which may never end."""
    regular_size(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def _why(error: Exception) -> str:
    """What an error of the network says, without the classes and addresses that its libraries put before it."""
    cause = error.args[0] if error.args else error
    return str(getattr(cause, "reason", None) or error).rpartition("): ")[2]


@contextmanager
def _alone(part: Path, url: str) -> Iterator[None]:
    """Hold a partial file, made if need be, since two that append to it would spoil it; none is left empty."""
    with part.open("ab") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DownloadError(f"{url}: another process is downloading it; wait for that one") from error
        try:
            yield
        finally:
            if part.exists() and part.stat().st_size == 0:
                part.unlink()


def _append(url: str, part: Path, size: int, progress: Progress) -> None:
    """Bring a partial file up to its full size by HTTP Range; a server without ranges makes it start again."""
    import requests

    have = part.stat().st_size
    if have == size:
        return
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if 0 < have < size else {})
    with requests.get(url, headers=headers, stream=True, timeout=60) as response:
        response.raise_for_status()
        if response.status_code != 206:
            have = 0
        with part.open("r+b") as file:  # not "wb": the file is the lock
            file.truncate(have)
            file.seek(have)
            for block in response.iter_content(BLOCK):
                file.write(block)
                have += len(block)
                progress(have, size)
    if have < size:
        raise requests.ConnectionError(f"ended after {have} of {size} bytes")
