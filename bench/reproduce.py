"""A run again: its plan from its run.json, what has changed since, and whether the same came out.

Of a run folder every value is compared with the repeat's; of a run.json alone, such as one from a paper's appendix, the
hash of all values (see `seal.py`).
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..corpora import registry as corpora
from .api import resolve
from .files import TextError, read_text
from .places import is_url
from .plan import Plan, PlannedPoint, weights_of
from .provenance import changed, modules_wanted, versions_of
from .seal import Key, Values, clip_values, clips_of, points_of, token_values
from .store import FILE, Store
from .suite import recorded_suite


class ReproduceError(Exception):
    """A run that cannot be repeated; says why."""


@dataclass(frozen=True)
class Record:
    """A run as it was written down: the table `run` of its store, or run.json. folder: where its rows are, None of a
    run.json alone. points: those that could run; None where that is not known. again: where the repeat goes."""

    info: Mapping[str, Any]
    folder: Path | None
    points: Sequence[Mapping[str, str]] | None
    again: Path


@dataclass(frozen=True)
class Difference:
    """A value that is not the same, or a row that only one has: then `field` is empty."""

    key: Key
    field: str
    then: Any
    now: Any


@dataclass(frozen=True)
class Comparison:
    """compared: rows by kind, empty where only hashes were. equal: all values are."""

    equal: bool
    compared: Mapping[str, int]
    differences: tuple[Difference, ...]


def load_record(path: Path) -> Record:
    """Of a run folder or a run.json.

    Raises
    ------
    StoreError : a run folder that cannot be read.
    ReproduceError : it is neither, or holds nothing that could be compared.
    """
    if (path / FILE).exists():
        with closing(Store(path)) as store:
            store.check()
            info = store.info()
            return _record(path, info, path, points_of(store))
    file = path / "run.json" if path.is_dir() else path
    try:
        info = json.loads(read_text(file))
    except TextError as error:
        raise ReproduceError(f"{file}: {error}; give a run folder, or its run.json") from error
    except (ValueError, RecursionError) as error:
        raise ReproduceError(f"{file}: not JSON ({error}); give a run folder, or its run.json") from error
    if not isinstance(info, dict) or not isinstance(info.get("suite"), dict):
        raise ReproduceError(f"{file}: not the run.json of a run, it has no suite")
    if info.get("status") != "complete" or not isinstance(info.get("rows_sha256"), str):
        why = "of a run that is not complete" if info.get("status") != "complete" else "without the hash of its rows"
        raise ReproduceError(f"{file}: a run.json {why}: nothing to compare with; give the run folder")
    return _record(file, info, None, info.get("points"))


def _record(path: Path, info: Mapping[str, Any], folder: Path | None, points: Any) -> Record:
    shapes = {"suite": dict, "packages": dict, "machine": dict, "metrics": list, "sources": list, "device": str}
    for key, shape in (shapes | {"directory": str}).items():
        if key in info and not isinstance(info[key], shape):
            raise ReproduceError(f"{path}: damaged: {key} is no {shape.__name__}")
    for name, rows, keys in (("points", points, _POINT), ("metrics", info.get("metrics"), ("name",))):
        if rows is None:
            continue
        if not isinstance(rows, list) or not all(isinstance(r, dict) and all(k in r for k in keys) for r in rows):
            raise ReproduceError(f"{path}: damaged: {name} are not as `bench run` writes them")
    name = path.resolve().stem if path.is_file() else path.resolve().name
    return Record(info, folder, points, path.resolve().parent / f"{name}-again")


_POINT = ("codec", "point", "content", "versions", "fingerprint")


def plan_again(
    record: Record,
    *,
    corpora: Sequence[str] | None = None,
    codec_modules: Sequence[Path] = (),
    timing: bool = True,
    offline: bool = False,
    fetch_models: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Plan, list[str]]:
    """The run's plan, and what is not as it was: each is a reason why its numbers may not come out again.

    Parameters
    ----------
    corpora : where they are here, instead of the run's.
    codec_modules : the run's adapters, by the same file names. They are code, so a record alone does not run them.

    Raises
    ------
    ReproduceError : a codec module of the run was not given.
    SuiteError, CorpusError, LoadError, DeviceError : something of the run is not here.
    """
    info = record.info
    suite = recorded_suite(info.get("suite") or {})
    notes = changed(info)
    if suite.digest() != (info.get("suite") or {}).get("digest", ""):
        notes.append("suite: not the one that its digest was made of; the record was changed, or is of other code")
    folder = Path(info.get("directory") or ".")
    suite = dataclasses.replace(
        suite,
        corpora=tuple(_anchored(spec, _corpus_path(spec), folder) for spec in suite.corpora),
        codecs=tuple(_anchored(spec, str(weights_of(spec)[1] or ""), folder) for spec in suite.codecs),
    )
    if wanted := modules_wanted(info, codec_modules):
        raise ReproduceError(f"the run used codec modules, which are code and not run unasked; give {wanted}")
    plan = resolve(
        suite,
        corpora=corpora,
        timing=timing,
        codec_modules=codec_modules,
        device=info.get("device") or "cpu",
        offline=offline,
        fetch_models=fetch_models,
        say=say,
    )
    if record.points is not None:
        then = {(p["codec"], p["point"], p["content"]): p for p in record.points}
        points = [p for p in plan.points if p.key in then]
        notes += _points_changed(then, points)
        plan = dataclasses.replace(plan, points=tuple(points))
    declared = {m["name"]: m.get("fingerprint") for m in info.get("metrics") or []}
    for name, fingerprint in plan.metric_fingerprints.items():
        if declared.get(name, fingerprint) != fingerprint:
            notes.append(f"metric {name}: its code, or a library beneath, is another")
    return plan, notes


def _corpus_path(spec: str) -> str:
    """The path in a corpus as users write it, empty if there is none."""
    name, colon, rest = spec.partition(":")
    return rest if colon and name in corpora else "" if name in corpora else spec


def _anchored(spec: str, path: str, folder: Path) -> str:
    """The spec with its path below the folder where the run was made, if it is relative and only there."""
    if not path or is_url(path) or Path(path).expanduser().is_absolute():
        return spec
    there = folder / path
    return spec.replace(path, str(there), 1) if there.exists() and not Path(path).exists() else spec


def _points_changed(
    wanted: Mapping[tuple[str, str, str], Mapping[str, str]], points: Sequence[PlannedPoint]
) -> Iterator[str]:
    said: dict[str, list[str]] = {}
    for planned in points:
        was = wanted[planned.key]
        if planned.unavailable:
            why = f"cannot run here: {planned.unavailable}"
        elif planned.fingerprint == was["fingerprint"]:
            continue
        elif (now := versions_of(planned.codec)) != was["versions"]:
            why = f"{was['versions'] or 'other versions'} then, {now or 'other versions'} now"
        else:
            why = "its code, or what it stands on in codecbench, is another"
        said.setdefault(f"codec {planned.codec.name}: {why}", []).append(planned.point.label)
    yield from said
    for key in sorted(wanted.keys() - {planned.key for planned in points}):
        yield f"codec {' '.join(key)}: there is no such operating point now"


def compare(record: Record, folder: Path) -> Comparison:
    """What came out then, and in the run folder of the repeat. Raises StoreError."""
    with closing(Store(folder)) as now:
        if record.folder is None:
            return Comparison(now.get("rows_sha256") == record.info["rows_sha256"], {}, ())
        with closing(Store(record.folder)) as then:
            compared: Counter[str] = Counter()
            found = [d for one, two in _pairs(then, now) for d in _differences(one, two, compared)]
    return Comparison(not found, dict(compared), tuple(found))


def _pairs(then: Store, now: Store) -> Iterator[tuple[dict[Key, Values], dict[Key, Values]]]:
    """The values of one clip after the other in both, then of the tokens."""
    for clip in sorted({*clips_of(then), *clips_of(now)}):
        yield clip_values(then, *clip), clip_values(now, *clip)
    yield token_values(then), token_values(now)


def _differences(one: dict[Key, Values], two: dict[Key, Values], compared: Counter[str]) -> Iterator[Difference]:
    for key in sorted(one.keys() | two.keys()):
        compared[key[0]] += 1
        if key not in one or key not in two:
            yield Difference(key, "", *("there" if key in side else "absent" for side in (one, two)))
            continue
        for field, then in one[key].items():
            now = two[key][field]
            unknown = field == "wave_sha256" and "" in (then, now)  # of a store of version 4
            if then != now and not unknown:
                yield Difference(key, field, then, now)
