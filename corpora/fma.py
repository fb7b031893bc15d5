"""FMA: excerpts of freely licensed songs, MP3 (Defferrard et al., ISMIR 2017)."""

from __future__ import annotations

from pathlib import Path

from . import Corpus, Item, register
from ._scan import layout_items

LAYOUT = "fma_small/000/000002.mp3"
LICENCE = "by track"
CREDIT = "M. Defferrard, K. Benzi, P. Vandergheynst, X. Bresson"


def items(root: Path | None) -> list[Item]:
    """All tracks of the subset (small, medium, large or full)."""
    return layout_items(root, "fma", r"\d{3}/\d{6}\.mp3", LAYOUT, "music", LICENCE, CREDIT, lossy=True)


corpus = register(
    Corpus(
        "fma",
        "FMA, songs of the Free Music Archive, MP3",
        "music",
        LICENCE,
        CREDIT,
        items,
        LAYOUT,
        "https://github.com/mdeff/fma",
    )
)
