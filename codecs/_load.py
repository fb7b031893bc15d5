"""Load what a user brings, here and again in each worker process: a codec of their own from FILE.py, as
`--codec-module` does, or weights of their own for a codec of ours, as `--codecs NAME:PATH` does."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path

#: sources loaded so far, in order: "/path/FILE.py" or "NAME:/path" -> names of the codecs that each registered
loaded: dict[str, list[str]] = {}


class LoadError(Exception):
    """A codec module or weights that cannot be used; the message names the file and, if known, the line."""


def load(source: str) -> list[str]:
    """Load "/path/FILE.py" or "NAME:PATH", as `loaded` names them; the names it registered. Raises LoadError."""
    if Path(source).is_absolute():
        return load_module(Path(source))
    takes, _, path = source.partition(":")
    return [load_checkpoint(takes, Path(path))]


def load_checkpoint(takes: str, path: Path) -> str:
    """Register a codec that runs weights of the user's own; its name. The same weights are registered once.

    Raises
    ------
    LoadError : no codec takes weights under that name, or these cannot be used.
    """
    from . import CodecError, registry

    path = path.expanduser().resolve()
    source = f"{takes}:{path}"
    codec = next((codec for codec in registry if takes and codec.takes == takes), None)
    if codec is None:
        known = ", ".join(sorted({f"{codec.takes}:PATH" for codec in registry if codec.takes}))
        raise LoadError(f"{source}: no codec takes weights as {takes!r}; there are: {known}")
    if not path.exists():
        raise LoadError(f"{source}: there is no such file or folder")
    try:
        made = codec.with_weights(path)
    except CodecError as error:
        raise LoadError(f"{source}: {error}") from error
    if made.name not in registry:
        registry.register(made)
    loaded[source] = [made.name]
    return made.name


def load_module(path: Path) -> list[str]:
    """Run a Python file that registers codecs; the names it registered. A second call for a file does nothing.

    Raises
    ------
    LoadError : no such file, an error in it, a name that is taken, or no codec registered.
    """
    from . import registry

    path = path.expanduser().resolve()
    if str(path) in loaded:
        return loaded[str(path)]
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
    loaded[str(path)] = names
    return names


def _place(path: Path, error: Exception) -> str:
    """The file and the line in it where the error arose."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)
