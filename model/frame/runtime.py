"""The frame model at play: tables looked up on the CPU, the network by ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from reverie.model.errors import ModelError
from reverie.model.frame.config import FrameConfig
from reverie.model.frame.features import FrameInput, look_up
from reverie.model.onnx_session import OnnxNetwork

CONFIG, WEIGHTS, NETWORK = "frame.json", "frame.safetensors", "frame.onnx"


class FrameRunner:
    """Draws frames from `FrameInput`s."""

    def __init__(self, folder: Path, device: str = "cpu", threads: int | None = None) -> None:
        self.config = FrameConfig.from_dict(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
        try:
            tables = load_file(folder / WEIGHTS)
        except SafetensorError as error:
            raise ModelError(f"{folder / WEIGHTS}: is damaged ({error})") from error
        self._textures = np.ascontiguousarray(tables["textures"], np.float32)
        self._kinds = np.ascontiguousarray(tables["kinds"], np.float32)
        self._details = np.ascontiguousarray(tables["details"], np.float32)
        self.network = OnnxNetwork(folder / NETWORK, device, threads)

    @property
    def backend_name(self) -> str:
        """Such as onnx-cpu."""
        return self.network.name

    def draw(self, inputs: FrameInput) -> np.ndarray:
        """float32 [h, w, 3] from 0 to 1, not clipped."""
        h, w, layers, taps = inputs.texels.shape
        texture = np.empty((h * w * layers, self._textures.shape[1]), np.float32)
        look_up(inputs.texels.reshape(-1, taps), inputs.weights.reshape(-1, taps), self._textures, texture)
        kind = np.concatenate([self._kinds[inputs.kinds], self._details[inputs.details]], 3)
        drawn = self.network(
            texture.reshape(1, h, w, layers, -1), kind[None], inputs.numbers[None], inputs.rays[None], inputs.hour[None]
        )[0]
        return drawn[0].transpose(1, 2, 0)
