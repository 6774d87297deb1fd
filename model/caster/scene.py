"""A dense piece of the cell map about a camera, with what rays and light ask of it, kept by chunk."""

from __future__ import annotations

import weakref
from dataclasses import dataclass

import numpy as np

from reverie.model.caster.kernel import BRICK, DARK, OPAQUE, OPEN, SEE_THROUGH
from reverie.model.cells import CHUNK, HEIGHT, UNKNOWN, CellMap, Vocabulary

CHUNKS_ABOUT = 4
"""Chunks on each side of the camera's that are looked at: 64 to 80 metres."""


@dataclass(frozen=True, eq=False)
class TokenTables:
    """What rays and light ask about tokens, for every value of a cell."""

    kinds: np.ndarray
    """uint8 [256]: OPEN, OPAQUE, SEE_THROUGH or DARK."""
    inner: np.ndarray
    """bool [256]: faces between two cells of this token are seen."""
    medium: np.ndarray
    """bool [256]: an eye can be inside."""
    emits: np.ndarray
    """bool [256]"""

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> TokenTables:
        """The tables of a vocabulary; its first token is the empty one."""
        see_through = vocabulary.table(vocabulary.see_through)
        kinds = np.where(see_through, SEE_THROUGH, OPAQUE).astype(np.uint8)
        kinds[0], kinds[UNKNOWN] = OPEN, DARK
        medium = see_through & ~vocabulary.table(vocabulary.solid, unknown=True)
        medium[0] = medium[UNKNOWN] = False
        medium[len(vocabulary) : UNKNOWN] = False
        return cls(kinds, vocabulary.table(vocabulary.inner), medium, vocabulary.table(vocabulary.emits))


@dataclass(frozen=True, eq=False)
class Scene:
    """Cells about a camera: `grid` uint8 [sx, 64, sz] from (`low_x`, 0, `low_z`) on; `bricks` uint8 [sx / 4, 16,
    sz / 4], 0 where all is open; `heights` int16 [sx, sz], y of the highest opaque cell or -1; `lamps` float64 [n, 3],
    the middles of cells that emit light."""

    grid: np.ndarray
    bricks: np.ndarray
    heights: np.ndarray
    lamps: np.ndarray
    low_x: int
    low_z: int
    tables: TokenTables


def grid_facts(grid: np.ndarray, tables: TokenTables) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`bricks`, `heights` and `lamps` (relative to the grid's corner) of a grid uint8 [sx, 64, sz]; see `Scene`."""
    sx, sy, sz = grid.shape
    kinds = tables.kinds[grid]
    shape = (sx // BRICK, BRICK, sy // BRICK, BRICK, sz // BRICK, BRICK)
    bricks = (kinds != OPEN).reshape(shape).any((1, 3, 5)).astype(np.uint8)
    opaque = kinds == OPAQUE
    top = sy - 1 - opaque[:, ::-1].argmax(1)
    heights = np.where(opaque.any(1), top, -1).astype(np.int16)
    lamps = np.argwhere(tables.emits[grid]) + 0.5 if tables.emits.any() else np.zeros((0, 3))
    return bricks, heights, lamps


class SceneCache:
    """Scenes of maps that change little from one to the next; facts are kept for as long as a chunk lives."""

    def __init__(self, tables: TokenTables) -> None:
        self.tables = tables
        self._facts: dict[int, tuple[weakref.ref[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}
        self._last: tuple[CellMap, tuple[int, int], int, Scene] | None = None

    def scene(self, cells: CellMap, x: float, z: float, about: int = CHUNKS_ABOUT) -> Scene:
        """The cells about a place."""
        middle = (int(x // CHUNK), int(z // CHUNK))
        last = self._last
        if last is not None and last[0] is cells and last[1] == middle and last[2] == about:
            return last[3]
        side = 2 * about + 1
        grid = np.empty((side * CHUNK, HEIGHT, side * CHUNK), np.uint8)
        bricks = np.empty((side * CHUNK // BRICK, HEIGHT // BRICK, side * CHUNK // BRICK), np.uint8)
        heights = np.empty((side * CHUNK, side * CHUNK), np.int16)
        lamps = []
        wide = CHUNK // BRICK
        for i in range(side):
            for k in range(side):
                column = (middle[0] - about + i, middle[1] - about + k)
                chunk = cells.chunk(column)
                facts = self._chunk_facts(chunk)
                grid[i * CHUNK : (i + 1) * CHUNK, :, k * CHUNK : (k + 1) * CHUNK] = chunk
                bricks[i * wide : (i + 1) * wide, :, k * wide : (k + 1) * wide] = facts[0]
                heights[i * CHUNK : (i + 1) * CHUNK, k * CHUNK : (k + 1) * CHUNK] = facts[1]
                if len(facts[2]):
                    lamps.append(facts[2] + (column[0] * CHUNK, 0, column[1] * CHUNK))
        low = ((middle[0] - about) * CHUNK, (middle[1] - about) * CHUNK)
        found = np.concatenate(lamps) if lamps else np.zeros((0, 3))
        scene = Scene(grid, bricks, heights, found, *low, self.tables)
        self._last = (cells, middle, about, scene)
        return scene

    def _chunk_facts(self, chunk: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        key = id(chunk)
        kept = self._facts.get(key)
        if kept is not None and kept[0]() is chunk:
            return kept[1]
        facts = grid_facts(chunk, self.tables)
        self._facts[key] = (weakref.ref(chunk, lambda gone: self._forget(key, gone)), facts)
        return facts

    def _forget(self, key: int, gone: weakref.ref[np.ndarray]) -> None:
        kept = self._facts.get(key)
        if kept is not None and kept[0] is gone:
            self._facts.pop(key, None)


def torus_scene(cells: np.ndarray, tables: TokenTables, x: float, z: float, reach: int = 72) -> Scene:
    """The scene about a place in a world [sx, 64, sz] that repeats along x and z, as recordings hold it."""
    low_x, low_z = int(x) - reach, int(z) - reach
    low_x, low_z = low_x - low_x % BRICK, low_z - low_z % BRICK
    wide = 2 * reach + 2 * BRICK
    across = np.arange(low_x, low_x + wide) % cells.shape[0]
    along = np.arange(low_z, low_z + wide) % cells.shape[2]
    grid = np.ascontiguousarray(cells[across][:, :, along])
    bricks, heights, lamps = grid_facts(grid, tables)
    return Scene(grid, bricks, heights, lamps + (low_x, 0, low_z), low_x, low_z, tables)
