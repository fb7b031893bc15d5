"""Scores while training, on clips held out of the data: mel loss, PESQ, STOI, ViSQOL at 3, 6 and 12 kbps.

The clips are cut once, when a run starts, and stay in RUN/validation, so that scores compare over the whole run. Their
voices and bands are those of the training data: these scores say how a run goes, not how good the model is.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

import numpy as np
import torch

from ....bench.audio import Clip, from_pcm16, read, resample, write_flac
from ....bench.metrics import registry
from ....bench.metrics._metric import ReferenceCache, evaluate
from ..losses import MelLoss
from ..model import SoundStream
from ..quantizer import perplexity
from ..search import Coder
from .batches import Piece, hold_out
from .data import RATE, Source
from .presets import Preset

KBPS = (3.0, 6.0, 12.0)
#: a stage of the quantiser, kbps
STAGE_KBPS = 0.75


@dataclass(frozen=True)
class HeldOut:
    """A validation clip: 24 kHz mono, and where it was cut from."""

    clip: Clip
    music: bool
    piece: Piece


@dataclass(frozen=True)
class Row:
    """Means over the held-out clips at one bitrate; NaN where no clip has the score.

    Attributes
    ----------
    minutes, hours : trained so far; of audio seen so far.
    kbps : bitrate, 0 for the autoencoder with the quantiser bypassed.
    mel : the paper's spectral loss.
    pesq_wb, stoi, visqol_speech : over the speech clips.
    visqol_music : ViSQOL's audio mode over the music clips, reference and decoded both 24 kHz taken to 48 kHz: it does
        not charge for what lies above 12 kHz and compares with nothing outside this file.
    perplexity : of the codes of each stage used, space-separated, over all clips.
    """

    minutes: float
    step: int
    hours: float
    kbps: float
    mel: float
    pesq_wb: float
    stoi: float
    visqol_speech: float
    visqol_music: float
    perplexity: str


#: the columns of floats
_NUMBERS = ("minutes", "hours", "kbps", "mel", "pesq_wb", "stoi", "visqol_speech", "visqol_music")


def prepare(run: Path, sources: Sequence[Source], preset: Preset) -> list[HeldOut]:
    """The run's validation clips: those in RUN/validation, cut from the data if there are none yet."""
    folder = run / "validation"
    index = folder / "clips.json"
    if not index.exists():
        folder.mkdir(parents=True, exist_ok=True)
        by_hash = {source.sha256: source for source in sources}
        entries = []
        for number, piece in enumerate(hold_out(sources, preset.speech_clips, preset.music_clips)):
            source = by_hash[piece.sha256]
            file = folder / f"{number:02d}.flac"
            write_flac(file, Clip(from_pcm16(np.asarray(source.open()[piece.start : piece.stop]))[None], RATE))
            entries.append({"file": file.name, "music": source.music, **asdict(piece)})
        part = folder / "clips.json.part"
        part.write_text(json.dumps(entries, indent=2))
        part.replace(index)
    return [
        HeldOut(read(folder / one["file"]), one["music"], Piece(one["sha256"], one["start"], one["stop"]))
        for one in json.loads(index.read_text())
    ]


