"""Random numbers without a state: a hash of what they are for."""

from __future__ import annotations

import numpy as np

_MASK = 2**64 - 1
_GOLDEN, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def chance(*parts: int) -> float:
    """A number in [0, 1) for whole numbers such as (seed, tick, stream, index) (splitmix64, Steele et al. 2014)."""
    value = 0
    for part in parts:
        value = (value + (part + 1) * _GOLDEN) & _MASK
        value = ((value ^ (value >> 30)) * _MIX_1) & _MASK
        value = ((value ^ (value >> 27)) * _MIX_2) & _MASK
        value ^= value >> 31
    return (value >> 11) / 2**53


def choose(logits: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """int [n]: one of the categories of logits [n, k] each, by numbers in [0, 1) [n]."""
    odds = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    totals = np.cumsum(odds, 1)
    return (totals < drawn[:, None] * totals[:, -1:]).sum(1).clip(0, logits.shape[1] - 1)
