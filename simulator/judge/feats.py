"""Sixteen scripted feats in the voxel world, each with look-alikes that fail, and how they end.

A feat is played in a clearing that is built for it in a natural place: some blocks, and a script of `TICKS` actions.
In a look-alike the one thing that matters is left out. Whether it succeeded is read off the true world's state. The
same actions are then played in a dream of the same start, and a reader (`model/readers.py`) says from the frames at
`LOOKS` how it ended; `tasks_16` is the share of runs that ended as in the true world.

Places are (ahead, right, up) in blocks from the player's feet, who looks ahead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.simulator.action import IDLE, Action
from reverie.simulator.errors import SceneError
from reverie.simulator.judge.truth import TrueRun, film
from reverie.simulator.voxel import physics
from reverie.simulator.voxel.interact import eye_in_water
from reverie.simulator.voxel.world import VoxelState, VoxelWorld

TICKS = 48
LOOKS = (0, 24, 40, 48)
"""Ticks whose frames the reader sees."""
SCENES = ("plains", "forest", "desert", "snow")
CLEARING_AHEAD, CLEARING_SIDE, CLEARING_UP, CLEARING_DOWN = (-7, 14), (-3, 4), (0, 6), (-7, 0)
"""The space around the player that is made even: first and one past the last block."""
UNDERGROUND = {"grass": "dirt", "snow": "dirt", "sand": "sand"}
EVEN_TURN = 10.0
CLOSED = 5.0
"""Degrees within which a turn counts as having come back."""
NEAR_WALL = 0.4
STREAM = 5

Place = tuple[int, int, int]
Script = list[Action]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended, in the directions of its start: metres ahead, right and up, degrees turned."""

    ahead: float
    right: float
    up: float
    turned: float
    slot: int
    submerged: bool
    events: np.ndarray
    """float32 [e]: summed over the run, see `reverie.simulator.world.EVENTS`."""
    block: Callable[[Place], str]
    """The block that is now at a place."""


@dataclass(frozen=True, slots=True)
class Feat:
    """One of the sixteen. `script` is given whether to succeed, and a generator for what does not matter."""

    name: str
    pitch: float
    """Degrees down at the start."""
    blocks: dict[Place, str]
    script: Callable[[bool, np.random.Generator], Script]
    succeeded: Callable[[Ended], bool]


def hold(ticks: int, **keys: Any) -> Script:
    """The same keys for some ticks."""
    return [Action(**keys)] * ticks


def turn(pitch: float, yaw: float, ticks: int) -> Script:
    """An even turn by so many degrees."""
    return [Action(camera=(pitch / ticks, yaw / ticks))] * ticks


def full(script: Script) -> Script:
    """Idle to the end."""
    return script + [IDLE] * (TICKS - len(script))


def _box(ahead: tuple[int, int], right: tuple[int, int], up: tuple[int, int], name: str) -> dict[Place, str]:
    """A box of one kind of block, bounds as in `range`."""
    return {(a, r, u): name for a in range(*ahead) for r in range(*right) for u in range(*up)}


def _few(rng: np.random.Generator) -> int:
    """Ticks of digging that are not enough."""
    return int(rng.integers(0, 5))


def _tree() -> dict[Place, str]:
    return _box((1, 4), (-1, 2), (4, 6), "leaves") | _box((2, 3), (0, 1), (0, 5), "log")


def _chop(good: bool, rng: np.random.Generator) -> Script:
    return full(hold(21 if good else _few(rng), attack=True))


def _dig(good: bool, rng: np.random.Generator) -> Script:
    return full(hold(13 if good else _few(rng), attack=True))


def _place(good: bool, rng: np.random.Generator) -> Script:
    return full(hold(1, hotbar=int(rng.integers(1, 7))) + hold(4) + hold(1, use=good))


def _pillar(good: bool, rng: np.random.Generator) -> Script:
    return full(turn(14.0, 0.0, 4) + hold(34, jump=True, use=good))


def _dig_down(good: bool, rng: np.random.Generator) -> Script:
    return full(turn(14.0, 0.0, 4) + hold(38 if good else _few(rng), attack=True))


def _tunnel(good: bool, rng: np.random.Generator) -> Script:
    return full(hold(11, attack=good) + turn(34.0, 0.0, 5) + hold(17, attack=good) + hold(15, forward=True))


def _bridge(good: bool, rng: np.random.Generator) -> Script:
    return hold(TICKS, back=True, sneak=True, use=good)


def _swim(good: bool, rng: np.random.Generator) -> Script:
    return hold(10, forward=True) + hold(TICKS - 10, jump=good)


