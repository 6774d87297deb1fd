"""Where a camera looks, and where in its cell it stands, read from pictures of a world of cubes.

Edges of cells and of their texels run along three axes. The turn of the camera is the one under which most edges of a
picture point to the three vanishing points (Coughlan and Yuille 1999, Manhattan World). It is known up to quarter
turns, which a world of cubes does not tell apart. The place within the cell is the one for which the lifter is surest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from reverie.model.caster.camera import FIELD_OF_VIEW, camera_basis, camera_rays, pixel_scale
from reverie.model.compiled import compiled
from reverie.model.lift.lift import LiftNetwork

MOST_EDGES = 2500
"""Strongest edge pixels of a picture that are looked at."""
FAINTEST = 0.02
"""Gradient of log brightness below which a pixel shows no edge."""
STRONGEST = 0.3
"""Gradient from which on an edge counts no more than others."""
YAWS = np.arange(-45.0, 45.0, 4.5)
PITCHES = np.arange(-60.0, 82.0, 5.0)
SPREADS = ((2.0, 0.12), (0.7, 0.08), (0.25, 0.06))
"""Step in degrees and spread of the sine of the angle between edge and axis, of the finer searches."""
FIRST_SPREAD = 0.18
NEAR_VANISHING = 0.3
"""Distance of a pixel from a vanishing point below which directions to it mean little."""
STANDING_EYE = 0.62
"""Height of the eye over the floor of its cell, of a body that stands on whole cells."""
PLACES = (0.1, 0.3, 0.5, 0.7, 0.9)
PLACE_PIXELS = 300


@dataclass(frozen=True, eq=False)
class Edges:
    """Edge pixels: float64 [n, 5], place on the picture plane one metre ahead (right, up), direction of the gradient
    (right, up), weight."""

    rows: np.ndarray


def find_edges(image: np.ndarray, fov: float = FIELD_OF_VIEW) -> Edges:
    """The strongest edges of a picture uint8 [h, w, 3], by Scharr's gradient of log brightness."""
    h, w, _ = image.shape
    light = np.pad(np.log(image.astype(np.float64).mean(2) + 8.0), 1, mode="edge")
    across = 3 * (light[:-2, 2:] - light[:-2, :-2]) + 10 * (light[1:-1, 2:] - light[1:-1, :-2])
    across = (across + 3 * (light[2:, 2:] - light[2:, :-2])) / 32
    down = 3 * (light[2:, :-2] - light[:-2, :-2]) + 10 * (light[2:, 1:-1] - light[:-2, 1:-1])
    down = (down + 3 * (light[2:, 2:] - light[:-2, 2:])) / 32
    size = np.hypot(across, down).reshape(-1)
    order = np.argsort(-size, kind="stable")[:MOST_EDGES]
    order = order[size[order] > FAINTEST]
    i, j, scale = order // w, order % w, pixel_scale(h, fov)
    strength = np.maximum(size[order], 1e-9)
    rows = [
        (j + 0.5 - w / 2) * scale, (h / 2 - i - 0.5) * scale, across.reshape(-1)[order] / strength,
        -down.reshape(-1)[order] / strength, np.sqrt(np.minimum(strength, STRONGEST)),
    ]  # fmt: skip
    return Edges(np.ascontiguousarray(np.stack(rows, 1)))


@compiled
def _score(edges, bases, spread):
    """float64 [n]: how well edges [m, 5] agree with the axes of cameras float64 [n, 3, 3]."""
    out = np.zeros(len(bases))
    for n in range(len(bases)):
        basis = bases[n]
        total = 0.0
        for m in range(len(edges)):
            x, y, gx, gy, weight = edges[m]
            best = 0.0
            for axis in range(3):
                dx = basis[0, axis] - x * basis[2, axis]
                dy = basis[1, axis] - y * basis[2, axis]
                length = math.sqrt(dx * dx + dy * dy) + 1e-6
                sine = (gx * dx + gy * dy) / length
                fit = math.exp(-(sine / spread) * (sine / spread)) * min(length / NEAR_VANISHING, 1.0)
                best = max(best, fit)
            total += weight * best
        out[n] = total
    return out


def read_rotation(
    images: list[np.ndarray], turns: np.ndarray | None = None, fov: float = FIELD_OF_VIEW
) -> tuple[float, float, float]:
    """(yaw in -45 to 45, pitch, score per edge) in degrees of the last of `images` uint8 [h, w, 3].

    `turns` float [n, 2] is (pitch, yaw) of each picture's camera over that of the last one, as actions tell it; it
    ties all pictures of a clip to one unknown.
    """
    edges = [find_edges(image, fov).rows for image in images]
    turns = np.zeros((len(images), 2)) if turns is None else np.asarray(turns, np.float64)
    weight = sum(float(rows[:, 4].sum()) for rows in edges)

    def search(yaws: np.ndarray, pitches: np.ndarray, spread: float) -> tuple[float, float, float]:
        total = np.zeros(len(yaws) * len(pitches))
        for rows, (more_pitch, more_yaw) in zip(edges, turns):
            bases = np.stack([camera_basis(yaw + more_yaw, pitch + more_pitch) for yaw in yaws for pitch in pitches])
            total += _score(rows, bases, spread)
        best = int(total.argmax())
        return float(yaws[best // len(pitches)]), float(pitches[best % len(pitches)]), float(total[best])

    yaw, pitch, score = search(YAWS, PITCHES, FIRST_SPREAD)
    for step, spread in SPREADS:
        around = np.arange(-3, 4) * step
        yaw, pitch, score = search(yaw + around, pitch + around, spread)
    return (yaw + 45.0) % 90.0 - 45.0, pitch, score / max(weight, 1e-9)


def read_place(network: LiftNetwork, image: np.ndarray, yaw: float, pitch: float, seed: int = 0) -> np.ndarray:
    """float64 [3]: the place within its cell, 0 to 1, for which the lifter is surest; yaw within 45 degrees of 0.

    The height is that of a body that stands on whole cells.
    """
    h, w, _ = image.shape
    rays = camera_rays(camera_basis(yaw, pitch), (h, w))
    unit = (rays / np.linalg.norm(rays, axis=2, keepdims=True)).astype(np.float32)
    feature = network.encode(image, unit)
    some = np.random.default_rng(seed).choice(h * w, min(PLACE_PIXELS, h * w), replace=False)
    best, place = -math.inf, (0.5, 0.5)
    for x in PLACES:
        for z in PLACES:
            eye = np.array([x, STANDING_EYE, z], np.float32)
            found = network.decode(feature[some], eye, unit.reshape(-1, 3)[some])
            near = np.isfinite(found.distance)
            sure = float(np.log(found.chance[near]).mean()) if near.sum() > 20 else -9.0
            if sure > best:
                best, place = sure, (x, z)
    return np.array([place[0], STANDING_EYE, place[1]])
