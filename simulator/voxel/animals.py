"""Animals as pixels: each is a handful of boxes, met by rays in the frame of each box."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from reverie.simulator.voxel.compiled import compiled_fast
from reverie.simulator.voxel.light import light_in

CREATURE_ID = 255
"""What an animal's pixels hold in the block-id image."""
_SWING = 0.7
"""Radians that legs swing either way."""
_TEXEL = 12.0
"""Spots of fur per metre."""
_RADIUS = 1.05
"""Metres around the middle of an animal that hold all of it."""
_MIDDLE = 0.65
_FIELDS = 12
# Columns of a part: x0 x1 y0 y1 z0 z1 (right, up, forward, metres from the feet), r g b, swing (-1, 0, 1), face, fur
_X0, _X1, _Y0, _Y1, _Z0, _Z1, _R, _G, _B, _LEG, _FACE, _FUR = range(_FIELDS)
_PIG_FACE, _SHEEP_FACE = 1, 2
_PINK, _DEEP_PINK, _SNOUT = (240, 160, 158), (224, 138, 140), (250, 186, 178)
_WOOL, _SKIN, _SHANK = (236, 234, 226), (190, 152, 128), (150, 120, 104)


@lru_cache(maxsize=1)
def _parts() -> np.ndarray:
    """float64 [2 kinds, 8 parts, _FIELDS]; unused parts are empty boxes."""
    table = np.zeros((2, 8, _FIELDS))
    table[:, :, _Y0] = 1.0  # empty: low above high
    pig = [
        (-0.31, 0.31, 0.34, 0.86, -0.50, 0.42, *_PINK, 0, 0, 0.06),
        (-0.26, 0.26, 0.46, 0.98, 0.36, 0.82, *_PINK, 0, _PIG_FACE, 0.04),
        (-0.13, 0.13, 0.54, 0.74, 0.82, 0.92, *_SNOUT, 0, 0, 0.0),
    ]
    sheep = [
        (-0.40, 0.40, 0.55, 1.22, -0.58, 0.46, *_WOOL, 0, 0, 0.12),
        (-0.22, 0.22, 0.88, 1.28, 0.42, 0.86, *_SKIN, 0, _SHEEP_FACE, 0.04),
        (-0.25, 0.25, 1.00, 1.34, 0.36, 0.70, *_WOOL, 0, 0, 0.10),
    ]
    for kind, (body, wide, tall, front, back, colour) in enumerate(
        ((pig, 0.12, 0.36, 0.26, -0.38, _DEEP_PINK), (sheep, 0.11, 0.60, 0.26, -0.40, _SHANK))
    ):
        for number, part in enumerate(body):
            table[kind, number] = part
        for number, (x, z, swing) in enumerate(
            ((-0.18, front, 1), (0.18, front, -1), (-0.18, back, -1), (0.18, back, 1)), len(body)
        ):
            table[kind, number] = (
                x - wide, x + wide, 0.0, tall, z - wide, z + wide, *colour, swing, 0, 0.05,
            )  # fmt: skip
    return table


