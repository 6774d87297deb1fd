"""Worlds to measure the evaluation itself by: the truth, the truth corrupted, and the first edition of the dream."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from reverie.model.actions import ACTION_INDEX
from reverie.simulator.action import Action
from reverie.simulator.clips import Clip
from reverie.simulator.errors import SaveError, SceneError
from reverie.simulator.evaluation.runs import Run, eye_of, state_at_start
from reverie.simulator.evaluation.sight import View, paint_door, ray_lengths
from reverie.simulator.voxel import physics
from reverie.simulator.voxel.blocks import SIZE_X, SIZE_Z
from reverie.simulator.voxel.hud import SLOTS, draw_hud
from reverie.simulator.voxel.interact import HOTBAR_IDS, SWING_TICKS
from reverie.simulator.voxel.render import CREATURE_ID
from reverie.simulator.voxel.terrain import column_heights
from reverie.simulator.voxel.world import VoxelState, VoxelWorld
from reverie.simulator.world import Senses

NOISE = 25.0
"""Standard deviation, of 255."""
BLUR = 4
"""Side in pixels of the squares that are averaged."""
HAZE, HAZE_TICKS = 0.6, 20
"""Share of the mean colour that every pixel takes on, and ticks until it does."""
DRIFT = 0.1
"""Of 255, that the picture brightens by every tick."""
SWAPPED = (("forward", "left"), ("back", "right"), ("jump", "sneak"), ("cameraX", "cameraY"), ("attack", "use"))
LOST_EVERY, LOST_ANGLE, LOST_NEAR, LOST_FAR = 4, 65.0, 1.5, 40.0
"""Ticks between losses, degrees off the line of sight beyond which cells are lost, and metres from and to."""


@dataclass(frozen=True, slots=True, eq=False)
class TrueState:
    """A true world that a run goes on in."""

    voxels: VoxelState
    run: Run
    tick: int
    seed: int
    painted: bool = False


class TrueWorld:
    """The truth as a world to be measured: it is started from runs, and obeys as the voxel world does."""

    corruption = ""

    def __init__(self, size: tuple[int, int]) -> None:
        self._world = VoxelWorld(size, hud=False)
        self.size = size
        self._lengths = ray_lengths(size)

    def start_run(self, run: Run, seed: int) -> TrueState:
        """The state at tick 0."""
        return TrueState(state_at_start(self._world, run), run, 0, seed)

    def start(self, scene: Any = None, seed: int = 0) -> TrueState:
        """Raises SceneError: the truth about a picture is not known."""
        raise SceneError("the truth starts from runs, not from pictures or clips")

    def step(self, state: TrueState, action: Action) -> TrueState:
        """The state one tick later."""
        voxels = self._world.step(state.voxels, self.obeyed(action))
        return replace(state, voxels=self.lasting(voxels, state.tick + 1), tick=state.tick + 1)

    def frame(self, state: TrueState) -> np.ndarray:
        """What is shown: uint8 [h, w, 3]."""
        frame = self._world.frame(state.voxels)
        if state.painted and state.run.door is not None:
            frame, _ = paint_door(frame, self._view(state.voxels), state.run.door)
        return self.shown(frame, state)

    def edit(self, state: TrueState, image: np.ndarray, mask: np.ndarray | None, strength: float) -> TrueState:
        """The world with the run's door painted on its wall, whatever the image."""
        return replace(state, painted=True)

    def tick(self, state: TrueState) -> int:
        """Ticks since the start."""
        return state.tick

    def senses(self, state: TrueState) -> Senses:
        """What a scripted player may know."""
        return self._world.senses(state.voxels)

    def events(self, state: TrueState) -> np.ndarray:
        """Counts of the last tick."""
        return self._world.events(state.voxels)

    def pose(self, state: TrueState) -> np.ndarray:
        """float64 [5]: feet, yaw, pitch."""
        return self._world.pose(state.voxels)

    def get_block(self, state: TrueState, x: int, y: int, z: int) -> str:
        """The name of a block."""
        return self._world.get_block(state.voxels, x, y, z)

    def slot(self, state: TrueState) -> int:
        """Selected hotbar slot."""
        return state.voxels.hands.slot

    def describe(self) -> dict[str, Any]:
        """JSON."""
        return {"world": "truth", "corruption": self.corruption, "size": list(self.size)}

    def pack(self, state: TrueState) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Raises SaveError: runs are not saved in saves."""
        raise SaveError("the truth of a run is kept by its run, not in a save")

    def unpack(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> TrueState:
        """Raises SaveError, as `pack`."""
        raise SaveError("the truth of a run is kept by its run, not in a save")

    # What corruptions change.

    def obeyed(self, action: Action) -> Action:
        """The action that is carried out."""
        return action

    def lasting(self, voxels: VoxelState, tick: int) -> VoxelState:
        """The world as it is remembered."""
        return voxels

    def shown(self, frame: np.ndarray, state: TrueState) -> np.ndarray:
        """What is shown of a true frame."""
        return frame

    def _view(self, voxels: VoxelState) -> View:
        depth, ids = self._world.depth(voxels), self._world.block_ids(voxels)
        return View(eye_of(voxels), depth * self._lengths, ids == CREATURE_ID)


class Frozen(TrueWorld):
    """Nothing ever happens."""

    corruption = "frozen"

    def step(self, state: TrueState, action: Action) -> TrueState:
        """The same state, a tick later."""
        return replace(state, tick=state.tick + 1)


class Blurred(TrueWorld):
    """Fine detail is averaged away."""

    corruption = "blurred"

    def shown(self, frame: np.ndarray, state: TrueState) -> np.ndarray:
        """Squares of one colour, after tick 0."""
        if not state.tick:
            return frame
        h, w, _ = frame.shape
        mean = frame.reshape(h // BLUR, BLUR, w // BLUR, BLUR, 3).mean((1, 3))
        return np.repeat(np.repeat(mean, BLUR, 0), BLUR, 1).astype(np.uint8)


class Noisy(TrueWorld):
    """Every pixel is off at random, another way in every tick and for every seed."""

    corruption = "noisy"

    def shown(self, frame: np.ndarray, state: TrueState) -> np.ndarray:
        """With Gaussian noise after tick 0."""
        if not state.tick:
            return frame
        noise = np.random.default_rng([state.seed, state.tick]).normal(0.0, NOISE, frame.shape)
        return np.clip(frame + noise, 0, 255).astype(np.uint8)


class Shuffled(TrueWorld):
    """Each key does another one's work, and so does the mouse."""

    corruption = "shuffled"

    def obeyed(self, action: Action) -> Action:
        """Swapped in pairs."""
        vector = action.to_vector()
        swapped = vector.copy()
        for one, two in SWAPPED:
            i, j = ACTION_INDEX[one], ACTION_INDEX[two]
            swapped[[i, j]] = vector[[j, i]]
        return Action.from_vector(swapped)


