"""Columns: what each vertical line of cells comes to, as five numbers. Derived from cells, and filled back into cells.

A map of columns is uint8 [5, x, z] with the channels

- HEIGHT: y of the ground,
- GROUND: the ground's token,
- LEVEL: y of the highest cell of the fluid over the ground, 0 where the ground is dry,
- RISE: how many cells the highest thing stands over ground and fluid (a tree, a roof, ice), 0 for nothing,
- TOP: the token of that highest cell, the air's token where RISE is 0.

Each channel of each column may be UNKNOWN. An *outline* is a map of the same form at a stride of 8 columns, with the
share of columns that something stands on in place of RISE.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.model.cells import HEIGHT as LAYERS
from reverie.model.cells import UNKNOWN, Vocabulary

CHANNELS = 5
HEIGHT, GROUND, LEVEL, RISE, TOP = range(CHANNELS)
RISES = 32
"""Values of RISE; the last one also stands for all above it."""
STRIDE = 8
"""Columns along an edge of one outline cell."""
COVERS = 16
"""Values of RISE in an outline: the share of columns that something stands on, in steps of 1/15."""
DEPTHS = 16
"""Depths below the ground, and below a top, for which the usual token and thickness are kept."""
FOOTING = 2
"""Cells below that must not be open for a cell to count as ground."""

_DEEP_CELLS = 3
_DEEP_SHARE = 0.8
_LEVEL_SHARE = 0.5
_LEVEL_SIDES = 3
_FLUID_SIDES = 2.0
_KNOWN_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class LandFacts:
    """What recorded cells show about the tokens: no name of a block is looked at."""

    air: int
    """The commonest token that keeps no body out."""
    fluid: int
    """The commonest other one that lies in sheets; the air's token where there is none."""
    fluids: tuple[bool, ...]
    """Lies in sheets, keeps no body out."""
    ground: tuple[bool, ...]
    """Where such a cell is open above, the land mostly goes on at its height and below it."""
    solid: tuple[bool, ...]
    """As in the vocabulary."""
    under: tuple[tuple[int, ...], ...]
    """The commonest token at each depth below a ground token."""
    thickness: tuple[int, ...]
    """The median number of equal cells below a top of each token, with it."""
    floor: int
    """The commonest token of the lowest layer."""

    def to_dict(self) -> dict[str, Any]:
        """JSON, the inverse of `from_dict`."""
        return {
            "air": self.air, "fluid": self.fluid, "fluids": list(self.fluids), "ground": list(self.ground),
            "solid": list(self.solid), "under": [list(row) for row in self.under],
            "thickness": list(self.thickness), "floor": self.floor,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LandFacts:
        """From JSON. Raises ValueError, TypeError or KeyError for anything else."""
        flags = {key: tuple(bool(value) for value in data[key]) for key in ("fluids", "ground", "solid")}
        under = tuple(tuple(int(token) for token in row) for row in data["under"])
        thickness = tuple(int(cells) for cells in data["thickness"])
        return cls(int(data["air"]), int(data["fluid"]), under=under, thickness=thickness, floor=int(data["floor"]),
                   **flags)  # fmt: skip

    def table(self, flags: tuple[bool, ...], unknown: bool = False) -> np.ndarray:
        """bool [256]: a flag for every value that a cell can hold."""
        table = np.zeros(256, np.bool_)
        table[: len(flags)] = flags
        table[UNKNOWN] = unknown
        return table


def survey(worlds: Iterable[np.ndarray], vocabulary: Vocabulary) -> LandFacts:
    """Counts over whole worlds of cells uint8 [x, y, z] that wrap along x and z."""
    worlds = list(worlds)
    tokens = len(vocabulary)
    solid = np.array(vocabulary.solid)
    cells_of, sides_of, floors = np.zeros(tokens), np.zeros(tokens), np.zeros(tokens)
    tops, deep, level = np.zeros(tokens), np.zeros(tokens), np.zeros(tokens)
    for cells in worlds:
        filled = solid[cells]
        cells_of += np.bincount(cells.ravel(), minlength=tokens)
        floors += np.bincount(cells[:, 0].ravel(), minlength=tokens)
        for step, axis in ((1, 0), (-1, 0), (1, 2), (-1, 2)):
            same = cells == np.roll(cells, step, axis)
            sides_of += np.bincount(cells[same], minlength=tokens)
        top = filled.copy()
        top[:, :-1] &= ~filled[:, 1:]
        top[:, -1] = False
        below = top.copy()
        for depth in range(1, _DEEP_CELLS + 1):
            below[:, depth:] &= filled[:, :-depth]
        beside = sum(np.roll(filled, step, axis).astype(np.int8) for step, axis in ((1, 0), (-1, 0), (1, 2), (-1, 2)))
        tops += np.bincount(cells[top], minlength=tokens)
        deep += np.bincount(cells[below], minlength=tokens)
        level += np.bincount(cells[top & (beside >= _LEVEL_SIDES)], minlength=tokens)
    air = int(np.argmax(np.where(solid, -1, cells_of)))
    fluids = ~solid & (sides_of >= _FLUID_SIDES * np.maximum(cells_of, 1))
    fluids[air] = False
    fluid = int(np.argmax(np.where(fluids, cells_of, -1))) if fluids.any() else air
    ground = (tops > 0) & (deep >= _DEEP_SHARE * tops) & (level >= _LEVEL_SHARE * tops)
    facts = LandFacts(
        air, fluid, tuple(fluids.tolist()), tuple(ground.tolist()), tuple(solid.tolist()),
        ((0,) * DEPTHS,) * tokens, (1,) * tokens, int(floors.argmax()),
    )  # fmt: skip
    under, thickness = _profiles(worlds, facts)
    return LandFacts(air, fluid, facts.fluids, facts.ground, facts.solid, under, thickness, facts.floor)


def _profiles(worlds: list[np.ndarray], facts: LandFacts) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """`under` and `thickness` of the facts."""
    tokens = len(facts.solid)
    solid = np.array(facts.solid)
    counts = np.zeros((tokens, DEPTHS, tokens))
    runs = np.zeros((tokens, DEPTHS + 1))
    for cells in worlds:
        columns = columns_of(cells, facts).astype(np.intp)
        for depth in range(1, DEPTHS):
            y = columns[HEIGHT] - depth
            found = np.take_along_axis(cells, np.maximum(y, 0)[:, None], 1)[:, 0]
            counted = (y > 0) & solid[found]
            np.add.at(counts, (columns[GROUND][counted], depth, found[counted]), 1)
        base = np.maximum(columns[HEIGHT], columns[LEVEL])
        peak, open_run = base + columns[RISE], columns[RISE] > 0
        length = np.zeros_like(peak)
        for depth in range(DEPTHS):
            found = np.take_along_axis(cells, np.clip(peak - depth, 0, LAYERS - 1)[:, None], 1)[:, 0]
            open_run = open_run & (found == columns[TOP]) & (peak - depth > base)
            length += open_run
        stands = columns[RISE] > 0
        np.add.at(runs, (columns[TOP][stands], length[stands]), 1)
    counts[:, 0] = np.eye(tokens)
    lone = counts.sum(axis=2) == 0  # never seen: the ground itself goes on
    counts += lone[..., None] * np.eye(tokens)[:, None]
    middle = runs.cumsum(axis=1) >= 0.5 * runs.sum(axis=1, keepdims=True)
    under = tuple(tuple(int(token) for token in row) for row in counts.argmax(axis=2))
    return under, tuple(max(1, int(cells)) for cells in middle.argmax(axis=1))


def _highest(mask: np.ndarray) -> np.ndarray:
    """int [x, z]: y of the highest True of bool [x, y, z], -1 where there is none."""
    top = mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)
    return np.where(mask.any(axis=1), top, -1)


