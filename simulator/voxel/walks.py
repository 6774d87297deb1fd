"""Labelled walks through voxel worlds, without rendering: what dynamics learn from.

A shard is one safetensors file of rows, one row a tick, in episodes one after the other. A row holds the state before
its action; the state after it is the next row of the same episode. Only what a player could see from outside is kept:
no timers of the hands or the legs, no plans of animals, no properties of blocks.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from reverie.model.cells import UNKNOWN, Cell
from reverie.model.dynamics.layout import ENTITY_LOW, ENTITY_SHAPE, WINDOW_LOW, WINDOW_SHAPE
from reverie.model.errors import ReverieError
from reverie.model.training.walk_data import (
    LOCAL_ENTITIES,
    RECORDED_BODY,
    walk_path,
)
from reverie.simulator import behaviours as do
from reverie.simulator.action import Action
from reverie.simulator.errors import SceneError
from reverie.simulator.mind import Mind
from reverie.simulator.players import SCRIPTS, Player, ScriptedPlayer
from reverie.simulator.voxel import physics
from reverie.simulator.voxel.blocks import BLOCKS, SIZE_X, SIZE_Y, SIZE_Z
from reverie.simulator.voxel.creatures import (
    CREATURE_COUNT,
    CX,
    CY,
    CYAW,
    CZ,
    HALF_WIDTHS,
    HEIGHTS,
    KIND,
    PHASE,
    populate,
)
from reverie.simulator.voxel.laws import USUAL, Laws
from reverie.simulator.voxel.world import HELD_OUT_SEED, MAX_SEED, VoxelState, VoxelWorld
from reverie.simulator.world import EVENTS

WALK_STREAM = 78
"""Sets the random numbers of walks apart from others of the same seed."""
EPISODE_TICKS = (100, 260)
EPISODES_EACH = 8
"""Episodes in one world before another is made."""
RARE_SHARE = 0.4
"""Share of the episodes about digging, placing, jumping, falling, water and ledges."""
FURNISHED_SHARE = 0.5
"""Share of the other episodes that start among structures of random blocks."""
SCRAMBLED_SHARE = 0.5
"""Share of the episodes in which now and then random keys are held besides the player's own."""
SCRAMBLE_START, SCRAMBLE_TICKS = 0.03, (2, 16)
SCRAMBLED_KEYS = ("forward", "back", "left", "right", "jump", "sneak", "sprint", "attack", "use")
PICK_PROBABILITY = 0.01
"""Per tick of a scrambled episode: the pick key, or a hotbar key."""
NEAR_ANIMALS = (2.0, 9.0)
"""Metres from the player to which some animals are brought at an episode's start."""
LIFT = (2.0, 24.0)
"""Metres above the ground from which a faller starts."""
SCENES: tuple[tuple[str | None, float], ...] = (
    ("plains", 0.2), ("forest", 0.2), ("desert", 0.14), ("snow", 0.14), ("village", 0.1), ("lake", 0.1), (None, 0.12),
)  # fmt: skip
CASUAL: tuple[tuple[str, float], ...] = (
    ("mixed", 0.15), ("explorer", 0.2), ("builder", 0.15), ("acrobat", 0.15), ("stubborn", 0.15), ("fidget", 0.1),
    ("random", 0.1),
)  # fmt: skip
PLACED = tuple(index for index, block in enumerate(BLOCKS) if block.name != "air")
"""Kinds of block that structures are made of."""
SHARD_ROWS = 8192
HELD_LANDS = range(HELD_OUT_SEED + 150_000, HELD_OUT_SEED + 160_000)
"""Seeds of the worlds of held-out walks."""


def labourer(mind: Mind) -> Iterator[Action]:
    """Digs, builds, tunnels and bridges without much walking about."""
    works = (do.dig, do.dig_down, do.tunnel, do.place_block, do.build_wall, do.pillar_and_view, do.swing, _dig_near)
    while True:
        yield from works[int(mind.rng.integers(len(works)))](mind)
        if mind.chance(0.3):
            yield from do.rest(mind, mind.ticks(0.2, 1.0), forward=True, jump=mind.chance(0.5))


