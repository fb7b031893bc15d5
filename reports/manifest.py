"""What the section Listen of a page has: plain data, as the player reads it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Source:
    """One thing to hear. codec, point: empty for the reference. kbps: measured on this clip.

    gain : factor that gives it the loudness of the reference, lowered for all sources of the clip alike where one
        would clip otherwise.
    scores, means : texts, as many as the content has metrics: of this clip, and of the point over the run.
    """

    codec: str
    point: str
    family: str
    kbps: str
    gain: float
    scores: tuple[str, ...]
    means: tuple[str, ...]


@dataclass(frozen=True)
class Absent:
    """What there is no audio of, and why. codec, point: empty for a whole clip."""

    corpus: str
    clip: str
    codec: str
    point: str
    reason: str


@dataclass(frozen=True)
class Heard:
    """A clip of the page; its sources are in the order of its audio file, the reference first."""

    id: str
    corpus: str
    clip: str
    content: str
    why: str
    licence: str
    credit: str
    rate: int
    channels: int
    seconds: float
    file: str  # of the page's folder; empty if the audio is in the page
    sources: tuple[Source, ...]
    absent: tuple[Absent, ...]


@dataclass(frozen=True)
class Manifest:
    """What can be heard.

    metrics : headings by content.  total, heard : clips by content, of the run and here.
    points, all_points : decoded clips here, and those of the clips here.
    remake : the commands that make decoded audio again; empty where none is missing.
    """

    clips: tuple[Heard, ...]
    metrics: dict[str, tuple[str, ...]]
    total: dict[str, int]
    heard: dict[str, int]
    points: int
    all_points: int
    absent: tuple[Absent, ...]
    remake: str
    bytes: int
    budget: int


@dataclass(frozen=True)
class Package:
    """The manifest, and for a page in a single file the audio by the clip's id: the JSON text of a list of base64."""

    manifest: Manifest
    blocks: dict[str, str]

    @property
    def json(self) -> str:
        """The manifest for a data block of a page: no text in it can end the block."""
        return json.dumps(asdict(self.manifest), ensure_ascii=False).replace("<", "\\u003c")
