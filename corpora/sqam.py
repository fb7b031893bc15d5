"""SQAM: the EBU's sound quality assessment material, 70 tracks, 44.1 kHz stereo (EBU Tech 3253, 2008)."""

from __future__ import annotations

from dataclasses import replace

from ..bench.places import Place
from . import Corpus, Item, register
from ._scan import layout_items

LAYOUT = "01.flac ... 70.flac"
LICENCE = "EBU terms of use"
CREDIT = "European Broadcasting Union"
#: the spoken tracks: female and male English, French, German (EBU Tech 3253, table of contents)
SPEECH = {"49": "en", "50": "en", "51": "fr", "52": "fr", "53": "de", "54": "de"}


def items(root: Place | None) -> list[Item]:
    """The tracks; 49 to 54 are speech, the others music (the first ones test signals)."""
    tracks = layout_items(root, "sqam", r"\d\d\.(?:flac|wav)", LAYOUT, "music", LICENCE, CREDIT)
    return [_as_speech(item) if item.path.stem in SPEECH else item for item in tracks]


def _as_speech(item: Item) -> Item:
    return replace(item, content="speech", language=SPEECH[item.path.stem])


corpus = register(
    Corpus(
        "sqam",
        "SQAM, critical excerpts of the EBU",
        "music",
        LICENCE,
        CREDIT,
        items,
        LAYOUT,
        "https://tech.ebu.ch/publications/sqamcd",
    )
)
