"""What makes a number, as facts that driver and workers must agree on: Python, packages, source, codecs and metrics."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...codecs import registry as codecs
from ..executor import Stage
from ..fingerprint import codec_fingerprint, digest, metric_fingerprint
from ..metrics import registry as metrics
from ..plan import Plan
from ..provenance import packages

_ROOT = Path(__file__).parents[2]
_PARTS = ("bench", "codecs", "corpora")  # what gives numbers; reports only show them

ABSENT = "absent"


@dataclass(frozen=True)
class FactsTask:
    """The facts of the process that runs it: name -> version, or the start of a hash.

    points : (codec, label of the point, content) of the plan; metrics : their names.
    """

    points: tuple[tuple[str, str, str], ...]
    metrics: tuple[str, ...]

    @property
    def group(self) -> str:
        return "facts"

    def run(self, stage: Stage) -> dict[str, str]:
        """Python, packages, the package's source, and the fingerprints of codecs and metrics."""
        stage("versions")
        facts = {"Python": ".".join(platform.python_version_tuple()[:2]), **packages()}
        facts["codecbench source"] = source_hash()
        for name in dict.fromkeys(codec for codec, _, _ in self.points):
            facts[f"codec {name}"] = _codec(name, [(p, c) for codec, p, c in self.points if codec == name])
        for name in self.metrics:
            facts[f"metric {name}"] = metric_fingerprint(metrics.get(name))[:12] if name in metrics else ABSENT
        return facts


def facts_task(plan: Plan) -> FactsTask:
    """The task for the operating points and metrics that a plan computes."""
    points = tuple(point.key for point in plan.points if not point.unavailable)
    return FactsTask(points, tuple(metric.name for metric in plan.metrics))


def source_hash() -> str:
    """Hash of the package's files that give numbers, 12 hex digits."""
    files = sorted(path for part in _PARTS for path in (_ROOT / part).rglob("*.py"))
    hashes = [(path.relative_to(_ROOT).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]
    return digest(hashes)[:12]


def _codec(name: str, points: list[tuple[str, str]]) -> str:
    if name not in codecs:
        return ABSENT
    codec = codecs.get(name)
    if reason := codec.available():
        return f"{ABSENT}: {reason}"
    return digest([codec_fingerprint(codec, codec.point(label, content)) for label, content in points])[:12]


def table(driver: Mapping[str, str], hosts: Mapping[str, Mapping[str, str]]) -> str:
    """What differs from the driver, one line a fact: which host has which version.

    hosts : facts by host, of those that differ in something.
    """
    lines = []
    for name in sorted({name for facts in (driver, *hosts.values()) for name in facts}):
        ours = driver.get(name, ABSENT)
        others: dict[str, list[str]] = {}
        for host, facts in hosts.items():
            if facts.get(name, ABSENT) != ours:
                others.setdefault(facts.get(name, ABSENT), []).append(host)
        if others:
            theirs = "; ".join(f"{value} on {', '.join(sorted(on))}" for value, on in sorted(others.items()))
            lines.append(f"  {name}: {ours} here, {theirs}")
    return "\n".join(lines)
