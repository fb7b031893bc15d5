"""The embedded speech corpus: read and spoken sentences in several languages and voices, levels as recorded."""

from __future__ import annotations

from pathlib import Path

from ..bench.places import Place
from . import Corpus, Item, register
from ._manifest import read_manifest


def items(root: Place | None = None) -> list[Item]:
    """The clips; there is no root, they ship with the package."""
    return read_manifest(Path(__file__).parent / "embedded" / "speech.csv", "speech", "speech")


corpus = register(
    Corpus(
        name="speech",
        title="Speech that ships with codecbench, from Debian packages",
        content="speech",
        licence="by clip: CC BY, CC BY-SA, BSD, GPL, public domain",
        credit="by clip, in corpora/embedded/LICENCES.md",
        items=items,
    )
)
