"""From what the user types after `--corpus` to clips.

===================  =================================================================================
`speech`, `music`    the clips that ship with codecbench
`NAME:/path`         a corpus in a known layout, such as `librispeech:/data/LibriSpeech`
`NAME`               the same, in the folder that `bench corpora get NAME` filled
`/path`              a folder of audio, searched to the bottom, or a manifest (`.csv`, `.toml`)
`speech:/path`       the same, taken as speech whatever the suite is made for
`music:/path`        the same, taken as music
`s3://bucket/path`   any of these paths may be a URL of a protocol that fsspec knows: `librispeech:s3://bucket/path`
===================  =================================================================================
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..bench.files import user_path
from ..bench.places import is_url, place, remote, why
from . import registry
from ._corpus import Content, Corpus, CorpusError, Item
from ._fetch import data_dir
from ._manifest import SUFFIXES, read_manifest
from ._scan import folder_items


def open_corpus(spec: str, content: Content = "speech") -> list[Item]:
    """The clips of a corpus, sorted by id; no audio is read.

    Parameters
    ----------
    spec : see above. `~` is the home folder.
    content : of a plain folder's files, and of manifest rows that do not say it.

    Raises
    ------
    CorpusError : no such corpus or path, wrong layout, bad manifest.
    """
    name, colon, rest = spec.partition(":")
    if name in registry and (rest or not colon):
        corpus = registry.get(name)
        if not corpus.embedded:
            with _reaching(rest):
                return corpus.items(place(rest) if rest else _downloaded(corpus))
        return _path_items(rest, corpus.content) if rest else corpus.items(None)
    if is_url(spec):
        return _path_items(spec, content)
    path = user_path(spec)
    if not os.path.exists(path):
        names = ", ".join(registry.names())
        raise CorpusError(f"{spec}: neither a corpus nor a path that exists; corpora: {names} (NAME:/path)")
    return _path_items(spec, content)


@contextmanager
def _reaching(text: str) -> Iterator[None]:
    """Whatever a store raises says that the corpus at that URL cannot be listed; what fsspec remembers is forgotten."""
    try:
        if is_url(text):
            remote(text).fs.invalidate_cache()
        yield
    except Exception as error:
        if isinstance(error, CorpusError) or not is_url(text):
            raise
        raise CorpusError(f"{text}: {why(error)}") from error


def _downloaded(corpus: Corpus) -> Path:
    folder = data_dir() / corpus.name
    if not folder.is_dir():
        get = f", or `bench corpora get {corpus.name}` downloads it" if corpus.downloads else f"; {corpus.homepage}"
        raise CorpusError(f"{corpus.name} is not in {folder}: say where it is, {corpus.name}:/path{get}")
    return folder


def _path_items(text: str, content: Content) -> list[Item]:
    with _reaching(text):
        path = place(text)
        if not isinstance(path, Path):
            if path.suffix.lower() in SUFFIXES:
                return read_manifest(path, path.stem, content)
            return folder_items(path, path.name or "folder", content)
    if not path.is_dir():
        if path.suffix.lower() not in SUFFIXES:
            raise CorpusError(f"{path}: a single file must be a manifest (.csv or .toml); for audio give its folder")
        return read_manifest(path, path.stem, content)
    return folder_items(path, os.path.basename(os.path.realpath(path)) or "folder", content)
