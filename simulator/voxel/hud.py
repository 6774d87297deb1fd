"""What is drawn over the world: the hotbar with its nine blocks, the crosshair, and the block in the hand."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from reverie.model.compiled import compiled_fast
from reverie.simulator.voxel.textures import SIDE, TEXELS, mip_table, texture_atlas

SLOTS = 9
_SMALLEST_WIDTH = 64
"""Frames narrower than this have no hotbar."""
_SLOT_SHARE = 8
"""A slot's edge is this part of the frame's height, if nine of them fit."""
_FRAME, _PLATE, _CHOSEN = (30, 30, 34, 0.80), (90, 92, 98, 0.50), (255, 255, 255, 1.0)
_OVERSAMPLING = 4
_CROSS_SHARE = 30
_BRIGHT, _DARK = 238, 34
_HAND_X, _HAND_Y, _HAND_Z = 0.80, -0.62, 1.45
"""Where the held block is: shares of the picture's half width and half height per metre ahead, and metres ahead."""
_HAND_HALF = 0.26
_HAND_YAW, _HAND_PITCH = 0.34, 0.36


def _icon(block: int, edge: int) -> np.ndarray:
    """float64 [edge, edge, 4]: a block's side scaled down by averaging; alpha 0-1."""
    texture = texture_atlas()[block, SIDE].astype(np.float64)
    fine = (np.arange(edge * _OVERSAMPLING) * TEXELS) // (edge * _OVERSAMPLING)
    blown = texture[np.ix_(fine, fine)].reshape(edge, _OVERSAMPLING, edge, _OVERSAMPLING, 4)
    weight = blown[..., 3:].sum((1, 3))
    colour = (blown[..., :3] * blown[..., 3:]).sum((1, 3)) / np.maximum(weight, 1e-6)
    return np.concatenate([colour, weight / (255.0 * _OVERSAMPLING**2)], -1)


@lru_cache(maxsize=128)
def _bar(slot: int, chosen: int, blocks: bytes) -> np.ndarray:
    """float32 [slot + 2, 9 * slot + 2, 4]: the hotbar, colours multiplied by alpha, and what is left of the world."""
    bar = np.zeros((slot + 2, SLOTS * slot + 2, 4))

    def box(x: int, y: int, width: int, height: int, paint: tuple[float, float, float, float]) -> None:
        bar[y : y + height, x : x + width] = (*(paint[3] * channel for channel in paint[:3]), 1 - paint[3])

    bar[..., 3] = 1.0
    box(0, 1, bar.shape[1], slot, _FRAME)
    for number in range(SLOTS):
        x = 1 + number * slot
        box(x + 1, 2, slot - 2, slot - 2, _PLATE)
        if number == chosen:
            box(x - 1, 0, slot + 2, slot + 2, _CHOSEN)
            box(x + 1, 2, slot - 2, slot - 2, _FRAME)
        edge = slot - 4
        if blocks[number]:
            icon = _icon(blocks[number], edge)
            patch = bar[3 : 3 + edge, x + 2 : x + 2 + edge]
            patch[..., :3] = patch[..., :3] * (1 - icon[..., 3:]) + icon[..., :3] * icon[..., 3:]
            patch[..., 3] *= 1 - icon[..., 3]
    bar = bar.astype(np.float32)
    bar.setflags(write=False)
    return bar


@compiled_fast
def _blend(frame, bar, top, left):
    for i in range(bar.shape[0]):
        for j in range(bar.shape[1]):
            rest = bar[i, j, 3]
            if rest < 1.0:
                for c in range(3):
                    frame[top + i, left + j, c] = int(frame[top + i, left + j, c] * rest + bar[i, j, c] + 0.5)


@compiled_fast
def _cross(frame, reach, thick):
    h, w, _ = frame.shape
    i0, j0 = (h - thick) // 2, (w - thick) // 2
    for i in range(i0 - reach, i0 + thick + reach):
        for j in range(j0 - reach, j0 + thick + reach):
            if not (i0 <= i < i0 + thick or j0 <= j < j0 + thick):
                continue
            bright = int(frame[i, j, 0]) + int(frame[i, j, 1]) + int(frame[i, j, 2])
            value = _DARK if bright > 420 else _BRIGHT
            for c in range(3):
                frame[i, j, c] = value


