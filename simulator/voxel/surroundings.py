"""What the renderer wants to know about a world at once: what is empty, where there are lamps, how high the roofs are.

It is found from the blocks in under a millisecond. For blocks marked read-only, which are taken at their word, it is
kept as long as the array lives.
"""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass

import numpy as np

from reverie.model.compiled import compiled_fast, compiled_inline
from reverie.simulator.voxel.blocks import BLOCK_ID, SIZE_X, SIZE_Y, SIZE_Z

BRICK_BITS = 2
BRICK = 1 << BRICK_BITS
"""Cells along an edge of a brick."""
BRICKS_X, BRICKS_Y, BRICKS_Z = SIZE_X // BRICK, SIZE_Y // BRICK, SIZE_Z // BRICK
CLEAR_BRICKS = 8
"""The farthest that empty bricks are counted."""
HAS_LAMP, OCCUPIED, LAYERS = 0x40, 0x80, 0x07
"""Bits of a brick: whether it holds a lamp, whether it holds anything, and how many layers up to its highest block."""
FULL = OCCUPIED | BRICK
_LAMP = BLOCK_ID["lamp"]
_LAMP_RANGE = 10.0
_LAMP_STRENGTH = 1.5


@dataclass(frozen=True, eq=False, slots=True)
class Surroundings:
    """All arrays are flattened and belong to one array of blocks.

    `clearance` uint8 [64 * 16 * 64] is what `_clearances` gives, `top` the y from which on there is nothing, `roofs`
    int16 [256 * 256], `glow` float32 [64 * 17 * 64] the lamp light at the corners of bricks, `any_lamp` whether it is
    anything but 0.
    """

    clearance: np.ndarray
    top: int
    roofs: np.ndarray
    glow: np.ndarray
    any_lamp: bool


@compiled_inline
def cell_index(x, y, z):
    """Where a cell is in the flattened blocks; constant strides keep multiplications out of the inner loop."""
    return ((x & (SIZE_X - 1)) * SIZE_Y + (y & (SIZE_Y - 1))) * SIZE_Z + (z & (SIZE_Z - 1))


@compiled_inline
def brick_index(x, y, z):
    """Where the brick of a cell is in the flattened bricks."""
    bx, by, bz = (
        (x >> BRICK_BITS) & (BRICKS_X - 1),
        (y >> BRICK_BITS) & (BRICKS_Y - 1),
        (z >> BRICK_BITS) & (BRICKS_Z - 1),
    )
    return (bx * BRICKS_Y + by) * BRICKS_Z + bz


@compiled_fast
def _scan(words):
    """uint8 [64, 16, 64]: the bits of each brick. `words` is the blocks as uint32 [256, 64, 64], four cells in each."""
    bricks = np.zeros((BRICKS_X, BRICKS_Y, BRICKS_Z), np.uint8)
    filled = np.empty(BRICKS_Z, np.uint32)
    lamps = np.empty(BRICKS_Z, np.uint32)
    pattern = np.uint32(_LAMP * 0x01010101)
    none = np.uint32(0)
    ones, tops = np.uint32(0x01010101), np.uint32(0x80808080)
    for bx in range(BRICKS_X):
        for by in range(BRICKS_Y):
            filled[:] = 0
            lamps[:] = 0
            for x in range(bx * BRICK, bx * BRICK + BRICK):
                for layer in range(BRICK):
                    for bz in range(BRICKS_Z):
                        word = words[x, by * BRICK + layer, bz]
                        other = word ^ pattern  # a zero byte in it is a lamp (Mycroft's test)
                        filled[bz] = max(filled[bz], np.uint32(layer + 1) if word else none)
                        lamps[bz] |= (other - ones) & ~other & tops
            for bz in range(BRICKS_Z):
                bits = filled[bz] | (OCCUPIED if filled[bz] else 0) | (HAS_LAMP if lamps[bz] else 0)
                bricks[bx, by, bz] = bits
    return bricks


@compiled_fast
def _top(bricks):
    """y from which on there is nothing."""
    top = 0
    for bx in range(BRICKS_X):
        for by in range(top, BRICKS_Y):
            for bz in range(BRICKS_Z):
                if bricks[bx, by, bz]:
                    top = by + 1
                    break
    return top * BRICK


