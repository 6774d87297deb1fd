"""The lifter run by torch: the reference, and what training and figures use."""

from __future__ import annotations

import numpy as np
import torch

from reverie.model.lift.lift import Answer, as_answer
from reverie.model.lift.network import Lifter, PixelAnswer

PIXELS_AT_ONCE = 2048


class TorchLift:
    """A `LiftNetwork` on torch."""

    def __init__(self, network: Lifter, entity_kinds: int = 1) -> None:
        self.network = network.eval()
        self.tokens = network.config.tokens - entity_kinds

    def encode(self, image: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """See `LiftNetwork`."""
        h, w, _ = image.shape
        picture = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad():
            feature = self.network.features(picture, torch.from_numpy(directions)[None])
        return feature[0].reshape(h * w, -1).numpy()

    def decode(self, feature: np.ndarray, eye: np.ndarray, directions: np.ndarray) -> Answer:
        """See `LiftNetwork`."""
        parts: list[PixelAnswer] = []
        place = torch.from_numpy(eye)[None]
        with torch.no_grad():
            for first in range(0, len(feature), PIXELS_AT_ONCE):
                some = torch.from_numpy(feature[first : first + PIXELS_AT_ONCE])
                rays = torch.from_numpy(directions[first : first + PIXELS_AT_ONCE])
                parts.append(self.network.answer(some, place.expand(len(some), 3), rays))
        return as_answer(*(torch.cat(part).numpy() for part in zip(*parts)))
