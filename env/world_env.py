"""A world as a Gymnasium environment. `DreamEnv` and `VoxelEnv` only choose the world."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from reverie.env.episode import TRAINING_SEEDS, Snapshot, Starts, tick_limit
from reverie.env.errors import EnvError
from reverie.env.spaces import make_codec
from reverie.env.tasks import Task, make_task
from reverie.simulator.world import TICKS_PER_SECOND, World


def frame_space(size: tuple[int, int]) -> spaces.Box:
    """The observation space of frames: uint8 [h, w, 3]."""
    return spaces.Box(0, 255, (*size, 3), np.uint8)


class WorldEnv(gymnasium.Env[np.ndarray, Any]):
    """One player in one world; an observation is what the player sees, uint8 [h, w, 3].

    `info` has `tick` (since the start of the episode), `events` (float32 [5], the counts or probabilities of
    `reverie.simulator.world.EVENTS`), `score` (the rewards so far) and, from `reset`, `world_seed`.

    For search, `snapshot` and `restore` go back to any moment, and `branch` makes an independent environment
    that goes on from this one; the same actions then give bit-identical observations.  They know nothing of
    wrappers (a `TimeLimit` goes on counting), so search on `env.unwrapped`.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": TICKS_PER_SECOND}  # noqa: RUF012

    def __init__(
        self,
        world: World[Any],
        *,
        task: str | Task = "wood",
        action_space: str = "multidiscrete",
        scene: Any = None,
        world_seeds: tuple[int, int] = TRAINING_SEEDS,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Plays `task` in `world` with an action space of `reverie.env.spaces`.

        `world_seeds` is the range (first, end) that each episode's world is drawn from, `scene` what it
        starts from (None, a name, an image or a clip).  `max_episode_steps` truncates episodes here, while
        `gymnasium.make` keeps its keyword of that name for itself and adds a `TimeLimit`.  Raises EnvError
        for a task, action space or render mode that does not exist.
        """
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise EnvError(f"unknown render mode {render_mode!r}; there is only rgb_array")
        self.world = world
        self.task = make_task(task)
        self.codec = make_codec(action_space)
        self.render_mode = render_mode
        self.observation_space = frame_space(world.size)
        self.action_space = self.codec.space
        self._starts = Starts(world, scene, world_seeds)
        self._limit = tick_limit(self.task, max_episode_steps)
        self._state: Any = None
        self._score = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The first observation of a new episode.

        `options`: `scene` (None, a name, an image or a clip) and `world_seed` override what the environment
        would have chosen.  Raises EnvError for any other, SceneError for a scene that does not exist.
        """
        super().reset(seed=seed)
        start = self._starts.choose(self.np_random, options)
        self._state = self._starts.start(start)
        self._score = 0.0
        return self._observation(), self._info() | {"world_seed": start.world_seed}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One tick. Raises EnvError, a ValueError, for an action that is not in the space."""
        self._state = self.world.step(self._playing(), self.codec.to_action(action))
        reward = float(self.task.reward(self.world.events(self._state)))
        self._score += reward
        terminated = self._score >= self.task.goal
        truncated = self.world.tick(self._state) >= self._limit
        return self._observation(), reward, bool(terminated), bool(truncated), self._info()

    def render(self) -> np.ndarray | None:
        """What the player sees now, uint8 [h, w, 3]; None unless the render mode is `rgb_array`."""
        return self._observation() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Lets go of the episode."""
        self._state = None

    def snapshot(self) -> Snapshot:
        """This moment of the episode, for `restore` here or in another environment of the same world."""
        state = self._playing()
        return Snapshot(
            world=self.world.describe(),
            state=state,
            tick=self.world.tick(state),
            score=self._score,
            random_state=copy.deepcopy(dict(self.np_random.bit_generator.state)),
        )

    def restore(self, snapshot: Snapshot) -> np.ndarray:
        """Goes to a snapshot's moment and returns its observation. Raises EnvError for another world's."""
        if snapshot.world != self.world.describe():
            raise EnvError(f"restore: the snapshot is of another world, {snapshot.world}")
        self._state = snapshot.state
        self._score = snapshot.score
        self.np_random.bit_generator.state = copy.deepcopy(snapshot.random_state)
        return self._observation()

    def branch(self) -> WorldEnv:
        """An independent environment that goes on from here; the two share nothing but the world itself."""
        twin = copy.copy(self)
        twin.action_space = copy.deepcopy(self.action_space)
        twin.np_random = copy.deepcopy(self.np_random)
        return twin

    def _playing(self) -> Any:
        if self._state is None:
            raise EnvError("the episode has not begun; call reset() first")
        return self._state

    def _observation(self) -> np.ndarray:
        return np.array(self.world.frame(self._playing()))

    def _info(self) -> dict[str, Any]:
        return {
            "tick": self.world.tick(self._state),
            "events": np.array(self.world.events(self._state), np.float32),
            "score": self._score,
        }
