"""The model store: weights that do not ship, by name, from a public address, checked by their hash.

A model lies in `folder() / NAME`. One of the Hugging Face hub may instead lie in `huggingface_hub`'s own cache, at the
pinned revision (see `_hub.py`). A model is here once all its files are, with the right sizes; `checked` also
compares their hashes, and codecs load from there.
"""

from __future__ import annotations

import difflib
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import _hub
from .download import ATTEMPTS, DownloadError, Progress, offline
from .download import fetch as download_file

#: what a run fetches by itself: models of at most so many bytes
SMALL = 10_000_000


class ModelError(Exception):
    """Weights that cannot be had or are not what they should be; says which file, what was wrong and what to do."""


@dataclass(frozen=True)
class File:
    """A file of a model; `sha256` is empty and `bytes` 0 where nobody published them: the hub's own hash is then
    compared."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Model:
    """Weights of a codec.

    Attributes
    ----------
    name : what users type, and the folder in the store.
    licence : of the weights.
    url : public address of the folder that holds the files, which then have hashes and sizes; or
    repo, revision : a Hugging Face repository and the commit in it.
    """

    name: str
    title: str
    licence: str
    files: tuple[File, ...]
    url: str = ""
    repo: str = ""
    revision: str = ""

    def __post_init__(self) -> None:
        if bool(self.url) == bool(self.repo) or bool(self.repo) != bool(self.revision):
            raise ValueError(f"model {self.name}: give either its url, or its repo and revision")
        if self.url and not all(len(file.sha256) == 64 and file.bytes > 0 for file in self.files):
            raise ValueError(f"model {self.name}: files of a url need their SHA-256 and size")

    @property
    def bytes(self) -> int:
        """Of all files; 0 where the size of one is unknown."""
        return sum(file.bytes for file in self.files) if all(file.bytes for file in self.files) else 0

    @property
    def size(self) -> str:
        """The same for people: "3.6 MB", "about 298.7 MB" where only a small file's is unknown, or "size unknown"."""
        known = sum(file.bytes for file in self.files)
        about = "" if self.bytes else "about "
        return f"{about}{known / 1e6:.1f} MB" if self.bytes or known > 1_000_000 else "size unknown"

    @property
    def address(self) -> str:
        """Where people can look at it."""
        return self.url or f"https://huggingface.co/{self.repo}/tree/{self.revision}"


def folder() -> Path:
    """The store: $CODECBENCH_MODELS, or "models" in the platform's cache folder."""
    import platformdirs

    chosen = os.environ.get("CODECBENCH_MODELS")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("codecbench") / "models"


def users() -> dict[Model, list[str]]:
    """Every model that a codec names, by name, with the names of these codecs; not those of a user's own weights."""
    from ..codecs import registry

    found: dict[Model, list[str]] = {}
    for codec in registry:
        if codec.model and ":" not in codec.name:
            found.setdefault(codec.model, []).append(codec.name)
    return dict(sorted(found.items(), key=lambda item: item[0].name))


def find(name: str) -> Model:
    """The model of that name, or KeyError with the nearest names."""
    known = {model.name: model for model in users()}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known) or 'none'}"
        raise KeyError(f"no model named {name!r}; {hint}")
    return known[name]


def path(model: Model) -> Path | None:
    """The folder that holds all its files with the right sizes, None if there is none. Hashes nothing, no network."""
    places = [folder() / model.name, _hub.snapshot(model.repo, model.revision) if model.repo else None]
    return next((place for place in places if place and not _faults(model, place, hashed=False)), None)


def checked(model: Model) -> Path:
    """The same folder once the hashes are right; a file is hashed once a process unless it changes. Raises
    ModelError."""
    place = path(model)
    if place is None:
        raise ModelError(f"{model.name}: {missing(model)}")
    if faults := _faults(model, place):
        again = f"bench models remove {model.name}; bench models get {model.name}"
        raise ModelError("; ".join([*faults.values(), f"to get it again: {again}"]))
    return place


def missing(model: Model) -> str | None:
    """None if the model is here, else why not and the command that gets it. Quick: codecs call it in `available`."""
    if path(model):
        return None
    how = f"bench models get {model.name}"
    if model.repo and not _hub.installed():
        how = f'pip install "codecbench[neural]", then {how}'
    own = folder() / model.name
    if any((own / file.name).exists() for file in model.files):
        return f"its weights are not whole ({', '.join(_faults(model, own, hashed=False).values())}): {how}"
    return f"its weights ({model.size}, {model.licence}) are not here: {how}"


