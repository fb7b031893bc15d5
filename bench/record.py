"""From what a run computed to the rows of its store, and from rows that no longer hold to none."""

from __future__ import annotations

import dataclasses
import os

from .cache import Index
from .metrics import Reason
from .plan import Plan, PlannedClip, PlannedPoint
from .provenance import describe, git_commit, machine, packages, versions_of
from .rows import ClipRow, PointRow, ResultRow, ScoreRow
from .store import Store
from .tokens import FAILED as TOKENS_FAILED
from .work import PASSING, ScoreValue, Unit, UnitResult


def reconcile(store: Store, plan: Plan, retry_failed: bool) -> None:
    """Remove rows that were computed from something else than what is here now, and failed ones if asked to."""
    before = store.changes
    known_metrics = {m["name"]: m["fingerprint"] for m in store.get("metrics") or []}
    with store:
        if retry_failed:
            store.delete("results", {"status": "failed"})
            store.delete("checks", {"passed": 0})
            store.delete("timings", {"method": ""})
            for reason in TOKENS_FAILED:
                store.delete("tokens", {"reason": reason})
            for reason in PASSING:
                store.delete("scores", {"reason": reason})
        keys = {clip.name: clip.key for clip in plan.clips}
        out_of_reach = {clip.name for clip in plan.clips if clip.error}
        for row in store.rows("SELECT corpus, clip, content, key FROM clips"):
            if (row["corpus"], row["clip"]) in out_of_reach:
                continue  # what it gave when it could be read still holds
            if keys.get((row["corpus"], row["clip"])) != row["key"]:
                for table in ("clips", "results", "scores"):
                    store.delete(table, {"corpus": row["corpus"], "clip": row["clip"]})
                store.delete("tokens", {"content": row["content"]})
        planned = {point.key: point for point in plan.points}
        for row in store.rows("SELECT * FROM points"):
            point = planned.get((row["codec"], row["point"], row["content"]))
            if point and point.unavailable:
                continue  # what it gave when it could run still holds
            if point is None or point.fingerprint != row["fingerprint"]:
                for table in ("results", "scores", "timings", "tokens", "points"):
                    store.delete(table, {"codec": row["codec"], "point": row["point"]})
        for name, fingerprint in plan.metric_fingerprints.items():
            if known_metrics.get(name, fingerprint) != fingerprint:
                store.delete("scores", {"metric": name})
        if known_metrics and known_metrics != plan.metric_fingerprints:
            store.clear("checks")
    if store.changes != before:
        with store:
            store.set("written", False)


def describe_run(store: Store, plan: Plan, command: str, created: str, plan_digest: str) -> None:
    """Write what the run is."""
    with store:
        store.set("plan", plan_digest)
        store.set("suite", {**dataclasses.asdict(plan.suite), "digest": plan.suite.digest()})
        store.set("status", "running")
        store.set("seed", plan.suite.seed)
        store.set("metrics", [describe(m, plan.metric_fingerprints[m.name]) for m in plan.metrics])
        store.set("packages", packages())
        store.set("git", git_commit())
        store.set("device", plan.device)
        store.set("sources", list(plan.sources))
        if store.get("created") is None:
            store.set("created", created)
            store.set("command", command)
            store.set("machine", machine())
            store.set("directory", os.getcwd())
        coded = {(r["codec"], r["point"]) for r in store.rows("SELECT DISTINCT codec, point FROM results")}
        missing = [p for p in plan.points if p.unavailable and (p.codec.name, p.point.label) in coded]
        store.put(_point_row(point) for point in plan.points if point not in missing)
        there = {(row["corpus"], row["clip"]) for row in store.rows("SELECT corpus, clip FROM clips")}
        new = [clip for clip in plan.clips if clip.name not in there]
        store.put(_clip_row(clip, None, "planned") for clip in new)


def _point_row(planned: PlannedPoint) -> PointRow:
    codec, point = planned.codec, planned.point
    return PointRow(
        codec.name,
        point.label,
        planned.content,
        codec.family,
        codec.kind,
        point.mode,
        point.kbps,
        codec.licence,
        codec.about,
        "" if planned.unavailable else codec.note(),
        "" if planned.unavailable else versions_of(codec),
        planned.fingerprint,
        planned.unavailable,
    )


def write_unit(store: Store, index: Index | None, clip: PlannedClip, unit: Unit, result: UnitResult) -> None:
    """One unit into the store, and into the cache's index where one is given, each in one transaction.

    The point's token statistics are removed: they were counted without this unit, or with an older one in its place.
    """
    key = (unit.corpus, unit.clip, unit.codec, unit.point)
    coded = result.coded
    scores = result.scores or tuple(
        ScoreValue(name, None, Reason.CODEC_FAILED.value, result.reason) for name, _ in unit.metrics
    )
    with store:
        store.put(
            [
                ResultRow(
                    *key,
                    status="failed" if result.reason else "ok",
                    reason=result.reason,
                    detail=result.detail,
                    bits=coded.bits if coded else None,
                    setup_bits=coded.setup_bits if coded else None,
                    coded_seconds=coded.coded_seconds if coded else None,
                    native_rate=coded.native_rate if coded else None,
                    delay_samples=coded.delay_samples if coded else None,
                    frame_samples=coded.frame_samples if coded else None,
                    wave=coded.wave if coded else "",
                    seconds=result.seconds,
                    wave_sha256=coded.wave_sha256 if coded else "",
                )
            ]
        )
        store.delete("tokens", {"codec": unit.codec, "point": unit.point, "content": unit.content})
        store.put(ScoreRow(*key, s.metric, s.value, s.reason, s.detail) for s in scores)
        if result.clip:
            store.put([_clip_row(clip, result.clip, "ok")])
        elif result.reason == "clip_unreadable":
            store.put([_clip_row(clip, None, "failed", result.detail)])
    if index and coded and unit.clip_key:
        entries: list[tuple[str, object]] = [
            (unit.recipe, {"coded": dataclasses.asdict(coded), "clip": list(result.clip or ())})
        ]
        fingerprints = dict(unit.metrics)
        for s in scores:
            if s.reason not in PASSING:
                entries.append(
                    (unit.score_key(fingerprints[s.metric], coded.wave_sha256), [s.value, s.reason, s.detail])
                )
        index.put(entries)


def _clip_row(clip: PlannedClip, known: tuple[int, float, int] | None, status: str, reason: str = "") -> ClipRow:
    item = clip.item
    rate, seconds, channels = known or (None, None, None)
    return ClipRow(
        corpus=item.corpus,
        clip=item.id,
        content=item.content,
        path=str(item.path),
        sha256=clip.sha256,
        seconds=seconds,
        rate=rate,
        channels=channels,
        speaker=item.speaker,
        language=item.language,
        genre=item.genre,
        licence=item.licence,
        credit=item.credit,
        lossy=int(item.lossy),
        status=status,
        reason=reason,
        start=item.start,
        key=clip.key,
    )
