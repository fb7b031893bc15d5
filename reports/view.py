"""A run as sections for people: its status, tables of text, failures, unavailable codecs, credits.

Page, Markdown and terminal show the same things from here; each only lays them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from . import codebooks
from . import frame as tables
from .cells import Cell, Line, Metric
from .failures import Failure, counts_text, failures, tally
from .numbers import kbps, number, rtf

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Status:
    """The banner: level "good", "warn" or "bad", a headline and sentences."""

    level: Literal["good", "warn", "bad"]
    title: str
    notes: tuple[str, ...]


class View:
    """A run folder, read once; or a run in memory."""

    def __init__(self, run: Path | tables.Run) -> None:
        self.run = run if isinstance(run, tables.Run) else tables.read(run)
        self.frame = tables.frame_of(self.run)
        self.summary = tables.summary_of(self.run, self.frame)

    @cached_property
    def suite(self) -> str:
        suite = self.run.info.get("suite")
        name = suite.get("name") if isinstance(suite, dict) else suite
        return str(name or "run")

    @property
    def contents(self) -> list[str]:
        """Contents in the summary's order."""
        return list(dict.fromkeys(self.summary["content"]))

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        return {
            name: Metric(name, str(m.get("title") or name), int(m.get("digits", 2)), m.get("higher_is_better"), m)
            for name, m in self.run.metrics().items()
        }

    def metrics_of(self, content: str) -> list[Metric]:
        """The metrics asked for on this content."""
        return [self.metrics[m] for m in tables.metrics_of(self.frame, list(self.metrics), content)]

    def groups(self, content: str) -> str:
        """How many speakers, or clips, the intervals are over: "9" or "8 to 9"; empty if there is no interval."""
        part = self.summary[self.summary["content"] == content]
        columns = [part[f"{m.name}_clusters"].dropna() for m in self.metrics_of(content)]
        counts = sorted({int(n) for column in columns for n in column if n})
        return " to ".join(map(str, dict.fromkeys((counts[0], counts[-1])))) if counts else ""

    def lines(self, content: str) -> list[Line]:
        """The summary of one content as text."""
        metrics = self.metrics_of(content)
        return [self._line(row, metrics) for row in self.summary[self.summary["content"] == content].to_dict("records")]

    def families(self, content: str) -> list[tuple[str, list[Line]]]:
        """`lines` under their family's heading."""
        return [(family, list(lines)) for family, lines in groupby(self.lines(content), lambda line: line.family)]

    def _line(self, row: dict[str, Any], metrics: list[Metric]) -> Line:
        cells = {m.name: self._cell(row, m) for m in metrics}
        used = [cell.used for cell in cells.values()] or [row["coded"]]
        span = str(min(used)) if min(used) == max(used) else f"{min(used)}–{max(used)}"
        return Line(
            family=row["family"],
            kind=row["kind"],
            codec=row["codec"],
            point=row["point"],
            kbps=kbps(row["kbps"]),
            cells=cells,
            encode_rtf=rtf(row["time_encode_wall_rtf"]),
            decode_rtf=rtf(row["time_decode_wall_rtf"]),
            gpu_rtf=(rtf(row.get("gpu_encode_wall_rtf", nan)), rtf(row.get("gpu_decode_wall_rtf", nan))),
            delay_ms=number(row["delay_ms"], 1),
            used=f"{span}/{row['clips']}",
            gaps=self._gaps(row),
            row=row,
        )

    def _cell(self, row: dict[str, Any], metric: Metric) -> Cell:
        name, digits = metric.name, metric.digits
        low, high = row[f"{name}_lo"], row[f"{name}_hi"]
        of = self._reasons[name].get((row["content"], row["codec"], row["point"]), {})
        # Where there is a mean, what the codec failed on is told once a line (`gaps`) and not again in each cell.
        told = {r: n for r, n in of.items() if not row[f"{name}_n"] or r != "codec_failed"}
        return Cell(
            value=number(row[f"{name}_mean"], digits),
            half=number((high - low) / 2, digits),
            low=number(low, digits),
            high=number(high, digits),
            used=int(row[f"{name}_n"]),
            total=int(row["clips"]),
            common=bool(row[f"{name}_common"]),
            missing=counts_text(told),
        )

    def _gaps(self, row: dict[str, Any]) -> str:
        """Clips that this point has no coded result for, and why; an unreadable clip is no point's fault."""
        counts = dict(self._failed.get((row["content"], row["codec"], row["point"]), {}))
        counts.pop("clip_unreadable", None)
        silent = row["clips"] - row["coded"] - row["failures"]
        return counts_text(counts | ({"not run": silent} if silent else {}))

    @cached_property
    def _failed(self) -> dict[tuple[str, str, str], dict[str, int]]:
        return tally(self.frame[self.frame["status"] != "ok"], ["content", "codec", "point"], "reason")

    @cached_property
    def _reasons(self) -> dict[str, dict[tuple[str, str, str], dict[str, int]]]:
        reasons = {}
        for name in self.metrics:
            missing = self.frame[self.frame[f"{name}_reason"] != ""]
            reasons[name] = tally(missing, ["content", "codec", "point"], f"{name}_reason")
        return reasons

    @property
    def not_common(self) -> bool:
        """True if some mean is not over the common clips."""
        return any((self.summary[f"{m}_common"] == False).any() for m in self._summarised())  # noqa: E712

    def _summarised(self) -> list[str]:
        return [m for m in self.metrics if f"{m}_common" in self.summary]

    @cached_property
    def checks(self) -> list[dict[str, Any]]:
        """Self-checks, failed ones first."""
        return sorted(self.run.checks.to_dict("records"), key=lambda c: (bool(c["passed"]), c["name"]))

    @cached_property
    def unavailable(self) -> list[dict[str, Any]]:
        """Codecs of the plan that could not run: codec, family, points, reason."""
        found: dict[tuple[str, str, str], list[str]] = {}
        points = self.run.points[self.run.points["unavailable"] != ""]
        for p in points.sort_values(["codec", "kbps_nominal", "point"]).to_dict("records"):
            found.setdefault((p["codec"], p["family"], p["unavailable"]), []).append(p["point"])
        return [
            {"codec": codec, "family": family, "reason": reason, "points": list(dict.fromkeys(labels))}
            for (codec, family, reason), labels in sorted(found.items())
        ]

    @cached_property
    def failures(self) -> list[Failure]:
        """Everything that is missing and should not be."""
        return failures(self.run, self.frame, {m.name: m.title for m in self.metrics.values()})

    @property
    def failed_reasons(self) -> str:
        """How many results failed for each reason."""
        counts = self.frame[self.frame["status"] != "ok"].groupby("reason", sort=True).size()
        return counts_text({str(reason): int(n) for reason, n in counts.items()})

    @property
    def failed_results(self) -> int:
        return int((self.frame["status"] != "ok").sum())

    @cached_property
    def status(self) -> Status:
        """What to think of the run before reading a number."""
        state = str(self.run.info.get("status") or "unknown")
        bad = [c["name"] for c in self.checks if not c["passed"]]
        lost = int((self.run.clips["status"] == "failed").sum())
        notes = []
        merged = tuple(self.run.info.get("merged") or ())  # what was made of several runs, see `merge.py`
        if bad:
            notes.append(f"Failed: {', '.join(bad)}. Until this is explained, trust no number of this run.")
        if state != "complete":
            notes.append(f"The run is {state}; `bench run` with the same arguments goes on where it stopped.")
        if self.failed_results:
            notes.append(f"{self.failed_results} of {len(self.frame)} results failed; see Failures.")
        if lost:
            notes.append(f"{lost} of {len(self.run.clips)} clips could not be read; see Failures.")
        if self.not_comparable_times:
            notes.append(
                f"{self.not_comparable_times} times were taken where something else could run and are not comparable; "
                "`bench run --timing-on` gives a machine of its own."
            )
        if not self.checks:
            notes.append("No self-check was made.")
        if bad:
            return Status("bad", f"{len(bad)} of {len(self.checks)} self-checks failed", (*notes, *merged))
        if notes:
            title = "Complete, with gaps" if state == "complete" else "Not complete"
            return Status("warn", title, (*notes, *merged))
        return Status("good", f"Complete; all {len(self.checks)} self-checks passed", merged)

    @cached_property
    def gpu(self) -> str:
        """The GPU that codecs were timed on, empty if none."""
        return ", ".join(name for name in self.timings if name != "cpu")

    @cached_property
    def stages(self) -> pd.DataFrame:
        """One row a stage of the codecs with codebooks."""
        return codebooks.stages(self.run)

    def token_lines(self, content: str) -> list[codebooks.TokensLine]:
        """The points of one content whose codec has codebooks, in the summary's order."""
        return codebooks.lines(self.summary[self.summary["content"] == content], self.stages)

    @cached_property
    def timings(self) -> dict[str, list[dict[str, Any]]]:
        """The timings as measured, by device, the CPU first, in the summary's order of points."""
        order = {
            key: i for i, key in enumerate(zip(*(self.summary[k] for k in ("content", "codec", "point")), strict=True))
        }
        rows = self.run.timings.to_dict("records")
        rows.sort(key=lambda t: order.get((t["content"], t["codec"], t["point"]), len(order)))
        devices = sorted({t["device"] for t in rows}, key=lambda name: (name != "cpu", name))
        return {device: [t for t in rows if t["device"] == device] for device in devices}

    @property
    def not_comparable_times(self) -> int:
        """Timings that may not be compared with any other."""
        return int((self.run.timings["comparable"] == 0).sum())

    @cached_property
    def credits(self) -> list[dict[str, Any]]:
        """Corpus, licence, credit and how many clips."""
        clips = self.run.clips
        if clips.empty:
            return []
        counts = clips.groupby(["corpus", "licence", "credit"], sort=True).size()
        return [
            {"corpus": corpus, "licence": licence, "credit": credit, "clips": int(n)}
            for (corpus, licence, credit), n in counts.items()
        ]

    def codec_notes(self, content: str) -> list[tuple[str, str]]:
        """Codec, and what a reader of its numbers must know, for the codecs of a table that have such a note."""
        rows = self.summary[(self.summary["note"] != "") & (self.summary["content"] == content)]
        return list(dict.fromkeys(zip(rows["codec"], rows["note"], strict=True)))

    @cached_property
    def codecs(self) -> list[dict[str, Any]]:
        """Codecs that ran: codec, family, about, note, licence, versions, setup_bytes (mean a clip)."""
        setup = self.summary.groupby("codec")["setup_bytes"].max() if len(self.summary) else {}
        found: dict[str, dict[str, Any]] = {}
        for p in self.run.points[self.run.points["unavailable"] == ""].to_dict("records"):
            row = {k: p[k] for k in ("codec", "family", "about", "note", "licence", "versions")}
            found.setdefault(p["codec"], row | {"setup_bytes": setup[p["codec"]]})
        return [found[name] for name in sorted(found)]
