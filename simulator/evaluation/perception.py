"""Pictures in the features of EfficientNet-Lite0, which nobody here trained: distances as numpy arrays."""

from __future__ import annotations

import hashlib
import importlib.util
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from reverie.simulator.evaluation.metrics import projection

if TYPE_CHECKING:
    from torch import Tensor

    from reverie.model.training.efficientnet import EfficientNetLite0

BATCH = 16
TINY = 1e-6


class Perception:
    """Embeds and compares frames uint8 [n, h, w, 3] of any size."""

    def __init__(self, network: EfficientNetLite0) -> None:
        self._network = network
        self._projection = projection(network._conv_head.out_channels)
        self._known: dict[bytes, np.ndarray] = {}

    def embed(self, frames: np.ndarray, keep: bool = False) -> np.ndarray:
        """float64 [n, d]: pooled features under a fixed random projection (`metrics.projection`).

        With `keep` they are remembered, for true frames that several worlds are compared with.
        """
        import torch

        key = hashlib.sha256(frames.tobytes()).digest() if keep else b""
        if key in self._known:
            return self._known[key]
        with torch.no_grad():
            rows = [self._network(part).double().numpy() for part in _batches(frames)]
        embedded = np.concatenate(rows) @ self._projection
        if keep:
            self._known[key] = embedded
        return embedded

    def distance(self, frames: np.ndarray, true: np.ndarray) -> np.ndarray:
        """float64 [n]: mean over scales of the squared difference of features, each place's scaled to length 1.

        As LPIPS (Zhang et al. 2018), but with equal weights for all channels.
        """
        import torch

        rows = []
        with torch.no_grad():
            for one, other in zip(_batches(frames), _batches(true), strict=True):
                total = torch.zeros(len(one))
                count = 0
                for a, b in zip(self._network.scales(one), self._network.scales(other), strict=True):
                    total += (_unit(a) - _unit(b)).square().sum(1).mean((1, 2))
                    count += 1
                rows.append((total / count).double().numpy())
        return np.concatenate(rows)


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(1, keepdim=True).sqrt() + TINY)


def _batches(frames: np.ndarray) -> list[Tensor]:
    import torch

    parts = [frames[low : low + BATCH] for low in range(0, len(frames), BATCH)]
    return [torch.from_numpy(np.ascontiguousarray(part)).permute(0, 3, 1, 2).float() for part in parts]


@lru_cache(maxsize=1)
def load_perception() -> Perception | None:
    """The features, or None where torch or their weights are not installed (`reverie[train]`)."""
    if importlib.util.find_spec("torch") is None:
        return None
    from reverie.model.training.efficientnet import load_efficientnet, weights_file

    return None if weights_file() is None else Perception(load_efficientnet())
