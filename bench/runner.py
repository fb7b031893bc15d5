"""The driver of a run: gives units to an executor and writes what they give into the store.

Each phase skips what the store already holds, so the same call goes on where the last one stopped, however it stopped:

1. reconcile  rows of clips, operating points or metrics that have changed since are removed
2. checks     the self-checks of each content
3. units      every (clip, operating point) with its metrics
4. tokens     the codes of each operating point of a codec with codebooks, over all clips that it coded
5. timing     one operating point at a time, alone
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..corpora._open import open_corpus
from .cache import Index
from .checks import CheckTask, broken_row, check_tasks
from .executor import Executor, ExecutorError, Failure
from .metrics import Reason
from .plan import Plan, PlannedClip
from .pool import Pool
from .record import describe_run, reconcile, write_unit
from .remote import local
from .seal import seal
from .store import Store, StoreError
from .timing import TimingTask, failed_row
from .tokens import TokensTask, failed_tokens, tokens_points, tokens_task
from .work import Coded, ScoreValue, Unit, UnitResult, unit_of

#: at most so many seconds of a clip are timed
TIMED = 10.0

#: progress: (phase, done, total)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Settings:
    """How a run is executed; nothing here changes a number.

    Attributes
    ----------
    jobs : worker processes.
    timeout : seconds that one stage of a unit (encode, decode, one metric) may take.
    cache : the cache's folder, None to keep and use nothing.
    retry_failed : try again what failed before.
    command : what the user typed, for the record.
    created : ISO time, for the record.
    """

    jobs: int
    timeout: float = 300.0
    cache: Path | None = None
    retry_failed: bool = False
    command: str = ""
    created: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    folder: Path
    units: int
    failed: int
    missing_scores: int
    failed_checks: int
    computed: int

    @property
    def exit_code(self) -> int:
        """0 all well, 1 some units failed, 3 a self-check failed."""
        return 3 if self.failed_checks else 1 if self.failed else 0


def execute(
    plan: Plan,
    folder: Path,
    settings: Settings,
    progress: Progress = lambda *_: None,
    finish: Callable[[], None] = lambda: None,
    executor: Executor | None = None,
) -> Outcome:
    """Run a plan into a folder, going on with what is there; then call `finish` unless nothing has changed since.

    executor : that runs the tasks; by default `settings.jobs` processes of this machine.

    Raises StoreError if another plan's run is there, or the folder cannot be written any more.
    """
    store = Store(folder, create=True)
    try:
        plan_digest = plan.digest()
        there = store.get("plan")
        if there is not None and there != plan_digest:
            raise StoreError(
                f"{folder} holds a run of another plan (suite {store.get('suite')['name']}); "
                "give another --out, or --no-resume to start anew there"
            )
        reconcile(store, plan, settings.retry_failed)
        describe_run(store, plan, settings.command, settings.created, plan_digest)
        index = Index(settings.cache) if settings.cache else None
        try:
            with executor or Pool(settings.jobs, settings.timeout, plan.sources, plan.device) as workers:
                _run_checks(store, plan, workers, progress)
                computed = _run_units(store, plan, settings.cache, workers, index, progress)
                _run_tokens(store, plan, settings.cache, workers, progress)
                _run_timing(store, plan, workers, progress)
        finally:
            if index:
                index.close()
        with store:
            store.set("status", "complete")
        if not store.get("written"):
            seal(store)
            finish()
            with store:
                store.set("written", True)
        return _outcome(store, plan, folder, computed)
    except (KeyboardInterrupt, ExecutorError):
        with store:
            store.set("status", "interrupted")
        raise
    finally:
        store.close()


def _run_checks(store: Store, plan: Plan, executor: Executor, progress: Progress) -> None:
    done = {row["name"] for row in store.rows("SELECT name FROM checks")}
    tasks = []
    for content in plan.contents:
        clips = tuple(local(item.path) for item in open_corpus(content, "speech")[:2])  # the embedded corpora
        names = tuple(metric.name for metric in plan.metrics_for(content))
        tasks += [
            t for t in check_tasks(content, clips, names) if not any(n.startswith(f"{content} {t.check}") for n in done)
        ]
    if not tasks:
        return
    _changes(store)
    progress("self-checks", 0, len(tasks))
    for count, (done_task, value) in enumerate(executor.results(tasks), 1):
        assert isinstance(done_task, CheckTask)
        rows = [broken_row(done_task, f"{value.kind}: {value.detail}")] if isinstance(value, Failure) else value
        with store:
            store.put(rows)
        progress("self-checks", count, len(tasks))


def _changes(store: Store) -> None:
    """Note that tables and page no longer show what the store holds."""
    with store:
        store.set("written", False)


def _run_units(
    store: Store, plan: Plan, cache: Path | None, executor: Executor, index: Index | None, progress: Progress
) -> int:
    """Returns the number of units that workers computed, rather than the store or the cache held."""
    total, done, computed, changed = len(plan.units()), 0, 0, False
    clips = {clip.name: clip for clip in plan.clips}

    def write(unit: Unit, result: UnitResult, index: Index | None) -> None:
        nonlocal done, changed
        if not changed:
            _changes(store)
            changed = True
        write_unit(store, index, clips[unit.corpus, unit.clip], unit, result)
        done += 1
        progress("clips x points", done, total)

    def waiting() -> Iterator[Unit]:
        """The units that neither store nor cache hold; what the cache holds is written."""
        nonlocal done
        for clip in plan.clips:
            complete = _complete(store, plan, clip)
            for planned in plan.points_of(clip):
                if (planned.codec.name, planned.point.label) in complete:
                    done += 1
                    continue
                unit = unit_of(plan, clip, planned, cache)
                cached = _from_cache(unit, index) if index else None
                if cached:
                    write(unit, cached, None)
                else:
                    yield unit
            progress("clips x points", done, total)

    progress("clips x points", 0, total)
    for task, value in executor.results(waiting()):
        assert isinstance(task, Unit)
        if isinstance(value, Failure):
            rest = _without_metric(task, value)
            if rest:
                executor.submit(rest)
                continue
            value = UnitResult(_unit_reason(value), f"{value.stage}: {value.detail}", None, (), None, 0.0)
        write(task, value, index)
        computed += 1
    return computed


def _complete(store: Store, plan: Plan, clip: PlannedClip) -> set[tuple[str, str]]:
    """(codec, point) of the clip's units that have all their rows."""
    names = {metric.name for metric in plan.metrics_for(clip.item.content)}
    scored: dict[tuple[str, str], set[str]] = {}
    for r in store.rows("SELECT codec, point, metric FROM scores WHERE corpus = ? AND clip = ?", *clip.name):
        scored.setdefault((r["codec"], r["point"]), set()).add(r["metric"])
    results = store.rows("SELECT codec, point, status FROM results WHERE corpus = ? AND clip = ?", *clip.name)
    units = [(r["codec"], r["point"], r["status"]) for r in results]
    return {(c, p) for c, p, status in units if status != "ok" or scored.get((c, p), set()) >= names}