def _dig_near(mind: Mind) -> Iterator[Action]:
    """Breaks what is in view, whatever it is, and looks elsewhere."""
    for _ in range(int(mind.rng.integers(2, 6))):
        mind.look_to_pitch(mind.rng.uniform(-20.0, 60.0), mind.rng.normal(0.0, 60.0))
        yield from do.finish_look(mind)
        yield from do.break_target(mind)


def miner(mind: Mind) -> Iterator[Action]:
    """Holds attack for long while it looks about, and walks on a little."""
    while True:
        for _ in range(int(mind.rng.integers(2, 7))):
            mind.look_to_pitch(mind.rng.uniform(-10.0, 70.0), mind.rng.normal(0.0, 40.0))
            yield from do.finish_look(mind, attack=mind.chance(0.4))
            if mind.chance(0.1):
                yield from do.rest(mind, mind.ticks(0.1, 0.6), attack=True)  # too short for most
            yield from do.rest(mind, mind.ticks(0.8, 2.6), attack=True, sneak=mind.chance(0.1))
        keys = {"forward": True, "jump": mind.chance(0.4), "attack": mind.chance(0.5)}
        yield from do.rest(mind, mind.ticks(0.2, 1.2), **keys)


def builder(mind: Mind) -> Iterator[Action]:
    """Holds use for long while it looks about, or walks on."""
    while True:
        yield from do.select_slot(mind)
        mind.look_to_pitch(mind.rng.uniform(10.0, 80.0), mind.rng.normal(0.0, 60.0))
        yield from do.finish_look(mind, use=mind.chance(0.4))
        keys = {"sneak": mind.chance(0.3), "jump": mind.chance(0.2)}
        keys[str(mind.rng.choice(("forward", "back", "left", "right")))] = mind.chance(0.5)
        yield from do.rest(mind, int(mind.rng.choice((1, 2, 5, 9, 20, 40))), use=True, **keys)
        yield from do.rest(mind, mind.ticks(0.1, 0.6))


def jumper(mind: Mind) -> Iterator[Action]:
    """Jumps, dashes and strafes, holding the jump key for long at times."""
    while True:
        kind = mind.rng.random()
        if kind < 0.35:
            yield from do.hop(mind)
        elif kind < 0.6:
            keys = {str(mind.rng.choice(("forward", "back", "left", "right"))): True, "sprint": mind.chance(0.5)}
            yield from do.rest(mind, mind.ticks(0.5, 2.5), jump=True, **keys)
        elif kind < 0.75:
            yield from do.dash(mind)
        elif kind < 0.9:
            yield from do.strafe(mind)
        else:
            yield from do.look_around(mind)
        yield from do.turn_from_wall(mind)


def edger(mind: Mind) -> Iterator[Action]:
    """Goes up, then sneaks to edges, leans over them, bridges from them, and drops."""
    while True:
        if mind.chance(0.5):
            yield from do.pillar(mind, int(mind.rng.integers(1, 4)))
        for _ in range(int(mind.rng.integers(1, 4))):
            ways = ("forward", "back", "left", "right")
            keys = dict.fromkeys(mind.rng.choice(ways, int(mind.rng.integers(1, 3)), replace=False).tolist(), True)
            mind.look_to_pitch(mind.rng.normal(20.0, 15.0), mind.rng.normal(0.0, 60.0))
            yield from do.finish_look(mind, sneak=True)
            yield from do.rest(mind, mind.ticks(0.5, 2.5), sneak=True, **keys)
        if mind.chance(0.4):
            yield from do.bridge(mind)
        yield from do.rest(mind, mind.ticks(0.3, 1.2), forward=True, jump=mind.chance(0.3))


