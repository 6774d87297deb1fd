"""How episodes start and end: what the single and the vector environments have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.env.errors import EnvError
from reverie.env.tasks import Task
from reverie.simulator.world import World

TRAINING_SEEDS = (0, 1_000_000)
"""World seeds to train on, as (first, end); those from the end on are held out for evaluation."""
KEEP_STARTS = 64
"""Start states are kept for reuse when there are at most so many worlds to start in."""
RESET_OPTIONS = ("scene", "world_seed")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that decides how an episode goes on. A value: it may be restored any number of times."""

    world: dict[str, Any]
    """`World.describe()` of the world that it belongs to."""
    state: Any
    tick: int
    score: float
    random_state: dict[str, Any]
    """State of the bit generator that the next reset draws its world from."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where an episode begins."""

    scene: Any
    world_seed: int


class Starts:
    """Chooses and makes the states that episodes begin in."""

    def __init__(self, world: World[Any], scene: Any, world_seeds: tuple[int, int]) -> None:
        low, high = world_seeds
        if not 0 <= low < high:
            raise EnvError(f"world_seeds is a range (first, end) of seeds from 0 up, not {world_seeds!r}")
        self._world = world
        self._scene = scene
        self._low, self._high = low, high
        self._kept: dict[Start, Any] = {}

    def choose(self, rng: np.random.Generator, options: Mapping[str, Any] | None) -> Start:
        """Where the next episode begins.

        Options: `scene` (None, a name, an image or a clip; otherwise the environment's own) and `world_seed`
        (otherwise drawn with `rng`).  Raises EnvError for any other.
        """
        options = options or {}
        unknown = set(options) - set(RESET_OPTIONS)
        if unknown:
            name = min(map(str, unknown))
            raise EnvError(f"reset: unknown option {name!r}; there are {', '.join(RESET_OPTIONS)}")
        drawn = int(rng.integers(self._low, self._high))  # always, so that later draws stay the same
        seed = options.get("world_seed", drawn)
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise EnvError(f"reset: world_seed is {seed!r}, but must be a whole number from 0 up")
        return Start(options.get("scene", self._scene), int(seed))

    def start(self, start: Start) -> Any:
        """The state at tick 0. Raises SceneError for a scene that does not exist."""
        few = self._high - self._low <= KEEP_STARTS and self._low <= start.world_seed < self._high
        if not few or not (start.scene is None or isinstance(start.scene, str)):
            return self._world.start(start.scene, start.world_seed)
        if start not in self._kept:
            self._kept[start] = self._world.start(start.scene, start.world_seed)
        return self._kept[start]


def tick_limit(task: Task, max_episode_steps: int | None) -> float:
    """Ticks after which an episode is truncated: the smaller of the task's and the environment's limit.

    Infinity when there is neither.  Raises EnvError for a limit below 1.
    """
    if max_episode_steps is not None and max_episode_steps < 1:
        raise EnvError(f"max_episode_steps is {max_episode_steps}, but an episode has at least one step")
    return min((limit for limit in (task.time_limit, max_episode_steps) if limit is not None), default=float("inf"))
