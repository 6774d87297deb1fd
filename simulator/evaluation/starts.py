"""How worlds are started and asked by the evaluation: what a world has to offer for each column and figure.

Every world has the protocol of `reverie.simulator.world`. What goes beyond it is optional; a figure that needs what a
world does not offer is null.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from reverie.simulator.clips import Clip

COLUMNS: tuple[str, ...] = ("poses", "frames", "cells")
"""What a start gives: frames, actions and poses; frames and actions alone; true cells about the player."""


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """The player at tick 0: `place` of the feet, `velocity` in metres per tick, angles in degrees."""

    place: tuple[float, float, float]
    velocity: tuple[float, float, float]
    yaw: float
    pitch: float
    eye_height: float
    on_ground: bool
    in_water: bool


@dataclass(frozen=True, slots=True, eq=False)
class TrueStart:
    """All that is true about the player at tick 0, for the column *from true cells*."""

    low: tuple[int, int, int]
    """The first cell of `tokens`, in the world's coordinates, in which poses are given too."""
    tokens: np.ndarray
    """uint8 [sx, 64, sz]: the kind of each cell, an index into `names`."""
    names: tuple[str, ...]
    body: Body
    slot: int
    """Selected hotbar slot, 0 to 8."""
    entities: np.ndarray
    """float64 [n, 6]: x, y, z of the feet, yaw in degrees, kind, phase of the walk in radians."""
    hour: float
    """0 midnight, 0.5 noon."""
    clip: Clip
    """The start's frames, actions and poses up to tick 0."""


@runtime_checkable
class StartsTrue(Protocol):
    """A world that can start from true cells."""

    def start_true(self, start: TrueStart, seed: int) -> Any:
        """The state at tick 0."""


@runtime_checkable
class StartsUnknown(Protocol):
    """A world that can go on from frames and actions alone, with all cells unknown: `nostate_*`."""

    def start_unknown(self, clip: Clip, seed: int) -> Any:
        """The state at the clip's last frame."""


@runtime_checkable
class KnowsPlace(Protocol):
    """A world whose state tells the player's pose and the blocks about: `tasks_16`, `place_error_*`."""

    def frame(self, state: Any) -> np.ndarray:
        """What the player sees: uint8 [h, w, 3]."""

    def pose(self, state: Any) -> np.ndarray:
        """float [5]: x, y, z of the feet in metres, yaw (not wrapped) and pitch in degrees."""

    def get_block(self, state: Any, x: int, y: int, z: int) -> str:
        """The name of the block at a cell; of one that is not dreamed yet, anything but a block's name."""

    def slot(self, state: Any) -> int:
        """Selected hotbar slot, 0 to 8."""


@runtime_checkable
class StartsRuns(Protocol):
    """A stand-in that is started from a run itself: the truth, its corruptions, worlds that want another picture."""

    def start_run(self, run: Any, seed: int) -> Any:
        """The state at tick 0 of a `reverie.simulator.evaluation.runs.Run`."""


def columns_of(world: Any) -> tuple[str, ...]:
    """The columns that a world can be measured in."""
    if isinstance(world, StartsRuns):
        return COLUMNS[:1]
    if not isinstance(world, StartsTrue):
        return COLUMNS[:2]
    return COLUMNS if hasattr(world, "start") else COLUMNS[2:]


def hidden_pixels(world: Any) -> np.ndarray | None:
    """bool [h, w]: pixels of a world's frames that show a screen layer and are not judged; None: all are judged."""
    return getattr(world, "hud_mask", None)
