"""What listeners said of each operating point: means with intervals, who was excluded, what is not finished."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .. import statistics
from ..store import FILE as RUN
from ..store import Store
from . import abx, mushra
from .store import FILE, METHODS, Listening, Rating

#: what a table of scores must be read with
NOTE = (
    "95 %: over listeners if there are 5 or more, else over their ratings, and then it speaks of these listeners "
    "alone; ABX: exact binomial over all trials, p one-sided."
)


@dataclass(frozen=True)
class Score:
    """What listeners said of one codec and point on one kind of content.

    Attributes
    ----------
    method : "mushra" (0 to 100), "acr" (1 to 5), "abx" (share of right answers, 0.5 is guessing).
    codec : "reference" without a point is the hidden reference.
    role : "system", "reference" or "anchor".
    mean, low, high : with the 95 % interval: over listeners if there are 5 or more, else over the ratings, and then it
        speaks of these listeners alone; NaN with fewer than 5 ratings. ABX: exact binomial.
    median, q1, q3 : median and quartiles, which BS.1534-3 (section 9) asks for; NaN for ABX.
    p : ABX only, one-sided binomial: by guessing, so many right answers or more; else NaN.
    listeners, ratings : who and what is in the mean, after post-screening.
    """

    method: str
    content: str
    codec: str
    point: str
    role: str
    mean: float
    low: float
    high: float
    median: float
    q1: float
    q3: float
    p: float
    listeners: int
    ratings: int


@dataclass(frozen=True)
class Results:
    """Everything that `bench listen results` tells.

    Attributes
    ----------
    sessions : method -> sessions that have a finished trial that counts.
    unfinished : sentences on sessions with trials to come; what they have finished counts.
    outdated : sentences on ratings that do not count, since the run was made anew and decodes to something else now.
    """

    scores: tuple[Score, ...]
    excluded: tuple[mushra.Excluded, ...]
    sessions: dict[str, int]
    unfinished: tuple[str, ...]
    outdated: tuple[str, ...]


def summary(folder: Path) -> list[Score]:
    """One score a method, content, codec and point, sorted by these; empty if nobody has listened to this run.

    Raises
    ------
    ListeningError, StoreError : a file that cannot be read.
    """
    return list(read(folder).scores) if (folder / FILE).exists() else []


def read(folder: Path) -> Results:
    """The results of a run. Raises ListeningError where there are none."""
    store = Listening(folder)
    try:
        rows = store.rows(
            "SELECT s.listener AS who, r.* FROM ratings r JOIN sessions s USING (session)"
            " JOIN finished USING (session, trial)"
            " WHERE r.is_training = 0 ORDER BY r.session, r.trial, r.condition"
        )
        sessions = store.rows(
            "SELECT session, listener, method, json_array_length(plan) AS trials, (SELECT count(*) FROM finished f"
            " WHERE f.session = s.session) AS done FROM sessions s ORDER BY created"
        )
    finally:
        store.close()
    given = [(str(row.pop("who")), Rating(**row)) for row in rows]
    excluded = mushra.screen((who, rating) for who, rating in given if rating.method == "mushra")
    out = {one.listener for one in excluded}
    kept = [(who, rating) for who, rating in given if rating.method != "mushra" or who not in out]
    kept, outdated = _of_this_run(folder, kept)
    counts = {method: len({r.session for _, r in given if r.method == method}) for method in METHODS}
    unfinished = tuple(
        f"{s['method']} of {s['listener']}: {s['done']} of {s['trials']} trials, training included"
        for s in sessions
        if s["done"] < s["trials"]
    )
    return Results(_scores(kept), tuple(excluded), {m: n for m, n in counts.items() if n}, unfinished, outdated)


def _of_this_run(folder: Path, given: list[tuple[str, Rating]]) -> tuple[list[tuple[str, Rating]], tuple[str, ...]]:
    """The ratings of what the run holds now, and what is to be said of the others.

    A score of today's codec must not stand beside what people said of another version of it.
    """
    if not (folder / RUN).exists():
        return given, ()
    store = Store(folder)
    try:
        rows = store.rows("SELECT corpus, clip, codec, point, wave FROM results")
    finally:
        store.close()
    waves = {(r["corpus"], r["clip"], r["codec"], r["point"]): r["wave"] for r in rows}
    kept, old = [], Counter[str]()
    for who, rating in given:
        key = (rating.corpus, rating.clip, rating.codec, rating.point)
        if rating.wave and waves.get(key) != rating.wave:
            old[f"{rating.method} of {rating.codec}@{rating.point}"] += 1
        else:
            kept.append((who, rating))
    return kept, tuple(
        f"{what}: {count} ratings do not count, the run no longer holds what was heard" for what, count in old.items()
    )


def _scores(given: Iterable[tuple[str, Rating]]) -> tuple[Score, ...]:
    groups: dict[tuple[str, str, str, str], list[tuple[str, Rating]]] = defaultdict(list)
    for who, rating in given:
        groups[rating.method, rating.content, rating.codec, rating.point].append((who, rating))
    return tuple(_score(key, groups[key]) for key in sorted(groups))


def _score(key: tuple[str, str, str, str], given: list[tuple[str, Rating]]) -> Score:
    import numpy as np

    values = [rating.rating for _, rating in given]
    who = [listener for listener, _ in given]
    one = given[0][1]
    role = "reference" if one.is_reference else "anchor" if one.is_anchor else "system"
    if key[0] == "abx":
        outcome = abx.count(round(sum(values)), len(values))
        numbers = (outcome.share, outcome.low, outcome.high, math.nan, math.nan, math.nan, outcome.p)
    else:
        mean = statistics.mean(values, who)
        q1, median, q3 = (float(q) for q in np.quantile(values, [0.25, 0.5, 0.75]))
        numbers = (mean.value, mean.low, mean.high, median, q1, q3, math.nan)
    return Score(*key, role, *numbers, len(set(who)), len(values))
