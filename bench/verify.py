"""Do the rows of a run hold? A sample of them is computed again; see `recompute.py` for how one is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..codecs._device import DeviceError
from ..codecs._device import choose as choose_device
from ..codecs._load import LoadError, load
from ..corpora import CorpusError
from ..corpora._open import open_corpus
from .executor import Failure
from .places import Place, is_url
from .pool import Pool
from .provenance import changed, modules_wanted, weights_used
from .recompute import RowTask, State, Verdict
from .rows import ClipRow, PointRow, ResultRow, ScoreRow
from .sampling import in_turn
from .store import Store, StoreError

Row = dict[str, Any]


@dataclass(frozen=True)
class Verification:
    """What a sample came to. rows: of the run. notes: what is not as it was when the run was made."""

    rows: int
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]

    def count(self, state: State) -> int:
        return sum(verdict.state == state for verdict in self.verdicts)

    @property
    def largest(self) -> dict[str, float]:
        """The largest difference of each number that has one, by its name."""
        found: dict[str, float] = {}
        for finding in (finding for verdict in self.verdicts for finding in verdict.findings):
            if finding.difference is not None and abs(finding.difference) > abs(found.get(finding.what, 0.0)):
                found[finding.what] = finding.difference
        return dict(sorted(found.items()))

    @property
    def exit_code(self) -> int:
        """0 holds, 1 something differs, 2 nothing could be checked."""
        return 1 if self.count("differs") else 0 if self.count("holds") else 2


def verify(
    run: Path,
    *,
    sample: int | None = 20,
    seed: int = 0,
    jobs: int = 1,
    timeout: float = 300.0,
    cache: Path | None = None,
    codec_modules: Sequence[Path] = (),
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Verification:
    """Compute rows of a run again.

    Parameters
    ----------
    sample : how many, of every operating point in turn; None for all.
    seed : of the choice.
    cache : where the bitstreams are, None to encode all anew.
    codec_modules : the adapters that the run used. They are code, so the run alone does not load them.

    Raises
    ------
    StoreError : no run folder, or one that cannot be read.
    LoadError : a codec module that cannot be used.
    """
    store = Store(run)
    try:
        store.check()
        info = store.info()
        keys = store.rows("SELECT corpus, clip, codec, point FROM results ORDER BY corpus, clip, codec, point")
        chosen = choose(keys, sample, seed)
        notes = changed(info)
        if wanted := modules_wanted(info, codec_modules):
            notes.append(f"the run used codec modules, which are code and not run unasked: give {wanted}")
        sources = _loaded(codec_modules, weights_used(info), notes)
        device = _device(info.get("device") or "cpu", notes)
        tasks = _tasks(store, chosen, info, cache, notes)
    finally:
        store.close()
    verdicts = []
    with Pool(jobs, timeout, sources, device) as pool:
        progress("rows", 0, len(tasks))
        for task, value in pool.results(tasks):
            assert isinstance(task, RowTask)
            verdicts.append(_failed(task, value) if isinstance(value, Failure) else value)
            progress("rows", len(verdicts), len(tasks))
    verdicts.sort(key=lambda v: (v.codec, v.point, v.corpus, v.clip))
    return Verification(len(keys), tuple(verdicts), tuple(notes))


def choose(rows: Sequence[Row], sample: int | None, seed: int) -> list[Row]:
    """So many rows, of every operating point in turn; the same ones for the same seed."""
    return in_turn(rows, lambda row: (row["codec"], row["point"]), sample, seed)


def _loaded(given: Sequence[Path], recorded: Sequence[str], notes: list[str]) -> list[str]:
    """The codec modules that were given, and the weights of the run, loaded. Raises LoadError for a module."""
    sources = []
    for path in given:
        source = str(path.expanduser().resolve())
        load(source)
        sources.append(source)
    for source in recorded:
        try:
            load(source)
        except LoadError as error:
            notes.append(f"what the run used cannot be loaded: {error}")
        else:
            sources.append(source)
    return list(dict.fromkeys(sources))


def _device(device: str, notes: list[str]) -> str:
    try:
        choose_device(device)
    except DeviceError as error:
        notes.append(f"the run used {device}: {error}")
        return "cpu"
    return device


def _tasks(
    store: Store, chosen: Sequence[Row], info: Mapping[str, Any], cache: Path | None, notes: list[str]
) -> list[RowTask]:
    places = _Places(info.get("suite") or {}, Path(info.get("directory") or "."), notes)
    metrics = tuple((m["name"], m.get("fingerprint", "")) for m in info.get("metrics") or [])
    tasks = []
    for row in sorted(chosen, key=lambda row: tuple(row.values())):  # a worker keeps the clip that it had last
        corpus, name, codec, label = row.values()
        unit = "WHERE corpus = ? AND clip = ? AND codec = ? AND point = ?"
        result = ResultRow(**_one(store, f"SELECT * FROM results {unit}", *row.values()))
        scores = store.rows(f"SELECT * FROM scores {unit} ORDER BY metric", *row.values())
        clip = ClipRow(**_one(store, "SELECT * FROM clips WHERE corpus = ? AND clip = ?", corpus, name))
        point = "SELECT * FROM points WHERE codec = ? AND point = ? AND content = ?"
        made = PointRow(**_one(store, point, codec, label, clip.content))
        there = tuple(ScoreRow(**score) for score in scores)
        tasks.append(RowTask(result, there, clip, made, places.of(clip), metrics, cache))
    return tasks


def _one(store: Store, query: str, *values: object) -> Row:
    found = store.rows(query, *values)
    if not found:
        table = query.split()[3]
        raise StoreError(f"{store.folder}: its table {table} lacks {' '.join(map(str, values))}; run it anew")
    return found[0]


class _Places:
    """Where the clips of a run are: as it says, from here or the folder where it was made; or, on another machine,
    where its corpora are now."""

    def __init__(self, suite: Mapping[str, Any], folder: Path, notes: list[str]) -> None:
        self._suite, self._folder, self._notes = suite, folder, notes
        self._items: dict[tuple[str, str], Place] | None = None

    def of(self, clip: ClipRow) -> str:
        if is_url(clip.path) or Path(clip.path).exists():
            return clip.path
        if (self._folder / clip.path).exists():
            return str(self._folder / clip.path)
        if self._items is None:
            self._items = {}
            for spec in self._suite.get("corpora") or []:
                try:
                    items = open_corpus(spec, self._suite.get("content") or "speech")
                except CorpusError as error:
                    self._notes.append(f"a corpus of the run: {error}")
                else:
                    self._items |= {(item.corpus, item.id): item.path for item in items}
        return str(self._items.get((clip.corpus, clip.clip), clip.path))


def _failed(task: RowTask, failure: Failure) -> Verdict:
    """The verdict of a row that could not be computed to its end."""
    if failure.kind == "raised" and task.result.reason == "codec_failed":
        return task.verdict("", 1, [])
    last = failure.detail.strip().splitlines()[-1:] or [""]
    return task.unchecked(f"{failure.kind} in {failure.stage or 'its start'}: {last[0]}")
