"""The networks of dynamics in torch, for training, and their weights as plain arrays, for play."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from reverie.model.dynamics.config import DynamicsConfig, Facts
from reverie.model.dynamics.features import CELL_FACTS, Shape, shapes, token_facts
from reverie.model.dynamics.layout import MODES


class Perceptron(nn.Module):
    """Hidden layers with rectifiers, and a linear answer that starts near zero."""

    def __init__(self, inputs: int, outputs: int, config: DynamicsConfig) -> None:
        super().__init__()
        sizes = [inputs, *[config.width] * config.hidden, outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.normal_(last.weight, std=0.01)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)


class DynamicsNetworks(nn.Module):
    """All networks by name, and the learned numbers of tokens that they share."""

    def __init__(self, facts: Facts, config: DynamicsConfig) -> None:
        super().__init__()
        self.shapes = shapes(len(facts.names), len(facts.events))
        self.cells = nn.Parameter(torch.randn(256, config.cell_channels) * 0.3)
        self.targets = nn.Parameter(torch.randn(256, config.target_channels) * 0.5)
        self.spread = nn.Parameter(torch.full((MODES,), -4.0))
        """Logarithm of the standard deviation, in metres, of each mode of entities' motion; used in training alone."""
        self.register_buffer("known", torch.from_numpy(token_facts(facts)))
        self.networks = nn.ModuleDict(
            {name: Perceptron(shape.inputs(config), shape.outputs, config) for name, shape in self.shapes.items()}
        )

    def forward(self, name: str, numbers: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Answers [n, o] of a network. `tokens` int64 [n, g * LEVELS, COLUMNS] for groups of levels, or [n, g] for
        cells of hands."""
        shape = self.shapes[name]
        known: Tensor = self.known  # type: ignore[assignment]
        parts = [numbers]
        if tokens is not None and shape.levels:
            parts.append(torch.cat([known, self.cells], 1)[tokens].amax(2).flatten(1))
        elif tokens is not None:
            parts.append(torch.cat([known, self.targets], 1)[tokens].flatten(1))
        return self.networks[name](torch.cat(parts, 1))

    def arrays(self) -> dict[str, np.ndarray]:
        """float32 arrays of everything that play needs: tables of tokens, and weights [inputs, outputs] and biases."""
        known: Tensor = self.known  # type: ignore[assignment]
        found = {
            "cells": torch.cat([known, self.cells], 1),
            "targets": torch.cat([known, self.targets], 1),
        }
        for name, network in self.networks.items():
            assert isinstance(network, Perceptron)
            for number, layer in enumerate(network.layers):
                assert isinstance(layer, nn.Linear)
                found[f"{name}.{number}.weight"] = layer.weight.T
                found[f"{name}.{number}.bias"] = layer.bias
        return {name: np.ascontiguousarray(value.detach().numpy(), np.float32) for name, value in found.items()}


__all__ = ["CELL_FACTS", "DynamicsNetworks", "Perceptron", "Shape"]