def columns_of(cells: np.ndarray, facts: LandFacts) -> np.ndarray:
    """uint8 [5, x, z]: the columns of cells uint8 [x, 64, z], as far as the known cells settle them.

    The ground is the highest cell of a ground token without an opening in the two cells below it. It is known where
    the cell above it is; where no cell can be ground it is the lowest layer.
    """
    sx, sy, sz = cells.shape
    known = cells != UNKNOWN
    all_known = known.all(axis=1)
    closed = facts.table(facts.solid, unknown=True)[cells]
    ground = facts.table(facts.ground)[cells]
    for depth in range(1, FOOTING + 1):
        ground[:, depth:] &= closed[:, :-depth]
    height = _highest(ground)
    bottomless = height < 0
    height = np.maximum(height, 0)
    fluid = facts.table(facts.fluids)[cells]
    y = np.arange(sy)[None, :, None]
    level = _highest(fluid & (y > height[:, None]))
    base = np.maximum(height, level)
    standing = known & ~fluid & (cells != facts.air) & (y > base[:, None])
    peak = _highest(standing)

    def at(values: np.ndarray, where: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, np.clip(where, 0, sy - 1)[:, None], 1)[:, 0]

    lowest_unknown_above = np.where(
        (~known & (y > base[:, None])).any(axis=1), (~known & (y > base[:, None])).argmax(axis=1), sy
    )
    open_above = (base >= sy - 1) | at(known, base + 1)
    columns = np.full((CHANNELS, sx, sz), UNKNOWN, np.uint8)
    sure = np.where(bottomless, all_known, (height >= sy - 1) | at(known, height + 1))
    columns[HEIGHT] = np.where(sure, height, UNKNOWN)
    columns[GROUND] = np.where(sure, at(cells, height), UNKNOWN)
    columns[LEVEL] = np.where(sure & open_above, np.maximum(level, 0), UNKNOWN)
    whole = sure & open_above & (lowest_unknown_above > np.minimum(base + RISES, sy - 1))
    columns[RISE] = np.where(whole, np.clip(peak - base, 0, RISES - 1), UNKNOWN)
    columns[TOP] = np.where(whole, np.where(peak > base, at(cells, peak), facts.air), UNKNOWN)
    return columns


