"""The dreamed world itself: an endless map of cells in immutable chunks, and the vocabulary of its tokens.

Cells are cubes of one metre. A cell holds a token, an index into the `Vocabulary` of the model, or UNKNOWN where
nothing has been dreamed yet. Chunks are shared between maps and never written to, so that a map is a value: keeping
an old one costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

UNKNOWN = 255
"""The token of a cell that has not been dreamed yet."""
CHUNK = 16
"""Cells along x and z of a chunk."""
HEIGHT = 64
"""Cells along y of the whole map; below it all is UNKNOWN, above it open."""
MAX_COORDINATE = 2**30

Cell = tuple[int, int, int]
Column = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the tokens are called, and the facts about them that recordings show (bool tuples, one entry a token)."""

    names: tuple[str, ...]
    solid: tuple[bool, ...]
    """Keeps bodies out."""
    see_through: tuple[bool, ...]
    """Something behind it can be seen through it."""
    emits: tuple[bool, ...]
    """Lights what is near it at night."""
    inner: tuple[bool, ...] = ()
    """Faces between two cells of this token are seen through its holes; none if empty."""

    def __post_init__(self) -> None:
        if not 0 < len(self.names) < UNKNOWN or len(set(self.names)) != len(self.names):
            raise ValueError(f"a vocabulary has 1 to {UNKNOWN - 1} different names")
        for facts in (self.solid, self.see_through, self.emits, self.inner or self.solid):
            if len(facts) != len(self.names):
                raise ValueError("a vocabulary has each fact once for each name")

    def __len__(self) -> int:
        return len(self.names)

    def token(self, name: str) -> int:
        """The token of this name. Raises KeyError."""
        try:
            return self.names.index(name)
        except ValueError:
            raise KeyError(name) from None

    def table(self, facts: tuple[bool, ...], unknown: bool = False) -> np.ndarray:
        """bool [256]: a fact for every value that a cell can hold."""
        table = np.zeros(256, np.bool_)
        table[: len(facts)] = facts
        table[UNKNOWN] = unknown
        return table

    def to_dict(self) -> dict[str, Any]:
        """JSON, the inverse of `from_dict`."""
        return {
            "names": list(self.names),
            "solid": list(self.solid),
            "see_through": list(self.see_through),
            "emits": list(self.emits),
            "inner": list(self.inner),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Vocabulary:
        """From JSON. Raises ValueError or KeyError for anything else."""
        facts = [tuple(bool(value) for value in data[key]) for key in ("solid", "see_through", "emits", "inner")]
        return cls(tuple(str(name) for name in data["names"]), *facts)


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


Slices = tuple[slice, slice, slice]


def _overlap(cx: int, cz: int, low: Cell, shape: Cell, heights: tuple[int, int]) -> tuple[Slices, Slices]:
    """Where a box of cells and a chunk meet: slices of the box, slices of the chunk."""
    x0, x1 = max(low[0], cx * CHUNK), min(low[0] + shape[0], (cx + 1) * CHUNK)
    z0, z1 = max(low[2], cz * CHUNK), min(low[2] + shape[2], (cz + 1) * CHUNK)
    y0, y1 = heights
    box = slice(x0 - low[0], x1 - low[0]), slice(y0 - low[1], y1 - low[1]), slice(z0 - low[2], z1 - low[2])
    part = slice(x0 - cx * CHUNK, x1 - cx * CHUNK), slice(y0, y1), slice(z0 - cz * CHUNK, z1 - cz * CHUNK)
    return box, part


_EMPTY = _frozen(np.full((CHUNK, HEIGHT, CHUNK), UNKNOWN, np.uint8))


@dataclass(frozen=True, slots=True, eq=False)
class CellMap:
    """An endless map: uint8 chunks [16, 64, 16] (x, y, z) by their place (x // 16, z // 16). A value."""

    chunks: Mapping[Column, np.ndarray] = field(default_factory=lambda: MappingProxyType({}))

    def chunk(self, column: Column) -> np.ndarray:
        """uint8 [16, 64, 16], read-only: a chunk, all UNKNOWN where there is none."""
        return self.chunks.get(column, _EMPTY)

    def __iter__(self) -> Iterator[Column]:
        return iter(self.chunks)

    def get(self, x: int, y: int, z: int) -> int:
        """The token at a cell."""
        if not 0 <= y < HEIGHT:
            return UNKNOWN
        return int(self.chunk((x // CHUNK, z // CHUNK))[x % CHUNK, y, z % CHUNK])

    def window(self, low: Cell, shape: Cell) -> np.ndarray:
        """uint8 [shape]: a copy of the cells from `low` on; UNKNOWN outside of what is dreamed."""
        out = np.full(shape, UNKNOWN, np.uint8)
        y0, y1 = max(low[1], 0), min(low[1] + shape[1], HEIGHT)
        if y0 >= y1:
            return out
        x_end, z_end = low[0] + shape[0], low[2] + shape[2]
        for cx in range(low[0] // CHUNK, (x_end - 1) // CHUNK + 1):
            for cz in range(low[2] // CHUNK, (z_end - 1) // CHUNK + 1):
                chunk = self.chunks.get((cx, cz))
                if chunk is not None:
                    box, part = _overlap(cx, cz, low, shape, (y0, y1))
                    out[box] = chunk[part]
        return out

    def write(self, low: Cell, tokens: np.ndarray, where: np.ndarray | None = None) -> CellMap:
        """The map with a box of cells `tokens` (uint8 [sx, sy, sz]) put at `low`, where `where` (bool, all) says so.

        Cells outside 0 <= y < HEIGHT are left out.
        """
        tokens = np.asarray(tokens, np.uint8)
        sx, sy, sz = tokens.shape
        y0, y1 = max(low[1], 0), min(low[1] + sy, HEIGHT)
        if y0 >= y1 or not sx or not sz or (where is not None and not where.any()):
            return self
        chunks = dict(self.chunks)
        for cx in range(low[0] // CHUNK, (low[0] + sx - 1) // CHUNK + 1):
            for cz in range(low[2] // CHUNK, (low[2] + sz - 1) // CHUNK + 1):
                box, part = _overlap(cx, cz, low, (sx, sy, sz), (y0, y1))
                if where is not None and not where[box].any():
                    continue
                chunk = self.chunk((cx, cz)).copy()
                chunk[part] = tokens[box] if where is None else np.where(where[box], tokens[box], chunk[part])
                chunks[cx, cz] = _frozen(chunk)
        return CellMap(MappingProxyType(chunks))

    def set(self, cells: Mapping[Cell, int]) -> CellMap:
        """The map with single cells changed. Raises ValueError for a height outside of the map."""
        chunks = dict(self.chunks)
        fresh: set[Column] = set()
        for (x, y, z), token in cells.items():
            if not 0 <= y < HEIGHT:
                raise ValueError(f"height {y} is outside the world (0 to {HEIGHT - 1})")
            column = (x // CHUNK, z // CHUNK)
            if column not in fresh:
                chunks[column] = chunks.get(column, _EMPTY).copy()
                fresh.add(column)
            chunks[column][x % CHUNK, y, z % CHUNK] = token
        for column in fresh:
            _frozen(chunks[column])
        return CellMap(MappingProxyType(chunks))


def cell_of(x: float, y: float, z: float) -> Cell:
    """The cell that holds a point."""
    return math.floor(x), math.floor(y), math.floor(z)