def swimmer(mind: Mind) -> Iterator[Action]:
    """Swims about, dives, and climbs out."""
    while True:
        keys = {"forward": mind.chance(0.8), "jump": mind.chance(0.5), "sneak": mind.chance(0.15)}
        keys[str(mind.rng.choice(("left", "right", "back")))] = mind.chance(0.25)
        if mind.chance(0.3):
            mind.look_to_pitch(mind.rng.normal(10.0, 15.0), mind.rng.normal(0.0, 70.0))
        for _ in range(mind.ticks(0.4, 2.5)):
            pitch, yaw = mind.gaze.next(True, mind.pitch)
            yield Action(**keys, camera=(pitch, yaw))


Script = Callable[[Mind], Iterator[Action]]
RARE: tuple[tuple[Script, float], ...] = (
    (labourer, 0.2), (miner, 0.25), (builder, 0.15), (jumper, 0.15), (edger, 0.15), (swimmer, 0.1),
)  # fmt: skip


class Scrambler:
    """A player with random keys held besides its own for short spans, so that all their combinations are recorded."""

    def __init__(self, player: Player, rng: np.random.Generator) -> None:
        self._player, self._rng = player, rng
        self._left = 0
        self._keys: dict[str, bool] = {}

    def act(self, senses: object) -> Action:
        """The action of this tick."""
        action, rng = self._player.act(senses), self._rng  # type: ignore[arg-type]
        if self._left == 0 and rng.random() < SCRAMBLE_START:
            self._left = int(rng.integers(*SCRAMBLE_TICKS))
            chosen = rng.choice(SCRAMBLED_KEYS, int(rng.integers(1, 4)), replace=False)
            self._keys = {str(key): bool(rng.random() < 0.8) for key in chosen}
        if self._left:
            self._left -= 1
            keys: Any = self._keys
            action = replace(action, **keys)
        if rng.random() < PICK_PROBABILITY:
            action = replace(action, pickItem=True)
        elif rng.random() < PICK_PROBABILITY:
            action = replace(action, hotbar=int(rng.integers(1, 10)))
        return action


@dataclass(frozen=True, slots=True)
class Row:
    """One tick of a walk."""

    episode: int
    rare: bool
    """The episode is about rare events."""
    state: VoxelState
    action: Action
    last: bool
    """No row of the same episode follows."""


def play_walks(world: VoxelWorld, index: int, seed: int, lands: range = range(HELD_OUT_SEED)) -> Iterator[Row]:
    """Plays shard `index` of the walks called `seed` in the worlds of `lands`, tick by tick, without end."""
    rng = np.random.default_rng([WALK_STREAM, seed, index])
    episode = 0
    while True:
        land = int(rng.integers(lands.start, lands.stop))
        for _ in range(EPISODES_EACH):
            rare = bool(rng.random() < RARE_SHARE)
            state, player = begin(world, land, rare, rng)
            ticks = int(rng.integers(EPISODE_TICKS[0], EPISODE_TICKS[1] + 1))
            for tick in range(ticks):
                action = player.act(world.senses(state))
                yield Row(episode, rare, state, action, tick == ticks - 1)
                state = world.step(state, action)
            episode += 1


def begin(
    world: VoxelWorld, seed: int, rare: bool, rng: np.random.Generator, script: Script | None = None
) -> tuple[VoxelState, Player]:
    """A player at an episode's start in the world of a seed, and who plays: `script`, or one that is drawn."""
    scenes, shares = zip(*SCENES, strict=True)
    if script is None:
        script = _drawn_script(rare, rng)
    scene = "lake" if script is swimmer and rng.random() < 0.5 else scenes[int(rng.choice(len(scenes), p=shares))]
    try:
        state = world.start(scene, seed)
    except SceneError:  # not every world has every scene
        state = world.start(None, seed)
    state = _moved(world, state, rng)
    if rare or rng.random() < FURNISHED_SHARE:
        state = furnish(world, state, rng, pool=script is swimmer)
    state = _herded(state, world, rng)
    if rng.random() < (0.25 if rare else 0.05):
        state = lifted(world, state, float(rng.uniform(*LIFT)))
    player: Player = ScriptedPlayer(script, int(rng.integers(2**31)))
    return state, Scrambler(player, rng) if rng.random() < SCRAMBLED_SHARE else player


