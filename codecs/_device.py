"""The device that codecs compute on in this process: the CPU, unless a run chose a GPU and the codec can use one."""

from __future__ import annotations

import functools

from ._codec import Codec

_chosen = "cpu"


class DeviceError(Exception):
    """A device that is not here; says why."""


def choose(device: str) -> None:
    """Compute on "cpu" or "cuda" from now on. Raises DeviceError where there is no such device."""
    global _chosen
    if device != "cpu":
        gpu_name()
    _chosen = device


def device_of(codec: Codec) -> str:
    """What the codec computes on: what was chosen if it can, else "cpu"; a name that torch knows."""
    return _chosen if _chosen in codec.devices else "cpu"


def label_of(codec: Codec) -> str:
    """The same for people and the store: "cpu", or the GPU's name."""
    return "cpu" if device_of(codec) == "cpu" else gpu_name()


@functools.cache
def gpu_name() -> str:
    """Of the first GPU. Raises DeviceError."""
    import torch

    if not torch.cuda.is_available():
        build = f"PyTorch {torch.__version__}"
        raise DeviceError(f"no CUDA device: {build} finds none; leave --device out, or see `nvidia-smi`")
    return torch.cuda.get_device_name(0)