@compiled_fast
def _hand(frame, mips, block, swing, lr, lg, lb):
    """The held block: rays against a turned cube in the camera's frame."""
    h, w, _ = frame.shape
    scale = 1.4 / h
    half_w, half_h = 0.7 * w / h, 0.7
    arc = math.sin(swing * math.pi)
    x = half_w * _HAND_X * _HAND_Z - 0.45 * arc - 0.06
    y = half_h * _HAND_Y * _HAND_Z + 0.22 * math.sin(swing * 2 * math.pi) - 0.10 * arc
    z = _HAND_Z + 0.25 * arc
    x = min(x, half_w * _HAND_X * _HAND_Z)
    yaw, pitch = _HAND_YAW + 0.5 * arc, _HAND_PITCH + 0.5 * arc
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    # rows: the cube's axes in camera space (right, up, ahead)
    a0, a1, a2 = cy, 0.0, sy
    b0, b1, b2 = sy * sp, cp, -cy * sp
    c0, c1, c2 = -sy * cp, sp, cy * cp
    ox, oy, oz = -(a0 * x + a1 * y + a2 * z), -(b0 * x + b1 * y + b2 * z), -(c0 * x + c1 * y + c2 * z)
    radius = _HAND_HALF * 1.75
    near = z - radius
    j0 = min(max(int((x - radius) / near / scale + w * 0.5), 0), w)
    j1 = min(max(int((x + radius) / near / scale + w * 0.5) + 1, 0), w)
    i0 = min(max(int(h * 0.5 - (y + radius) / near / scale), 0), h)
    i1 = min(max(int(h * 0.5 - (y - radius) / near / scale) + 1, 0), h)
    for i in range(i0, i1):
        v = (h * 0.5 - i - 0.5) * scale
        for j in range(j0, j1):
            u = (j + 0.5 - w * 0.5) * scale
            dx, dy, dz = a0 * u + a1 * v + a2, b0 * u + b1 * v + b2, c0 * u + c1 * v + c2
            dx = dx if abs(dx) > 1e-9 else 1e-9
            dy = dy if abs(dy) > 1e-9 else 1e-9
            dz = dz if abs(dz) > 1e-9 else 1e-9
            tx0, tx1 = (-_HAND_HALF - ox) / dx, (_HAND_HALF - ox) / dx
            ty0, ty1 = (-_HAND_HALF - oy) / dy, (_HAND_HALF - oy) / dy
            tz0, tz1 = (-_HAND_HALF - oz) / dz, (_HAND_HALF - oz) / dz
            ex, ey, ez = min(tx0, tx1), min(ty0, ty1), min(tz0, tz1)
            enter = max(ex, max(ey, ez))
            leave = min(max(tx0, tx1), min(max(ty0, ty1), max(tz0, tz1)))
            if enter >= leave or enter <= 0.0:
                continue
            for turn in range(2):  # the near face, and through its holes the far one
                t = enter if turn == 0 else leave
                hx = (ox + dx * t) / (2 * _HAND_HALF) + 0.5
                hy = (oy + dy * t) / (2 * _HAND_HALF) + 0.5
                hz = (oz + dz * t) / (2 * _HAND_HALF) + 0.5
                face = 0
                if turn == 0:
                    top, left = enter == ey, enter == ex
                else:
                    top, left = leave == max(ty0, ty1), leave == max(tx0, tx1)
                if top:
                    face, shade, p, q = 1, 1.0, hx, hz
                elif left:
                    shade, p, q = 0.62, hz, hy
                else:
                    shade, p, q = 0.80, hx, hy
                p, q = min(max(p, 0.0), 0.9999), min(max(q, 0.0), 0.9999)
                texel = (15 - int(q * 16.0)) * 16 + int(p * 16.0)
                if mips[block, face, texel, 3] < 0.5:
                    continue
                shade *= 1.0 if turn == 0 else 0.7
                frame[i, j, 0] = int(min(mips[block, face, texel, 0] * lr * shade, 255.0))
                frame[i, j, 1] = int(min(mips[block, face, texel, 1] * lg * shade, 255.0))
                frame[i, j, 2] = int(min(mips[block, face, texel, 2] * lb * shade, 255.0))
                break


def draw_hud(
    frame: np.ndarray,
    hotbar: int,
    hotbar_ids: np.ndarray,
    swing: float,
    light: tuple[float, float, float],
) -> None:
    """Draws over `frame` (uint8 [h, w, 3], in place): hand, crosshair and hotbar, sized by the frame.

    `hotbar` is the selected slot 0-8 of `hotbar_ids` (uint8 [9], 0 is empty), `swing` 0-1, `light` (r, g, b) factors at
    the eye.
    """
    height, width, _ = frame.shape
    blocks = np.asarray(hotbar_ids, np.uint8)
    held = int(blocks[hotbar])
    if held:
        _hand(frame, mip_table(), held, float(swing), *light)
    _cross(frame, max(height // _CROSS_SHARE, 2), max(height // 96, 1))
    if width < _SMALLEST_WIDTH:
        return
    slot = max(min(round(height / _SLOT_SHARE), (width - 4) // SLOTS), 6)
    bar = _bar(slot, int(hotbar), blocks.tobytes())
    _blend(frame, bar, height - bar.shape[0] - 1, (width - bar.shape[1]) // 2)
