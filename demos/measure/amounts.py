"""How much of everything `reverie bench` does."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from reverie.simulator.action import Action

WALK = Action(forward=True, camera=(0.0, 2.0))
"""What is done while speed is measured."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """Counts of ticks, passes, processes and clips."""

    steps: int = 200
    """Ticks that are timed."""
    warm_up: int = 10
    """Ticks before them."""
    batches: tuple[int, ...] = (1, 4, 16, 64)
    batch_passes: int = 20
    batch_seconds: float = 5.0
    """A batch size is timed until its passes or seconds are used up."""
    profiled: int = 50
    """Passes that the parts of the graph are timed over."""
    starts: int = 3
    """How often the command is started; the median start counts."""
    voxel_steps: int = 200
    envs: tuple[int, ...] = (1, 2, 8)
    clips: int = 4
    """Held-out clips that each backend's picture is judged on."""
    probe_side: int = 1024
    """Rows and columns of the matrices that the machine's peak is measured with."""
    probe_seconds: float = 1.0


def settle(seconds: float) -> None:
    """Leaves the machine alone, so that what one measurement heated or filled does not count in the next."""
    time.sleep(seconds)


def start_picture(size: tuple[int, int]) -> np.ndarray:
    """A start that every model has: sky above, ground below, uint8 [h, w, 3]."""
    picture = np.full((*size, 3), (120, 170, 240), np.uint8)
    picture[size[0] // 2 :] = (90, 140, 60)
    return picture
