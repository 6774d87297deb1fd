"""How bodies move: Minecraft's player physics, one tick (1/20 s) at a time.

Constants and their order of use are those of Minecraft Java Edition as documented by the Minecraft Wiki
(https://minecraft.wiki/w/Transportation, https://minecraft.wiki/w/Entity#Motion_of_entities) and the
Minecraft Parkour Wiki (https://www.mcpk.wiki/wiki/Horizontal_Movement_Formulas, Vertical_Movement_Formulas).
Speeds are in blocks per tick: the steady walk is 0.098 / (1 - 0.546) = 0.2159 blocks per tick = 4.317 m/s.

One difference: sprinting lasts while its key is held together with forward, it does not latch.
"""

from __future__ import annotations

import math

import numpy as np

from reverie.model.compiled import compiled
from reverie.simulator.voxel.blocks import (
    BLOCK_ID,
    EYE_HEIGHT,
    EYE_HEIGHT_SNEAKING,
    SIZE_X,
    SIZE_Y,
    SIZE_Z,
)

# Entries of a body, float64 [BODY].
X, Y, Z = 0, 1, 2
"""Middle of the feet, metres."""
VX, VY, VZ = 3, 4, 5
"""Blocks per tick."""
YAW, PITCH = 6, 7
"""Degrees; yaw is not wrapped."""
EYE = 8
"""Height of the eyes above the feet; sinks smoothly when sneaking."""
ON_GROUND, IN_WATER, SNEAKING, SPRINTING, BUMPED = 9, 10, 11, 12, 13
"""0 or 1; BUMPED: the last tick's motion was stopped by a wall."""
JUMP_DELAY, AIR_TICKS, DRY_TICKS = 14, 15, 16
"""Ticks until a held jump key jumps again; ticks since the feet left the ground; ticks since the last water."""
BODY = 17

LAND, SPLASH = 1, 2
"""Bits of `advance_player`'s result."""

HALF_WIDTH = 0.3
HEIGHT = 1.8
MAX_PITCH = 90.0
WALK_ACCELERATION = 0.1
SPRINT_FACTOR = 1.3
AIR_ACCELERATION = 0.02
WATER_ACCELERATION = 0.02
INPUT_SCALE = 0.98
SNEAK_SCALE = 0.3
AIR_DRAG = 0.91
SLIPPERINESS = 0.6
GROUND_DRAG = AIR_DRAG * SLIPPERINESS
GRAVITY = 0.08
VERTICAL_DRAG = 0.98
JUMP_VELOCITY = 0.42
SPRINT_JUMP_BOOST = 0.2
JUMP_DELAY_TICKS = 10.0
SWIM_UP = 0.04
WATER_DRAG = 0.8
WATER_GRAVITY = 0.02
LEAVE_WATER_VELOCITY = 0.3
LEAVE_WATER_STEP = 0.6
WATER_SURFACE = 8.0 / 9.0
"""Height of the water inside its block."""
WET_FROM, WET_TO = 0.401, 1.399
"""The part of the body, above the feet, that counts for being in water."""
STILL = 0.003
"""Speeds below this are taken for none."""
EDGE_STEP = 0.05
LANDING_TICKS = 4
"""Shorter hops than this are no landing."""
SPLASH_TICKS = 10
"""Coming back to the water sooner, as one bobs on its surface, is no splash."""
EYE_EASE = 0.5
SURFACE_EPSILON = 1e-7
"""Boxes that overlap by less only touch."""

_WATER = BLOCK_ID["water"]


@compiled
def is_solid(blocks: np.ndarray, solid: np.ndarray, x: int, y: int, z: int) -> bool:
    """Whether bodies collide with the block at these coordinates; the world ends in bedrock and open sky.

    `solid` is bool [blocks], here and below: which kinds bodies collide with.
    """
    if y < 0:
        return True
    if y >= SIZE_Y:
        return False
    return solid[blocks[x & (SIZE_X - 1), y, z & (SIZE_Z - 1)]]


