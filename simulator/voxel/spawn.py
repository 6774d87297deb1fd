"""Where a game begins: a pleasant place to stand for each scene name, chosen by the seed."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.simulator.errors import SceneError
from reverie.simulator.voxel.blocks import BLOCK_ID, EYE_HEIGHT, SEA_LEVEL, SIZE_X, SIZE_Y, SIZE_Z
from reverie.simulator.voxel.render import cast
from reverie.simulator.voxel.terrain import BIOMES, Terrain

SCENES: tuple[str, ...] = ("plains", "forest", "desert", "snow", "village", "cave", "lake", "night")
NATURAL_GROUND = ("grass", "dirt", "sand", "snow", "stone", "gravel")
CANDIDATES, CANDIDATES_ANYWHERE = 24, 5
"""Places that are looked at before the best one is taken, with and without a scene name."""
GROUND_OF = {"plains": "grass", "forest": "grass", "desert": "sand", "snow": "snow"}
WOODS_NEAR, WOODS_FAR = 4.0, 18.0
LAMP_TURNS = (-18.0, 35.0, 140.0)
"""Where lamps light a cave that a game begins in: degrees from the line of sight."""
LAMP_NEAREST = 2.0
SIGHT = 40.0
"""Metres to which a place's view is judged."""
YAWS = tuple(range(-180, 180, 45))
SIDE_LOOK = 25.0
NOT_BUILT = ("cave", "lake")
"""Landmarks that are no buildings."""
LANDMARK_NEAR, LANDMARK_FAR = 7.0, 15.0
SHORE_HEIGHT = 3
CAVE_DEPTH = 6
NIGHT = 0.0
DAY_PROBABILITY, DUSK_PROBABILITY = 0.72, 0.18
"""For games without a scene; the rest is night."""


@dataclass(frozen=True, slots=True)
class Start:
    """Feet position, view angles in degrees, and the hour as a fraction of a day (0.5: noon)."""

    x: float
    y: float
    z: float
    yaw: float
    pitch: float
    day_time: float
    lamps: tuple[tuple[int, int, int], ...] = ()
    """Blocks that become lamps, so that a cave can be seen."""


def choose_start(terrain: Terrain, heights: np.ndarray, scene: str | None, seed: int) -> Start:
    """The start of `scene` (None: anywhere) in a world. Deterministic. Raises SceneError."""
    if scene is not None and scene not in SCENES:
        raise SceneError(f"scene {scene!r} is unknown to the voxel world; it starts from {', '.join(SCENES)}")
    rng = np.random.default_rng([seed, zlib.crc32((scene or "").encode())])
    day_time = _hour(rng, scene)
    spots = _spots(terrain, heights, scene)
    if len(spots) == 0:
        raise SceneError(f"scene {scene!r} does not occur in the world of seed {seed}; try another seed")
    looked_at = CANDIDATES_ANYWHERE if scene is None else CANDIDATES
    chosen = spots[rng.choice(len(spots), min(looked_at, len(spots)), replace=False)]
    best, best_score = ((0, 0, 0), 0), -math.inf
    for x, y, z in chosen.tolist():
        for yaw in YAWS:
            score = _view_score(terrain, scene, x, y, z, yaw)
            if score > best_score:
                best, best_score = ((x, y, z), yaw), score
    (x, y, z), facing = best
    sight = _yaw_to_landmark(terrain, x, z) if scene == "village" else facing + rng.uniform(-12.0, 12.0)
    lamps = _lamps(terrain, x, y, z, sight) if scene == "cave" else ()
    return Start(x + 0.5, float(y), z + 0.5, float(sight), float(rng.normal(4.0, 3.0)), day_time, lamps)


def _lamps(terrain: Terrain, x: int, y: int, z: int, yaw: float) -> tuple[tuple[int, int, int], ...]:
    """Blocks of the walls around, not too near."""
    lamps = []
    for turn in LAMP_TURNS:
        angle = math.radians(yaw + turn)
        eye = (x + 0.5, y + EYE_HEIGHT, z + 0.5)
        hit = cast(terrain.blocks, eye, (-math.sin(angle), -0.1, math.cos(angle)), SIGHT)
        if hit is not None and hit[6] >= LAMP_NEAREST:
            lamps.append((int(hit[0]), int(hit[1]), int(hit[2])))
    return tuple(lamps)


def _hour(rng: np.random.Generator, scene: str | None) -> float:
    if scene == "night":
        return float((NIGHT + rng.uniform(-0.06, 0.06)) % 1.0)
    draw = rng.random()
    if scene is not None or draw < DAY_PROBABILITY:
        return float(rng.uniform(0.34, 0.66))
    if draw < DAY_PROBABILITY + DUSK_PROBABILITY:
        return float(rng.choice([rng.uniform(0.22, 0.32), rng.uniform(0.68, 0.78)]))
    return float(rng.uniform(-0.12, 0.12) % 1.0)


