"""How long a dreamed frame takes, alone and in batches."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from reverie.demos.measure.amounts import WALK, Amounts
from reverie.demos.play import timing
from reverie.simulator.dream import DreamWorld


def frame_speed(world: DreamWorld, state: Any, amounts: Amounts) -> dict[str, Any]:
    """Frames a second, and median and 99th percentile from input to frame, of one dream."""
    seconds = []
    for tick in range(amounts.warm_up + amounts.steps):
        began = time.perf_counter()
        state = world.step(state, WALK)
        world.frame(state)
        if tick >= amounts.warm_up:
            seconds.append(time.perf_counter() - began)
    return timing(seconds)


def batch_speed(world: DreamWorld, state: Any, batch: int, amounts: Amounts) -> float:
    """Frames a second of `batch` dreams that are stepped together."""
    many = world.stack([state] * batch)
    actions = np.tile(WALK.to_vector(), (batch, 1))
    many = world.step_batch(many, actions)
    passes, began = 0, time.perf_counter()
    while passes < amounts.batch_passes and time.perf_counter() - began < amounts.batch_seconds:
        many = world.step_batch(many, actions)
        passes += 1
    return round(passes * batch / (time.perf_counter() - began), 2)
