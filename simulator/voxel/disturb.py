"""Changes of the voxel world under the player's eyes, as an editor of dreams would make them.

Recordings and training data contain them, so that a model learns that the newest frame wins and that an edit
lasts: blocks appear, vanish or change kind in view, a column rises, the hour changes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from reverie.simulator.voxel.blocks import BLOCK_ID, BLOCKS, EYE_HEIGHT, FIELD_OF_VIEW, SIZE_Y
from reverie.simulator.voxel.world import VoxelWorld

KINDS: dict[str, float] = {"appear": 0.25, "vanish": 0.25, "change": 0.25, "column": 0.17, "time": 0.08}
"""How often each kind of edit is tried."""
MATERIALS: tuple[str, ...] = (
    "stone", "dirt", "grass", "sand", "log", "leaves", "planks", "cobblestone", "snow", "gravel", "sandstone",
    "bricks", "glass", "lamp", "ice", "red_wool", "pumpkin",
)  # fmt: skip
HOURS: tuple[float, ...] = (0.0, 0.23, 0.3, 0.5, 0.7, 0.77)
"""Midnight, dawn, morning, noon, afternoon, dusk, as `VoxelWorld.set_time` takes them."""
NEAREST, FARTHEST = 1.2, 14.0
"""Metres from the eye at which something is changed."""
TRIES = 12
FEWEST_PIXELS = 12
"""An edit that changes fewer pixels of the frame is not worth recording."""
COLUMN_HEIGHTS = (2, 7)
"""Least and one over the most blocks of a column."""
SPREAD = 3
"""Longest side of a changed group of blocks."""
BODY = (0.5, 2.0)
"""Half the width, and the height, in metres of the space around the player's feet that is not built into."""
SURFACE = 1e-3
"""Metres by which a point is pushed into the block that it was seen on."""

CHANGEABLE: tuple[int, ...] = tuple(
    index for index, block in enumerate(BLOCKS) if block.targetable and block.name != "bedrock"
)
"""Kinds of block that an edit may replace. The animals in view are not among them."""

Cell = tuple[int, int, int]


def random_edit(world: VoxelWorld, state: Any, rng: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    """A changed state, and the edit as a clip event: `type` "edit", `kind`, what and where.

    The change is seen in the frame; where nothing within reach can be changed, the hour is.
    """
    before = world.frame(state)
    depth, ids = world.depth(state), world.block_ids(state)
    for _ in range(TRIES):
        kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
        if kind == "time":
            break
        made = _change_blocks(world, state, kind, depth, ids, rng)
        if made is None:
            continue
        changed, event = made
        pixels = int((world.frame(changed) != before).any(axis=-1).sum())
        if pixels >= FEWEST_PIXELS:
            return changed, event | {"pixels": pixels}
    hour = float((rng.choice(HOURS) + rng.uniform(-0.02, 0.02)) % 1.0)
    return world.set_time(state, hour), {"type": "edit", "kind": "time", "day_time": hour}


def _change_blocks(
    world: VoxelWorld, state: Any, kind: str, depth: np.ndarray, ids: np.ndarray, rng: np.random.Generator
) -> tuple[Any, dict[str, Any]] | None:
    """One try at an edit of blocks, None if there is no place for it."""
    pose = world.pose(state)
    seen = _seen_block(pose, depth, ids, rng)
    if seen is None or world.get_block(state, *seen[0]) != seen[2]:
        return None
    cell, beside, name = seen
    if kind == "column":
        height = int(rng.integers(*COLUMN_HEIGHTS))
        cells = [(cell[0], cell[1] + up, cell[2]) for up in range(1, height + 1)]
    else:
        cells = _group(beside if kind == "appear" else cell, rng)
    grows = kind in ("appear", "column")
    material = "air" if kind == "vanish" else str(rng.choice([each for each in MATERIALS if each != name]))
    chosen = [
        each
        for each in cells
        if 0 < each[1] < SIZE_Y and _fits(world.get_block(state, *each), grows) and not _in_body(each, pose, grows)
    ]
    state = world.set_blocks(state, dict.fromkeys(chosen, material))
    event = {"type": "edit", "kind": kind, "block": material, "cells": [list(each) for each in chosen]}
    return (state, event) if chosen else None


def _seen_block(
    pose: np.ndarray, depth: np.ndarray, ids: np.ndarray, rng: np.random.Generator
) -> tuple[Cell, Cell, str] | None:
    """A block in view: its cell, the empty cell before the face that is seen, and its name. None if none is
    near.
    """
    rows, columns = np.nonzero((depth > NEAREST) & (depth < FARTHEST) & np.isin(ids, CHANGEABLE))
    if not len(rows):
        return None
    pick = int(rng.integers(len(rows)))
    row, column = int(rows[pick]), int(columns[pick])
    ray = _ray(pose, row, column, depth.shape)
    point = pose[:3] + [0.0, EYE_HEIGHT, 0.0] + ray * depth[row, column]
    axis = int(np.argmin(np.abs(point - np.rint(point))))
    point[axis] = np.rint(point[axis]) + math.copysign(SURFACE, ray[axis])
    cell = np.floor(point).astype(int)
    beside = cell.copy()
    beside[axis] -= int(np.sign(ray[axis]))
    return _cell(cell), _cell(beside), BLOCKS[int(ids[row, column])].name


def _ray(pose: np.ndarray, row: int, column: int, size: tuple[int, ...]) -> np.ndarray:
    """The ray through a pixel's centre, of length 1 along the camera's axis: float [3]."""
    height, width = size
    yaw, pitch = np.radians(pose[3]), np.radians(pose[4])
    forward = np.array([-np.sin(yaw) * np.cos(pitch), -np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    right = np.array([-np.cos(yaw), 0.0, -np.sin(yaw)])
    up = np.cross(right, forward)
    scale = math.tan(math.radians(FIELD_OF_VIEW) / 2) * 2 / height
    return forward + right * (column + 0.5 - width / 2) * scale + up * (height / 2 - row - 0.5) * scale


def _group(corner: Cell, rng: np.random.Generator) -> list[Cell]:
    """A small box of cells that holds `corner` and grows upwards and to random sides from it."""
    extents = rng.integers(1, SPREAD + 1, size=3)
    if rng.random() < 0.5:
        extents[:] = 1
    signs = (int(rng.choice((-1, 1))), 1, int(rng.choice((-1, 1))))
    return [
        (corner[0] + signs[0] * dx, corner[1] + signs[1] * dy, corner[2] + signs[2] * dz)
        for dx in range(extents[0])
        for dy in range(extents[1])
        for dz in range(extents[2])
    ]


def _fits(name: str, grows: bool) -> bool:
    """A new block may fill a cell of air or water; an old one may be changed unless it is bedrock."""
    return name in ("air", "water") if grows else BLOCK_ID[name] in CHANGEABLE


def _in_body(cell: Cell, pose: np.ndarray, grows: bool) -> bool:
    """A new block there would be inside the player."""
    half, height = BODY
    beside = all(cell[i] - half < pose[i] < cell[i] + 1 + half for i in (0, 2))
    return grows and beside and cell[1] - height < pose[1] < cell[1] + 1


def _cell(values: np.ndarray) -> Cell:
    x, y, z = (int(value) for value in values)
    return x, y, z
