"""Animals as pixels: each is a handful of boxes, met by rays in the frame of each box."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from reverie.model.compiled import compiled_fast
from reverie.simulator.voxel.blocks import SIZE_X, SIZE_Z
from reverie.simulator.voxel.light import light_in

CREATURE_ID = 255
"""What an animal's pixels hold in the block-id image."""
_SWING = 0.7
"""Radians that legs swing either way."""
_TEXEL = 12.0
"""Spots of fur per metre."""
_REACH = 1.8
"""Metres around an animal's feet that hold all of it."""
_NEAREST = 0.05
"""Metres ahead of the camera from which on things are drawn."""
_SHADE_X, _SHADE_Z, _SHADE_BELOW = 0.72, 0.85, 0.5
_SNOUT_PART = 2
_CORNERS = 8
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
def _window(part, place, turn, hip, basis, scale, h, w):
    """(i0, i1, j0, j1): the pixels that a part can cover, from its corners; all where it passes beside the camera."""
    low_h, high_h, low_v, high_v, behind = 1e9, -1e9, 1e9, -1e9, 0
    for corner in range(_CORNERS):
        x = part[_X1] if corner & 1 else part[_X0]
        y = (part[_Y1] if corner & 2 else part[_Y0]) - hip[0]
        z = (part[_Z1] if corner & 4 else part[_Z0]) - hip[1]
        right, up, ahead = 0.0, 0.0, 0.0
        for axis in range(3):
            value = place[axis] + x * turn[0, axis] + y * turn[1, axis] + z * turn[2, axis]
            right += value * basis[0, axis]
            up += value * basis[1, axis]
            ahead += value * basis[2, axis]
        if ahead < _NEAREST:
            behind += 1
            continue
        low_h, high_h = min(low_h, right / ahead), max(high_h, right / ahead)
        low_v, high_v = min(low_v, up / ahead), max(high_v, up / ahead)
    if behind == _CORNERS:
        return 0, 0, 0, 0
    if behind > 0:
        return 0, h, 0, w
    j0 = min(max(math.floor(low_h / scale + w * 0.5), 0), w)
    j1 = min(max(math.floor(high_h / scale + w * 0.5) + 1, 0), w)
    i0 = min(max(math.floor(h * 0.5 - high_v / scale), 0), h)
    i1 = min(max(math.floor(h * 0.5 - low_v / scale) + 1, 0), h)
    return i0, i1, j0, j1


@compiled_fast
def _colour(part, kind, number, front, hx, hy, hz):
    """(r, g, b) of a part at a point of its surface: fur, and a face on the front of the head."""
    spot = math.floor(hx * _TEXEL) * 7 + math.floor(hy * _TEXEL) * 13 + math.floor(hz * _TEXEL) * 29
    light = 1.0 + part[_FUR] * (((spot * 37) & 7) / 3.5 - 1.0)
    if front and part[_FACE] != 0.0:
        across, up = abs(hx), hy - part[_Y0]
        if up > 0.20 and up < 0.36:
            if across > 0.06 and across < 0.14:
                return 24.0, 20.0, 24.0
            if across >= 0.14 and across < 0.21:
                return 250.0, 250.0, 250.0
        elif part[_FACE] == _SHEEP_FACE and up < 0.09 and across < 0.10:
            return 226.0, 170.0, 160.0
    elif front and kind == 0 and number == _SNOUT_PART and abs(abs(hx) - 0.065) < 0.025 and abs(hy - 0.64) < 0.05:
        return 130.0, 64.0, 70.0  # nostrils
    return part[_R] * light, part[_G] * light, part[_B] * light


