"""Many states of one world, stepped together: a dream in one pass, the voxel world on a pool of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from reverie.env.spaces import ActionCodec
from reverie.model.cores import usable_cores
from reverie.simulator.action import Action

if TYPE_CHECKING:
    from reverie.simulator.dream import DreamWorld
    from reverie.simulator.voxel.world import VoxelWorld

Item = TypeVar("Item")
Result = TypeVar("Result")


class Fleet(Protocol):
    """`b` independent states of one world."""

    def fill(self, states: Sequence[Any]) -> None:
        """Begins with these b states."""

    def put(self, states: Mapping[int, Any]) -> None:
        """Replaces some of the states, by their numbers."""

    def take(self, index: int) -> Any:
        """One of the states."""

    def decode(self, actions: Any) -> Any:
        """What `step` takes, for a batch of samples: something with a length. Raises EnvError."""

    def step(self, moves: Any, active: np.ndarray) -> None:
        """Steps with b decoded actions. States that are not `active` (bool [b]) are about to be replaced."""

    def frames(self) -> np.ndarray:
        """uint8 [b, h, w, 3], a new array."""

    def events(self) -> np.ndarray:
        """float32 [b, len(EVENTS)], a new array."""

    def facts(self) -> dict[str, np.ndarray]:
        """What else `info` tells, as new arrays [b, ...] by name."""

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """`work` for each item, in parallel where that is worth it."""

    def close(self) -> None:
        """Lets go of everything."""


class DreamFleet:
    """Dreams, stepped by one batched pass of the model."""

    def __init__(self, world: DreamWorld, codec: ActionCodec) -> None:
        self._world = world
        self._codec = codec
        self._batch: Any = None
        self._count = 0

    def fill(self, states: Sequence[Any]) -> None:
        self._count = len(states)
        self._batch = self._world.stack(list(states))

    def put(self, states: Mapping[int, Any]) -> None:
        if len(states) == 1:
            for index, state in states.items():
                self._batch = self._world.put(self._batch, index, state)
        else:  # one copy of the batch, not one for each
            self.fill([states[i] if i in states else self.take(i) for i in range(self._count)])

    def take(self, index: int) -> Any:
        return self._world.take(self._batch, index)

    def decode(self, actions: Any) -> np.ndarray:
        return self._codec.to_vectors(actions)

    def step(self, moves: np.ndarray, active: np.ndarray) -> None:
        self._batch = self._world.step_batch(self._batch, moves)

    def frames(self) -> np.ndarray:
        return np.array(self._world.frames(self._batch))

    def events(self) -> np.ndarray:
        return np.array(self._world.events_batch(self._batch), np.float32)

    def facts(self) -> dict[str, np.ndarray]:
        return {}

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        return [work(item) for item in items]

    def close(self) -> None:
        self._batch = None


class VoxelFleet:
    """Voxel worlds on a pool of threads; rendering lets go of the interpreter's lock."""

    def __init__(self, world: VoxelWorld, codec: ActionCodec, threads: int | None) -> None:
        self._world = world
        self._codec = codec
        self._pool = ThreadPoolExecutor(threads or usable_cores(), thread_name_prefix="voxel")
        self._states: list[Any] = []
        self._frames: list[np.ndarray] = []

    def fill(self, states: Sequence[Any]) -> None:
        self._states = list(states)
        self._frames = self.map(self._world.frame, self._states)

    def put(self, states: Mapping[int, Any]) -> None:
        for index, state in states.items():
            self._show(index, state)

    def take(self, index: int) -> Any:
        return self._states[index]

    def decode(self, actions: Any) -> list[Action]:
        return self._codec.to_actions(actions)

    def step(self, moves: list[Action], active: np.ndarray) -> None:
        def advance(index: int) -> None:
            self._show(index, self._world.step(self._states[index], moves[index]))

        self.map(advance, np.flatnonzero(active).tolist())

    def frames(self) -> np.ndarray:
        return np.stack(self._frames)

    def events(self) -> np.ndarray:
        return np.stack([self._world.events(state) for state in self._states]).astype(np.float32)

    def facts(self) -> dict[str, np.ndarray]:
        return {"pose": np.stack([self._world.pose(state) for state in self._states]).astype(np.float64)}

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        return list(self._pool.map(work, items))

    def close(self) -> None:
        self._pool.shutdown()
        self._states, self._frames = [], []

    def _show(self, index: int, state: Any) -> None:
        self._states[index] = state
        self._frames[index] = self._world.frame(state)
