"""Fingerprints: what a cached value depends on, as a hash.

A codec's fingerprint covers the source of its module and of the package's modules that it uses, its configuration
and the versions of the libraries beneath; so does a metric's. Change any of them, and only what depends on it is
computed again.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import inspect
import json
import sys
from types import ModuleType
from typing import Any

from ..codecs import Codec, Point
from ..codecs._device import label_of
from .metrics import Metric

_ROOT = __package__.rpartition(".")[0]


def digest(*parts: Any) -> str:
    """SHA-256 over JSON-able parts; 64 hex digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


@functools.cache
def version_of(package: str) -> str:
    """The installed version of a distribution, "absent" if there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


@functools.cache
def module_source(name: str) -> str:
    """Hash of a module's source and of the modules of this package's `codecs` and `metrics` that it names.

    Only helpers are followed (`_av`, `_visqol`, the modules of a sub-package): other public modules register things
    of their own.
    """
    found: dict[str, str] = {}
    _collect(name, found)
    return digest(sorted(found.items()))


def _collect(name: str, found: dict[str, str]) -> None:
    module = sys.modules.get(name)
    if name in found or module is None:
        return
    try:
        found[name] = hashlib.sha256(inspect.getsource(module).encode()).hexdigest()
    except (OSError, TypeError):
        found[name] = "no source"
    for value in vars(module).values():
        other = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(other, str) and other.startswith(_ROOT + ".") and _is_helper(other):
            _collect(other, found)


def _is_helper(name: str) -> bool:
    """True for a private module of `codecs` or `metrics`, and for any module within a codec's own sub-package."""
    for folder in (".codecs.", ".metrics."):
        _, found, below = name.partition(folder)
        if found:
            return below.startswith("_") or "." in below
    return False


@functools.cache
def pipeline_source() -> str:
    """Hash of what lies between a codec and its scores: resampling, padding, alignment, rounding."""
    modules = [importlib.import_module(f"{__package__}.{name}") for name in ("audio", "pipeline")]
    return digest([module_source(module.__name__) for module in modules], version_of("soxr"))


def codec_fingerprint(codec: Codec, point: Point) -> str:
    """What a coded clip depends on besides the clip."""
    return digest(
        codec.name,
        [point.label, point.kbps, dict(point.params), point.mode, point.rates],
        module_source(type(codec).__module__),
        codec.config(),
        codec.versions(),
        label_of(codec),
        pipeline_source(),
    )


def metric_fingerprint(metric: Metric) -> str:
    """What a score depends on besides the two clips."""
    packages = [metric.package, "numpy", "scipy", "soxr", "numba", "pyfftw", "ai-edge-litert", "libsvm-official"]
    return digest(
        metric.name,
        metric.variant,
        module_source(metric.function.__module__),
        [(package, version_of(package)) for package in packages if package],
    )
