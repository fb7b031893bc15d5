"""A run's folder: made or resumed from what the command line says, and exported.

RUN/run.json                       preset, seed, data folders; may be edited between sessions
RUN/latest, RUN/checkpoints/       the state (checkpoint.py)
RUN/validation/, validation.csv, validation.png
RUN/manifest.csv                   every file that was trained on
RUN/best.safetensors               averaged weights of the best validation, half precision
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..model import load as load_model
from ..model import save as save_model
from . import checkpoint, manifest, validate
from .batches import Batches
from .data import Source
from .presets import PRESETS, Preset
from .state import Progress, State
from .trainer import Trainer, metadata


class RunError(Exception):
    """A run that cannot start, resume or be exported; says what to do."""


@dataclass(frozen=True)
class Settings:
    """What RUN/run.json holds."""

    name: str
    preset: Preset
    seed: int


def pick_device(name: str) -> torch.device:
    """The device of "auto", "cpu" or "cuda". Raises RunError if there is no such device."""
    if name == "cuda" and not torch.cuda.is_available():
        raise RunError("--device cuda: PyTorch sees no GPU here; install a CUDA build of torch, or use --device cpu")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def settings(run: Path, name: str | None, seed: int, steps: int | None, device: torch.device) -> Settings:
    """The settings of a run: those in its run.json, else the preset of that name ("gpu" or "cpu" where it is None).

    `steps` replaces the number of steps in both cases. Raises RunError.
    """
    path = run / "run.json"
    if path.exists():
        found = _saved(path)
        if name not in (None, found.name):
            raise RunError(f"{run} was started with --preset {found.name}; leave --preset out, or start anew: --fresh")
    else:
        name = name or ("gpu" if device.type == "cuda" else "cpu")
        if name not in PRESETS:
            raise RunError(f"no preset named {name!r}; there are: {', '.join(PRESETS)}")
        found = Settings(name, PRESETS[name], seed)
    if steps is not None:
        found = replace(found, preset=replace(found.preset, steps=steps))
    run.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"name": found.name, "seed": found.seed, "preset": found.preset.to_json()}, indent=2)
    part = path.with_name(path.name + ".part")
    part.write_text(text + "\n")
    part.replace(path)
    return found


def _saved(path: Path) -> Settings:
    try:
        saved = json.loads(path.read_text())
        return Settings(saved["name"], Preset.from_json(saved["preset"]), int(saved["seed"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: not a run's settings ({error}); mend it, or start anew with --fresh") from error


def clear(run: Path) -> None:
    """Delete a run's own files, and nothing else in its folder."""
    for name in ("run.json", "latest", "validation.csv", "validation.png", "manifest.csv", "best.safetensors"):
        (run / name).unlink(missing_ok=True)
    for name in ("checkpoints", "validation"):
        shutil.rmtree(run / name, ignore_errors=True)


def open_run(
    run: Path,
    chosen: Settings,
    sources: list[Source],
    device: torch.device,
    init: Path | None,
    say: Callable[[str], None],
) -> Trainer:
    """A trainer at the state where the run stands, started from the weights `init` if it is a new one.

    Raises RunError, CheckpointError, DataError, AudioError.
    """
    held_out = validate.prepare(run, sources, chosen.preset)
    kinds = [sum(one.music is kind for one in held_out) for kind in (False, True)]
    say(f"held out for validation: {kinds[0]} clips of speech, {kinds[1]} of music")
    if not held_out:
        say("too little audio to hold any out: there will be no validation and no best checkpoint")
    pieces = [one.piece for one in held_out]
    batches = Batches(sources, pieces, chosen.preset.batch, chosen.preset.crop, chosen.seed)
    manifest.update(run / "manifest.csv", sources)
    trainer = Trainer(run, chosen.preset, batches, held_out, device, chosen.seed, say)
    say(f"training on {batches.seconds / 60:.1f} minutes of audio, {len(sources)} files, on {device.type}")
    if trainer.step:
        say(f"resumed at step {trainer.step}" + (", so --init is not used" if init else ""))
    elif init is not None:
        try:
            trainer.state.start_from(load_model(init))
        except (FileNotFoundError, ValueError) as error:
            raise RunError(f"--init {init}: {error}") from error
        say(f"started from {init}")
    return trainer


def export(run: Path, path: Path, last: bool = False) -> str:
    """Write a run's weights for `model.load`: the best validation's, or with `last` the averaged ones of its state.

    Returns a sentence that says which. Raises RunError, CheckpointError.
    """
    best = run / "best.safetensors"
    part = path.with_name(path.name + ".part")
    if best.exists() and not last:
        shutil.copyfile(best, part)
        part.replace(path)
        return f"{path}: the weights of the best validation"
    saved = checkpoint.load(run)
    if saved is None:
        raise RunError(f"{run}: holds no run; give the folder that `bench train soundstream --out` wrote")
    state = State(_saved(run / "run.json").preset, torch.device("cpu"), 0)
    state.restore(saved[0], Progress(**saved[1]))
    if not bool(state.model.quantizer.ready):
        raise RunError(f"{run}: at step {state.progress.step} the quantiser has not started yet; train on")
    save_model(state.averaged(), part, metadata(replace(state.progress, best=None)))
    part.replace(path)
    return f"{path}: the averaged weights of step {state.progress.step}"
