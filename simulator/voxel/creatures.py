"""Animals: they stand, turn, wander, hop up steps, and shy away from water and cliffs.

Their whole state is a float64 array [n, COLUMNS]. What they decide is a hash of (seed, tick, animal), so
there is no random state to keep: the same seed and ticks give the same animals.
"""

from __future__ import annotations

import math

import numpy as np

from reverie.model.compiled import compiled
from reverie.simulator.voxel import physics
from reverie.simulator.voxel.blocks import BLOCK_ID, SIZE_X, SIZE_Y, SIZE_Z
from reverie.simulator.voxel.physics import box_is_free, box_is_wet, is_solid, sweep

# Columns of a creature.
CX, CY, CZ, CVX, CVY, CVZ, CYAW, KIND, PHASE, HEADING, TIMER, WALKING, GROUNDED, STUCK = range(14)
COLUMNS = 14
CREATURE_COUNT = 12
KINDS = 2
"""0: a low one, 1: a tall one."""

HALF_WIDTHS = np.array([0.45, 0.45])
HEIGHTS = np.array([0.9, 1.3])
FAR = 48.0
"""Metres from the player at which an animal is put down somewhere nearer."""
NEAREST, FARTHEST = 18.0, 40.0
NEAREST_AT_START = 5.0
HIDDEN_ANGLE = 75.0
"""Animals appear at least this many degrees away from the line of sight."""
TURN_PER_TICK = 8.0
WALK_ACCELERATION = 0.035
WALK_TICKS = (30, 120)
REST_TICKS = (20, 140)
REST_PROBABILITY = 0.4
DEEPEST_STEP = 2
"""Blocks that an animal walks down; it turns away from more."""
PUSH = 0.05
"""Blocks per tick² by which bodies that overlap part (Minecraft's entity push)."""
PHASE_PER_METRE = 3.0
STUCK_TICKS = 12.0

_WATER = BLOCK_ID["water"]
_STANDS_ON = np.isin(
    np.arange(len(BLOCK_ID)),
    [BLOCK_ID[name] for name in ("grass", "dirt", "sand", "snow", "stone", "gravel")],
)
_GOLDEN, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


@compiled
def _chance(seed: int, tick: int, index: int, draw: int) -> float:
    """A number in [0, 1) for each argument tuple (splitmix64, Steele et al. 2014)."""
    value = np.uint64(seed) * np.uint64(_GOLDEN)
    for part in (tick, index, draw):
        value = value + np.uint64(part + 1) * np.uint64(_GOLDEN)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(_MIX_1)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(_MIX_2)
        value = value ^ (value >> np.uint64(31))
    return float(value >> np.uint64(11)) / 9007199254740992.0


@compiled
def _place(
    blocks: np.ndarray,
    solid: np.ndarray,
    heights: np.ndarray,
    creature: np.ndarray,
    body: np.ndarray,
    chances: tuple[float, float, float, float],
    nearest: float,
    hidden: float,
) -> bool:
    """Puts a creature down on open ground around the player; False when the drawn spot will not do."""
    turn, reach, kind, yaw = chances
    angle = math.radians(body[physics.YAW] + hidden + turn * (360.0 - 2.0 * hidden))
    distance = nearest + reach * (FARTHEST - nearest)
    x = math.floor(body[physics.X] - math.sin(angle) * distance)
    z = math.floor(body[physics.Z] + math.cos(angle) * distance)
    y = heights[x & (SIZE_X - 1), z & (SIZE_Z - 1)]
    if y < 0 or y + 2 >= SIZE_Y or not _STANDS_ON[blocks[x & (SIZE_X - 1), y, z & (SIZE_Z - 1)]]:
        return False
    if blocks[x & (SIZE_X - 1), y + 1, z & (SIZE_Z - 1)] == _WATER:
        return False
    which = min(int(kind * KINDS), KINDS - 1)
    if not box_is_free(blocks, solid, x + 0.5, y + 1.0, z + 0.5, HALF_WIDTHS[which], HEIGHTS[which]):
        return False
    creature[:] = 0.0
    creature[CX], creature[CY], creature[CZ] = x + 0.5, y + 1.0, z + 0.5
    creature[KIND] = which
    creature[CYAW] = creature[HEADING] = yaw * 360.0
    creature[TIMER] = 1.0 + turn * REST_TICKS[1]
    creature[GROUNDED] = 1.0
    return True


