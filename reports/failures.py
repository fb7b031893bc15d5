"""What failed in a run and why: alike failures together, nothing left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .frame import Run

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Failure:
    """Clips and points that failed alike.

    Attributes
    ----------
    what : the stage: "clip", "coding", "timing", "tokens" or the title of the metric whose score is missing.
    points : "codec point" of each; none for a clip that could not be read.
    """

    what: str
    reason: str
    detail: str
    points: tuple[str, ...]
    clips: tuple[str, ...]


def failures(run: Run, frame: pd.DataFrame, titles: dict[str, str]) -> list[Failure]:
    """All failures of a run. A failure is told where it arose, and not again for what it made impossible.

    Parameters
    ----------
    frame : of `frame.load`.
    titles : metric name -> title.
    """
    found: list[tuple[str, str, str, str, str]] = []  # what, reason, detail, point, clip
    unread = set()
    for c in run.clips[run.clips["status"] == "failed"].to_dict("records"):
        unread.add((c["corpus"], c["clip"]))
        found.append(("clip", c["reason"], "", "", f"{c['corpus']}/{c['clip']}"))
    for r in frame[frame["status"] != "ok"].to_dict("records"):
        # A clip that no codec could be given is told once, above.
        if r["reason"] != "clip_unreadable" or (r["corpus"], r["clip"]) not in unread:
            point = f"{r['codec']} {r['point']}"
            found.append(("coding", r["reason"], r["detail"], point, f"{r['corpus']}/{r['clip']}"))
    scores = run.scores
    for s in scores[scores["value"].isna() & (scores["reason"] != "codec_failed")].to_dict("records"):
        where = (f"{s['codec']} {s['point']}", f"{s['corpus']}/{s['clip']}")
        found.append((titles[s["metric"]], s["reason"], s["detail"], *where))
    for t in run.timings[run.timings["reason"] != ""].to_dict("records"):
        found.append(("timing", t["reason"], "", f"{t['codec']} {t['point']}", f"{t['content']}, {t['direction']}"))
    for t in run.tokens[~run.tokens["reason"].isin(["", "no_codebooks"])].to_dict("records"):
        found.append(("tokens", t["reason"], t["detail"], f"{t['codec']} {t['point']}", t["content"]))
    return _alike(found)


def tally(frame: pd.DataFrame, by: list[str], reason: str) -> dict[Any, dict[str, int]]:
    """How often each reason occurs, a group."""
    found: dict[Any, dict[str, int]] = {}
    for (*key, why), count in frame.groupby([*by, reason], sort=True).size().items():
        found.setdefault(tuple(key), {})[why] = int(count)
    return found


def counts_text(reasons: dict[str, int]) -> str:
    """Reasons and how often, in a line."""
    return ", ".join(f"{reason} ×{count}" for reason, count in reasons.items())


def _alike(found: list[tuple[str, str, str, str, str]]) -> list[Failure]:
    """Clips of one point with the same failure together, then points that failed so on the same clips."""
    by_point: dict[tuple[str, str, str, str], list[str]] = {}
    for what, reason, detail, point, clip in found:
        by_point.setdefault((what, reason, detail, point), []).append(clip)
    by_clips: dict[tuple[str, str, str, tuple[str, ...]], list[str]] = {}
    for (what, reason, detail, point), clips in by_point.items():
        by_clips.setdefault((what, reason, detail, tuple(clips)), []).append(point)
    return [
        Failure(what, reason, detail, tuple(filter(None, points)), clips)
        for (what, reason, detail, clips), points in by_clips.items()
    ]
