"""What was in sight before, by depth and camera, and how a picture painted on a wall looks from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from reverie.model.caster.camera import FIELD_OF_VIEW, camera_basis, camera_rays, project

SAME_PLACE = (0.1, 0.03)
"""Metres, and share of the distance, within which two pictures show the same point."""
FAR = 900.0
"""Metres at which points of the sky are compared."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """`eye` float [5]: x, y, z in metres, yaw and pitch in degrees; `distance` float [h, w]: metres along each pixel's
    ray, infinity for the sky; `moving` bool [h, w]: pixels of animals.
    """

    eye: np.ndarray
    distance: np.ndarray
    moving: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        h, w = self.distance.shape
        return h, w


def ray_lengths(size: tuple[int, int]) -> np.ndarray:
    """float64 [h, w]: metres along a pixel's ray for each metre along the camera's axis."""
    return np.linalg.norm(camera_rays(np.eye(3), size), axis=2)


def unit_rays(eye: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """float64 [h, w, 3]."""
    rays = camera_rays(camera_basis(float(eye[3]), float(eye[4])), size)
    return rays / np.linalg.norm(rays, axis=2, keepdims=True)


def in_sight(view: View, earlier: Iterable[View]) -> np.ndarray:
    """bool [h, w]: pixels of a view that show a surface, or a part of the sky, which an earlier view shows too.

    Animals never count: they move.
    """
    h, w = view.size
    sky = np.isinf(view.distance)
    points = view.eye[:3] + unit_rays(view.eye, view.size) * np.minimum(view.distance, FAR)[..., None]
    found = np.zeros((h, w), bool)
    for other in earlier:
        basis = camera_basis(float(other.eye[3]), float(other.eye[4]))
        at = project(points, other.eye[:3], basis, other.size, FIELD_OF_VIEW)
        row, column = np.rint(at[..., 1]), np.rint(at[..., 0])
        inside = (at[..., 2] > 0) & (column >= 0) & (column < w) & (row >= 0) & (row < h)
        i, j = row[inside].astype(np.int64), column[inside].astype(np.int64)
        there = other.distance[i, j].astype(np.float64)
        away = np.linalg.norm(points[inside] - other.eye[:3], axis=1)
        close = np.abs(np.minimum(there, 1e6) - away) < SAME_PLACE[0] + SAME_PLACE[1] * away
        same = np.where(sky[inside], np.isinf(there), close & ~np.isinf(there))
        found[inside] |= same & ~other.moving[i, j]
    return found & ~view.moving


@dataclass(frozen=True, slots=True)
class Door:
    """A painted door, 1 m wide and 2 m high, flat on a wall: the middle of its threshold, the way to its right, and the
    way out of the wall, each [3].
    """

    foot: tuple[float, float, float]
    right: tuple[float, float, float]
    out: tuple[float, float, float]


WIDTH, HEIGHT = 1.0, 2.0
ON_WALL = (0.05, 0.01)
"""Metres, and share of the distance, within which a pixel shows the wall that the door is painted on."""
SUBPIXELS = 3


def door_colours(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """float64 [..., 3]: the picture of a door at `u` 0 to 1 from the left and `v` 0 to 2 from below."""
    colours = np.empty((*u.shape, 3))
    colours[...] = (139, 74, 31)
    panel = (np.abs(u - 0.5) < 0.3) & ((np.abs(v - 0.55) < 0.35) | (np.abs(v - 1.45) < 0.35))
    colours[panel] = (196, 128, 62)
    colours[(u < 0.08) | (u > 0.92) | (v > 1.92)] = (54, 27, 12)
    colours[((u - 0.82) ** 2 + (v - 1.0) ** 2) < 0.05**2] = (240, 214, 90)
    return colours


def paint_door(frame: np.ndarray, view: View, door: Door) -> tuple[np.ndarray, np.ndarray]:
    """The frame uint8 [h, w, 3] of a view with the door painted on its wall, and where it is: bool [h, w]."""
    eye, size = view.eye, view.size
    foot, right, out = np.array(door.foot), np.array(door.right), np.array(door.out)
    fine = (size[0] * SUBPIXELS, size[1] * SUBPIXELS)
    rays = camera_rays(camera_basis(float(eye[3]), float(eye[4])), fine)
    facing = rays @ out
    t = ((foot - eye[:3]) @ out) / np.where(np.abs(facing) < 1e-9, 1e-9, facing)
    hit = eye[:3] + rays * t[..., None] - foot
    u, v = hit @ right / WIDTH + 0.5, hit[..., 1]
    inside = (t > 0) & (facing < 0) & (u >= 0) & (u < 1) & (v >= 0) & (v < HEIGHT)
    away = np.minimum(np.abs(t), FAR) * np.linalg.norm(rays, axis=2)
    wall = np.repeat(np.repeat(view.distance, SUBPIXELS, 0), SUBPIXELS, 1)
    moving = np.repeat(np.repeat(view.moving, SUBPIXELS, 0), SUBPIXELS, 1)
    inside &= (np.abs(np.minimum(wall, 1e6) - away) < ON_WALL[0] + ON_WALL[1] * away + _slack(away, size)) & ~moving
    colours = door_colours(u, v) * inside[..., None]
    blocks = (size[0], SUBPIXELS, size[1], SUBPIXELS)
    count = inside.reshape(blocks).sum((1, 3))
    mean = colours.reshape(*blocks, 3).sum((1, 3)) / np.maximum(count, 1)[..., None]
    mask = count > SUBPIXELS**2 // 2
    return np.where(mask[..., None], np.rint(mean), frame).astype(np.uint8), mask


def _slack(away: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Metres by which distances differ within a pixel that looks at a wall at a slant."""
    return away * 2.0 / size[0]
