"""The caster's inner loops, compiled for the CPU: rays walked from cell to cell (Amanatides and Woo 1987)."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from reverie.model.cells import HEIGHT
from reverie.model.compiled import compiled, compiled_exact

OPEN, OPAQUE, SEE_THROUGH, DARK = 0, 1, 2, 3
"""How rays meet a token: they pass, they end, they end once and go on, they pass and it is noted (UNKNOWN)."""
NO_FACE = 6
"""Face of a pixel that sees the sky."""
BRICK = 4
"""Cells along the edge of a brick; bricks of nothing but open cells are stepped over."""
TEXELS = 16
OPEN_COLUMNS = (
    (-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 0), (0, 1), (1, -1), (1, 0), (1, 1), (-3, 0), (3, 0), (0, -3), (0, 3),
)  # fmt: skip
"""Columns (x, z) about a face whose open sky is looked up."""
DEEPEST = 7
"""Cells below the roof beyond which open sky is not told apart."""
LAMP_REACH = 12.0
"""Metres from a lamp within which its nearness is more than 0."""

_COLUMNS = np.array(OPEN_COLUMNS, np.int64)
_TINY = 1e-9


def _inline(function):
    return njit(inline="always", error_model="numpy")(function)


@_inline
def _write_face(
    i, j, layer, token, axis, step, t, length, cx, cy, cz, ex, ey, ez, dx, dy, dz, basis, scale,
    tokens, faces, geometry, cells,
):  # fmt: skip
    """Notes a face of a cell that a ray meets, with the size of the pixel's footprint on it (ray differentials)."""
    px, py, pz = ex + dx * t, ey + dy * t, ez + dz * t
    if axis == 0:
        u, v = pz - cz, py - cy
        along, first, second = dx, 2, 1
        du, dv = dz, dy
    elif axis == 1:
        u, v = px - cx, pz - cz
        along, first, second = dy, 0, 2
        du, dv = dx, dz
    else:
        u, v = px - cx, py - cy
        along, first, second = dz, 0, 1
        du, dv = dx, dy
    across, up = basis[0, axis] / along, basis[1, axis] / along
    texels = t * scale * TEXELS
    tokens[i, j, layer] = token
    faces[i, j, layer] = 2 * axis + (1 if step > 0 else 0)
    geometry[i, j, layer, 0] = t * length
    geometry[i, j, layer, 1] = min(max(u, 0.0), 0.99999)
    geometry[i, j, layer, 2] = min(max(v, 0.0), 0.99999)
    geometry[i, j, layer, 3] = (abs(basis[0, first] - du * across) + abs(basis[1, first] - du * up)) * texels
    geometry[i, j, layer, 4] = (abs(basis[0, second] - dv * across) + abs(basis[1, second] - dv * up)) * texels
    cells[i, j, layer, 0], cells[i, j, layer, 1], cells[i, j, layer, 2] = cx, cy, cz


