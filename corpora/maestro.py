"""MAESTRO v3: piano competition recordings, 44.1 and 48 kHz stereo (Hawthorne et al., ICLR 2019)."""

from __future__ import annotations

from ..bench.places import Place
from . import Corpus, Item, register
from ._scan import layout_items

LAYOUT = "YEAR/*.wav"
LICENCE = "CC-BY-NC-SA-4.0"
CREDIT = "C. Hawthorne et al."


def items(root: Place | None) -> list[Item]:
    """All performances; the corpus does not name its players."""
    return layout_items(root, "maestro", r"20\d\d/[^/]+\.wav", LAYOUT, "music", LICENCE, CREDIT, genre="piano")


corpus = register(
    Corpus(
        "maestro",
        "MAESTRO v3, solo piano",
        "music",
        LICENCE,
        CREDIT,
        items,
        LAYOUT,
        "https://magenta.withgoogle.com/datasets/maestro",
    )
)