class Hazy(TrueWorld):
    """The picture fades into its mean colour."""

    corruption = "hazy"

    def shown(self, frame: np.ndarray, state: TrueState) -> np.ndarray:
        """Nearer to the mean colour, in the course of a second."""
        share = HAZE * min(state.tick / HAZE_TICKS, 1.0)
        mean = frame.mean((0, 1))
        return np.rint(frame * (1 - share) + mean * share).astype(np.uint8)


class Drifting(TrueWorld):
    """The picture brightens slowly, whatever is done."""

    corruption = "drifting"

    def shown(self, frame: np.ndarray, state: TrueState) -> np.ndarray:
        """Brighter."""
        return np.clip(np.rint(frame + DRIFT * state.tick), 0, 255).astype(np.uint8)


class Emptied(TrueWorld):
    """What leaves the picture is lost: its cells become air."""

    corruption = "emptied"

    def lasting(self, voxels: VoxelState, tick: int) -> VoxelState:
        """Without the columns beside and behind the player."""
        if tick % LOST_EVERY:
            return voxels
        x, z = float(voxels.body[physics.X]), float(voxels.body[physics.Z])
        across = (np.arange(SIZE_X)[:, None] + 0.5 - x + SIZE_X / 2) % SIZE_X - SIZE_X / 2
        along = (np.arange(SIZE_Z)[None, :] + 0.5 - z + SIZE_Z / 2) % SIZE_Z - SIZE_Z / 2
        away = np.hypot(across, along)
        yaw = math.radians(float(voxels.body[physics.YAW]))
        ahead = -math.sin(yaw) * across + math.cos(yaw) * along
        lost = (away > LOST_NEAR) & (away < LOST_FAR) & (ahead < away * math.cos(math.radians(LOST_ANGLE)))
        blocks = voxels.blocks.copy()
        blocks.transpose(0, 2, 1)[lost] = 0
        blocks.flags.writeable = False
        heights = column_heights(blocks)
        heights.flags.writeable = False
        return replace(voxels, blocks=blocks, heights=heights, cache={})


class Unpainted(TrueWorld):
    """Edits are gone after a second."""

    corruption = "unpainted"

    def step(self, state: TrueState, action: Action) -> TrueState:
        """Without the door, in the end."""
        return replace(super().step(state, action), painted=state.painted and state.tick < 10)


CORRUPTIONS: dict[str, type[TrueWorld]] = {
    kind.corruption: kind for kind in (Frozen, Blurred, Noisy, Shuffled, Hazy, Drifting, Emptied, Unpainted)
}


@lru_cache(maxsize=4)
def known_hud_mask(size: tuple[int, int]) -> np.ndarray:
    """bool [h, w]: pixels that the voxel world's screen layer ever draws on: hotbar, hand in its swing, crosshair."""
    drawn = np.zeros(size, bool)
    for ground in (0, 255):
        for slot in range(SLOTS):
            for swing in range(SWING_TICKS):
                frame = np.full((*size, 3), ground, np.uint8)
                draw_hud(frame, slot, HOTBAR_IDS, swing / SWING_TICKS, (1.0, 1.0, 1.0))
                drawn |= (frame != ground).any(-1)
    return drawn


class WithScreenLayer:
    """A dream that was trained with the screen layer in its pictures, as the first edition was.

    It starts from the same frames with their screen layer drawn, and the pixels of it are left out of every figure
    (`hud_mask`). What it lacks of the protocol it lacks here too.
    """

    def __init__(self, world: Any, poses: bool = True) -> None:
        self._world, self._poses = world, poses
        self.size: tuple[int, int] = world.size
        self.step, self.frame, self.edit, self.tick = world.step, world.frame, world.edit, world.tick
        self.hud_mask = known_hud_mask(self.size)

    def start_run(self, run: Run, seed: int) -> Any:
        """The state at tick 0, from the frames of the start drawn anew."""
        frames: list[np.ndarray] = []
        state_at_start(VoxelWorld(self.size, hud=True), run, frames)
        actions = [Action.from_vector(row) for row in run.start_actions]
        poses = run.start_poses.astype(np.float32) if self._poses else None
        return self._world.start(Clip(np.stack(frames), actions, poses), seed)

    def describe(self) -> dict[str, Any]:
        """JSON of the world within."""
        return {**self._world.describe(), "screen_layer": "in its pictures; not judged"}
