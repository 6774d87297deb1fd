"""How light it is at a place: the sky above and beside it, and lamps."""

from __future__ import annotations

import math

import numpy as np

from reverie.model.compiled import compiled_fast, compiled_inline
from reverie.simulator.voxel.blocks import SIZE_X, SIZE_Z
from reverie.simulator.voxel.sky import AMBIENT, SUNLIGHT
from reverie.simulator.voxel.surroundings import BRICK, BRICKS_X, BRICKS_Y, BRICKS_Z

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