@compiled_fast
def _clearances(bricks, top):
    """uint8 [64, 16, 64]: OCCUPIED and layers of a brick with blocks, else n: all bricks nearer than n are empty.

    The largest n is CLEAR_BRICKS. Set below `top`. The distance (Chebyshev's) is separable: along z, then x, then y.
    """
    levels = top // BRICK
    along = np.empty((BRICKS_X, levels, BRICKS_Z), np.uint8)
    row = np.empty(BRICKS_Z + 2 * CLEAR_BRICKS, np.uint8)
    for bx in range(BRICKS_X):
        for by in range(levels):
            for bz in range(BRICKS_Z):
                row[bz + CLEAR_BRICKS] = 0 if bricks[bx, by, bz] else CLEAR_BRICKS
            row[:CLEAR_BRICKS] = row[BRICKS_Z : BRICKS_Z + CLEAR_BRICKS]
            row[BRICKS_Z + CLEAR_BRICKS :] = row[CLEAR_BRICKS : 2 * CLEAR_BRICKS]
            for bz in range(BRICKS_Z):
                along[bx, by, bz] = row[bz + CLEAR_BRICKS]
            for far in range(1, CLEAR_BRICKS):
                least = np.uint8(far)
                for bz in range(BRICKS_Z):
                    near = max(min(row[bz + CLEAR_BRICKS - far], row[bz + CLEAR_BRICKS + far]), least)
                    along[bx, by, bz] = min(along[bx, by, bz], near)
    across = along.copy()
    for bx in range(BRICKS_X):
        for far in range(1, CLEAR_BRICKS):
            least = np.uint8(far)
            low, high = (bx - far) & (BRICKS_X - 1), (bx + far) & (BRICKS_X - 1)
            for by in range(levels):
                for bz in range(BRICKS_Z):
                    near = max(min(along[low, by, bz], along[high, by, bz]), least)
                    across[bx, by, bz] = min(across[bx, by, bz], near)
    clear = np.empty_like(bricks)
    for bx in range(BRICKS_X):
        for by in range(levels):
            row[:BRICKS_Z] = across[bx, by]
            for far in range(1, CLEAR_BRICKS):
                least = np.uint8(far)
                low, high = max(by - far, 0), min(by + far, levels - 1)
                for bz in range(BRICKS_Z):
                    near = max(min(across[bx, low, bz], across[bx, high, bz]), least)
                    row[bz] = min(row[bz], near)
            for bz in range(BRICKS_Z):
                clear[bx, by, bz] = bricks[bx, by, bz] & (OCCUPIED | LAYERS) if bricks[bx, by, bz] else row[bz]
    return clear


@compiled_fast
def _spread(glow, x, y, z):
    """Adds the light of a lamp in cell (x, y, z) to the corners of bricks near it."""
    bx, by, bz = x // BRICK, y // BRICK, z // BRICK
    for gx in range(bx - 2, bx + 4):
        for gy in range(max(by - 2, 0), min(by + 4, BRICKS_Y + 1)):
            for gz in range(bz - 2, bz + 4):
                dx, dy, dz = gx * BRICK - x - 0.5, gy * BRICK - y - 0.5, gz * BRICK - z - 0.5
                near = 1.0 - math.sqrt(dx * dx + dy * dy + dz * dz) / _LAMP_RANGE
                if near > 0.0:
                    gxx, gzz = gx & (BRICKS_X - 1), gz & (BRICKS_Z - 1)
                    glow[gxx, gy, gzz] = max(glow[gxx, gy, gzz], near * near * _LAMP_STRENGTH)


@compiled_fast
def _lamp_field(blocks, bricks):
    """Lamp light at the corners of bricks, float32 [64, 17, 64], and whether there is any."""
    glow = np.zeros((BRICKS_X, BRICKS_Y + 1, BRICKS_Z), np.float32)
    found = False
    for bx in range(BRICKS_X):
        for by in range(BRICKS_Y):
            for bz in range(BRICKS_Z):
                if bricks[bx, by, bz] & HAS_LAMP:
                    found = True
                    for x in range(bx * BRICK, bx * BRICK + BRICK):
                        for y in range(by * BRICK, by * BRICK + BRICK):
                            for z in range(bz * BRICK, bz * BRICK + BRICK):
                                if blocks[x, y, z] == _LAMP:
                                    _spread(glow, x, y, z)
    return glow, found


@compiled_fast
def _roofs(heights):
    """int16 [256 * 256]: of `heights` (int16 [256, 256]) the greatest within one column around each."""
    along = np.empty_like(heights)
    for x in range(SIZE_X):
        for z in range(1, SIZE_Z - 1):
            along[x, z] = max(heights[x, z], max(heights[x, z - 1], heights[x, z + 1]))
        along[x, 0] = max(heights[x, 0], max(heights[x, SIZE_Z - 1], heights[x, 1]))
        along[x, SIZE_Z - 1] = max(heights[x, SIZE_Z - 1], max(heights[x, SIZE_Z - 2], heights[x, 0]))
    roofs = np.empty_like(heights)
    for x in range(SIZE_X):
        low, high = (x - 1) & (SIZE_X - 1), (x + 1) & (SIZE_X - 1)
        for z in range(SIZE_Z):
            roofs[x, z] = max(along[x, z], max(along[low, z], along[high, z]))
    return roofs.reshape(-1)


_kept: dict[int, tuple[weakref.ref[np.ndarray], Surroundings]] = {}
"""By the identity of an array of blocks; an entry goes when its array does."""


def _find(blocks: np.ndarray, heights: np.ndarray) -> Surroundings:
    bricks = _scan(blocks.view(np.uint32))
    top = _top(bricks)
    glow, any_lamp = _lamp_field(blocks, bricks)
    return Surroundings(_clearances(bricks, top).reshape(-1), top, _roofs(heights), glow.reshape(-1), any_lamp)


def surroundings(blocks: np.ndarray, heights: np.ndarray) -> Surroundings:
    """The surroundings of `blocks` (uint8 [256, 64, 256]), whose `column_heights` are `heights`. Safe in threads."""
    if blocks.flags.writeable:  # may have changed since
        return _find(blocks, heights)
    key = id(blocks)
    kept = _kept.get(key)
    if kept is not None and kept[0]() is blocks:
        return kept[1]
    found = _find(blocks, heights)
    _kept[key] = (weakref.ref(blocks, lambda gone: _forget(key, gone)), found)
    return found


def _forget(key: int, gone: weakref.ref[np.ndarray]) -> None:
    kept = _kept.get(key)
    if kept is not None and kept[0] is gone:
        _kept.pop(key, None)