def _drawn_script(rare: bool, rng: np.random.Generator) -> Script:
    if rare:
        scripts, weights = zip(*RARE, strict=True)
        return scripts[int(rng.choice(len(scripts), p=weights))]
    names, weights = zip(*CASUAL, strict=True)
    return SCRIPTS[str(rng.choice(names, p=weights))]


def _moved(world: VoxelWorld, state: VoxelState, rng: np.random.Generator) -> VoxelState:
    """The player on open ground up to twenty metres from there, with any yaw and slot."""
    x, y, z, _, pitch = (float(value) for value in world.pose(state))
    for _ in range(8):
        nx, nz = x + rng.uniform(-20, 20), z + rng.uniform(-20, 20)
        ny = float(state.heights[math.floor(nx) % SIZE_X, math.floor(nz) % SIZE_Z]) + 1.0
        free = ny < SIZE_Y - 6 and physics.box_is_free(
            state.blocks, world.laws.solid, nx, ny, nz, physics.HALF_WIDTH, physics.HEIGHT
        )
        if free:
            x, y, z = float(nx), ny, float(nz)
            break
    state = world.spawn(state, x, y, z, float(rng.uniform(-180, 180)), pitch)
    return replace(state, hands=replace(state.hands, slot=int(rng.integers(9))), cache={})


def lifted(world: VoxelWorld, state: VoxelState, metres: float) -> VoxelState:
    """The player so many metres higher, or half of that, and so on, until it is free."""
    x, y, z, yaw, pitch = (float(value) for value in world.pose(state))
    while metres > 0.5:
        up = min(y + metres, SIZE_Y - 4.0)
        if physics.box_is_free(state.blocks, world.laws.solid, x, up, z, physics.HALF_WIDTH, physics.HEIGHT):
            return world.spawn(state, x, up, z, yaw, pitch)
        metres /= 2
    return state


def _herded(state: VoxelState, world: VoxelWorld, rng: np.random.Generator) -> VoxelState:
    """The state with animals about the player, some of them near."""
    creatures = np.zeros_like(state.creatures)
    populate(state.blocks, world.laws.solid, state.heights, state.body, int(rng.integers(2**31)), creatures)
    for number in range(LOCAL_ENTITIES):
        angle, reach = rng.uniform(0, 2 * math.pi), rng.uniform(*NEAR_ANIMALS)
        x = math.floor(state.body[physics.X] + math.cos(angle) * reach) + 0.5
        z = math.floor(state.body[physics.Z] + math.sin(angle) * reach) + 0.5
        y = float(state.heights[int(x) % SIZE_X, int(z) % SIZE_Z]) + 1.0
        kind = int(creatures[number, KIND])
        free = physics.box_is_free(state.blocks, world.laws.solid, x, y, z, HALF_WIDTHS[kind], HEIGHTS[kind])
        if free and y < SIZE_Y - 4 and abs(y - state.body[physics.Y]) < 6:
            creatures[number, [CX, CY, CZ]] = x, y, z
    return replace(state, creatures=creatures, cache={})


def furnish(world: VoxelWorld, state: VoxelState, rng: np.random.Generator, pool: bool = False) -> VoxelState:
    """The state with structures of random blocks about the player, who stands free among them."""
    x, y, z = (math.floor(value) for value in world.pose(state)[:3])
    cells: dict[Cell, str] = {}
    if pool or rng.random() < 0.1:
        _dig_pool(cells, x, y, z, rng)
    for _ in range(int(rng.integers(4, 14))):
        cells |= _structure(x, y, z, rng)
    if rng.random() < 0.3:  # a pit or a platform under the feet
        kind = BLOCKS[int(rng.choice(PLACED))].name
        size = int(rng.integers(1, 4))
        kind = "cobblestone" if kind == "water" else kind
        cells |= {(x + i, y - 1, z + k): kind for i in range(-size, size) for k in range(-size, size)}
        deep = int(rng.integers(1, 5))
        ring = [(i, k) for i in range(-size - 2, size + 2) for k in range(-size - 2, size + 2)
                if not (-size <= i < size and -size <= k < size)]  # fmt: skip
        cells |= {(x + i, y - 1 - j, z + k): "air" for i, k in ring for j in range(deep)}
    clear = {(x + i, y + j, z + k) for i in (-1, 0, 1) for k in (-1, 0, 1) for j in range(3)}
    cells = {cell: name for cell, name in cells.items() if 0 < cell[1] < SIZE_Y and cell not in clear}
    return world.set_blocks(state, cells)


