"""Physics probes: small scenes of held-out voxel worlds in which one law of the world shows.

Each probe has a script, its true run, and, at the ticks where it is judged, the frames that would be seen if the law
did not hold: the same exact world with the player, a block or an animal put elsewhere. The number of a probe is how
much nearer, in dB, the dream is to the truth than to that other world, in the pixels in which the two differ, averaged
over the judged ticks (`metrics.edit_gain`). Positive: the law holds. Judged ticks are chosen so that a picture that
never changes is right at one of them and wrong at another, or wrong at all.

Axes of a scene: the player looks along +z (yaw 0); +x is to the left.
Letters: n frames kept, m ticks judged, h w pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reverie.simulator.action import IDLE, Action
from reverie.simulator.errors import SceneError
from reverie.simulator.judge import metrics
from reverie.simulator.judge.truth import TrueRun, film, scripted, standing_run
from reverie.simulator.voxel import physics
from reverie.simulator.voxel.blocks import SIZE_Y
from reverie.simulator.voxel.creatures import COLUMNS, CX, CY, CYAW, CZ, GROUNDED, HEADING, KIND, TIMER, WALKING
from reverie.simulator.voxel.interact import Cell
from reverie.simulator.voxel.world import VoxelState, VoxelWorld

BIOMES = ("plains", "desert", "forest", "snow")
"""Where the arena of a seed lies, in turn."""
GROUND = {"plains": "grass", "desert": "sand", "forest": "grass", "snow": "snow"}
ARENA_LEFT, ARENA_BACK, ARENA_FRONT, ARENA_HIGH, ARENA_DEEP = 7, 3, 14, 7, 7
"""Blocks to each side, behind, ahead, above and below the player that are levelled."""
SETTLE = 5
"""Ticks in which a player who was put somewhere comes to rest."""
FORWARD, JUMP, STRAFE = Action(forward=True), Action(jump=True), Action(right=True)


@dataclass(frozen=True, slots=True, eq=False)
class ProbeRun:
    """One scene of a probe, with what would be seen if its law did not hold."""

    run: TrueRun
    """With all its frames."""
    judged: tuple[int, ...]
    """m ticks, from 1."""
    lawless: np.ndarray
    """uint8 [m, h, w, 3]."""

    def score(self, seen: np.ndarray) -> float:
        """The number of `seen`, uint8 [n, h, w, 3]: dB, positive where the law holds."""
        assert self.run.frames is not None
        rows = [tick - 1 for tick in self.judged]
        return float(metrics.edit_gain(seen[rows], self.run.frames[rows], self.lawless).mean())


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """A scene before tick 0, and what is done from there on."""

    state: VoxelState
    script: Sequence[Action]
    wait: Action = IDLE
    """What the player does in the frames that lead up to tick 0."""


Lawless = Mapping[int, Callable[[VoxelWorld, list[VoxelState]], VoxelState]]
"""By judged tick: the state seen without the law, from the true states at ticks 0 to k."""


def arena(world: VoxelWorld, seed: int) -> tuple[VoxelState, Cell]:
    """A level place in the world of a seed, and the cell of the feet of the player who stands there looking +z."""
    biome = BIOMES[seed % len(BIOMES)]
    try:
        state = world.start(biome, seed)
    except SceneError:  # not every world has every biome
        biome, state = BIOMES[0], world.start(None, seed)
    x, y, z = (math.floor(value) for value in world.pose(state)[:3])
    y = min(max(y, ARENA_DEEP + 1), SIZE_Y - ARENA_HIGH - 1)
    blocks: dict[Cell, str] = {}
    for bx in range(x - ARENA_LEFT, x + ARENA_LEFT + 1):
        for bz in range(z - ARENA_BACK, z + ARENA_FRONT + 1):
            blocks |= {(bx, by, bz): "air" for by in range(y, y + ARENA_HIGH)}
            blocks |= {(bx, by, bz): "dirt" for by in range(y - ARENA_DEEP, y - 1)}
            blocks[bx, y - 1, bz] = GROUND[biome]
    return world.set_blocks(state, blocks), (x, y, z)


def _standing(world: VoxelWorld, state: VoxelState, cell: Cell, pitch: float = 0.0, deeper: float = 0.0) -> VoxelState:
    """The player at rest in the middle of a cell, looking +z, and no animal near."""
    x, y, z = cell
    state = world.spawn(state, x + 0.5, y - deeper, z + 0.5, 0.0, pitch)
    return replace(state, creatures=state.creatures[:0], cache={})


def _box(xs: Sequence[int], ys: Sequence[int], zs: Sequence[int], name: str) -> dict[Cell, str]:
    return {(x, y, z): name for x in xs for y in ys for z in zs}


def _moved(world: VoxelWorld, state: VoxelState, x: float, y: float, z: float) -> VoxelState:
    """The same moment seen from elsewhere."""
    body = state.body.copy()
    body[[physics.X, physics.Y, physics.Z]] = x, y, z
    return replace(state, body=body, cache={})


def _as_at(tick: int) -> Callable[[VoxelWorld, list[VoxelState]], VoxelState]:
    """The view of another tick of the true run."""
    return lambda world, states: states[tick]


def wall(world: VoxelWorld, seed: int) -> tuple[Stage, Lawless]:
    """Two seconds straight into a wall of bricks. Lawless: not getting nearer; then, walking through it."""
    state, (x, y, z) = arena(world, seed)
    state = world.set_blocks(state, _box(range(x - 3, x + 4), range(y, y + 4), [z + 5], "bricks"))
    ticks, walking = 40, 10

    def beyond(world: VoxelWorld, states: list[VoxelState]) -> VoxelState:
        px, py, pz = world.pose(states[0])[:3]
        speed = world.pose(states[walking])[2] - world.pose(states[walking - 1])[2]
        return _moved(world, states[ticks], px, py, pz + ticks * speed)

    return Stage(_standing(world, state, (x, y, z)), [FORWARD] * ticks), {walking: _as_at(0), ticks: beyond}


def jump(world: VoxelWorld, seed: int) -> tuple[Stage, Lawless]:
    """One jump before a low wall. Lawless: staying down; then, staying up."""
    state, (x, y, z) = arena(world, seed)
    state = world.set_blocks(state, _box(range(x - 2, x + 3), range(y, y + 2), [z + 3], "planks"))
    top, landed = 6, 14
    script = [JUMP] + [IDLE] * (landed - 1)
    return Stage(_standing(world, state, (x, y, z)), script), {top: _as_at(0), landed: _as_at(top)}


def cliff(world: VoxelWorld, seed: int) -> tuple[Stage, Lawless]:
    """Off a ledge, five metres down. Lawless: walking on in the air."""
    state, (x, y, z) = arena(world, seed)
    pit = _box(range(x - 5, x + 6), range(y - 5, y), range(z + 3, z + ARENA_FRONT), "air")
    state = world.set_blocks(state, pit)
    walked, ticks = 20, 36

    def hovering(tick: int) -> Callable[[VoxelWorld, list[VoxelState]], VoxelState]:
        def seen(world: VoxelWorld, states: list[VoxelState]) -> VoxelState:
            px, _, pz = world.pose(states[tick])[:3]
            return _moved(world, states[tick], px, world.pose(states[0])[1], pz)

        return seen

    script = [FORWARD] * walked + [IDLE] * (ticks - walked)
    start = _standing(world, state, (x, y, z), pitch=15.0)
    return Stage(start, script), {tick: hovering(tick) for tick in (ticks - 4, ticks)}


def turn(world: VoxelWorld, seed: int) -> tuple[Stage, Lawless]:
    """A full turn. Lawless: not having turned when half round; then, not having come round."""
    state, (x, y, z) = arena(world, seed)
    marks = _box([x + 2], range(y, y + 3), [z + 5], "red_wool") | _box([x - 3], range(y, y + 3), [z - 3], "log")
    state = world.set_blocks(state, marks)
    rate, ticks = 10.0, 36
    script = [Action(camera=(0.0, rate))] * ticks
    half = ticks // 2
    return Stage(_standing(world, state, (x, y, z)), script), {half: _as_at(0), ticks: _as_at(half)}


def pillar(world: VoxelWorld, seed: int) -> tuple[Stage, Lawless]:
    """Three metres to the right, past a pillar. Lawless: the pillar comes along."""
    state, (x, y, z) = arena(world, seed)
    ticks = 15
    there = _box([x - 1], range(y, y + 4), [z + 3], "log")
    cleared = state
    state = world.set_blocks(state, there)

    def along(world: VoxelWorld, states: list[VoxelState]) -> VoxelState:
        now = states[ticks]
        shift = round(world.pose(now)[0] - world.pose(states[0])[0])
        gone = {cell: world.get_block(cleared, *cell) for cell in there}
        return world.set_blocks(now, gone | {(bx + shift, by, bz): "log" for bx, by, bz in there})

    return Stage(_standing(world, state, (x, y, z)), [STRAFE] * ticks), {ticks: along}


def swim(world: VoxelWorld, seed: int) -> tuple[Stage, Lawless]:
    """In a pool: sink for a second, then swim up. Lawless: floating; then, staying down."""
    state, (x, y, z) = arena(world, seed)
    pool = _box(range(x - 4, x + 5), range(y - 6, y), range(z - 2, z + 8), "water")
    state = world.set_blocks(state, pool)
    sunk, ticks = 25, 55
    script = [IDLE] * sunk + [JUMP] * (ticks - sunk)
    start = _standing(world, state, (x, y, z), deeper=1.0)
    return Stage(start, script, wait=JUMP), {sunk: _as_at(0), ticks: _as_at(sunk)}


def animal(world: VoxelWorld, seed: int) -> tuple[Stage, Lawless]:
    """An animal walks across the view. Lawless: it stops at tick 0."""
    state, (x, y, z) = arena(world, seed)
    ticks = 24
    start = _standing(world, state, (x, y, z), pitch=8.0)
    creatures = np.zeros((1, COLUMNS))
    one = creatures[0]
    one[[CX, CY, CZ]] = x + 4.5, y, z + 4.5
    one[[CYAW, HEADING]] = 90.0  # towards -x: to the right
    one[[KIND, TIMER, WALKING, GROUNDED]] = seed % 2, 1000.0, 1.0, 1.0

    def stopped(world: VoxelWorld, states: list[VoxelState]) -> VoxelState:
        creatures = states[ticks].creatures.copy()
        creatures[0] = states[0].creatures[0]
        return replace(states[ticks], creatures=creatures, cache={})

    return Stage(replace(start, creatures=creatures, cache={}), [IDLE] * ticks), {ticks: stopped}


PROBES: dict[str, Callable[[VoxelWorld, int], tuple[Stage, Lawless]]] = {
    "wall": wall,
    "jump": jump,
    "cliff": cliff,
    "turn": turn,
    "pillar": pillar,
    "swim": swim,
    "animal": animal,
}


def probe_run(world: VoxelWorld, name: str, seed: int, context: int) -> ProbeRun:
    """The scene of probe `name` in the world of a held-out seed, with `context` frames up to tick 0."""
    stage, lawless = PROBES[name](world, seed)
    state = stage.state
    for _ in range(SETTLE):
        state = world.step(state, stage.wait)
    start, state = film(world, state, lambda now: stage.wait, context)
    run = scripted(standing_run(f"{seed} {name}", seed, start), stage.script, range(1, len(stage.script) + 1))
    states = [state]
    for vector in run.actions:
        states.append(world.step(states[-1], Action.from_vector(vector)))
    run = replace(run, frames=np.stack([world.frame(one) for one in states[1:]]), state=state)
    frames = np.stack([world.frame(make(world, states)) for make in lawless.values()])
    return ProbeRun(run, tuple(lawless), frames)
