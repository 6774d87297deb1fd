"""Parts of a tick that are geometry, on batches: what play and training both go through.

Every function takes `Grounds`: the cells about n boxes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from reverie.model.cells import UNKNOWN, Cell
from reverie.model.dynamics import layout as at
from reverie.model.dynamics.config import Facts
from reverie.model.dynamics.features import AHEAD, PROBE, Push
from reverie.model.dynamics.geometry import EPSILON, aim, levels, stay_on_edge, sweep

MAX_PITCH = 90.0


class Grounds(NamedTuple):
    """Cells uint8 [n, sx, sy, sz], each from `low` int64 [n, 3] on."""

    cells: np.ndarray
    low: np.ndarray


class Boxes(NamedTuple):
    """Half widths and heights in metres, float64 [n]."""

    half: np.ndarray
    height: np.ndarray


class Aim(NamedTuple):
    """What crosshairs rest on: whether there is a target bool [n], its cell and the face's normal int64 [n, 3], metres
    [n], and tokens uint8 [n, 2] of the cell and of the one before the face."""

    found: np.ndarray
    cell: np.ndarray
    normal: np.ndarray
    distance: np.ndarray
    tokens: np.ndarray


class Carried(NamedTuple):
    """How far boxes got, float64 [n, 3], and the signs of what was stopped, int8 [n, 3]."""

    moved: np.ndarray
    hits: np.ndarray


class Levels(NamedTuple):
    """Tokens uint8 [n, LEVELS, COLUMNS] about boxes, and float32 [n] the height of the feet in their cell."""

    tokens: np.ndarray
    fraction: np.ndarray


def own_cells(place: np.ndarray) -> np.ndarray:
    """int64 [n, 3]: the cells of feet float64 [n, 3]."""
    return np.floor(place + (0.0, at.FLOOR_MARGIN, 0.0)).astype(np.int64)


def player_boxes(facts: Facts, n: int) -> Boxes:
    """The player's box, n times."""
    return Boxes(np.full(n, facts.half), np.full(n, facts.height))


def entity_boxes(facts: Facts, kinds: np.ndarray) -> Boxes:
    """Boxes of entities of these kinds [n]."""
    table = facts.box_table()
    chosen = table[np.minimum(kinds.astype(np.intp), len(table) - 1)]
    return Boxes(np.ascontiguousarray(chosen[:, 0]), np.ascontiguousarray(chosen[:, 1]))


def turn_head(body: np.ndarray, camera: np.ndarray) -> None:
    """Turns bodies [n, BODY] in place by degrees [n, 2] (pitch, yaw)."""
    body[:, at.PITCH] = np.clip(body[:, at.PITCH] + camera[:, 0], -MAX_PITCH, MAX_PITCH)
    body[:, at.YAW] += camera[:, 1]


def aim_hands(facts: Facts, grounds: Grounds, body: np.ndarray) -> Aim:
    """What the crosshairs of bodies [n, BODY] rest on."""
    n = len(body)
    eye = body[:, : at.Z + 1].copy()
    eye[:, 1] += body[:, at.EYE]
    yaw, pitch = np.radians(body[:, at.YAW]), np.radians(body[:, at.PITCH])
    look = np.stack([-np.sin(yaw) * np.cos(pitch), -np.sin(pitch), np.cos(yaw) * np.cos(pitch)], 1)
    cell, normal = np.empty((n, 3), np.int64), np.empty((n, 3), np.int64)
    distance, tokens = np.empty(n), np.empty((n, 2), np.uint8)
    aim(*grounds, eye, look, facts.reach, facts.targetable_table(), facts.empty, cell, normal, distance, tokens)
    return Aim(np.isfinite(distance), cell, normal, distance, tokens)


