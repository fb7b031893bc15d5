"""The state of a training run on disk: small files, replaced atomically.

    RUN/checkpoints/000012/state.00, state.01, ...   one safetensors file, cut into parts of at most 15 MB
    RUN/latest                                       which folder holds the state, its size and hash

A new state goes to a new folder; then `latest` is replaced, then the old folder is deleted. A kill at any moment leaves
a whole state that `latest` names.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

PART_BYTES = 15_000_000


class CheckpointError(Exception):
    """A state that cannot be read; names the file and what is wrong."""


def save(run: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write a state: tensors by name, and anything JSON holds. Raises OSError; the state before then stays whole."""
    blob = safetensors.torch.save({k: v.detach().contiguous() for k, v in tensors.items()}, {"meta": json.dumps(meta)})
    folder = run / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    latest = _latest(run)
    number = int(latest["folder"]) + 1 if latest else 1
    new = folder / f"{number:06d}"
    if new.exists():  # of a save that was killed
        shutil.rmtree(new)
    new.mkdir()
    for index, start in enumerate(range(0, len(blob), PART_BYTES)):
        _write(new / f"state.{index:02d}", blob[start : start + PART_BYTES])
    _sync(new)
    head = {"folder": new.name, "bytes": len(blob), "sha256": hashlib.sha256(blob).hexdigest()}
    _write(run / "latest.part", json.dumps(head).encode())
    (run / "latest.part").replace(run / "latest")
    _sync(run)
    for old in folder.iterdir():
        if old != new:
            shutil.rmtree(old)


def load(run: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """(tensors, meta) of the last whole state, None if there is none yet. Raises CheckpointError."""
    latest = _latest(run)
    if latest is None:
        return None
    folder = run / "checkpoints" / str(latest["folder"])
    parts = sorted(folder.glob("state.*"), key=lambda path: int(path.suffix[1:]))
    blob = b"".join(path.read_bytes() for path in parts)
    if len(blob) != latest["bytes"] or hashlib.sha256(blob).hexdigest() != latest["sha256"]:
        found = f"{len(parts)} parts with {len(blob)} bytes, {latest['bytes']} wanted"
        raise CheckpointError(
            f"{folder}: damaged or incomplete ({found}); copy the folder again, or start anew with --fresh"
        )
    tensors = safetensors.torch.load(blob)
    size = int.from_bytes(blob[:8], "little")
    return tensors, json.loads(json.loads(blob[8 : 8 + size])["__metadata__"]["meta"])


def _latest(run: Path) -> dict[str, Any] | None:
    try:
        text = (run / "latest").read_text()
    except FileNotFoundError:
        return None
    try:
        latest: dict[str, Any] = json.loads(text)
        return {key: latest[key] for key in ("folder", "bytes", "sha256")}
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{run / 'latest'}: damaged; restore it, or start anew with --fresh") from error


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make names in a folder durable, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