def _climb(good: bool, rng: np.random.Generator) -> Script:
    return full(hold(34, forward=True, jump=good))


def _leap(good: bool, rng: np.random.Generator) -> Script:
    return full(hold(8, forward=True, sprint=True) + hold(3, forward=True, sprint=True, jump=good)
                + hold(12, forward=True, sprint=True))  # fmt: skip


def _circle(good: bool, rng: np.random.Generator) -> Script:
    side = float(rng.choice((-EVEN_TURN, EVEN_TURN)))
    return full(hold(36 if good else int(rng.integers(18, 31)), camera=(0.0, side)))


def _return(good: bool, rng: np.random.Generator) -> Script:
    side, ticks = float(rng.choice((-EVEN_TURN, EVEN_TURN))), int(rng.integers(7, 17))
    back = ticks if good else int(rng.integers(0, ticks - 4))
    return full(hold(ticks, camera=(0.0, side)) + hold(6) + hold(back, camera=(0.0, -side)))


def _wall(good: bool, rng: np.random.Generator) -> Script:
    return full(hold(26 if good else int(rng.integers(2, 8)), forward=True))


def _descend(good: bool, rng: np.random.Generator) -> Script:
    return full(hold(30, forward=True)) if good else hold(TICKS, forward=True, sneak=True)  # sneaking stops at edges


def _select(good: bool, rng: np.random.Generator) -> Script:
    slot = int(rng.integers(2, 10))
    return full(hold(int(rng.integers(4, 20))) + hold(1, hotbar=slot if good else 0))


def _reach(good: bool, rng: np.random.Generator) -> Script:
    return full(hold(36 if good else int(rng.integers(4, 16)), forward=True, sprint=True))


SIDES = (-3, 4)
FEATS: tuple[Feat, ...] = (
    Feat("chop", 8.0, _tree(), _chop, lambda end: end.block((2, 0, 1)) == "air"),
    Feat("dig", 45.0, {}, _dig, lambda end: end.block((2, 0, -1)) == "air"),
    Feat("place", 40.0, {}, _place, lambda end: end.block((2, 0, 0)) != "air"),
    Feat("pillar", 70.0, {}, _pillar, lambda end: end.up > 1.5),
    Feat("dig_down", 70.0, {}, _dig_down, lambda end: end.up < -0.9),
    Feat("tunnel", 4.0, _box((2, 6), SIDES, (0, 5), "dirt"), _tunnel, lambda end: end.ahead > 1.5),
    Feat("bridge", 80.0, _box((-7, 0), SIDES, (-6, 0), "air"), _bridge, lambda end: end.ahead < -1.2),
    Feat("swim", 12.0, _box((1, 9), SIDES, (-5, 0), "water"), _swim, lambda end: not end.submerged),
    Feat("climb", 10.0, _box((2, 14), SIDES, (0, 1), "cobblestone") | _box((4, 14), SIDES, (1, 2), "cobblestone"),
         _climb, lambda end: end.up > 0.9),
    Feat("leap", 15.0, _box((2, 5), SIDES, (-5, 0), "air"), _leap, lambda end: end.up > -0.5 and end.ahead > 4.0),
    Feat("circle", 5.0, {(4, 1, 0): "pumpkin", (4, 1, 1): "bricks"}, _circle,
         lambda end: abs(abs(end.turned) - 360.0) < CLOSED),
    Feat("return", 5.0, {(4, -1, 0): "red_wool", (4, -1, 1): "planks"}, _return, lambda end: abs(end.turned) < CLOSED),
    Feat("wall", 6.0, _box((4, 7), SIDES, (0, 4), "bricks"), _wall, lambda end: end.ahead > 3.5 - NEAR_WALL),
    Feat("descend", 20.0, _box((2, 14), SIDES, (-3, 0), "air"), _descend, lambda end: end.up < -1.5),
    Feat("select", 5.0, {}, _select, lambda end: end.slot != 0),
    Feat("reach", 6.0, _box((12, 13), (-1, 2), (0, 4), "planks"), _reach, lambda end: end.ahead > 7.0),
)  # fmt: skip
NAMES: tuple[str, ...] = tuple(feat.name for feat in FEATS)


@dataclass(frozen=True, slots=True, eq=False)
class FeatRun:
    """A run of a feat, as it truly went."""

    feat: str
    run: TrueRun
    """With the true frames at `LOOKS` after tick 0."""
    success: bool

    @property
    def seen(self) -> np.ndarray:
        """uint8 [len(LOOKS), h, w, 3]: what the reader is shown of the truth."""
        assert self.run.frames is not None
        return np.concatenate((self.run.first[None], self.run.frames))


