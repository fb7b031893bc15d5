"""Suites: what a run measures, as a TOML file.

title = "Our product's rates"
extends = "speech"                          # a suite that ships, or a path; what is not said is taken from it
corpora = ["speech", "librispeech:/data/LibriSpeech"]
codecs = ["opus@6+12", "amr_wb"]            # name, or name@point+point; "*" is every codec, then
                                            # "-name" leaves one out
metrics = ["pesq_wb", "stoi"]
seed = 0                                    # of the choice of clips under a limit, and of the bootstrap
[limits]
clips = 20                                  # at most so many clips of a corpus, spread evenly over it
max_seconds = 10                            # only the first seconds of each clip
[timing]
clips = 3
repeats = 3                                 # 0: no timing
"""

from __future__ import annotations

import hashlib
import json
import os
import reprlib
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from ..corpora import Content
from .files import TextError, parse_toml, read_text

#: so many suites may extend one another in a row
DEPTH = 16
#: of whole numbers: above it they fit into no store
_LIMIT = 2**63
#: 30 years
_SECONDS = 1e9


class SuiteError(Exception):
    """A suite that cannot be used; names the file, the key and what it should be."""


@dataclass(frozen=True)
class Suite:
    """What a run measures. `clips` and `max_seconds` are None where there is no limit."""

    name: str
    title: str
    corpora: tuple[str, ...]
    codecs: tuple[str, ...]
    metrics: tuple[str, ...]
    content: Content = "speech"
    seed: int = 0
    clips: int | None = None
    max_seconds: float | None = None
    timing_clips: int = 3
    timing_repeats: int = 3

    def __post_init__(self) -> None:
        if not 0 <= self.seed < _LIMIT:
            raise SuiteError(f"suite {self.name}: seed is {self.seed}; it must be 0 or more, and below 2^63")

    def digest(self) -> str:
        """Hash of everything but the name and title; 64 hex digits."""
        what = {key: value for key, value in asdict(self).items() if key not in {"name", "title"}}
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


_KEYS: dict[str, type] = {
    "title": str,
    "extends": str,
    "corpora": list,
    "codecs": list,
    "metrics": list,
    "content": str,
    "seed": int,
    "limits": dict,
    "timing": dict,
}
#: of the tables: whole numbers or any, and the least that makes sense
_SUB: dict[str, dict[str, tuple[type, int]]] = {
    "limits": {"clips": (int, 1), "max_seconds": (float, 0)},
    "timing": {"clips": (int, 1), "repeats": (int, 0)},
}


def shipped() -> list[str]:
    """Names of the suites that ship."""
    files = resources.files(__package__).joinpath("suites").iterdir()
    return sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml"))


def load_suite(name: str) -> Suite:
    """A suite by the name of one that ships, or by the path of a TOML file. Raises SuiteError."""
    return _suite(Path(name).stem, _read(name, ()), name)


def recorded_suite(record: dict[str, Any]) -> Suite:
    """The suite of a run as its run.json has it. Raises SuiteError where that is damaged."""
    name = str(record.get("name"))
    data = {key: record[key] for key in _KEYS.keys() & record.keys()}
    flat = {"limits": {"clips": "clips", "max_seconds": "max_seconds"}}
    flat["timing"] = {"clips": "timing_clips", "repeats": "timing_repeats"}
    for table, keys in flat.items():
        data[table] = {key: record[name] for key, name in keys.items() if record.get(name) is not None}
    _validate(name, data)
    return _suite(name, data, name)


def _suite(name: str, data: dict[str, Any], where: str) -> Suite:
    limits, timing = data.get("limits", {}), data.get("timing", {})
    try:
        return Suite(
            name=name,
            title=data.get("title", name),
            corpora=tuple(data["corpora"]),
            codecs=tuple(data["codecs"]),
            metrics=tuple(data["metrics"]),
            content=data.get("content", "speech"),
            seed=data.get("seed", 0),
            clips=limits.get("clips"),
            max_seconds=limits.get("max_seconds"),
            timing_clips=timing.get("clips", 3),
            timing_repeats=timing.get("repeats", 3),
        )
    except KeyError as error:
        raise SuiteError(f'suite {where}: {error.args[0]!r} is missing; give it, or extends = "speech"') from error


def _read(name: str, seen: tuple[str, ...]) -> dict[str, Any]:
    if name in shipped():
        text = resources.files(__package__).joinpath("suites").joinpath(f"{name}.toml").read_text("utf-8")
        base, here = Path(), name
    else:
        path = Path(name)
        if path.suffix != ".toml":
            raise SuiteError(f"no suite named {name!r}; there are: {', '.join(shipped())}, or give a .toml file")
        try:
            text = read_text(path)
        except TextError as error:
            raise SuiteError(f"suite {name}: cannot be read: {error}") from error
        base, here = path.parent, os.path.realpath(path)
    if here in seen:
        raise SuiteError(f"suite {name} extends itself: {' -> '.join((*seen, here))}")
    if len(seen) == DEPTH:
        raise SuiteError(f"suite {name}: more than {DEPTH} suites extend one another; write it into fewer files")
    try:
        data = parse_toml(text)
    except TextError as error:
        raise SuiteError(f"suite {name}: {error}") from error
    _validate(name, data)
    parent = data.pop("extends", None)
    if parent is None:
        return data
    if parent not in shipped():
        parent = str(base / parent)
    merged = _read(parent, (*seen, here))
    for key, value in data.items():
        merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    return merged


def _validate(name: str, data: dict[str, Any]) -> None:
    for key, value in data.items():
        if key not in _KEYS:
            raise SuiteError(f"suite {name}: unknown key {reprlib.repr(key)}; there are: {', '.join(_KEYS)}")
        if not isinstance(value, _KEYS[key]) or isinstance(value, bool):
            raise SuiteError(f"suite {name}: {key} is {reprlib.repr(value)}, not a {_KEYS[key].__name__}")
        if key == "content" and value not in get_args(Content):
            raise SuiteError(
                f"suite {name}: content is {reprlib.repr(value)}, not one of {', '.join(get_args(Content))}"
            )
        if isinstance(value, list) and not (value and all(isinstance(v, str) and v.strip() for v in value)):
            raise SuiteError(f"suite {name}: {key} must be a list of names that is not empty")
        for sub, number in value.items() if isinstance(value, dict) else ():
            if sub not in _SUB[key]:
                raise SuiteError(f"suite {name}: unknown key {key}.{sub[:40]}; there are: {', '.join(_SUB[key])}")
            _validate_number(f"suite {name}: {key}.{sub}", number, *_SUB[key][sub])


def _validate_number(where: str, number: Any, kind: type, least: int) -> None:
    whole = isinstance(number, int) and not isinstance(number, bool)
    if kind is int:
        if not whole or not least <= number < _LIMIT:
            raise SuiteError(f"{where} is {reprlib.repr(number)}, not a whole number >= {least}")
    elif not (whole or isinstance(number, float)) or not least < number <= _SECONDS:
        raise SuiteError(f"{where} is {reprlib.repr(number)}, not a number > {least} and at most {_SECONDS:g}")