def filled(columns: np.ndarray, facts: LandFacts) -> np.ndarray:
    """uint8 [x, 64, z]: cells by columns alone: the usual tokens under the ground, fluid, tops of the usual thickness.

    What the columns do not settle is UNKNOWN, such as everything where the height is.
    """
    height, ground, level, rise, top = (channel[:, None].astype(np.int16) for channel in columns)
    y = np.arange(LAYERS, dtype=np.int16)[None, :, None]
    under = np.zeros((256, DEPTHS), np.uint8)
    under[: len(facts.under)] = facts.under
    thickness = np.ones(256, np.int16)
    thickness[: len(facts.thickness)] = facts.thickness
    depth = np.clip(height - y, 0, DEPTHS - 1)
    cells = np.where(y <= height, under[ground, depth], np.uint8(UNKNOWN))
    cells = np.where((y <= height) & (y == 0), np.uint8(facts.floor), cells)
    dry = np.where(level == UNKNOWN, 0, level)
    base = np.maximum(height, dry)
    wet = (y > height) & (y <= dry)
    cells = np.where(wet, np.uint8(facts.fluid), cells)
    above = (y > base) & (level != UNKNOWN) & (rise != UNKNOWN)
    crown = above & (y <= base + rise) & (y > base + rise - thickness[top])
    cells = np.where(above, np.where(crown, top, facts.air), cells)
    return np.where(height == UNKNOWN, UNKNOWN, cells).astype(np.uint8)


def settled(columns: np.ndarray, facts: LandFacts) -> np.ndarray:
    """uint8 [x, 64, z]: the cells that columns leave no choice about, UNKNOWN elsewhere.

    The ground, the fluid, the topmost cell, and the air above it.
    """
    height, ground, level, rise, top = (channel[:, None].astype(np.int16) for channel in columns)
    y = np.arange(LAYERS, dtype=np.int16)[None, :, None]
    sure = height != UNKNOWN
    wet = sure & (level != UNKNOWN)
    stands = wet & (rise != UNKNOWN) & (rise < RISES - 1)
    peak = np.maximum(height, level) + rise
    cells = np.full(np.broadcast_shapes(y.shape, height.shape), UNKNOWN, np.uint8)
    for where, token in (
        (sure & (ground != UNKNOWN) & (y == height), ground),
        (wet & (y > height) & (y <= level), facts.fluid),
        (stands & (y > peak), facts.air),
        (stands & (rise > 0) & (top != UNKNOWN) & (y == peak), top),
    ):
        cells = np.where(where, token, cells).astype(np.uint8)
    return cells


def outline_of(columns: np.ndarray) -> np.ndarray:
    """uint8 [5, x / 8, z / 8]: the outline of a map of columns whose edges are multiples of 8.

    The mean height, the commonest ground, the middle level, the share of columns that something stands on, and the
    commonest top of those. A cell is known where three quarters of its columns are.
    """
    _, sx, sz = columns.shape
    blocks = columns.reshape(CHANNELS, sx // STRIDE, STRIDE, sz // STRIDE, STRIDE).swapaxes(2, 3)
    blocks = blocks.reshape(CHANNELS, sx // STRIDE, sz // STRIDE, STRIDE * STRIDE)
    known = (blocks != UNKNOWN).all(axis=0)
    count = known.sum(axis=-1)
    share = np.maximum(count, 1)
    outline = np.empty(blocks.shape[:3], np.uint8)
    outline[HEIGHT] = np.rint((blocks[HEIGHT] * known).sum(axis=-1) / share)
    outline[GROUND] = _commonest(blocks[GROUND], known)
    wet = known & (blocks[LEVEL] > 0)
    outline[LEVEL] = np.where(2 * wet.sum(axis=-1) > count, _commonest(blocks[LEVEL], wet), 0)
    stands = known & (blocks[RISE] > 0)
    outline[RISE] = np.rint((COVERS - 1) * stands.sum(axis=-1) / share)
    outline[TOP] = np.where(stands.any(axis=-1), _commonest(blocks[TOP], stands), _commonest(blocks[TOP], known))
    return np.where(count >= _KNOWN_SHARE * STRIDE * STRIDE, outline, UNKNOWN).astype(np.uint8)


def _commonest(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """The commonest counted value along the last axis; the smallest of several."""
    best = np.zeros(values.shape[:-1], np.uint8)
    most = np.zeros(values.shape[:-1], np.int64)
    for value in np.unique(values[counted]):
        count = ((values == value) & counted).sum(axis=-1)
        best = np.where(count > most, value, best)
        most = np.maximum(most, count)
    return best