def _dig_pool(cells: dict[Cell, str], x: int, y: int, z: int, rng: np.random.Generator) -> None:
    """A pool ahead of or around the player."""
    ox, oz = (int(value) for value in rng.integers(-5, 3, 2))
    sx, sz, deep = int(rng.integers(3, 8)), int(rng.integers(3, 8)), int(rng.integers(1, 5))
    cells |= {(x + ox + i, y - 1 - j, z + oz + k): "water" for i in range(sx) for j in range(deep) for k in range(sz)}


def _structure(x: int, y: int, z: int, rng: np.random.Generator) -> dict[Cell, str]:
    """A wall, a post, a step, a heap, a roof or a hole within eight metres."""
    ox, oz = (int(value) for value in rng.integers(-8, 9, 2))
    kinds = [BLOCKS[int(kind)].name for kind in rng.choice(PLACED, 2)]
    shape, up = [
        ((1, int(rng.integers(1, 5)), 1), 0),
        ((int(rng.integers(2, 6)), int(rng.integers(1, 4)), 1), 0),
        ((2, 2, 2), 0),
        ((int(rng.integers(1, 4)), 1, int(rng.integers(1, 4))), 0),
        ((3, 1, 3), int(rng.integers(1, 4))),
        ((2, 2, 2), -2),
    ][int(rng.integers(6))]
    sx, sy, sz = shape if rng.random() < 0.5 else shape[::-1] if shape[1] == 1 else (shape[2], shape[1], shape[0])
    hole = up == -2 and rng.random() < 0.7
    return {
        (x + ox + i, y + up + j, z + oz + k): "air" if hole else kinds[int(rng.random() < 0.25)]
        for i in range(sx) for j in range(sy) for k in range(sz)
    }  # fmt: skip


def _window(blocks: np.ndarray, low: tuple[int, int, int], shape: tuple[int, int, int]) -> np.ndarray:
    """uint8 [shape]: the cells from `low` on, UNKNOWN above and below the world."""
    xs, zs = np.arange(low[0], low[0] + shape[0]) % SIZE_X, np.arange(low[2], low[2] + shape[2]) % SIZE_Z
    ys = np.arange(low[1], low[1] + shape[1])
    inside = (ys >= 0) & (ys < SIZE_Y)
    out = np.full(shape, UNKNOWN, np.uint8)
    out[:, inside] = blocks[np.ix_(xs, ys[inside], zs)]
    return out