@compiled_exact
def trace(
    grid, bricks, kinds, inner, medium, low_x, low_z, eye, basis, scale, reach,
    tokens, faces, geometry, cells, wet, dark,
):  # fmt: skip
    """Walks a ray for each pixel and notes the first face and the one seen through it; see `GBuffer`.

    `grid` uint8 [sx, 64, sz] starts at (low_x, 0, low_z); `bricks` uint8 [sx / 4, 16, sz / 4] is 0 where all is open.
    """
    h, w = dark.shape
    sx, _, sz = grid.shape
    ex, ey, ez = eye[0], eye[1], eye[2]
    start_x, start_y, start_z = math.floor(ex), math.floor(ey), math.floor(ez)
    inside = 0 <= start_x - low_x < sx and 0 <= start_z - low_z < sz and 0 <= start_y < HEIGHT
    here = grid[start_x - low_x, start_y, start_z - low_z] if inside else 0
    in_medium = inside and medium[here]
    for i in range(h):
        up = (h * 0.5 - i - 0.5) * scale
        for j in range(w):
            across = (j + 0.5 - w * 0.5) * scale
            dx = basis[2, 0] + across * basis[0, 0] + up * basis[1, 0]
            dy = basis[2, 1] + across * basis[0, 1] + up * basis[1, 1]
            dz = basis[2, 2] + across * basis[0, 2] + up * basis[1, 2]
            length = math.sqrt(dx * dx + dy * dy + dz * dz)
            end = reach / length
            if abs(dx) < _TINY:
                dx = _TINY
            if abs(dy) < _TINY:
                dy = _TINY
            if abs(dz) < _TINY:
                dz = _TINY
            rx, ry, rz = 1.0 / dx, 1.0 / dy, 1.0 / dz
            gx, gy, gz = 1 if dx > 0 else -1, 1 if dy > 0 else -1, 1 if dz > 0 else -1
            ox, oy, oz = 1 if dx > 0 else 0, 1 if dy > 0 else 0, 1 if dz > 0 else 0
            cx, cy, cz = start_x, start_y, start_z
            tx, ty, tz = (cx + ox - ex) * rx, (cy + oy - ey) * ry, (cz + oz - ez) * rz
            wx, wy, wz = abs(rx), abs(ry), abs(rz)
            t, axis, last, found = 0.0, 1, here, 0
            wet_until = -1.0
            dark_from = -1.0
            for layer in range(2):
                tokens[i, j, layer] = 0
                faces[i, j, layer] = NO_FACE
                for k in range(5):
                    geometry[i, j, layer, k] = 0.0
            if inside and kinds[here] == DARK:
                dark_from = 0.0
            while True:
                lx, lz = cx - low_x, cz - low_z
                if (
                    0 <= lx < sx
                    and 0 <= lz < sz
                    and 0 <= cy < HEIGHT
                    and bricks[lx // BRICK, cy // BRICK, lz // BRICK] == 0
                ):
                    # over the whole brick: to where the ray leaves it
                    bx, by, bz = lx // BRICK * BRICK + low_x, cy // BRICK * BRICK, lz // BRICK * BRICK + low_z
                    qx = (bx + ox * BRICK - ex) * rx
                    qy = (by + oy * BRICK - ey) * ry
                    qz = (bz + oz * BRICK - ez) * rz
                    if qx < qy and qx < qz:
                        t, axis = qx, 0
                        cx = bx + BRICK if gx > 0 else bx - 1
                        cy = min(max(math.floor(ey + dy * t), by), by + BRICK - 1)
                        cz = min(max(math.floor(ez + dz * t), bz), bz + BRICK - 1)
                    elif qy < qz:
                        t, axis = qy, 1
                        cx = min(max(math.floor(ex + dx * t), bx), bx + BRICK - 1)
                        cy = by + BRICK if gy > 0 else by - 1
                        cz = min(max(math.floor(ez + dz * t), bz), bz + BRICK - 1)
                    else:
                        t, axis = qz, 2
                        cx = min(max(math.floor(ex + dx * t), bx), bx + BRICK - 1)
                        cy = min(max(math.floor(ey + dy * t), by), by + BRICK - 1)
                        cz = bz + BRICK if gz > 0 else bz - 1
                    tx, ty, tz = (cx + ox - ex) * rx, (cy + oy - ey) * ry, (cz + oz - ez) * rz
                    last = 0
                elif tx < ty and tx < tz:
                    t, axis = tx, 0
                    cx += gx
                    tx += wx
                elif ty < tz:
                    t, axis = ty, 1
                    cy += gy
                    ty += wy
                else:
                    t, axis = tz, 2
                    cz += gz
                    tz += wz
                if t > end:
                    break
                lx, lz = cx - low_x, cz - low_z
                if lx < 0 or lx >= sx or lz < 0 or lz >= sz:
                    if dark_from < 0.0 and cy < HEIGHT:
                        dark_from = t * length
                    break
                if cy < 0:
                    if dark_from < 0.0:
                        dark_from = t * length
                    break
                if cy >= HEIGHT:
                    if gy > 0:
                        if in_medium and wet_until < 0.0:
                            wet_until = t * length
                        break
                    last = 0
                    continue
                token = grid[lx, cy, lz]
                kind = kinds[token]
                if in_medium and wet_until < 0.0 and token != here:
                    wet_until = t * length
                if kind in (OPEN, DARK):
                    if kind == DARK and dark_from < 0.0:
                        dark_from = t * length
                    last = token
                    continue
                if kind == SEE_THROUGH and token == last and not inner[token]:
                    continue
                last = token
                step = gx if axis == 0 else (gy if axis == 1 else gz)
                _write_face(
                    i, j, found, token, axis, step, t, length, cx, cy, cz, ex, ey, ez, dx, dy, dz, basis, scale,
                    tokens, faces, geometry, cells,
                )  # fmt: skip
                found += 1
                if kind == OPAQUE or found == 2:
                    break
            if found == 1 and kinds[tokens[i, j, 0]] == OPAQUE:
                tokens[i, j, 1], faces[i, j, 1] = tokens[i, j, 0], faces[i, j, 0]
                for k in range(5):
                    geometry[i, j, 1, k] = geometry[i, j, 0, k]
                for k in range(3):
                    cells[i, j, 1, k] = cells[i, j, 0, k]
            wet[i, j] = 0.0
            if in_medium:
                wet[i, j] = wet_until if wet_until >= 0.0 else min(t, end) * length
            dark[i, j] = dark_from


@compiled_exact
def box_pixels(
    center, turn, half, kind_token, eye, basis, scale, rows, columns, kinds, tokens, faces, geometry, number, owner
):
    """Draws an oriented box into a G-buffer, in front of what lies farther away.

    `center` float64 [3], `turn` float64 [3, 3] (rows: the box's axes in the world), `half` float64 [3] its half sizes;
    `rows` and `columns` (first, end) bound its pixels; `owner` int16 [h, w, 2] gets `number` where the box is seen.
    """
    h, w = owner.shape[:2]
    local = np.empty(3)
    for k in range(3):
        local[k] = 0.0
        for a in range(3):
            local[k] += turn[k, a] * (eye[a] - center[a])
    d, q0, q1 = np.empty(3), np.empty(3), np.empty(3)
    for i in range(rows[0], rows[1]):
        up = (h * 0.5 - i - 0.5) * scale
        for j in range(columns[0], columns[1]):
            across = (j + 0.5 - w * 0.5) * scale
            square = 0.0
            for k in range(3):
                d[k] = q0[k] = q1[k] = 0.0
            for a in range(3):
                ray = basis[2, a] + across * basis[0, a] + up * basis[1, a]
                square += ray * ray
                for k in range(3):
                    d[k] += turn[k, a] * ray
                    q0[k] += turn[k, a] * basis[0, a]
                    q1[k] += turn[k, a] * basis[1, a]
            enter, leave, axis = 0.0, 1e30, -1
            for k in range(3):
                if abs(d[k]) < _TINY:
                    if abs(local[k]) > half[k]:
                        leave = -1.0
                    continue
                a, b = (-half[k] - local[k]) / d[k], (half[k] - local[k]) / d[k]
                if a > b:
                    a, b = b, a
                if a > enter:
                    enter, axis = a, k
                leave = min(leave, b)
            if axis < 0 or enter >= leave:
                continue
            distance = enter * math.sqrt(square)
            layer = 0
            if faces[i, j, 0] != NO_FACE and geometry[i, j, 0, 0] <= distance:
                if kinds[tokens[i, j, 0]] == OPAQUE and owner[i, j, 0] < 0:
                    continue
                if faces[i, j, 1] != NO_FACE and geometry[i, j, 1, 0] <= distance:
                    continue
                layer = 1
            if layer == 0:
                tokens[i, j, 1], faces[i, j, 1] = tokens[i, j, 0], faces[i, j, 0]
                owner[i, j, 1] = owner[i, j, 0]
                for k in range(5):
                    geometry[i, j, 1, k] = geometry[i, j, 0, k]
            first, second = (2, 1) if axis == 0 else ((0, 2) if axis == 1 else (0, 1))
            texels = enter * scale * TEXELS
            tokens[i, j, layer] = kind_token
            faces[i, j, layer] = 2 * axis + (1 if d[axis] > 0 else 0)
            geometry[i, j, layer, 0] = distance
            for k, side in enumerate((first, second)):
                place = (local[side] + d[side] * enter + half[side]) / (2 * half[side])
                geometry[i, j, layer, 1 + k] = min(max(place, 0.0), 0.99999)
                spread = abs(q0[side] - d[side] * q0[axis] / d[axis]) + abs(q1[side] - d[side] * q1[axis] / d[axis])
                geometry[i, j, layer, 3 + k] = spread * texels / (2 * half[side])
            owner[i, j, layer] = number


@compiled
def light_columns(faces, cells, geometry, eye, basis, scale, heights, low_x, low_z, lamps, open_sky, nearness):
    """Fills `open_sky` uint8 [h, w, 2, 13] (cells below the roof, 0 in the open) and `nearness` float32 [h, w, 2] of
    lamps (1 at a lamp, 0 from LAMP_REACH on), at the cell before each face."""
    h, w = faces.shape[:2]
    sx, sz = heights.shape
    for i in range(h):
        up = (h * 0.5 - i - 0.5) * scale
        for j in range(w):
            across = (j + 0.5 - w * 0.5) * scale
            dx = basis[2, 0] + across * basis[0, 0] + up * basis[1, 0]
            dy = basis[2, 1] + across * basis[0, 1] + up * basis[1, 1]
            dz = basis[2, 2] + across * basis[0, 2] + up * basis[1, 2]
            length = math.sqrt(dx * dx + dy * dy + dz * dz)
            for layer in range(2):
                nearness[i, j, layer] = 0.0
                face = faces[i, j, layer]
                if face == NO_FACE:
                    for k in range(13):
                        open_sky[i, j, layer, k] = 0
                    continue
                if layer == 1 and geometry[i, j, 1, 0] == geometry[i, j, 0, 0]:
                    for k in range(13):
                        open_sky[i, j, 1, k] = open_sky[i, j, 0, k]
                    nearness[i, j, 1] = nearness[i, j, 0]
                    continue
                x, y, z = cells[i, j, layer, 0], cells[i, j, layer, 1], cells[i, j, layer, 2]
                side = -1 if face % 2 else 1
                if face // 2 == 0:
                    x += side
                elif face // 2 == 1:
                    y += side
                else:
                    z += side
                for k in range(13):
                    lx = min(max(x + _COLUMNS[k, 0] - low_x, 0), sx - 1)
                    lz = min(max(z + _COLUMNS[k, 1] - low_z, 0), sz - 1)
                    open_sky[i, j, layer, k] = min(max(heights[lx, lz] - y + 1, 0), DEEPEST)
                if len(lamps):
                    t = geometry[i, j, layer, 0] / length
                    px, py, pz = eye[0] + dx * t, eye[1] + dy * t, eye[2] + dz * t
                    nearest = LAMP_REACH * LAMP_REACH
                    for k in range(len(lamps)):
                        ax, ay, az = lamps[k, 0] - px, lamps[k, 1] - py, lamps[k, 2] - pz
                        nearest = min(nearest, ax * ax + ay * ay + az * az)
                    nearness[i, j, layer] = 1.0 - math.sqrt(nearest) / LAMP_REACH


@compiled
def first_solid(grid, targetable, low_x, low_z, eye, direction, reach):
    """The first cell along a ray whose token `targetable` (bool [256]) holds, the cell of the eye left out.

    Gives (found, x, y, z, normal x, y, z, metres); `direction` is a unit vector.
    """
    sx, _, sz = grid.shape
    cx, cy, cz = math.floor(eye[0]), math.floor(eye[1]), math.floor(eye[2])
    d = np.empty(3)
    for k in range(3):
        d[k] = direction[k] if abs(direction[k]) >= _TINY else _TINY
    gx, gy, gz = 1 if d[0] > 0 else -1, 1 if d[1] > 0 else -1, 1 if d[2] > 0 else -1
    tx = (cx + (1 if gx > 0 else 0) - eye[0]) / d[0]
    ty = (cy + (1 if gy > 0 else 0) - eye[1]) / d[1]
    tz = (cz + (1 if gz > 0 else 0) - eye[2]) / d[2]
    while True:
        nx, ny, nz = 0, 0, 0
        if tx < ty and tx < tz:
            t = tx
            cx += gx
            nx = -gx
            tx += abs(1.0 / d[0])
        elif ty < tz:
            t = ty
            cy += gy
            ny = -gy
            ty += abs(1.0 / d[1])
        else:
            t = tz
            cz += gz
            nz = -gz
            tz += abs(1.0 / d[2])
        if t > reach:
            return False, cx, cy, cz, nx, ny, nz, t
        lx, lz = cx - low_x, cz - low_z
        if 0 <= lx < sx and 0 <= lz < sz and 0 <= cy < HEIGHT and targetable[grid[lx, cy, lz]]:
            return True, cx, cy, cz, nx, ny, nz, t
