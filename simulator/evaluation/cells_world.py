"""Learned dynamics alone, as a world without pictures: bodies, hands and entities in true cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.model.cells import CellMap
from reverie.model.dynamics.dynamics import Dynamics
from reverie.model.dynamics.layout import EYE, IN_WATER, ON_GROUND, VX, VZ
from reverie.model.dynamics.state import Actors, Hands, make_herd, read_only
from reverie.simulator.action import Action
from reverie.simulator.evaluation.starts import TrueStart

UNKNOWN_NAME = "unknown"


@dataclass(frozen=True, slots=True, eq=False)
class CellsState:
    """What dynamics know."""

    actors: Actors
    cells: CellMap
    seed: int
    tick: int


class CellsWorld:
    """What the evaluation asks of a world, of which it can only be asked the column *from true cells*."""

    def __init__(self, dynamics: Dynamics, size: tuple[int, int], name: str = "dynamics") -> None:
        self.size = size
        self._dynamics, self._name = dynamics, name
        self._black = np.zeros((*size, 3), np.uint8)
        self._tokens = dict(enumerate(dynamics.facts.names))

    def start_true(self, start: TrueStart, seed: int) -> CellsState:
        """The state at tick 0."""
        names = self._dynamics.facts.names
        tokens = np.array([names.index(name) for name in start.names], np.uint8)
        cells = CellMap().write(start.low, tokens[start.tokens])
        begun = self._dynamics.spawn(start.body.place, start.body.yaw, start.body.pitch)
        body = begun.body.copy()
        body[VX : VZ + 1] = start.body.velocity
        body[[EYE, ON_GROUND, IN_WATER]] = start.body.eye_height, start.body.on_ground, start.body.in_water
        return CellsState(Actors(read_only(body), Hands(start.slot), make_herd(start.entities)), cells, seed, 0)

    def step(self, state: CellsState, action: Action) -> CellsState:
        """The state one tick later."""
        moved = self._dynamics.step(state.actors, state.cells, action, state.seed, state.tick)
        return CellsState(moved.actors, state.cells.set(moved.writes), state.seed, state.tick + 1)

    def frame(self, state: CellsState) -> np.ndarray:
        """Black: there are no pictures."""
        return self._black

    def tick(self, state: CellsState) -> int:
        """Ticks since the start."""
        return state.tick

    def pose(self, state: CellsState) -> np.ndarray:
        """float64 [5]: feet, yaw, pitch."""
        actors = state.actors
        return np.array([*actors.place, actors.yaw, actors.pitch])

    def get_block(self, state: CellsState, x: int, y: int, z: int) -> str:
        """The name of a cell's token."""
        return self._tokens.get(state.cells.get(x, y, z), UNKNOWN_NAME)

    def slot(self, state: CellsState) -> int:
        """Selected hotbar slot."""
        return state.actors.hands.slot

    def describe(self) -> dict[str, Any]:
        """JSON."""
        return {"world": "dynamics in true cells", "weights": self._name}