@torch.inference_mode()
def score(model: SoundStream, held_out: Sequence[HeldOut], minutes: float, step: int, hours: float) -> list[Row]:
    """Rows for each bitrate the model has, or one of 0 kbps while its quantiser is not ready. model: in eval mode."""
    device, late, hop = next(model.parameters()).device, model.config.late, model.config.hop
    ready = bool(model.quantizer.ready)
    mel = MelLoss().to(device)
    stages = [round(kbps / STAGE_KBPS) for kbps in KBPS] if ready else [0]
    scores: list[list[dict[str, float]]] = [[] for _ in stages]
    codes: list[torch.Tensor] = []
    coder = Coder(model.quantizer) if ready else None
    references = [ReferenceCache(resample(one.clip, 48000) if one.music else one.clip) for one in held_out]
    for one, reference in zip(held_out, references, strict=True):
        samples = torch.from_numpy(one.clip.samples)[None].to(device)
        x = torch.nn.functional.pad(samples, (0, -samples.shape[-1] % hop + late))
        latents = model.encoder(x)
        if coder:
            codes.append(coder.codes(latents, model.config.stages)[0].T)
        for n, into in zip(stages, scores, strict=True):
            if n > model.config.stages:
                continue
            y = model.decode(coder.codes(latents, n)) if coder else model.hear(latents)
            y = y[..., late : late + samples.shape[-1]].clamp(-1, 1)
            degraded = Clip(y[0].float().cpu().numpy(), RATE)
            names = ("visqol_audio",) if one.music else ("pesq_wb", "stoi", "visqol_speech")
            if one.music:
                degraded = resample(degraded, 48000)
            values = {name: evaluate(registry.get(name), reference, degraded).value for name in names}
            into.append(values | {"mel": float(mel(samples, y))})
    used = perplexity(torch.cat(codes), model.config.codebook_size) if codes else torch.zeros(0)
    return [
        Row(
            round(minutes, 2), step, round(hours, 3), n * STAGE_KBPS,
            mel=_mean(into, "mel"),
            pesq_wb=_mean(into, "pesq_wb"),
            stoi=_mean(into, "stoi"),
            visqol_speech=_mean(into, "visqol_speech"),
            visqol_music=_mean(into, "visqol_audio"),
            perplexity=" ".join(f"{value:.0f}" for value in used[:n]),
        )
        for n, into in zip(stages, scores, strict=True)
        if into
    ]  # fmt: skip


def _mean(values: Sequence[dict[str, float]], name: str) -> float:
    known = [one[name] for one in values if not math.isnan(one.get(name, math.nan))]
    return round(float(np.mean(known)), 4) if known else math.nan


def figure_of_merit(rows: Sequence[Row]) -> float:
    """What the best checkpoint is chosen by: ViSQOL at 6 kbps of speech, else of music, else NaN."""
    for row in rows:
        if row.kbps == 6.0:
            return row.visqol_music if math.isnan(row.visqol_speech) else row.visqol_speech
    return math.nan


def append(path: Path, rows: Sequence[Row]) -> None:
    """Add rows to a CSV; scores that could not be had are empty."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow([field.name for field in fields(Row)])
        writer.writerows(["" if v != v else v for v in astuple(row)] for row in rows)


def load(path: Path) -> list[Row]:
    """The rows of that CSV, none if there is no file; a line cut short by a kill is left out."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        lines = [line for line in csv.DictReader(file) if None not in line.values()]
    return [
        Row(
            step=int(line["step"]),
            perplexity=line["perplexity"],
            **{name: float(line[name] or "nan") for name in _NUMBERS},
        )
        for line in lines
    ]


def draw(path: Path, rows: Sequence[Row]) -> None:
    """Curves of quality against minutes of training, one a bitrate, as PNG, atomically."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    FigureCanvasAgg(figure)
    shown = (
        ("mel", "mel loss"),
        ("pesq_wb", "PESQ wideband"),
        ("visqol_speech", "ViSQOL speech"),
        ("visqol_music", "ViSQOL music (24 kHz)"),
    )
    for axes, (name, title) in zip(figure.subplots(2, 2).flat, shown, strict=True):
        for kbps in sorted({row.kbps for row in rows}):
            points = [(row.minutes, getattr(row, name)) for row in rows if row.kbps == kbps]
            label = f"{kbps:g} kbps" if kbps else "not quantised"
            axes.plot(*zip(*points, strict=True), marker=".", label=label)
        axes.set(title=title, xlabel="minutes of training")
        axes.grid(alpha=0.3)
    figure.axes[0].legend()
    part = path.with_name(path.name + ".part")
    figure.savefig(part, format="png", dpi=100)
    part.replace(path)
