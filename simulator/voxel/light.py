"""Where there is filled around the eye, and how light it is: bricks of cells, lamps, open sky.

All of it is found afresh for each frame from the blocks in view, so nothing needs to be kept in step with edits.
"""

from __future__ import annotations

import math

import numpy as np

from reverie.simulator.voxel.blocks import BLOCK_ID, SIZE_X, SIZE_Y, SIZE_Z, VIEW_DISTANCE
from reverie.simulator.voxel.compiled import compiled_fast, compiled_inline
from reverie.simulator.voxel.sky import AMBIENT, SUNLIGHT

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
_REACH = int(VIEW_DISTANCE) // BRICK + 1
_LAMP_RANGE = 10.0
_LAMP_STRENGTH = 1.5
_LAMP_COLOUR = (1.05, 0.82, 0.52)
_SKY_FALLOFF = 7.0
"""Blocks below the roof at which light from above has gone."""
_UNDER_ROOF = 0.45
"""Share of the light right under a roof."""
_SIDEWAYS = 0.72
"""Share of the light that comes in from the side where the sky is open a few blocks away."""
_SIDE_REACH = 3
_CAVE_LIGHT = 0.42
"""The light where no sky reaches, whatever the hour."""
_SUN_SHARE = 0.66
"""How much of the light from an open sky is the sun's (or moon's); ambient light makes up the rest."""
_BRIGHTEST = 1.15
_WELL_LIT = 0.95
"""Openness above which light from the side adds nothing."""
_SIDES_ENOUGH = 6.0
"""How many open places of the eight that are looked at give all the light from the side."""
_DEEPEST = int(_SKY_FALLOFF)
_OPEN = np.array([1.0] + [_UNDER_ROOF * (1.0 - deep / _SKY_FALLOFF) for deep in range(1, _DEEPEST + 1)])
"""Openness of a cell by how many blocks below the roof it is, 0 in the open."""


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
def scan_bricks(words, ex):
    """uint8 [64, 16, 64]: the bits of the bricks within view of an eye at x = `ex`.

    `words` is the blocks as uint32 [256, 64, 64]: four cells along z in each.
    """
    bricks = np.zeros((BRICKS_X, BRICKS_Y, BRICKS_Z), np.uint8)
    filled = np.empty(BRICKS_Z, np.uint32)
    lamps = np.empty(BRICKS_Z, np.uint32)
    pattern = np.uint32(_LAMP * 0x01010101)
    none = np.uint32(0)
    ones, tops = np.uint32(0x01010101), np.uint32(0x80808080)
    first = math.floor(ex / BRICK) - _REACH
    for n in range(2 * _REACH + 1):
        bx = (first + n) & (BRICKS_X - 1)
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
def top_of(bricks):
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
def clearances(bricks, ex, top):
    """uint8 [64, 16, 64]: OCCUPIED and layers of a brick with blocks, else n: all bricks nearer than n are empty.

    The largest n is CLEAR_BRICKS. Set within view of an eye at x = `ex` and below `top`. The distance (Chebyshev's) is
    separable: first along z, then x, then y.
    """
    count, levels = 2 * _REACH + 1, top // BRICK
    first = math.floor(ex / BRICK) - _REACH
    along = np.empty((count, levels, BRICKS_Z), np.uint8)
    row = np.empty(BRICKS_Z + 2 * CLEAR_BRICKS, np.uint8)
    for n in range(count):
        bx = (first + n) & (BRICKS_X - 1)
        for by in range(levels):
            for bz in range(BRICKS_Z):
                row[bz + CLEAR_BRICKS] = 0 if bricks[bx, by, bz] else CLEAR_BRICKS
            row[:CLEAR_BRICKS] = row[BRICKS_Z : BRICKS_Z + CLEAR_BRICKS]
            row[BRICKS_Z + CLEAR_BRICKS :] = row[CLEAR_BRICKS : 2 * CLEAR_BRICKS]
            for bz in range(BRICKS_Z):
                along[n, by, bz] = row[bz + CLEAR_BRICKS]
            for far in range(1, CLEAR_BRICKS):
                least = np.uint8(far)
                for bz in range(BRICKS_Z):
                    near = max(min(row[bz + CLEAR_BRICKS - far], row[bz + CLEAR_BRICKS + far]), least)
                    along[n, by, bz] = min(along[n, by, bz], near)
    across = along.copy()
    for n in range(count):
        for far in range(1, CLEAR_BRICKS):
            least = np.uint8(far)
            low, high = max(n - far, 0), min(n + far, count - 1)
            for by in range(levels):
                for bz in range(BRICKS_Z):
                    near = max(min(along[low, by, bz], along[high, by, bz]), least)
                    across[n, by, bz] = min(across[n, by, bz], near)
    clear = np.empty_like(bricks)
    for n in range(count):
        bx = (first + n) & (BRICKS_X - 1)
        for by in range(levels):
            row[:BRICKS_Z] = across[n, by]
            for far in range(1, CLEAR_BRICKS):
                least = np.uint8(far)
                low, high = max(by - far, 0), min(by + far, levels - 1)
                for bz in range(BRICKS_Z):
                    near = max(min(across[n, low, bz], across[n, high, bz]), least)
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
def lamp_field(blocks, bricks):
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
def roofs_of(heights):
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


