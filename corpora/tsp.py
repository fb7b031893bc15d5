"""TSP speech database: Harvard sentences, 48 kHz (Kabal, McGill University, 2002)."""

from __future__ import annotations

from ..bench.places import Place
from . import Corpus, Item, register
from ._scan import layout_items

LAYOUT = "48k/FA/FA01_01.wav"
LICENCE = "BSD-2-Clause"
CREDIT = "P. Kabal, McGill University"


def items(root: Place | None) -> list[Item]:
    """The sentences at 48 kHz; the versions at other rates are the same recordings."""
    return layout_items(
        root, "tsp", r"48k/(?P<speaker>[A-Z]{2})/[A-Z]{2}\d\d_\d\d\.wav", LAYOUT, "speech", LICENCE, CREDIT
    )


corpus = register(
    Corpus(
        "tsp",
        "TSP, Harvard sentences, 48 kHz",
        "speech",
        LICENCE,
        CREDIT,
        items,
        LAYOUT,
        "https://www.mmsp.ece.mcgill.ca/Documents/Data/",
    )
)
