"""What a model was trained on: every file with its hash, kept beside the weights."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from .data import RATE, Source


@dataclass(frozen=True, order=True)
class Row:
    """A file: the data folder's name, the path below it, seconds of audio, "speech" or "music", SHA-256."""

    folder: str
    file: str
    seconds: float
    content: str
    sha256: str


def rows(sources: Iterable[Source]) -> list[Row]:
    """Rows of the sources, sorted."""
    return sorted(
        Row(one.folder, one.name, round(one.samples / RATE, 2), "music" if one.music else "speech", one.sha256)
        for one in sources
    )


def read(path: Path) -> list[Row]:
    """The rows of a manifest, none if there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Row(r["folder"], r["file"], float(r["seconds"]), r["content"], r["sha256"]) for r in csv.DictReader(file)
        ]


def update(path: Path, sources: Iterable[Source]) -> list[Row]:
    """Add sources to a manifest, atomically: a run that was resumed on other data lists all that it ever saw."""
    known = {one.sha256: one for one in [*read(path), *rows(sources)]}
    merged = sorted(known.values())
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([field.name for field in fields(Row)])
    writer.writerows(astuple(one) for one in merged)
    part = path.with_name(path.name + ".part")
    part.write_text(out.getvalue(), encoding="utf-8")
    part.replace(path)
    return merged


def summary(known: Iterable[Row]) -> str:
    """A Markdown table of folders: files, minutes, content; for a model card."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for one in known:
        folder = f"{one.folder}/{one.file}".rpartition("/")[0]
        groups.setdefault((folder, one.content), []).append(one)
    lines = ["| folder | content | files | minutes |", "|---|---|---|---|"]
    for (folder, content), members in sorted(groups.items()):
        lines.append(f"| {folder} | {content} | {len(members)} | {sum(m.seconds for m in members) / 60:.1f} |")
    return "\n".join(lines)
