"""The embedded music corpus: rendered public-domain scores and full mixes, levels as made."""

from __future__ import annotations

from pathlib import Path

from ..bench.places import Place
from . import Corpus, Item, register
from ._manifest import read_manifest


def items(root: Place | None = None) -> list[Item]:
    """The clips; there is no root, they ship with the package."""
    return read_manifest(Path(__file__).parent / "embedded" / "music.csv", "music", "music")


corpus = register(
    Corpus(
        name="music",
        title="Music that ships with codecbench, scores and game music",
        content="music",
        licence="by clip: CC BY, CC BY-SA, CC0, public domain",
        credit="by clip, in corpora/embedded/LICENCES.md",
        items=items,
    )
)
