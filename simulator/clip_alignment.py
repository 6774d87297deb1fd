"""How well the camera turns that a recording tells agree with what its pictures show.

The image shift between two frames is found by block matching and correlated with the turns of the tick between them,
and of the ticks before and after: a recorder that is a frame late shows here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reverie.simulator.action import Action

LAGS = (-1, 0, 1)
"""Ticks by which the turns are moved against the pictures."""
QUIET_TICKS = 2
"""Ticks on either side of a turn in which no key may be held: walking moves pictures too."""
LARGEST_TURN, LARGEST_NOD = 12.0, 2.0
"""Degrees a tick of yaw and pitch; beyond it too little is left of the picture to be found again."""
FRAME = (96, 160)
"""Size (height, width) of the frames that are looked at."""
REACH, REACH_ROWS = 22, 3
"""Largest shift in pixels that is looked for, sideways and up or down."""
CLEAR = 0.6
"""The best place counts if it differs by less than this share of the median place."""
SEEN_ROWS = (0.06, 0.72)
"""Part of the picture's height that is looked at: what is below is hotbar and hand."""
FEWEST_TICKS = 30


@dataclass(frozen=True, slots=True)
class Alignment:
    """What was measured, on `ticks` ticks in which the camera turned and nothing else was done."""

    ticks: int
    r: tuple[float, float, float]
    """Correlation with the turn one tick earlier, of the same tick, one tick later."""
    pixels_per_degree: float
    """In frames of the size `FRAME`."""

    @property
    def best_lag(self) -> int:
        """0 if line k turns the camera between frame k and frame k + 1, as it should."""
        return LAGS[int(np.argmax(self.r))]


def turning_ticks(actions: Sequence[Action]) -> np.ndarray:
    """bool [T]: the camera turns in this tick or beside it, and nothing else is done near it."""
    busy = np.array([bool(set(action.to_dict()) - {"camera"}) for action in actions], bool)
    pitch, yaw = np.array([action.camera for action in actions], float).reshape(-1, 2).T
    near, turning = _around(busy, QUIET_TICKS), _around(np.abs(yaw) > 0, 1)
    return turning & ~near & (np.abs(yaw) <= LARGEST_TURN) & (np.abs(pitch) <= LARGEST_NOD)


def _around(marked: np.ndarray, ticks: int) -> np.ndarray:
    """bool [T]: whether any tick is `marked` (bool [T]) within so many ticks to either side."""
    padded = np.pad(marked, ticks)
    return np.any([padded[shift : shift + len(marked)] for shift in range(2 * ticks + 1)], axis=0)


def image_shift(before: np.ndarray, after: np.ndarray) -> float:
    """Pixels by which the picture moved to the left from `before` to `after` (float [h, w], grey).

    The middle of `before` is laid upon `after` everywhere within reach; where they differ least, a parabola through the
    differences beside that place gives the part of a pixel. NaN where no place is much better than the usual one.
    """
    height, width = before.shape
    block = before[REACH_ROWS : height - REACH_ROWS, REACH : width - REACH]
    tall, wide = block.shape
    costs = np.empty((2 * REACH_ROWS + 1, 2 * REACH + 1))
    for row in range(costs.shape[0]):
        for column in range(costs.shape[1]):
            costs[row, column] = np.abs(after[row : row + tall, column : column + wide] - block).mean()
    column = int(np.argmin(costs.min(axis=0)))
    row = int(np.argmin(costs[:, column]))
    if costs[row, column] > CLEAR * np.median(costs):
        return float("nan")
    part = 0.0
    if 0 < column < costs.shape[1] - 1:
        left, middle, right = costs[row, column - 1 : column + 2]
        curve = left - 2 * middle + right
        part = 0.5 * (left - right) / curve if curve > 0 else 0.0
    return REACH - (column + part)


def shifts(frames: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """float [n]: `image_shift` from frames[k] to frames[k + 1] (uint8 [T, h, w, 3]) for each k of `chosen` [n]."""
    top, bottom = (round(part * frames.shape[1]) for part in SEEN_ROWS)
    pairs = frames[np.stack((chosen, chosen + 1)), top:bottom].mean(-1, dtype=np.float32)
    return np.array([image_shift(before, after) for before, after in zip(*pairs)])


def correlate(shift: np.ndarray, turns: np.ndarray) -> Alignment | None:
    """`turns` [n, 3]: degrees of the tick before, the tick itself, the tick after. None where they say too little."""
    seen = np.isfinite(shift)
    shift, turns = shift[seen], turns[seen]
    if len(shift) < FEWEST_TICKS or shift.std() == 0 or (turns.std(axis=0) == 0).any():
        return None
    r = tuple(float(np.corrcoef(shift, turns[:, column])[0, 1]) for column in range(len(LAGS)))
    turn = turns[:, LAGS.index(0)]
    return Alignment(len(shift), (r[0], r[1], r[2]), float((shift * turn).sum() / np.square(turn).sum()))
