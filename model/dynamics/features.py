"""What each network of dynamics is given, and what its answer means; the same at play and in training.

Inputs are numbers float32 [n, k] and tokens uint8; answers are raw outputs [n, o]. `read_*` turn answers into named
records and work on arrays and tensors alike. Letters: n bodies, c tokens, v events.

A body moves in two steps. `push` gives the motion that it attempts: in its own frame (forward, left, up), a factor of
its velocity and an addition to it, so that laws which are linear for given keys and contacts are easy to learn
exactly. After the geometry has said how far it gets, `contact` gives what is left of that motion as velocity.
Cells are seen as the greatest of learned numbers over the columns that the box overlaps, level by level: a body's law
then depends neither on compass directions nor on where in its cell it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from reverie.model.actions import ACTION_INDEX, CAMERA_SCALE
from reverie.model.dynamics import layout as at
from reverie.model.dynamics.config import DynamicsConfig, Facts

KEYS = ("forward", "back", "left", "right", "jump", "sneak", "sprint")
"""Keys that move the body."""
HAND_KEYS = ("attack", "use", "pickItem")
SPEED = 0.3
"""Metres a tick that an input of 1 stands for."""
ADDED = 0.1
"""Metres a tick that an output of 1 adds."""
PROGRESS = 0.1
"""Progress a tick that an output of 1 stands for."""
SHARPNESS = 20.0
"""How much an input tells whether progress has reached 1."""
NEAR = 2.0
"""Metres within which an entity may push."""
AHEAD = 0.5
"""Metres before its box at which an entity sees the ground."""
PROBE = 0.1
"""Metres ahead and below within which an entity feels a wall and the ground."""
PERIODS = (2, 3, 4, 5, 6, 7, 8)
"""Ticks: what a held key may repeat after."""
CELL_FACTS = 2
"""Numbers of a token that come from recordings: solid, UNKNOWN; then those that are learned."""

_KEYS = np.array([ACTION_INDEX[key] for key in KEYS])
_HAND_KEYS = np.array([ACTION_INDEX[key] for key in HAND_KEYS])
_HOTBAR = np.array([ACTION_INDEX[f"hotbar.{slot}"] for slot in range(1, at.SLOTS + 1)])
_CAMERA = np.array([ACTION_INDEX["cameraX"], ACTION_INDEX["cameraY"]])
JUMP, SNEAK = KEYS.index("jump"), KEYS.index("sneak")
ATTACK, USE, PICK = range(3)


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a network: numbers, groups of levels, cells of hands, and outputs."""

    numbers: int
    levels: int = 0
    targets: int = 0
    outputs: int = 1

    def inputs(self, config: DynamicsConfig) -> int:
        """Numbers that enter its first layer."""
        cell, target = CELL_FACTS + config.cell_channels, CELL_FACTS + config.target_channels
        return self.numbers + self.levels * at.LEVELS * cell + self.targets * target


def shapes(tokens: int, events: int) -> dict[str, Shape]:
    """Every network by name."""
    keys = len(KEYS)
    jump_ages = at.MAX_JUMP_AGE + 1
    ages = at.MAX_BREAK_AGE + 1 + at.USE_AGES + 2 * len(PERIODS)
    entity = at.KINDS + 3 + 1 + 3 + 4 + 3
    return {
        "push": Shape(keys + 3 + jump_ages + 3 + 2 + 4, levels=1, outputs=10),
        "contact": Shape(keys + 3 + 3 + 4 + 2 + 1, levels=2, outputs=7 + events),
        "slot": Shape(2 * at.SLOTS + 3, targets=1, outputs=at.SLOTS),
        "dig": Shape(5 + at.MAX_BREAK_AGE + 1, targets=1, outputs=2),
        "act": Shape(4 + 6 + 2 + ages + at.SLOTS, targets=2, outputs=3),
        "write": Shape(3 + at.SLOTS, targets=1, outputs=tokens + events),
        "swing": Shape(3 + 3 + at.SWINGS, outputs=at.SWINGS),
        "turn": Shape(entity, levels=2, outputs=at.TURN_BINS),
        "walk": Shape(entity + at.TURN_BINS, levels=2, outputs=at.MODES * 5 + 2),
    }


