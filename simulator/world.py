"""What a world is: the protocol behind which the dream and the voxel world are interchangeable.

A state is a value. `step` and `edit` return a new state and leave the given one as it was, so that snapshot,
rewind, branch, undo and save-game are all the same thing: keeping a state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from reverie.simulator.action import Action

State = TypeVar("State")
TICKS_PER_SECOND = 20
EVENTS: tuple[str, ...] = ("dig", "place", "dig_log", "land", "splash")
"""What can happen in a tick and is worth a number: a block dug, a block placed, a tree trunk dug, feet back on
the ground after a fall or jump, the player's body entering water."""


@dataclass(frozen=True, slots=True)
class Senses:
    """What a scripted player may know besides the frame. Dreams leave everything but the tick unknown (None)."""

    tick: int
    pitch: float | None = None
    target_distance: float | None = None
    """Metres to the block under the crosshair; infinity when there is none within reach."""
    target_block: str | None = None
    blocked: bool | None = None
    """Walking is stopped by a wall that a jump would clear, or by one that it would not."""
    in_water: bool | None = None
    on_ground: bool | None = None
    drop_ahead: float | None = None
    """Metres that the ground falls away two blocks ahead (negative: it rises)."""
    water_ahead: bool | None = None
    """There is open water two blocks ahead."""


class World(Protocol[State]):
    """A world that turns states and actions into states."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of its frames in pixels; multiples of 16."""

    def start(self, scene: Any, seed: int) -> State:
        """The state at tick 0. `scene`: None, a name, a uint8 image [h, w, 3], or a `Clip`. Raises SceneError."""

    def step(self, state: State, action: Action) -> State:
        """The state one tick (1/20 s) later."""

    def edit(self, state: State, image: np.ndarray, mask: np.ndarray | None, strength: float) -> State:
        """The state with `image` (uint8 [h, w, 3]) as its frame where `mask` (bool [h, w]). Raises EditError."""

    def frame(self, state: State) -> np.ndarray:
        """What the player sees: uint8 [h, w, 3], not to be written to."""

    def tick(self, state: State) -> int:
        """Ticks since the start."""

    def senses(self, state: State) -> Senses:
        """What a scripted player may know."""

    def events(self, state: State) -> np.ndarray:
        """float32 [len(EVENTS)]: what happened in the last tick; counts when exact, probabilities in a dream."""

    def describe(self) -> dict[str, Any]:
        """JSON that says which world this is, enough for `open_world` to build it again."""

    def pack(self, state: State) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The state as plain JSON and named arrays."""

    def unpack(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> State:
        """The inverse of `pack`; checks everything it reads. Raises SaveError."""
