"""What a run offers for a listening test: clips, operating points, and the decoded clips that the cache holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..cache import Files
from ..provenance import rerun
from ..remote import ChangedError, local
from ..store import Store
from .plan import ANCHORS, MOST_CONDITIONS, Clip, Material, evenly, spread
from .sound import LONGEST, PIECE
from .store import ListeningError

#: BS.1534-3, 7.1: about 1.5 excerpts a system, at least 5
LEAST_CLIPS = 5
_Key = tuple[str, str, str, str]


def gather(
    folder: Path, method: str, cache: Path, codecs: Sequence[str] = (), clips: int | None = None, seed: int = 0
) -> Material:
    """Choose what is heard.

    Parameters
    ----------
    folder : the run.
    cache : the cache's folder.
    codecs : "opus" or "opus@6+12"; empty: all of the run that are no anchors.
    clips : how many, besides the one for training; None: as BS.1534-3 advises for MUSHRA, else 5.
    seed : of the choice of clips.

    Raises
    ------
    ListeningError : nothing to hear; says what to do.
    StoreError : no run folder.
    """
    store = Store(folder)
    try:
        rows = store.rows("SELECT * FROM clips WHERE status = 'ok' ORDER BY corpus, clip")
        points = store.rows("SELECT * FROM points WHERE unavailable = '' ORDER BY codec, kbps_nominal, point")
        results = store.rows("SELECT corpus, clip, codec, point, wave FROM results WHERE status = 'ok'")
        command = store.get("command")
    finally:
        store.close()
    notes: list[str] = []
    systems = _systems(points, codecs, method, folder, notes)
    known = {(r["corpus"], r["clip"], r["codec"], r["point"]): str(r["wave"]) for r in results}
    kept = Files(cache).kept_waves(known.values())
    waves = {key: wave for key, wave in known.items() if wave in kept}
    candidates = [clip for clip in map(_clip, rows) if systems.get(clip.content)]
    usable = [c for c in candidates if all((c.corpus, c.clip, *p) in waves for p in systems[c.content])]
    if len(usable) < len(candidates):
        notes.append(_lost(candidates, systems, known, waves, cache, command))
    if not usable:
        raise ListeningError(notes[-1] if candidates else f"{folder}: no clip was coded by the codecs chosen")
    most = max(len(systems[clip.content]) for clip in usable)
    wanted = clips or (max(LEAST_CLIPS, math.ceil(1.5 * most)) if method == "mushra" else LEAST_CLIPS)
    hashes = {(r["corpus"], r["clip"]): str(r["sha256"]) for r in rows}
    chosen = _readable(spread(usable, seed), hashes, wanted + 1, notes)
    if not chosen:
        raise ListeningError(notes[-1])
    spare = len(chosen) > wanted
    training = chosen.pop() if spare else chosen[0]
    if not spare:
        notes.append(
            f"the run has {len(chosen)} usable clips for {wanted} wanted: the training clip is in the test too"
        )
    if method == "mushra" and len(chosen) < LEAST_CLIPS:
        notes.append(f"{len(chosen)} clips: BS.1534-3 advises at least {LEAST_CLIPS}, and 1.5 for each system")
    if any(clip.seconds > LONGEST for clip in (*chosen, training)):
        notes.append(f"of clips longer than {LONGEST:g} s the first {PIECE:g} s are heard (BS.1534-3, 5.1)")
    here = {clip.content for clip in (*chosen, training)}
    return Material(
        tuple(chosen), {c: tuple(p) for c, p in systems.items() if c in here}, waves, training, tuple(notes)
    )


def _clip(row: dict[str, Any]) -> Clip:
    return Clip(
        row["corpus"],
        row["clip"],
        row["content"],
        row["path"],
        row["start"],
        row["seconds"],
        row["rate"],
        row["speaker"],
    )


def _systems(
    points: list[dict[str, Any]], codecs: Sequence[str], method: str, folder: Path, notes: list[str]
) -> dict[str, list[tuple[str, str]]]:
    """Codec and point by content."""
    wanted = [spec.partition("@")[::2] for spec in codecs]
    for name, labels in wanted:
        for label in labels.split("+") if labels else [""]:
            if not any(p["codec"] == name and label in ("", p["point"]) for p in points):
                there = ", ".join(
                    dict.fromkeys(p["codec"] if not label else f"{p['codec']}@{p['point']}" for p in points)
                )
                spec = f"{name}@{label}" if label else name
                raise ListeningError(f"{folder} has no results of {spec}; it has {there}")
    systems: dict[str, list[tuple[str, str]]] = {}
    for p in points:
        asked = any(p["codec"] == name and (not labels or p["point"] in labels.split("+")) for name, labels in wanted)
        standard = method == "mushra" and p["codec"] == "lowpass" and p["point"] in ANCHORS
        if (asked if wanted else p["kind"] != "anchor") and not standard:
            systems.setdefault(p["content"], []).append((p["codec"], p["point"]))
    most = MOST_CONDITIONS - 1 - len(ANCHORS)
    for content, found in systems.items():
        if method == "mushra" and len(found) > most:
            systems[content] = evenly(found, most)
            names = ", ".join(f"{codec}@{point}" for codec, point in systems[content])
            notes.append(
                f"{content}: {most} of {len(found)} operating points, spread evenly over the list: BS.1534-3 advises "
                f"at most {MOST_CONDITIONS} signals a trial: {names}; choose others with --codecs"
            )
    if not systems:
        raise ListeningError(f"{folder} has no operating point to listen to; choose with --codecs, see `bench show`")
    return systems


def _lost(
    candidates: list[Clip],
    systems: dict[str, list[tuple[str, str]]],
    known: dict[_Key, str],
    waves: dict[_Key, str],
    cache: Path,
    command: str | None,
) -> str:
    """Which clips cannot be used, and what brings them back."""
    failed, pruned = 0, 0
    for clip in candidates:
        keys = [(clip.corpus, clip.clip, *point) for point in systems[clip.content]]
        if any(key not in known for key in keys):
            failed += 1
        elif any(key not in waves for key in keys):
            pruned += 1
    parts = []
    if failed:
        parts.append(f"{failed} of {len(candidates)} clips are left out, since a chosen codec failed on them")
    if pruned:
        again = "the run with its cache and without resuming"
        if command and command.startswith("bench "):
            again = rerun(command)
        parts.append(
            f"{pruned} of {len(candidates)} clips are left out, for their decoded audio is not in the cache {cache}; "
            f"to make it again: `bench cache clear`, then `{again}`"
        )
    return "; ".join(parts)


def _readable(clips: list[Clip], hashes: dict[tuple[str, str], str], count: int, notes: list[str]) -> list[Clip]:
    """The first so many clips whose files are there and unchanged."""
    good: list[Clip] = []
    for clip in clips:
        if len(good) == count:
            break
        try:
            local(clip.path, hashes[clip.corpus, clip.clip])
            good.append(clip)
        except ChangedError:
            notes.append(f"left out, since its reference is not the file that the run coded: {clip.path}")
        except OSError as error:
            notes.append(f"left out, since its reference cannot be read: {clip.path} ({error.strerror or error})")
    return good
