"""Smooth edges without more rays: where a face ends inside a pixel, the pixel shows both sides by their shares.

Geometric antialiasing (Persson, Geometric post-process anti-aliasing, GPU Pro 3, 2012): neighbouring pixels that see
two surfaces have an edge between them, and the nearer surface, whose face is a known square, says exactly where.
"""

from __future__ import annotations

import math

import numpy as np

from reverie.model.compiled import compiled_fast, compiled_inline

NO_FACE = 6
"""Stands for the sky, which has no edges of its own."""
TEXELWISE = 8
"""Added to a face whose texels end on their own, because some are holes."""
_TEXELS = 16.0
_PLANES = 4096
"""Added to a plane's place, which may be a little below zero."""


@compiled_inline
def surface(block, face, plane):
    """One number for a kind of block, the side of it that is seen (0-2 the low x, y, z side, 3-5 the high ones, plus
    TEXELWISE, or NO_FACE) and where that side's plane lies: pixels with equal numbers have no edge between them."""
    return (plane + _PLANES) << 12 | face << 8 | block


@compiled_fast
def _reach(face, cell, d, step, eye, depth):
    """How many `step`s (change of the ray from pixel to pixel) away the face under the ray `d` ends; inf if none."""
    square = 1.0 if face < TEXELWISE else 1.0 / _TEXELS
    side = face & 7
    axis = side % 3
    gap = cell[axis] + (1.0 if side >= 3 else 0.0) - eye[axis]
    nearest = np.inf
    for other in range(3):
        if other == axis:
            continue
        low = float(cell[other])
        if face >= TEXELWISE:
            inside = min(max(eye[other] + depth * d[other] - low, 0.0), 0.9999)
            low += math.floor(inside * _TEXELS) / _TEXELS
        for end in range(2):
            away = eye[other] - low - end * square
            slope = away * step[axis] + gap * step[other]
            if slope != 0.0:
                steps = -(away * d[axis] + gap * d[other]) / slope
                if steps > 0.0:
                    nearest = min(nearest, steps)
    return nearest


@compiled_fast
def _shares(depth, surfaces, cells, eye, basis, scale, shares, mixed):
    """Fills `shares` [h, w, 4]: how much of each pixel its neighbour to the left, right, above, below has.

    `mixed` [h, w] says where there is any; other places of `shares` are left as they are.
    """
    h, w = depth.shape
    d, step = np.empty(3), np.empty(3)
    for i in range(h):
        for j in range(w):
            for way in range(2):
                k, m = i + way, j + 1 - way
                if k == h or m == w or surfaces[i, j] == surfaces[k, m]:
                    continue
                ahead = depth[i, j] <= depth[k, m]
                y, x = (i, j) if ahead else (k, m)
                near = surfaces[y, x] >> 8 & 15
                if near == NO_FACE:
                    continue
                sx, sy = (x + 0.5 - w * 0.5) * scale, (h * 0.5 - y - 0.5) * scale
                sign = scale if ahead else -scale
                for axis in range(3):
                    d[axis] = basis[2, axis] + sx * basis[0, axis] + sy * basis[1, axis]
                    step[axis] = -sign * basis[1, axis] if way == 1 else sign * basis[0, axis]
                reach = _reach(near, cells[y, x], d, step, eye, depth[y, x])
                if reach >= 1.0:
                    continue
                side = 2 * way + (1 if ahead else 0)
                if reach > 0.5:
                    y, x, side = i + k - y, j + m - x, side ^ 1
                if not mixed[y, x]:
                    mixed[y, x] = True
                    for other in range(4):
                        shares[y, x, other] = 0.0
                shares[y, x, side] = abs(reach - 0.5)


@compiled_fast
def _mix(frame, shares, mixed, out):
    h, w, _ = frame.shape
    for i in range(h):
        for j in range(w):
            if not mixed[i, j]:
                continue
            across, down = shares[i, j, 0] + shares[i, j, 1], shares[i, j, 2] + shares[i, j, 3]
            if across >= down:  # of two edges the one that takes more
                first, second = shares[i, j, 0], shares[i, j, 1]
                y, x, v, u = i, max(j - 1, 0), i, min(j + 1, w - 1)
            else:
                first, second = shares[i, j, 2], shares[i, j, 3]
                y, x, v, u = max(i - 1, 0), j, min(i + 1, h - 1), j
            for c in range(3):
                value = frame[i, j, c] * (1.0 - first - second) + frame[y, x, c] * first + frame[v, u, c] * second
                out[i, j, c] = int(min(max(value + 0.5, 0.0), 255.0))


def smooth_edges(
    frame: np.ndarray, depth: np.ndarray, surfaces: np.ndarray, cells: np.ndarray,
    eye: np.ndarray, basis: np.ndarray, scale: float,
) -> np.ndarray:  # fmt: skip
    """A frame uint8 [h, w, 3] with the edges between surfaces mixed by the share of a pixel that each covers.

    `surfaces` int32 [h, w] as `surface` gives them; `cells` int32 [h, w, 3]: the block's place; `scale`: the edge of
    a pixel one metre ahead, in metres.
    """
    shares = np.empty((*depth.shape, 4), np.float32)
    mixed = np.zeros(depth.shape, np.bool_)
    _shares(depth, surfaces, cells, eye, basis, scale, shares, mixed)
    smooth = frame.copy()
    _mix(frame, shares, mixed, smooth)
    return smooth
