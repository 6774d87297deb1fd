"""What a scripted player has in its head: a private generator, its newest senses, and where it means to look."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from reverie.simulator.action import Action
from reverie.simulator.world import Senses

LOGS = ("log", "pine_log")
LARGEST_TURN = 30.0
"""Degrees per tick that a hand on a mouse reaches."""
STEADIEST_TURN = 0.06
"""Smaller motions of the hand do not move the mouse."""
STEER_PULL, STEER_NOISE_YAW, STEER_NOISE_PITCH = 0.12, 0.75, 0.22
"""An Ornstein-Uhlenbeck process of the turning speed, per tick."""
PITCH_PULL = 0.015
DIVE_TICKS = 160
"""In each such span a swimmer lets itself sink for up to a quarter of it."""
REST_PITCH = (7.0, 4.0)
"""Mean and spread of the pitch that the gaze comes back to."""


def minimum_jerk(ticks: int) -> np.ndarray:
    """float64 [ticks], sums to 1: the smooth motion of a hand (Flash and Hogan 1985)."""
    u = np.linspace(0.0, 1.0, ticks + 1)
    return np.diff(u**3 * (10.0 - 15.0 * u + 6.0 * u**2))


class Gaze:
    """Camera motion: planned looks on top of the small unsteady steering of a walking player."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._planned: deque[tuple[float, float]] = deque()
        self._speed = np.zeros(2)
        self._steering = False
        self._phase_left = 0
        self._rest_pitch = float(rng.normal(*REST_PITCH))

    @property
    def busy(self) -> bool:
        """A planned look is not over."""
        return bool(self._planned)

    def plan(self, pitch: float, yaw: float, ticks: int) -> None:
        """Adds a smooth look by so many degrees to the plan; it follows those planned before."""
        self._planned.extend((pitch * share, yaw * share) for share in minimum_jerk(max(ticks, 1)))

    def plan_even(self, pitch: float, yaw: float, ticks: int) -> None:
        """Adds a look at constant speed."""
        self._planned.extend([(pitch / ticks, yaw / ticks)] * max(ticks, 1))

    def clear(self) -> None:
        """Forgets what was planned."""
        self._planned.clear()

    def next(self, steer: bool, pitch: float) -> tuple[float, float]:
        """(pitch, yaw) degrees for this tick. `steer`: the hand is on the way, not only on the target."""
        if self._planned:
            motion = self._planned.popleft()
            self._speed[:] = 0.0
        else:
            motion = self._steer(pitch) if steer else (0.0, 0.0)
        return _steady(motion[0]), _steady(motion[1])

    def _steer(self, pitch: float) -> tuple[float, float]:
        """Turns in phases, with the mouse at rest between them."""
        self._phase_left -= 1
        if self._phase_left <= 0:
            self._steering = not self._steering
            span = (8, 36) if self._steering else (15, 70)
            self._phase_left = int(self._rng.integers(*span))
            self._rest_pitch = float(self._rng.normal(*REST_PITCH))
            self._speed[:] = 0.0
        if not self._steering:
            return 0.0, 0.0
        noise = self._rng.normal(size=2) * (STEER_NOISE_PITCH, STEER_NOISE_YAW)
        self._speed += noise - STEER_PULL * self._speed
        down = self._speed[0] + PITCH_PULL * (self._rest_pitch - pitch)
        return float(down), float(self._speed[1])


def _steady(angle: float) -> float:
    if abs(angle) < STEADIEST_TURN:
        return 0.0
    return min(max(angle, -LARGEST_TURN), LARGEST_TURN)


class Mind:
    """A player's senses and habits. `do` makes the action of one tick from held keys and the gaze."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.gaze = Gaze(self.rng)
        self.senses = Senses(tick=0)
        self._believed_pitch = REST_PITCH[0]
        self._dive = int(self.rng.integers(0, DIVE_TICKS // 4))

    def perceive(self, senses: Senses) -> None:
        """Takes in the newest senses."""
        self.senses = senses
        if senses.pitch is not None:
            self._believed_pitch = senses.pitch

    @property
    def pitch(self) -> float:
        """The pitch, felt or reckoned from what was turned."""
        return self._believed_pitch

    @property
    def target(self) -> str | None:
        """The block under the crosshair, if known."""
        return self.senses.target_block

    @property
    def level(self) -> bool:
        """There is even, free ground ahead, as far as is known."""
        senses = self.senses
        return not (senses.blocked or senses.in_water or abs(senses.drop_ahead or 0.0) > 1.0)

    def do(self, *, steer: bool = False, hotbar: int = 0, **keys: bool) -> Action:
        """The action of this tick: these keys and the next motion of the gaze; in water, jump keeps afloat."""
        pitch, yaw = self.gaze.next(steer, self.pitch)
        self._believed_pitch = min(max(self._believed_pitch + pitch, -90.0), 90.0)
        if self.senses.in_water and not keys.get("sneak") and not self.senses.tick % DIVE_TICKS < self._dive:
            keys["jump"] = True
        return Action(**keys, hotbar=hotbar, camera=(pitch, yaw))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.rng.random() < probability)

    def ticks(self, low: float, high: float) -> int:
        """A duration between `low` and `high` seconds, in ticks."""
        return int(self.rng.integers(round(low * 20), round(high * 20) + 1))

    def side(self) -> float:
        """-1 or 1."""
        return 1.0 if self.chance(0.5) else -1.0

    def look(self, pitch: float = 0.0, yaw: float = 0.0, speed: float | None = None) -> None:
        """Plans a smooth look by these angles; `speed` is its mean in degrees per tick (None: as people do)."""
        size = math.hypot(pitch, yaw)
        if speed is None:
            speed = float(self.rng.uniform(2.0, 6.5)) if self.chance(0.88) else float(self.rng.uniform(8.0, 12.0))
        self.gaze.plan(pitch, yaw, max(4, round(size / speed)))

    def look_to_pitch(self, pitch: float, yaw: float = 0.0) -> None:
        """Plans a smooth look that ends at this pitch."""
        self.look(pitch - self.pitch, yaw)