def get(
    model: Model, progress: Progress = lambda done, total: None, pause: float = 2.0, attempts: int = ATTEMPTS
) -> Path:
    """Download a model unless it is here; returns its folder.

    Parameters
    ----------
    progress : called with the bytes that are there and the bytes in all; never for a model of the hub, whose library
        shows its own.
    pause, attempts : see `download.fetch`.

    Raises
    ------
    ModelError : offline, the network gave up, a file has a wrong hash (it is refused, and kept beside as
        NAME.refused), the store cannot be written.
    """
    if path(model):
        return checked(model)
    if offline() or (model.repo and _hub.offline()):
        variable = "CODECBENCH_OFFLINE" if offline() else "HF_HUB_OFFLINE"
        how = f"take it from a folder with bench models add {model.name} FOLDER"
        raise ModelError(f"{model.name} is not here and {variable} forbids to download it; {how}")
    try:
        if model.repo:
            return _get_from_hub(model)
        before = 0
        for file in model.files:
            url, have = f"{model.url.rstrip('/')}/{file.name}", before
            download_file(
                url,
                f"sha256:{file.sha256}",
                file.bytes,
                folder() / model.name,
                lambda done, _, have=have: progress(have + done, model.bytes),  # type: ignore[misc]
                pause,
                attempts,
                keep_refused=True,
            )
            before += file.bytes
    except DownloadError as error:
        with suppress(OSError):  # it holds what goes on next time
            (folder() / model.name).rmdir()
        raise ModelError(f"{model.name}: {error}") from error
    return checked(model)


def add(model: Model, source: Path) -> Path:
    """Take a model from a local folder: its files are copied into the store once all are right; returns their folder.

    A file whose hash is unknown is taken as it is (`unchecked` names those).

    Raises
    ------
    ModelError : a file that is absent or wrong, and then nothing has changed; a store that cannot be written.
    """
    source = source.expanduser()
    faults = _faults(model, source, hashed=False)
    if not faults:
        target = folder() / model.name
        try:
            folder().mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{model.name}-", dir=folder()) as temporary:
                copies = Path(temporary)
                for file in model.files:
                    shutil.copyfile(source / file.name, copies / file.name)
                wrong = {source / copy.name for copy in _faults(model, copies)}
                faults = {name: f"{name}: its SHA-256 is not the published one" for name in sorted(wrong)}
                if not faults:
                    target.mkdir(exist_ok=True)
                    for file in model.files:
                        (copies / file.name).replace(target / file.name)
        except OSError as error:
            raise _unwritable(error) from error
    if faults:
        files = ", ".join(file.name for file in model.files)
        raise ModelError("; ".join([*faults.values(), f"nothing was added; {model.name} is: {files}"]))
    return target


def unchecked(model: Model, place: Path) -> dict[str, str]:
    """The files in a folder that no hash is known for, neither a published one nor the hub's: name -> SHA-256."""
    names = [file.name for file in model.files if not (file.sha256 or _hub.recorded(place / file.name))]
    return {name: _hub.digest(place / name, 64) for name in names}


def verify(model: Model) -> list[str]:
    """What is wrong with a model, one line a file; empty if it is here and whole."""
    own = folder() / model.name
    place = path(model) or (own if own.is_dir() else None)
    return list(_faults(model, place).values()) if place else [f"{model.name}: {missing(model)}"]


def remove(model: Model) -> list[Path]:
    """Remove what belongs to the model, and nothing else, from the store and from huggingface_hub's cache (there, the
    pinned revision); returns what was removed. Raises ModelError."""
    own = folder() / model.name
    names = [f"{file.name}{suffix}" for file in model.files for suffix in ("", ".part", ".refused")]
    removed = [own / name for name in names if (own / name).exists()]
    try:
        for file in removed:
            file.unlink()
        with suppress(OSError):  # it holds what is not of the model
            own.rmdir()
        snapshot = _hub.snapshot(model.repo, model.revision) if model.repo else None
        if snapshot and snapshot.is_dir():
            _hub.remove(model.revision)
            removed.append(snapshot)
    except OSError as error:
        raise _unwritable(error) from error
    return removed


def _get_from_hub(model: Model) -> Path:
    place = _hub.fetch(model.repo, model.revision, [file.name for file in model.files])
    faults = _faults(model, place)
    for file in faults:
        if file.exists():  # so that nothing takes it for the model
            blob = file.resolve()
            kept = blob.replace(blob.with_name(f"{blob.name}.refused"))
            file.unlink(missing_ok=True)
            faults[file] += f"; it was refused and kept as {kept}"
    if faults:
        raise DownloadError("; ".join([*faults.values(), "run the same command again to try anew"]))
    return place


def _faults(model: Model, place: Path, hashed: bool = True) -> dict[Path, str]:
    """The files that are not as they should be, with a line that says what is wrong."""
    found = {place / file.name: _fault(place / file.name, file, hashed) for file in model.files}
    return {file: f"{file}: {fault}" for file, fault in found.items() if fault}


def _fault(path: Path, file: File, hashed: bool) -> str:
    try:
        state = path.stat()
    except OSError:
        return "no such file"
    if state.st_size != file.bytes if file.bytes else state.st_size == 0:
        return f"it has {state.st_size} bytes" + (f", not {file.bytes}" if file.bytes else "")
    expected = (file.sha256 or _hub.recorded(path)) if hashed else ""
    if expected and _hub.digest(path, len(expected)) != expected:
        return "changed (its SHA-256 is not the published one)" if file.sha256 else "changed (not as the hub sent it)"
    return ""


def _unwritable(error: OSError) -> ModelError:
    why = f"{error.filename or folder()}: {error.strerror or error}"
    return ModelError(f"{why}; CODECBENCH_MODELS names another folder for models")
