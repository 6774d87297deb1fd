"""Many players at once, behind Gymnasium's `VectorEnv`: what `gymnasium.make_vec` builds for both worlds."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from reverie.env.episode import TRAINING_SEEDS, Snapshot, Starts, tick_limit
from reverie.env.errors import EnvError
from reverie.env.fleet import Fleet
from reverie.env.spaces import ActionCodec
from reverie.env.tasks import Task, make_task
from reverie.env.world_env import frame_space
from reverie.simulator.world import EVENTS, TICKS_PER_SECOND, World


class WorldVectorEnv(VectorEnv[np.ndarray, Any, np.ndarray]):
    """`num_envs` players, each in an episode of their own, in one kind of world.

    Behaves as `gymnasium.vector.SyncVectorEnv` over as many `WorldEnv`s would, only faster: observations are
    uint8 [b, h, w, 3]; seeds, `reset_mask` and `info` are Gymnasium's.  `autoreset_mode` is "NextStep",
    "SameStep" or "Disabled" (https://farama.org/Vector-Autoreset-Mode).
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["rgb_array"],
        "render_fps": TICKS_PER_SECOND,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        world: World[Any],
        fleet: Fleet,
        codec: ActionCodec,
        num_envs: int,
        *,
        task: str | Task = "wood",
        scene: Any = None,
        world_seeds: tuple[int, int] = TRAINING_SEEDS,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        """`fleet` steps `num_envs` states of `world` with batches of `codec`'s samples.

        The settings are those of `WorldEnv`.  Raises EnvError for an option that does not exist.
        """
        if num_envs < 1:
            raise EnvError(f"num_envs is {num_envs}, but there must be at least one")
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise EnvError(f"unknown render mode {render_mode!r}; there is only rgb_array")
        self.num_envs = num_envs
        self.world = world
        self.task = make_task(task)
        self.codec = codec
        self.autoreset_mode = _autoreset_mode(autoreset_mode)
        self.metadata = type(self).metadata | {"autoreset_mode": self.autoreset_mode}
        self.render_mode = render_mode
        self.single_observation_space = frame_space(world.size)
        self.single_action_space = codec.space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._fleet = fleet
        self._starts = Starts(world, scene, world_seeds)
        self._limit = tick_limit(self.task, max_episode_steps)
        self._begun = False
        self._rngs: list[np.random.Generator | None] = [None] * num_envs
        self._ticks = np.zeros(num_envs, np.int64)
        self._scores = np.zeros(num_envs)
        self._events = np.zeros((num_envs, len(EVENTS)), np.float32)
        self._world_seeds = np.zeros(num_envs, np.int64)
        self._done = np.zeros(num_envs, np.bool_)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins new episodes, in all environments or where `options["reset_mask"]` (bool [b]) is set.

        `seed`: an int for seed, seed + 1, ..., or a list.  The other options are those of `WorldEnv.reset`.
        Raises EnvError for seeds or a mask of another length, and for unknown options.
        """
        options = dict(options or {})
        mask = self._reset_mask(options.pop("reset_mask", None))
        return self._reset(mask, self._spread_seeds(seed), [options] * self.num_envs)

    def reset_each(
        self, seeds: Sequence[int | None], options: Sequence[dict[str, Any] | None]
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins new episodes in all environments, each with a seed (None: goes on drawing) and options of its own.

        Raises EnvError for other than b seeds or b options, and for unknown options.
        """
        if len(options) != self.num_envs:
            raise EnvError(f"reset: {len(options)} options for {self.num_envs} environments")
        return self._reset(self._reset_mask(None), self._spread_seeds(list(seeds)), [one or {} for one in options])

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One tick for all. Raises EnvError, a ValueError, for actions that are not in the space."""
        if not self._begun:
            raise EnvError("the episodes have not begun; call reset() first")
        if self.autoreset_mode == AutoresetMode.DISABLED and self._done.any():
            over = np.flatnonzero(self._done).tolist()
            raise EnvError(f"the episodes of environments {over} are over; reset them with options['reset_mask']")
        resets = self._done.copy()  # only ever set under NEXT_STEP from here on

        moves = self._fleet.decode(actions)
        if len(moves) != self.num_envs:
            raise EnvError(f"step: {len(moves)} actions for {self.num_envs} environments")
        self._fleet.step(moves, ~resets)
        self._events = self._fleet.events()
        rewards = np.where(resets, 0.0, self.task.reward(self._events))
        self._ticks += 1
        self._scores += rewards
        terminated = (self._scores >= self.task.goal) & ~resets
        truncated = (self._ticks >= self._limit) & ~resets
        ended = terminated | truncated

        infos: dict[str, Any] = {}
        if self.autoreset_mode == AutoresetMode.SAME_STEP and ended.any():
            infos |= self._final(ended, self._fleet.frames())
            resets = ended
        if resets.any():
            self._begin(resets, [{}] * self.num_envs)
        self._done = np.zeros_like(ended) if self.autoreset_mode == AutoresetMode.SAME_STEP else ended
        infos |= self._infos(np.ones_like(ended), fresh=resets)
        return self._fleet.frames(), rewards, terminated, truncated, infos

    def render(self) -> tuple[np.ndarray, ...] | None:
        """What each player sees now, uint8 [h, w, 3] each; None unless the render mode is `rgb_array`."""
        return tuple(self._fleet.frames()) if self.render_mode == "rgb_array" else None

    def close_extras(self, **_: Any) -> None:
        """Lets go of all episodes and of the threads."""
        self._begun = False
        self._fleet.close()

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generator of each environment."""
        return tuple(self._rng(index) for index in range(self.num_envs))

    def snapshot(self, index: int) -> Snapshot:
        """This moment of one environment's episode; a single `WorldEnv` takes it too."""
        if not self._begun:
            raise EnvError("the episodes have not begun; call reset() first")
        return Snapshot(
            world=self.world.describe(),
            state=self._fleet.take(index),
            tick=int(self._ticks[index]),
            score=float(self._scores[index]),
            random_state=copy.deepcopy(dict(self._rng(index).bit_generator.state)),
        )

    def restore(self, index: int, snapshot: Snapshot) -> np.ndarray:
        """Puts one environment into a snapshot's moment and returns its observation, uint8 [h, w, 3].

        A snapshot may be of a single `WorldEnv`, and may be put into many environments to try many futures.
        Raises EnvError for a snapshot of another world, and before the first `reset`.
        """
        if not self._begun:
            raise EnvError("the episodes have not begun; call reset() first")
        if snapshot.world != self.world.describe():
            raise EnvError(f"restore: the snapshot is of another world, {snapshot.world}")
        self._fleet.put({index: snapshot.state})
        self._ticks[index] = snapshot.tick
        self._scores[index] = snapshot.score
        self._events[index] = self.world.events(snapshot.state)
        self._done[index] = False
        self._rng(index).bit_generator.state = copy.deepcopy(snapshot.random_state)
        return np.array(self.world.frame(snapshot.state))

    def _rng(self, index: int) -> np.random.Generator:
        rng = self._rngs[index]
        if rng is None:
            rng = self._rngs[index] = seeding.np_random()[0]
        return rng

    def _reset(
        self, mask: np.ndarray, seeds: Sequence[int | None], options: Sequence[dict[str, Any]]
    ) -> tuple[np.ndarray, dict[str, Any]]:
        for index, seed in enumerate(seeds):
            if mask[index] and seed is not None:
                self._rngs[index] = seeding.np_random(seed)[0]
        self._begin(mask, options)
        return self._fleet.frames(), self._infos(mask, fresh=mask)

    def _begin(self, mask: np.ndarray, options: Sequence[dict[str, Any]]) -> None:
        """New episodes where the mask (bool [b]) is set."""
        indices = np.flatnonzero(mask).tolist()
        choices = [self._starts.choose(self._rng(index), options[index]) for index in indices]
        states = self._fleet.map(self._starts.start, choices)
        if self._begun:
            self._fleet.put(dict(zip(indices, states)))
        else:
            self._fleet.fill(states)
            self._begun = True
        self._ticks[mask] = 0
        self._scores[mask] = 0.0
        self._done[mask] = False
        self._events[mask] = np.stack([self.world.events(state) for state in states])
        self._world_seeds[mask] = [choice.world_seed for choice in choices]

    def _infos(self, mask: np.ndarray, fresh: np.ndarray) -> dict[str, Any]:
        """Gymnasium's info arrays for the environments in `mask`; those in `fresh` have just begun."""
        values: dict[str, np.ndarray] = {"tick": self._ticks, "events": self._events, "score": self._scores}
        values |= self._fleet.facts()
        infos: dict[str, Any] = {}
        for name, value in values.items():
            infos |= _masked(name, value, mask)
        if fresh.any():
            infos |= _masked("world_seed", self._world_seeds, fresh)
        return infos

    def _final(self, ended: np.ndarray, frames: np.ndarray) -> dict[str, Any]:
        """`final_obs` and `final_info` of the episodes that ended in this step."""
        final_obs = np.full(self.num_envs, None, dtype=object)
        for index in np.flatnonzero(ended):
            final_obs[index] = frames[index].copy()
        final_info = self._infos(ended, fresh=np.zeros_like(ended))
        return {
            "final_obs": final_obs,
            "_final_obs": ended.copy(),
            "final_info": final_info,
            "_final_info": ended.copy(),
        }

    def _reset_mask(self, mask: Any) -> np.ndarray:
        if mask is None:
            return np.ones(self.num_envs, np.bool_)
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            raise EnvError(f"reset: reset_mask must be a numpy array of {self.num_envs} bools")
        if not mask.any():
            raise EnvError("reset: reset_mask selects no environment")
        if not self._begun and not mask.all():
            raise EnvError("reset: the first reset must be of all environments, without a reset_mask")
        return mask.copy()

    def _spread_seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            return [int(seed) + index for index in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise EnvError(f"reset: {len(seed)} seeds for {self.num_envs} environments")
        return list(seed)


def _autoreset_mode(mode: str | AutoresetMode) -> AutoresetMode:
    try:
        return AutoresetMode(mode)
    except ValueError:
        known = ", ".join(known.value for known in AutoresetMode)
        raise EnvError(f"unknown autoreset mode {mode!r}; there are {known}") from None


def _masked(name: str, values: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
    """An entry of `info` as Gymnasium lays it out: zero and False where the mask (bool [b]) is not set."""
    shown = np.zeros_like(values)
    shown[mask] = values[mask]
    return {name: shown, f"_{name}": mask.copy()}
