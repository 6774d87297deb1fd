"""Clocks that only count, for what is bounded or paced by time: a busy machine makes no difference to them."""

from __future__ import annotations

import importlib
import threading
import time
from typing import Any

import pytest


class CountedTime:
    """Stands for the module `time`: it is later by `a_look` seconds after each look at it, and by what is slept."""

    def __init__(self, a_look: float = 0.0) -> None:
        self.now = 1000.0
        self.a_look = a_look
        self.sleeps: list[float] = []
        self._lock = threading.Lock()

    def perf_counter(self) -> float:
        with self._lock:
            self.now += self.a_look
            return self.now

    monotonic = perf_counter

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.now += seconds
            self.sleeps.append(seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


BOXED = (
    "reverie.demos.train", "reverie.demos.finetune", "reverie.demos.footage", "reverie.model.training.loop",
    "reverie.model.training.readers", "reverie.model.training.trainer",
)  # fmt: skip
"""Modules that work until a time is over."""


def count_steps(monkeypatch: pytest.MonkeyPatch, a_look: float) -> None:
    """Training takes `a_look` seconds for each look at the clock, so that its time boxes hold a number of steps."""
    clock = CountedTime(a_look)
    for name in BOXED:
        monkeypatch.setattr(importlib.import_module(name), "time", clock)
