"""True runs of held-out voxel worlds: what a dream of the same start and actions is measured against.

A run is a start (the frames and actions up to tick 0), the actions from there on, and true frames at some ticks.
Everything follows from the seed. Letters: k ticks, n frames kept, h w pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reverie.model.actions import ACTION_DIM
from reverie.simulator.action import IDLE, Action
from reverie.simulator.clips import Clip
from reverie.simulator.errors import SceneError
from reverie.simulator.judge.metrics import changed_region
from reverie.simulator.lessons import effect_of
from reverie.simulator.players import Player, make_player
from reverie.simulator.voxel.disturb import random_edit
from reverie.simulator.voxel.world import VoxelState, VoxelWorld
from reverie.simulator.world import TICKS_PER_SECOND

HORIZON = 32
"""Ticks that a dream is followed against the truth."""
SCENES: tuple[str | None, ...] = (
    "plains", "forest", "desert", "snow", "village", "lake", "plains", "forest",
    "desert", "snow", "village", "night", "forest", None, "cave", None,
)  # fmt: skip
"""Where the world of a seed starts, in turn; None is anywhere."""
WARM_UP = (20, 160)
"""Ticks that the player has been about when a run begins."""
SETTLE = 20
"""Idle ticks until a player stands still."""
IDLE_SECONDS = 10
REVISIT_SECONDS = (1, 5, 20)
TURN_RATE, TURN_TICKS = 10.0, 18
"""Degrees a tick and ticks of turning away: half a circle."""
SWAY: tuple[float, ...] = (2.0,) * 5 + (-2.0,) * 10 + (2.0,) * 5
"""Degrees a tick of looking about for one second; they add up to nothing."""
EDIT_TICKS = 20
PAN_RATES = (0.5, 1.5)
"""Slowest and fastest turn, degrees a tick, after an edit: it moves, and stays in view."""
FEWEST_PIXELS = 24
"""An edit that the player sees less of than this, when it is judged, is not judged."""
EDIT_TRIES = 8
OPENING_STREAM, EDIT_STREAM = 0, 1


@dataclass(frozen=True, slots=True, eq=False)
class TrueRun:
    """What truly happens after a start."""

    label: str
    seed: int
    start: Clip
    """Its last frame is tick 0."""
    actions: np.ndarray
    """float32 [k, 25]: row i leads from tick i to tick i + 1."""
    ticks: tuple[int, ...]
    """Ticks, 1 to k, of the n frames that were kept."""
    frames: np.ndarray | None
    """uint8 [n, h, w, 3], None where nobody knows."""
    moving: np.ndarray
    """bool [k]: whether the player has turned or walked at any time from tick 0 to tick i + 1."""
    state: VoxelState | None = None
    """Of the voxel world at tick 0, where it is kept."""
    effect: np.ndarray | None = None
    """float32 [k, keys]: what each held key did (`reverie.simulator.lessons`), None where nobody knows."""
    layout: str = "reverie"
    """Whose recording it is, see `reverie.simulator.clips.Clip`."""

    @property
    def first(self) -> np.ndarray:
        """The frame at tick 0: uint8 [h, w, 3]."""
        return self.start.frames[-1]


@dataclass(frozen=True, slots=True, eq=False)
class EditRun:
    """A world that was edited at tick 0, seen also as it would have gone on without."""

    kind: str
    image: np.ndarray
    """uint8 [h, w, 3]: the frame right after the edit."""
    edited: TrueRun
    unedited: np.ndarray
    """uint8 [n, h, w, 3]: the frames of the same ticks without the edit."""
    start: TrueRun
    """Up to tick 0, before the edit."""


def arrive(world: VoxelWorld, seed: int) -> tuple[VoxelState, Player, str]:
    """A player on its way in the world of a seed, and the name of the scene where it started."""
    rng = np.random.default_rng([seed, OPENING_STREAM])
    scene = SCENES[seed % len(SCENES)]
    try:
        state = world.start(scene, seed)
    except SceneError:  # not every world has every scene
        scene, state = None, world.start(None, seed)
    player = make_player("mixed", int(rng.integers(2**31)))
    for _ in range(int(rng.integers(*WARM_UP))):
        state = world.step(state, player.act(world.senses(state)))
    return state, player, scene or "anywhere"


def stand_still(world: VoxelWorld, seed: int) -> tuple[VoxelState, str]:
    """The same world with the player at rest on dry ground."""
    state, _, scene = arrive(world, seed)
    if world.senses(state).in_water:
        state = world.start(None, seed)
    for _ in range(SETTLE):
        state = world.step(state, IDLE)
    return state, scene


def film(
    world: VoxelWorld, state: VoxelState, act: Callable[[VoxelState], Action], ticks: int
) -> tuple[Clip, VoxelState]:
    """`ticks` frames and the actions taken on seeing them, and the state that the last frame shows."""
    frames, actions, poses = [], [], []
    for tick in range(ticks):
        frames.append(world.frame(state))
        poses.append(world.pose(state))
        actions.append(Action.from_vector(act(state).to_vector()))  # exactly what a model is told
        if tick < ticks - 1:
            state = world.step(state, actions[-1])
    return Clip(np.stack(frames), actions, np.array(poses, np.float32)), state


def played_run(world: VoxelWorld, seed: int, context: int) -> TrueRun:
    """A scripted player's `HORIZON` ticks after `context` frames, with all their frames."""
    state, player, scene = arrive(world, seed)
    seen: list[VoxelState] = []
    effects: list[np.ndarray] = []

    def act(now: VoxelState) -> Action:
        seen.append(now)
        action = player.act(world.senses(now))
        effects.append(effect_of(world, now, action, world.step(now, action)))
        return action

    clip, _ = film(world, state, act, context + HORIZON)
    run = split(clip, context, f"{seed} {scene}", seed)
    return replace(run, state=seen[context - 1], effect=np.stack(effects[context - 1 : -1]))