@compiled
def populate(
    blocks: np.ndarray, solid: np.ndarray, heights: np.ndarray, body: np.ndarray, seed: int, creatures: np.ndarray
) -> None:
    """Fills creatures float64 [n, COLUMNS] with animals around the player, in place.

    Those for which no ground is found are left far below the world, where nobody sees them.
    """
    for i in range(creatures.shape[0]):
        creatures[i] = 0.0
        creatures[i, CY] = -1000.0
        for attempt in range(24):
            draws = (
                _chance(seed, -1, i, 4 * attempt),
                _chance(seed, -1, i, 4 * attempt + 1),
                _chance(seed, -1, i, 4 * attempt + 2),
                _chance(seed, -1, i, 4 * attempt + 3),
            )
            if _place(blocks, solid, heights, creatures[i], body, draws, NEAREST_AT_START, 0.0):
                break


@compiled
def _is_hazard(blocks: np.ndarray, solid: np.ndarray, x: float, y: float, z: float) -> bool:
    """Whether the ground at (x, z) is water, or falls away deeper than an animal goes."""
    bx, by, bz = math.floor(x), math.floor(y + 0.01), math.floor(z)
    for down in range(DEEPEST_STEP + 2):
        if is_solid(blocks, solid, bx, by - 1 - down, bz):
            return False
        level = by - 1 - down
        if 0 <= level < SIZE_Y and blocks[bx & (SIZE_X - 1), level, bz & (SIZE_Z - 1)] == _WATER:
            return True
    return True


@compiled
def _decide(creature: np.ndarray, seed: int, tick: int, index: int) -> None:
    """A new thing to do: rest, or walk somewhere."""
    rest = _chance(seed, tick, index, 0) < REST_PROBABILITY
    span = REST_TICKS if rest else WALK_TICKS
    creature[WALKING] = 0.0 if rest else 1.0
    creature[TIMER] = math.floor(span[0] + _chance(seed, tick, index, 1) * (span[1] - span[0]))
    creature[HEADING] = creature[CYAW] + (_chance(seed, tick, index, 2) - 0.5) * (90.0 if rest else 240.0)
    creature[STUCK] = 0.0


@compiled
def _advance_one(
    blocks: np.ndarray, solid: np.ndarray, creature: np.ndarray, seed: int, tick: int, index: int, gravity: float
) -> None:
    half, height = HALF_WIDTHS[int(creature[KIND])], HEIGHTS[int(creature[KIND])]
    creature[TIMER] -= 1.0
    if creature[TIMER] <= 0.0:
        _decide(creature, seed, tick, index)
    creature[CYAW] += min(max(creature[HEADING] - creature[CYAW], -TURN_PER_TICK), TURN_PER_TICK)
    x, y, z = creature[CX], creature[CY], creature[CZ]
    yaw = math.radians(creature[CYAW])
    sin, cos = math.sin(yaw), math.cos(yaw)
    wet = box_is_wet(blocks, x, y + 0.3, y + height, z, half)
    grounded = creature[GROUNDED] != 0.0
    if creature[WALKING] != 0.0:
        ahead = half + 0.5
        if grounded and not wet and _is_hazard(blocks, solid, x - sin * ahead, y + 1.0, z + cos * ahead):
            creature[HEADING] = creature[CYAW] + (60.0 if index & 1 else -60.0)
        else:
            creature[CVX] -= sin * WALK_ACCELERATION
            creature[CVZ] += cos * WALK_ACCELERATION
    if wet:
        creature[CVY] += physics.SWIM_UP
    dx, dy, dz = creature[CVX], creature[CVY], creature[CVZ]
    mx, my, mz = sweep(blocks, solid, x, y, z, dx, dy, dz, half, height)
    creature[CX] += mx
    creature[CY] += my
    creature[CZ] += mz
    creature[PHASE] += math.sqrt(mx * mx + mz * mz) * PHASE_PER_METRE
    bumped = mx != dx or mz != dz
    creature[GROUNDED] = 1.0 if my != dy and dy < 0.0 else 0.0
    if mx != dx:
        creature[CVX] = 0.0
    if mz != dz:
        creature[CVZ] = 0.0
    if my != dy:
        creature[CVY] = 0.0
    drag = physics.WATER_DRAG if wet else physics.GROUND_DRAG
    creature[CVX] *= drag
    creature[CVZ] *= drag
    if wet:
        creature[CVY] = creature[CVY] * physics.WATER_DRAG - physics.WATER_GRAVITY
    else:
        creature[CVY] = (creature[CVY] - physics.GRAVITY * gravity) * physics.VERTICAL_DRAG
    if bumped and creature[WALKING] != 0.0:
        creature[STUCK] += 1.0
        step_x, step_z = creature[CX] - sin * 0.3, creature[CZ] + cos * 0.3
        if (grounded or wet) and box_is_free(blocks, solid, step_x, creature[CY] + 1.0, step_z, half, height):
            creature[CVY] = physics.JUMP_VELOCITY
        if creature[STUCK] > STUCK_TICKS:
            creature[HEADING] = creature[CYAW] + (100.0 if index & 1 else -100.0)
            creature[STUCK] = 0.0


