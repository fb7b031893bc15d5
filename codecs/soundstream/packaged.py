"""The weights that ship: where they lie, what names them and what they say of themselves; read without torch."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path

#: absent from a checkout for which nobody has trained yet
WEIGHTS = Path(__file__).parent / "weights" / "soundstream.safetensors"


def model_id(path: Path | None = None) -> str:
    """16 hex digits that name weights: of the file's sha256. A stream names the model it was coded with.

    Raises OSError where the file cannot be read.
    """
    path = path or WEIGHTS
    return _model_id(path, path.stat().st_mtime_ns)


@functools.lru_cache
def _model_id(path: Path, changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def metadata(path: Path | None = None) -> dict[str, str]:
    """What the head of a safetensors file says, such as `status`. Raises OSError, or ValueError that names the file."""
    path = path or WEIGHTS
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > 1 << 24:
                raise ValueError(f"a head of {size} bytes")
            found = json.loads(file.read(size)).get("__metadata__", {})
        return {str(key): str(value) for key, value in found.items()}
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error
