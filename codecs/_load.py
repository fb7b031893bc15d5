"""Load what a user brings, here and again in each worker process: a codec of their own from FILE.py, as
`--codec-module` does, or weights of their own for a codec of ours, as `--codecs NAME:PATH` does."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..bench.files import regular_size, user_path

#: seconds that a codec module may take to be imported: PyTorch from a slow disk, not a loop without an end
LIMIT = 120.0

#: sources loaded so far, in order: "/path/FILE.py" or "NAME:/path" -> names of the codecs that each registered
loaded: dict[str, list[str]] = {}


_WANTED = "a codec module is a FILE.py that calls register(MyCodec())"


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

    path = Path(os.path.realpath(user_path(path)))
    source = f"{takes}:{path}"
    codec = next((codec for codec in registry if takes and codec.takes == takes), None)
    if codec is None:
        known = ", ".join(sorted({f"{codec.takes}:PATH" for codec in registry if codec.takes}))
        raise LoadError(f"{source}: no codec takes weights as {takes!r}; there are: {known}")
    if not os.path.exists(path):
        raise LoadError(f"{source}: there is no such file or folder")
    try:
        for file in path.iterdir() if path.is_dir() else [path]:
            if not file.is_dir():
                regular_size(file)
        made = codec.with_weights(path)
    except OSError as error:
        raise LoadError(f"{source}: {error.filename}: {error.strerror or error}") from error
    except CodecError as error:
        raise LoadError(f"{source}: {error}") from error
    except Exception as error:  # an adapter's bug, or weights that its library did not foresee
        raise LoadError(f"{source}: {type(error).__name__}: {error}") from error
    if made.name not in registry:
        registry.register(made)
    loaded[source] = [made.name]
    return made.name


def load_module(path: Path) -> list[str]:
    """Run a Python file that registers codecs; the names it registered. A second call for a file does nothing.

    Raises
    ------
    LoadError : no such file, an error in it, a name that is taken, a codec that is not declared as its contract wants
        it, no codec registered, no end of it after LIMIT seconds.
    """
    from . import registry

    path = Path(os.path.realpath(user_path(path)))
    if str(path) in loaded:
        return loaded[str(path)]
    try:
        regular_size(path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise LoadError(f"{path}: not a Python file ({why}); {_WANTED}") from error
    if path.suffix != ".py":
        raise LoadError(f"{path}: not a Python file; {_WANTED}")
    before = set(registry.names())
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    spec = importlib.util.spec_from_file_location(f"codecbench_user_{path.stem}_{digest}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        with _limited(path):
            spec.loader.exec_module(module)
        names = [name for name in registry.names() if name not in before]
        if not names:
            raise LoadError(f"{path}: registers no codec; end it with register(MyCodec())")
    except BaseException as error:
        del sys.modules[spec.name]
        for name in set(registry.names()) - before:
            registry.remove(name)
        if isinstance(error, SystemExit):
            raise LoadError(f"{_place(path, error)}: ends the program (exit {error.code}) when imported") from error
        if not isinstance(error, Exception) or isinstance(error, LoadError):
            raise
        raise LoadError(f"{_place(path, error)}: {type(error).__name__}: {error}") from error
    loaded[str(path)] = names
    return names


@contextmanager
def _limited(path: Path) -> Iterator[None]:
    """LoadError if what is within takes longer than LIMIT. Only a main thread can be told; elsewhere no limit holds."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def tell(*_: object) -> None:
        raise LoadError(f"{path}: no end of importing it after {LIMIT:g} s")

    before = signal.signal(signal.SIGALRM, tell)
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _place(path: Path, error: BaseException) -> str:
    """The file and the line in it where the error arose."""
    if isinstance(error, SyntaxError) and error.filename == str(path) and error.lineno:
        return f"{path}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)