def in_the_way(facts: Facts, body: np.ndarray, entities: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """bool [n, 2]: whether the body [n, BODY], or an entity [n, m, 5 or more] (NaN: none), is in a cell int [n, 3]."""
    mine = _overlaps(body[:, None, :3], np.array([[facts.half]]), np.array([[facts.height]]), cell)
    if not entities.shape[1]:
        return np.concatenate([mine, np.zeros_like(mine)], 1)
    boxes = entity_boxes(facts, np.nan_to_num(entities[..., at.E_KIND]).reshape(-1))
    shape = entities.shape[:2]
    theirs = _overlaps(entities[..., :3], boxes.half.reshape(shape), boxes.height.reshape(shape), cell)
    return np.concatenate([mine, theirs.any(1, keepdims=True)], 1)


def _overlaps(place: np.ndarray, half: np.ndarray, height: np.ndarray, cell: np.ndarray) -> np.ndarray:
    x, y, z = (cell[:, None, axis] for axis in range(3))
    reach = half + 0.5 - EPSILON
    wide = (np.abs(place[..., 0] - x - 0.5) < reach) & (np.abs(place[..., 2] - z - 0.5) < reach)
    return wide & (place[..., 1] < y + 1 - EPSILON) & (place[..., 1] + height > y + EPSILON)


def see(facts: Facts, grounds: Grounds, place: np.ndarray, half: np.ndarray, first: int) -> Levels:
    """The cells about boxes at places float64 [n, 3], from `first` cells above their own on."""
    n = len(place)
    tokens, fraction = np.empty((n, at.LEVELS, at.COLUMNS), np.uint8), np.empty(n, np.float32)
    levels(*grounds, place, half, first, at.FLOOR_MARGIN, facts.empty, tokens, fraction)
    return Levels(tokens, fraction)


def to_frame(velocity: np.ndarray, sin: np.ndarray, cos: np.ndarray) -> np.ndarray:
    """float64 [n, 3]: forward, left, up of velocities along x, y, z."""
    vx, vy, vz = velocity.T
    return np.stack([cos * vz - sin * vx, cos * vx + sin * vz, vy], 1)


def to_world(forward: np.ndarray, left: np.ndarray, up: np.ndarray, sin: np.ndarray, cos: np.ndarray) -> np.ndarray:
    """float64 [n, 3]: the inverse of `to_frame`."""
    return np.stack([left * cos - forward * sin, up, forward * cos + left * sin], 1)


def attempt(push: Push, sin: np.ndarray, cos: np.ndarray) -> np.ndarray:
    """float64 [n, 3]: the motion that bodies attempt along x, y, z. Of two outcomes the likelier one happens."""
    moves = np.asarray(push.still) <= 0
    forward, left = np.where(moves, push.forward, 0.0), np.where(moves, push.left, 0.0)
    return within(to_world(forward, left, np.asarray(push.up, np.float64), sin, cos), at.BODY_REACH)


def within(move: np.ndarray, reach: tuple[float, float, float]) -> np.ndarray:
    """Moves float64 [n, 3], none longer than the cells about a box reach."""
    return np.clip(move, np.negative(reach), reach)


def held_back(facts: Facts, grounds: Grounds, place: np.ndarray, move: np.ndarray) -> np.ndarray:
    """float64 [n, 3]: the part of moves after which there is still something under the player's box."""
    out = np.empty_like(move)
    half = np.full(len(place), facts.half)
    stay_on_edge(*grounds, place, move, half, facts.solid_table(), facts.empty, out)
    return out


def carry(facts: Facts, grounds: Grounds, place: np.ndarray, move: np.ndarray, boxes: Boxes) -> Carried:
    """How far boxes get on their moves float64 [n, 3]."""
    moved, hits = np.empty_like(move), np.empty(move.shape, np.int8)
    sweep(*grounds, place, move, *boxes, facts.solid_table(), facts.empty, moved, hits)
    return Carried(moved, hits)


class Felt(NamedTuple):
    """What entities feel: bool [n] ground under them, and a wall ahead; levels about and ahead of them."""

    grounded: np.ndarray
    blocked: np.ndarray
    here: Levels
    ahead: Levels


def feel(
    facts: Facts, grounds: Grounds, place: np.ndarray, boxes: Boxes, sin: np.ndarray, cos: np.ndarray
) -> Felt:  # fmt: skip
    """What entities at places float64 [n, 3] feel."""
    n = len(place)
    down = np.zeros((n, 3))
    down[:, 1] = -PROBE
    onward = np.stack([-sin * PROBE, np.zeros(n), cos * PROBE], 1)
    grounded = carry(facts, grounds, place, down, boxes)
    blocked = carry(facts, grounds, place, onward, boxes).hits.any(1)
    reach = boxes.half + AHEAD
    before = place + np.stack([-sin * reach, np.zeros(n), cos * reach], 1)
    here = see(facts, grounds, place, boxes.half, at.BODY_LEVELS_FROM)
    ahead = see(facts, grounds, before, np.full(n, 2 * EPSILON), at.AHEAD_LEVELS_FROM)
    held = (grounded.hits[:, 1] < 0) & (grounded.moved[:, 1] > -1e-3)
    return Felt(np.asarray(held), np.asarray(blocked), here, ahead)


def put(grounds: Grounds, index: int, cell: Cell, token: int) -> None:
    """Writes a token into the cells about one box, in place, if they hold that cell."""
    x, y, z = (int(c - o) for c, o in zip(cell, grounds.low[index]))
    sx, sy, sz = grounds.cells.shape[1:]
    if 0 <= x < sx and 0 <= y < sy and 0 <= z < sz:
        grounds.cells[index, x, y, z] = token


def unknown_under(grounds: Grounds, place: np.ndarray) -> np.ndarray:
    """bool [n]: whether nothing is known of the cell of feet, or of the one below."""
    n = np.arange(len(place))
    x, y, z = (own_cells(place) - grounds.low).T
    return (grounds.cells[n, x, y, z] == UNKNOWN) | (grounds.cells[n, x, y - 1, z] == UNKNOWN)
