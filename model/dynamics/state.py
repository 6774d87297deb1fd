"""The actors of a dream: its body, hands and entities, as a value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reverie.model.cells import Cell
from reverie.model.dynamics import layout as at

NO_ENTITIES = np.zeros((0, at.ENTITY))
NO_ENTITIES.flags.writeable = False


@dataclass(frozen=True, slots=True)
class Hands:
    """What hands hold and do."""

    slot: int = 0
    """0 to 8."""
    target: Cell | None = None
    """The cell that is being broken."""
    progress: float = 0.0
    """How far, 0 to 1."""
    swing: int = 0
    """Ticks into the arm's swing, 0: at rest."""
    break_age: int = at.MAX_BREAK_AGE
    """Ticks since a cell broke, with the key held throughout."""
    use_age: int = at.MAX_USE_AGE
    """Ticks since the use key went down on a target or a block was placed, with key and a target throughout."""


@dataclass(frozen=True, slots=True, eq=False)
class Actors:
    """Body, hands and entities. Arrays are read-only and shared between states."""

    body: np.ndarray
    """float64 [BODY]"""
    hands: Hands = Hands()
    herd: np.ndarray = field(default_factory=lambda: NO_ENTITIES)
    """float64 [m, ENTITY], at most MAX_ENTITIES."""

    @property
    def place(self) -> tuple[float, float, float]:
        """The middle of the feet, metres."""
        return float(self.body[at.X]), float(self.body[at.Y]), float(self.body[at.Z])

    @property
    def eye(self) -> tuple[float, float, float]:
        """Where the eyes are, in metres."""
        return float(self.body[at.X]), float(self.body[at.Y] + self.body[at.EYE]), float(self.body[at.Z])

    @property
    def yaw(self) -> float:
        """Degrees."""
        return float(self.body[at.YAW])

    @property
    def pitch(self) -> float:
        """Degrees, positive down."""
        return float(self.body[at.PITCH])

    @property
    def on_ground(self) -> bool:
        """Whether something holds the body up."""
        return bool(self.body[at.ON_GROUND])

    @property
    def in_water(self) -> bool:
        """Whether the body swims."""
        return bool(self.body[at.IN_WATER])

    @property
    def crack(self) -> tuple[int, int, int, float] | None:
        """The cell that is being broken, and how far (0 to 1)."""
        hands = self.hands
        return None if hands.target is None or hands.progress <= 0.0 else (*hands.target, hands.progress)

    @property
    def entities(self) -> np.ndarray:
        """float64 [m, 6]: x, y, z of the feet, yaw in degrees, kind, phase of the walk in radians."""
        return self.herd[:, :6]

    def pack(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """As plain JSON and arrays."""
        hands = self.hands
        meta = {
            "slot": hands.slot,
            "target": None if hands.target is None else list(hands.target),
            "progress": hands.progress,
            "swing": hands.swing,
            "break_age": hands.break_age,
            "use_age": hands.use_age,
        }
        return meta, {"body": self.body, "herd": self.herd}

    @classmethod
    def unpack(cls, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Actors:
        """The inverse of `pack`. Raises ValueError, KeyError or TypeError for anything out of range."""
        limits = (
            ("slot", at.SLOTS), ("swing", at.SWINGS), ("break_age", at.MAX_BREAK_AGE + 1),
            ("use_age", at.MAX_USE_AGE + 1),
        )  # fmt: skip
        numbers = {}
        for name, size in limits:
            value = meta[name]
            if type(value) is not int or not 0 <= value < size:
                raise ValueError(f"{name!r} is {value!r}, outside 0 to {size - 1}")
            numbers[name] = value
        target, progress = meta["target"], float(meta["progress"])
        if target is not None:
            if len(target) != 3 or any(type(value) is not int for value in target):
                raise ValueError("'target' must be three whole numbers")
            target = (target[0], target[1], target[2])
        if not 0.0 <= progress <= 1.0:
            raise ValueError(f"'progress' is {progress!r}, outside 0 to 1")
        body, herd = np.array(arrays["body"], np.float64), np.array(arrays["herd"], np.float64)
        if body.shape != (at.BODY,) or herd.ndim != 2 or herd.shape[1] != at.ENTITY or len(herd) > at.MAX_ENTITIES:
            raise ValueError("'body' or 'herd' is of a wrong shape")
        kinds_known = np.isin(herd[:, at.E_KIND], np.arange(at.KINDS)).all()
        if not (np.isfinite(body).all() and np.isfinite(herd).all() and kinds_known and _counters_hold(body)):
            raise ValueError("'body' or 'herd' is out of range")
        return cls(read_only(body), Hands(target=target, progress=progress, **numbers), read_only(herd))


def _counters_hold(body: np.ndarray) -> bool:
    caps = ((at.JUMP_AGE, at.MAX_JUMP_AGE), (at.AIR_TICKS, at.MAX_TICKS), (at.DRY_TICKS, at.MAX_TICKS))
    return all(0 <= body[entry] <= cap and body[entry] == math.floor(body[entry]) for entry, cap in caps)


def read_only(array: np.ndarray) -> np.ndarray:
    """The same array, not to be written to any more."""
    array.flags.writeable = False
    return array


def make_body(place: tuple[float, float, float], yaw: float, pitch: float, eye: float, fall: float) -> np.ndarray:
    """A body float64 [BODY] that stands; `fall` is its velocity upwards, held up by the ground."""
    body = np.zeros(at.BODY)
    body[[at.X, at.Y, at.Z]] = place
    body[[at.YAW, at.PITCH, at.EYE]] = yaw, pitch, eye
    body[at.VY], body[at.ON_GROUND] = fall, 1.0
    body[at.JUMP_AGE], body[at.DRY_TICKS] = at.MAX_JUMP_AGE, at.MAX_TICKS
    return body


def make_herd(entities: np.ndarray) -> np.ndarray:
    """Entities float64 [m, ENTITY] at rest, from their first six numbers [m, 6]."""
    herd = np.zeros((min(len(entities), at.MAX_ENTITIES), at.ENTITY))
    herd[:, :6] = entities[: at.MAX_ENTITIES]
    herd[:, [at.E_WALK_AGE, at.E_TURN_AGE]] = at.MAX_AGE
    return read_only(herd)


def count_body(
    body: np.ndarray, jump: np.ndarray, was_on_ground: np.ndarray, was_in_water: np.ndarray, risen: np.ndarray
) -> None:
    """Advances the counters of bodies [n, BODY] in place after a tick: whether they rose, and stood and swam before."""
    age = np.minimum(body[:, at.JUMP_AGE] + 1, at.MAX_JUMP_AGE)
    age = np.where(was_on_ground & risen, 0, age)
    body[:, at.JUMP_AGE] = np.where(jump, age, at.MAX_JUMP_AGE)
    rests = (body[:, at.ON_GROUND] > 0) | was_in_water
    body[:, at.AIR_TICKS] = np.where(rests, 0, np.minimum(body[:, at.AIR_TICKS] + 1, at.MAX_TICKS))
    wet = body[:, at.IN_WATER] > 0
    body[:, at.DRY_TICKS] = np.where(wet, 0, np.minimum(body[:, at.DRY_TICKS] + 1, at.MAX_TICKS))


def count_break(age: int, attack: bool, broke: bool) -> int:
    """Hands' `break_age` after a tick."""
    return at.MAX_BREAK_AGE if not attack else 0 if broke else min(age + 1, at.MAX_BREAK_AGE)


def count_use(age: int, use: bool, found: bool, placed: bool) -> int:
    """Hands' `use_age` after a tick."""
    if not use or not found:
        return at.MAX_USE_AGE
    return 0 if placed or age == at.MAX_USE_AGE else min(age + 1, at.MAX_USE_AGE - 1)


def count_herd(herd: np.ndarray, motion: np.ndarray, turn: np.ndarray) -> None:
    """Advances entities [n, ENTITY] in place by a tick's motion [n, 3] and turn [n]: their memory of it."""
    for entry, now, before in (
        (at.E_WALK_AGE, np.hypot(motion[:, 0], motion[:, 2]) > at.MOVING,
         np.hypot(herd[:, at.E_DX], herd[:, at.E_DZ]) > at.MOVING),
        (at.E_TURN_AGE, np.abs(turn) > at.TURNING, np.abs(herd[:, at.E_TURN]) > at.TURNING),
    ):  # fmt: skip
        herd[:, entry] = np.where(now == before, np.minimum(herd[:, entry] + 1, at.MAX_AGE), 0)
    herd[:, at.E_DX : at.E_DZ + 1] = motion
    herd[:, at.E_TURN] = turn
