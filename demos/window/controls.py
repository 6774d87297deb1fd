"""The mailbox between the player's hands and the world: the newest input wins, and no mouse motion is lost."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from reverie.simulator.action import MAX_CAMERA, Action


@dataclass(frozen=True, slots=True)
class Taken:
    """One tick's action, and the time (`time.perf_counter`) of the oldest input in it; None when nothing was new."""

    action: Action
    since: float | None


class Controls:
    """Collects input from the window's thread; the world's thread takes it, one action a tick."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: set[str] = set()
        self._tapped: set[str] = set()
        self._pitch = 0.0
        self._yaw = 0.0
        self._slot = 0
        self._since: float | None = None

    def press(self, button: str) -> None:
        """The button is down from now on, for one tick at least."""
        with self._lock:
            self._held.add(button)
            self._tapped.add(button)
            self._stamp()

    def release(self, button: str) -> None:
        """The button is up again; a press that no tick has seen yet still counts for one."""
        with self._lock:
            self._held.discard(button)
            self._stamp()

    def tap(self, button: str) -> None:
        """The button counts for exactly one tick."""
        with self._lock:
            self._tapped.add(button)
            self._stamp()

    def look(self, pitch: float, yaw: float) -> None:
        """Turns the camera by so many degrees, on top of what has not been taken yet."""
        with self._lock:
            self._pitch += pitch
            self._yaw += yaw
            self._stamp()

    def select(self, slot: int) -> None:
        """Chooses hotbar slot 1-9."""
        with self._lock:
            self._slot = slot
            self._stamp()

    def let_go(self, *, keep_held: bool = False) -> None:
        """Forgets what is waiting, motion and taps; and, unless they are kept, which buttons are down."""
        with self._lock:
            if not keep_held:
                self._held.clear()
            self._tapped.clear()
            self._pitch = self._yaw = 0.0
            self._slot = 0
            self._since = None

    def take(self) -> Taken:
        """The action of this tick. Turns beyond the limit of one tick are left for the next."""
        with self._lock:
            buttons = dict.fromkeys(self._held | self._tapped, True)
            camera = (_limit(self._pitch), _limit(self._yaw))
            action = Action(**buttons, hotbar=self._slot, camera=camera)
            taken = Taken(action, self._since)
            self._tapped.clear()
            self._pitch -= camera[0]
            self._yaw -= camera[1]
            self._slot = 0
            self._since = None
            return taken

    def _stamp(self) -> None:
        if self._since is None:
            self._since = time.perf_counter()


def _limit(angle: float) -> float:
    return max(-MAX_CAMERA, min(MAX_CAMERA, angle))