def _labels(world: VoxelWorld, row: Row) -> dict[str, np.ndarray]:
    state = row.state
    body = state.body[[getattr(physics, name) for name in RECORDED_BODY]]
    cell = [math.floor(body[0]), math.floor(body[1] + 0.1), math.floor(body[2])]
    low = tuple(c + o for c, o in zip(cell, WINDOW_LOW))
    hit, hands = world.target(state), state.hands
    target, normal, distance = np.full(3, -1, np.int32), np.zeros(3, np.int8), np.inf
    if hit is not None:
        target, normal, distance = np.array(hit.cell, np.int32), np.array(hit.normal, np.int8), hit.distance
    entities = np.full((CREATURE_COUNT, 6), np.nan)
    near = state.creatures[:, CY] > 0
    entities[near] = state.creatures[near][:, [CX, CY, CZ, CYAW, KIND, PHASE]]
    around = np.full((LOCAL_ENTITIES, *ENTITY_SHAPE), UNKNOWN, np.uint8)
    for number in range(LOCAL_ENTITIES):
        if near[number]:
            x, y, z = entities[number, :3]
            at = math.floor(x) + ENTITY_LOW[0], math.floor(y + 0.1) + ENTITY_LOW[1], math.floor(z) + ENTITY_LOW[2]
            around[number] = _window(state.blocks, at, ENTITY_SHAPE)
    dug = np.full(3, -1, np.int32) if hands.target is None else np.array(hands.target, np.int32)
    return {
        "episode": np.array(row.episode, np.int32),
        "rare": np.array(row.rare),
        "last": np.array(row.last),
        "action": row.action.to_vector(),
        "body": body,
        "cells": _window(state.blocks, low, WINDOW_SHAPE),  # type: ignore[arg-type]
        "target": target,
        "normal": normal,
        "distance": np.array(distance, np.float32),
        "slot": np.array(hands.slot, np.uint8),
        "cracked": dug,
        "progress": np.array(hands.progress, np.float32),
        "swing": np.array(hands.swing, np.uint8),
        "events": state.happened.astype(np.uint8),
        "entities": entities,
        "entity_cells": around,
    }


def record_shard(
    index: int,
    seed: int,
    rows: int = SHARD_ROWS,
    laws: Laws = USUAL,
    lands: range = range(HELD_OUT_SEED),
    *,
    held_out: bool = False,
) -> dict[str, np.ndarray]:
    """The rows of shard `index` of the walks called `seed`; see `reverie.model.training.walk_data` for their shapes.

    Raises ReverieError if `lands`, the seeds of the worlds, are not all kept for evaluation, or all free for training,
    as `held_out` says.
    """
    low, high = (HELD_OUT_SEED, MAX_SEED) if held_out else (0, HELD_OUT_SEED)
    if not low <= lands.start < lands.stop <= high:
        raise ReverieError(f"walks: worlds of seeds from {HELD_OUT_SEED} up are for evaluation, and only they are")
    world = VoxelWorld(hud=False, laws=laws)
    columns: dict[str, np.ndarray] = {}
    for number, row in enumerate(play_walks(world, index, seed, lands)):
        if number == rows:
            break
        for name, value in _labels(world, row).items():
            if name not in columns:
                columns[name] = np.zeros((rows, *value.shape), value.dtype)
            columns[name][number] = value
    columns["last"][-1] = True
    return columns


def write_walks(
    folder: str | os.PathLike[str],
    shards: range,
    seed: int = 0,
    *,
    rows: int = SHARD_ROWS,
    laws: Laws = USUAL,
    held_out: bool = False,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Writes the shards that are not there yet; gives how many. Raises ReverieError for seeds that make no sense.

    Worlds are drawn from all seeds that are not held out, or with `held_out` from HELD_LANDS.
    """
    if seed < 0 or (shards and min(shards) < 0):
        raise ReverieError("walks: seeds and numbers of shards start from 0")
    Path(folder).mkdir(parents=True, exist_ok=True)
    missing = [index for index in shards if not walk_path(folder, index).exists()]
    jobs = [(os.fspath(folder), index, seed, rows, laws, held_out) for index in missing]
    if processes <= 1:
        for done, job in enumerate(jobs):
            _write(job)
            if progress is not None:
                progress(done + 1, len(jobs))
    else:
        with ProcessPoolExecutor(processes) as pool:
            for done, _ in enumerate(pool.map(_write, jobs)):
                if progress is not None:
                    progress(done + 1, len(jobs))
    return len(jobs)


def _write(job: tuple[str, int, int, int, Laws, bool]) -> None:
    folder, index, seed, rows, laws, held_out = job
    path = walk_path(folder, index)
    part = path.with_suffix(".part")
    names = json.dumps([block.name for block in BLOCKS])
    lands = HELD_LANDS if held_out else range(HELD_OUT_SEED)
    columns = record_shard(index, seed, rows, laws, lands, held_out=held_out)
    save_file(columns, part, {"names": names, "events": json.dumps(EVENTS)})
    part.replace(path)
