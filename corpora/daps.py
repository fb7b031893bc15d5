"""DAPS: studio recordings of 20 English speakers, 44.1 kHz (Mysore, IEEE SPL 2015)."""

from __future__ import annotations

from ..bench.places import Place
from . import Corpus, Item, register
from ._scan import layout_items

LAYOUT = "clean/f1_script1_clean.wav"
LICENCE = "CC-BY-NC-4.0"
CREDIT = "G. J. Mysore"


def items(root: Place | None) -> list[Item]:
    """The clean studio version of each script; the devices and rooms are left out."""
    return layout_items(root, "daps", r"(?P<speaker>[fm]\d+)_script\d+_clean\.wav", LAYOUT, "speech", LICENCE, CREDIT)


corpus = register(
    Corpus(
        "daps",
        "DAPS, clean studio speech, 44.1 kHz",
        "speech",
        LICENCE,
        CREDIT,
        items,
        LAYOUT,
        "https://zenodo.org/records/4660670",
    )
)
