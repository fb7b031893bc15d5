"""Finding audio files below a folder and giving each an id; what the layouts and the plain folder share."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ..bench.names import printable
from ..bench.places import Place
from ._corpus import Content, CorpusError, Item

if TYPE_CHECKING:
    from upath import UPath

SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("aac", "ac3", "aif", "aifc", "aiff", "amr", "au", "avi", "awb", "caf", "flac", "m4a", "mka", "mkv", "mov"),
        *("mp2", "mp3", "mp4", "oga", "ogg", "opus", "rf64", "spx", "w64", "wav", "wave", "webm", "wma", "wv"),
    )
)


def audio_files(root: Path) -> list[Path]:
    """Every file with an audio suffix below root, in the order of their paths, whether it can be read or not.

    Links to folders are followed, each folder once, but not up to a folder that holds root: that would be a loop. A
    folder that may not be entered is listed itself, so that it becomes a failed row and is not dropped in silence.
    """
    found: list[Path] = []
    closed: list[OSError] = []
    above = os.path.realpath(root)
    seen: set[str] = set()
    tops = [str(root)]
    for top in tops:  # grows
        for folder, below, names in os.walk(top, onerror=closed.append):
            real = os.path.realpath(folder)
            if real in seen:
                below.clear()
                continue
            seen.add(real)
            found += [Path(folder, name) for name in names if Path(name).suffix.lower() in SUFFIXES]
            links = sorted(os.path.join(folder, name) for name in below if os.path.islink(os.path.join(folder, name)))
            tops += [link for link in links if os.path.commonpath([above, to := os.path.realpath(link)]) != to]
    found += [Path(error.filename) for error in closed]
    return sorted(found)


def _remote_files(root: UPath) -> list[UPath]:
    """The same of a URL; a folder that cannot be listed raises what its store raises."""
    found = []
    for _, _, files in root.fs.walk(root.path, detail=True, on_error="raise"):
        names = [str(info["name"]).removeprefix(root.path).lstrip("/") for info in files.values()]
        found += [root / name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES]
    return sorted(found, key=str)


def _files(root: Place) -> Sequence[Place]:
    """Raises CorpusError if there is no such folder."""
    if not isinstance(root, Path):
        return _remote_files(root)
    if not os.path.isdir(root):
        raise CorpusError(f"{root}: {'not a folder' if os.path.exists(root) else 'no such folder'}")
    return audio_files(root)


def _below(root: Place, file: Place) -> str:
    """The file's path below root as it is named in its folder, "." for root itself."""
    if isinstance(root, Path) and isinstance(file, Path):
        return file.relative_to(root).as_posix()
    path = str(file).removeprefix(str(root)).lstrip("/")
    return unquote(path) if str(root).startswith("http") else path


def clip_ids(root: Place, files: Sequence[Place]) -> list[str]:
    """The path below root without the suffix, which stays where it is all that tells two files apart."""
    full = [printable(_below(root, file)) for file in files]
    short = [printable(os.path.splitext(name)[0]) for name in full]
    times, taken = Counter(short), set(full)
    return [a if times[a] == 1 and a not in taken else b for a, b in zip(short, full, strict=True)]


def folder_items(root: Place, corpus: str, content: Content) -> list[Item]:
    """All audio below a folder, sorted by id. Raises CorpusError if there is none."""
    files = _files(root)
    if not files:
        raise CorpusError(f"{root}: no audio file here or below; known suffixes: {' '.join(sorted(SUFFIXES))}")
    items = [Item(id, corpus, file, content) for id, file in zip(clip_ids(root, files), files, strict=True)]
    return sorted(items, key=lambda item: item.id)


def layout_items(
    root: Place | None,
    corpus: str,
    pattern: str,
    layout: str,
    content: Content,
    licence: str,
    credit: str,
    genre: str = "",
    lossy: bool = False,
) -> list[Item]:
    """The files of a corpus with a known layout, sorted by id; other files are not part of it.

    Parameters
    ----------
    root : its folder, or any folder inside or above that still shows the pattern.
    pattern : regular expression at the end of "root's name/path below root"; its groups `speaker` and `language` give
        those.
    layout : how the folder must look, for the message.

    Raises
    ------
    CorpusError : no such folder, or no file that matches.
    """
    if root is None:
        raise CorpusError(f"{corpus} needs its folder: {corpus}:/path/to/it, with {layout} inside")
    regex = re.compile(rf"(?:^|/)(?:{pattern})$", re.IGNORECASE)
    files = _files(root)
    name = os.path.basename(os.path.realpath(root)) if isinstance(root, Path) else root.name
    matches = [regex.search(f"{name}/{_below(root, file)}") for file in files]
    items = [
        Item(
            id=id,
            corpus=corpus,
            path=file,
            content=content,
            speaker=match.groupdict().get("speaker") or "",
            language=match.groupdict().get("language") or "",
            genre=genre,
            licence=licence,
            credit=credit,
            lossy=lossy,
        )
        for id, file, match in zip(clip_ids(root, files), files, matches, strict=True)
        if match
    ]
    if not items:
        some = ", ".join(_below(root, file) for file in files[:3])
        found = f"{len(files)} other audio files, such as {some}" if files else "no audio file"
        raise CorpusError(f"{root}: not a {corpus} folder; expected {layout}, found {found}")
    return sorted(items, key=lambda item: item.id)
