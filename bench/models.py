"""The model store: weights that do not ship, by name, from a public address, checked by their hash."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """A file of a model; `sha256` is empty where nobody published it: the hub's own is then compared."""

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
    url : public address of the folder that holds the files; or
    repo, revision : a Hugging Face repository and the commit in it.
    """

    name: str
    title: str
    licence: str
    files: tuple[File, ...]
    url: str = ""
    repo: str = ""
    revision: str = ""

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files)
