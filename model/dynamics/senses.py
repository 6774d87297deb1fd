"""What scripted players, environments and windows may know of a body: its target, and what is ahead of it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from reverie.model.cells import UNKNOWN, Cell, CellMap, cell_of
from reverie.model.dynamics import layout as at
from reverie.model.dynamics.config import Facts
from reverie.model.dynamics.features import write_numbers
from reverie.model.dynamics.runtime import Answers
from reverie.model.dynamics.state import Actors
from reverie.model.dynamics.steps import Grounds, aim_hands, carry, own_cells, player_boxes

FEEL_WALL = 0.5
"""Metres ahead that count as a wall's distance."""
FEEL_DROP = 2.0
"""Metres ahead at which the ground's height is looked at."""
FEEL_UP, FEEL_DOWN = 2, 12
"""Cells above and below the feet that are looked at."""


class Target(NamedTuple):
    """The cell under the crosshair within reach."""

    cell: Cell
    normal: Cell
    """Of the face that is seen."""
    distance: float
    """Metres from the eye."""


class Ahead(NamedTuple):
    """What lies in the direction of the body's yaw."""

    blocked: bool
    """A wall is less than `FEEL_WALL` metres away."""
    drop: float
    """Metres that the ground lies lower two metres ahead (negative: higher)."""
    water: bool
    """A cell that is neither solid nor empty is above that ground."""


def _grounds(actors: Actors, cells: CellMap) -> Grounds:
    low = own_cells(actors.body[None, :3]) + np.array(at.WINDOW_LOW)
    x, y, z = low[0].tolist()
    return Grounds(cells.window((x, y, z), at.WINDOW_SHAPE)[None], low)


def find_target(facts: Facts, actors: Actors, cells: CellMap) -> Target | None:
    """What the crosshair rests on, or None."""
    found = aim_hands(facts, _grounds(actors, cells), actors.body[None])
    if not found.found[0]:
        return None
    x, y, z = found.cell[0].tolist()
    nx, ny, nz = found.normal[0].tolist()
    return Target((x, y, z), (nx, ny, nz), float(found.distance[0]))


def feel_ahead(facts: Facts, actors: Actors, cells: CellMap) -> Ahead:
    """What a body would walk into."""
    yaw = math.radians(actors.yaw)
    ax, az = -math.sin(yaw), math.cos(yaw)
    place = np.array([actors.place])
    move = np.array([[ax * FEEL_WALL, 0.0, az * FEEL_WALL]])
    moved = carry(facts, _grounds(actors, cells), place, move, player_boxes(facts, 1)).moved[0]
    blocked = bool(moved[0] * ax + moved[2] * az < 0.5 * FEEL_WALL)
    x, y, z = actors.place
    column, feet, row = cell_of(x + ax * FEEL_DROP, y + 0.01, z + az * FEEL_DROP)
    solid, water = facts.solid_table(), False
    for level in range(feet + FEEL_UP, feet - FEEL_DOWN, -1):
        token = cells.get(column, level, row)
        if token != UNKNOWN and solid[token]:
            return Ahead(blocked, y - (level + 1.0), water)
        water |= token not in (UNKNOWN, facts.empty)
    return Ahead(blocked, float(FEEL_DOWN), water)


def held_tokens(facts: Facts, networks: Answers) -> tuple[int, ...]:
    """The token that each slot of the hotbar most likely places, whatever it is placed on."""
    count = len(facts.names)
    targets = np.flatnonzero(facts.targetable).astype(np.uint8)[:, None]
    found = []
    for slot in range(at.SLOTS):
        numbers = write_numbers(np.full(len(targets), at.PLACE), np.full(len(targets), slot))
        answer = networks("write", numbers, targets)
        found.append(int(answer[:, :count].mean(0).argmax()))
    return tuple(found)
