"""What `bench run` and `codecbench.run` do: resolve a plan, execute it, write its outputs."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..codecs._device import choose
from ..codecs._load import load_module
from . import store
from .cache import Files, cache_folder, prune, size_limit
from .executor import Executor
from .files import user_path
from .plan import Plan, make_plan, wanted_codecs
from .prefetch import fetch_missing
from .runner import Outcome, Progress, Settings, execute
from .suite import Suite, load_suite


def resolve(
    suite: str | Suite = "speech",
    *,
    corpora: Sequence[str] | None = None,
    codecs: Sequence[str] | None = None,
    points: Sequence[str] = (),
    metrics: Sequence[str] | None = None,
    limit: int | None = None,
    seed: int | None = None,
    timing: bool = True,
    codec_modules: Sequence[Path | str] = (),
    device: str = "cpu",
    offline: bool = False,
    fetch_models: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Plan:
    """The plan of a suite with some of its entries replaced; see `run` for the parameters and errors. `say` is called
    with a line for each model that is fetched, and before clips are."""
    choose(device)
    modules = [Path(os.path.realpath(user_path(module))) for module in codec_modules]
    for module in modules:
        load_module(module)
    changes: dict[str, Any] = {
        "corpora": None if corpora is None else tuple(corpora),
        "codecs": None if codecs is None else tuple(codecs),
        "metrics": None if metrics is None else tuple(metrics),
        "clips": limit,
        "seed": seed,
        "timing_repeats": None if timing else 0,
    }
    chosen = dataclasses.replace(
        suite if isinstance(suite, Suite) else load_suite(suite), **{k: v for k, v in changes.items() if v is not None}
    )
    wanted = wanted_codecs(chosen.codecs)
    if not offline:
        fetch_missing(wanted.codecs, fetch_models, say)
    return make_plan(chosen, wanted, modules, points, device, say)


def default_folder(plan: Plan) -> Path:
    """runs/SUITE-HASH below the current folder: the same plan has the same folder."""
    return Path("runs") / f"{plan.suite.name}-{plan.digest()[:8]}"


def run_plan(
    plan: Plan,
    folder: Path,
    settings: Settings,
    *,
    resume: bool = True,
    progress: Progress = lambda *_: None,
    executor: Executor | None = None,
) -> Outcome:
    """Execute a plan and write tables, plots and page. After KeyboardInterrupt the same call goes on.

    Raises
    ------
    StoreError, CacheError : a folder that cannot be used.
    """
    from ..reports.write import write_outputs

    limit = size_limit()  # a limit that is no number is better told before the work than after it
    if not resume:
        store.remove(folder)

    def finish() -> None:
        progress("writing tables, plots and page", 0, 0)
        try:
            write_outputs(folder, Files(settings.cache) if settings.cache else None)
        except OSError as error:
            raise store.StoreError(
                f"{folder}: tables and page could not be written ({error.strerror or error}); mend that: "
                "everything computed is kept, and the same command writes them"
            ) from error

    outcome = execute(plan, folder, settings, progress, finish, executor)
    if settings.cache:
        prune(settings.cache, limit)
    return outcome


def run(
    suite: str = "speech",
    *,
    corpora: Sequence[str] | None = None,
    codecs: Sequence[str] | None = None,
    points: Sequence[str] = (),
    metrics: Sequence[str] | None = None,
    limit: int | None = None,
    seed: int | None = None,
    timing: bool = True,
    codec_modules: Sequence[Path | str] = (),
    device: str = "cpu",
    offline: bool = False,
    fetch_models: bool = False,
    out: Path | str | None = None,
    jobs: int | None = None,
    timeout: float = 300.0,
    cache: bool = True,
    resume: bool = True,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Outcome:
    """Run a suite; the same call goes on where it was stopped.

    In a script, call it below `if __name__ == "__main__":`, since workers are spawned processes.

    Parameters
    ----------
    suite : name of a suite that ships, or path of a TOML file.
    corpora, codecs, metrics, limit, seed : replace the suite's entries; codecs as "opus" or "opus@6+12",
        or "encodec:/path/to/weights" for weights of your own.
    points : only operating points with these labels.
    timing : False leaves the timing phase out.
    codec_modules : files of further codec adapters.
    device : "cpu", or "cuda" for the codecs that can use a GPU.
    offline : True, or CODECBENCH_OFFLINE=1, fetches nothing; else the small models (10 MB at most) that the suite's
        codecs lack are fetched first, and told to `progress`.
    fetch_models : fetch the large ones too.
    out : the run folder, by default runs/SUITE-HASH.
    jobs : worker processes, by default the physical cores.
    timeout : seconds that one stage of a unit may take.
    cache : False neither uses nor fills the cache.
    resume : False starts anew in a folder that holds a run.
    progress : called with (phase, done, total).

    Raises
    ------
    SuiteError, CorpusError, LoadError, DeviceError : something named does not exist.
    StoreError : the folder holds another plan's run, or another process writes there.
    """
    plan = resolve(
        suite,
        corpora=corpora,
        codecs=codecs,
        points=points,
        metrics=metrics,
        limit=limit,
        seed=seed,
        timing=timing,
        codec_modules=codec_modules,
        device=device,
        offline=offline,
        fetch_models=fetch_models,
        say=lambda line: progress(line, 0, 0),
    )
    folder = Path(out) if out else default_folder(plan)
    settings = Settings(
        jobs=jobs or physical_cores(),
        timeout=timeout,
        cache=cache_folder() if cache else None,
        command=f"codecbench.run({suite!r})",
        created=now(),
    )
    return run_plan(plan, folder, settings, resume=resume, progress=progress)


def now() -> str:
    """The time, ISO 8601, UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def physical_cores() -> int:
    """Physical cores that this process may use; two threads of one core count once where that is known."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    cores = set()
    for cpu in allowed:
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            cores.add(re.split("[,-]", topology.read_text().strip())[0])
        except OSError:
            cores.add(str(cpu))
    return max(1, len(cores))