@compiled
def box_is_free(
    blocks: np.ndarray, solid: np.ndarray, x: float, y: float, z: float, half: float, height: float
) -> bool:
    """Whether a box standing at (x, y, z) touches no solid block."""
    low, high = SURFACE_EPSILON, -SURFACE_EPSILON
    for bx in range(math.floor(x - half + low), math.floor(x + half + high) + 1):
        for by in range(math.floor(y + low), math.floor(y + height + high) + 1):
            for bz in range(math.floor(z - half + low), math.floor(z + half + high) + 1):
                if is_solid(blocks, solid, bx, by, bz):
                    return False
    return True


@compiled
def box_is_wet(blocks: np.ndarray, x: float, y0: float, y1: float, z: float, half: float) -> bool:
    """Whether the box from height y0 to y1 around (x, z) reaches into water."""
    for bx in range(math.floor(x - half), math.floor(x + half) + 1):
        for by in range(max(math.floor(y0), 0), min(math.floor(y1), SIZE_Y - 1) + 1):
            for bz in range(math.floor(z - half), math.floor(z + half) + 1):
                if blocks[bx & (SIZE_X - 1), by, bz & (SIZE_Z - 1)] == _WATER:
                    under = by + 1 < SIZE_Y and blocks[bx & (SIZE_X - 1), by + 1, bz & (SIZE_Z - 1)] == _WATER
                    if under or y0 < by + WATER_SURFACE:
                        return True
    return False


@compiled
def _clip(low: float, high: float, block: int, move: float) -> float:
    """The part of `move` that an interval [low, high] can go before it meets the block [block, block + 1]."""
    if move > 0.0 and high <= block + SURFACE_EPSILON:
        return min(move, block - high)
    if move < 0.0 and low >= block + 1 - SURFACE_EPSILON:
        return max(move, block + 1 - low)
    return move


@compiled
def sweep(
    blocks: np.ndarray,
    solid: np.ndarray,
    x: float,
    y: float,
    z: float,
    dx: float,
    dy: float,
    dz: float,
    half: float,
    height: float,
) -> tuple[float, float, float]:
    """How far a box moves before blocks stop it, one axis after the other in the order y, x, z.

    Exact for any speed: every block that the box passes is looked at.
    """
    e = SURFACE_EPSILON
    x0, x1, z0, z1 = x - half, x + half, z - half, z + half
    y0, y1 = y, y + height
    if dy != 0.0:
        for by in range(math.floor(y0 + min(dy, 0.0) - e), math.floor(y1 + max(dy, 0.0) + e) + 1):
            for bx in range(math.floor(x0 + e), math.floor(x1 - e) + 1):
                for bz in range(math.floor(z0 + e), math.floor(z1 - e) + 1):
                    if is_solid(blocks, solid, bx, by, bz):
                        dy = _clip(y0, y1, by, dy)
        y0 += dy
        y1 += dy
    if dx != 0.0:
        for bx in range(math.floor(x0 + min(dx, 0.0) - e), math.floor(x1 + max(dx, 0.0) + e) + 1):
            for by in range(math.floor(y0 + e), math.floor(y1 - e) + 1):
                for bz in range(math.floor(z0 + e), math.floor(z1 - e) + 1):
                    if is_solid(blocks, solid, bx, by, bz):
                        dx = _clip(x0, x1, bx, dx)
        x0 += dx
        x1 += dx
    if dz != 0.0:
        for bz in range(math.floor(z0 + min(dz, 0.0) - e), math.floor(z1 + max(dz, 0.0) + e) + 1):
            for by in range(math.floor(y0 + e), math.floor(y1 - e) + 1):
                for bx in range(math.floor(x0 + e), math.floor(x1 - e) + 1):
                    if is_solid(blocks, solid, bx, by, bz):
                        dz = _clip(z0, z1, bz, dz)
    return dx, dy, dz


@compiled
def _toward_zero(value: float, step: float) -> float:
    if abs(value) <= step:
        return 0.0
    return value - math.copysign(step, value)


