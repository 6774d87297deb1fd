"""Our vector environments as stable-baselines3 wants them. Importing this imports stable-baselines3."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices

from reverie.env.errors import EnvError
from reverie.env.vector import WorldVectorEnv

OF_ONE = {"observation_space": "single_observation_space", "action_space": "single_action_space"}
"""What one player's environment has under the first name, the vector environment has under the second."""
METHODS_OF_ONE = ("snapshot", "restore", "render")
"""What can be called for single players."""


class PlayersVecEnv(VecEnv):
    """The players of a `WorldVectorEnv` in its SameStep mode, one stable-baselines3 environment each.

    Behaves as `DummyVecEnv` over as many `WorldEnv`s would (https://stable-baselines3.readthedocs.io/, VecEnv API),
    only faster: `seed` and `set_options` (one dict, or one for each player) count for the next `reset`, and
    `reset_infos` has the info of each player's newest episode's beginning, `world_seed` among it.

    Every action is held for `repeat` ticks, as people hold keys: blocks break under a steady hand only.  An episode
    that begins within those ticks begins with the rest of them, and their rewards are not counted.
    A player's info is that of the last tick: `tick`, `events`, `score`, and `pose` where the world knows it.  When the
    episode just ended it is the last one's of that episode, with `terminal_observation` (uint8 [h, w, 3]) and
    `episode`: the return `r`, the length `l` and the seconds `t` since this object was made.
    """

    def __init__(self, players: WorldVectorEnv, repeat: int = 1) -> None:
        """Raises EnvError for players in another mode, and for a `repeat` below 1."""
        if players.autoreset_mode != AutoresetMode.SAME_STEP:
            raise EnvError("stable-baselines3 needs a vector environment with autoreset_mode='SameStep'")
        if repeat < 1:
            raise EnvError(f"repeat is {repeat}, but every action is held for one tick at least")
        self.players = players
        self.repeat = repeat
        self._actions: np.ndarray | None = None
        self._made = time.perf_counter()
        super().__init__(players.num_envs, players.single_observation_space, players.single_action_space)

    def reset(self) -> np.ndarray:
        """uint8 [b, h, w, 3]. Raises EnvError for unknown options, SceneError for a scene that does not exist."""
        if len(self._options) != self.num_envs:
            raise EnvError(f"set_options: {len(self._options)} options for {self.num_envs} players")
        observations, infos = self.players.reset_each(self._seeds, self._options)
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = [info_of(infos, index) for index in range(self.num_envs)]
        self._actions = None
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Observations uint8 [b, h, w, 3], rewards float32 [b], dones bool [b], infos. Raises EnvError."""
        if self._actions is None:
            raise EnvError("step_wait: there are no actions; call step_async() first")
        rewards = np.zeros(self.num_envs, np.float32)
        done = np.zeros(self.num_envs, np.bool_)
        each: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for _ in range(self.repeat):
            observations, reward, terminated, truncated, infos = self.players.step(self._actions)
            rewards += np.where(done, 0.0, reward).astype(np.float32)
            over = terminated | truncated
            for index in np.flatnonzero(~over & ~done).tolist():
                each[index] = info_of(infos, index) | {"TimeLimit.truncated": False}
            for index in np.flatnonzero(over).tolist():
                self.reset_infos[index] = info_of(infos, index)
                if not done[index]:
                    each[index] = self._ended(infos, index, bool(truncated[index] and not terminated[index]))
            done |= over
        self._actions = None
        return observations, rewards, done, each

    def _ended(self, infos: dict[str, Any], index: int, truncated: bool) -> dict[str, Any]:
        """The info of a player whose episode has just ended."""
        final = info_of(infos["final_info"], index)
        seconds = round(time.perf_counter() - self._made, 6)
        return final | {
            "TimeLimit.truncated": truncated,
            "terminal_observation": infos["final_obs"][index],
            "episode": {"r": float(final["score"]), "l": int(final["tick"]), "t": seconds},
        }

    def close(self) -> None:
        self.players.close()

    def get_images(self) -> list[np.ndarray | None]:
        """What each player sees; None each unless the render mode is `rgb_array`."""
        return list(self.players.render() or [None] * self.num_envs)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """What each player's environment has under that name. Raises AttributeError."""
        value = getattr(self.players, OF_ONE.get(attr_name, attr_name))
        shared = attr_name != "np_random"
        return [value if shared else value[index] for index in self._chosen(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Sets it for all players; raises EnvError for some of them, who share all they have."""
        if set(self._chosen(indices)) != set(range(self.num_envs)):
            raise EnvError(f"{attr_name} belongs to all players at once and cannot be set for some")
        setattr(self.players, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Calls one of `METHODS_OF_ONE` for each player. Raises AttributeError for others, as SB3 expects."""
        if method_name not in METHODS_OF_ONE:
            known = ", ".join(METHODS_OF_ONE)
            raise AttributeError(f"{method_name} cannot be called for single players; there are {known}")
        if method_name == "render":
            images = self.get_images()
            return [images[index] for index in self._chosen(indices)]
        method = getattr(self.players, method_name)
        return [method(index, *method_args, **method_kwargs) for index in self._chosen(indices)]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """No player's environment is wrapped in anything."""
        return [False for _ in self._chosen(indices)]

    def _chosen(self, indices: VecEnvIndices) -> list[int]:
        """Numbers from 0 up of the players that `indices` names; negative ones count from the end."""
        if isinstance(indices, np.integer):
            indices = int(indices)
        named: Iterable[int] = self._get_indices(indices)
        return [range(self.num_envs)[index] for index in named]


def info_of(infos: dict[str, Any], index: int) -> dict[str, Any]:
    """One environment's part of Gymnasium's vector info, as the environment by itself would give it."""
    found: dict[str, Any] = {}
    for name, values in infos.items():
        if not name.startswith("_") and name not in ("final_obs", "final_info") and infos[f"_{name}"][index]:
            value = values[index]
            found[name] = value.item() if isinstance(value, np.generic) else value.copy()
    return found
