"""How a picture moves when the camera turns or travels: pinhole geometry on batches of frames.

Camera space has x to the right, y down and z ahead, in metres; angles are degrees, positive pitch looks down
and positive yaw turns right.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def focal_length(height: int, field_of_view: float) -> float:
    """Pixels per unit of tangent for frames of `height` pixels and a vertical field of view in degrees."""
    return height / 2 / math.tan(math.radians(field_of_view) / 2)


def pixel_rays(height: int, width: int, field_of_view: float, step: int = 1) -> Tensor:
    """Camera-space rays [height/step, width/step, 3] with z = 1, through the middle of every `step`-th square."""
    focal = focal_length(height, field_of_view)
    across = (torch.arange(width // step) + 0.5) * step - width / 2
    down = (torch.arange(height // step) + 0.5) * step - height / 2
    y, x = torch.meshgrid(down / focal, across / focal, indexing="ij")
    return torch.stack((x, y, torch.ones_like(x)), dim=-1)


def _about_x(degrees: Tensor) -> Tensor:
    cos, sin = torch.cos(torch.deg2rad(degrees)), torch.sin(torch.deg2rad(degrees))
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    return torch.stack((one, zero, zero, zero, cos, sin, zero, -sin, cos), dim=-1).unflatten(-1, (3, 3))


def _about_y(degrees: Tensor) -> Tensor:
    cos, sin = torch.cos(torch.deg2rad(degrees)), torch.sin(torch.deg2rad(degrees))
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    return torch.stack((cos, zero, sin, zero, one, zero, -sin, zero, cos), dim=-1).unflatten(-1, (3, 3))


def _product(left: Tensor, right: Tensor) -> Tensor:
    """left [..., i, j] times right [..., j, k] by plain sums: autocast would round a matrix product to bfloat16."""
    return (left.unsqueeze(-1) * right.unsqueeze(-3)).sum(-2)


def camera_to_level(pitch: Tensor) -> Tensor:
    """Rotations [b, 3, 3] from the space of a camera pitched down by `pitch` [b] to one that looks level."""
    return _about_x(pitch)


def turn_back(pitch: Tensor, turn: Tensor) -> Tensor:
    """Rotations [b, 3, 3] that take rays of the camera after a turn to the camera before it.

    `pitch` [b] is the pitch before, `turn` [b, 2] the (pitch, yaw) change.
    """
    level = _product(_about_y(turn[:, 1]), camera_to_level(pitch + turn[:, 0]))
    return _product(camera_to_level(pitch).transpose(1, 2), level)


def project(points: Tensor, height: int, width: int, field_of_view: float) -> Tensor:
    """Where camera-space points [..., 3] fall in a frame, as `grid_sample` wants it: [..., 2] in -1..1.

    Points behind the camera are sent far outside.
    """
    focal = focal_length(height, field_of_view)
    depth = points[..., 2:].clamp(min=1e-3)
    scale = points.new_tensor((2 * focal / width, 2 * focal / height))
    return (points[..., :2] / depth * scale).clamp(-8.0, 8.0)


def rotation_grid(pitch: Tensor, turn: Tensor, size: tuple[int, int], field_of_view: float) -> Tensor:
    """Sampling grid [b, h, w, 2] that turns the frame before into a guess at the frame after a camera turn.

    The homography K R K^-1 of a purely turning camera (Hartley and Zisserman, Multiple View Geometry, 8.4).
    """
    height, width = size
    rays = pixel_rays(height, width, field_of_view).to(pitch.device)
    moved = _product(rays.reshape(1, -1, 3), turn_back(pitch, turn).transpose(1, 2))
    return project(moved, height, width, field_of_view).reshape(-1, height, width, 2)


def warp(frames: Tensor, grid: Tensor) -> Tensor:
    """`frames` [b, c, h, w] sampled at `grid` [b, h, w, 2], the border repeated outside."""
    return functional.grid_sample(frames, grid, mode="bilinear", padding_mode="border", align_corners=False)


def travel_flow(
    depth: Tensor, depth_before: Tensor, pitch: Tensor, turn: Tensor, travel: Tensor, size: tuple[int, int], field_of_view: float
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The exact motion of what is seen, beyond what the camera's turn explains.

    `depth`, `depth_before` [b, h', w'] are metres along z after and before, at the middles of h' x w' squares of
    the frame; `travel` [b, 3] is the eye's motion in metres in the level space of the camera before (right, down,
    ahead).  Returns the flow [b, h', w', 2] in units of the sampling grid, and where it can be trusted [b, h', w']:
    the point was inside the frame before and nothing hid it there.
    """
    height, width = size
    b, rows, columns = depth.shape
    rays = pixel_rays(height, width, field_of_view, height // rows).reshape(1, -1, 3).to(depth.device)
    back = turn_back(pitch, turn).transpose(1, 2)
    turned = _product(rays, back)
    far = depth.reshape(b, -1, 1).clamp(max=1e4)
    moved = turned * far + _product(travel.unsqueeze(1), camera_to_level(pitch))
    source = project(moved, height, width, field_of_view)
    flow = source - project(turned, height, width, field_of_view)
    seen = functional.grid_sample(
        depth_before.clamp(max=1e4).unsqueeze(1),
        source.reshape(b, rows, columns, 2),
        mode="nearest",
        align_corners=False,
    ).reshape(b, -1)
    inside = (source.abs() < 1).all(-1) & (moved[..., 2] > 0.05)
    visible = (seen - moved[..., 2]).abs() < 0.25 + 0.1 * moved[..., 2]
    return flow.reshape(b, rows, columns, 2), (inside & visible).reshape(b, rows, columns)
