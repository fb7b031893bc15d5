"""EARS: anechoic expressive English speech, 107 speakers, 48 kHz (Richter et al., Interspeech 2024)."""

from __future__ import annotations

from ..bench.places import Place
from . import Corpus, Item, register
from ._scan import layout_items

LAYOUT = "pNNN/STYLE.wav"
LICENCE = "CC-BY-NC-4.0"
CREDIT = "J. Richter et al."


def items(root: Place | None) -> list[Item]:
    """All recordings of all speakers."""
    return layout_items(root, "ears", r"(?P<speaker>p\d{3})/[^/]+\.wav", LAYOUT, "speech", LICENCE, CREDIT)


corpus = register(
    Corpus(
        "ears",
        "EARS, anechoic expressive speech, 48 kHz",
        "speech",
        LICENCE,
        CREDIT,
        items,
        LAYOUT,
        "https://sp-uhh.github.io/ears_dataset/",
    )
)
