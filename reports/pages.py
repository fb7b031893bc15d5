"""The page of one or several runs, at any place: a file with everything in it, or a folder with the audio beside it.

Runs that may be compared are one page (`merge.py`). Where there are several groups, each has a page, and the page that
was asked for is an index of them, with the reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ..bench.cache import Files
from ..bench.files import replace
from . import audio, page, plots
from .clips import ClipError
from .manifest import Package
from .merge import Group
from .view import View


@dataclass(frozen=True)
class Audio:
    """What is to be heard: how many clips of each content, or their ids; bytes, None for the usual."""

    files: Files
    clips: int | tuple[str, ...] = audio.CLIPS
    budget: int | None = None


@dataclass(frozen=True)
class Written:
    """A page and the runs on it. bytes: of the page; audio_bytes: of the files beside it."""

    path: Path
    runs: tuple[str, ...]
    bytes: int
    audio_bytes: int


def write_pages(groups: Sequence[Group], out: Path, single_file: bool, wanted: Audio) -> list[Written]:
    """Write the page of these groups.

    Parameters
    ----------
    out : a file that ends in .html, always a single one, or a folder for index.html.
    single_file : the audio of each page is in it, and not in the folder audio/ beside it.

    Returns
    -------
    list of Written : the page that was asked for first; with several groups, the index, then theirs, named
        OUT-1.html or OUT/1/index.html and so on.

    Raises
    ------
    ClipError : a clip is wanted that no run has.
    """
    is_file = out.suffix == ".html"
    first = out if is_file else out / "index.html"
    if len(groups) == 1:
        paths = [first]
    else:
        numbers = range(1, len(groups) + 1)
        paths = [out.with_name(f"{out.stem}-{n}.html") if is_file else out / str(n) / "index.html" for n in numbers]
    views = [View(group.run) for group in groups]
    clips = _clips(views, wanted.clips)
    pages = [
        _write(group, view, path, is_file or single_file, Audio(wanted.files, mine, wanted.budget))
        for group, view, path, mine in zip(groups, views, paths, clips, strict=True)
    ]
    if len(groups) == 1:
        return pages
    index = _index(groups, views, [quote(path.relative_to(first.parent).as_posix()) for path in paths]).encode()
    replace(first, index)
    return [Written(first, tuple(s.name for group in groups for s in group.sources), len(index), 0), *pages]


def _clips(views: list[View], wanted: int | tuple[str, ...]) -> list[int | tuple[str, ...]]:
    """What each page has of it; a clip is asked for once, whichever of the groups has it."""
    if isinstance(wanted, int):
        return [wanted for _ in views]
    names = [
        {name for c in view.run.clips.to_dict("records") for name in (c["clip"], f"{c['corpus']}/{c['clip']}")}
        for view in views
    ]
    for name in wanted:
        if not any(name in mine for mine in names):
            some = ", ".join(str(clip) for clip in views[0].run.clips["clip"][:3])
            raise ClipError(f"no clip named {name!r}; the column clip of scores.csv has them: {some}, ...")
    return [tuple(name for name in wanted if name in mine) for mine in names]


def _write(group: Group, view: View, path: Path, single_file: bool, wanted: Audio) -> Written:
    path.parent.mkdir(parents=True, exist_ok=True)
    listen: Package | None = None
    if wanted.clips:
        budget = wanted.budget or (audio.FILE_BUDGET if single_file else audio.FOLDER_BUDGET)
        listen = audio.package(view, wanted.files, None if single_file else path.parent, budget, wanted.clips)
    figures = {content: png for content in view.contents if (png := plots.curves(view, content))}
    folder = group.sources[0].folder if len(group.sources) == 1 else None
    data = page.render(view, figures, listen, folder).encode()
    replace(path, data)
    beside = listen.manifest.bytes if listen and not single_file else 0
    return Written(path, tuple(s.name for s in group.sources), len(data), beside)


def _index(groups: Sequence[Group], views: list[View], links: list[str]) -> str:
    return (
        page.environment()
        .get_template("groups.html")
        .render(
            boards=[
                {"group": group, "view": view, "link": link}
                for group, view, link in zip(groups, views, links, strict=True)
            ],
            css=page.static("page.css"),
        )
    )
