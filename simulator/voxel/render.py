"""The voxel world as pixels: one ray for each pixel, walked from cell to cell (Amanatides and Woo 1987).

Empty bricks of 4x4x4 cells are jumped over; see `surroundings.py` for those, and `light.py` for the light.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from reverie.model.compiled import compiled_fast, compiled_inline
from reverie.simulator.voxel.animals import CREATURE_ID, draw_creatures
from reverie.simulator.voxel.blocks import (
    BLOCK_ID,
    FIELD_OF_VIEW,
    GLOW,
    SEE_THROUGH,
    SIZE_X,
    SIZE_Y,
    SIZE_Z,
    TARGETABLE,
    VIEW_DISTANCE,
)
from reverie.simulator.voxel.edges import NO_FACE, TEXELWISE, smooth_edges, surface
from reverie.simulator.voxel.hud import draw_hud
from reverie.simulator.voxel.light import light_at, light_in
from reverie.simulator.voxel.sky import AMBIENT, HORIZON, SUNLIGHT, cloud_map, sky_colour, sky_gradient, sky_palette
from reverie.simulator.voxel.surroundings import BRICK, FULL, LAYERS, OCCUPIED, brick_index, cell_index, surroundings
from reverie.simulator.voxel.textures import CRACK_STAGES, crack_stages, mip_table

__all__ = ["CREATURE_ID", "Rendered", "View", "camera_basis", "cast", "pixel_rays", "render"]

_OPAQUE, _CUTOUT, _WATERY = 1, 2, 3
_GLASS = BLOCK_ID["glass"]
_WATER = BLOCK_ID["water"]
_BEDROCK = BLOCK_ID["bedrock"]
_HOLES_UNTIL = 16.0
"""Metres beyond which leaves are drawn without holes."""
_FOG_START = 0.40
"""Share of the view distance at which fog begins."""
_FACE_X, _FACE_Z, _FACE_TOP, _FACE_BOTTOM = 0.66, 0.82, 1.0, 0.52
"""How bright the faces of a block are by the way they look."""
_WATER_COLOUR = (28.0, 74.0, 150.0)
_WATER_MURK = 0.16
"""How much light a metre of water takes (natural exponent)."""
_SWIMMING_MURK = 0.11
"""The same for eyes under water, which get used to it."""
_OUTLINE_WIDTH = 0.024
"""Metres of the line around the targeted block; never thinner than about a pixel."""


@dataclass(frozen=True, eq=False)
class View:
    """What a frame is made from, besides the blocks.

    `position` is the eye's (x, y, z), unbounded; angles in degrees; `day_time` 0 midnight, 0.5 noon; `hotbar` the
    selected slot 0-8 of `hotbar_ids` (uint8 [9]); `target` the block under the crosshair, `crack` 0-1 how far
    it is broken; `swing` 0-1 the phase of the arm; `creatures` float32 [n, 6]: x, y, z of the feet, yaw,
    kind (0 pig, 1 sheep), walk phase (radians).
    """

    position: tuple[float, float, float]
    yaw: float = 0.0
    pitch: float = 0.0
    day_time: float = 0.5
    hotbar: int = 0
    hotbar_ids: np.ndarray = field(default_factory=lambda: np.zeros(9, np.uint8))
    target: tuple[int, int, int] | None = None
    crack: float = 0.0
    swing: float = 0.0
    eye_in_water: bool = False
    creatures: np.ndarray = field(default_factory=lambda: np.zeros((0, 6), np.float32))


@dataclass(frozen=True, eq=False)
class Rendered:
    """`frame` uint8 [h, w, 3]; `depth` float32 [h, w] metres along the camera's axis, infinity for sky; `ids` uint8
    [h, w] the kind of block seen (water at its surface, air for sky, CREATURE_ID for animals). The HUD is in the
    frame only."""

    frame: np.ndarray
    depth: np.ndarray
    ids: np.ndarray


def camera_basis(yaw: float, pitch: float) -> np.ndarray:
    """float64 [3, 3]: the unit vectors right, up, forward of a camera; angles in degrees."""
    cy, sy = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    cp, sp = math.cos(math.radians(pitch)), math.sin(math.radians(pitch))
    return np.array([[-cy, 0.0, -sy], [-sy * sp, cp, cy * sp], [-sy * cp, -sp, cy * cp]])


def _pixel_scale(height: int) -> float:
    """Edge of a pixel one metre ahead, in metres."""
    return 2 * math.tan(math.radians(FIELD_OF_VIEW) / 2) / height


def pixel_rays(view: View, size: tuple[int, int]) -> np.ndarray:
    """float64 [h, w, 3]: each pixel's ray, 1 m along the camera's axis: eye + depth * ray is what it sees."""
    height, width = size
    scale = _pixel_scale(height)
    across = (np.arange(width) + 0.5 - width / 2) * scale
    down = (height / 2 - np.arange(height) - 0.5) * scale
    right, up, forward = camera_basis(view.yaw, view.pitch)
    return forward + across[None, :, None] * right + down[:, None, None] * up


@lru_cache(maxsize=1)
def _kinds() -> np.ndarray:
    """uint8 [n_blocks]: how rays meet each kind: 0 not at all, else _OPAQUE, _CUTOUT or _WATERY."""
    kinds = np.where(SEE_THROUGH, _CUTOUT, _OPAQUE).astype(np.uint8)
    kinds[BLOCK_ID["air"]] = 0
    kinds[_WATER] = _WATERY
    return kinds


@compiled_inline
def _met(axis, step_x, step_y, step_z, cx, cy, cz):
    """(side, plane) as `surface` wants them of the face by which a ray that goes in those steps comes into a cell."""
    step, plane = (step_x, cx) if axis == 0 else ((step_y, cy) if axis == 1 else (step_z, cz))
    return (axis + 3, plane + 1) if step < 0 else (axis, plane)


@compiled_inline
def _texels_across(axis, dx, dy, dz, basis, texels):
    """(along u, along v): how many texels of a face a pixel's footprint spans, by how fast its rays move over it.

    `texels` is how many a pixel would span of a face at that depth that looks at the camera.
    """
    if axis == 0:
        a, da, u, du, v, dv = 0, dx, 2, dz, 1, dy
    elif axis == 1:
        a, da, u, du, v, dv = 1, dy, 0, dx, 2, dz
    else:
        a, da, u, du, v, dv = 2, dz, 0, dx, 1, dy
    across, up = basis[0, a] / da, basis[1, a] / da
    wide_u = abs(basis[0, u] - du * across) + abs(basis[1, u] - du * up)
    wide_v = abs(basis[0, v] - dv * across) + abs(basis[1, v] - dv * up)
    return wide_u * texels, wide_v * texels


@compiled_inline
def _beside(place, wide):
    """(step, share): the neighbour -1 or 1 that a box `wide` around `place` in a texel reaches into, and how much."""
    half = 0.5 * wide
    if place < half:
        return -1, (half - place) / wide
    if place > 1.0 - half:
        return 1, (place - 1.0 + half) / wide
    return 0, 0.0


@compiled_inline
def _texture(mips, block, face, level, u, v, wide_u, wide_v):
    """(r, g, b) of a face at (u, v), averaged over a pixel's footprint, of at most a texel either way.

    Texels stay squares with hard edges near by, and do not flicker far away.
    """
    edge = 16 >> level
    start = (1024 - (1024 >> (2 * level))) // 3
    x, y = u * edge, v * edge
    column, row = int(x), int(y)
    next_column, share_u = _beside(x - column, min(max(wide_u / (1 << level), 1e-6), 1.0))
    next_row, share_v = _beside(y - row, min(max(wide_v / (1 << level), 1e-6), 1.0))
    base = start + (edge - 1 - row) * edge
    here = base + column
    r, g, b = mips[block, face, here, 0], mips[block, face, here, 1], mips[block, face, here, 2]
    beside = (column + next_column) & (edge - 1)
    if next_column != 0:
        there = base + beside
        r += (mips[block, face, there, 0] - r) * share_u
        g += (mips[block, face, there, 1] - g) * share_u
        b += (mips[block, face, there, 2] - b) * share_u
    if next_row != 0:
        base = start + (edge - 1 - ((row + next_row) & (edge - 1))) * edge
        here = base + column
        r2, g2, b2 = mips[block, face, here, 0], mips[block, face, here, 1], mips[block, face, here, 2]
        if next_column != 0:
            there = base + beside
            r2 += (mips[block, face, there, 0] - r2) * share_u
            g2 += (mips[block, face, there, 1] - g2) * share_u
            b2 += (mips[block, face, there, 2] - b2) * share_u
        r, g, b = r + (r2 - r) * share_v, g + (g2 - g) * share_v, b + (b2 - b) * share_v
    return r, g, b


@compiled_fast
def _trace(
    blocks, kinds, glowing, clearance, top, heights, roofs, glow, any_lamp, mips, cracks, palette, clouds,
    eye, basis, tx, ty, tz, outlined, crack_stage, in_water, fog_end, frame, depth, ids, surfaces, cells,
):  # fmt: skip
    h, w, _ = frame.shape
    scale = 2.0 * math.tan(FIELD_OF_VIEW * math.pi / 360.0) / h
    texel_scale = scale * 16.0
    ox, oy, oz = eye[0], eye[1], eye[2]
    cx0, cy0, cz0 = math.floor(ox), math.floor(oy), math.floor(oz)
    light_scale = 0.25 + 0.75 * min(palette[SUNLIGHT, 1] + palette[AMBIENT, 1], 1.0)
    wr, wg, wb = _WATER_COLOUR[0] * light_scale, _WATER_COLOUR[1] * light_scale, _WATER_COLOUR[2] * light_scale
    fog_start = fog_end * _FOG_START
    for i in range(h):
        sy = (h * 0.5 - i - 0.5) * scale
        for j in range(w):
            sx = (j + 0.5 - w * 0.5) * scale
            dx = basis[2, 0] + sx * basis[0, 0] + sy * basis[1, 0]
            dy = basis[2, 1] + sx * basis[0, 1] + sy * basis[1, 1]
            dz = basis[2, 2] + sx * basis[0, 2] + sy * basis[1, 2]
            length = math.sqrt(dx * dx + dy * dy + dz * dz)
            unit = 1.0 / length
            t_end = fog_end * unit
            if abs(dx) < 1e-9:
                dx = 1e-9
            if abs(dy) < 1e-9:
                dy = 1e-9
            if abs(dz) < 1e-9:
                dz = 1e-9
            rx, ry, rz = 1.0 / dx, 1.0 / dy, 1.0 / dz
            px, py, pz = 1 if dx > 0 else 0, 1 if dy > 0 else 0, 1 if dz > 0 else 0
            gx, gy, gz = 2 * px - 1, 2 * py - 1, 2 * pz - 1
            ax, ay, az = abs(rx), abs(ry), abs(rz)
            cx, cy, cz = cx0, cy0, cz0
            tmx, tmy, tmz = (cx + px - ox) * rx, (cy + py - oy) * ry, (cz + pz - oz) * rz
            t = 0.0
            axis = 1
            last = _WATER if in_water else 0
            hit = 0
            u, v = 0.0, 0.0
            exit_t = -1.0
            water_t, water_u, water_v, water_axis = -1.0, 0.0, 0.0, 1
            water_side, water_plane, water_x, water_y, water_z = 0, 0, 0, 0, 0
            if cy >= top:
                if gy > 0:
                    t = t_end
                else:  # down to the highest thing
                    t = (top - oy) * ry
                    if t < t_end:
                        cx, cy, cz = math.floor(ox + dx * t), top, math.floor(oz + dz * t)
                        tmx, tmy, tmz = (cx + px - ox) * rx, t, (cz + pz - oz) * rz
            while t < t_end:
                clear = clearance[brick_index(cx, cy, cz)] if 0 <= cy < top else FULL
                filled = clear & LAYERS if clear & OCCUPIED else 0
                if (cy & 3) >= filled:  # on to where the empty box ends
                    out = 0 if clear & OCCUPIED else (clear - 1) * BRICK
                    wide = BRICK + 2 * out
                    lo_x, lo_y, lo_z = (cx & ~3) - out, (cy & ~3) - out + filled, (cz & ~3) - out
                    bx, by, bz = lo_x + wide * px, lo_y + (wide - filled) * py, lo_z + wide * pz
                    wide -= 1
                    txx, tyy, tzz = (bx - ox) * rx, (by - oy) * ry, (bz - oz) * rz
                    t = min(txx, min(tyy, tzz))
                    axis = 0 if t == txx else (1 if t == tyy else 2)
                    cx = bx + px - 1 if axis == 0 else min(max(math.floor(ox + dx * t), lo_x), lo_x + wide)
                    cy = by + py - 1 if axis == 1 else min(max(math.floor(oy + dy * t), lo_y), lo_y + wide - filled)
                    cz = bz + pz - 1 if axis == 2 else min(max(math.floor(oz + dz * t), lo_z), lo_z + wide)
                    tmx, tmy, tmz = (cx + px - ox) * rx, (cy + py - oy) * ry, (cz + pz - oz) * rz
                    last = 0
                elif tmx < tmy and tmx < tmz:
                    t = tmx
                    axis = 0
                    cx += gx
                    tmx += ax
                elif tmy < tmz:
                    t = tmy
                    axis = 1
                    cy += gy
                    tmy += ay
                else:
                    t = tmz
                    axis = 2
                    cz += gz
                    tmz += az
                if cy >= top and gy > 0:
                    t = t_end
                    break
                if cy < 0:
                    block = _BEDROCK
                elif cy >= top:
                    block = 0
                else:
                    block = blocks[cell_index(cx, cy, cz)]
                if block == 0:
                    if in_water and exit_t < 0.0 and last == _WATER:
                        exit_t = t
                    last = 0
                    continue
                kind = kinds[block]
                if kind != _OPAQUE and block == last and kind != _CUTOUT:
                    continue
                if kind == _CUTOUT and block == last and block == _GLASS:
                    continue
                last = block
                if axis == 0:
                    u, v = oz + dz * t - cz, oy + dy * t - cy
                elif axis == 1:
                    u, v = ox + dx * t - cx, oz + dz * t - cz
                else:
                    u, v = ox + dx * t - cx, oy + dy * t - cy
                u, v = min(max(u, 0.0), 0.9999), min(max(v, 0.0), 0.9999)
                if kind == _WATERY:
                    if water_t < 0.0:
                        water_t, water_axis = t, axis
                        water_side, water_plane = _met(axis, gx, gy, gz, cx, cy, cz)
                        water_x, water_y, water_z = cx, cy, cz
                        water_u, water_v = ox + dx * t, oz + dz * t
                    continue
                if kind == _CUTOUT and (block == _GLASS or t * length < _HOLES_UNTIL):
                    face = 0 if axis != 1 else (1 if gy < 0 else 2)
                    row = 15 - int(v * 16.0)
                    if mips[block, face, row * 16 + int(u * 16.0), 3] < 0.5:
                        continue
                hit = block
                break
            ux, uy, uz = dx * unit, dy * unit, dz * unit
            distance = t * length
            fog = 0.0
            if hit and t < t_end:
                footprint = texel_scale * distance
                if axis == 0:
                    slant = abs(ux)
                    shade = _FACE_X
                elif axis == 1:
                    slant = abs(uy)
                    shade = _FACE_TOP if gy < 0 else _FACE_BOTTOM
                else:
                    slant = abs(uz)
                    shade = _FACE_Z
                footprint = footprint / math.sqrt(max(slant, 0.06))
                face = 0 if axis != 1 else (1 if gy < 0 else 2)
                level = (footprint >= 1.5) + (footprint >= 3.0) + (footprint >= 6.0) + (footprint >= 12.0)
                wide_u, wide_v = _texels_across(axis, dx, dy, dz, basis, t * texel_scale)
                r, g, b = _texture(mips, hit, face, level, u, v, wide_u, wide_v)
                side, plane = _met(axis, gx, gy, gz, cx, cy, cz)
                surfaces[i, j] = surface(hit, side + TEXELWISE if kinds[hit] == _CUTOUT else side, plane)
                cells[i, j, 0], cells[i, j, 1], cells[i, j, 2] = cx, cy, cz
                aimed = cx == tx and cy == ty and cz == tz
                if aimed and crack_stage > 0 and cracks[crack_stage - 1, int(v * 16.0), int(u * 16.0)]:
                    r, g, b = r * 0.25, g * 0.25, b * 0.25
                if glowing[hit]:
                    r, g, b = r * 1.05, g * 1.05, b * 1.0
                else:
                    hx, hy, hz = ox + dx * t, oy + dy * t, oz + dz * t
                    nx, ny, nz, wx, wz = cx, cy, cz, 0, 0
                    if axis == 0:
                        nx -= gx
                        wx = -gx
                        hx = nx + 0.5
                    elif axis == 1:
                        ny -= gy
                    else:
                        nz -= gz
                        wz = -gz
                        hz = nz + 0.5
                    lr, lg, lb = light_at(
                        palette, heights, roofs, glow, any_lamp, nx, ny, nz, hx, hy, hz, wx, wz, shade
                    )  # fmt: skip
                    r, g, b = r * lr, g * lg, b * lb
                if aimed and outlined:
                    width = max(_OUTLINE_WIDTH, 0.55 * scale * distance)
                    if min(min(u, 1.0 - u), min(v, 1.0 - v)) < width:
                        if r + g + b > 400.0:
                            r, g, b = r * 0.35, g * 0.35, b * 0.35
                        else:
                            r, g, b = r * 0.4 + 150.0, g * 0.4 + 150.0, b * 0.4 + 150.0
                depth[i, j] = t
                ids[i, j] = hit
                fog = (distance - fog_start) / (fog_end - fog_start)
                if fog > 0.0:
                    fog = min(fog, 1.0)
                    fog = fog * fog * (3.0 - 2.0 * fog)
                    if fog > 0.85 and not in_water:
                        fr, fg, fb = sky_colour(palette, clouds, ox, oy, oz, ux, uy, uz, scale)
                    else:
                        fr, fg, fb = sky_gradient(palette, uy)
                    r, g, b = r + (fr - r) * fog, g + (fg - g) * fog, b + (fb - b) * fog
            else:
                r, g, b = sky_colour(palette, clouds, ox, oy, oz, ux, uy, uz, scale)
                depth[i, j] = np.inf
                ids[i, j] = 0
                surfaces[i, j] = surface(0, NO_FACE, 0)
            if in_water:
                if exit_t >= 0.0:
                    distance = exit_t * length
                dim = math.exp(-_SWIMMING_MURK * min(distance, 40.0))
                r, g, b = wr + (r * 0.75 - wr) * dim, wg + (g * 0.9 - wg) * dim, wb + (b - wb) * dim
            elif water_t >= 0.0:
                far = water_t * length
                dim = math.exp(-_WATER_MURK * min(distance - far + 0.5, 40.0))
                r, g, b = wr + (r - wr) * dim, wg + (g - wg) * dim, wb + (b - wb) * dim
                wave = 0.0
                if far < 40.0:
                    wave = math.sin(water_u * 2.3 + math.sin(water_v * 1.3)) * math.sin(water_v * 1.9 + water_u * 0.6)
                    wave *= 1.0 - far / 40.0
                if water_axis == 1:
                    graze = 1.0 - abs(uy)
                    mirror = 0.10 + 0.55 * graze * graze * graze
                else:
                    mirror = 0.12
                mirror = mirror + 0.07 * wave
                fr, fg, fb = sky_gradient(palette, abs(uy) * 0.6)
                r, g, b = r + (fr - r) * mirror, g + (fg - g) * mirror, b + (fb - b) * mirror
                fog = min(max((far - fog_start) / (fog_end - fog_start), 0.0), 1.0)
                fog = fog * fog * (3.0 - 2.0 * fog)
                fr, fg, fb = sky_gradient(palette, uy)
                r, g, b = r + (fr - r) * fog, g + (fg - g) * fog, b + (fb - b) * fog
                depth[i, j] = water_t
                ids[i, j] = _WATER
                surfaces[i, j] = surface(_WATER, water_side, water_plane)
                cells[i, j, 0], cells[i, j, 1], cells[i, j, 2] = water_x, water_y, water_z
            frame[i, j, 0] = int(min(max(r + 0.5, 0.0), 255.0))
            frame[i, j, 1] = int(min(max(g + 0.5, 0.0), 255.0))
            frame[i, j, 2] = int(min(max(b + 0.5, 0.0), 255.0))


def render(blocks: np.ndarray, heights: np.ndarray, view: View, size: tuple[int, int], *, hud: bool = True) -> Rendered:
    """Draws what `view` sees. `size` is (height, width), multiples of 16.

    `blocks` uint8 [256, 64, 256], C-contiguous; `heights` as `column_heights` gives them. Runs on one core without the
    interpreter's lock, and gives the same bits for the same input. `hud` draws the screen layer: hotbar, hand,
    crosshair and the outline of the target. Cracks belong to the world and are always drawn.
    """
    height, width = size
    frame = np.empty((height, width, 3), np.uint8)
    depth = np.empty((height, width), np.float32)
    ids = np.empty((height, width), np.uint8)
    surfaces = np.empty((height, width), np.int32)
    cells = np.empty((height, width, 3), np.int32)
    x, y, z = view.position
    eye = np.array([x % SIZE_X, y, z % SIZE_Z])
    basis = camera_basis(view.yaw, view.pitch)
    palette = sky_palette(view.day_time)
    around = surroundings(blocks, heights)
    lighting = (palette, heights.reshape(-1), around.roofs, around.glow, around.any_lamp)
    target = (-1, -(1 << 20), -1)
    if view.target is not None:  # the copy of the torus that the eye is nearest to
        target = (
            _nearest_copy(view.target[0], eye[0], SIZE_X),
            int(view.target[1]),
            _nearest_copy(view.target[2], eye[2], SIZE_Z),
        )
    stage = min(math.ceil(view.crack * CRACK_STAGES), CRACK_STAGES) if view.crack > 0 else 0
    _trace(
        blocks.reshape(-1), _kinds(), GLOW, around.clearance, around.top, *lighting[1:],
        mip_table(), crack_stages(), palette, cloud_map(), eye, basis, *target, hud, stage, view.eye_in_water,
        VIEW_DISTANCE, frame, depth, ids, surfaces, cells,
    )  # fmt: skip
    frame = smooth_edges(frame, depth, surfaces, cells, eye, basis, _pixel_scale(height))
    light = light_in(*lighting, *eye)
    if len(view.creatures):
        haze = np.array(_WATER_COLOUR) * light[1] if view.eye_in_water else palette[HORIZON]
        draw_creatures(
            view.creatures, eye, basis, _pixel_scale(height), lighting,
            (VIEW_DISTANCE * _FOG_START, VIEW_DISTANCE), haze, _SWIMMING_MURK if view.eye_in_water else 0.0,
            (frame, depth, ids),
        )  # fmt: skip
    if hud:
        draw_hud(frame, view.hotbar, view.hotbar_ids, view.swing, light)
    return Rendered(frame, depth, ids)


def _nearest_copy(cell: int, eye: float, period: int) -> int:
    return int(cell) + period * round((eye - cell - 0.5) / period)


@compiled_fast
def _cast(blocks, targetable, ox, oy, oz, dx, dy, dz, reach):
    cx, cy, cz = math.floor(ox), math.floor(oy), math.floor(oz)
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    dx, dy, dz = dx / length, dy / length, dz / length
    if abs(dx) < 1e-9:
        dx = 1e-9
    if abs(dy) < 1e-9:
        dy = 1e-9
    if abs(dz) < 1e-9:
        dz = 1e-9
    rx, ry, rz = 1.0 / dx, 1.0 / dy, 1.0 / dz
    px, py, pz = 1 if dx > 0 else 0, 1 if dy > 0 else 0, 1 if dz > 0 else 0
    tmx, tmy, tmz = (cx + px - ox) * rx, (cy + py - oy) * ry, (cz + pz - oz) * rz
    while True:
        nx, ny, nz = 0, 0, 0
        if tmx < tmy and tmx < tmz:
            t = tmx
            nx = 1 - 2 * px
            cx -= nx
            tmx += abs(rx)
        elif tmy < tmz:
            t = tmy
            ny = 1 - 2 * py
            cy -= ny
            tmy += abs(ry)
        else:
            t = tmz
            nz = 1 - 2 * pz
            cz -= nz
            tmz += abs(rz)
        if t > reach:
            return False, cx, cy, cz, nx, ny, nz, t
        if cy >= 0 and cy < SIZE_Y and targetable[blocks[cx & (SIZE_X - 1), cy, cz & (SIZE_Z - 1)]]:
            return True, cx, cy, cz, nx, ny, nz, t


def cast(
    blocks: np.ndarray, origin: tuple[float, float, float], direction: tuple[float, float, float], reach: float
) -> tuple[int, int, int, int, int, int, float] | None:
    """The first targetable block along a ray: (x, y, z, nx, ny, nz, distance), or None within `reach` metres.

    (x, y, z) are unbounded like `origin`; (nx, ny, nz) is the normal of the face that was met, so that a block placed
    against it goes to their sum; `direction` need not be a unit vector. The block that holds the origin is skipped.
    """
    found, *rest = _cast(blocks, TARGETABLE, *map(float, origin), *map(float, direction), float(reach))
    return tuple(rest) if found else None  # type: ignore[return-value]
