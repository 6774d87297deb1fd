"""Dreams of many runs at once, as `evaluate` needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from reverie.simulator.judge.truth import TrueRun

BATCH = 16
"""Dreams in one pass. A constant, because the shape of a pass can change its last bits."""
Tell = Callable[[int], Any]
"""Is told how many frames have been dreamed since it was told last."""


class Dreamer(Protocol):
    """The part of `DreamWorld` that is judged."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""

    def start(self, scene: Any, seed: int) -> Any:
        """The state at a clip's last frame."""

    def edit(self, state: Any, image: np.ndarray, mask: np.ndarray | None, strength: float) -> Any:
        """The state with another newest frame."""

    def stack(self, states: list[Any]) -> Any:
        """One state of many dreams."""

    def step_batch(self, state: Any, actions: np.ndarray) -> Any:
        """All dreams one tick later; actions float32 [b, 25]."""

    def frames(self, state: Any) -> np.ndarray:
        """uint8 [b, h, w, 3]."""


def open_dreams(world: Dreamer, runs: Sequence[TrueRun], tell: Tell) -> list[Any]:
    """A dream's state at tick 0 of each run; its noise follows from the run's seed."""
    states = []
    for run in runs:
        states.append(world.start(run.start, run.seed))
        tell(len(run.start))
    return states


class Rested:
    """A dreamer that remembers where it started: several probes begin at the same tick 0 of the same clip."""

    def __init__(self, world: Dreamer) -> None:
        self._world, self._known = world, dict[tuple[int, int], Any]()
        self.size = world.size
        self.edit, self.stack, self.step_batch, self.frames = world.edit, world.stack, world.step_batch, world.frames

    def start(self, scene: Any, seed: int) -> Any:
        """The state at a clip's last frame, which must live as long as this."""
        key = (id(scene), seed)
        if key not in self._known:
            self._known[key] = self._world.start(scene, seed)
        return self._known[key]


def dream(world: Dreamer, states: Sequence[Any], actions: np.ndarray, ticks: Sequence[int], tell: Tell) -> np.ndarray:
    """The frames, uint8 [b, n, h, w, 3], that b dreams show at n `ticks` (from 1) when given `actions` [b, k, 25]."""
    b, n = len(states), len(ticks)
    kept = np.empty((b, n, *world.size, 3), np.uint8)
    column = {tick: index for index, tick in enumerate(ticks)}
    for low in range(0, b, BATCH):
        rows = slice(low, min(low + BATCH, b))
        state = world.stack(list(states[rows]))
        for tick in range(1, max(ticks) + 1):
            state = world.step_batch(state, actions[rows, tick - 1])
            if tick in column:
                kept[rows, column[tick]] = world.frames(state)
            tell(rows.stop - rows.start)
    return kept


def dream_runs(world: Dreamer, states: Sequence[Any], runs: Sequence[TrueRun], tell: Tell) -> np.ndarray:
    """The same for runs of equal length that keep the same ticks."""
    return dream(world, states, np.stack([run.actions for run in runs]), runs[0].ticks, tell)
