"""The world's own thread: a fixed clock of 20 ticks a second that takes the newest input and shows the newest frame."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from reverie.demos.window.controls import Taken
from reverie.simulator.action import Action
from reverie.simulator.world import TICKS_PER_SECOND

T = TypeVar("T")
RATE_WINDOW = 20
"""Frames over which the rate is averaged."""
MAX_STEPS_KEPT = 20_000
"""Step times kept for the closing statistics."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The newest frame (uint8 [h, w, 3]). `since` is when the oldest input in it was made, None without new input."""

    frame: np.ndarray
    tick: int
    number: int
    since: float | None


class Beat:
    """A clock of equal periods. A late caller goes on from now: missed beats are dropped, never caught up."""

    def __init__(self, period: float) -> None:
        self._period = period
        self._next = time.perf_counter()

    def wait(self) -> None:
        """Sleeps until the next beat."""
        now = time.perf_counter()
        if now < self._next:
            time.sleep(self._next - now)
        else:
            self._next = now
        self._next += self._period


class Runner:
    """Steps a Simulator in a thread of its own.

    `source` gives the action of each tick from the session's state; `on_step(frame, action, sim)` sees each frame with
    the action that followed it, after the next frame is already on show; `on_frame()` is called when there is one.
    An exception in the thread ends it and is kept in `error`.
    """

    def __init__(
        self,
        sim: Any,
        source: Callable[[Any], Taken],
        on_step: Callable[[np.ndarray, Action, Any], None] | None = None,
        on_frame: Callable[[], None] | None = None,
        ticks_per_second: float = TICKS_PER_SECOND,
    ) -> None:
        self.error: Exception | None = None
        self.steps = 0
        self.step_seconds: deque[float] = deque(maxlen=MAX_STEPS_KEPT)
        self._sim = sim
        self._source = source
        self._on_step = on_step
        self._on_frame = on_frame
        self._period = 1.0 / ticks_per_second
        self._lock = threading.Lock()
        self._paused = False
        self._stopping = False
        self._finished: deque[float] = deque(maxlen=RATE_WINDOW)
        self._shown = Shown(sim.frame, sim.tick, 0, None)
        self._thread = threading.Thread(target=self._run, name="world", daemon=True)

    @property
    def shown(self) -> Shown:
        """The newest frame."""
        return self._shown

    @property
    def frames_per_second(self) -> float:
        """Over the last second or so; 0 while paused or before there is anything to tell."""
        finished = list(self._finished)
        if self._paused or len(finished) < 2:
            return 0.0
        return (len(finished) - 1) / (finished[-1] - finished[0])

    def start(self) -> None:
        """Begins to tick."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the step that it is in."""
        self._stopping = True
        if self._thread.is_alive():
            self._thread.join()

    def pause(self) -> None:
        """Holds the world still; on return no step is under way."""
        self._paused = True
        with self._lock:
            self._finished.clear()

    def resume(self) -> None:
        """Lets the world go on."""
        self._paused = False

    def call(self, job: Callable[[Any], T]) -> T:
        """Runs `job(sim)` between two steps, in the caller's thread, and shows the frame that it leaves behind."""
        paused, self._paused = self._paused, True  # a world that is always late would never let go of the lock
        try:
            with self._lock:
                result = job(self._sim)
                self._show(None)
        finally:
            self._paused = paused
        return result

    def step_once(self) -> None:
        """One tick, for a paused world."""
        with self._lock:
            self._step()

    def replace(self, sim: Any) -> None:
        """Goes on with another session."""
        with self._lock:
            self._sim = sim
            self._show(None)

    def _run(self) -> None:
        beat = Beat(self._period)
        try:
            while not self._stopping:
                beat.wait()
                with self._lock:
                    if not self._paused and not self._stopping:
                        self._step()
                        self._finished.append(time.perf_counter())
        except Exception as error:  # shown by the window's thread, which owns the exit
            self.error = error

    def _step(self) -> None:
        before = self._shown.frame
        taken = self._source(self._sim)
        began = time.perf_counter()
        self._sim.step(taken.action)
        self.step_seconds.append(time.perf_counter() - began)
        self.steps += 1
        self._show(taken.since)
        if self._on_step is not None:
            self._on_step(before, taken.action, self._sim)

    def _show(self, since: float | None) -> None:
        self._shown = Shown(self._sim.frame, self._sim.tick, self._shown.number + 1, since)
        if self._on_frame is not None:
            self._on_frame()
