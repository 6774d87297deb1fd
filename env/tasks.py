"""What agents are rewarded for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reverie.env.errors import EnvError
from reverie.simulator.world import EVENTS


@dataclass(frozen=True, slots=True)
class Task:
    """A reward for each event (`reverie.simulator.world.EVENTS`), and when an episode is over.

    The voxel world counts its events; a dream gives the probability of each, and one above a half counts as
    one event.  Both are rounded the same way, so a task needs not know which world it is played in.
    """

    name: str
    description: str
    rewards: tuple[tuple[str, float], ...]
    """Event names and what one such event is worth."""
    goal: float = float("inf")
    """The episode is terminated once its rewards add up to this."""
    time_limit: int | None = None
    """Ticks after which the task truncates an episode, besides the environment's `max_episode_steps`."""

    def __post_init__(self) -> None:
        for event, _ in self.rewards:
            if event not in EVENTS:
                raise EnvError(f"task {self.name!r}: unknown event {event!r}; there are {', '.join(EVENTS)}")
        if self.time_limit is not None and self.time_limit < 1:
            raise EnvError(f"task {self.name!r}: a time limit of {self.time_limit} ticks leaves no time")

    def reward(self, events: np.ndarray) -> np.ndarray:
        """float64 [...]: the reward of float [..., len(EVENTS)] counts or probabilities."""
        counts = np.maximum(np.ceil(np.asarray(events, np.float64) - 0.5), 0.0)
        worth = np.zeros(len(EVENTS))
        for event, value in self.rewards:
            worth[EVENTS.index(event)] += value
        return counts @ worth


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("wood", "dig the trunks of trees: 1 for each block, done at 64", (("dig_log", 1.0),), goal=64.0),
        Task("dig", "dig blocks of any kind: 1 for each", (("dig", 1.0),)),
        Task(
            "build",
            "place blocks and let them stand: 1 for each placed, -1 for each dug",
            (("place", 1.0), ("dig", -1.0)),
        ),
        Task("swim", "find water: 1 for each time the player gets into it", (("splash", 1.0),)),
    )
}


def make_task(task: str | Task) -> Task:
    """A task by name, or the given `Task` as it is. Raises EnvError for an unknown name."""
    if isinstance(task, Task):
        return task
    if task not in TASKS:
        raise EnvError(f"unknown task {task!r}; there are {', '.join(TASKS)}")
    return TASKS[task]
