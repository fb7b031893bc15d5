"""One adapter for the neural codecs whose weights are downloaded: all but running the model.

A kind of model subclasses `NeuralCodec` with how its configuration is read, how it codes a waveform into codes and how
it decodes them; its codecs are instances, each declared by a `Layout` and a few points. Weights of a user's own go the
same way, their layout and points read from their configuration.

Everything is computed in float32 on one thread, a clip in one piece from a fresh state.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import json
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..bench.audio import Clip
from ..bench.models import Model
from . import Codec, CodecError, Encoded, Point, Tokens
from ._codes import Codes, Gains, Layout, pack, unpack
from ._device import device_of

if TYPE_CHECKING:
    import torch


class NeuralCodec(Codec):
    """A codec of one kind of model with one set of weights."""

    devices = ("cpu", "cuda")
    # They need not keep the waveform at their lowest rates, and nothing is known of weights of a user's own: delay is
    # checked on envelopes.
    parametric = True
    #: what users call this kind of model
    title: str
    #: the package that runs it, and its class in there
    package = "transformers"
    runner: str

    def __init__(
        self,
        name: str,
        family: str,
        about: str,
        licence: str,
        layout: Layout,
        points: Sequence[Point],
        model: Model | None = None,
        folder: Path | None = None,
        weights: str = "",
    ) -> None:
        """Weights are either a `model` of the store, or those in `folder` with a hash, `weights`."""
        self.name, self.family, self.about, self.licence = name, family, about, licence
        self.layout, self.points = layout, tuple(points)
        self.rates = (layout.rate,)
        self.channels = tuple(range(1, layout.channels + 1))
        self.model, self.folder = model, folder
        self.weights = model.revision[:12] if model else weights

    @staticmethod
    @abstractmethod
    def layout_of(config: Any) -> Layout:
        """From the model's configuration. Raises ValueError for one that it does not code."""

    @staticmethod
    @abstractmethod
    def points_of(config: Any, layout: Layout) -> tuple[Point, ...]:
        """The points of weights with that configuration."""

    @staticmethod
    @abstractmethod
    def run_encoder(model: Any, wave: torch.Tensor, point: Point) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        """Wave [1, channels, n], n a multiple of the frame -> the codes of each stage, in order of time, and gains."""

    @staticmethod
    @abstractmethod
    def run_decoder(model: Any, codes: list[torch.Tensor], gains: torch.Tensor | None) -> torch.Tensor:
        """Inverse of `run_encoder`, as long as the model makes it; any shape that ends in the samples."""

    @classmethod
    def read_config(cls, folder: Path) -> Any:
        """The configuration in a folder. Raises OSError or ValueError."""
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
        if kind != cls.takes:
            raise ValueError(f"its model_type is {kind!r}, not {cls.takes!r}")
        library = importlib.import_module("transformers")
        return getattr(library, cls.runner).config_class.from_pretrained(str(folder), local_files_only=True)

    @classmethod
    def load(cls, folder: Path) -> Any:
        """The model in a folder, with all its weights. Raises OSError, ValueError or RuntimeError."""
        library = importlib.import_module("transformers")
        library.logging.set_verbosity_error()
        library.logging.disable_progress_bar()
        runner = getattr(library, cls.runner)
        model, found = runner.from_pretrained(str(folder), local_files_only=True, output_loading_info=True)
        # transformers would go on with random numbers in their place
        for what in ("missing_keys", "mismatched_keys"):
            if found[what]:
                raise ValueError(f"{len(found[what])} {what.replace('_', ' ')}, such as {min(map(str, found[what]))}")
        return model

    def encode(self, clip: Clip, point: Point) -> Encoded:
        import torch

        self.check(clip, point)
        if not clip.length:
            raise CodecError(f"{self.name} was given no samples")
        wave = np.pad(clip.samples, ((0, 0), (0, -clip.length % self.layout.frame)))
        if clip.channels < self.layout.channels:
            wave = np.repeat(wave, self.layout.channels, axis=0)
        count = wave.shape[1] // self.layout.frame
        with self._running() as (model, device):
            stages, gains = self.run_encoder(model, torch.from_numpy(wave)[None].to(device), point)
            codes = [stage.cpu().numpy().reshape(-1) for stage in stages]
            scales = None if gains is None else gains.cpu().numpy().reshape(-1)
        made, wanted = [len(stage) for stage in codes], [count * n for n in self._codes(point)]
        if made != wanted:
            raise CodecError(f"{self.name} {point.label}: the model made {made} codes of each stage, not {wanted}")
        return Encoded(pack(self.layout, codes, scales), clip.rate, clip.channels)

    def decode(self, encoded: Encoded, point: Point) -> Clip:
        import torch

        codes, scales = self._unpack(encoded, point)
        with self._running() as (model, device):
            stages = [torch.from_numpy(stage).to(device) for stage in codes]
            gains = None if scales is None else torch.from_numpy(scales).to(device)
            wave = self.run_decoder(model, stages, gains).float().cpu().numpy().reshape(self.layout.channels, -1)
        if encoded.channels < self.layout.channels:
            wave = wave.mean(axis=0, keepdims=True)
        if not np.isfinite(wave).all():
            raise CodecError(f"{self.name} {point.label} decoded to samples that are NaN or infinite")
        # DAC makes a few samples less than it was given (its transposed convolutions of odd strides), EnCodec with
        # chunks more (the last one's overlap).
        length = len(encoded.packets) * self.layout.frame
        missing = length - wave.shape[1]
        if missing > self.layout.frame:
            raise CodecError(f"{self.name} {point.label} decoded {wave.shape[1]} samples of {length}")
        return Clip(np.pad(wave[:, :length], ((0, 0), (0, max(0, missing)))), self.layout.rate)

    def tokens(self, encoded: Encoded, point: Point) -> Tokens:
        codes, _ = self._unpack(encoded, point)
        return Tokens((self.layout.entries,) * len(codes), tuple(codes))

    def delay(self, rate: int, point: Point) -> int:
        return 0

    def frame(self, rate: int, point: Point) -> int:
        return self.layout.frame

    def available(self) -> str | None:
        for package in ("torch", self.package):
            if find_spec(package) is None:
                return f'it needs {package}: pip install "codecbench[neural]"'
        if self.model is None:
            return None
        from ..bench.models import missing

        return missing(self.model)

    def note(self) -> str:
        notes = []
        if self.layout.channels > 1:
            notes.append("its model is stereo: a mono clip is coded as two equal channels and their mean is decoded")
        if not self.layout.causal:
            notes.append("it looks ahead, so its algorithmic delay is longer than its frame")
        return "; ".join(notes)

    def versions(self) -> dict[str, str]:
        return {name: version(name) for name in ("torch", self.package)} | {"weights": self._identity()}

    def config(self) -> dict[str, Any]:
        return asdict(self.layout)

    def with_weights(self, path: Path) -> NeuralCodec:
        """A checkpoint is a folder with config.json and the weights, as `save_pretrained` writes it."""
        for package in ("torch", self.package):
            if find_spec(package) is None:
                raise CodecError(f'{path}: needs {package}: pip install "codecbench[neural]"')
        path = path.resolve()
        weights = _digest(path)
        try:
            config = self.read_config(path)
            layout = self.layout_of(config)
            points = self.points_of(config, layout)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CodecError(f"{path / 'config.json'}: no {self.title} that can be run: {error}") from error
        _load(type(self), path, weights[:16], layout, "cpu")  # better now than at the first clip
        stem = f"{path.name}-{weights[:8]}"
        return type(self)(
            f"{self.takes}:{stem}",
            f"{self.title} ({stem})",
            f"{self.title} with weights of your own, by {self.package}",
            "of the weights' owner",
            layout,
            points,
            folder=path,
            weights=weights[:16],
        )

    def _codes(self, point: Point) -> tuple[int, ...]:
        """Codes a packet of each stage that the point sends."""
        return self.layout.codes[: int(point.params["stages"])]

    def _unpack(self, encoded: Encoded, point: Point) -> tuple[list[Codes], Gains | None]:
        try:
            return unpack(self.layout, encoded.packets, int(point.params["stages"]))
        except ValueError as error:
            raise CodecError(f"{self.name} {point.label}: {error}") from error

    def _identity(self) -> str:
        """Names the weights: by their revision, and by the hash of each file that was taken as it is."""
        from ..bench.models import path, unchecked

        place = path(self.model) if self.model else None
        if self.model is None or place is None:
            return self.weights
        return "+".join([self.weights, *(sha256[:8] for sha256 in unchecked(self.model, place).values())])

    def _folder(self) -> Path:
        """Where the weights are, found to be whole."""
        if self.model is None:
            assert self.folder is not None
            return self.folder
        from ..bench.models import ModelError, checked

        try:
            return checked(self.model)
        except ModelError as error:
            raise CodecError(f"{self.name}: {error}") from error

    @contextlib.contextmanager
    def _running(self) -> Iterator[tuple[Any, str]]:
        """The model and its device, set up so that it computes the same every time."""
        import torch

        device = device_of(self)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            model = _load(type(self), self._folder(), self.weights, self.layout, device)
            exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
            with torch.inference_mode(), exact:
                yield model, device
        except RuntimeError as error:
            raise CodecError(f"{self.name}: {error}") from error
        finally:
            torch.set_num_threads(threads)


@functools.lru_cache(maxsize=2)
def _load(kind: type[NeuralCodec], folder: Path, weights: str, layout: Layout, device: str) -> Any:
    """Once a process; `weights` only tells one content of the folder from another. Raises CodecError, also where the
    layout is not the model's: it would count wrong bits."""
    try:
        if (found := kind.layout_of(kind.read_config(folder))) != layout:
            raise ValueError(f"its configuration makes it {found}, not the declared {layout}")
        return kind.load(folder).eval().float().to(device)
    except Exception as error:  # of transformers, safetensors, pickle, ...
        raise CodecError(f"{folder}: its weights cannot be loaded: {error}") from error


def _digest(folder: Path) -> str:
    """SHA-256 over the configuration and the weights in a folder, file after file. Raises CodecError."""
    if not (folder / "config.json").is_file():
        raise CodecError(f"{folder}: no config.json: a checkpoint is a folder with config.json and the weights")
    weights = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    if not weights:
        raise CodecError(f"{folder}: no weights: neither *.safetensors nor *.bin")
    total = hashlib.sha256()
    try:
        for file in (folder / "config.json", *weights):
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    total.update(block)
    except OSError as error:
        raise CodecError(f"{folder}: {error}") from error
    return total.hexdigest()
