"""Our vector environments as stable-baselines3 wants them. Importing this imports stable-baselines3."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices

from reverie.env.errors import EnvError
from reverie.env.vector import WorldVectorEnv


class PlayersVecEnv(VecEnv):
    """The players of a `WorldVectorEnv` in its SameStep mode, one stable-baselines3 environment each.

    Every action is held for `repeat` ticks, as people hold keys: blocks break under a steady hand only.  An episode
    that begins within those ticks begins with the rest of them, and their rewards are not counted.
    The info of a player whose episode just ended has what SB3 reads: `terminal_observation` (uint8 [h, w, 3]),
    `TimeLimit.truncated`, and `episode` with the return `r` and the length `l`.
    """

    def __init__(self, players: WorldVectorEnv, repeat: int = 1) -> None:
        if players.autoreset_mode != AutoresetMode.SAME_STEP:
            raise EnvError("stable-baselines3 needs a vector environment with autoreset_mode='SameStep'")
        self.players = players
        self.repeat = repeat
        self._actions: np.ndarray | None = None
        super().__init__(players.num_envs, players.single_observation_space, players.single_action_space)

    def reset(self) -> np.ndarray:
        observations, _ = self.players.reset(seed=self._seeds)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        rewards = np.zeros(self.num_envs, np.float32)
        done = np.zeros(self.num_envs, np.bool_)
        each: list[dict[str, Any]] = [{"TimeLimit.truncated": False} for _ in range(self.num_envs)]
        for _ in range(self.repeat):
            observations, reward, terminated, truncated, infos = self.players.step(self._actions)
            rewards += np.where(done, 0.0, reward).astype(np.float32)
            ended = (terminated | truncated) & ~done
            for index in np.flatnonzero(ended):
                final = infos["final_info"]
                each[index] = {
                    "TimeLimit.truncated": bool(truncated[index] and not terminated[index]),
                    "terminal_observation": infos["final_obs"][index],
                    "episode": {"r": float(final["score"][index]), "l": int(final["tick"][index])},
                }
            done |= ended
        return observations, rewards, done, each

    def close(self) -> None:
        self.players.close()

    def get_images(self) -> list[np.ndarray]:
        return list(self.players.render() or ())

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        value = getattr(self.players, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        raise EnvError(f"{attr_name} belongs to all players at once and can not be set for some")

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        raise EnvError(f"{method_name} can not be called on single players")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        return [False for _ in self._get_indices(indices)]
