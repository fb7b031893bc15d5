"""Score decoded files of your own against their references.

REF and DEG are two audio files, or two folders whose files are matched by their path without the suffix. DEG is
brought to REF's rate; a length within 100 ms of REF's is mended; whatever was done is said. docs/score.md has more.

exit codes: 0 all scored, 1 a file without a partner or a missing score, 2 usage, 130 interrupted
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._arguments import add_jobs, names
from ._console import emit_json, err, out

if TYPE_CHECKING:
    from ..metrics import Metric
    from ..scoring import PairScores
    from ..statistics import Mean

EPILOG = """\
examples:
  bench score original.wav decoded.wav
  bench score originals/ decoded/ --csv scores.csv
  bench score originals/ decoded/ --align
  bench score song.flac song_coded.wav --content music
  bench score original.wav decoded.wav --metrics pesq_wb,si_sdr --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="REF", type=Path, help="the original: a file or a folder")
    parser.add_argument("degraded", metavar="DEG", type=Path, help="what was decoded: a file or a folder")
    parser.add_argument("--metrics", metavar="A,B", help="instead of those of the suite for the content")
    parser.add_argument("--content", choices=["speech", "music"], default="speech", help="(speech)")
    parser.add_argument("--align", action="store_true", help="remove a constant delay of up to 0.3 s first")
    add_jobs(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--csv", metavar="FILE", help="write CSV; - prints that instead of a table")


def run(args: argparse.Namespace) -> int:
    from ..api import physical_cores
    from ..metrics import registry
    from ..scoring import ScoreError, match, score
    from ..suite import load_suite
    from ._progress import Reporter

    if args.json and args.csv == "-":
        err.print("bench score: --json and --csv - both print; give --csv a file", style="red")
        return 2
    chosen = load_suite(args.content).metrics if args.metrics is None else names(args.metrics)
    if not chosen:
        err.print("bench score: --metrics names none; see bench list metrics", style="red")
        return 2
    try:
        metrics = [registry.get(name) for name in dict.fromkeys(chosen)]
        pairs, alone = match(args.reference, args.degraded)
    except (ScoreError, KeyError) as error:
        message = error.args[0] if isinstance(error, KeyError) else error
        err.print(f"bench score: {message}", style="red", markup=False)
        return 2
    with Reporter(err, quiet=len(pairs) < 2 or args.json or args.csv == "-") as reporter:
        jobs = args.jobs or physical_cores()
        scored = score(pairs, [metric.name for metric in metrics], args.align, jobs, reporter.update)
    try:
        _show(args, metrics, scored, alone)
    except OSError as error:
        err.print(f"bench score: {args.csv} cannot be written: {error.strerror}", style="red", markup=False)
        return 2
    missing = any(value.value is None for one in scored for value in one.scores)
    return 1 if alone or missing else 0


def _show(args: argparse.Namespace, metrics: list[Metric], scored: list[PairScores], alone: list[str]) -> None:
    means = {metric.name: _mean(scored, metric.name) for metric in metrics}
    if args.csv:
        text = _csv(metrics, scored)
        if args.csv == "-":
            out.file.write(text)
        else:
            Path(args.csv).write_text(text, encoding="utf-8", newline="")
    if args.json:
        emit_json(_plain(scored, means, alone))
    elif args.csv != "-":
        _print(metrics, scored, means)
    for sentence in alone:
        err.print(f"not scored: {sentence}", style="red", markup=False)


def _mean(scored: list[PairScores], metric: str) -> Mean:
    from .. import statistics

    found = [value.value for one in scored for value in one.scores if value.metric == metric]
    return statistics.mean([value for value in found if value is not None])


def _print(metrics: list[Metric], scored: list[PairScores], means: dict[str, Mean]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ...reports.numbers import number

    console = out if out.is_terminal else Console(file=out.file, width=1000, highlight=False)  # a pipe has no width
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("file", overflow="fold")
    for metric in metrics:
        unit = f" ({metric.unit})" if metric.unit else ""
        table.add_column(Text(metric.title + unit), justify="right")
    table.add_column("delay ms", justify="right")
    for one in scored:
        cells = [
            value.reason if value.value is None else number(value.value, metric.digits)
            for value, metric in zip(one.scores, metrics, strict=True)
        ]
        table.add_row(*map(Text, (one.pair.name, *cells, number(one.delay_ms, 2))))
    if len(scored) > 1:
        table.add_section()
        cells = [_mean_text(means[metric.name], metric.digits, len(scored)) for metric in metrics]
        table.add_row(Text("mean", style="bold"), *map(Text, cells), "")
    console.print(table)
    for note, files in _notes(scored).items():
        style = "yellow" if note.startswith("WARNING") else ""
        console.print(Text(f"{_some(files)}: {note}", style=style), soft_wrap=True)


def _mean_text(mean: Mean, digits: int, total: int) -> str:
    from ...reports.numbers import number

    half = "" if math.isnan(mean.low) else f" ±{number((mean.high - mean.low) / 2, digits)}"
    return f"{number(mean.value, digits)}{half}" + (f" (n {mean.n}/{total})" if mean.n < total else "")


def _notes(scored: list[PairScores]) -> dict[str, list[str]]:
    """What is to be said, and of which files: what was done to them, and why scores are missing."""
    found: dict[str, list[str]] = {}
    for one in scored:
        lost: dict[str, list[str]] = {}
        for value in one.scores:
            if value.value is None:
                detail = value.detail.strip().splitlines()
                lost.setdefault(f"{value.reason}: {detail[0]}" if detail else value.reason, []).append(value.metric)
        for note in (*one.notes, *(f"no {', '.join(absent)}: {why}" for why, absent in lost.items())):
            found.setdefault(note, []).append(one.pair.name)
    return found


def _some(files: Sequence[str]) -> str:
    return ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")


def _record(one: PairScores) -> dict[str, Any]:
    """A pair as one flat row."""
    from ..names import printable

    row: dict[str, Any] = {
        "name": one.pair.name,
        "reference": printable(one.pair.reference),
        "degraded": printable(one.pair.degraded),
    }
    for value in one.scores:
        row |= {value.metric: value.value, f"{value.metric}_reason": value.reason}
    clarity = None if math.isnan(one.clarity) else round(one.clarity, 4)
    row |= {"rate": one.rate, "delay_samples": one.delay, "delay_ms": one.delay_ms, "delay_clarity": clarity}
    return row | {"aligned": one.aligned, "notes": "; ".join(one.notes)}


def _csv(metrics: list[Metric], scored: list[PairScores]) -> str:
    import csv
    import io

    columns = ["name", "reference", "degraded", *(c for m in metrics for c in (m.name, f"{m.name}_reason"))]
    columns += ["rate", "delay_samples", "delay_ms", "delay_clarity", "aligned", "notes"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for one in scored:
        row = _record(one)
        writer.writerow({k: "" if v is None or v != v else v for k, v in row.items()})
    return text.getvalue()


def _plain(scored: list[PairScores], means: dict[str, Mean], alone: list[str]) -> dict[str, Any]:
    pairs = []
    for one in scored:
        details = {f"{value.metric}_detail": value.detail for value in one.scores if value.value is None}
        pairs.append(_record(one) | details | {"notes": list(one.notes)})
    mean = {name: {"value": m.value, "low": m.low, "high": m.high, "n": m.n} for name, m in means.items()}
    return {"pairs": pairs, "mean": mean, "not_scored": alone}
