"""The reference backend: plain torch on any device."""

from __future__ import annotations

import numpy as np
import torch

from reverie.model.errors import ModelError
from reverie.model.signature import INPUTS, OUTPUTS
from reverie.model.step import DreamStep
from reverie.model.world_model import WorldModel


class TorchBackend:
    """Runs a `WorldModel` on `device` in float32."""

    def __init__(self, model: WorldModel, device: str = "cpu") -> None:
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ModelError("device cuda: this machine's torch sees no CUDA device")
        self.config = model.config
        self.name = f"torch-{device}"
        self._device = torch.device(device)
        self._step = DreamStep(model).eval().requires_grad_(False).to(self._device)

    @torch.inference_mode()
    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All of `INPUTS` in, all of `OUTPUTS` out."""
        tensors = [torch.from_numpy(np.ascontiguousarray(inputs[name])).to(self._device) for name in INPUTS]
        results = self._step(*tensors)
        return {name: result.cpu().numpy() for name, result in zip(OUTPUTS, results, strict=True)}
