"""The lifter run by ONNX Runtime: what plays. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from reverie.model.lift.lift import Answer, as_answer
from reverie.model.onnx_session import OnnxNetwork

CONFIG, WEIGHTS = "lift.json", "lift.safetensors"
FEATURES, ANSWERS = "lift-features.onnx", "lift-answers.onnx"
PIXELS_AT_ONCE = 1024
ENTITY_KINDS = 1
"""Kinds of surface beyond the vocabulary that the network tells apart: animals."""


class OnnxLift:
    """A `LiftNetwork` on ONNX Runtime."""

    def __init__(self, folder: Path, device: str = "cpu", threads: int | None = None) -> None:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        self.tokens = int(config["tokens"]) - ENTITY_KINDS
        self._features = OnnxNetwork(folder / FEATURES, device, threads)
        self._answers = OnnxNetwork(folder / ANSWERS, device, threads)

    def encode(self, image: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """See `LiftNetwork`."""
        h, w, _ = image.shape
        return self._features(image[None].astype(np.float32), directions[None])[0].reshape(h * w, -1)

    def decode(self, feature: np.ndarray, eye: np.ndarray, directions: np.ndarray) -> Answer:
        """See `LiftNetwork`."""
        parts: list[list[np.ndarray]] = []
        for first in range(0, len(feature), PIXELS_AT_ONCE):
            some, rays = feature[first : first + PIXELS_AT_ONCE], directions[first : first + PIXELS_AT_ONCE]
            if len(some) == 1:  # the graph takes two and more
                some, rays = np.repeat(some, 2, 0), np.repeat(rays, 2, 0)
            parts.append(self._answers(some, eye[None], rays))
        return as_answer(*(np.concatenate(part)[: len(feature)] for part in zip(*parts)))