def one_hot(values: np.ndarray, size: int) -> np.ndarray:
    """float32 [n, size] of whole numbers [n]."""
    return np.eye(size, dtype=np.float32)[np.asarray(values, np.intp)]


class Inputs(NamedTuple):
    """What players do: keys float32 [n, 7] and [n, 3], slots named by keys float32 [n, 9] (one-hot or nothing), and
    turns of the camera in degrees float64 [n, 2] (pitch, yaw)."""

    keys: np.ndarray
    hand_keys: np.ndarray
    hotbar: np.ndarray
    camera: np.ndarray


def read_actions(actions: np.ndarray) -> Inputs:
    """From vectors float32 [n, 25]."""
    held = (actions > 0.5).astype(np.float32)
    camera = actions[:, _CAMERA].astype(np.float64) * CAMERA_SCALE
    return Inputs(held[:, _KEYS], held[:, _HAND_KEYS], held[:, _HOTBAR], camera)


def frames_of(yaw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sine and cosine of yaws in degrees [n]. Forward is (-sin, cos), left (cos, sin) in (x, z)."""
    angle = np.radians(yaw)
    return np.sin(angle), np.cos(angle)


def _column(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)[:, None]


def near_entity(body: np.ndarray, entities: np.ndarray, sin: np.ndarray, cos: np.ndarray) -> np.ndarray:
    """float32 [n, 4]: the nearest entity of each body within NEAR metres: forward, left, up of it, and whether there is
    one. `entities` float64 [n, m, 3 or more], NaN where there is none."""
    if not entities.shape[1]:
        return np.zeros((len(body), 4), np.float32)
    away = entities[:, :, :3] - body[:, None, :3]
    distance = np.nan_to_num(np.hypot(away[..., 0], away[..., 2]) + np.abs(away[..., 1]) * 0.5, nan=np.inf)
    rows = np.arange(len(body))
    nearest = distance.argmin(1)
    there = distance[rows, nearest] < NEAR
    dx, dy, dz = away[rows, nearest].T
    found = np.stack([cos * dz - sin * dx, cos * dx + sin * dz, dy, np.ones(len(body))], 1)
    return np.where(there[:, None], found, 0.0).astype(np.float32)


def push_numbers(
    body: np.ndarray, keys: np.ndarray, fraction: np.ndarray, near: np.ndarray, velocity: np.ndarray
) -> np.ndarray:
    """For `push`. `velocity` float64 [n, 3]: forward, left, up, metres a tick."""
    flags = body[:, [at.ON_GROUND, at.IN_WATER, at.BUMPED]].astype(np.float32)
    age = one_hot(body[:, at.JUMP_AGE], at.MAX_JUMP_AGE + 1)
    speed = (velocity / SPEED).astype(np.float32)
    rest = [_column(fraction), _column(body[:, at.EYE] - 1.6)]
    return np.concatenate([keys, flags, age, speed, *rest, near], 1)


class Push(NamedTuple):
    """The motion that bodies attempt: forward, left, up [n] metres a tick; chance (as a logit) that there is none
    sideways, and that an edge holds them; height of their eyes."""

    forward: Any
    left: Any
    up: Any
    still: Any
    held: Any
    eye: Any


def read_push(out: Any, velocity: Any, eye: Any) -> Push:
    """From answers [n, 10], velocities [n, 3] (forward, left, up) and heights of eyes [n]."""
    return Push(
        out[:, 0] * velocity[:, 0] + ADDED * out[:, 3],
        out[:, 1] * velocity[:, 1] + ADDED * out[:, 4],
        out[:, 2] * velocity[:, 2] + ADDED * out[:, 5],
        out[:, 6],
        out[:, 7],
        out[:, 8] * (eye - 1.6) + ADDED * out[:, 9] + 1.6,
    )


def contact_numbers(
    body: np.ndarray, keys: np.ndarray, hits: np.ndarray, move: np.ndarray, held: np.ndarray, fraction: np.ndarray
) -> np.ndarray:
    """For `contact`: after a sweep of `move` float64 [n, 3], which `hits` int8 [n, 3] stopped."""
    flags = body[:, [at.ON_GROUND, at.IN_WATER, at.BUMPED]].astype(np.float32)
    stopped = [_column((hits[:, 0] != 0) | (hits[:, 2] != 0)), _column(hits[:, 1] < 0), _column(hits[:, 1] > 0)]
    motion = [_column(move[:, 1] / SPEED), _column(np.hypot(move[:, 0], move[:, 2]) / SPEED)]
    ticks = [_column(body[:, age] / at.MAX_TICKS) for age in (at.AIR_TICKS, at.DRY_TICKS)]
    started = [_column(move[:, 1] < 0), _column(held)]
    return np.concatenate([keys, flags, *stopped, *motion, *ticks, *started, _column(fraction)], 1)


class Contact(NamedTuple):
    """What is left of attempted motion as velocity: along x and z where it was `free` and where it was `stopped`, a
    factor [n]; upwards a factor and an addition; logits of being in water, on the ground and bumped, and of events
    [n, v]."""

    free: Any
    stopped: Any
    up: Any
    added: Any
    in_water: Any
    on_ground: Any
    bumped: Any
    events: Any


def read_contact(out: Any) -> Contact:
    """From answers [n, 7 + v]."""
    return Contact(
        out[:, 0], out[:, 1], out[:, 2], ADDED * out[:, 3], out[:, 4], out[:, 5], out[:, 6], out[:, 7:]
    )  # fmt: skip


def slot_numbers(slot: np.ndarray, inputs: Inputs, found: np.ndarray) -> np.ndarray:
    """For `slot`."""
    named = inputs.hotbar.any(1, keepdims=True).astype(np.float32)
    pick = inputs.hand_keys[:, [PICK]]
    return np.concatenate([one_hot(slot, at.SLOTS), inputs.hotbar, named, pick, _column(found)], 1)


def dig_numbers(hand_keys: np.ndarray, found: np.ndarray, progress: np.ndarray, break_age: np.ndarray) -> np.ndarray:
    """For `dig`. `progress` [n] of the cell under the crosshair."""
    age = one_hot(break_age, at.MAX_BREAK_AGE + 1)
    return np.concatenate([hand_keys, _column(found), _column(progress), age], 1)


class Dig(NamedTuple):
    """Whether hands work on the target (a logit), and by how much it is nearer to breaking, [n]."""

    works: Any
    rate: Any


def read_dig(out: Any) -> Dig:
    """From answers [n, 2]."""
    return Dig(out[:, 0], PROGRESS * out[:, 1])


def _use_ages(age: np.ndarray) -> list[np.ndarray]:
    """float32 [n, ...]: ages of the use key one by one, and as waves, since a key that is held acts again and again."""
    held = age < at.MAX_USE_AGE
    single = np.where(held, np.minimum(age, at.USE_AGES - 2), at.USE_AGES - 1)
    turns = 2 * np.pi * age[:, None] / np.array(PERIODS)
    waves = np.concatenate([np.sin(turns), np.cos(turns)], 1) * held[:, None]
    return [one_hot(single, at.USE_AGES), waves.astype(np.float32)]


def act_numbers(
    hand_keys: np.ndarray,
    found: np.ndarray,
    normal: np.ndarray,
    distance: np.ndarray,
    reach: float,
    in_the_way: np.ndarray,
    works: np.ndarray,
    progress: np.ndarray,
    break_age: np.ndarray,
    use_age: np.ndarray,
    slot: np.ndarray,
) -> np.ndarray:
    """For `act`. `in_the_way` bool [n, 2]: the body, or an entity, is where a block would be placed; `progress` [n] is
    the target's after this tick."""
    share = np.where(found, distance / max(reach, 1e-6), 1.0)
    sides = [_column(normal[:, 1] > 0), _column(normal[:, 1] < 0), _column((normal[:, 0] != 0) | (normal[:, 2] != 0))]
    done = np.clip((progress - 1.0) * SHARPNESS, -2.0, 2.0)
    parts = [hand_keys, _column(found), *sides, _column(share), _column(done), _column(works)]
    ages = [one_hot(break_age, at.MAX_BREAK_AGE + 1), *_use_ages(use_age)]
    return np.concatenate([*parts, in_the_way.astype(np.float32), *ages, one_hot(slot, at.SLOTS)], 1)


def write_numbers(event: np.ndarray, slot: np.ndarray) -> np.ndarray:
    """For `write`, whose answers are logits of the token that is written [n, c] and, added to those of `contact`, of
    events [n, v]."""
    return np.concatenate([one_hot(event, 3), one_hot(slot, at.SLOTS)], 1)


def swing_numbers(hand_keys: np.ndarray, event: np.ndarray, swing: np.ndarray) -> np.ndarray:
    """For `swing`."""
    return np.concatenate([hand_keys, one_hot(event, 3), one_hot(swing, at.SWINGS)], 1)


def entity_numbers(
    entity: np.ndarray,
    motion: np.ndarray,
    turn: np.ndarray,
    limit: float,
    grounded: np.ndarray,
    blocked: np.ndarray,
    fraction: np.ndarray,
    player: np.ndarray,
) -> np.ndarray:
    """For `turn` and `walk`. `motion` float64 [n, 3]: forward, left, up in metres in the last tick; `turn` [n] in
    degrees in this one or the last; `player` float32 [n, 3]: forward and left of it, and whether it is near."""
    counters = [entity[:, at.E_WALK_AGE], entity[:, at.E_TURN_AGE]]
    ages = [_column(np.minimum(age, cap) / cap) for age in counters for cap in (20, at.MAX_AGE)]
    felt = [_column(grounded), _column(blocked), _column(fraction)]
    moved = (motion / ADDED).astype(np.float32)
    return np.concatenate(
        [one_hot(entity[:, at.E_KIND], at.KINDS), moved, _column(turn / limit), *felt, *ages, player], 1
    )


def near_player(entity: np.ndarray, place: np.ndarray, sin: np.ndarray, cos: np.ndarray) -> np.ndarray:
    """float32 [n, 3]: forward and left of the player as each entity sees it, and whether it is within NEAR metres."""
    dx, dy, dz = (place - entity[:, :3]).T
    there = (np.hypot(dx, dz) < NEAR) & (np.abs(dy) < NEAR)
    found = np.stack([cos * dz - sin * dx, cos * dx + sin * dz, np.ones(len(entity))], 1)
    return np.where(there[:, None], found, 0.0).astype(np.float32)


class Walk(NamedTuple):
    """How entities may move: logits of MODES [n, k], and for each the motion attempted in metres, forward and up
    [n, k]; to the left [n], the same for all."""

    modes: Any
    forward: Any
    up: Any
    left: Any


def read_walk(out: Any, motion: Any) -> Walk:
    """From answers [n, 5 k + 2] and motions [n, 3] (forward, left, up) of the last tick."""
    k = at.MODES
    forward = out[:, k : 2 * k] * motion[:, :1] + ADDED * out[:, 2 * k : 3 * k]
    up = out[:, 3 * k : 4 * k] * motion[:, 2:] + ADDED * out[:, 4 * k : 5 * k]
    return Walk(out[:, :k], forward, up, out[:, 5 * k] * motion[:, 1] + ADDED * out[:, 5 * k + 1])


def turn_bins(limit: float) -> np.ndarray:
    """float64 [TURN_BINS]: degrees a tick that each stands for."""
    return np.linspace(-limit, limit, at.TURN_BINS)


def turn_bin(turn: np.ndarray, limit: float) -> np.ndarray:
    """The nearest bin of turns [n] in degrees."""
    share = (np.clip(turn, -limit, limit) / limit + 1) / 2
    return np.round(share * (at.TURN_BINS - 1)).astype(np.intp)


def token_facts(facts: Facts) -> np.ndarray:
    """float32 [256, CELL_FACTS]: what recordings show of each token."""
    table = np.zeros((256, CELL_FACTS), np.float32)
    table[:, 0] = facts.solid_table()
    table[len(facts.names) :, 1] = 1.0
    return table
