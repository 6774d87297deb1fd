"""Worlds for the world model: cells alone, without rendering. Training seeds and held-out seeds never meet."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reverie.model.cells import Vocabulary
from reverie.model.land.pack import write_pack
from reverie.simulator.voxel.blocks import BLOCKS, SIZE_X, SIZE_Y, SIZE_Z
from reverie.simulator.voxel.terrain import generate

HELD_OUT = 1_000_000
"""Seeds from here on are for evaluation only."""


def voxel_vocabulary() -> Vocabulary:
    """The kinds of block as tokens, in the order of their ids."""
    return Vocabulary(
        tuple(block.name for block in BLOCKS),
        tuple(block.solid for block in BLOCKS),
        tuple(block.see_through for block in BLOCKS),
        tuple(block.glow for block in BLOCKS),
    )


def land_cells(seed: int) -> np.ndarray:
    """uint8 [256, 64, 256]: the cells of a world, which repeats along x and z."""
    return generate(seed).blocks


def pack_lands(folder: Path, first: int, count: int) -> None:
    """Writes the worlds of `count` seeds from `first` on into a folder. Raises ValueError for seeds of both kinds."""
    if first < HELD_OUT < first + count:
        raise ValueError(f"seeds {first} to {first + count - 1} are partly held out (from {HELD_OUT} on)")
    shape = (SIZE_X, SIZE_Y, SIZE_Z)
    write_pack(folder, voxel_vocabulary(), shape, range(first, first + count), land_cells)