@compiled_fast
def _draw(
    parts, creatures, eye, basis, scale, palette, heights, roofs, glow, any_lamp, fog_start, fog_end, haze, murk,
    frame, depth, ids,
):  # fmt: skip
    h, w, _ = frame.shape
    turn, place, hip, origin = np.empty((3, 3)), np.empty(3), np.empty(2), np.empty(3)
    for n in range(len(creatures)):
        px = (creatures[n, 0] - eye[0] + SIZE_X / 2) % SIZE_X - SIZE_X / 2
        py = creatures[n, 1] - eye[1]
        pz = (creatures[n, 2] - eye[2] + SIZE_Z / 2) % SIZE_Z - SIZE_Z / 2
        distance = math.sqrt(px * px + py * py + pz * pz)
        ahead = px * basis[2, 0] + py * basis[2, 1] + pz * basis[2, 2]
        if ahead < -_REACH or distance > fog_end:
            continue
        kind = 1 if creatures[n, 4] > 0.5 else 0
        yaw = creatures[n, 3] * math.pi / 180.0
        cy, sy = math.cos(yaw), math.sin(yaw)
        lr, lg, lb = light_in(
            palette, heights, roofs, glow, any_lamp, eye[0] + px, eye[1] + py + 0.5, eye[2] + pz
        )  # fmt: skip
        fog = min(max((distance - fog_start) / (fog_end - fog_start), 0.0), 1.0)
        fog = fog * fog * (3.0 - 2.0 * fog)
        if murk > 0.0:
            fog = 1.0 - math.exp(-murk * distance)
        for number in range(parts.shape[1]):
            part = parts[kind, number]
            if part[_Y0] >= part[_Y1]:
                continue
            swings = part[_LEG] != 0.0
            hip[0] = part[_Y1] if swings else 0.0
            hip[1] = 0.5 * (part[_Z0] + part[_Z1]) if swings else 0.0
            angle = _SWING * math.sin(creatures[n, 5]) * part[_LEG]
            ca, sa = math.cos(angle), math.sin(angle)
            # rows: the part's right, up and forward in the world
            turn[0, 0], turn[0, 1], turn[0, 2] = -cy, 0.0, -sy
            turn[1, 0], turn[1, 1], turn[1, 2] = -sy * sa, ca, cy * sa
            turn[2, 0], turn[2, 1], turn[2, 2] = -sy * ca, -sa, cy * ca
            place[0], place[1], place[2] = px - sy * hip[1], py + hip[0], pz + cy * hip[1]
            for row in range(3):
                origin[row] = -(turn[row, 0] * place[0] + turn[row, 1] * place[1] + turn[row, 2] * place[2])
            ox, oy, oz = origin[0], origin[1] + hip[0], origin[2] + hip[1]
            i0, i1, j0, j1 = _window(part, place, turn, hip, basis, scale, h, w)
            for i in range(i0, i1):
                sv = (h * 0.5 - i - 0.5) * scale
                for j in range(j0, j1):
                    sh = (j + 0.5 - w * 0.5) * scale
                    dx = basis[2, 0] + sh * basis[0, 0] + sv * basis[1, 0]
                    dy = basis[2, 1] + sh * basis[0, 1] + sv * basis[1, 1]
                    dz = basis[2, 2] + sh * basis[0, 2] + sv * basis[1, 2]
                    bx = turn[0, 0] * dx + turn[0, 2] * dz
                    by = turn[1, 0] * dx + turn[1, 1] * dy + turn[1, 2] * dz
                    bz = turn[2, 0] * dx + turn[2, 1] * dy + turn[2, 2] * dz
                    bx = bx if abs(bx) > 1e-9 else 1e-9
                    by = by if abs(by) > 1e-9 else 1e-9
                    bz = bz if abs(bz) > 1e-9 else 1e-9
                    rx, ry, rz = 1.0 / bx, 1.0 / by, 1.0 / bz
                    ax, ex = (part[_X0] - ox) * rx, (part[_X1] - ox) * rx
                    ay, ey = (part[_Y0] - oy) * ry, (part[_Y1] - oy) * ry
                    az, ez = (part[_Z0] - oz) * rz, (part[_Z1] - oz) * rz
                    enter_x, enter_y, enter_z = min(ax, ex), min(ay, ey), min(az, ez)
                    enter = max(enter_x, max(enter_y, enter_z))
                    leave = min(max(ax, ex), min(max(ay, ey), max(az, ez)))
                    if not (enter < leave and enter > _NEAREST and enter < depth[i, j]):
                        continue
                    shade, front = _SHADE_Z, False
                    if enter == enter_x:
                        shade = _SHADE_X
                    elif enter == enter_y:
                        shade = 1.0 if by < 0 else _SHADE_BELOW
                    else:
                        front = bz < 0
                    r, g, b = _colour(part, kind, number, front, ox + bx * enter, oy + by * enter, oz + bz * enter)
                    r, g, b = r * lr * shade, g * lg * shade, b * lb * shade
                    r, g, b = r + (haze[0] - r) * fog, g + (haze[1] - g) * fog, b + (haze[2] - b) * fog
                    frame[i, j, 0] = int(min(max(r + 0.5, 0.0), 255.0))
                    frame[i, j, 1] = int(min(max(g + 0.5, 0.0), 255.0))
                    frame[i, j, 2] = int(min(max(b + 0.5, 0.0), 255.0))
                    depth[i, j] = enter
                    ids[i, j] = CREATURE_ID


def draw_creatures(creatures, eye, basis, scale, lighting, fog, haze, murk, images) -> None:
    """Draws animals (float32 [n, 6], see `render.View`) over `images` (frame, depth, ids), where nearest.

    `lighting` is what `light_in` takes before the point, `fog` (start, end) in metres, `haze` the colour it fades to,
    `murk` how much a metre of water takes (0 in air).
    """
    if len(creatures):
        creatures = np.ascontiguousarray(creatures, np.float32)
        _draw(_parts(), creatures, eye, basis, scale, *lighting, *fog, haze, murk, *images)