def _unit_reason(failure: Failure) -> str:
    return {"raised": "codec_failed", "crashed": "crashed", "timeout": "timeout"}[failure.kind]


def _without_metric(unit: Unit, failure: Failure) -> Unit | None:
    """The unit without the metric that crashed or did not end, so that the rest is not lost; None if none did."""
    if not failure.stage.startswith("metric ") or failure.kind == "raised":
        return None
    reason = Reason.CRASHED if failure.kind == "crashed" else Reason.TIMEOUT
    score = ScoreValue(failure.stage.removeprefix("metric "), None, reason.value, failure.detail)
    return replace(unit, skip=(*unit.skip, score))


def _from_cache(unit: Unit, index: Index) -> UnitResult | None:
    """The unit's result if the cache has all of it."""
    entry = index.get(unit.recipe) if unit.clip_key else None
    if not isinstance(entry, dict):
        return None
    coded = Coded(**entry["coded"])
    scores = []
    for name, fingerprint in unit.metrics:
        score = index.get(unit.score_key(fingerprint, coded.wave_sha256))
        if not isinstance(score, list):
            return None
        scores.append(ScoreValue(name, *score))
    rate, seconds, channels = entry["clip"]
    return UnitResult("", "", coded, tuple(scores), (rate, seconds, channels), 0.0)


def _run_tokens(store: Store, plan: Plan, cache: Path | None, executor: Executor, progress: Progress) -> None:
    """Count the codes of the points that have not been counted since their last unit was written."""
    points, without = tokens_points(store, plan)
    if not points and not without:
        return
    _changes(store)
    with store:
        store.put(without)
    if points:
        progress("tokens", 0, len(points))
    tasks = (tokens_task(store, plan, point, cache) for point in points)
    for count, (done, value) in enumerate(executor.results(tasks), 1):
        assert isinstance(done, TokensTask)
        if isinstance(value, Failure):
            value = [failed_tokens(done, _unit_reason(value), f"{value.stage}: {value.detail}")]
        with store:
            store.put(value)
        progress("tokens", count, len(points))


def _run_timing(store: Store, plan: Plan, executor: Executor, progress: Progress) -> None:
    """Time the codecs that coded a few clips without failure, on these clips, one worker alone."""
    suite = plan.suite
    if not suite.timing_repeats:
        return
    done = {(r["codec"], r["point"], r["content"]) for r in store.rows("SELECT codec, point, content FROM timings")}
    items = {clip.name: clip for clip in plan.clips}
    tasks = []
    for planned in plan.points:
        key = planned.key
        if planned.unavailable or planned.codec.kind == "anchor" or key in done:
            continue
        coded = store.rows(
            "SELECT c.corpus, c.clip FROM results r JOIN clips c USING (corpus, clip) WHERE r.codec = ? AND r.point = ?"
            " AND c.content = ? AND r.status = 'ok' AND c.seconds >= 1 ORDER BY c.corpus, c.clip LIMIT ?",
            *key,
            suite.timing_clips,
        )
        clips = [items[r["corpus"], r["clip"]] for r in coded]
        if clips:
            parts = tuple((c.item.path, c.item.start, min(c.seconds or TIMED, TIMED), c.sha256) for c in clips)
            tasks.append(TimingTask(*key, parts, suite.timing_repeats))
    if not tasks:
        return
    _changes(store)
    progress("timing", 0, len(tasks))
    for count, task in enumerate(tasks, 1):
        timed = executor.alone(task)
        value = timed.value
        failed = isinstance(value, Failure)
        rows = [failed_row(task, f"{value.kind} in {value.stage}: {value.detail}")] if failed else value
        with store:
            store.put(replace(row, host=timed.host, comparable=int(timed.comparable)) for row in rows)
        progress("timing", count, len(tasks))


def _outcome(store: Store, plan: Plan, folder: Path, computed: int) -> Outcome:
    def count(query: str) -> int:
        return int(store.rows(query)[0]["n"])

    return Outcome(
        folder,
        len(plan.units()),
        count("SELECT count(*) AS n FROM results WHERE status != 'ok'"),
        count("SELECT count(*) AS n FROM scores WHERE value IS NULL"),
        count("SELECT count(*) AS n FROM checks WHERE passed = 0"),
        computed,
    )