def _spots(terrain: Terrain, heights: np.ndarray, scene: str | None) -> np.ndarray:
    """int [n, 3]: places for feet that suit the scene."""
    if scene == "cave":
        return _cave_spots(terrain.blocks, heights)
    blocks = terrain.blocks
    columns = np.indices((SIZE_X, SIZE_Z))
    x, z = columns
    y = np.clip(heights.astype(np.intp), 0, SIZE_Y - 5)
    natural = np.isin(blocks[x, y, z], [BLOCK_ID[name] for name in NATURAL_GROUND])
    open_above = np.all([blocks[x, y + up, z] == BLOCK_ID["air"] for up in range(1, 5)], axis=0)
    good = natural & open_above
    if scene in BIOMES:
        good &= terrain.biome == BIOMES.index(scene)
        good &= blocks[x, y, z] == BLOCK_ID[GROUND_OF[scene]]
    elif scene == "village":
        marks = [_distance(x, z, mark[0], mark[2]) for mark in _buildings(terrain)]
        distance = np.min(marks, axis=0) if marks else np.full(x.shape, np.inf)
        good &= (distance >= LANDMARK_NEAR) & (distance <= LANDMARK_FAR)
    elif scene == "lake":
        water = blocks[:, SEA_LEVEL, :] == BLOCK_ID["water"]
        near = np.any([np.roll(water, shift, axis) for shift in (-6, 6) for axis in (0, 1)], axis=0)
        good &= near & (y <= SEA_LEVEL + SHORE_HEIGHT)
    return np.stack([x[good], y[good] + 1, z[good]], axis=1)


def _cave_spots(blocks: np.ndarray, heights: np.ndarray) -> np.ndarray:
    air = blocks == BLOCK_ID["air"]
    floor = np.isin(blocks, [BLOCK_ID[name] for name in ("stone", "dirt", "gravel", "cobblestone")])
    free = np.zeros_like(air)
    free[:, 1:-2] = floor[:, :-3] & air[:, 1:-2] & air[:, 2:-1] & air[:, 3:]
    deep = np.arange(SIZE_Y)[None, :, None] + CAVE_DEPTH < heights[:, None, :]
    return np.argwhere(free & deep)


def _distance(x: Any, z: Any, to_x: float, to_z: float) -> Any:
    """Metres between columns (numbers or arrays), around the torus."""
    dx, dz = _wrap(x - to_x, SIZE_X), _wrap(z - to_z, SIZE_Z)
    return np.hypot(dx, dz)


def _wrap(difference: Any, size: int) -> Any:
    return (difference + size / 2) % size - size / 2


def _buildings(terrain: Terrain) -> list[tuple[int, int, int, str]]:
    return [mark for mark in terrain.landmarks if mark[3] not in NOT_BUILT]


def _yaw_to_landmark(terrain: Terrain, x: float, z: float) -> float:
    nearest = min(_buildings(terrain), key=lambda mark: float(_distance(x, z, mark[0], mark[2])))
    dx, dz = _wrap(nearest[0] - x, SIZE_X), _wrap(nearest[2] - z, SIZE_Z)
    return math.degrees(math.atan2(-dx, dz))


def _view_score(terrain: Terrain, scene: str | None, x: int, y: int, z: int, yaw: float) -> float:
    """How good the view is: open in front, yet with something to see in it."""
    eye = (x + 0.5, y + EYE_HEIGHT, z + 0.5)
    far = []
    for turn in (-SIDE_LOOK, 0.0, SIDE_LOOK):
        angle = math.radians(yaw + turn)
        hit = cast(terrain.blocks, eye, (-math.sin(angle), 0.0, math.cos(angle)), SIGHT)
        far.append(SIGHT if hit is None else hit[6])
    if scene == "forest":
        return float(sum(WOODS_NEAR < metres < WOODS_FAR for metres in far) + min(far) / SIGHT)
    something = SIGHT / 4 if min(far) < SIGHT else 0.0
    score = min(min(far), SIGHT / 4) + sum(far) / 6 + something
    if scene == "lake":
        angle = math.radians(yaw)
        for metres in (4, 8, 12):
            column = int(x - math.sin(angle) * metres) % SIZE_X, int(z + math.cos(angle) * metres) % SIZE_Z
            score += SIGHT * (terrain.blocks[column[0], SEA_LEVEL, column[1]] == BLOCK_ID["water"])
    return float(score)