@compiled
def _part(creature: np.ndarray, body: np.ndarray) -> None:
    """Pushes the player and an animal apart, softly, when their boxes overlap."""
    reach = HALF_WIDTHS[int(creature[KIND])] + physics.HALF_WIDTH
    dx, dz = body[physics.X] - creature[CX], body[physics.Z] - creature[CZ]
    if abs(dx) >= reach or abs(dz) >= reach:
        return
    above = body[physics.Y] >= creature[CY] + HEIGHTS[int(creature[KIND])]
    if above or body[physics.Y] + physics.HEIGHT <= creature[CY]:
        return
    distance = max(math.sqrt(dx * dx + dz * dz), 0.01)
    push = PUSH * min(1.0, (1.5 * reach - distance) / reach)
    if push <= 0.0:
        return
    body[physics.VX] += dx / distance * push
    body[physics.VZ] += dz / distance * push
    creature[CVX] -= dx / distance * push
    creature[CVZ] -= dz / distance * push


@compiled
def _part_flock(creatures: np.ndarray) -> None:
    """Pushes overlapping animals apart, softly."""
    for i in range(creatures.shape[0]):
        one = creatures[i]
        for j in range(i):
            other = creatures[j]
            reach = HALF_WIDTHS[int(one[KIND])] + HALF_WIDTHS[int(other[KIND])]
            dx, dz = one[CX] - other[CX], one[CZ] - other[CZ]
            if abs(dx) >= reach or abs(dz) >= reach or abs(one[CY] - other[CY]) >= HEIGHTS[int(one[KIND])]:
                continue
            distance = max(math.sqrt(dx * dx + dz * dz), 0.01)
            one[CVX] += dx / distance * PUSH
            one[CVZ] += dz / distance * PUSH
            other[CVX] -= dx / distance * PUSH
            other[CVZ] -= dz / distance * PUSH


@compiled
def advance_creatures(
    blocks: np.ndarray,
    solid: np.ndarray,
    heights: np.ndarray,
    creatures: np.ndarray,
    body: np.ndarray,
    seed: int,
    tick: int,
    gravity: float,
) -> None:
    """Moves creatures float64 [n, COLUMNS] by one tick in place; may push the player's body.

    One that has been left more than FAR metres behind reappears on open ground out of the player's sight.
    """
    for i in range(creatures.shape[0]):
        creature = creatures[i]
        dx, dz = creature[CX] - body[physics.X], creature[CZ] - body[physics.Z]
        if dx * dx + dz * dz > FAR * FAR or creature[CY] < 0.0:
            draws = (
                _chance(seed, tick, i, 3),
                _chance(seed, tick, i, 4),
                _chance(seed, tick, i, 5),
                _chance(seed, tick, i, 6),
            )
            _place(blocks, solid, heights, creature, body, draws, NEAREST, HIDDEN_ANGLE)
            continue
        _advance_one(blocks, solid, creature, seed, tick, i, gravity)
        _part(creature, body)
    _part_flock(creatures)


def overlaps_cell(creatures: np.ndarray, x: int, y: int, z: int) -> bool:
    """Whether any creature's box reaches into the cell of a block."""
    if not len(creatures):
        return False
    kind = creatures[:, KIND].astype(np.intp)
    half, height = HALF_WIDTHS[kind], HEIGHTS[kind]
    wide = (np.abs(creatures[:, CX] - x - 0.5) < half + 0.5) & (np.abs(creatures[:, CZ] - z - 0.5) < half + 0.5)
    return bool((wide & (creatures[:, CY] < y + 1) & (creatures[:, CY] + height > y)).any())