@compiled_fast
def _draw(
    parts, creatures, eye, basis, scale, palette, heights, roofs, glow, any_lamp, fog_start, fog_end, haze, murk,
    frame, depth, ids,
):  # fmt: skip
    h, w, _ = frame.shape
    count = parts.shape[1]
    origin = np.empty((count, 3))
    turn = np.empty((count, 3, 3))
    for n in range(len(creatures)):
        px = (creatures[n, 0] - eye[0] + 128.0) % 256.0 - 128.0
        py = creatures[n, 1] - eye[1]
        pz = (creatures[n, 2] - eye[2] + 128.0) % 256.0 - 128.0
        my = py + _MIDDLE
        right = px * basis[0, 0] + my * basis[0, 1] + pz * basis[0, 2]
        up = px * basis[1, 0] + my * basis[1, 1] + pz * basis[1, 2]
        ahead = px * basis[2, 0] + my * basis[2, 1] + pz * basis[2, 2]
        distance = math.sqrt(px * px + my * my + pz * pz)
        if ahead < -_RADIUS or distance > fog_end:
            continue
        i0, i1, j0, j1 = 0, h, 0, w
        if ahead > _RADIUS + 0.1:
            near = ahead - _RADIUS
            a, b = (right - _RADIUS), (right + _RADIUS)
            left_edge, right_edge = min(a / near, a / ahead), max(b / near, b / ahead)
            a, b = (up - _RADIUS), (up + _RADIUS)
            low_edge, high_edge = min(a / near, a / ahead), max(b / near, b / ahead)
            j0 = min(max(math.floor(left_edge / scale + w * 0.5), 0), w)
            j1 = min(max(math.floor(right_edge / scale + w * 0.5) + 1, 0), w)
            i0 = min(max(math.floor(h * 0.5 - high_edge / scale), 0), h)
            i1 = min(max(math.floor(h * 0.5 - low_edge / scale) + 1, 0), h)
        if i0 >= i1 or j0 >= j1:
            continue
        kind = 1 if creatures[n, 4] > 0.5 else 0
        yaw = creatures[n, 3] * math.pi / 180.0
        cy, sy = math.cos(yaw), math.sin(yaw)
        for part in range(count):
            angle = _SWING * math.sin(creatures[n, 5]) * parts[kind, part, _LEG]
            ca, sa = math.cos(angle), math.sin(angle)
            hip_y = parts[kind, part, _Y1] if parts[kind, part, _LEG] != 0.0 else 0.0
            hip_z = 0.5 * (parts[kind, part, _Z0] + parts[kind, part, _Z1]) if parts[kind, part, _LEG] != 0.0 else 0.0
            # rows: the part's right, up and forward in the world
            turn[part, 0, 0], turn[part, 0, 1], turn[part, 0, 2] = -cy, 0.0, -sy
            turn[part, 1, 0], turn[part, 1, 1], turn[part, 1, 2] = -sy * sa, ca, cy * sa
            turn[part, 2, 0], turn[part, 2, 1], turn[part, 2, 2] = -sy * ca, -sa, cy * ca
            ex = -(px - sy * hip_z)
            ey = -(py + hip_y)
            ez = -(pz + cy * hip_z)
            for row in range(3):
                origin[part, row] = turn[part, row, 0] * ex + turn[part, row, 1] * ey + turn[part, row, 2] * ez
            origin[part, 1] += hip_y
            origin[part, 2] += hip_z
        lr, lg, lb = light_in(
            palette, heights, roofs, glow, any_lamp, eye[0] + px, eye[1] + py + 0.5, eye[2] + pz
        )  # fmt: skip
        fog = min(max((distance - fog_start) / (fog_end - fog_start), 0.0), 1.0)
        fog = fog * fog * (3.0 - 2.0 * fog)
        if murk > 0.0:
            fog = 1.0 - math.exp(-murk * distance)
        for i in range(i0, i1):
            sv = (h * 0.5 - i - 0.5) * scale
            for j in range(j0, j1):
                sh = (j + 0.5 - w * 0.5) * scale
                dx = basis[2, 0] + sh * basis[0, 0] + sv * basis[1, 0]
                dy = basis[2, 1] + sh * basis[0, 1] + sv * basis[1, 1]
                dz = basis[2, 2] + sh * basis[0, 2] + sv * basis[1, 2]
                nearest = depth[i, j] * 1.0
                found, side = -1, 0
                hx, hy, hz = 0.0, 0.0, 0.0
                for part in range(count):
                    bx = turn[part, 0, 0] * dx + turn[part, 0, 1] * dy + turn[part, 0, 2] * dz
                    by = turn[part, 1, 0] * dx + turn[part, 1, 1] * dy + turn[part, 1, 2] * dz
                    bz = turn[part, 2, 0] * dx + turn[part, 2, 1] * dy + turn[part, 2, 2] * dz
                    bx = bx if abs(bx) > 1e-9 else 1e-9
                    by = by if abs(by) > 1e-9 else 1e-9
                    bz = bz if abs(bz) > 1e-9 else 1e-9
                    ox, oy, oz = origin[part, 0], origin[part, 1], origin[part, 2]
                    tx0 = ((parts[kind, part, _X0] if bx > 0 else parts[kind, part, _X1]) - ox) / bx
                    tx1 = ((parts[kind, part, _X1] if bx > 0 else parts[kind, part, _X0]) - ox) / bx
                    ty0 = ((parts[kind, part, _Y0] if by > 0 else parts[kind, part, _Y1]) - oy) / by
                    ty1 = ((parts[kind, part, _Y1] if by > 0 else parts[kind, part, _Y0]) - oy) / by
                    tz0 = ((parts[kind, part, _Z0] if bz > 0 else parts[kind, part, _Z1]) - oz) / bz
                    tz1 = ((parts[kind, part, _Z1] if bz > 0 else parts[kind, part, _Z0]) - oz) / bz
                    enter = max(tx0, max(ty0, tz0))
                    leave = min(tx1, min(ty1, tz1))
                    if enter < leave and enter > 0.05 and enter < nearest:
                        nearest, found = enter, part
                        hx, hy, hz = ox + bx * enter, oy + by * enter, oz + bz * enter
                        if enter == tx0:
                            side = 0
                        elif enter == ty0:
                            side = 1 if by < 0 else 2
                        else:
                            side = 3 if bz < 0 else 4
                if found < 0:
                    continue
                shade = 0.72 if side == 0 else (1.0 if side == 1 else (0.5 if side == 2 else 0.85))
                r, g, b = parts[kind, found, _R], parts[kind, found, _G], parts[kind, found, _B]
                spot = math.floor(hx * _TEXEL) * 7 + math.floor(hy * _TEXEL) * 13 + math.floor(hz * _TEXEL) * 29
                shade *= 1.0 + parts[kind, found, _FUR] * (((spot * 37) & 7) / 3.5 - 1.0)
                if side == 3 and parts[kind, found, _FACE] != 0.0:
                    across = abs(hx)
                    up = hy - parts[kind, found, _Y0]
                    if up > 0.20 and up < 0.36:
                        if across > 0.06 and across < 0.14:
                            r, g, b = 24.0, 20.0, 24.0
                        elif across >= 0.14 and across < 0.21:
                            r, g, b = 250.0, 250.0, 250.0
                    elif kind == 1 and up < 0.09 and across < 0.10:
                        r, g, b = 226.0, 170.0, 160.0
                elif (
                    kind == 0
                    and found == 2
                    and side == 3
                    and abs(hx) > 0.04
                    and abs(hx) < 0.09
                    and abs(hy - 0.64) < 0.05
                ):
                    r, g, b = 130.0, 64.0, 70.0  # nostrils
                r, g, b = r * lr * shade, g * lg * shade, b * lb * shade
                r, g, b = r + (haze[0] - r) * fog, g + (haze[1] - g) * fog, b + (haze[2] - b) * fog
                frame[i, j, 0] = int(min(max(r + 0.5, 0.0), 255.0))
                frame[i, j, 1] = int(min(max(g + 0.5, 0.0), 255.0))
                frame[i, j, 2] = int(min(max(b + 0.5, 0.0), 255.0))
                depth[i, j] = nearest
                ids[i, j] = CREATURE_ID


def draw_creatures(creatures, eye, basis, scale, lighting, fog, haze, murk, images) -> None:
    """Draws animals (float32 [n, 6], see `render.View`) over `images` (frame, depth, ids), where nearest.

    `lighting` is what `light_in` takes before the point, `fog` (start, end) in metres, `haze` the colour it fades to,
    `murk` how much a metre of water takes (0 in air).
    """
    if len(creatures):
        creatures = np.ascontiguousarray(creatures, np.float32)
        _draw(_parts(), creatures, eye, basis, scale, *lighting, *fog, haze, murk, *images)
