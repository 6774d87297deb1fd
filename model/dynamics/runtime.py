"""The networks of dynamics at play: plain arrays, compiled, the same bytes for any batch and number of threads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from reverie.model.dynamics.features import shapes
from reverie.model.dynamics.geometry import linear, pool


class Answers(Protocol):
    """What a step asks of its networks."""

    def __call__(self, name: str, numbers: np.ndarray, tokens: np.ndarray | None = None) -> np.ndarray:
        """float32 [n, o]: the answers of a network; `tokens` uint8 as `DynamicsNetworks.forward` takes them."""


class ArrayNetworks:
    """`DynamicsNetworks` from its arrays."""

    def __init__(self, arrays: Mapping[str, np.ndarray], tokens: int, events: int) -> None:
        self._cells, self._targets = arrays["cells"], arrays["targets"]
        self._shapes = shapes(tokens, events)
        self._layers: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        for name in self._shapes:
            count = sum(key.startswith(f"{name}.") and key.endswith(".weight") for key in arrays)
            self._layers[name] = [(arrays[f"{name}.{k}.weight"], arrays[f"{name}.{k}.bias"]) for k in range(count)]

    def __call__(self, name: str, numbers: np.ndarray, tokens: np.ndarray | None = None) -> np.ndarray:
        layers = self._layers[name]
        n, k = numbers.shape
        x = np.empty((n, layers[0][0].shape[0]), np.float32)
        x[:, :k] = numbers
        if tokens is not None and self._shapes[name].levels:
            pool(tokens, self._cells, x, k)
        elif tokens is not None:
            x[:, k:] = self._targets[tokens].reshape(n, -1)
        for number, (weight, bias) in enumerate(layers):
            out = np.empty((n, weight.shape[1]), np.float32)
            linear(x, weight, bias, number < len(layers) - 1, out)
            x = out
        return x
