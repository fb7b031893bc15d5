"""The files of a run folder, made from its store and, for the audio of its page, the decoded clips of the cache: the
same store and clips give the same bytes.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bench.cache import Files
from ..bench.files import replace
from . import audio, markdown, page, plots
from .view import View

if TYPE_CHECKING:
    import pandas as pd


def write_outputs(store_folder: Path, waves: Files | None = None) -> None:
    """Write scores.csv, scores.parquet, summary.csv, summary.md, run.json, rate_quality_<content>.png and .svg,
    index.html with audio/, and tokens.csv if some codec has codebooks.

    Parameters
    ----------
    waves : decoded clips; None for a page without audio.

    Raises
    ------
    StoreError : the folder has no store.
    """
    folder = Path(store_folder)
    view = View(folder)
    scores = scores_of(view)
    files = {
        "scores.csv": csv(scores),
        "scores.parquet": parquet(scores),
        "summary.csv": csv(view.summary),
        "summary.md": markdown.render(view).encode(),
        "run.json": _json(view.run.info),
    }
    if len(view.stages):
        files["tokens.csv"] = csv(view.stages)
    else:
        (folder / "tokens.csv").unlink(missing_ok=True)
    drawn = {}
    for content in view.contents:
        for form in ("png", "svg"):
            figure = plots.curves(view, content, form)
            if figure is not None:
                files[f"rate_quality_{content}.{form}"] = figure
                drawn[content, form] = figure
    figures = {content: figure for (content, form), figure in drawn.items() if form == "png"}
    # A run keeps its page small; `bench report` has room for more.
    listen = audio.package(view, waves, folder, audio.FILE_BUDGET) if waves else None
    files["index.html"] = page.render(view, figures, listen, folder).encode()
    for stale in folder.glob(".*.tmp"):  # of a run that was killed here
        stale.unlink(missing_ok=True)
    for name, data in files.items():
        replace(folder / name, data)


def scores_of(view: View) -> pd.DataFrame:
    """The table of scores as it is given away: tracebacks hold paths of one machine, and stay in the store."""
    return view.frame.drop(columns="detail")


def csv(table: pd.DataFrame) -> bytes:
    """Comma-separated UTF-8; floats in the shortest form that reads back equal, missing values empty."""
    text: str = table.to_csv(index=False, lineterminator="\n")
    return text.encode()


def parquet(table: pd.DataFrame) -> bytes:
    """Parquet, without the index."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _json(info: dict[str, Any]) -> bytes:
    """Strict JSON: infinities, as in a metric's range, become text."""
    strict = json.loads(json.dumps(info), parse_constant=str)
    strict.pop("written", None)  # the driver's own note of whether these files are up to date
    return (json.dumps(strict, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
