"""The encoder and decoder networks as ONNX graphs, run by ONNX Runtime on one thread.

It is the fastest of what was measured, most of all frame by frame (docs/soundstream.md); the graphs are made from the
weights when they are first needed, in about a second, so nothing generated is kept in step with the weights.
"""

from __future__ import annotations

import copy
import io
import math
import warnings
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .conv import CausalConv1d, StreamState
from .model import SoundStream
from .search import Coder

Array = NDArray[np.float32]
OPSET = 17


class Network:
    """A causal network [1, C, T] -> [1, C', T'] that goes on where its last step ended.

    Parameters
    ----------
    module : takes an input and a `StreamState`.
    channels, hop : of the input; T is a multiple of the hop.
    """

    def __init__(self, module: nn.Module, channels: int, hop: int) -> None:
        import onnxruntime

        graph, self._start = _export(module, torch.zeros(1, channels, 2 * hop))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # they double the memory and save no time
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._inputs = [one.name for one in self._session.get_inputs()]

    def start(self) -> list[Array]:
        """What `step` is given at first: silence."""
        return list(self._start)

    def step(self, x: Array, past: list[Array]) -> tuple[Array, list[Array]]:
        """The output for x, and what the next step is given as `past`."""
        y, *past = self._session.run(None, dict(zip(self._inputs, [x, *past], strict=True)))
        return y, past


class _Explicit(nn.Module):
    """A network whose state is among its inputs and outputs."""

    def __init__(self, module: nn.Module, example: Tensor) -> None:
        super().__init__()
        state = StreamState()
        module(example, state)
        self.module, self.order, self.start = module, [*state.past], [torch.zeros_like(x) for x in state.past.values()]

    def forward(self, x: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        state = StreamState(dict(zip(self.order, past, strict=True)))
        y = self.module(x, state)
        return (y, *(state.past[module] for module in self.order))


def _expm1(graph: Any, x: Any) -> Any:
    return graph.op("Sub", graph.op("Exp", x), graph.op("Constant", value_t=torch.tensor(1.0)))


@torch.no_grad()
def _export(module: nn.Module, example: Tensor) -> tuple[bytes, list[Array]]:
    """The graph, and its state at the start."""
    explicit = _Explicit(module, example)
    names = [f"past{i}" for i in range(len(explicit.start))]
    file = io.BytesIO()
    torch.onnx.register_custom_op_symbolic("aten::expm1", _expm1, OPSET)  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package is the older one
        torch.onnx.export(
            explicit,
            (example, *explicit.start),
            file,  # type: ignore[arg-type]
            input_names=["x", *names],
            output_names=["y", *(f"{name}_next" for name in names)],
            dynamic_axes={"x": {2: "t"}, "y": {2: "t_out"}},
            opset_version=OPSET,
            dynamo=False,
        )
    return file.getvalue(), [x.numpy() for x in explicit.start]


class Engine:
    """What codes with a model, made of its weights as they are now."""

    def __init__(self, model: SoundStream) -> None:
        self.version = _version(model)
        self.encoder = Network(model.encoder, 1, model.config.hop)
        self.decoder = Network(model.decoder, model.config.dimension, 1)
        self.coder = Coder(model.quantizer)
        self._exact = copy.deepcopy(model.encoder).double()
        samples, hop = 0, 1
        for module in model.encoder.modules():
            if isinstance(module, CausalConv1d):
                samples += module.context * hop
                hop *= module.conv.stride[0]
        #: frames that a code depends on, its own counted
        self.reach = 1 + math.ceil(samples / hop)

    @torch.no_grad()
    def exact(self, samples: Array) -> Tensor:
        """Latents [n, D] of the last frame of each of n times `reach` frames of samples or, of less than that, of the
        signal from its start; in float64."""
        z: Tensor = self._exact(torch.from_numpy(samples)[:, None].double())
        return z[:, :, -1]


def _version(model: SoundStream) -> list[tuple[int, int]]:
    tensors = model.state_dict(keep_vars=True).values()
    # Tensors made in inference mode count no versions; they are not for training.
    return [(tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version) for tensor in tensors]


_engines: WeakKeyDictionary[SoundStream, Engine] = WeakKeyDictionary()


def engine(model: SoundStream) -> Engine:
    """The model's engine, made anew where its weights have changed."""
    found = _engines.get(model)
    if found is None or found.version != _version(model):
        found = _engines[model] = Engine(model)
    return found
