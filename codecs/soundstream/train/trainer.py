"""The training loop: phases, losses, optimisers, saving, validation, and a clean end at a signal or when time is up."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..gainshape import LOOP
from ..model import save as save_model
from ..postfilter import postfilter
from ..quantizer import LONG_MEMORY
from ..ratecontrol import FEWEST, RateControl
from . import checkpoint, validate
from .batches import Batches
from .data import RATE
from .objective import Reconstruction, adversarial
from .presets import Phase, Preset
from .state import Progress, State, seed_step

#: stages at 3, 6 (twice), 9, 12 and 18 kbps; three quarters of the examples use one of these, the others any number
RATES = (4, 8, 8, 12, 16, 24)
_LOG_SECONDS = 30.0


class TrainingError(Exception):
    """Training that cannot go on; says where the last good state is."""


class Trainer:
    """A run in a folder: made, resumed if the folder holds a state, then `train`.

    Parameters
    ----------
    say : where lines of progress go.
    """

    def __init__(
        self,
        run: Path,
        preset: Preset,
        batches: Batches,
        held_out: Sequence[validate.HeldOut],
        device: torch.device,
        seed: int,
        say: Callable[[str], None],
    ) -> None:
        self.run, self.preset, self.batches, self.held_out = run, preset, batches, held_out
        self.device, self.seed, self.say = device, seed, say
        self.state = State(preset, device, seed)
        self._reconstruction = Reconstruction().to(device)
        self._sums: dict[str, list[Tensor]] = {}
        self._prefetch = ThreadPoolExecutor(1)
        self._pending: tuple[int, Future[NDArray[np.float32]]] | None = None
        if device.type == "cuda":
            torch.backends.cudnn.benchmark = True
            torch.backends.cudnn.allow_tf32 = True
        saved = checkpoint.load(run)
        if saved is not None:
            self.state.restore(saved[0], Progress(**saved[1]))

    @property
    def step(self) -> int:
        """Steps done."""
        return self.state.progress.step

    # One step

    def advance(self) -> None:
        """One step. Raises TrainingError if a loss or gradient is not finite; the state on disk is then untouched."""
        step, preset, state = self.step, self.preset, self.state
        phase = preset.phase(step)
        x = self._batch(step)
        seed_step(self.seed, step)
        quantise = phase.quantise or bool(state.model.quantizer.ready)
        if quantise and not bool(state.model.quantizer.ready):
            self._fit()
        if 0 < step == phase.start and (before := preset.phase(step - 1).learns) != phase.learns:
            state.model.quantizer.settle()
            if before == "all":
                state.model.encoder.load_state_dict(state.average.encoder.state_dict())
        if phase.learns == "codebooks":
            self._learn_codebooks(x)
            return
        for group, factor in zip(state.optimizer.param_groups, (phase.encoder_rate, 1.0), strict=True):
            group["lr"] = preset.rate_at(step) * factor
        state.model.train()
        state.model.quantizer.train(phase.learns == "all")
        y, terms = self._reconstruct(x, phase, quantise)
        x = x[..., : y.shape[-1]]
        discriminator: Tensor | None = None
        if phase.adversarial:
            assert state.discriminators is not None
            with self._autocast():
                judged, discriminator = adversarial(state.discriminators, x, y)
            terms |= judged
        total = phase.weights.total(terms)
        state.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), preset.clip)
        self._need_finite(terms | {"total": total, "gradient": norm})
        state.optimizer.step()
        if discriminator is not None:
            self._step_discriminators(discriminator)
            terms["discriminator"] = discriminator
        state.shorten_momenta()
        self._done(x, terms | {"gradient": norm})
        state.move_average(preset.average)

    @torch.no_grad()
    def _learn_codebooks(self, x: Tensor) -> None:
        quantizer = self.state.model.quantizer.train()
        for part in (quantizer.levels, quantizer.shapes):
            part.decay = LONG_MEMORY
        with self._autocast():
            z = self.state.model.encoder(x)
        every = torch.full((len(z), z.shape[2]), quantizer.stages)
        self._done(x, {"commitment": quantizer(z.float(), every)[1]})

    def _done(self, x: Tensor, terms: dict[str, Tensor]) -> None:
        self.state.progress.step += 1
        self.state.progress.audio_seconds += x.numel() / RATE
        for name, value in terms.items():
            self._sums.setdefault(name, []).append(value.detach())

    def _batch(self, step: int) -> Tensor:
        """The batch [B, 1, T] of a step on the device; the next one is made meanwhile."""
        pending = self._pending
        samples = pending[1].result() if pending and pending[0] == step else self.batches(step)
        self._pending = (step + 1, self._prefetch.submit(self.batches, step + 1))
        return torch.from_numpy(samples).to(self.device)

    def _autocast(self) -> torch.autocast:
        # Not on CPUs: 10 % slower than float32 where measured, with AVX-512 BF16 and without AMX.
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")

    def _reconstruct(self, x: Tensor, phase: Phase, quantise: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """The decoded batch [B, 1, T - late] and the losses that need no discriminator, by name."""
        model = self.state.model
        terms: dict[str, Tensor] = {}
        with self._autocast(), torch.set_grad_enabled(phase.learns == "all"):
            z = model.encoder(x)
        z = z.float()
        stages = torch.full((len(z), z.shape[2]), model.config.stages)
        if quantise:
            stages = self._stages(z[:, : model.quantizer.bands].detach())
            z, terms["commitment"] = model.quantizer(z, stages)
        elif phase.noise:
            z = z + phase.noise * z.detach().std() * torch.randn_like(z)
        with self._autocast():
            y = model.decoder(z)
        late = model.config.late
        y = postfilter(y[:, 0].float(), stages)[0][:, None, late:]
        return y, terms | self._reconstruction(x[..., :-late], y, phase.weights)

    def _stages(self, levels: Tensor) -> Tensor:
        """Quantiser dropout: how many stages each frame uses, [B, F], of levels [B, bands, F]. Half of the examples
        with four stages or more have a variable bitrate."""
        most, batch = self.state.model.config.stages, len(levels)
        common = torch.tensor([n for n in RATES if n <= most] or [most])
        chosen = common[torch.randint(len(common), (batch,))]
        chosen = torch.where(torch.rand(batch) < 0.75, chosen, torch.randint(LOOP, most + 1, (batch,)))
        stages = chosen[:, None].repeat(1, levels.shape[2])
        for row in (torch.rand(batch) < 0.5).nonzero()[:, 0].tolist():
            if chosen[row] > FEWEST:
                control = RateControl(int(chosen[row]), most)
                stages[row] = torch.from_numpy(control(levels[row].T.double().cpu().numpy()))
        return stages

    def _step_discriminators(self, loss: Tensor) -> None:
        nets, optimizer = self.state.discriminators, self.state.discriminator_optimizer
        assert nets is not None
        assert optimizer is not None
        for group in optimizer.param_groups:
            group["lr"] = self.preset.rate_at(self.step) / 2
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(nets.parameters(), 10 * self.preset.clip)
        self._need_finite({"discriminator": loss, "discriminator gradient": norm})
        optimizer.step()

    def _need_finite(self, values: dict[str, Tensor]) -> None:
        if not bool(torch.stack([value.detach() for value in values.values()]).isfinite().all()):
            bad = [name for name, value in values.items() if not math.isfinite(float(value.detach()))]
            every = ", ".join(f"{name} {float(value.detach()):.4g}" for name, value in values.items())
            raise TrainingError(
                f"step {self.step}: {' and '.join(bad)} not finite ({every}); the last good state is in {self.run}: "
                f'lower "rate" in {self.run / "run.json"} and start again'
            )

    @torch.no_grad()
    def _fit(self) -> None:
        """K-means of the codebooks on latents of fresh audio."""
        model, wanted, bank, index = self.state.model, self.preset.fit_frames, list[Tensor](), 0
        while sum(one.shape[0] * one.shape[2] for one in bank) < wanted:
            x = torch.from_numpy(self.batches(self.step + index, stream=1)).to(self.device)
            with self._autocast():
                z = model.encoder(x)
            bank.append(z.float()[:, :, 4:])  # without what saw the silence before
            index += 1
        self.say(f"step {self.step}: k-means of {model.config.stages} codebooks on {wanted} frames")
        model.quantizer.fit(torch.cat(bank), sample=wanted // 2)

    # The run

    def train(self, minutes: float | None = None) -> str:
        """Train until the preset's steps, `minutes` or a SIGINT or SIGTERM; saves, and returns which of them it was.

        State is saved between updates of the codebooks, so the end may be `gather` frames away. A second signal ends
        at once, with the state saved before.
        """
        progress, start = self.state.progress, time.monotonic()
        before, saved, said, steps = progress.minutes, start, start, self.step
        validated = -1
        with _signals() as stopping:
            while self.step < self.preset.steps:
                if self.state.model.quantizer.settled:
                    now = time.monotonic()
                    over = minutes is not None and now - start >= 60 * minutes
                    if not stopping and (over or progress.minutes - progress.validated >= self.preset.validate_minutes):
                        self._validate()
                        validated = self.step
                        said += time.monotonic() - now  # the speed is that of training
                    if stopping or over or now - saved >= 60 * self.preset.save_minutes or validated == self.step:
                        self.save()
                        saved = time.monotonic()
                    if stopping or over:
                        return f"stopped by {stopping[0]}" if stopping else f"the {minutes:g} minutes are over"
                self.advance()
                now = time.monotonic()
                progress.minutes = before + (now - start) / 60
                if now - said >= _LOG_SECONDS or self.step == self.preset.steps:
                    self._say_progress((self.step - steps) / max(1e-9, now - said))
                    said, steps = now, self.step
            self.state.model.quantizer.settle()
            if validated != self.step and not stopping:
                self._validate()
            self.save()
        return f"all {self.preset.steps} steps are done"

    def save(self) -> None:
        """Write the state; atomic."""
        checkpoint.save(self.run, self.state.tensors(), asdict(self.state.progress))

    def _say_progress(self, speed: float) -> None:
        progress = self.state.progress
        means = "  ".join(f"{name} {float(torch.stack(v).mean()):.4g}" for name, v in self._sums.items())
        self._sums = {}
        self.say(
            f"step {progress.step} of {self.preset.steps}, {self.preset.phase(progress.step - 1).name}: "
            f"{progress.minutes:.1f} min, {progress.audio_seconds / 3600:.2f} h of audio, {speed:.2f} steps/s, "
            f"rate {self.preset.rate_at(progress.step - 1):.1e}  {means}"
        )

    def _validate(self) -> None:
        progress = self.state.progress
        progress.validated = progress.minutes
        if not self.held_out:
            return
        model = self.state.averaged()
        began = time.monotonic()
        rows = validate.score(model, self.held_out, progress.minutes, progress.step, progress.audio_seconds / 3600)
        validate.append(self.run / "validation.csv", rows)
        validate.draw(self.run / "validation.png", validate.load(self.run / "validation.csv"))
        for row in rows:
            self.say(
                f"validation at {f'{row.kbps:g} kbps' if row.kbps else 'no quantiser'}: mel {row.mel:.3f}  "
                f"PESQ-wb {row.pesq_wb:.3f}  STOI {row.stoi:.3f}  ViSQOL speech {row.visqol_speech:.3f} "
                f"music {row.visqol_music:.3f}  perplexity {row.perplexity or '-'}"
            )
        merit = validate.figure_of_merit(rows)
        if not math.isnan(merit) and (progress.best is None or merit > progress.best):
            progress.best = merit
            part = self.run / "best.safetensors.part"
            save_model(model, part, metadata(progress))
            part.replace(self.run / "best.safetensors")
            self.say(f"best so far at 6 kbps: ViSQOL {merit:.3f}")
        self.say(f"validation took {time.monotonic() - began:.0f} s")


def metadata(progress: Progress) -> dict[str, str]:
    """What weights carry of their training, for `model.save`."""
    return {
        "step": str(progress.step),
        "hours_of_audio": f"{progress.audio_seconds / 3600:.2f}",
        "minutes": f"{progress.minutes:.1f}",
        "visqol_6kbps": "" if progress.best is None else f"{progress.best:.3f}",
    }


@contextlib.contextmanager
def _signals() -> Iterator[list[str]]:
    """A list that is empty until SIGINT or SIGTERM; a second one acts as usual. Elsewhere than in the main thread
    signals are left alone."""
    got: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield got
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, _: object) -> None:
        got.append(signal.Signals(number).name)
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, stop)
    try:
        yield got
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