def _cell(origin: Place, heading: Place, place: Place) -> Place:
    """World coordinates of a place; `heading` is the unit step ahead."""
    ahead, right, up = place
    return (
        origin[0] + heading[0] * ahead - heading[2] * right,
        origin[1] + up,
        origin[2] + heading[2] * ahead + heading[0] * right,
    )


def clearing(world: VoxelWorld, seed: int, feat: Feat, rng: np.random.Generator) -> tuple[VoxelState, Place, Place]:
    """A player at rest before a feat, and the cell of its feet and its heading."""
    try:
        state = world.start(SCENES[seed % len(SCENES)], seed)
    except SceneError:  # not every world has every scene
        state = world.start(None, seed)
    x, y, z = (math.floor(value) for value in world.pose(state)[:3])
    quarter = int(rng.integers(4))
    heading = ((0, 0, 1), (-1, 0, 0), (0, 0, -1), (1, 0, 0))[quarter]
    ground = world.get_block(state, x, y - 1, z)
    ground = ground if ground in UNDERGROUND else "grass"
    blocks = _box(CLEARING_AHEAD, CLEARING_SIDE, CLEARING_UP, "air")
    blocks |= _box(CLEARING_AHEAD, CLEARING_SIDE, CLEARING_DOWN, UNDERGROUND[ground])
    blocks |= _box(CLEARING_AHEAD, CLEARING_SIDE, (-1, 0), ground)
    blocks |= feat.blocks
    origin = (x, y, z)
    cells = {_cell(origin, heading, place): name for place, name in blocks.items()}
    state = world.set_blocks(state, {cell: name for cell, name in cells.items() if cell[1] > 0})
    state = world.spawn(state, x + 0.5, float(y), z + 0.5, 90.0 * quarter, feat.pitch)
    return state, origin, heading


def play_feat(world: VoxelWorld, seed: int, feat: Feat, good: bool, context: int, states: bool = False) -> FeatRun:
    """A feat in the world of a seed, or its look-alike, with `context` idle frames before tick 0, and its state there
    if wanted.
    """
    rng = np.random.default_rng([seed, STREAM, NAMES.index(feat.name)])
    state, origin, heading = clearing(world, seed, feat, rng)
    start, state = film(world, state, lambda now: IDLE, context)
    script = feat.script(good, rng)
    first, frames, events = state, [], np.zeros_like(world.events(state))
    for tick, action in enumerate(script, 1):
        state = world.step(state, action)
        events = events + world.events(state)
        if tick in LOOKS:
            frames.append(world.frame(state))
    moved = state.body[[physics.X, physics.Y, physics.Z]] - first.body[[physics.X, physics.Y, physics.Z]]
    now = state
    ended = Ended(
        ahead=float(moved[0] * heading[0] + moved[2] * heading[2]),
        right=float(moved[2] * heading[0] - moved[0] * heading[2]),
        up=float(moved[1]),
        turned=float(state.body[physics.YAW] - first.body[physics.YAW]),
        slot=state.hands.slot,
        submerged=eye_in_water(state.blocks, state.body),
        events=events,
        block=lambda place: world.get_block(now, *_cell(origin, heading, place)),
    )
    vectors = np.stack([action.to_vector() for action in script])
    run = TrueRun(
        f"{feat.name} {'done' if good else 'not done'}", seed, start, vectors, LOOKS[1:], np.stack(frames),
        np.ones(len(vectors), bool), first if states else None,
    )  # fmt: skip
    return FeatRun(feat.name, run, feat.succeeded(ended))


def feat_runs(
    world: VoxelWorld, seed: int, each: int, context: int, tell: Callable[[int], Any], states: bool = False
) -> list[FeatRun]:
    """`each` runs of every feat, by turns the feat and a look-alike, in the worlds from `seed` up."""
    runs = []
    for number in range(each):
        for index, feat in enumerate(FEATS):
            runs.append(play_feat(world, seed + number, feat, (number + index) % 2 == 0, context, states))
            tell(1)
    return runs


def record_feats(file: Path, seeds: Sequence[int], size: tuple[int, int], tell: Callable[[int], Any]) -> int:
    """Writes feats and look-alikes in the worlds of `seeds` for the reader's training; returns how many."""
    world = VoxelWorld(size)
    frames, feats, success = [], [], []
    for seed in seeds:
        for index, feat in enumerate(FEATS):
            for good in (True, False):
                run = play_feat(world, seed, feat, good, 1)
                frames.append(run.seen)
                feats.append(index)
                success.append(run.success)
                tell(1)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as target:
        np.savez(
            target, frames=np.stack(frames), feat=np.array(feats), success=np.array(success), names=np.array(NAMES)
        )
    return len(frames)
