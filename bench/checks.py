"""Self-checks: does this machine's chain of resampling, codecs and metrics give what it must, before one believes it?

Run with every run, on two embedded clips of its content, and stored with it; one that fails marks the whole run.

identity    the 16-bit reference against itself scores each metric's ceiling
pcm         8 < 12 < 16 bit
lowpass     3.5 kHz < 7 kHz < identity (ITU-R BS.1534 anchors)
mnru        10 < 20 < 30 dB (ITU-T P.810)
opus        6 < 12 < 24 kbit/s
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..codecs import registry as codecs
from .audio import read
from .executor import Stage
from .metrics import Metric, evaluate
from .metrics import registry as metrics
from .metrics._metric import ReferenceCache
from .pipeline import code
from .rows import CheckRow

#: check -> (codec, points from worst to best, metrics that must put them in that order)
ORDERS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "pcm": ("pcm", ("8", "12", "16"), ("pesq_wb", "visqol_speech", "visqol_audio", "si_sdr", "lsd", "mel")),
    "lowpass": ("lowpass", ("3.5k", "7k", "identity"), ("pesq_wb", "visqol_speech", "visqol_audio", "mel")),
    "mnru": ("mnru", ("10", "20", "30"), ("pesq_wb", "pesq_nb", "stoi", "estoi", "visqol_speech", "si_sdr")),
    "opus": ("opus", ("6", "12", "24"), ("pesq_wb", "visqol_speech", "visqol_audio")),
}


@dataclass(frozen=True)
class CheckTask:
    """One self-check on some clips of one content. The result is rows of the store's table `checks`."""

    check: str
    content: str
    clips: tuple[Path, ...]
    metrics: tuple[str, ...]

    @property
    def group(self) -> str:
        return f"check {self.check}"

    def run(self, stage: Stage) -> list[CheckRow]:
        """A row a metric that the check says something about."""
        references = [ReferenceCache(read(path)) for path in self.clips]
        if self.check == "identity":
            return [self._identity(metrics.get(name), references, stage) for name in self.metrics]
        codec, labels, ordering = ORDERS[self.check]
        wanted = [name for name in self.metrics if name in ordering]
        values: dict[str, list[float]] = {name: [] for name in wanted}
        for label in labels:
            stage(f"check {self.check} {label}")
            waves = [self._wave(codec, label, reference.clip) for reference in references]
            for name in wanted:
                scores = [evaluate(metrics.get(name), r, w).value for r, w in zip(references, waves, strict=True)]
                values[name].append(sum(scores) / len(scores))
        return [self._order(metrics.get(name), labels, values[name]) for name in wanted]

    def _wave(self, codec: str, label: str, reference: Any) -> Any:
        if label == "identity":
            return reference
        adapter = codecs.get(codec)
        return code(adapter, adapter.point(label, self.content), reference)[1]

    def _identity(self, metric: Metric, references: list[ReferenceCache], stage: Stage) -> CheckRow:
        stage(f"check identity {metric.name}")
        scores = [evaluate(metric, reference, reference.clip) for reference in references]
        passed = all(abs(score.value - metric.ceiling) <= metric.tolerance for score in scores)
        found = ", ".join(_show(metric, score.value) for score in scores)
        return self._row(metric, passed, f"{found}; ceiling {_show(metric, metric.ceiling)} +- {metric.tolerance:g}")

    def _order(self, metric: Metric, labels: tuple[str, ...], values: list[float]) -> CheckRow:
        signed = [value if metric.higher_is_better else -value for value in values]
        passed = all(a < b for a, b in itertools.pairwise(signed))  # false with any NaN
        return self._row(
            metric, passed, ", ".join(f"{a}: {_show(metric, b)}" for a, b in zip(labels, values, strict=True))
        )

    def _row(self, metric: Metric, passed: bool, detail: str) -> CheckRow:
        return CheckRow(f"{self.content} {self.check} {metric.name}", int(passed), detail)


def _show(metric: Metric, value: float) -> str:
    return "missing" if math.isnan(value) else f"{value:.{metric.digits + 1}f}"


def check_tasks(content: str, clips: tuple[Path, ...], names: tuple[str, ...]) -> list[CheckTask]:
    """The self-checks of a run on one content: those that say something about its metrics."""
    checks = ["identity", *(check for check, (_, _, ordering) in ORDERS.items() if set(names) & set(ordering))]
    return [CheckTask(check, content, clips, names) for check in checks]


def broken_row(task: CheckTask, why: str) -> CheckRow:
    """The row of a check that could not be made: it counts as failed."""
    return CheckRow(f"{task.content} {task.check}", 0, why)
