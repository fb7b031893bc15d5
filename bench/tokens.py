"""Token statistics: how a codec with codebooks uses them, over all clips that an operating point coded.

The codes of a stage are counted over all clips and channel streams together; p is an entry's share of them.

used        entries that occurred
entropy     H = -sum p log2 p, bits a code
perplexity  2^H: how many entries, used equally, would have that entropy

H of shares is an estimate that falls short of the source's by about (K - 1) / (2 N ln 2) bits for N codes over K
entries (G. A. Miller, Note on the bias of information estimates, in H. Quastler (ed.), Information Theory in
Psychology, 1955, pp. 95-100); every figure stands with the number of codes that it is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..codecs import Codec, CodecError, Tokens
from ..codecs import registry as codecs
from .audio import AudioError
from .executor import Stage
from .plan import Plan, PlannedPoint
from .rows import TokensRow
from .store import Store
from .work import Unit, unit_of

NO_CODEBOOKS = "no_codebooks"
#: reasons that another attempt might not give again
FAILED = ("codec_failed", "clip_unreadable", "crashed", "timeout")

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class TokensTask:
    """Count the codes of one operating point: `units` are the clips that it coded, at least one."""

    units: tuple[Unit, ...]

    @property
    def group(self) -> str:
        return f"tokens {self.units[0].codec}"

    def run(self, stage: Stage) -> list[TokensRow]:
        """The rows of the store's table `tokens`, one a stage; one with a reason where there is no stage."""
        first = self.units[0]
        codec = codecs.get(first.codec)
        point = codec.point(first.point, first.content)
        counts: list[Counts] = []
        packets, seconds, stream_seconds = 0, 0.0, 0.0
        for unit in self.units:
            stage(f"tokens of {unit.corpus}/{unit.clip}")
            try:
                stream, _ = unit.stream()
                for part in stream.parts:
                    tokens = codec.tokens(part, point)
                    if tokens is None and not counts:
                        return [failed_tokens(self, NO_CODEBOOKS)]
                    counts = add_codes(counts, tokens)
            except AudioError as error:
                return [failed_tokens(self, "clip_unreadable", str(error))]
            except CodecError as error:
                return [failed_tokens(self, "codec_failed", f"{unit.corpus}/{unit.clip}: {error}")]
            packets += sum(len(part.packets) for part in stream.parts)
            seconds += stream.seconds
            stream_seconds += stream.seconds * len(stream.parts)
        rows = []
        for number, count in enumerate(counts, 1):
            codes, entropy = int(count.sum()), entropy_bits(count)
            row = TokensRow(
                codec=first.codec,
                point=first.point,
                content=first.content,
                stage=number,
                size=len(count),
                codes=codes,
                frames_per_second=codes / stream_seconds,
                used=int(np.count_nonzero(count)),
                perplexity=float(2**entropy),
                entropy_bits=entropy,
                clips=len(self.units),
                packets=packets,
                seconds=seconds,
                reason="",
                detail="",
            )
            rows.append(row)
        return rows


def add_codes(counts: list[Counts], tokens: Tokens | None) -> list[Counts]:
    """How often each entry occurred, a stage, with these tokens added; `counts` is empty before the first.

    Raises
    ------
    CodecError : tokens that are none, that change their stages from clip to clip, or that no codebook has.
    """
    if tokens is None:
        raise CodecError("it gave no codes of this clip, but codes of others")
    sizes = [len(count) for count in counts] or list(tokens.sizes)
    if not sizes or len(tokens.codes) != len(sizes) or list(tokens.sizes) != sizes:
        raise CodecError(f"it gave {len(tokens.codes)} stages of sizes {list(tokens.sizes)}, not {sizes}")
    added = []
    for number, (size, codes) in enumerate(zip(sizes, tokens.codes, strict=True), 1):
        if codes.ndim != 1 or not len(codes) or codes.min() < 0 or codes.max() >= size:
            raise CodecError(f"its codes of stage {number}, {_range(codes)}, are none of a codebook of {size} entries")
        added.append(np.bincount(codes.astype(np.int64), minlength=size))
    return added if not counts else [old + new for old, new in zip(counts, added, strict=True)]


def _range(codes: NDArray[Any]) -> str:
    return f"{codes.min()} to {codes.max()} in shape {list(codes.shape)}" if codes.size else "empty"


def entropy_bits(counts: Counts) -> float:
    """Entropy in bits of the relative frequencies; `counts` [entries], not all zero."""
    occurred = counts[counts > 0]
    total = occurred.sum()
    return float((occurred / total * np.log2(total / occurred)).sum())


def failed_tokens(task: TokensTask, reason: str, detail: str = "") -> TokensRow:
    """The row of a point whose codes were not counted."""
    first = task.units[0]
    return _without_numbers(first.codec, first.point, first.content, len(task.units), reason, detail)


def _without_numbers(codec: str, point: str, content: str, clips: int, reason: str, detail: str = "") -> TokensRow:
    return TokensRow(
        codec=codec,
        point=point,
        content=content,
        stage=0,
        size=None,
        codes=None,
        frames_per_second=None,
        used=None,
        perplexity=None,
        entropy_bits=None,
        clips=clips,
        packets=None,
        seconds=None,
        reason=reason,
        detail=detail,
    )


def tokens_points(store: Store, plan: Plan) -> tuple[list[PlannedPoint], list[TokensRow]]:
    """The points whose codes are to be counted, and the rows of those whose codec has no codebooks."""
    done = {(r["codec"], r["point"], r["content"]) for r in store.rows("SELECT codec, point, content FROM tokens")}
    query = (
        "SELECT codec, point, content, count(*) AS n FROM results JOIN clips USING (corpus, clip)"
        " WHERE results.status = 'ok' GROUP BY codec, point, content"
    )
    coded = {(r["codec"], r["point"], r["content"]): r["n"] for r in store.rows(query)}
    points, without = [], []
    for planned in plan.points:
        key = planned.key
        if planned.unavailable or key in done or key not in coded:
            continue
        if type(planned.codec).tokens is Codec.tokens:
            without.append(_without_numbers(*key, coded[key], NO_CODEBOOKS))
        else:
            points.append(planned)
    return points, without


def tokens_task(store: Store, plan: Plan, planned: PlannedPoint, cache: Path | None) -> TokensTask:
    """The counting of a point's codes over the clips that it coded."""
    query = "SELECT corpus, clip FROM results WHERE codec = ? AND point = ? AND status = 'ok'"
    coded = {(r["corpus"], r["clip"]) for r in store.rows(query, planned.codec.name, planned.point.label)}
    clips = [c for c in plan.clips if c.name in coded and c.item.content == planned.content]
    return TokensTask(tuple(unit_of(plan, clip, planned, cache) for clip in clips))
