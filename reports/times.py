"""Columns of the summary for how fast a codec is; what was timed on the CPU and on a GPU never shares one.
Times that may not be compared have none: the store keeps them, and the page shows them apart.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

#: the method of times that were taken while something else could run on their machine
NOT_COMPARABLE = "not comparable"


def of_point(timings: pd.DataFrame) -> dict[str, Any]:
    """Columns time_*: what was timed on the CPU, from one point's rows of the table `timings`."""
    return _columns("time", timings[timings["device"] == "cpu"])


def of_point_gpu(timings: pd.DataFrame) -> dict[str, Any]:
    """Columns gpu_*: the same on a GPU, and its name in gpu_device."""
    mine = timings[timings["device"] != "cpu"]
    return {"gpu_device": ", ".join(sorted(set(mine["device"])))} | _columns("gpu", mine)


def _columns(prefix: str, timings: pd.DataFrame) -> dict[str, Any]:
    rows = {row["direction"]: row for row in timings.to_dict("records")}
    out: dict[str, Any] = {}
    for direction in ("encode", "decode"):
        row = rows.get(direction, {})
        fit = bool(row.get("comparable", True))
        for what in ("wall_rtf", "wall_spread", "cpu_rtf", "cpu_spread"):
            out[f"{prefix}_{direction}_{what}"] = float(row[what]) if fit and row.get(what) is not None else math.nan
        out[f"{prefix}_{direction}_method"] = row.get("method", "") if fit else NOT_COMPARABLE
    frame = rows.get("frame", {})
    for what in ("p50_ms", "p99_ms"):
        value = frame.get(what) if frame.get("comparable", True) else None
        out[f"{prefix}_frame_{what}"] = math.nan if value is None else float(value)
    return out
