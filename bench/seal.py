"""What a run came to, as values that another run of the same must have too: all but times, paths and wording.

`seal` writes their hash into the table `run`, and so into run.json: two runs can be told equal from that alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from .store import Store

#: kind, then what names the row: ("clip", corpus, clip), ("result", corpus, clip, codec, point),
#: ("score", corpus, clip, codec, point, metric), ("tokens", codec, point, content, stage)
Key = tuple[str, ...]
Values = dict[str, Any]

CLIP = ("corpus", "clip")
_RESULT = "status, reason, bits, setup_bits, coded_seconds, native_rate, delay_samples, frame_samples, wave_sha256"
_TOKENS = "size, codes, frames_per_second, used, perplexity, entropy_bits, clips, packets, seconds, reason"


def clips_of(store: Store) -> list[tuple[str, str]]:
    """Corpus and id of the clips, sorted."""
    return [(row["corpus"], row["clip"]) for row in store.rows("SELECT corpus, clip FROM clips ORDER BY corpus, clip")]


def clip_values(store: Store, corpus: str, clip: str) -> dict[Key, Values]:
    """What the run has of one clip."""
    where = "WHERE corpus = ? AND clip = ?"
    queries = {
        "clip": (CLIP, f"SELECT corpus, clip, content, key, status FROM clips {where}"),
        "result": (
            (*CLIP, "codec", "point"),
            f"SELECT corpus, clip, codec, point, {_RESULT} FROM results {where} ORDER BY codec, point",
        ),
        "score": (
            (*CLIP, "codec", "point", "metric"),
            f"SELECT corpus, clip, codec, point, metric, value, reason FROM scores {where} "
            "ORDER BY codec, point, metric",
        ),
    }
    found: dict[Key, Values] = {}
    for kind, (names, query) in queries.items():
        found |= _keyed(kind, names, store.rows(query, corpus, clip))
    return found


def token_values(store: Store) -> dict[Key, Values]:
    """What the run counted of the codecs with codebooks."""
    names = ("codec", "point", "content", "stage")
    rows = store.rows(f"SELECT {', '.join(names)}, {_TOKENS} FROM tokens ORDER BY {', '.join(names)}")
    return _keyed("tokens", names, rows)


def _keyed(kind: str, names: tuple[str, ...], rows: list[dict[str, Any]]) -> dict[Key, Values]:
    return {(kind, *(str(row.pop(name)) for name in names)): row for row in rows}


def points_of(store: Store) -> list[dict[str, str]]:
    """The operating points that could run, with the versions beneath them."""
    query = "SELECT codec, point, content, versions, fingerprint FROM points WHERE unavailable = '' ORDER BY 1, 2, 3"
    return store.rows(query)


def seal(store: Store) -> None:
    """Write into the table `run`: rows_sha256, the hash of all values; clips_sha256, of the clips; points, those that
    could run. One clip at a time is in memory."""
    rows, clips = hashlib.sha256(), hashlib.sha256()

    def parts() -> Iterator[dict[Key, Values]]:
        for corpus, clip in clips_of(store):
            values = clip_values(store, corpus, clip)
            clips.update(_line("clip", corpus, clip, values["clip", corpus, clip]["key"]))
            yield values
        yield token_values(store)

    for values in parts():
        for key, value in values.items():
            rows.update(_line(*key, value))
    with store:
        store.set("rows_sha256", rows.hexdigest())
        store.set("clips_sha256", clips.hexdigest())
        store.set("points", points_of(store))


def _line(*parts: Any) -> bytes:
    return json.dumps(parts, sort_keys=True).encode() + b"\n"
