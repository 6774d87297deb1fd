"""The reference backend: plain torch on any device; on a GPU a whole pass is one captured graph."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.model.errors import ModelError
from reverie.model.signature import INPUTS, OUTPUTS
from reverie.model.step import DreamStep
from reverie.model.world_model import WorldModel

WARM_UP = 3
"""Passes before a graph is captured, so that libraries have chosen their kernels and workspaces."""
KEPT_SHAPES = 2
"""Batch sizes whose static memory is kept; the one used longest ago gives way."""


class TorchBackend:
    """Runs a `WorldModel` on `device` in `precision`: fp32, or bf16 where autocast thinks that harmless.

    With `static` memory (None: on a GPU) inputs are copied into tensors that stay where they are, one set for each
    batch size; on a GPU the pass over them is captured once as a CUDA graph and replayed. Raises ModelError.
    """

    def __init__(
        self, model: WorldModel, device: str = "cpu", precision: str = "fp32", static: bool | None = None
    ) -> None:
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ModelError("device cuda: this machine's torch sees no CUDA device")
        self.config = model.config
        self.name = f"torch-{device}" + ("" if precision == "fp32" else f"-{precision}")
        self._device = torch.device(device)
        self._autocast = precision == "bf16"
        self._step = DreamStep(model).eval().requires_grad_(False).to(self._device)
        self._static = self._device.type == "cuda" if static is None else static
        self._passes: dict[tuple[torch.Size, ...], StaticPass] = {}

    @torch.inference_mode()
    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All of `INPUTS` in, all of `OUTPUTS` out."""
        tensors = [torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in INPUTS]
        if self._static:
            shapes = tuple(tensor.shape for tensor in tensors)
            fixed = self._passes.pop(shapes, None)
            if fixed is None:
                while len(self._passes) >= KEPT_SHAPES:
                    del self._passes[next(iter(self._passes))]
                fixed = StaticPass(self._compute, [tensor.to(self._device) for tensor in tensors])
            self._passes[shapes] = fixed
            results = fixed(tensors)
        else:
            results = self._compute([tensor.to(self._device) for tensor in tensors])
        return {name: result.cpu().numpy() for name, result in zip(OUTPUTS, results, strict=True)}

    def _compute(self, tensors: list[Tensor]) -> tuple[Tensor, ...]:
        if not self._autocast:
            return self._step(*tensors)
        with warnings.catch_warnings(), torch.autocast(self._device.type, torch.bfloat16):
            warnings.filterwarnings("ignore", "Mismatch dtype")  # float32 weights of the norms: only slower, and meant
            results = self._step(*tensors)
        return tuple(result.float() if result.dtype == torch.bfloat16 else result for result in results)


class StaticPass:
    """`compute` over tensors that keep their places, as a CUDA graph where a GPU lets it be captured."""

    def __init__(self, compute: Any, tensors: list[Tensor]) -> None:
        self._compute = compute
        self._inputs = tensors
        self._graph: torch.cuda.CUDAGraph | None = None
        self._outputs: tuple[Tensor, ...] = ()
        if tensors[0].is_cuda:
            self._capture()

    @property
    def captured(self) -> bool:
        """Whether passes are replays of a graph."""
        return self._graph is not None

    def __call__(self, tensors: list[Tensor]) -> tuple[Tensor, ...]:
        """The outputs for these inputs; the next call overwrites them."""
        for fixed, tensor in zip(self._inputs, tensors, strict=True):
            fixed.copy_(tensor, non_blocking=True)
        if self._graph is None:
            return self._compute(self._inputs)
        self._graph.replay()
        return self._outputs

    def _capture(self) -> None:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self._compute(self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._outputs = self._compute(self._inputs)
        except RuntimeError:  # something in the pass may not be captured: it is run piece by piece instead
            return
        self._graph = graph
