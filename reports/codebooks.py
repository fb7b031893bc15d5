"""How codecs with codebooks use them: a table of stages, the columns of a point, the same as text.

**Entropy bound.** The least rate that a fixed code table a stage could bring the codes to, over the clips that they
were counted on: sum over stages of codes x entropy / seconds, all channels, so that it stands against the measured
kbit/s. It knows no context and no side information. The entropy of observed shares falls short by about
(K - 1) / (2 N ln 2) bits for N codes over K entries (Miller 1955, see `bench/tokens.py`): 0.09 bits at N = 8 K. Where
a stage has fewer codes, the bound would flatter, so there is none; the reason is "few_codes".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .numbers import MISSING, kbps, number

if TYPE_CHECKING:
    import pandas as pd

    from .frame import Run

#: codes an entry that a stage must have for an entropy bound
ENOUGH = 8

NOTE = (
    "frames/s and codes: of each stage, codes a second of a channel and codes counted. tokens/s: of all stages and "
    "channels. bits a frame: sent for each code of the slowest stage, side information too. used, perplexity: least to "
    "most of the stages; both come out low on few codes. bound: the least rate of a fixed entropy code a stage. "
    f"few_codes: a stage has under {ENOUGH} codes an entry, and no bound is given."
)

_STAGE = ["stage", "size", "codes", "frames_per_second", "used", "perplexity", "entropy_bits", "clips", "packets"]
_MEANS = ("tokens_per_second", "bits_per_frame", "used_mean", "perplexity_mean", "bound_kbps")
COLUMNS = ["content", "family", "codec", "point", *_STAGE, "seconds", "reason"]


def stages(run: Run) -> pd.DataFrame:
    """One row a stage of each point whose codec has codebooks, sorted by content, family, codec and nominal rate.

    A point whose codes could not be counted has one row, stage 0, with the reason and no numbers. The columns are those
    of the store's table `tokens`, with the family.
    """
    table = run.tokens[run.tokens["reason"] != "no_codebooks"]
    points = run.points[["codec", "point", "content", "family", "kbps_nominal"]]
    table = table.merge(points, on=["codec", "point", "content"], how="left")
    for column in ("stage", "size", "codes", "used", "clips", "packets"):
        table[column] = table[column].astype("Int64")
    for column in ("frames_per_second", "perplexity", "entropy_bits", "seconds", "kbps_nominal"):
        table[column] = table[column].astype("float64")
    table["_content"] = table["content"].map({"speech": 0, "music": 1}).fillna(2)
    order = ["_content", "content", "family", "codec", "kbps_nominal", "point", "stage"]
    return table.sort_values(order, kind="stable", ignore_index=True)[COLUMNS]


def of_point(tokens: pd.DataFrame, coded: pd.DataFrame) -> dict[str, Any]:
    """The summary's columns of one point, from its rows of the store and its coded clips; see `frame.summary`."""
    counted = tokens[tokens["stage"] > 0] if len(tokens) else tokens
    if counted.empty:
        reason = tokens["reason"].iloc[0] if len(tokens) else "not_counted"
        return {"codebooks": None, "codes": None, **dict.fromkeys(_MEANS, math.nan), "bound_reason": reason}
    codes, seconds = counted["codes"].astype("float64"), float(counted["seconds"].iloc[0])
    few = bool((codes < ENOUGH * counted["size"].astype("float64")).any())
    return {
        "codebooks": len(counted),
        "codes": int(codes.min()),
        "tokens_per_second": float(codes.sum()) / seconds,
        "bits_per_frame": float(coded["bits"].sum()) / int(codes.min()),
        "used_mean": float(counted["used"].astype("float64").mean()),
        "perplexity_mean": float(counted["perplexity"].mean()),
        "bound_kbps": math.nan if few else float((codes * counted["entropy_bits"]).sum()) / seconds / 1000,
        "bound_reason": "few_codes" if few else "",
    }


@dataclass(frozen=True)
class TokensLine:
    """One operating point of a codec with codebooks as text; `stages` has a row of texts a stage."""

    codec: str
    point: str
    frames: str
    codebooks: str
    bits: str
    tokens: str
    codes: str
    used: str
    perplexity: str
    sent: str
    bound: str
    stages: tuple[tuple[str, ...], ...]

    @property
    def name(self) -> str:
        return " ".join(f"{self.codec} {self.point}".split())

    @property
    def cells(self) -> tuple[str, ...]:
        """What stands under `HEADS`."""
        return (self.frames, self.codebooks, self.bits, self.tokens, self.codes, self.used, self.perplexity, self.sent,
                self.bound)  # fmt: skip


HEADS = ("frames/s", "codebooks", "bits a frame", "tokens/s", "codes", "used", "perplexity", "kbit/s", "bound kbit/s")
STAGE_HEADS = ("stage", "frames/s", "codes", "used", "of", "perplexity", "entropy bits")


def lines(summary: pd.DataFrame, stages: pd.DataFrame) -> list[TokensLine]:
    """A line each of the summary's points that have rows in the table of `stages`."""
    groups = dict(tuple(stages.groupby(["content", "codec", "point"])))
    keys = zip(summary["content"], summary["codec"], summary["point"], strict=True)
    rows = zip(keys, summary.to_dict("records"), strict=True)
    return [_line(row, groups[key]) for key, row in rows if key in groups]


def _line(row: dict[str, Any], table: pd.DataFrame) -> TokensLine:
    counted = table[table["stage"] > 0]
    rows = [
        (str(r["stage"]), number(r["frames_per_second"], 1), str(r["codes"]), str(r["used"]), str(r["size"]),
         _entries(r["perplexity"]), number(r["entropy_bits"], 2))
        for r in counted.to_dict("records")
    ]  # fmt: skip
    frames, codes, used, sizes, perplexity = ([r[i] for r in rows] for i in (1, 2, 3, 4, 5))
    return TokensLine(
        codec=row["codec"],
        point=row["point"],
        frames=_span(frames),
        codebooks=str(row["codebooks"]) if rows else MISSING,
        bits=number(row["bits_per_frame"], 1),
        tokens=number(row["tokens_per_second"], 1),
        codes=_span(codes),
        used=f"{_span(used)} of {_span(sizes)}" if rows else MISSING,
        perplexity=_span(perplexity),
        sent=kbps(row["kbps"]),
        bound=row["bound_reason"] or kbps(row["bound_kbps"]),
        stages=tuple(rows),
    )


def _entries(perplexity: float) -> str:
    return number(perplexity, 0 if perplexity >= 100 else 1)


def _span(texts: list[str]) -> str:
    """The least and the most of some numbers as text."""
    ends = sorted(texts, key=float)
    return MISSING if not ends else ends[0] if ends[0] == ends[-1] else f"{ends[0]}–{ends[-1]}"
