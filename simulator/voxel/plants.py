"""What grows on the land: round oaks of two sizes, tall pines, bushes, cacti, pumpkins."""

from __future__ import annotations

import numpy as np

from reverie.model.compiled import compiled
from reverie.simulator.voxel.blocks import BLOCK_ID, SIZE_X, SIZE_Y, SIZE_Z

_GRASS, _SAND, _SNOW, _LOG, _LEAVES, _PINE_LOG, _PINE_LEAVES, _CACTUS, _PUMPKIN = (
    BLOCK_ID[name]
    for name in ("grass", "sand", "snow", "log", "leaves", "pine_log", "pine_leaves", "cactus", "pumpkin")
)
_PLAINS, _FOREST, _DESERT, _SNOWY = range(4)
_SPACING = 4
"""At most one plant grows in a square of this many columns."""
_CELLS = SIZE_X // _SPACING
_DRAWS = 6
_OAK, _GREAT_OAK, _PINE, _BUSH, _CACTUS_PLANT, _PUMPKIN_PLANT, _NOTHING = range(7)
_ODDS = np.array(
    [
        [0.020, 0.012, 0.000, 0.030, 0.000, 0.012],  # plains
        [0.330, 0.100, 0.080, 0.060, 0.000, 0.006],  # forest
        [0.000, 0.000, 0.000, 0.004, 0.085, 0.000],  # desert
        [0.000, 0.000, 0.130, 0.006, 0.000, 0.000],  # snow
    ]
)
"""Chance of each plant in a square, by biome."""


@compiled
def _leaf(blocks, x, y, z, kind):
    if y < SIZE_Y - 1 and blocks[x & (SIZE_X - 1), y, z & (SIZE_Z - 1)] == 0:
        blocks[x & (SIZE_X - 1), y, z & (SIZE_Z - 1)] = kind


@compiled
def _crown(blocks, x, y, z, radius, tall, ragged):
    """A round crown of leaves; `ragged` 0-1 thins out its rim."""
    reach = int(radius)
    for dx in range(-reach, reach + 1):
        for dy in range(-int(tall), int(tall) + 1):
            for dz in range(-reach, reach + 1):
                rim = dx * dx / (radius * radius) + dz * dz / (radius * radius) + dy * dy / (tall * tall)
                rough = ((dx * 7 + dy * 13 + dz * 29 + x * 3 + z * 5) & 7) / 8.0
                if rim < 1.0 - ragged * rough:
                    _leaf(blocks, x + dx, y + dy, z + dz, _LEAVES)


@compiled
def _grow(blocks, plant, x, y, z, size):
    """One plant with its lowest block at (x, y, z); `size` 0-1."""
    if plant == _OAK:
        tall = 4 + int(size * 2.99)
        _crown(blocks, x, y + tall - 1, z, 2.7, 2.4, 0.25)
        blocks[x, y : y + tall, z] = _LOG
    elif plant == _GREAT_OAK:
        tall = 6 + int(size * 2.99)
        _crown(blocks, x, y + tall - 1, z, 3.9, 3.1, 0.35)
        _crown(blocks, x + 2, y + tall - 3, z - 1, 2.4, 1.9, 0.2)
        blocks[x, y : y + tall, z] = _LOG
    elif plant == _PINE:
        tall = 7 + int(size * 4.99)
        for dy in range(3, tall + 1):
            left = tall - dy
            radius = min(0.4 + left * 0.24 + 0.8 * (left % 2), 2.4)
            for dx in range(-2, 3):
                for dz in range(-2, 3):
                    if dx * dx + dz * dz <= radius * radius + 0.2:
                        _leaf(blocks, x + dx, y + dy, z + dz, _PINE_LEAVES)
        blocks[x, y : y + tall, z] = _PINE_LOG
    elif plant == _BUSH:
        _crown(blocks, x, y, z, 1.6 + size * 0.6, 1.4, 0.4)
        blocks[x, y, z] = _LOG
    elif plant == _CACTUS_PLANT:
        tall = 2 + int(size * 2.99)
        blocks[x, y : y + tall, z] = _CACTUS
        if tall == 4:  # an arm
            blocks[(x + 1) & (SIZE_X - 1), y + 2, z] = _CACTUS
            blocks[(x + 1) & (SIZE_X - 1), y + 3, z] = _CACTUS
    else:
        blocks[x, y, z] = _PUMPKIN


@compiled
def _grow_all(blocks, ground, biome, taken, odds, draws):
    for cell_x in range(_CELLS):
        for cell_z in range(_CELLS):
            d = draws[cell_x, cell_z]
            x = cell_x * _SPACING + int(d[0] * _SPACING)
            z = cell_z * _SPACING + int(d[1] * _SPACING)
            y = ground[x, z]
            kind = biome[x, z]
            soil = blocks[x, y, z]
            if taken[x, z] or blocks[x, y + 1, z] != 0:
                continue
            if soil not in (_GRASS, _SNOW) and not (soil == _SAND and kind == _DESERT):
                continue
            left = d[2]
            for plant in range(_NOTHING):
                left -= odds[kind, plant]
                if left < 0.0:
                    _grow(blocks, plant, x, y + 1, z, d[3])
                    break


def grow(
    blocks: np.ndarray, ground: np.ndarray, biome: np.ndarray, taken: np.ndarray, rng: np.random.Generator
) -> None:
    """Plants `blocks` (in place) by biome, except in the columns that are `taken` (bool [256, 256])."""
    _grow_all(blocks, ground, biome, taken, _ODDS, rng.random((_CELLS, _CELLS, _DRAWS)))
