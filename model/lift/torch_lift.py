"""The lifter run by torch: the reference, and what training and figures use."""

from __future__ import annotations

import numpy as np
import torch

from reverie.model.lift.lift import PixelAnswers
from reverie.model.lift.network import Lifter

PIXELS_AT_ONCE = 2048


class TorchLift:
    """A `LiftNetwork` on torch."""

    def __init__(self, network: Lifter, entity_kinds: int = 1) -> None:
        self.network = network.eval()
        self.tokens = network.config.tokens - entity_kinds

    def answers(self, image: np.ndarray, directions: np.ndarray, eye: np.ndarray) -> PixelAnswers:
        """See `LiftNetwork`."""
        h, w, _ = image.shape
        picture = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 127.5 - 1
        rays = torch.from_numpy(directions)[None]
        distances, sure, tokens = [], [], []
        with torch.no_grad():
            feature = self.network.features(picture, rays)[0].reshape(h * w, -1)
            flat, place = rays.reshape(h * w, 3), torch.from_numpy(eye)[None]
            for first in range(0, h * w, PIXELS_AT_ONCE):
                part = slice(first, first + PIXELS_AT_ONCE)
                n = len(flat[part])
                logits, met = self.network.scores(feature[part], place.expand(n, 3), flat[part])
                chance, choice = logits.softmax(1).max(1)
                metres = torch.cat([met, torch.full((n, 1), torch.inf)], 1).gather(1, choice[:, None])[:, 0]
                distances.append(metres)
                sure.append(chance)
                tokens.append(self.network.tokens(feature[part]).argmax(1))
        return PixelAnswers(
            torch.cat(distances).reshape(h, w).numpy(),
            torch.cat(sure).reshape(h, w).numpy(),
            torch.cat(tokens).reshape(h, w).numpy(),
        )
