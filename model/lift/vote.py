"""Votes of all pixels, and of all pictures of a clip, into cells.

Each pixel's best crossing votes for the cell behind it, and against the cells that its ray passes on the way, as far
as that way is likely clear. A cell is full if enough of the rays that reach it stop there, empty if rays pass, and
stays unknown if none comes by.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from reverie.model.cells import HEIGHT, UNKNOWN, Cell
from reverie.model.compiled import compiled_exact

REACH = 32
"""Metres about the first eye along x and z that votes are counted in."""
EMPTY = 0
"""The token of an empty cell."""
_INSIDE = 1e-3
"""Metres past a face that are surely within its cell."""


@dataclass(frozen=True, slots=True)
class VoteConfig:
    """When votes decide."""

    share: float = 0.5
    """Share of the rays reaching a cell that have to stop there for it to be full."""
    fewest: int = 1
    """Rays that have to stop in it."""
    fewest_empty: int = 1
    """Rays that have to pass for a cell to be empty."""


class Ballot:
    """Counts of votes in a box of cells about `middle`; pictures are added one after the other."""

    def __init__(self, middle: Cell, tokens: int, reach: int = REACH) -> None:
        self.low = (middle[0] - reach, 0, middle[2] - reach)
        shape = (2 * reach, HEIGHT, 2 * reach)
        self.stops = np.zeros(shape, np.int32)
        self.passes = np.zeros(shape, np.int32)
        self.named = np.zeros((*shape, tokens), np.uint16)

    def add(
        self,
        eye: np.ndarray,
        rays: np.ndarray,
        distance: np.ndarray,
        token: np.ndarray,
        clear: np.ndarray | None = None,
    ) -> None:
        """One picture: `eye` float64 [3], unit `rays` float64 [n, 3], metres `distance` float64 [n] (infinity: no
        face within reach; NaN: no vote), `token` int64 [n]. A ray votes against the cells on its first `clear` metres
        float64 [n] (None: on all of its way)."""
        clear = np.full(len(rays), np.inf) if clear is None else clear
        _count(
            np.asarray(eye, np.float64), np.asarray(rays, np.float64), np.asarray(distance, np.float64),
            np.asarray(clear, np.float64), np.asarray(token, np.int64), self.low[0], self.low[2], self.stops,
            self.passes, self.named,
        )  # fmt: skip

    def result(self, config: VoteConfig | None = None) -> tuple[Cell, np.ndarray]:
        """(lowest cell, uint8 tokens [2 reach, 64, 2 reach]): EMPTY, a token, or UNKNOWN."""
        config = config or VoteConfig()
        reached = self.stops + self.passes
        full = (self.stops >= config.fewest) & (self.stops > config.share * reached)
        names = self.named[..., 1:].argmax(-1).astype(np.uint8) + 1
        empty = ~full & (self.passes >= config.fewest_empty)
        return self.low, np.where(full, names, np.where(empty, EMPTY, UNKNOWN)).astype(np.uint8)


@compiled_exact
def _count(eye, rays, distance, clear, token, low_x, low_z, stops, passes, named):
    sx, sy, sz = stops.shape
    tokens = named.shape[3]
    for i in range(len(rays)):
        end = distance[i]
        if math.isnan(end):
            continue
        cx, cy, cz = math.floor(eye[0]), math.floor(eye[1]), math.floor(eye[2])
        dx, dy, dz = rays[i, 0], rays[i, 1], rays[i, 2]
        gx, gy, gz = 1 if dx > 0 else -1, 1 if dy > 0 else -1, 1 if dz > 0 else -1
        wx = abs(1 / dx) if dx != 0 else 1e9
        wy = abs(1 / dy) if dy != 0 else 1e9
        wz = abs(1 / dz) if dz != 0 else 1e9
        tx = (cx + 1 - eye[0] if gx > 0 else eye[0] - cx) * wx
        ty = (cy + 1 - eye[1] if gy > 0 else eye[1] - cy) * wy
        tz = (cz + 1 - eye[2] if gz > 0 else eye[2] - cz) * wz
        t = 0.0
        while True:
            x, y, z = cx - low_x, cy, cz - low_z
            if x < 0 or y < 0 or z < 0 or x >= sx or y >= sy or z >= sz:
                break
            if t + _INSIDE >= end and t > 0.0:
                stops[x, y, z] += 1
                k = token[i]
                if 0 <= k < tokens and named[x, y, z, k] < 65535:
                    named[x, y, z, k] += 1
                break
            if t <= clear[i]:
                passes[x, y, z] += 1
            if tx < ty and tx < tz:
                t = tx
                tx += wx
                cx += gx
            elif ty < tz:
                t = ty
                ty += wy
                cy += gy
            else:
                t = tz
                tz += wz
                cz += gz


def passed_cells(eye: np.ndarray, rays: np.ndarray, reach: int) -> tuple[Cell, np.ndarray]:
    """(lowest cell, bool [2 reach, 64, 2 reach]): the cells that unit `rays` float64 [n, 3] from `eye` pass through."""
    middle = math.floor(float(eye[0])), math.floor(float(eye[2]))
    low = (middle[0] - reach, 0, middle[1] - reach)
    shape = (2 * reach, HEIGHT, 2 * reach)
    passes = np.zeros(shape, np.int32)
    nothing = np.zeros((*shape, 0), np.uint16)
    _count(
        np.asarray(eye, np.float64), np.ascontiguousarray(rays, np.float64), np.full(len(rays), np.inf),
        np.full(len(rays), np.inf), np.zeros(len(rays), np.int64), low[0], low[2], np.zeros(shape, np.int32), passes,
        nothing,
    )  # fmt: skip
    return low, passes > 0
