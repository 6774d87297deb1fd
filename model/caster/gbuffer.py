"""What a camera meets in a scene, pixel by pixel: the frame model's only knowledge of the world."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from reverie.model.caster import kernel
from reverie.model.caster.camera import Camera, camera_basis, pixel_scale, project
from reverie.model.caster.scene import Scene

VIEW_DISTANCE = 64.0
"""Metres beyond which nothing is told apart from the sky."""
ENTITY_TOKEN = 192
"""Tokens from here on stand for kinds of entity."""


@dataclass(frozen=True, slots=True)
class EntityKind:
    """The box that holds an entity of one kind: `low` and `high` corners in metres from its feet (right, up, ahead)."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class GBuffer:
    """Two layers for each pixel: the first face met, and what is seen through it (the same where it is opaque)."""

    tokens: np.ndarray
    """uint8 [h, w, 2]: the token met, or ENTITY_TOKEN + kind; 0 for the sky."""
    faces: np.ndarray
    """uint8 [h, w, 2]: 2 * axis + (1 if the ray goes up the axis); NO_FACE for the sky."""
    geometry: np.ndarray
    """float32 [h, w, 2, 5]: metres along the ray, place on the face (u, v in 0 to 1), texels that the pixel spans."""
    cells: np.ndarray
    """int32 [h, w, 2, 3]: the cell met; meaningless for entities and the sky."""
    open_sky: np.ndarray
    """uint8 [h, w, 2, 13]: cells below the roof of the columns about the face."""
    lamps: np.ndarray
    """float32 [h, w, 2]: nearness of the nearest lamp."""
    wet: np.ndarray
    """float32 [h, w]: metres that the ray goes inside the medium that holds the eye."""
    dark: np.ndarray
    """float32 [h, w]: metres to the first cell that is not dreamed yet, or -1."""
    owner: np.ndarray
    """int16 [h, w, 2]: which entity is seen, or -1."""
    rays: np.ndarray
    """float32 [h, w, 3]: unit vectors."""

    def depth(self) -> np.ndarray:
        """float32 [h, w]: metres along the ray to the first layer, infinity for the sky."""
        return np.where(self.faces[..., 0] == kernel.NO_FACE, np.inf, self.geometry[..., 0, 0]).astype(np.float32)


def cast(
    scene: Scene,
    camera: Camera,
    size: tuple[int, int],
    entities: np.ndarray | None = None,
    kinds: tuple[EntityKind, ...] = (),
) -> GBuffer:
    """The G-buffer of `size` (h, w). `entities` float [n, 6]: x, y, z of the feet, yaw in degrees, kind, phase."""
    h, w = size
    basis = camera_basis(camera.yaw, camera.pitch)
    scale = pixel_scale(h, camera.fov)
    eye = np.asarray(camera.position, np.float64)
    tokens, faces = np.empty((h, w, 2), np.uint8), np.empty((h, w, 2), np.uint8)
    geometry, cells = np.empty((h, w, 2, 5), np.float32), np.zeros((h, w, 2, 3), np.int32)
    wet, dark = np.empty((h, w), np.float32), np.empty((h, w), np.float32)
    tables = scene.tables
    kernel.trace(
        scene.grid, scene.bricks, tables.kinds, tables.inner, tables.medium, scene.low_x, scene.low_z,
        eye, basis, scale, VIEW_DISTANCE, tokens, faces, geometry, cells, wet, dark,
    )  # fmt: skip
    open_sky, lamps = np.empty((h, w, 2, 13), np.uint8), np.empty((h, w, 2), np.float32)
    kernel.light_columns(
        faces, cells, geometry, eye, basis, scale, scene.heights, scene.low_x, scene.low_z,
        _lamps_near(scene.lamps, eye), open_sky, lamps,
    )  # fmt: skip
    owner = np.full((h, w, 2), -1, np.int16)
    if entities is not None and len(entities) and kinds:
        _draw_entities(entities, kinds, eye, basis, scale, camera, size, tables.kinds, tokens, faces, geometry, owner)
    across = (np.arange(w) + 0.5 - w / 2) * scale
    up = (h / 2 - np.arange(h) - 0.5) * scale
    rays = basis[2] + across[None, :, None] * basis[0] + up[:, None, None] * basis[1]
    rays = (rays / np.linalg.norm(rays, axis=2, keepdims=True)).astype(np.float32)
    return GBuffer(tokens, faces, geometry, cells, open_sky, lamps, wet, dark, owner, rays)


def _lamps_near(lamps: np.ndarray, eye: np.ndarray, most: int = 24) -> np.ndarray:
    """The lamps nearest to the eye, within the view."""
    if not len(lamps):
        return lamps
    distance = np.linalg.norm(lamps - eye, axis=1)
    order = np.argsort(distance, kind="stable")[:most]
    return np.ascontiguousarray(lamps[order[distance[order] < VIEW_DISTANCE + kernel.LAMP_REACH]])


def entity_box(entity: np.ndarray, kind: EntityKind) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Middle float64 [3], axes float64 [3, 3] (right, up, ahead) and half sizes float64 [3] of an entity's box."""
    yaw = math.radians(float(entity[3]))
    turn = np.array([[-math.cos(yaw), 0, -math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    low, high = np.asarray(kind.low), np.asarray(kind.high)
    return np.asarray(entity[:3], np.float64) + (low + high) / 2 @ turn, turn, (high - low) / 2


def _draw_entities(entities, kinds, eye, basis, scale, camera, size, token_kinds, tokens, faces, geometry, owner):
    h, w = size
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    far = np.linalg.norm(entities[:, :3] - eye, axis=1)
    for number in np.argsort(-far, kind="stable"):
        if not far[number] < VIEW_DISTANCE:
            continue
        kind = int(entities[number, 4])
        center, turn, half = entity_box(entities[number], kinds[kind])
        seen = project(center + (corners * half) @ turn, eye, basis, size, camera.fov)
        rows, columns = np.array([0, h]), np.array([0, w])
        if (seen[:, 2] < 0.05).all():
            continue
        if (seen[:, 2] >= 0.05).all():
            low, high = np.floor(seen.min(0)), np.ceil(seen.max(0)) + 1
            columns = np.clip([low[0], high[0]], 0, w).astype(np.int64)
            rows = np.clip([low[1], high[1]], 0, h).astype(np.int64)
        if rows[0] < rows[1] and columns[0] < columns[1]:
            kernel.box_pixels(
                center, turn, half, ENTITY_TOKEN + kind, eye, basis, scale, rows, columns, token_kinds,
                tokens, faces, geometry, number, owner,
            )  # fmt: skip
