"""What two runs have that may be compared: operating points, clips and metrics; and why the rest may not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .frame import Run

Clip = tuple[str, str]  # corpus, id
Point = tuple[str, str]  # codec, label

#: what makes a clip the same one
IDENTITY = ("sha256", "start", "seconds", "rate", "channels")


class CompareError(Exception):
    """A codec or operating point that a run does not have; says which it has."""


def distrust(side: str, run: Run) -> Iterator[str]:
    """Why no number of a run should be believed yet."""
    status = run.info.get("status") or "unknown"
    if status != "complete":
        yield f"{side} is {status}, not complete; `bench run` with the same arguments goes on where it stopped"
    for check in run.checks[run.checks["passed"] == 0].to_dict("records"):
        yield f"{side} failed its self-check {check['name']}: {check['detail']}"


def available(run: Run) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The rows of the points that could run, by content, codec and label, in the order of their rates."""
    points = run.points[run.points["unavailable"] == ""].sort_values(["content", "codec", "kbps_nominal", "point"])
    return {(p["content"], p["codec"], p["point"]): p for p in points.to_dict("records")}


def pairs(base: Run, new: Run, maps: Sequence[str]) -> tuple[list[tuple[str, Point, Point]], dict[str, str], list[str]]:
    """What is compared with what: (content, point of BASE, point of NEW); what of BASE has no counterpart; notes."""
    there = available(new)
    reasons = {(p["codec"], p["point"]): p["unavailable"] for p in new.points.to_dict("records")}
    notes: list[str] = []
    wanted = [pair for text in maps for pair in _mapped(base, new, text, notes)]
    found, gone = [], {}
    for content, *point in available(base):
        one = (point[0], point[1])
        for other in [two for first, two in wanted if first == one] if maps else [one]:
            if (content, *other) in there:
                found.append((content, one, other))
            else:
                why = reasons.get(other) or "not among its operating points"
                gone[f"{content} {' '.join(other)}"] = f"not in NEW: {why}"
    for one, _ in wanted:
        if one not in {key[1:] for key in available(base)}:
            gone[" ".join(one)] = "could not run in BASE"
    return list(dict.fromkeys(found)), gone, notes  # two maps may name the same pair


def _mapped(base: Run, new: Run, text: str, notes: list[str]) -> list[tuple[Point, Point]]:
    """The points that "A[@P][=B[@Q]]" pairs; points of two codecs that have no partner are noted."""
    left, equals, right = text.partition("=")
    one, one_label = _named(base, "BASE", left)
    two, two_label = _named(new, "NEW", right if equals else left)
    if one_label or two_label:
        return [((one, one_label or two_label), (two, two_label or one_label))]
    labels = list(dict.fromkeys(base.points.loc[base.points["codec"] == one, "point"]))
    others = list(dict.fromkeys(new.points.loc[new.points["codec"] == two, "point"]))
    if not set(labels) & set(others):
        example = f"{one}@{labels[0]}={two}@{others[0]}"
        raise CompareError(
            f"{one} has the points {', '.join(labels)} and {two} has {', '.join(others)}; pair them, such as {example}"
        )
    if one == two:  # a point that the codec has no more is a loss
        return [((one, label), (two, label)) for label in labels]
    alone = [f"{one} {label}" for label in labels if label not in others]
    alone += [f"{two} {label}" for label in others if label not in labels]
    notes += [f"without a partner of the same label: {', '.join(alone)}"] if alone else []
    return [((one, label), (two, label)) for label in labels if label in others]


def _named(run: Run, side: str, text: str) -> tuple[str, str]:
    """Codec and label, empty if none is given. A codec's name may hold an @."""
    codecs = list(dict.fromkeys(run.points["codec"]))
    if text in codecs:
        return text, ""
    codec, _, label = text.rpartition("@")
    if codec not in codecs:
        raise CompareError(f"{side} has no codec {codec or text!r}; it has: {', '.join(codecs)}")
    labels = list(dict.fromkeys(run.points.loc[run.points["codec"] == codec, "point"]))
    if label not in labels:
        raise CompareError(f"{side}: {codec} has no point {label!r}; it has: {', '.join(labels)}")
    return codec, label


def clips(base: Run, new: Run) -> tuple[set[Clip], list[str], list[str]]:
    """The clips that are the same in both, obstacles, notes."""
    rows = [{(c["corpus"], c["clip"]): c for c in run.clips.to_dict("records")} for run in (base, new)]
    both = rows[0].keys() & rows[1].keys()
    other = {key for key in both if not same_clip(rows[0][key], rows[1][key])}
    obstacles, notes = [], []
    if not both:
        obstacles.append("no clip is in both runs: they need the same corpora; corpus and id of a clip must agree")
    if other:
        obstacles.append(f"not the same audio in BASE and NEW: {_some(other)}; run both on the same files")
    for side, mine in (("BASE", rows[0].keys() - both), ("NEW", rows[1].keys() - both)):
        if mine and both:
            notes.append(f"only in {side}: {len(mine)} clips ({_some(mine)})")
    return both - other, obstacles, notes


def same_clip(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    """True unless something of `IDENTITY` is known of both and differs; a clip that could not be read has no length."""
    return all(one[k] == two[k] for k in IDENTITY if known(one[k]) and known(two[k]))


def known(value: Any) -> bool:
    """False for what the store has no value of: None, NaN that pandas makes of it, the hash of what was not read."""
    return value is not None and value != "" and value == value


def _some(clips: set[Clip]) -> str:
    names = ["/".join(clip) for clip in sorted(clips)]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def metrics(base: Run, new: Run) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Declarations, and which metrics cannot be compared and why."""
    mine, theirs = base.metrics(), new.metrics()
    other = {}
    for name in [*mine, *(n for n in theirs if n not in mine)]:
        if name not in theirs or name not in mine:
            other[name] = f"only in {'BASE' if name in mine else 'NEW'}"
        elif mine[name].get("fingerprint") != theirs[name].get("fingerprint"):
            other[name] = (
                f"computed differently in BASE and NEW ({_versions(base, new)}); run BASE anew with what NEW has"
            )
    return mine | theirs, other


def _versions(base: Run, new: Run) -> str:
    one, two = base.info.get("packages") or {}, new.info.get("packages") or {}
    changed = [
        f"{k} {one.get(k, 'absent')} → {two.get(k, 'absent')}" for k in sorted({*one, *two}) if one.get(k) != two.get(k)
    ]
    return ", ".join(changed) or "its code has changed"
