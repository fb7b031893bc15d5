"""LibriSpeech: read English books, 16 kHz (Panayotov et al., ICASSP 2015). The originals were MP3."""

from __future__ import annotations

from ..bench.places import Place
from . import Corpus, Download, Item, register
from ._scan import layout_items

LAYOUT = "test-clean/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NNNN.flac"
LICENCE = "CC-BY-4.0"
CREDIT = "V. Panayotov, G. Chen, D. Povey, S. Khudanpur"


def items(root: Place | None) -> list[Item]:
    """Its utterances; the speaker is in the file name. LibriVox publishes MP3, hence lossy."""
    return layout_items(
        root, "librispeech", r"(?P<speaker>\d+)-\d+-\d+\.flac", LAYOUT, "speech", LICENCE, CREDIT, lossy=True
    )


#: checksums and sizes of OpenSLR's files (MD5 on its page; SHA-256 also in torchaudio's list)
DOWNLOADS = (
    Download(
        "https://www.openslr.org/resources/12/test-clean.tar.gz",
        "sha256:39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23",
        346_663_984,
    ),
    Download(
        "https://www.openslr.org/resources/12/dev-clean.tar.gz",
        "sha256:76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3",
        337_926_286,
    ),
)

corpus = register(
    Corpus(
        name="librispeech",
        title="LibriSpeech, read English, 16 kHz",
        content="speech",
        licence=LICENCE,
        credit=CREDIT,
        items=items,
        layout=LAYOUT,
        homepage="https://www.openslr.org/12",
        downloads=DOWNLOADS,
    )
)
