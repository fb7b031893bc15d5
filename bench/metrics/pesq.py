"""PESQ, wide and narrow band.

Nothing is shared between codecs of one reference: the package scales both signals by the larger peak of the two before
it rounds them to single precision, and levelling, filtering, alignment and comparison are one C function over globals.
"""

from __future__ import annotations

from functools import partial

from . import register
from ._metric import Metric, MetricError, Reason, Signal, missing

#: The C code keeps tables of 50 utterances a clip and writes past their end beyond. An utterance takes at least 50
#: frames of speech and 51 of pause before the next, 4 ms each: 50 of them need 20 s, and the splitting of utterances
#: stops at 50 by itself. Longer clips are scored in pieces of at most 15 s, where it cannot come to pass.
PIECE_SECONDS = 15.0


def pesq_wb(reference: Signal, degraded: Signal, rate: int) -> float:
    """Wideband PESQ, MOS-LQO (ITU-T P.862.2 before Corrigendum 2), at 16 kHz."""
    return _pesq(reference, degraded, rate, "wb")


def pesq_nb(reference: Signal, degraded: Signal, rate: int) -> float:
    """Narrowband PESQ (ITU-T P.862), MOS-LQO by P.862.1, at 8 or 16 kHz."""
    return _pesq(reference, degraded, rate, "nb")


def _pesq(reference: Signal, degraded: Signal, rate: int, mode: str) -> float:
    import pesq

    try:
        return float(pesq.pesq(rate, reference, degraded, mode))
    except pesq.NoUtterancesError as error:
        raise MetricError(Reason.NO_SPEECH, "PESQ found no utterance in the reference") from error


for name, title, function, rates, ceiling, paper, variant in (
    (
        "pesq_wb",
        "PESQ wideband",
        pesq_wb,
        (16000,),
        4.64389,
        "ITU-T P.862.2 (11/2007)",
        "P.862.2 before Corrigendum 2 (pesq 0.0.4)",
    ),
    (
        "pesq_nb",
        "PESQ narrowband",
        pesq_nb,
        (8000, 16000),
        4.54864,
        "ITU-T P.862 (02/2001) and P.862.1 (11/2003)",
        "P.862 with P.862.1 mapping (pesq 0.0.4)",
    ),
):
    register(
        Metric(
            name=name,
            title=title,
            function=function,
            available=partial(missing, "pesq==0.0.4", "pesq"),
            low=1.0,
            high=ceiling,
            ceiling=ceiling,
            higher_is_better=True,
            domain="speech through telephone-band and wideband codecs; not for music, nor made for neural codecs",
            reference=paper,
            package="pesq",
            content=("speech",),
            unit="MOS-LQO",
            rates=rates,
            min_rate=min(rates),
            min_seconds=1.0,
            piece_seconds=PIECE_SECONDS,
            variant=variant,
        )
    )