@compiled_inline
def lamp_light(glow, x, y, z):
    """Trilinear lamp light at a point; `glow` is flattened."""
    x, y, z = x / BRICK, min(max(y / BRICK, 0.0), BRICKS_Y - 0.01), z / BRICK
    ix, iy, iz = math.floor(x), math.floor(y), math.floor(z)
    x, y, z = x - ix, y - iy, z - iz
    mx, mz, rise = BRICKS_X - 1, BRICKS_Z - 1, BRICKS_Y + 1
    near_x, far_x = ((ix & mx) * rise + iy) * BRICKS_Z, (((ix + 1) & mx) * rise + iy) * BRICKS_Z
    near_z, far_z = iz & mz, (iz + 1) & mz
    a = glow[near_x + near_z] * (1 - z) + glow[near_x + far_z] * z
    b = glow[far_x + near_z] * (1 - z) + glow[far_x + far_z] * z
    low = a * (1 - x) + b * x
    near_x += BRICKS_Z
    far_x += BRICKS_Z
    a = glow[near_x + near_z] * (1 - z) + glow[near_x + far_z] * z
    b = glow[far_x + near_z] * (1 - z) + glow[far_x + far_z] * z
    return low * (1 - y) + (a * (1 - x) + b * x) * y


@compiled_inline
def _open_sky(heights, cx, cy, cz):
    """1 for a cell in the open, less the deeper it lies under a roof."""
    under = heights[(cx & (SIZE_X - 1)) * SIZE_Z + (cz & (SIZE_Z - 1))] - cy + 1
    return _OPEN[min(max(under, 0), _DEEPEST)]


@compiled_fast
def _partly_open(heights, cx, cy, cz, fx, fz, nx, nz):
    """0-1: openness softened by a quadratic spline over the neighbours, and helped by light from the side."""
    ax, bx, gx = 0.5 * (1 - fx) * (1 - fx), 0.5 + fx * (1 - fx), 0.5 * fx * fx
    az, bz, gz = 0.5 * (1 - fz) * (1 - fz), 0.5 + fz * (1 - fz), 0.5 * fz * fz
    seen = 0.0
    for dx in range(-1, 2):
        wx = ax if dx < 0 else (gx if dx > 0 else bx)
        row = az * _open_sky(heights, cx + dx, cy, cz - 1)
        row += bz * _open_sky(heights, cx + dx, cy, cz)
        row += gz * _open_sky(heights, cx + dx, cy, cz + 1)
        seen += wx * row
    if seen < _WELL_LIT:
        px, pz = cx + 2 * nx, cz + 2 * nz
        r = _SIDE_REACH
        side = _open_sky(heights, px - r, cy, pz) + _open_sky(heights, px + r, cy, pz)
        side += _open_sky(heights, px, cy, pz - r) + _open_sky(heights, px, cy, pz + r)
        side += _open_sky(heights, px - 1, cy, pz - 1) + _open_sky(heights, px + 1, cy, pz - 1)
        side += _open_sky(heights, px - 1, cy, pz + 1) + _open_sky(heights, px + 1, cy, pz + 1)
        seen += (1.0 - seen) * _SIDEWAYS * min(side / _SIDES_ENOUGH, 1.0)
    return seen


@compiled_inline
def light_at(palette, heights, roofs, glow, any_lamp, cx, cy, cz, hx, hy, hz, nx, nz, shade):
    """(r, g, b) factors of light on a face with brightness `shade` at point (hx, hy, hz) before cell (cx, cy, cz).

    (nx, nz) is the way a wall looks, (0, 0) for floors and ceilings; `heights`, `roofs` and `glow` are flattened.
    """
    seen = 1.0
    if cy <= roofs[(cx & (SIZE_X - 1)) * SIZE_Z + (cz & (SIZE_Z - 1))]:
        fx, fz = min(max(hx - cx, 0.0), 1.0), min(max(hz - cz, 0.0), 1.0)
        seen = _partly_open(heights, cx, cy, cz, fx, fz, nx, nz)
    sun = seen * _SUN_SHARE * shade
    ambient, cave = seen * shade, _CAVE_LIGHT * (1.0 - seen) * shade
    r = palette[SUNLIGHT, 0] * sun + palette[AMBIENT, 0] * ambient + cave
    g = palette[SUNLIGHT, 1] * sun + palette[AMBIENT, 1] * ambient + cave
    b = palette[SUNLIGHT, 2] * sun + palette[AMBIENT, 2] * ambient + cave
    if any_lamp:
        lamp = lamp_light(glow, hx, hy, hz) * (0.55 + 0.45 * shade)
        r += lamp * _LAMP_COLOUR[0]
        g += lamp * _LAMP_COLOUR[1]
        b += lamp * _LAMP_COLOUR[2]
    return min(r, _BRIGHTEST), min(g, _BRIGHTEST), min(b, _BRIGHTEST)


@compiled_fast
def light_in(palette, heights, roofs, glow, any_lamp, x, y, z):
    """(r, g, b) factors of light at a point in the air."""
    cx, cy, cz = math.floor(x), math.floor(y), math.floor(z)
    return light_at(palette, heights, roofs, glow, any_lamp, cx, cy, cz, x, y, z, 0, 0, 1.0)
