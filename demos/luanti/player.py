"""A scripted player of Luanti: behaviours of one to six seconds, strung together at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from reverie.demos.luanti.engine import FrameState
from reverie.simulator.clip_lines import DEGREES_PER_PIXEL
from reverie.simulator.world import TICKS_PER_SECOND

KEYSYMS: dict[str, str] = {"space": "space", "left.shift": "Shift_L", "left.control": "Control_L"}
"""X's names of keys, where they are not those of VPT."""
WALKING = frozenset("wasd")
BEHAVIOURS: dict[str, float] = {
    "walk": 0.3, "sprint": 0.08, "strafe": 0.08, "back": 0.03, "sneak": 0.02, "still": 0.08, "look": 0.12,
    "circle": 0.04, "away": 0.08, "dig": 0.09, "build": 0.08,
}  # fmt: skip
"""How often each is chosen."""
SECONDS = (1.0, 6.0)
WANDER, CALM = 0.9, 0.12
"""Of the camera's Ornstein-Uhlenbeck walk: degrees a tick of noise, and the share that is lost a tick."""
LEVEL_PITCH, WORK_PITCH = 10.0, 38.0
"""Where the camera comes to rest in walking, and where it looks to dig and build."""
STUCK_TICKS, STUCK_METRES = 60, 0.3
BLOCKED_METRES = 0.05
FREE_TICKS = 50
"""Of digging, by one who is stuck."""


def minimum_jerk(ticks: int, degrees: float) -> np.ndarray:
    """Turns of each tick of a smooth sweep (Flash and Hogan, 1985)."""
    t = np.linspace(0, 1, ticks + 1)
    return np.diff(degrees * (10 * t**3 - 15 * t**4 + 6 * t**5))


@dataclass(frozen=True, slots=True)
class Input:
    """What is held in the next tick, and how far the mouse moves."""

    keys: frozenset[str]
    """X's names; `left` and `right` are the mouse's buttons."""
    right: int
    down: int
    """Pixels."""


class Actor(Protocol):
    """Whoever plays."""

    def act(self, state: FrameState, picture: np.ndarray) -> Input:
        """The next input, from the last frame's log and picture (uint8 [192, 320, 3])."""


@dataclass(slots=True)
class Player:
    """Acts on what the last frame's log said; all of it follows from `rng`."""

    rng: np.random.Generator
    _left: int = 0
    _behaviour: str = "still"
    _keys: frozenset[str] = frozenset()
    _sweep: list[float] = field(default_factory=list)
    _drift: float = 0.0
    _owed: np.ndarray = field(default_factory=lambda: np.zeros(2))
    _places: list[tuple[float, float, float]] = field(default_factory=list)
    """Since it last wanted to stay where it is."""
    _tick: int = 0

    def act(self, state: FrameState, picture: np.ndarray | None = None) -> Input:
        """The next input; the picture is not looked at."""
        self._tick += 1
        self._places = [*self._places[-STUCK_TICKS:], state.place] if self._keys & WALKING else [state.place]
        if self._stuck():
            self._start("free")
        elif self._left <= 0:
            names = list(BEHAVIOURS)
            self._start(str(self.rng.choice(names, p=np.array(list(BEHAVIOURS.values())) / sum(BEHAVIOURS.values()))))
        self._left -= 1
        keys = set(self._keys)
        if "w" in keys and len(self._places) > 3 and self._moved(2) < BLOCKED_METRES:
            keys.add("space")
        yaw, pitch = 0.0, (self._goal() - state.pitch) * 0.06
        if self._sweep:
            yaw = self._sweep.pop(0)
        elif self._behaviour in ("walk", "sprint", "strafe", "sneak", "back"):
            self._drift += self.rng.normal(0, WANDER) - CALM * self._drift
            yaw = self._drift
        if self._behaviour == "build":
            if self._tick % 9 < 3:
                keys.add("right")
            if self._tick % 27 > 22:
                keys.add("s")
        if self._behaviour == "still":
            pitch = 0.0
        self._owed += np.array((yaw, pitch)) / DEGREES_PER_PIXEL
        whole = np.rint(self._owed)
        self._owed -= whole
        return Input(frozenset(KEYSYMS.get(key, key) for key in keys), int(whole[0]), int(whole[1]))

    def _goal(self) -> float:
        return WORK_PITCH if self._behaviour in ("dig", "build") else LEVEL_PITCH

    def _moved(self, ticks: int) -> float:
        return float(np.linalg.norm(np.subtract(self._places[-1], self._places[-1 - ticks])))

    def _stuck(self) -> bool:
        return len(self._places) > STUCK_TICKS and self._moved(STUCK_TICKS) < STUCK_METRES

    def _start(self, behaviour: str) -> None:
        rng = self.rng
        self._behaviour, self._sweep = behaviour, []
        self._left = int(rng.uniform(*SECONDS) * TICKS_PER_SECOND)
        side = float(rng.choice((-1, 1)))
        held: dict[str, Callable[[], set[str]]] = {
            "walk": lambda: {"w"},
            "sprint": lambda: {"w", "left.control"},
            "strafe": lambda: {"a" if side < 0 else "d"} | ({"w"} if rng.random() < 0.5 else set()),
            "back": lambda: {"s"},
            "sneak": lambda: {"w", "left.shift"},
            "dig": lambda: {"left"} | ({"w"} if rng.random() < 0.3 else set()),
            "free": lambda: {"left"},
        }
        self._keys = frozenset(held.get(behaviour, set)())
        if behaviour == "free":
            self._places = []
            self._sweep = list(minimum_jerk(15, side * rng.uniform(70, 160)))
            self._left = FREE_TICKS
        elif behaviour == "look":
            self._sweep = list(minimum_jerk(self._left, side * rng.uniform(20, 120)))
        elif behaviour == "circle":
            self._sweep = list(minimum_jerk(80, side * 360))
            self._left = len(self._sweep)
        elif behaviour == "away":
            there = minimum_jerk(int(rng.integers(14, 30)), side * rng.uniform(90, 180))
            self._sweep = [*there, *[0.0] * int(rng.integers(5, 60)), *(-there)]
            self._left = len(self._sweep)
        elif behaviour == "build":
            self._keys = frozenset({str(int(rng.integers(1, 9)))})  # let go by the next behaviour: it selects but once
