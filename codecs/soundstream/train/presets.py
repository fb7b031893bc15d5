"""What is trained for how long, in one place.

A run goes through phases: the autoencoder with the quantiser bypassed, the quantiser, the codebooks alone, the decoder
alone, then with discriminators. Each has loss weights of its own. `bench train soundstream` writes its preset to
RUN/run.json and reads it back from there when it resumes, so a preset that changes here leaves runs that are under way
alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..losses import LossWeights


@dataclass(frozen=True)
class Phase:
    """A part of a run.

    Attributes
    ----------
    start : first step; the phase lasts until the next one starts.
    quantise : whether the quantiser is in the path; its codebooks are fitted by k-means when it first is.
    adversarial : whether the discriminators are trained and heard.
    weights : of the losses; one with weight 0 is not computed.
    rate : factor on the learning rate. encoder_rate : a further one for the encoder.
    learns : "all", or what alone learns while the rest stays as it is, the encoder at its average: "codebooks", with a
        longer memory (see `quantizer.py`), or "decoder".
    noise : Gaussian noise on the latents while the quantiser is bypassed, relative to their standard deviation.
    """

    name: str
    start: int
    quantise: bool
    adversarial: bool
    weights: LossWeights
    rate: float = 1.0
    encoder_rate: float = 1.0
    learns: Literal["all", "codebooks", "decoder"] = "all"
    noise: float = 0.0


@dataclass(frozen=True)
class Preset:
    """A whole run.

    Attributes
    ----------
    model : name of an architecture in `model.PRESETS`.
    batch, crop : examples a step, samples an example (a multiple of the hop).
    steps : in all. The rate rises over `warmup` steps, stays, and falls to 0 over the last `decay` of all steps.
    rate : learning rate of AdamW; the discriminators' is half of it.
    average : of the moving average of the weights (less in the first steps).
    clip : limit of the gradient's norm; ten times that for the discriminators.
    gather, fit_frames : latent frames that a codebook update and the k-means take.
    wave_channels, wave_max, stft_channels : size of the discriminators; the paper's is 16, 1024, 32.
    save_minutes, validate_minutes : how often.
    speech_clips, music_clips : held out to validate on, 5 s each.
    """

    model: str
    batch: int
    crop: int
    steps: int
    rate: float
    phases: tuple[Phase, ...]
    warmup: int = 200
    decay: float = 0.3
    average: float = 0.999
    clip: float = 1.0
    gather: int = 4096
    fit_frames: int = 98304
    wave_channels: int = 16
    wave_max: int = 1024
    stft_channels: int = 32
    save_minutes: float = 5.0
    validate_minutes: float = 30.0
    speech_clips: int = 12
    music_clips: int = 4

    @property
    def adversarial(self) -> bool:
        """Whether any phase needs the discriminators."""
        return any(phase.adversarial for phase in self.phases)

    def phase(self, step: int) -> Phase:
        """The phase that a step belongs to."""
        return [phase for phase in self.phases if phase.start <= step][-1]

    def rate_at(self, step: int) -> float:
        """Learning rate at a step, the phase's factor included."""
        warm = min(1.0, (step + 1) / self.warmup)
        fall = min(1.0, (self.steps - step) / max(1.0, self.decay * self.steps))
        return self.rate * warm * max(0.0, fall) * self.phase(step).rate

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Preset:
        """Inverse of `to_json`, after JSON; TypeError or KeyError on anything else."""
        phases = tuple(Phase(**(one | {"weights": LossWeights(**one["weights"])})) for one in values["phases"])
        return cls(**(values | {"phases": phases}))


#: measured: docs/soundstream.md
_SPECTRUM = LossWeights(mel=0.0, log_mel=2.0, complex_stft=2.0, snr=0.02, commitment=0.5)
_ADVERSARIAL = LossWeights(
    mel=0.0, log_mel=2.0, complex_stft=2.0, snr=0.02, commitment=0.5, adversarial=0.1, features=2.0
)


def _phases(bypass: int, books: int, decoder: int, gan: int) -> tuple[Phase, ...]:
    return (
        Phase("autoencoder", 0, False, False, _SPECTRUM, noise=0.05),
        Phase("quantiser", bypass, True, False, _SPECTRUM, encoder_rate=0.1),
        Phase("codebooks", books, True, False, _SPECTRUM, learns="codebooks"),
        Phase("decoder", decoder, True, False, _SPECTRUM, learns="decoder"),
        Phase("adversarial", gan, True, True, _ADVERSARIAL, rate=0.5, learns="decoder"),
    )


PRESETS: dict[str, Preset] = {
    # two CPU cores; state and all within 70 MB
    "cpu": Preset(
        model="base",
        batch=4,
        crop=19200,
        steps=60_000,
        rate=3e-4,
        phases=_phases(200, 32_000, 40_000, 50_000),
        wave_channels=8,
        wave_max=128,
        stft_channels=8,
    ),
    # one data-centre GPU, about half an hour: the same model and state
    "gpu": Preset(
        model="base",
        batch=64,
        crop=24000,
        steps=16_000,
        rate=3e-4,
        phases=_phases(200, 7_000, 8_000, 11_000),
        gather=16384,
        fit_frames=262144,
        wave_channels=8,
        wave_max=128,
        stft_channels=8,
        validate_minutes=5.0,
    ),
    # the paper's losses and discriminators from the first step, on the paper's shape; for a GPU and days
    "paper": Preset(
        model="paper",
        batch=128,
        crop=24000,
        steps=1_000_000,
        rate=1e-4,
        phases=(Phase("paper", 0, True, True, LossWeights()),),
        gather=1,
    ),
    # seconds on one core, for tests
    "tiny": Preset(
        model="tiny",
        batch=4,
        crop=6400,
        steps=20,
        rate=5e-4,
        warmup=2,
        phases=_phases(6, 10, 12, 16),
        gather=1,
        fit_frames=512,
        wave_channels=4,
        wave_max=16,
        stft_channels=2,
        speech_clips=1,
        music_clips=1,
    ),
}