@compiled
def _stay_on_edge(blocks: np.ndarray, solid: np.ndarray, body: np.ndarray, dx: float, dz: float) -> tuple[float, float]:
    """Shortens a sneaking step until there is ground under it."""
    x, y, z = body[X], body[Y], body[Z]
    below = y - LEAVE_WATER_STEP
    while dx != 0.0 and box_is_free(blocks, solid, x + dx, below, z, HALF_WIDTH, HEIGHT):
        dx = _toward_zero(dx, EDGE_STEP)
    while dz != 0.0 and box_is_free(blocks, solid, x, below, z + dz, HALF_WIDTH, HEIGHT):
        dz = _toward_zero(dz, EDGE_STEP)
    while dx != 0.0 and dz != 0.0 and box_is_free(blocks, solid, x + dx, below, z + dz, HALF_WIDTH, HEIGHT):
        dx = _toward_zero(dx, EDGE_STEP)
        dz = _toward_zero(dz, EDGE_STEP)
    return dx, dz


@compiled
def turn(body: np.ndarray, pitch: float, yaw: float) -> None:
    """Turns the head by so many degrees, in place."""
    body[PITCH] = min(max(body[PITCH] + pitch, -MAX_PITCH), MAX_PITCH)
    body[YAW] += yaw


@compiled
def advance_player(
    blocks: np.ndarray,
    solid: np.ndarray,
    body: np.ndarray,
    forward: float,
    left: float,
    jump: bool,
    sneak: bool,
    sprint: bool,
    gravity: float,
) -> int:
    """Moves a body float64 [BODY] by one tick, in place; `forward` and `left` are -1, 0 or 1, `gravity` is
    times GRAVITY.

    Returns LAND and SPLASH bits for what happened.
    """
    for axis in range(VX, VZ + 1):
        if abs(body[axis]) < STILL:
            body[axis] = 0.0
    in_water = body[IN_WATER] != 0.0
    on_ground = body[ON_GROUND] != 0.0
    sprinting = sprint and forward > 0.0 and not sneak and not in_water and body[BUMPED] == 0.0
    scale = INPUT_SCALE * (SNEAK_SCALE if sneak else 1.0)
    forward *= scale
    left *= scale
    yaw = math.radians(body[YAW])
    sin, cos = math.sin(yaw), math.cos(yaw)

    if body[JUMP_DELAY] > 0.0:
        body[JUMP_DELAY] -= 1.0
    if jump and in_water:
        body[VY] += SWIM_UP
    elif jump and on_ground and body[JUMP_DELAY] == 0.0:
        body[VY] = JUMP_VELOCITY
        body[JUMP_DELAY] = JUMP_DELAY_TICKS
        if sprinting:
            body[VX] -= sin * SPRINT_JUMP_BOOST
            body[VZ] += cos * SPRINT_JUMP_BOOST
    if not jump:
        body[JUMP_DELAY] = 0.0

    if in_water:
        acceleration = WATER_ACCELERATION
    else:
        acceleration = WALK_ACCELERATION if on_ground else AIR_ACCELERATION
        if sprinting:
            acceleration *= SPRINT_FACTOR
    acceleration /= max(math.sqrt(forward * forward + left * left), 1.0)
    body[VX] += (left * cos - forward * sin) * acceleration
    body[VZ] += (forward * cos + left * sin) * acceleration

    dx, dy, dz = body[VX], body[VY], body[VZ]
    if sneak and on_ground and dy <= 0.0:
        dx, dz = _stay_on_edge(blocks, solid, body, dx, dz)
        body[VX], body[VZ] = dx, dz
    y_before = body[Y]
    mx, my, mz = sweep(blocks, solid, body[X], body[Y], body[Z], dx, dy, dz, HALF_WIDTH, HEIGHT)
    body[X] += mx
    body[Y] += my
    body[Z] += mz
    bumped = mx != dx or mz != dz
    landed = my != dy and dy < 0.0
    if mx != dx:
        body[VX] = 0.0
    if mz != dz:
        body[VZ] = 0.0
    if my != dy:
        body[VY] = 0.0

    if in_water:
        body[VX] *= WATER_DRAG
        body[VY] = body[VY] * WATER_DRAG - WATER_GRAVITY
        body[VZ] *= WATER_DRAG
        if bumped:
            step_up = y_before + body[VY] + LEAVE_WATER_STEP
            x, z = body[X] + body[VX], body[Z] + body[VZ]
            dry = not box_is_wet(blocks, x, step_up, step_up + HEIGHT, z, HALF_WIDTH)
            if dry and box_is_free(blocks, solid, x, step_up, z, HALF_WIDTH, HEIGHT):
                body[VY] = LEAVE_WATER_VELOCITY
    else:
        drag = GROUND_DRAG if on_ground else AIR_DRAG
        body[VX] *= drag
        body[VZ] *= drag
        body[VY] = (body[VY] - GRAVITY * gravity) * VERTICAL_DRAG

    happened = 0
    if landed and not on_ground and body[AIR_TICKS] >= LANDING_TICKS and not in_water:
        happened |= LAND
    body[AIR_TICKS] = 0.0 if landed or in_water else body[AIR_TICKS] + 1.0
    wet = box_is_wet(blocks, body[X], body[Y] + WET_FROM, body[Y] + WET_TO, body[Z], HALF_WIDTH)
    if wet and body[DRY_TICKS] >= SPLASH_TICKS:
        happened |= SPLASH
    body[DRY_TICKS] = 0.0 if wet else body[DRY_TICKS] + 1.0
    body[ON_GROUND] = 1.0 if landed else 0.0
    body[IN_WATER] = 1.0 if wet else 0.0
    body[BUMPED] = 1.0 if bumped else 0.0
    body[SNEAKING] = 1.0 if sneak else 0.0
    body[SPRINTING] = 1.0 if sprinting else 0.0
    body[EYE] += ((EYE_HEIGHT_SNEAKING if sneak else EYE_HEIGHT) - body[EYE]) * EYE_EASE
    return happened


