"""VCTK 0.92: 110 English speakers with various accents, 48 kHz (Yamagishi et al., 2019)."""

from __future__ import annotations

from ..bench.places import Place
from . import Corpus, Download, Item, register
from ._scan import layout_items

LAYOUT = "wav48_silence_trimmed/pNNN/pNNN_NNN_mic1.flac"
LICENCE = "CC-BY-4.0"
CREDIT = "J. Yamagishi, C. Veaux, K. MacDonald"


def items(root: Place | None) -> list[Item]:
    """The sentences as recorded by the first microphone."""
    return layout_items(root, "vctk", r"(?P<speaker>[ps]\d+)_\d+_mic1\.(?:flac|wav)", LAYOUT, "speech", LICENCE, CREDIT)


#: checksum as in torchaudio's list
DOWNLOADS = (
    Download(
        "https://datashare.is.ed.ac.uk/bitstream/handle/10283/3443/VCTK-Corpus-0.92.zip",
        "sha256:f96258be9fdc2cbff6559541aae7ea4f59df3fcaf5cf963aae5ca647357e359c",
        11_747_302_977,
    ),
)

corpus = register(
    Corpus(
        name="vctk",
        title="VCTK 0.92, English accents, 48 kHz",
        content="speech",
        licence=LICENCE,
        credit=CREDIT,
        items=items,
        layout=LAYOUT,
        homepage="https://doi.org/10.7488/ds/2645",
        downloads=DOWNLOADS,
    )
)
