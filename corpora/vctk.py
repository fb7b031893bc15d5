"""VCTK 0.92: 110 English speakers with various accents, 48 kHz (Yamagishi et al., 2019)."""

from __future__ import annotations

from pathlib import Path

from . import Corpus, Item, register
from ._scan import layout_items

LAYOUT = "wav48_silence_trimmed/pNNN/pNNN_NNN_mic1.flac"
LICENCE = "CC-BY-4.0"
CREDIT = "J. Yamagishi, C. Veaux, K. MacDonald"


def items(root: Path | None) -> list[Item]:
    """The sentences as recorded by the first microphone."""
    return layout_items(root, "vctk", r"(?P<speaker>[ps]\d+)_\d+_mic1\.(?:flac|wav)", LAYOUT, "speech", LICENCE, CREDIT)


corpus = register(
    Corpus(
        "vctk",
        "VCTK 0.92, English accents, 48 kHz",
        "speech",
        LICENCE,
        CREDIT,
        items,
        LAYOUT,
        "https://doi.org/10.7488/ds/2645",
    )
)
