"""What hands do: breaking the block under the crosshair, placing the held one, choosing a slot.

Timings are Minecraft's (https://minecraft.wiki/w/Breaking, https://minecraft.wiki/w/Controls): a broken block
is followed by a pause of 5 ticks, a held use key places every 4 ticks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from reverie.simulator.action import Action
from reverie.simulator.voxel import physics
from reverie.simulator.voxel.blocks import (
    BLOCK_ID,
    BLOCKS,
    HARDNESS,
    HOTBAR,
    LOGS,
    SIZE_X,
    SIZE_Y,
    SIZE_Z,
    TARGETABLE,
)
from reverie.simulator.voxel.creatures import overlaps_cell

BREAK_DELAY_TICKS = 5
PLACE_DELAY_TICKS = 4
SWING_TICKS = 6
TICKS_PER_SECOND = 20
HOTBAR_IDS = np.array([BLOCK_ID[name] for name in HOTBAR], np.uint8)

Cell = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Hit:
    """What the crosshair points at: a block, the side it shows, and how far away that is."""

    cell: Cell
    normal: Cell
    distance: float


@dataclass(frozen=True, slots=True)
class Hands:
    """The part of a state that belongs to the hands."""

    slot: int = 0
    """Selected hotbar slot, 0-8."""
    target: Cell | None = None
    """The block being broken."""
    progress: float = 0.0
    """How broken it is, 0-1."""
    break_delay: int = 0
    place_delay: int = 0
    using: bool = False
    """The use key was down in the last tick."""
    swing: int = 0
    """Ticks into the arm's swing, 0: at rest."""


@dataclass(frozen=True, slots=True)
class Change:
    """One block that becomes another."""

    cell: Cell
    block: int
    event: str
    """"dig", "dig_log" or "place"."""


IDLE_HANDS = Hands()


def block_at(blocks: np.ndarray, x: int, y: int, z: int) -> int:
    """The id of a block; bedrock below the world, air above it."""
    if y < 0:
        return BLOCK_ID["bedrock"]
    if y >= SIZE_Y:
        return BLOCK_ID["air"]
    return int(blocks[x % SIZE_X, y, z % SIZE_Z])


def needs_target(action: Action) -> bool:
    """Whether `work` wants to know the block under the crosshair for this action."""
    return action.attack or action.use or action.pickItem


def work(
    blocks: np.ndarray,
    solid: np.ndarray,
    body: np.ndarray,
    creatures: np.ndarray,
    hands: Hands,
    action: Action,
    hit: Hit | None,
) -> tuple[Hands, Change | None]:
    """One tick of the hands: their next state and the block that changes, if one does.

    `solid` is bool [blocks]: which kinds keep bodies out. `hit` is the block under the crosshair; it may be left out
    (None) unless `needs_target(action)`.
    """
    slot = int(action.hotbar) - 1 if action.hotbar else hands.slot
    if action.pickItem and hit is not None:
        kind = BLOCKS[block_at(blocks, *hit.cell)].name
        slot = HOTBAR.index(kind) if kind in HOTBAR else slot
    target, progress, change = None, 0.0, None
    break_delay, place_delay = max(hands.break_delay - 1, 0), max(hands.place_delay - 1, 0)
    swing = (hands.swing + 1) % SWING_TICKS if hands.swing else 0

    if not action.attack:
        break_delay = 0
    elif hit is not None and break_delay == 0:
        target = hit.cell
        kind_id = block_at(blocks, *target)
        before = hands.progress if hands.target == target else 0.0
        progress = min(before + 1.0 / (float(HARDNESS[kind_id]) * TICKS_PER_SECOND), 1.0)
        if progress > 1.0 - 1e-9:
            change = Change(target, BLOCK_ID["air"], "dig_log" if kind_id in LOGS else "dig")
            target, progress, break_delay = None, 0.0, BREAK_DELAY_TICKS
    if action.attack and not swing:
        swing = 1

    if not action.use:
        place_delay = 0
    elif change is None and hit is not None and (place_delay == 0 or not hands.using):
        place_delay = PLACE_DELAY_TICKS
        (x, y, z), (nx, ny, nz) = hit.cell, hit.normal
        cell = (x + nx, y + ny, z + nz)
        held = int(HOTBAR_IDS[slot])
        if can_place(blocks, solid, body, creatures, cell, held):
            change, swing = Change(cell, held, "place"), 1
    hands = Hands(slot, target, progress, break_delay, place_delay, bool(action.use), swing)
    return hands, change


def can_place(
    blocks: np.ndarray, solid: np.ndarray, body: np.ndarray, creatures: np.ndarray, cell: Cell, kind: int
) -> bool:
    """Whether a block of this kind may be put there: free, inside the world, and nobody in the way."""
    x, y, z = cell
    if not 0 <= y < SIZE_Y:
        return False
    there = block_at(blocks, x, y, z)
    if solid[there] or TARGETABLE[there]:
        return False
    if not solid[kind]:
        return True
    px, py, pz = body[physics.X], body[physics.Y], body[physics.Z]
    reach = physics.HALF_WIDTH + 0.5 - physics.SURFACE_EPSILON
    beside = abs(px - x - 0.5) >= reach or abs(pz - z - 0.5) >= reach
    apart = beside or py >= y + 1 - physics.SURFACE_EPSILON or py + physics.HEIGHT <= y + physics.SURFACE_EPSILON
    return bool(apart) and not overlaps_cell(creatures, x, y, z)


def eye_in_water(blocks: np.ndarray, body: np.ndarray) -> bool:
    """Whether the eyes are under the water's surface."""
    x, y, z = (float(value) for value in physics.eye(body))
    return under_water(blocks, x, y, z)


def under_water(blocks: np.ndarray, x: float, y: float, z: float) -> bool:
    """Whether a point is under the water's surface."""
    cell = math.floor(x), math.floor(y), math.floor(z)
    water = BLOCK_ID["water"]
    if block_at(blocks, *cell) != water:
        return False
    return block_at(blocks, cell[0], cell[1] + 1, cell[2]) == water or y - cell[1] < physics.WATER_SURFACE
