"""The audio of a report: the reference and every decoded clip of a few clips, within a budget of bytes.

Nothing is coded again. What a codec gave is the FLAC file that the run left in the cache, copied as it is; the
reference is read again from where the run read it, and only if the file is still the same. What cannot be had is in
the manifest with the reason.

For a page with a folder beside it each clip is a script, audio/ID.js, that hands its FLAC files in base64 to the
player: a page opened from a disk may load scripts, but not fetch. For a page in a single file the same list of texts
is a data block in the page.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile as sf

from ..bench.audio import AudioError, Clip, from_pcm16, read, to_pcm16
from ..bench.cache import Files
from ..bench.files import replace
from ..bench.provenance import rerun
from ..bench.remote import ChangedError, local
from .clips import Choice, choose, order_of_points
from .manifest import Absent, Heard, Manifest, Package, Source
from .numbers import MISSING, kbps, number

if TYPE_CHECKING:
    from .view import View

#: clips of each content, and bytes of a folder and of a single file, where nothing else is asked for
CLIPS = 8
FOLDER_BUDGET = 40_000_000
FILE_BUDGET = 15_000_000

#: of the page, in this order
SCRIPTS = ("spectrum.js", "plot.js", "transport.js", "blind.js", "sources.js", "player.js")
STYLE = "player.css"

#: bytes around the list of a clip's files in its script
_FRAME = 64
_NOT_CACHED = "its decoded audio is no longer in the cache"


@dataclass
class _Draft:
    """A clip while it is packed: the result rows that are in the cache, in the order in which they get room."""

    choice: Choice
    row: dict[str, Any]
    reference: Clip
    flac: bytes
    waves: list[tuple[dict[str, Any], Path]]
    absent: list[Absent]


def clip_id(corpus: str, clip: str) -> str:
    """Names a clip in addresses and file names, whatever its own name; 16 hex digits."""
    return hashlib.sha256(os.fsencode(f"{corpus}\0{clip}")).hexdigest()[:16]


def package(
    view: View, files: Files, folder: Path | None, budget: int = FOLDER_BUDGET, clips: int | Sequence[str] = CLIPS
) -> Package:
    """Choose clips and pack their audio.

    Parameters
    ----------
    files : the cache of the run.
    folder : where the page is; its folder audio/ gets one script a clip. None: the audio comes back as blocks.
    budget : bytes of all audio, as written. Each clip gets an equal share of what is left; within it the reference
        and the point it was chosen for come first. Clips for which not even these fit go, from the end.
    clips : how many of each content, or ids. Raises ClipError for an id that is not in the run.
    """
    drafts, absent = [], []
    for choice in choose(view, clips):
        draft = _draft(view, choice, files)
        if isinstance(draft, Absent):
            absent.append(draft)
        else:
            drafts.append(draft)
    while drafts and sum(map(_least, drafts)) > budget:
        last = drafts.pop().choice
        absent.append(Absent(last.corpus, last.clip, "", "", f"left out: the audio may take {_size(budget)}"))
    heard, blocks, spent = [], {}, 0
    for count, draft in enumerate(drafts):
        later = sum(map(_least, drafts[count + 1 :]))
        share = min(budget - spent - later, max((budget - spent) // (len(drafts) - count), _least(draft)))
        clip, text = _pack(view, draft, share, in_page=folder is None)
        heard.append(clip)
        blocks[clip.id] = text
        spent += len(text)
    if folder is not None:
        _write(folder / "audio", blocks)
    return Package(_manifest(view, heard, absent, spent, budget), {} if folder else blocks)


def _manifest(view: View, heard: list[Heard], absent: list[Absent], spent: int, budget: int) -> Manifest:
    lost = [a for clip in heard for a in clip.absent]
    contents = [clip.content for clip in heard]
    return Manifest(
        clips=tuple(heard),
        metrics={content: tuple(m.heading for m in view.metrics_of(content)) for content in view.contents},
        total={content: int((view.run.clips["content"] == content).sum()) for content in view.contents},
        heard={content: contents.count(content) for content in view.contents},
        points=sum(len(clip.sources) - 1 for clip in heard),
        all_points=sum(len(clip.sources) - 1 for clip in heard) + len(lost),
        absent=tuple(absent),
        remake=_remake(view) if any(a.reason == _NOT_CACHED for a in [*absent, *lost]) else "",
        bytes=spent,
        budget=budget,
    )


def _remake(view: View) -> str:
    """With its scores still in the cache a unit is not decoded again, so the cache must be cleared first."""
    info = view.run.info
    commands = info.get("commands") or [info.get("command") or "bench run"]  # of a merged run: several
    return " && ".join(["bench cache clear", *(rerun(str(command)) for command in commands)])


def _draft(view: View, choice: Choice, files: Files) -> _Draft | Absent:
    clips = view.run.clips
    row = clips[(clips["corpus"] == choice.corpus) & (clips["clip"] == choice.clip)].to_dict("records")[0]
    reference = _reference(row)
    if isinstance(reference, str):
        return Absent(choice.corpus, choice.clip, "", "", reference)
    frame = view.frame
    mine = frame[(frame["corpus"] == choice.corpus) & (frame["clip"] == choice.clip)]
    kept = view.run.results
    kept = kept[(kept["corpus"] == choice.corpus) & (kept["clip"] == choice.clip)]
    keys = {(r["codec"], r["point"]): str(r["wave"]) for r in kept.to_dict("records")}
    rows = {(r["codec"], r["point"]): r for r in mine.to_dict("records")}
    order = order_of_points(view.summary[view.summary["content"] == choice.content])
    if choice.point in rows:
        order = [choice.point, *(pair for pair in order if pair != choice.point)]
    waves, absent = [], []
    for pair in order:
        if pair not in rows:
            continue
        result = rows[pair]
        path = files.wave_path(keys[pair]) if result["status"] == "ok" else None
        if path is None:
            reason = _NOT_CACHED if result["status"] == "ok" else f"was not coded: {result['reason']}"
            absent.append(Absent(choice.corpus, choice.clip, *pair, reason))
        else:
            waves.append((result, path))
    if not waves:
        alone = {a.reason for a in absent}
        reason = alone.pop() if len(alone) == 1 else "no decoded audio"
        return Absent(choice.corpus, choice.clip, "", "", reason if absent else "no codec coded it")
    return _Draft(choice, row, reference, _flac(reference), waves, absent)


def _reference(row: dict[str, Any]) -> Clip | str:
    """The clip as the run read it, or why it cannot be had."""
    path = row["path"]
    if row["status"] != "ok":
        return f"could not be read: {row['reason']}"
    try:
        clip = read(local(path, row["sha256"]), float(row["start"]), float(row["seconds"]))
    except ChangedError:
        return f"{path} has changed since the run"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror or error}"
    except AudioError as error:
        return str(error)
    if (clip.rate, clip.channels) != (row["rate"], row["channels"]) or abs(clip.seconds - row["seconds"]) > 1e-6:
        return f"{path} does not read as it did in the run ({clip.seconds:g} s of {row['seconds']:g} s)"
    return clip


def _flac(clip: Clip) -> bytes:
    """The reference as FLAC, with 24 bits where 16 do not hold it."""
    buffer = io.BytesIO()
    pcm = to_pcm16(clip.samples)
    if np.array_equal(from_pcm16(pcm), clip.samples):
        sf.write(buffer, pcm.T, clip.rate, format="FLAC", subtype="PCM_16")
    else:
        sf.write(buffer, clip.samples.T, clip.rate, format="FLAC", subtype="PCM_24")
    return buffer.getvalue()


def _cost(size: int) -> int:
    """Bytes of a file in base64, with its quotes, comma and space."""
    return 4 * ((size + 2) // 3) + 4


def _least(draft: _Draft) -> int:
    """Bytes of a clip with its reference and the first point."""
    return _FRAME + _cost(len(draft.flac)) + _cost(draft.waves[0][1].stat().st_size)


def _pack(view: View, draft: _Draft, share: int, in_page: bool) -> tuple[Heard, str]:
    """The clip with as many points as its share holds, and its audio file."""
    used, absent = _FRAME + _cost(len(draft.flac)), list(draft.absent)
    taken, audio = [], [draft.flac]
    for result, path in draft.waves:
        pair = (result["codec"], result["point"])
        cost = _cost(path.stat().st_size)
        wave = "left out for its size" if used + cost > share else _wave(path, draft.reference)
        if isinstance(wave, str):
            absent.append(Absent(draft.choice.corpus, draft.choice.clip, *pair, wave))
            continue
        used += cost
        taken.append((result, wave))
        audio.append(path.read_bytes())
    gains = _gains([draft.reference, *(wave for _, wave in taken)])
    metrics = view.metrics_of(draft.choice.content)
    blank = ("",) * len(metrics)
    sources = [Source("", "", "", "", gains[0], blank, blank)]
    sources += [_source(view, result, gain) for (result, _), gain in zip(taken, gains[1:], strict=True)]
    row, key = draft.row, clip_id(draft.choice.corpus, draft.choice.clip)
    encoded = json.dumps([base64.b64encode(data).decode() for data in audio])
    heard = Heard(
        id=key,
        corpus=row["corpus"],
        clip=row["clip"],
        content=row["content"],
        why=draft.choice.why,
        licence=row["licence"],
        credit=row["credit"],
        rate=draft.reference.rate,
        channels=draft.reference.channels,
        seconds=draft.reference.seconds,
        file="" if in_page else f"audio/{key}.js",
        sources=tuple(sources),
        absent=tuple(absent),
    )
    return heard, encoded if in_page else f'codecbench.audio("{key}", {encoded});\n'


def _wave(path: Path, reference: Clip) -> Clip | str:
    try:
        wave = read(path)
    except AudioError as error:
        return f"its decoded audio in the cache is damaged: {error}"
    if (wave.rate, wave.samples.shape) != (reference.rate, reference.samples.shape):
        return "its decoded audio in the cache is not of the reference's length and rate"
    return wave


def _source(view: View, result: dict[str, Any], gain: float) -> Source:
    summary = view.summary
    same = [summary[k] == result[k] for k in ("content", "codec", "point")]
    mean = summary[same[0] & same[1] & same[2]].to_dict("records")[0]
    scores, means = [], []
    for metric in view.metrics_of(result["content"]):
        reason = result[f"{metric.name}_reason"]
        scores.append(f"{MISSING} ({reason})" if reason else number(result[metric.name], metric.digits))
        means.append(number(mean[f"{metric.name}_mean"], metric.digits))
    rate = kbps(result["kbps"])
    return Source(result["codec"], result["point"], result["family"], rate, gain, tuple(scores), tuple(means))


def _gains(waves: list[Clip]) -> list[float]:
    """Factors that bring every wave to the loudness of the first, with common headroom so that none clips."""
    levels = [_level(wave) for wave in waves]
    gains = [levels[0] / level if level and levels[0] else 1.0 for level in levels]
    peak = max(float(np.abs(wave.samples).max()) * gain for wave, gain in zip(waves, gains, strict=True))
    return [round(gain / max(1.0, peak), 5) for gain in gains]


def _level(wave: Clip) -> float:
    """Loudness (ITU-R BS.1770-4, gated) as an amplitude; the RMS where a clip is too short or too quiet for it."""
    import pyloudnorm

    meter = pyloudnorm.Meter(wave.rate)
    loudness = meter.integrated_loudness(wave.samples.T.astype(np.float64)) if wave.seconds >= 0.4 else -np.inf
    if np.isfinite(loudness):
        return float(10 ** (loudness / 20))
    return float(np.sqrt(np.mean(np.square(wave.samples, dtype=np.float64))))


def _write(folder: Path, blocks: dict[str, str]) -> None:
    """One script a clip; scripts of an earlier report go."""
    folder.mkdir(parents=True, exist_ok=True)
    for key, text in blocks.items():
        replace(folder / f"{key}.js", text.encode("ascii"))
    for path in folder.glob("*.js"):
        if re.fullmatch(r"[0-9a-f]{16}\.js", path.name) and path.stem not in blocks:
            path.unlink()


def _size(count: int) -> str:
    return f"{count / 1e6:g} MB"
