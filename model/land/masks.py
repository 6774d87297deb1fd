"""Which cells and columns are unknown in training and evaluation: what a dream meets, and what a sampler leaves."""

from __future__ import annotations

import numpy as np

from reverie.model.cells import UNKNOWN
from reverie.model.land.columns import CHANNELS, HEIGHT, RISE, TOP, LandFacts, settled
from reverie.model.land.sampling import halton_ranks

_ALL, _HALF, _CORNER, _BOXES, _MIDDLE = range(5)
_REGION_ODDS = (0.25, 0.3, 0.15, 0.15, 0.15)
_UNTOUCHED = 0.2
"""Share of masks that no sampler has begun to fill."""
_DROPPED_TOPS, _DROPPED_COLUMNS = 0.1, 0.03
_HIDDEN, _SLAB = 0.12, 0.12


def _region(rng: np.random.Generator, size: int) -> np.ndarray:
    """bool [size, size]: columns that nobody has seen."""
    x, z = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    kind = rng.choice(len(_REGION_ODDS), p=_REGION_ODDS)
    if kind == _ALL:
        return np.ones((size, size), bool)
    if kind in (_HALF, _CORNER):
        if rng.random() < 0.7:  # along the axes, as chunks lie
            along_x, along_z = (axis if rng.random() < 0.5 else size - 1 - axis for axis in (x, z))
            first, second = along_x >= rng.integers(1, size), along_z >= rng.integers(1, size)
            if kind == _HALF:
                return first if rng.random() < 0.5 else second
            return first & second if rng.random() < 0.5 else first | second
        angle, edge = rng.uniform(0, 2 * np.pi), rng.uniform(-0.4, 0.4) * size
        return (x - size / 2) * np.cos(angle) + (z - size / 2) * np.sin(angle) > edge
    if kind == _BOXES:
        region = np.zeros((size, size), bool)
        for _ in range(rng.integers(1, 5)):
            low, edge = rng.integers(0, size, 2), rng.integers(size // 8, size // 2 + 1, 2)
            region[low[0] : low[0] + edge[0], low[1] : low[1] + edge[1]] = True
        return region
    low = rng.integers(0, size // 3 + 1, 2)
    high = size - rng.integers(0, size // 3 + 1, 2)
    region = np.zeros((size, size), bool)
    region[low[0] : high[0], low[1] : high[1]] = True
    return region


def unknown_columns(rng: np.random.Generator, size: int) -> np.ndarray:
    """bool [5, size, size]: the channels of a map of columns to predict; at least one."""
    region = _region(rng, size)
    ranks = halton_ranks(size, rng) if rng.random() < 0.5 else rng.random((size, size))
    progress = 0.0 if rng.random() < _UNTOUCHED else rng.random()
    delay = rng.uniform(0, 0.4) if rng.random() < 0.75 else 0.0
    behind = np.arange(CHANNELS)[:, None, None] * delay
    unknown = region & (ranks >= progress - behind)
    if rng.random() < _DROPPED_TOPS:
        unknown[[RISE, TOP]] = True
    if not unknown.any():
        unknown[:, rng.integers(size), rng.integers(size)] = True
    return unknown


def dropped_columns(rng: np.random.Generator, columns: np.ndarray) -> np.ndarray:
    """Columns uint8 [5, x, z] as the second stage gets them: now and then without tops, or none at all."""
    draw = rng.random()
    columns = columns.copy()
    if draw < _DROPPED_COLUMNS:
        columns[:] = UNKNOWN
    elif draw < _DROPPED_COLUMNS + _DROPPED_TOPS:
        columns[RISE], columns[TOP] = UNKNOWN, UNKNOWN
    return columns


def hidden_cells(cells: np.ndarray, facts: LandFacts) -> np.ndarray:
    """bool [x, y, z]: cells without an open cell beside them; beyond the crop counts as closed."""
    opened = np.pad(~facts.table(facts.solid)[cells], 1)
    near = opened[1:-1, 1:-1, 1:-1].copy()
    for axis in range(3):
        for step in (-1, 1):
            near |= np.roll(opened, step, axis)[1:-1, 1:-1, 1:-1]
    return ~near


def unknown_cells(
    rng: np.random.Generator, cells: np.ndarray, columns: np.ndarray, low: int, facts: LandFacts
) -> np.ndarray:
    """bool [x, y, z]: the cells of a crop uint8 [size, size, size] to predict, whose lowest layer is at y = `low`.

    What the columns uint8 [5, size, size] settle is never among them.
    """
    size, height, _ = cells.shape
    draw = rng.random()
    if draw < _HIDDEN:
        region = hidden_cells(cells, facts)
    elif draw < _HIDDEN + _SLAB:
        first = rng.integers(0, height)
        region = np.zeros(cells.shape, bool)
        region[:, first : first + rng.integers(2, height)] = True
    else:
        region = np.repeat(_region(rng, size)[:, None], height, axis=1)
    progress = 0.0 if rng.random() < _UNTOUCHED else rng.random()
    noise = rng.random(cells.shape)
    y = np.arange(low, low + height)[None, :, None]
    kind = rng.random()
    if kind < 0.4:
        ranks = noise
    else:  # from below: by height over the ground, or by height alone
        over = y - (columns[HEIGHT][:, None].astype(np.int64) if kind < 0.8 else low + height // 3)
        if (columns[HEIGHT] == UNKNOWN).any():
            over = y - low - height // 3
        over = np.broadcast_to(over, cells.shape) + noise * rng.uniform(0.5, 4.0)
        ranks = (np.clip(over, -4, 20) + 4) / 24
    unknown = region & (ranks >= progress)
    return unknown & (settled(columns, facts)[:, low : low + height] == UNKNOWN)
