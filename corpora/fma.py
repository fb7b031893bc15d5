"""FMA: excerpts of freely licensed songs, MP3 (Defferrard et al., ISMIR 2017)."""

from __future__ import annotations

from ..bench.places import Place
from . import Corpus, Download, Item, register
from ._scan import layout_items

LAYOUT = "fma_small/000/000002.mp3"
LICENCE = "by track"
CREDIT = "M. Defferrard, K. Benzi, P. Vandergheynst, X. Bresson"


def items(root: Place | None) -> list[Item]:
    """All tracks of the subset (small, medium, large or full)."""
    return layout_items(root, "fma", r"\d{3}/\d{6}\.mp3", LAYOUT, "music", LICENCE, CREDIT, lossy=True)


#: the small subset; its SHA-1 as its authors publish it in github.com/mdeff/fma
DOWNLOADS = (
    Download(
        "https://os.unil.cloud.switch.ch/fma/fma_small.zip",
        "sha1:ade154f733639d52e35e32f5593efe5be76c6d70",
        7_679_594_875,
    ),
)

corpus = register(
    Corpus(
        name="fma",
        title="FMA, songs of the Free Music Archive, MP3",
        content="music",
        licence=LICENCE,
        credit=CREDIT,
        items=items,
        layout=LAYOUT,
        homepage="https://github.com/mdeff/fma",
        downloads=DOWNLOADS,
    )
)
