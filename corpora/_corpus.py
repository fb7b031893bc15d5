"""The contract between the harness and a corpus.

A corpus is one file that builds a `Corpus` and calls `register(...)`. `items(root)` lists the clips and reads no
audio: a file that turns out to be broken becomes a failed row of the run, not an error here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..bench.places import Place

Content = Literal["speech", "music"]


class CorpusError(Exception):
    """A corpus that cannot be listed: no such folder, wrong layout, bad manifest. Says what to do."""


@dataclass(frozen=True)
class Item:
    """One clip of a corpus, not yet read.

    Attributes
    ----------
    id : unique and stable in its corpus, such as the path below its root without the suffix.
    path : the audio file, a `Path`, or a `UPath` where the corpus lies at a URL.
    content : "speech" or "music"; decides the operating points and metrics.
    speaker : who speaks or plays; confidence intervals are clustered by it. Empty: each clip is its own cluster.
    language, genre, licence, credit : for tables; empty where unknown.
    lossy : the source was coded with loss before.
    start, seconds : the part of the file, None to its end.
    """

    id: str
    corpus: str
    path: Place
    content: Content
    speaker: str = ""
    language: str = ""
    genre: str = ""
    licence: str = ""
    credit: str = ""
    lossy: bool = False
    start: float = 0.0
    seconds: float | None = None


@dataclass(frozen=True)
class Download:
    """A file with a public address, its published checksum ("sha256:...", "sha1:...", "md5:...") and size in bytes."""

    url: str
    checksum: str
    bytes: int


@dataclass(frozen=True)
class Corpus:
    """A corpus, or the layout of one that users bring.

    Attributes
    ----------
    items : function of the root folder (a `Path`, a `UPath` for a URL, None for an embedded corpus) to its items,
        sorted by id. Raises CorpusError.
    layout : how the folder must look, one line; empty for embedded corpora, which need no root.
    downloads : what `bench corpora get` fetches; empty where there is no public address.
    """

    name: str
    title: str
    content: Content
    licence: str
    credit: str
    items: Callable[[Place | None], list[Item]]
    layout: str = ""
    homepage: str = ""
    downloads: tuple[Download, ...] = ()

    @property
    def embedded(self) -> bool:
        """True if it ships in the package."""
        return not self.layout
