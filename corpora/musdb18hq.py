"""MUSDB18-HQ: 150 pop and rock songs, 44.1 kHz stereo (Rafii et al., 2019)."""

from __future__ import annotations

from ..bench.places import Place
from . import Corpus, Item, register
from ._scan import layout_items

LAYOUT = "test/ARTIST - SONG/mixture.wav"
LICENCE = "by track, mostly non-commercial"
CREDIT = "Z. Rafii, A. Liutkus, F.-R. Stöter, S. I. Mimilakis, R. Bittner"


def items(root: Place | None) -> list[Item]:
    """The mixtures, not the stems; songs are clustered by artist."""
    return layout_items(
        root,
        "musdb18hq",
        r"(?:test|train)/(?P<speaker>[^/]+?)(?: - [^/]+)?/mixture\.wav",
        LAYOUT,
        "music",
        LICENCE,
        CREDIT,
    )


corpus = register(
    Corpus(
        "musdb18hq",
        "MUSDB18-HQ, pop and rock mixes, 44.1 kHz",
        "music",
        LICENCE,
        CREDIT,
        items,
        LAYOUT,
        "https://zenodo.org/records/3338373",
    )
)
