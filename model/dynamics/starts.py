"""Actors made from what is known of a body at a start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from reverie.model.cells import CellMap
from reverie.model.dynamics import layout as at
from reverie.model.dynamics.dynamics import Dynamics
from reverie.model.dynamics.state import Actors, read_only


def placed(actors: Actors, place: Sequence[float], yaw: float, pitch: float) -> Actors:
    """Actors whose body stands elsewhere (feet, metres) and looks elsewhere (degrees), and is otherwise the same."""
    body = actors.body.copy()
    body[[at.X, at.Y, at.Z]] = place
    body[[at.YAW, at.PITCH]] = yaw, pitch
    return replace(actors, body=read_only(body))


def moving(
    actors: Actors, velocity: Sequence[float], eye_height: float, on_ground: bool, in_water: bool, slot: int
) -> Actors:
    """Actors with a body in motion (metres a tick) and a chosen slot."""
    body = actors.body.copy()
    body[[at.VX, at.VY, at.VZ]] = velocity
    body[[at.EYE, at.ON_GROUND, at.IN_WATER]] = eye_height, float(on_ground), float(in_water)
    body[at.AIR_TICKS] = 0 if on_ground or in_water else 1
    body[at.DRY_TICKS] = 0 if in_water else at.MAX_TICKS
    return replace(actors, body=read_only(body), hands=replace(actors.hands, slot=slot))


def follow(
    dynamics: Dynamics, cells: CellMap, actors: Actors, poses: np.ndarray, actions: Sequence[Any], seed: int
) -> Actors:
    """Actors after a recorded walk: `poses` float [n, 5] (feet, yaw, pitch), `actions` n - 1 between them.

    Where the body is, the recording says; its velocity, what holds it up, and its hands follow from the actions.
    """
    for tick, action in enumerate(actions[: len(poses) - 1]):
        x, y, z, yaw, pitch = poses[tick].tolist()
        actors = dynamics.step(placed(actors, (x, y, z), yaw, pitch), cells, action, seed, tick).actors
    x, y, z, yaw, pitch = poses[-1].tolist()
    return placed(actors, (x, y, z), yaw, pitch)
