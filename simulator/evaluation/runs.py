"""Held-out runs: what truly happens in voxel worlds that no model has seen, without the screen layer.

A run is a start (frames, actions, poses, depth and tokens up to tick 0), the actions from there on, and true frames at
some later ticks. Everything follows from its kind and number, so runs are kept on disk by name and made once.
Letters: c frames of the start, k ticks, n frames kept, h w pixels.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import reverie.simulator
from reverie.simulator.action import IDLE, Action
from reverie.simulator.clips import Clip
from reverie.simulator.errors import SceneError
from reverie.simulator.evaluation.sight import Door, View, in_sight, ray_lengths
from reverie.simulator.evaluation.starts import Body, TrueStart
from reverie.simulator.judge import feats
from reverie.simulator.players import make_player
from reverie.simulator.voxel import physics
from reverie.simulator.voxel.blocks import BLOCKS, SIZE_X, SIZE_Z
from reverie.simulator.voxel.render import CREATURE_ID
from reverie.simulator.voxel.world import HELD_OUT_SEED, VoxelState, VoxelWorld, _view
from reverie.simulator.world import TICKS_PER_SECOND, Senses

FIRST_SEED = HELD_OUT_SEED + 300_000
"""Seeds of runs lie from here on."""
CONTEXT = 25
"""Frames of a start."""
HORIZONS = (1, 8, 32, 100, 400)
"""Ticks at which explorers are compared."""
READ_TICKS = 32
WALL_TICKS = (8, 32, 80)
"""Ticks after which a body's place is compared on walks against walls."""
WALK_SECONDS = (1, 5, 10, 20, 90)
"""Times at which the detail of straight walks is measured."""
AROUND = 5
"""Ticks between the three frames that are looked at around such a time."""
FAR_SECONDS = (2, 16, 90)
FAR_FRAMES = 64
"""Frames on end, up to such a time, whose distribution is compared: 16 walks give 1,024."""
TURN_RATES = (0.5, 1.5, 3.0, 8.0)
"""Degrees a tick of a full turn."""
REVISIT_SECONDS = (1, 5, 20, 60)
AWAY_RATE, AWAY_TICKS = 10.0, 18
"""Degrees a tick and ticks of turning half a circle away."""
SWAY: tuple[float, ...] = (2.0,) * 5 + (-2.0,) * 10 + (2.0,) * 5
"""Degrees a tick of looking about for one second; they add up to nothing."""
IDLE_SECONDS = 10
STAY_SECONDS = (1, 20, 60)
DOOR_TURNS = (3.0, 10.0)
STEPS_BACK, COAST = 14, 10
"""Ticks of walking three metres, and of coming to rest."""
SWEEP = (1.5,) * 12 + (-1.5,) * 12
"""Degrees a tick of looking about in front of a wall, during the start."""
WALLS = ("planks", "cobblestone", "bricks", "sandstone")
WALL_AHEAD, WALL_SIDES, WALL_HEIGHT = 4, (-3, 4), 4
SEED_TURN, SEED_TICKS = 5.0, 36
"""Degrees a tick, and ticks, of turning to what was never seen; then as many back."""
SCENES: tuple[str | None, ...] = (
    "plains", "forest", "desert", "snow", "village", "lake", "plains", "forest",
    "desert", "snow", "village", "night", "forest", None, "cave", None,
)  # fmt: skip
"""Where the run of a number begins, in turn; None is anywhere."""
WARM_UP = (20, 160)
"""Ticks that a player has been about before a start."""
SETTLE = 20
TRUE_REACH = 96
"""Metres about the player within which a start from true cells knows them."""
LOOK_EVERY = 4
"""Of the true frames since the start, every so many are looked at for what was in sight."""
OPENING_STREAM, SCRIPT_STREAM = 10, 11


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What truly happens after a start."""

    kind: str
    number: int
    seed: int
    label: str
    start_frames: np.ndarray
    """uint8 [c, h, w, 3]; the last one is tick 0."""
    start_actions: np.ndarray
    """float32 [c, 25]: row i leads from frame i to the next; the last row is actions[0]."""
    start_poses: np.ndarray
    """float64 [c, 5]: x, y, z of the feet, yaw, pitch."""
    start_eyes: np.ndarray
    """float64 [c, 5]: the same of the eye."""
    start_distance: np.ndarray
    """float16 [c, h, w]: metres along each pixel's ray, infinity for the sky."""
    start_tokens: np.ndarray
    """uint8 [c, h, w]: the kind of block in each pixel, CREATURE_ID for animals."""
    actions: np.ndarray
    """float32 [k, 25]: row i leads from tick i to tick i + 1."""
    poses: np.ndarray
    """float64 [k + 1, 5], from tick 0 on."""
    ticks: tuple[int, ...]
    """Ticks, 1 to k, of the n frames that are kept."""
    frames: np.ndarray
    eyes: np.ndarray
    distance: np.ndarray
    tokens: np.ndarray
    seen: np.ndarray
    """bool [n, h, w]: pixels whose surface was in sight in a frame of the start; empty where nobody asks."""
    seen_since: np.ndarray
    """bool [n, h, w]: or in a true frame since then."""
    origin_meta: dict[str, Any]
    origin: dict[str, np.ndarray]
    """The world at the first frame of the start, packed."""
    door: Door | None = None
    task: str = ""
    success: bool = False
    """Whether the scripted task succeeded."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of frames."""
        h, w = self.start_frames.shape[1:3]
        return h, w

    @property
    def name(self) -> str:
        """Kind and number."""
        return f"{self.kind}-{self.number}"

    @property
    def first(self) -> np.ndarray:
        """The frame at tick 0: uint8 [h, w, 3]."""
        return self.start_frames[-1]

    def clip(self, poses: bool) -> Clip:
        """The start as a recording, with or without its poses."""
        actions = [Action.from_vector(row) for row in self.start_actions]
        return Clip(self.start_frames, actions, self.start_poses.astype(np.float32) if poses else None)

    def view(self, index: int) -> View:
        """What is known of kept frame number `index`, or of the start's last frame for -1."""
        if index < 0:
            return _as_view(self.start_eyes[-1], self.start_distance[-1], self.start_tokens[-1])
        return _as_view(self.eyes[index], self.distance[index], self.tokens[index])

    def index(self, tick: int) -> int:
        """Which of the kept frames is that of a tick."""
        return self.ticks.index(tick)


