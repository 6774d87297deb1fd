"""The state of a dream: a value that decides all that follows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from reverie.model.cells import Cell, CellMap, Column
from reverie.model.dream.paint import Paint


class Actors(Protocol):
    """What a dream asks of its dynamics' state: the body, the hands, the entities. A value."""

    @property
    def eye(self) -> tuple[float, float, float]:
        """Where the eyes are, in metres."""

    @property
    def yaw(self) -> float:
        """Degrees."""

    @property
    def pitch(self) -> float:
        """Degrees, positive down."""

    @property
    def crack(self) -> tuple[int, int, int, float] | None:
        """The cell that is being broken, and how far (0 to 1)."""

    @property
    def entities(self) -> np.ndarray:
        """float [n, 6]: x, y, z of the feet, yaw in degrees, kind, phase of the walk in radians."""


@dataclass(frozen=True, eq=False)
class Request:
    """A region of land that was asked for; its answer is a function of what is here, whenever it is computed."""

    low: Cell
    shape: Cell
    due: int
    """Tick at which the answer becomes part of the map."""
    seed: int
    cells: CellMap
    """The map when it was asked for."""
    plan: Any
    """The world model's plan when it was asked for."""
    answer: Any = None
    """Its answer where a save brought it along: `tokens` and `plan`."""


@dataclass(frozen=True, slots=True, eq=False)
class DreamState:
    """Everything that decides the next frame. Pieces are shared between states and never written to."""

    seed: int
    tick: int
    cells: CellMap
    paint: Paint
    actors: Any
    """See `Actors`."""
    hour: float
    """0 midnight, 0.5 noon."""
    plan: Any = None
    """Land that was dreamed as columns or outline alone; see `land.world_model.Plan`."""
    complete: frozenset[Column] = frozenset()
    """Chunks that the world model has filled."""
    pending: tuple[Request, ...] = ()
    events: tuple[str, ...] = ()
    """What happened in the last tick."""
    cache: dict[Any, Any] = field(default_factory=dict, repr=False)
    """What has been computed from this state; no part of the value."""
