"""Load a user's codec from a file: what `--codec-module FILE.py` does, here and again in each worker process."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path

#: files loaded so far, in order: resolved path -> names of the codecs that each registered
loaded: dict[Path, list[str]] = {}


class LoadError(Exception):
    """A codec module that cannot be used; the message names the file and, where one is known, the line."""


def load_module(path: Path) -> list[str]:
    """Run a Python file that registers codecs; the names it registered. A second call for a file does nothing.

    Raises
    ------
    LoadError : no such file, an error in it, a name that is taken, or no codec registered.
    """
    from . import registry

    path = path.expanduser().resolve()
    if path in loaded:
        return loaded[path]
    if path.suffix != ".py" or not path.is_file():
        raise LoadError(f"{path}: not a Python file; a codec module is a FILE.py that calls register(MyCodec())")
    before = set(registry.names())
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    spec = importlib.util.spec_from_file_location(f"codecbench_user_{path.stem}_{digest}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        raise LoadError(f"{_place(path, error)}: {type(error).__name__}: {error}") from error
    names = [name for name in registry.names() if name not in before]
    if not names:
        raise LoadError(f"{path}: registers no codec; end it with register(MyCodec())")
    loaded[path] = names
    return names


def _place(path: Path, error: Exception) -> str:
    """The file and the line in it where the error arose."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)