def split(clip: Clip, context: int, label: str, seed: int) -> TrueRun:
    """A recording of context + k frames as the run whose tick 0 is its frame number `context` - 1."""
    actions = clip.actions[context - 1 : -1]
    vectors = np.stack([action.to_vector() for action in actions])
    start = clip.head(context)
    poses = None if clip.poses is None else clip.poses[context - 1 :]
    return TrueRun(
        label, seed, start, vectors, tuple(range(1, len(actions) + 1)), clip.frames[context:], _moving(actions, poses)
    )


def still_start(world: VoxelWorld, seed: int, context: int) -> tuple[TrueRun, VoxelState]:
    """A run of no ticks yet whose player has stood still for `context` frames, and its state at tick 0."""
    state, scene = stand_still(world, seed)
    clip, state = film(world, state, lambda now: IDLE, context)
    return replace(standing_run(f"{seed} {scene}", seed, clip), state=state), state


def standing_run(label: str, seed: int, start: Clip) -> TrueRun:
    """A run of no ticks yet after a start."""
    return TrueRun(label, seed, start, np.zeros((0, ACTION_DIM), np.float32), (), start.frames[:0], np.zeros(0, bool))


def idle_script() -> list[Action]:
    """Ten seconds of nothing."""
    return [IDLE] * (IDLE_SECONDS * TICKS_PER_SECOND)


def revisit_script(seconds: int) -> list[Action]:
    """Turn half a circle, look about there for some seconds, turn back."""
    yaws = (TURN_RATE,) * TURN_TICKS + SWAY * seconds + (-TURN_RATE,) * TURN_TICKS
    return [Action(camera=(0.0, yaw)) for yaw in yaws]


def scripted(start: TrueRun, actions: Sequence[Action], ticks: Iterable[int]) -> TrueRun:
    """What is to be done from a start on, with the truth left open."""
    vectors = np.stack([action.to_vector() for action in actions])
    return replace(start, actions=vectors, ticks=tuple(ticks), frames=None, moving=_moving(actions, None))


def watched(world: VoxelWorld, state: VoxelState, run: TrueRun) -> TrueRun:
    """The run with its true frames, played from the state at tick 0."""
    kept = {}
    for tick, vector in enumerate(run.actions, 1):
        state = world.step(state, Action.from_vector(vector))
        if tick in run.ticks:
            kept[tick] = world.frame(state)
    return replace(run, frames=np.stack([kept[tick] for tick in run.ticks]))


def edit_run(world: VoxelWorld, start: TrueRun, state: VoxelState) -> EditRun | None:
    """A random edit in view at tick 0, followed by a slow turn. None where none stays in view."""
    rng = np.random.default_rng([start.seed, EDIT_STREAM])
    for _ in range(EDIT_TRIES):
        changed, event = random_edit(world, state, rng)
        yaw = float(rng.uniform(*PAN_RATES) * rng.choice((-1, 1)))
        plan = scripted(start, [Action(camera=(0.0, yaw))] * EDIT_TICKS, (EDIT_TICKS,))
        edited, unedited = watched(world, changed, plan), watched(world, state, plan)
        assert edited.frames is not None and unedited.frames is not None
        if changed_region(edited.frames, unedited.frames).sum() >= FEWEST_PIXELS:
            return EditRun(event["kind"], world.frame(changed), replace(edited, state=changed), unedited.frames, start)
    return None


MOVED_METRES, TURNED_DEGREES = 0.05, 0.5
"""Less than this is standing still."""


def _moving(actions: Sequence[Action], poses: np.ndarray | None) -> np.ndarray:
    """bool [k]; `poses` [k + 1, 5] of the player at each tick; without them the keys tell."""
    if poses is None:
        changes = [
            any(action.camera) or any(getattr(action, key) for key in ("forward", "back", "left", "right", "jump"))
            for action in actions
        ]
        return np.logical_or.accumulate(np.array(changes, bool))
    shift = np.linalg.norm(poses[1:, :3] - poses[0, :3], axis=1)
    turn = np.abs(poses[1:, 3:] - poses[0, 3:]).max(axis=1)
    return np.logical_or.accumulate((shift > MOVED_METRES) | (turn > TURNED_DEGREES))
