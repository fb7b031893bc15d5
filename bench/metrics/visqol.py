"""ViSQOL, speech and audio."""

from __future__ import annotations

from functools import partial

from . import _visqol, register
from ._metric import Metric, Signal, missing


def visqol_speech(reference: Signal, degraded: Signal, rate: int, prepared: _visqol.Reference) -> float:
    """ViSQOL in speech mode, MOS-LQO: 16 kHz, 21 bands to 8 kHz, lattice model."""
    return _visqol.scorer("speech").score(prepared, degraded)


def visqol_audio(reference: Signal, degraded: Signal, rate: int, prepared: _visqol.Reference) -> float:
    """ViSQOL in audio mode, MOS-LQO: 48 kHz, 32 bands to 24 kHz, support vector regression."""
    return _visqol.scorer("audio").score(prepared, degraded)


def _prepare(mode: _visqol.Mode, reference: Signal, rate: int) -> _visqol.Reference:
    return _visqol.Reference(reference, _visqol.scorer(mode))


REQUIREMENT = "visqol-python[all]==3.8.0"
PAPER = "Chinen et al., ViSQOL v3, QoMEX 2020; Google ViSQOL 3.3.3"

register(
    Metric(
        name="visqol_speech",
        title="ViSQOL speech",
        function=visqol_speech,
        prepare=partial(_prepare, "speech"),
        available=partial(missing, REQUIREMENT, "visqol", "numba", "ai_edge_litert"),
        low=1.0,
        high=5.0,
        ceiling=4.25,
        tolerance=0.75,
        higher_is_better=True,
        domain="wideband speech at 16 kHz; identical signals score 3.7 to 4.8, so compare over the same clips",
        reference=PAPER,
        package="visqol-python",
        content=("speech",),
        unit="MOS-LQO",
        rates=(16000,),
        min_rate=16000,
        min_seconds=1.0,
        piece_seconds=10.0,
        variant="speech mode, lattice model, C++ envelope",
    )
)
register(
    Metric(
        name="visqol_audio",
        title="ViSQOL audio",
        function=visqol_audio,
        prepare=partial(_prepare, "audio"),
        available=partial(missing, REQUIREMENT, "visqol", "numba", "libsvm"),
        low=1.0,
        high=5.0,
        ceiling=4.732,
        higher_is_better=True,
        domain="music and general audio at 48 kHz against the full-band original; bandwidth dominates the score",
        reference=PAPER,
        package="visqol-python",
        content=("music",),
        unit="MOS-LQO",
        rates=(48000,),
        min_rate=44100,
        min_seconds=1.0,
        piece_seconds=10.0,
        variant="audio mode, SVR model, C++ envelope",
    )
)
