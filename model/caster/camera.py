"""The camera: where pixels look. x to the east, y up, z to the south; yaw 0 looks along +z and grows to the right."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

FIELD_OF_VIEW = 70.0
"""Vertical, in degrees."""


@dataclass(frozen=True, slots=True)
class Camera:
    """`position` of the eye in metres, angles in degrees (pitch positive down), `fov` vertical."""

    position: tuple[float, float, float]
    yaw: float
    pitch: float
    fov: float = FIELD_OF_VIEW


def camera_basis(yaw: float, pitch: float) -> np.ndarray:
    """float64 [3, 3]: the unit vectors right, up, forward; angles in degrees."""
    cy, sy = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    cp, sp = math.cos(math.radians(pitch)), math.sin(math.radians(pitch))
    return np.array([[-cy, 0.0, -sy], [-sy * sp, cp, cy * sp], [-sy * cp, -sp, cy * cp]])


def pixel_scale(height: int, fov: float = FIELD_OF_VIEW) -> float:
    """Edge of a pixel one metre ahead, in metres."""
    return 2.0 * math.tan(math.radians(fov) / 2.0) / height


def camera_rays(basis: np.ndarray, size: tuple[int, int], fov: float = FIELD_OF_VIEW) -> np.ndarray:
    """float64 [h, w, 3]: each pixel's ray, of length 1 along the camera's axis."""
    height, width = size
    scale = pixel_scale(height, fov)
    across = (np.arange(width) + 0.5 - width / 2) * scale
    up = (height / 2 - np.arange(height) - 0.5) * scale
    return basis[2] + across[None, :, None] * basis[0] + up[:, None, None] * basis[1]


def project(
    points: np.ndarray, position: np.ndarray, basis: np.ndarray, size: tuple[int, int], fov: float
) -> np.ndarray:
    """float64 [..., 3]: column, row (pixel centres at whole numbers) and metres ahead, of points [..., 3]."""
    height, width = size
    right, up, ahead = np.moveaxis((points - position) @ basis.T, -1, 0)
    safe = np.where(np.abs(ahead) < 1e-6, 1e-6, ahead) * pixel_scale(height, fov)
    return np.stack([right / safe + width / 2 - 0.5, height / 2 - 0.5 - up / safe, ahead], -1)


def quarter_of(yaw: float) -> int:
    """0 to 3: the quarter turns that bring a yaw within 45 degrees of 0 when taken off."""
    return math.floor((yaw + 45.0) / 90.0) % 4


def turn_quarters(vectors: np.ndarray, quarters: int) -> np.ndarray:
    """Vectors [..., 3] in axes turned so that what looked at yaw 90 * quarters looks along +z."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    for _ in range(quarters % 4):
        x, z = z, -x
    return np.stack([x, y, z], -1)