def _as_view(eye: np.ndarray, distance: np.ndarray, tokens: np.ndarray) -> View:
    return View(eye, distance.astype(np.float64), tokens == CREATURE_ID)


# Making


@dataclass(frozen=True, slots=True)
class _Plan:
    """A run that is about to be filmed: the world before the start, who acts, and what is kept."""

    seed: int
    label: str
    state: VoxelState
    act: Callable[[VoxelState], Action]
    ticks: tuple[int, ...]
    masks: bool = False
    door: Door | None = None
    task: str = ""
    succeeded: Callable[[VoxelState, VoxelState, np.ndarray], bool] | None = None
    length: int = 0
    """Ticks of the whole, if it goes on after the last frame that is kept."""


class _Camera:
    """Collects what is true of some ticks."""

    def __init__(self, world: VoxelWorld) -> None:
        self.world, self.lengths = world, ray_lengths(world.size)
        self.frames: list[np.ndarray] = []
        self.eyes: list[np.ndarray] = []
        self.distance: list[np.ndarray] = []
        self.tokens: list[np.ndarray] = []

    def view(self, state: VoxelState) -> View:
        return View(eye_of(state), self.world.depth(state) * self.lengths, self.world.block_ids(state) == CREATURE_ID)

    def shoot(self, state: VoxelState) -> None:
        world = self.world
        self.frames.append(world.frame(state))
        self.eyes.append(eye_of(state))
        self.distance.append((world.depth(state) * self.lengths).astype(np.float16))
        self.tokens.append(world.block_ids(state))

    def stacked(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        h, w = self.world.size
        if not self.frames:
            empty = np.zeros((0, h, w))
            return (
                np.zeros((0, h, w, 3), np.uint8),
                np.zeros((0, 5)),
                empty.astype(np.float16),
                empty.astype(np.uint8),
            )
        return np.stack(self.frames), np.stack(self.eyes), np.stack(self.distance), np.stack(self.tokens)


def eye_of(state: VoxelState) -> np.ndarray:
    """float64 [5]: x, y, z of the eye, yaw and pitch."""
    return np.array([*physics.eye(state.body), state.body[physics.YAW], state.body[physics.PITCH]])


def _film(world: VoxelWorld, kind: str, number: int, plan: _Plan) -> Run:
    state, origin = plan.state, plan.state
    opening, kept = _Camera(world), _Camera(world)
    actions, poses, start_poses = [], [], []
    total = plan.length or max(plan.ticks)
    for index in range(CONTEXT):
        opening.shoot(state)
        start_poses.append(world.pose(state))
        actions.append(Action.from_vector(plan.act(state).to_vector()))  # exactly what a model is given
        if index < CONTEXT - 1:
            state = world.step(state, actions[-1])
    first, events = state, np.zeros_like(world.events(state))
    opened = opening.stacked()
    before = [_as_view(opened[1][i], opened[2][i], opened[3][i]) for i in range(CONTEXT)] if plan.masks else []
    since: list[View] = []
    poses.append(world.pose(state))
    seen, seen_since = [], []
    for tick in range(1, total + 1):
        state = world.step(state, actions[-1])
        events = events + world.events(state)
        poses.append(world.pose(state))
        if tick in plan.ticks:
            kept.shoot(state)
            if plan.masks:
                view = kept.view(state)
                seen.append(in_sight(view, before))
                seen_since.append(seen[-1] | in_sight(view, since))
        if plan.masks and tick % LOOK_EVERY == 0:
            since.append(kept.view(state))
        if tick < total:
            actions.append(Action.from_vector(plan.act(state).to_vector()))
    vectors = np.stack([action.to_vector() for action in actions])
    frames, eyes, distance, tokens = kept.stacked()
    empty = np.zeros((0, *world.size), bool)
    meta, arrays = world.pack(origin)
    success = False if plan.succeeded is None else plan.succeeded(first, state, events)
    return Run(
        kind, number, plan.seed, plan.label, opened[0], vectors[:CONTEXT], np.stack(start_poses), *opened[1:],
        vectors[CONTEXT - 1 :], np.stack(poses), plan.ticks, frames, eyes, distance, tokens,
        np.stack(seen) if seen else empty, np.stack(seen_since) if seen_since else empty, meta, arrays, plan.door,
        plan.task, success,
    )  # fmt: skip


def _arrive(world: VoxelWorld, seed: int, number: int, player: str) -> tuple[VoxelState, Any, str]:
    """A player on its way, and the name of the scene where it set out."""
    rng = np.random.default_rng([seed, OPENING_STREAM])
    scene = SCENES[number % len(SCENES)]
    try:
        state = world.start(scene, seed)
    except SceneError:  # not every world has every scene
        scene, state = None, world.start(None, seed)
    actor = make_player(player, int(rng.integers(2**31)))
    for _ in range(int(rng.integers(*WARM_UP))):
        state = world.step(state, actor.act(world.senses(state)))
    return state, actor, scene or "anywhere"


def _at_rest(world: VoxelWorld, seed: int, number: int) -> tuple[VoxelState, str]:
    """The player standing still on dry ground."""
    state, _, scene = _arrive(world, seed, number, "explorer")
    if world.senses(state).in_water:
        state = world.start(None, seed)
    for _ in range(SETTLE):
        state = world.step(state, IDLE)
    return state, scene


def _script(world: VoxelWorld, actions: Sequence[Action]) -> Callable[[VoxelState], Action]:
    """Plays a list once, whatever the state, and idles afterwards."""
    rest = iter(actions)
    return lambda state: next(rest, IDLE)


def _turning(yaws: Sequence[float]) -> list[Action]:
    return [Action(camera=(0.0, yaw)) for yaw in yaws]


class StraightWalker:
    """Walks straight on, jumps over steps, swims, and turns aside only where neither helps or the ground falls away."""

    PATIENCE, TURN, DEEP = 12, 9, 3.5

    def __init__(self, rng: np.random.Generator) -> None:
        self._side = float(rng.choice((-1.0, 1.0)))
        self._stuck, self._turning = 0, 0

    def act(self, senses: Senses) -> Action:
        """The action of this tick."""
        if self._turning:
            self._turning -= 1
            return Action(camera=(0.0, 8.0 * self._side))
        self._stuck = self._stuck + 1 if senses.blocked else 0
        deep = senses.drop_ahead is not None and senses.drop_ahead > self.DEEP and not senses.water_ahead
        if self._stuck > self.PATIENCE or deep:
            self._stuck, self._turning = 0, self.TURN
            return IDLE
        return Action(forward=True, jump=bool(senses.blocked or senses.in_water))


def _explorer(world: VoxelWorld, seed: int, number: int) -> _Plan:
    state, player, scene = _arrive(world, seed, number, "explorer")
    return _Plan(seed, scene, state, lambda now: player.act(world.senses(now)), HORIZONS, masks=True)


def _played(world: VoxelWorld, seed: int, number: int) -> _Plan:
    state, player, scene = _arrive(world, seed, number, "mixed")
    return _Plan(
        seed, scene, state, lambda now: player.act(world.senses(now)), tuple(range(1, READ_TICKS + 1))
    )  # fmt: skip


def _walls(world: VoxelWorld, seed: int, number: int) -> _Plan:
    """Straight ahead whatever is in the way, from anywhere; in every third run an explorer walks."""
    state, player, scene = _arrive(world, seed, number, "explorer")
    explores = number % 3 == 2

    def act(now: VoxelState) -> Action:
        return player.act(world.senses(now)) if explores else Action(forward=True)

    return _Plan(seed, scene, state, act, WALL_TICKS)


def _walk(world: VoxelWorld, seed: int, number: int) -> _Plan:
    state, _, scene = _arrive(world, seed, number, "explorer")
    walker = StraightWalker(np.random.default_rng([seed, SCRIPT_STREAM]))
    level = Action(camera=(float(np.clip(6.0 - state.body[physics.PITCH], -90, 90)), 0.0))
    state = world.step(state, level)
    kept = {tick for seconds in WALK_SECONDS for tick in walk_ticks(seconds)}
    kept |= {tick for seconds in FAR_SECONDS for tick in far_ticks(seconds)}
    return _Plan(seed, scene, state, lambda now: walker.act(world.senses(now)), tuple(sorted(kept)))


def walk_ticks(seconds: int) -> tuple[int, ...]:
    """Ticks around a time that are looked at for detail."""
    middle = seconds * TICKS_PER_SECOND
    return middle - 2 * AROUND, middle - AROUND, middle


def far_ticks(seconds: int) -> tuple[int, ...]:
    """Ticks up to a time whose frames' distribution is compared; from tick 1 at the earliest."""
    end = seconds * TICKS_PER_SECOND
    return tuple(range(max(end - FAR_FRAMES + 1, 1), end + 1))


def _turn(rate: float) -> Callable[[VoxelWorld, int, int], _Plan]:
    def plan(world: VoxelWorld, seed: int, number: int) -> _Plan:
        state, scene = _at_rest(world, seed, number)
        ticks = round(360.0 / rate)
        script = [IDLE] * (CONTEXT - 1) + _turning([rate] * ticks)
        return _Plan(seed, scene, state, _script(world, script), (ticks // 4, ticks // 2, ticks * 3 // 4, ticks))

    return plan


def _revisit(seconds: int) -> Callable[[VoxelWorld, int, int], _Plan]:
    def plan(world: VoxelWorld, seed: int, number: int) -> _Plan:
        state, scene = _at_rest(world, seed, number)
        yaws = (AWAY_RATE,) * AWAY_TICKS + SWAY * seconds + (-AWAY_RATE,) * AWAY_TICKS
        script = [IDLE] * (CONTEXT - 1) + _turning(yaws)
        return _Plan(seed, scene, state, _script(world, script), (AWAY_TICKS, len(yaws)))

    return plan


def _back(world: VoxelWorld, seed: int, number: int) -> _Plan:
    state, scene = _at_rest(world, seed, number)
    ahead, behind = [Action(forward=True)] * 40, [Action(back=True)] * 40
    script = [IDLE] * (CONTEXT - 1) + ahead + [IDLE] * COAST + behind + [IDLE] * COAST
    return _Plan(seed, scene, state, _script(world, script), (40, 80 + 2 * COAST), masks=True)


def _idle(world: VoxelWorld, seed: int, number: int) -> _Plan:
    state, scene = _at_rest(world, seed, number)
    end = IDLE_SECONDS * TICKS_PER_SECOND
    return _Plan(seed, scene, state, lambda now: IDLE, tuple(range(TICKS_PER_SECOND, end + 1, TICKS_PER_SECOND)))


def _seeds(world: VoxelWorld, seed: int, number: int) -> _Plan:
    state, scene = _at_rest(world, seed, number)
    yaws = (SEED_TURN,) * SEED_TICKS + (-SEED_TURN,) * SEED_TICKS
    script = [IDLE] * (CONTEXT - 1) + _turning(yaws)
    return _Plan(seed, scene, state, _script(world, script), (SEED_TICKS, 2 * SEED_TICKS), masks=True)


def _door(kind: str) -> Callable[[VoxelWorld, int, int], _Plan]:
    """In front of a wall: after the start, a script of the kind `stay`, `turn3`, `turn10` or `walk`."""
    if kind == "stay":
        script: list[Action] = []
        ticks: tuple[int, ...] = tuple(seconds * TICKS_PER_SECOND for seconds in STAY_SECONDS)
    elif kind == "walk":
        script = [Action(back=True)] * STEPS_BACK + [IDLE] * COAST + [Action(forward=True)] * STEPS_BACK
        script += [IDLE] * COAST
        ticks = (STEPS_BACK + COAST, len(script))
    else:
        rate = float(kind.removeprefix("turn"))
        half = round(180.0 / rate)
        script = _turning([rate] * half + [-rate] * half)
        ticks = (len(script),)

    def plan(world: VoxelWorld, seed: int, number: int) -> _Plan:
        rng = np.random.default_rng([seed, SCRIPT_STREAM])
        material = WALLS[number % len(WALLS)]
        wall = {(WALL_AHEAD, side, up): material for side in range(*WALL_SIDES) for up in range(WALL_HEIGHT)}
        scene = feats.Feat("door", 5.0, wall, lambda good, rng: [], lambda end: True)
        state, origin, heading = feats.clearing(world, seed, scene, rng)
        middle = np.array(feats._cell(origin, heading, (WALL_AHEAD, 0, 0)), float) + (0.5, 0.0, 0.5)
        foot = middle - 0.5 * np.array(heading)
        door = Door(_triple(foot), _triple((-heading[2], 0, heading[0])), _triple([-value for value in heading]))
        return _Plan(seed, kind, state, _script(world, _turning(SWEEP) + script), ticks, door=door)

    return plan


def _triple(values: Any) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _task(world: VoxelWorld, seed: int, number: int) -> _Plan:
    """Scripted task number % 16, or, by turns, a look-alike of it that fails."""
    index, round_ = number % len(feats.FEATS), number // len(feats.FEATS)
    task, good = feats.FEATS[index], (index + round_) % 2 == 0
    seed = FIRST_SEED + SEEDS["task"] + round_
    rng = np.random.default_rng([seed, feats.STREAM, index])
    state, origin, heading = feats.clearing(world, seed, task, rng)
    script = task.script(good, rng)

    def succeeded(first: VoxelState, last: VoxelState, events: np.ndarray) -> bool:
        return task_ended(world, task, first, last, origin, heading, events, last.hands.slot)

    return _Plan(
        seed, f"{task.name} {'done' if good else 'not done'}", state,
        _script(world, [IDLE] * (CONTEXT - 1) + script), feats.LOOKS[1:], task=task.name, succeeded=succeeded,
    )  # fmt: skip


def task_ended(
    world: Any, task: feats.Feat, first: Any, last: Any, origin: feats.Place, heading: feats.Place,
    events: np.ndarray, slot: int,
) -> bool:  # fmt: skip
    """Whether a scripted task succeeded between two states of a world that knows places (`starts.KnowsPlace`)."""
    start, end = np.asarray(world.pose(first), np.float64), np.asarray(world.pose(last), np.float64)
    moved = end[:3] - start[:3]
    x, y, z = (math.floor(value) for value in (end[0], end[1] + EYE, end[2]))
    return task.succeeded(
        feats.Ended(
            ahead=float(moved[0] * heading[0] + moved[2] * heading[2]),
            right=float(moved[2] * heading[0] - moved[0] * heading[2]),
            up=float(moved[1]),
            turned=float(end[3] - start[3]),
            slot=slot,
            submerged=world.get_block(last, x, y, z) == "water",
            events=events,
            block=lambda place: world.get_block(last, *feats._cell(origin, heading, place)),
        )
    )


EYE = 1.62
"""Metres of the eye over the feet."""

KINDS: dict[str, Callable[[VoxelWorld, int, int], _Plan]] = {
    "explorer": _explorer,
    "played": _played,
    "walk": _walk,
    "walls": _walls,
    **{f"turn{rate:g}": _turn(rate) for rate in TURN_RATES},
    **{f"revisit{seconds}": _revisit(seconds) for seconds in REVISIT_SECONDS},
    "back": _back,
    "idle": _idle,
    "seeds": _seeds,
    "door-stay": _door("stay"),
    **{f"door-turn{rate:g}": _door(f"turn{rate:g}") for rate in DOOR_TURNS},
    "door-walk": _door("walk"),
    "task": _task,
}
SEEDS: dict[str, int] = {
    "explorer": 0, "played": 1_000, "walk": 2_000, "turn": 3_000, "revisit": 3_000, "back": 4_000, "idle": 3_000,
    "seeds": 5_000, "door": 6_000, "task": 7_000, "walls": 8_000,
}  # fmt: skip
"""The first seed of each kind, over FIRST_SEED; turns, revisits and idling share their worlds."""
ELSEWHERE = 500
"""Numbers of walks from here on are in other worlds: what distances are measured in."""


def seed_of(kind: str, number: int) -> int:
    """The seed of a run."""
    family = max((name for name in SEEDS if kind.startswith(name)), key=len)
    return FIRST_SEED + SEEDS[family] + number


def make_run(kind: str, number: int, size: tuple[int, int]) -> Run:
    """The run of a kind and number. Raises KeyError for an unknown kind."""
    world = VoxelWorld(size, hud=False)
    return _film(world, kind, number, KINDS[kind](world, seed_of(kind, number), number))


# Starts


def state_at_start(world: VoxelWorld, run: Run, frames: list[np.ndarray] | None = None) -> VoxelState:
    """The true state at tick 0. With `frames`, those that `world` shows on the way are added to it."""
    state = world.unpack(run.origin_meta, dict(run.origin))
    for row in run.start_actions[:-1]:
        if frames is not None:
            frames.append(world.frame(state))
        state = world.step(state, Action.from_vector(row))
    if frames is not None:
        frames.append(world.frame(state))
    return state


def true_start(run: Run, reach: int = TRUE_REACH) -> TrueStart:
    """What the column *from true cells* gives to a world."""
    world = VoxelWorld(run.size, hud=False)
    state = state_at_start(world, run)
    body = state.body
    low = (math.floor(body[physics.X]) - reach, 0, math.floor(body[physics.Z]) - reach)
    across, along = (
        np.arange(corner, corner + 2 * reach) % side for corner, side in ((low[0], SIZE_X), (low[2], SIZE_Z))
    )
    return TrueStart(
        low=low,
        tokens=np.ascontiguousarray(state.blocks[across][:, :, along]),
        names=tuple(block.name for block in BLOCKS),
        body=Body(
            _triple(body[:3]), _triple(body[physics.VX : physics.VZ + 1]), float(body[physics.YAW]),
            float(body[physics.PITCH]), float(body[physics.EYE]), bool(body[physics.ON_GROUND]),
            bool(body[physics.IN_WATER]),
        ),
        slot=state.hands.slot,
        entities=_unwrapped(_view(state).creatures.astype(np.float64), body),
        hour=state.day_time,
        clip=run.clip(poses=True),
    )  # fmt: skip


def _unwrapped(entities: np.ndarray, body: np.ndarray) -> np.ndarray:
    """Entities at the copy of their place on the torus that is nearest to the body."""
    out = entities.copy()
    for column, at, side in ((0, physics.X, SIZE_X), (2, physics.Z, SIZE_Z)):
        out[:, column] += np.rint((body[at] - out[:, column]) / side) * side
    return out


# Keeping


@lru_cache(maxsize=1)
def code_version() -> str:
    """A digest of the code that true runs follow from."""
    root = Path(reverie.simulator.__path__[0])
    own = [root / "evaluation" / name for name in ("runs.py", "sight.py")]
    acting = [root / name for name in ("players.py", "behaviours.py", "mind.py", "action.py", "judge/feats.py")]
    digest = hashlib.sha256()
    for path in sorted([*own, *acting, *(root / "voxel").glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


class RunStore:
    """Runs of frames of one size, made when they are first asked for, and kept in a folder."""

    def __init__(self, folder: str | os.PathLike[str], size: tuple[int, int]) -> None:
        self.size = size
        self._folder = Path(folder) / f"{size[1]}x{size[0]}-{code_version()}"
        self._starts: dict[str, TrueStart] = {}

    def get(self, kind: str, number: int) -> Run:
        """The run of a kind and number."""
        path = self._folder / f"{kind}-{number}.npz"
        if path.is_file():
            try:
                return _read(path)
            except (OSError, ValueError, KeyError):
                path.unlink(missing_ok=True)  # a damaged file is made anew
        run = make_run(kind, number, self.size)
        self._folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as file:
            np.savez_compressed(file, **_arrays(run))
        part.replace(path)
        return run

    def true_start(self, run: Run) -> TrueStart:
        """`true_start` of a run; the last one is remembered."""
        if run.name not in self._starts:
            self._starts = {run.name: true_start(run)}
        return self._starts[run.name]


_ARRAYS = (
    "start_frames", "start_actions", "start_poses", "start_eyes", "start_distance", "start_tokens", "actions", "poses",
    "frames", "eyes", "distance", "tokens", "seen", "seen_since",
)  # fmt: skip


def _arrays(run: Run) -> dict[str, Any]:
    door = None if run.door is None else [run.door.foot, run.door.right, run.door.out]
    meta = {
        "kind": run.kind, "number": run.number, "seed": run.seed, "label": run.label, "ticks": list(run.ticks),
        "origin": run.origin_meta, "door": door, "task": run.task, "success": bool(run.success),
    }  # fmt: skip
    arrays = {name: getattr(run, name) for name in _ARRAYS}
    arrays |= {f"origin_{name}": array for name, array in run.origin.items()}
    return arrays | {"meta": np.array(json.dumps(meta))}


def _read(path: Path) -> Run:
    with np.load(path, allow_pickle=False) as file:
        meta = json.loads(str(file["meta"]))
        arrays = {name: file[name] for name in _ARRAYS}
        origin = {name.removeprefix("origin_"): file[name] for name in file.files if name.startswith("origin_")}
    door = None if meta["door"] is None else Door(*(_triple(part) for part in meta["door"]))
    return Run(
        kind=meta["kind"], number=meta["number"], seed=meta["seed"], label=meta["label"], ticks=tuple(meta["ticks"]),
        origin_meta=meta["origin"], origin=origin, door=door, task=meta["task"], success=meta["success"], **arrays,
    )  # fmt: skip
