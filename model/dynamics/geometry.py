"""The geometry of boxes and rays among cells, compiled: which cells a box overlaps, how far it goes before cells stop
it, which cell a ray meets. Nothing here knows what the world is like but which tokens are solid or targetable.

Arrays of n bodies each have their own cells: `cells` uint8 [n, sx, sy, sz] from `low` int64 [n, 3] on. Cells outside
of them count as UNKNOWN, those above the map as `empty`. Every body is computed by itself in a fixed order, so that
results do not depend on the others of a batch.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from reverie.model.cells import HEIGHT, UNKNOWN
from reverie.model.compiled import compiled
from reverie.model.dynamics.layout import COLUMNS, LEVELS

EPSILON = 1e-7
"""Boxes that overlap by less only touch."""


@njit(inline="always")
def _token(cells, low, i, x, y, z, empty):
    if y >= HEIGHT:
        return empty
    x, y, z = x - low[i, 0], y - low[i, 1], z - low[i, 2]
    if x < 0 or y < 0 or z < 0 or x >= cells.shape[1] or y >= cells.shape[2] or z >= cells.shape[3]:
        return UNKNOWN
    return cells[i, x, y, z]


@njit(inline="always")
def _clip(near, far, cell, move):
    """The part of `move` that an interval [near, far] can go before it meets the cell [cell, cell + 1]."""
    if move > 0.0 and far <= cell + EPSILON:
        return min(move, cell - far)
    if move < 0.0 and near >= cell + 1 - EPSILON:
        return max(move, cell + 1 - near)
    return move


@compiled
def sweep(cells, low, place, move, half, height, solid, empty, moved, hits):
    """How far boxes go before solid cells stop them, one axis after the other in the order y, x, z.

    Boxes stand at `place` float64 [n, 3] (middle of the feet) with `half` width and `height` float64 [n] and want to
    go by `move` float64 [n, 3]. Writes `moved` float64 [n, 3] and `hits` int8 [n, 3]: the sign of the motion that was
    stopped on each axis, or 0.
    """
    for i in range(place.shape[0]):
        dx, dy, dz = move[i, 0], move[i, 1], move[i, 2]
        x0, x1 = place[i, 0] - half[i], place[i, 0] + half[i]
        y0, y1 = place[i, 1], place[i, 1] + height[i]
        z0, z1 = place[i, 2] - half[i], place[i, 2] + half[i]
        if dy != 0.0:
            for y in range(math.floor(y0 + min(dy, 0.0) - EPSILON), math.floor(y1 + max(dy, 0.0) + EPSILON) + 1):
                for x in range(math.floor(x0 + EPSILON), math.floor(x1 - EPSILON) + 1):
                    for z in range(math.floor(z0 + EPSILON), math.floor(z1 - EPSILON) + 1):
                        if solid[_token(cells, low, i, x, y, z, empty)]:
                            dy = _clip(y0, y1, y, dy)
            y0 += dy
            y1 += dy
        if dx != 0.0:
            for x in range(math.floor(x0 + min(dx, 0.0) - EPSILON), math.floor(x1 + max(dx, 0.0) + EPSILON) + 1):
                for y in range(math.floor(y0 + EPSILON), math.floor(y1 - EPSILON) + 1):
                    for z in range(math.floor(z0 + EPSILON), math.floor(z1 - EPSILON) + 1):
                        if solid[_token(cells, low, i, x, y, z, empty)]:
                            dx = _clip(x0, x1, x, dx)
            x0 += dx
            x1 += dx
        if dz != 0.0:
            for z in range(math.floor(z0 + min(dz, 0.0) - EPSILON), math.floor(z1 + max(dz, 0.0) + EPSILON) + 1):
                for y in range(math.floor(y0 + EPSILON), math.floor(y1 - EPSILON) + 1):
                    for x in range(math.floor(x0 + EPSILON), math.floor(x1 - EPSILON) + 1):
                        if solid[_token(cells, low, i, x, y, z, empty)]:
                            dz = _clip(z0, z1, z, dz)
        moved[i, 0], moved[i, 1], moved[i, 2] = dx, dy, dz
        for axis in range(3):
            stopped = moved[i, axis] != move[i, axis]
            hits[i, axis] = 0 if not stopped else (1 if move[i, axis] > 0.0 else -1)


@njit(inline="always")
def _stands(cells, low, i, x, y, z, half, solid, empty):
    """Whether something solid lies under a box at (x, y, z), or in its way at its feet."""
    for cy in (math.floor(y - 0.5), math.floor(y + 0.5)):
        for cx in range(math.floor(x - half + EPSILON), math.floor(x + half - EPSILON) + 1):
            for cz in range(math.floor(z - half + EPSILON), math.floor(z + half - EPSILON) + 1):
                if solid[_token(cells, low, i, cx, cy, cz, empty)]:
                    return True
    return False


@njit(inline="always")
def _shortened(coordinate, move, half):
    """The longest part of `move` that ends with the box still over the last cell it is over now."""
    if move > 0.0:
        edge = math.floor(coordinate - half + EPSILON) + 1.0 + half
        while edge < coordinate:
            edge += 1.0
        return min(move, edge - 2.0 * EPSILON - coordinate) if edge - 2.0 * EPSILON > coordinate else 0.0
    edge = math.floor(coordinate + half - EPSILON) - half
    return max(move, edge + 2.0 * EPSILON - coordinate) if edge + 2.0 * EPSILON < coordinate else 0.0


@compiled
def stay_on_edge(cells, low, place, move, half, solid, empty, out):
    """Moves that end over something: `move` float64 [n, 3] shortened in x and z so that there is a solid cell under the
    box afterwards, as it is written to `out`. Moves that need no shortening stay as they are."""
    for i in range(place.shape[0]):
        x, y, z, dx, dz = place[i, 0], place[i, 1], place[i, 2], move[i, 0], move[i, 2]
        if dx != 0.0 and not _stands(cells, low, i, x + dx, y, z, half[i], solid, empty):
            dx = _shortened(x, dx, half[i])
        if dz != 0.0 and not _stands(cells, low, i, x, y, z + dz, half[i], solid, empty):
            dz = _shortened(z, dz, half[i])
        if not _stands(cells, low, i, x + dx, y, z + dz, half[i], solid, empty):
            shorter = _shortened(x, dx, half[i])
            if _stands(cells, low, i, x + shorter, y, z + dz, half[i], solid, empty):
                dx = shorter
            else:
                dx, dz = 0.0, 0.0
        out[i, 0], out[i, 1], out[i, 2] = dx, move[i, 1], dz


@compiled
def levels(cells, low, place, half, first, margin, empty, tokens, fraction):
    """The cells over, under and beside which boxes stand.

    Writes `tokens` uint8 [n, LEVELS, COLUMNS]: those of the columns that a box overlaps (the last one repeated where
    they are fewer), level by level from `first` cells above its own on, and `fraction` float32 [n]: the height of its
    feet within their cell, which is floor(y + margin).
    """
    for i in range(place.shape[0]):
        floor = math.floor(place[i, 1] + margin)
        fraction[i] = place[i, 1] - floor
        x0, x1 = math.floor(place[i, 0] - half[i] + EPSILON), math.floor(place[i, 0] + half[i] - EPSILON)
        z0, z1 = math.floor(place[i, 2] - half[i] + EPSILON), math.floor(place[i, 2] + half[i] - EPSILON)
        for level in range(LEVELS):
            column = 0
            token = UNKNOWN
            for x in range(x0, max(x1, x0) + 1):
                for z in range(z0, max(z1, z0) + 1):
                    if column < COLUMNS:
                        token = _token(cells, low, i, x, floor + first + level, z, empty)
                        tokens[i, level, column] = token
                        column += 1
            while column < COLUMNS:
                tokens[i, level, column] = token
                column += 1


@compiled
def aim(cells, low, eye, look, reach, targetable, empty, cell, normal, distance, tokens):
    """The cell that a ray from each `eye` float64 [n, 3] along `look` float64 [n, 3] (unit) first meets within `reach`.

    The cell that holds the eye is skipped. Writes `cell` int64 [n, 3], `normal` int64 [n, 3] of the face that was met,
    `distance` float64 [n] (infinity: none) and `tokens` uint8 [n, 2]: of the cell, and of the one before its face.
    """
    for i in range(eye.shape[0]):
        cx, cy, cz = math.floor(eye[i, 0]), math.floor(eye[i, 1]), math.floor(eye[i, 2])
        dx, dy, dz = look[i, 0], look[i, 1], look[i, 2]
        if abs(dx) < 1e-9:
            dx = 1e-9
        if abs(dy) < 1e-9:
            dy = 1e-9
        if abs(dz) < 1e-9:
            dz = 1e-9
        rx, ry, rz = 1.0 / dx, 1.0 / dy, 1.0 / dz
        px, py, pz = 1 if dx > 0 else 0, 1 if dy > 0 else 0, 1 if dz > 0 else 0
        tx, ty, tz = (cx + px - eye[i, 0]) * rx, (cy + py - eye[i, 1]) * ry, (cz + pz - eye[i, 2]) * rz
        distance[i] = math.inf
        normal[i, 0], normal[i, 1], normal[i, 2] = 0, 0, 0
        tokens[i, 0], tokens[i, 1] = UNKNOWN, UNKNOWN
        before = _token(cells, low, i, cx, cy, cz, empty)
        while True:
            nx, ny, nz = 0, 0, 0
            if tx < ty and tx < tz:
                t = tx
                nx = 1 - 2 * px
                cx -= nx
                tx += abs(rx)
            elif ty < tz:
                t = ty
                ny = 1 - 2 * py
                cy -= ny
                ty += abs(ry)
            else:
                t = tz
                nz = 1 - 2 * pz
                cz -= nz
                tz += abs(rz)
            if t > reach:
                break
            token = _token(cells, low, i, cx, cy, cz, empty)
            if targetable[token]:
                distance[i] = t
                normal[i, 0], normal[i, 1], normal[i, 2] = nx, ny, nz
                tokens[i, 0], tokens[i, 1] = token, before
                break
            if token == UNKNOWN:
                break
            before = token
        cell[i, 0], cell[i, 1], cell[i, 2] = cx, cy, cz


@compiled
def linear(x, weight, bias, rectify, out):
    """`out` float32 [n, o] = x [n, k] @ weight [k, o] + bias, then rectified if asked for.

    Sums run over k in order, for each row by itself: the same bytes for any n, on any number of threads.
    """
    for i in range(x.shape[0]):
        row = out[i]
        for j in range(row.shape[0]):
            row[j] = bias[j]
        for k in range(x.shape[1]):
            value = x[i, k]
            if value != 0.0:
                weights = weight[k]
                for j in range(row.shape[0]):
                    row[j] += value * weights[j]
        if rectify:
            for j in range(row.shape[0]):
                row[j] = max(row[j], np.float32(0.0))


@compiled
def pool(tokens, table, out, offset):
    """Writes the greatest of each number of `table` float32 [256, e] over the columns of `tokens` uint8 [n, l, c] into
    `out` float32 [n, ...], level by level from `offset` on."""
    e = table.shape[1]
    for i in range(tokens.shape[0]):
        for level in range(tokens.shape[1]):
            start = offset + level * e
            for j in range(e):
                greatest = table[tokens[i, level, 0], j]
                for column in range(1, tokens.shape[2]):
                    greatest = max(greatest, table[tokens[i, level, column], j])
                out[i, start + j] = greatest


@compiled
def find_overlaps(cells, low, place, before, entered, beside):
    """Counts int64 [256]: tokens of cells that the middle axis of a body came into, and of those beside and under it.

    `before` float64 [n, 3] is where each body was a tick earlier; NaN: not known, so that it came into nothing.
    """
    for i in range(place.shape[0]):
        x, z = math.floor(place[i, 0]), math.floor(place[i, 2])
        foot, middle = math.floor(place[i, 1] + 0.2), math.floor(place[i, 1] + 1.0)
        if not math.isnan(before[i, 0]):
            aside = math.floor(before[i, 0]) != x or math.floor(before[i, 2]) != z
            lowest, highest = math.floor(before[i, 1] + 0.2), math.floor(before[i, 1] + 1.0)
            if aside or foot < lowest or foot > highest:
                entered[_token(cells, low, i, x, foot, z, UNKNOWN)] += 1
            if middle != foot and (aside or middle < lowest or middle > highest):
                entered[_token(cells, low, i, x, middle, z, UNKNOWN)] += 1
        beside[_token(cells, low, i, x, foot - 1, z, UNKNOWN)] += 1
        for dx, dz in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            beside[_token(cells, low, i, x + dx, middle, z + dz, UNKNOWN)] += 1


@compiled
def find_gaps(cells, low, place, solid, beside, above):
    """Distances of bodies' middles to solid cells next to theirs, and of their feet to the first one above them.

    Writes `beside` and `above` float64 [n], infinity where there is none.
    """
    for i in range(place.shape[0]):
        x, y, z = math.floor(place[i, 0]), math.floor(place[i, 1] + 0.5), math.floor(place[i, 2])
        gap = math.inf
        if solid[_token(cells, low, i, x - 1, y, z, UNKNOWN)]:
            gap = min(gap, place[i, 0] - x)
        if solid[_token(cells, low, i, x + 1, y, z, UNKNOWN)]:
            gap = min(gap, x + 1 - place[i, 0])
        if solid[_token(cells, low, i, x, y, z - 1, UNKNOWN)]:
            gap = min(gap, place[i, 2] - z)
        if solid[_token(cells, low, i, x, y, z + 1, UNKNOWN)]:
            gap = min(gap, z + 1 - place[i, 2])
        beside[i] = gap
        above[i] = math.inf
        for up in range(1, 4):
            if solid[_token(cells, low, i, x, y + up, z, UNKNOWN)]:
                above[i] = y + up - place[i, 1]
                break


@compiled
def find_rays(cells, low, eye, look, reach, found, passed, ended):
    """Counts int64 [256]: tokens that rays of length `reach` float32 [n] went through, and those that stopped them."""
    for i in range(eye.shape[0]):
        steps = int(reach[i] * 64)
        at = (math.floor(eye[i, 0]), math.floor(eye[i, 1]), math.floor(eye[i, 2]))
        last = at
        for step in range(1, steps):
            t = step / 64.0
            if t > reach[i] - 0.02:
                break
            cell = (
                math.floor(eye[i, 0] + look[i, 0] * t),
                math.floor(eye[i, 1] + look[i, 1] * t),
                math.floor(eye[i, 2] + look[i, 2] * t),
            )
            if cell != last:
                passed[_token(cells, low, i, cell[0], cell[1], cell[2], UNKNOWN)] += 1
                last = cell
        if found[i]:
            t = reach[i] + 1e-3
            ended[
                _token(
                    cells,
                    low,
                    i,
                    math.floor(eye[i, 0] + look[i, 0] * t),
                    math.floor(eye[i, 1] + look[i, 1] * t),
                    math.floor(eye[i, 2] + look[i, 2] * t),
                    UNKNOWN,
                )
            ] += 1