def make_body(x: float, y: float, z: float, yaw: float = 0.0, pitch: float = 0.0, gravity: float = 1.0) -> np.ndarray:
    """A body float64 [BODY] at rest, feet at (x, y, z)."""
    body = np.zeros(BODY)
    body[[X, Y, Z, YAW, PITCH, EYE]] = x, y, z, yaw, pitch, EYE_HEIGHT
    body[VY] = -GRAVITY * gravity * VERTICAL_DRAG
    body[DRY_TICKS] = SPLASH_TICKS
    return body


def eye(body: np.ndarray) -> tuple[float, float, float]:
    """Where the eyes are."""
    return float(body[X]), float(body[Y] + body[EYE]), float(body[Z])


def look(body: np.ndarray) -> tuple[float, float, float]:
    """The unit vector of sight."""
    yaw, pitch = math.radians(body[YAW]), math.radians(body[PITCH])
    return -math.sin(yaw) * math.cos(pitch), -math.sin(pitch), math.cos(yaw) * math.cos(pitch)


FEEL_WALL = 0.4
"""Metres ahead within which a wall counts as blocking the way."""
FEEL_DROP = 2.0
"""Metres ahead at which the ground's height is felt."""
FEEL_UP, FEEL_DOWN = 3, 12


@compiled
def feel_ahead(blocks: np.ndarray, solid: np.ndarray, body: np.ndarray) -> tuple[bool, float, bool]:
    """Whether a wall is ahead, by how many metres the ground two blocks ahead lies lower, and whether in water."""
    yaw = math.radians(body[YAW])
    ax, az = -math.sin(yaw), math.cos(yaw)
    x, y, z = body[X], body[Y], body[Z]
    mx, _, mz = sweep(blocks, solid, x, y, z, ax * FEEL_WALL, 0.0, az * FEEL_WALL, HALF_WIDTH, HEIGHT)
    blocked = mx * ax + mz * az < 0.5 * FEEL_WALL
    bx, bz = math.floor(x + ax * FEEL_DROP), math.floor(z + az * FEEL_DROP)
    feet = math.floor(y + 0.01)
    water = False
    for level in range(feet + FEEL_UP, feet - FEEL_DOWN, -1):
        if is_solid(blocks, solid, bx, level, bz):
            return blocked, y - (level + 1.0), water
        if 0 <= level < SIZE_Y and blocks[bx & (SIZE_X - 1), level, bz & (SIZE_Z - 1)] == _WATER:
            water = True
    return blocked, float(FEEL_DOWN), water
