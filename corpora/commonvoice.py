"""Common Voice: read sentences in many languages, MP3 (Ardila et al., LREC 2020)."""

from __future__ import annotations

import csv
from dataclasses import replace

from ..bench.places import Place
from . import Corpus, CorpusError, Item, register
from ._scan import layout_items

LAYOUT = "LANGUAGE/clips/*.mp3 beside its tables, such as validated.tsv"
LICENCE = "CC0-1.0"
CREDIT = "Mozilla Common Voice and its contributors"


def items(root: Place | None) -> list[Item]:
    """All clips; speaker and language come from the tables beside `clips`, where a clip is in one of them."""
    clips = layout_items(root, "commonvoice", r"clips/[^/]+\.mp3", LAYOUT, "speech", LICENCE, CREDIT, lossy=True)
    known: dict[Place, dict[str, tuple[str, str]]] = {}
    for folder in {clip.path.parent for clip in clips}:
        known[folder] = {}
        tables: list[Place] = [*folder.parent.glob("*.tsv")]
        for table in sorted(tables, key=str):
            known[folder].update(_speakers(table))
    described = []
    for clip in clips:
        speaker, language = known[clip.path.parent].get(clip.path.name, ("", ""))
        described.append(replace(clip, speaker=speaker, language=language))
    return described


def _speakers(table: Place) -> dict[str, tuple[str, str]]:
    """File name -> (speaker, language) of a table that has these columns; other tables are of other things."""
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            if not {"client_id", "path"} <= set(rows.fieldnames or ()):
                return {}
            return {row["path"]: (row["client_id"], row.get("locale") or "") for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{table}: cannot be read ({error})") from error


corpus = register(
    Corpus(
        "commonvoice",
        "Common Voice, read sentences, MP3",
        "speech",
        LICENCE,
        CREDIT,
        items,
        LAYOUT,
        "https://commonvoice.mozilla.org/datasets",
    )
)
