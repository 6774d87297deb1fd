"""How a picture turned and moved between two frames, measured, not learned: what the action reader looks at first.

A turn is found by trying many on a coarse picture and then by Gauss-Newton steps on finer ones (direct alignment: Baker
and Matthews, Lucas-Kanade 20 years on, 2004) over the three angles of a turning camera; where depth is known,
travel is found with it. Letters: n frame pairs, h w pixels. Everything is plain arithmetic without randomness.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from reverie.model.geometry import focal_length, pixel_rays, project

SIZE = (96, 160)
"""Frames are read at this size."""
FIELD_OF_VIEW = 70.0
LUMA = (0.299, 0.587, 0.114)
HAND = (slice(50, 96), slice(100, 160))
BAR = (slice(78, 96), slice(22, 138))
CROSS = (slice(44, 52), slice(76, 84))
"""Rows and columns of what is drawn over the world."""
SLOTS, SLOT_EDGE, SLOT_LEFT, SLOT_RINGS = 9, 12, 26, (81, 82, 93, 94)
"""The hotbar: how many, how wide, where the first begins, and the rows of the frame around the chosen one."""
PITCHES = tuple(range(-16, 17, 4))
YAWS = tuple(range(-32, 33, 4))
"""Degrees of the turns that are tried."""
STILLNESS = 2e-4
"""Of two turns that explain the picture equally well the smaller is taken: cost per degree."""
STEPS = ((4, 3), (2, 2))
"""Scale of the picture and Gauss-Newton steps on it."""
OUTLIER = 0.06
"""Errors of brightness (0-1) far above this are something else that moved."""
FRONT = 0.2
"""Nothing nearer than this, in units of the ray, has slopes to follow."""
DAMPING = 1e-4
NEAREST_DEPTH = 0.3
DOUBTFUL = 0.02
"""What is one metre away counts half where its depth may be wrong by this share, and twice as far by twice as much."""
TRAVEL_STEPS = ((4, 3), (2, 3))
TURN_PRIOR, TRAVEL_PRIOR = 1e-3, 0.03
"""Small turns and travels are likelier: in squared errors of brightness per squared radian, and per squared metre."""
GRID = (6, 10)
"""Squares in which depth is given."""


class Motion(NamedTuple):
    """What was measured between n pairs of frames."""

    turn: Tensor
    """[n, 3] degrees about the camera's axes: pitch down, yaw to the right, roll."""
    cost: Tensor
    """[n]: mean error of brightness that the turn leaves."""
    centre: Tensor
    """[n, 2, 12, 12]: brightness around the crosshair in the second frame, and its change from the first, turned."""


def brightness(frames: Tensor) -> Tensor:
    """uint8 [n, h, w, 3] as float32 [n, 1, h, w], 0 to 1, dark tones lifted."""
    tones = frames[..., 0].float() * LUMA[0] + frames[..., 1].float() * LUMA[1] + frames[..., 2].float() * LUMA[2]
    return (tones / 255).sqrt().unsqueeze(1)


def slots(frames: Tensor) -> Tensor:
    """How white the frame around each slot of the hotbar is: float32 [n, 9] of uint8 [n, h, w, 3]."""
    low = frames[:, SLOT_RINGS, :].amin(-1).float().mean(1) / 255
    return torch.stack(
        [low[:, SLOT_LEFT + k * SLOT_EDGE : SLOT_LEFT + (k + 1) * SLOT_EDGE].mean(1) for k in range(SLOTS)], 1
    )


def _world_mask() -> Tensor:
    """float32 [1, 1, h, w]: 1 where the world is seen."""
    mask = torch.ones(1, 1, *SIZE)
    for rows, columns in (HAND, BAR, CROSS):
        mask[..., rows, columns] = 0.0
    return mask


def _rotation(vector: Tensor) -> Tensor:
    """Rotations [n, 3, 3] of axis-angle vectors [n, 3] in radians (Rodrigues)."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1).unflatten(-1, (3, 3))
    angle = vector.norm(dim=-1).clamp(min=1e-8)[:, None, None]
    return torch.eye(3) + torch.sin(angle) / angle * cross + (1 - torch.cos(angle)) / angle**2 * (cross @ cross)


def _about(pitch: float, yaw: float) -> Tensor:
    return _rotation(torch.tensor([[-math.radians(pitch), math.radians(yaw), 0.0]]))[0]


def _coarse(before: Tensor, after: Tensor, mask: Tensor) -> Tensor:
    """The best of the tried turns, as rotations [n, 3, 3]; pictures [n, 1, h/4, w/4]."""
    height, width = before.shape[-2:]
    rays = pixel_rays(height, width, FIELD_OF_VIEW)[::2, ::2].reshape(-1, 3)
    points = after[..., ::2, ::2].flatten(1)
    weight = mask[..., ::2, ::2].flatten()
    rotations = torch.stack([_about(p, y) for p in PITCHES for y in YAWS])
    penalty = torch.tensor([STILLNESS * math.hypot(p, y) for p in PITCHES for y in YAWS])
    at = project(rays @ rotations.transpose(1, 2), (height, width), FIELD_OF_VIEW)
    column = ((at[..., 0] + 1) * width / 2).floor().long()
    row = ((at[..., 1] + 1) * height / 2).floor().long()
    inside = ((column >= 0) & (column < width) & (row >= 0) & (row < height)).float()
    index = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    weights = inside * weight * mask.flatten()[index]
    total = weights.sum(1).clamp(min=1.0)
    flat = before.flatten(1)
    error = (flat[:, index.flatten()].unflatten(1, index.shape) - points[:, None]).abs().clamp(max=4 * OUTLIER)
    cost = (error * weights).sum(2) / total + penalty
    return rotations[cost.argmin(1)]


def _stacked(before: Tensor, mask: Tensor) -> Tensor:
    """Brightness, its slopes and the mask [n, 4, h, w], to be looked up at once."""
    slope_x = functional.pad(before[..., 2:] - before[..., :-2], (1, 1, 0, 0)) / 2
    slope_y = functional.pad(before[..., 2:, :] - before[..., :-2, :], (0, 0, 1, 1)) / 2
    return torch.cat((before, slope_x, slope_y, mask.expand_as(before)), 1)


def _compared(
    stack: Tensor, points: Tensor, goal: Tensor, seen: Tensor
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
    """What `stack` shows at camera-space points [n, h * w, 3] against brightness `goal` [n, h * w].

    Returns the error, its weight (Geman and McClure's) and its slopes by each coordinate of the points, [n, h * w].
    """
    height, width = stack.shape[-2:]
    grid = project(points, (height, width), FIELD_OF_VIEW).reshape(-1, height, width, 2)
    sampled = functional.grid_sample(stack, grid, mode="bilinear", padding_mode="zeros", align_corners=False).flatten(2)
    error = sampled[:, 0] - goal
    weight = sampled[:, 3] * seen / (1 + (error / OUTLIER) ** 2) ** 2
    focal = focal_length(height, FIELD_OF_VIEW)
    x, y, z = points.unbind(-1)
    z = z.clamp(min=FRONT)
    gx, gy = sampled[:, 1] * focal / z, sampled[:, 2] * focal / z
    return error, weight, (gx, gy, -(gx * x + gy * y) / z)


def _refine(before: Tensor, after: Tensor, mask: Tensor, rotation: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Gauss-Newton: the rotations [n, 3, 3] after some steps, and the error that is left [n]."""
    height, width = before.shape[-2:]
    rays = pixel_rays(height, width, FIELD_OF_VIEW).reshape(1, -1, 3)
    stack, goal, seen = _stacked(before, mask), after.flatten(1), mask.flatten()
    for step in range(steps + 1):
        points = rays @ rotation.transpose(1, 2)
        error, weight, (gx, gy, gz) = _compared(stack, points, goal, seen)
        if step == steps:
            return rotation, (weight * error.abs()).sum(1) / weight.sum(1).clamp(min=1.0)
        x, y, z = points.unbind(-1)
        z = z.clamp(min=FRONT)
        jacobian = torch.stack((gz * y - gy * z, gx * z - gz * x, gy * x - gx * y), -1)
        weighted = jacobian * weight.unsqueeze(-1)
        normal = weighted.transpose(1, 2) @ jacobian
        size = normal.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
        normal = normal + torch.eye(3) * (DAMPING * size + 1e-6)
        change = -torch.linalg.solve(normal, (weighted.transpose(1, 2) @ error.unsqueeze(-1))).squeeze(-1)
        rotation = _rotation(change.clamp(-0.1, 0.1)) @ rotation
    raise AssertionError("the loop returns")


def _angles(rotation: Tensor) -> Tensor:
    """Axis-angle vectors [n, 3] in degrees of rotations, as (pitch down, yaw right, roll)."""
    cosine = ((rotation.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1)
    angle = torch.arccos(cosine)
    axis = torch.stack(
        (
            rotation[:, 2, 1] - rotation[:, 1, 2],
            rotation[:, 0, 2] - rotation[:, 2, 0],
            rotation[:, 1, 0] - rotation[:, 0, 1],
        ),
        -1,
    )
    scale = torch.where(angle > 1e-3, angle / (2 * torch.sin(angle)).clamp(min=1e-6), torch.full_like(angle, 0.5))
    return torch.rad2deg(axis * scale[:, None]) * torch.tensor([-1.0, 1.0, 1.0])


def measure(before: Tensor, after: Tensor) -> Motion:
    """The motion between pairs of frames, uint8 [n, 96, 160, 3] each."""
    first, second, mask = brightness(before), brightness(after), _world_mask()
    scaled = {
        scale: tuple(functional.avg_pool2d(picture, scale) for picture in (first, second, mask)) for scale in (4, 2)
    }
    solid = {scale: (scaled[scale][2] > 0.99).float() for scale in scaled}
    rotation = _coarse(scaled[4][0], scaled[4][1], solid[4])
    cost = torch.zeros(len(before))
    for scale, steps in STEPS:
        rotation, cost = _refine(scaled[scale][0], scaled[scale][1], solid[scale], rotation, steps)
    half = (SIZE[0] // 2, SIZE[1] // 2)
    points = pixel_rays(*half, FIELD_OF_VIEW).reshape(1, -1, 3) @ rotation.transpose(1, 2)
    grid = project(points, half, FIELD_OF_VIEW).reshape(-1, *half, 2)
    turned = functional.grid_sample(scaled[2][0], grid, padding_mode="border", align_corners=False)
    now = scaled[2][1]
    middle = (slice(None), slice(None), slice(18, 30), slice(34, 46))
    centre = torch.cat((now[middle], now[middle] - turned[middle]), 1)
    return Motion(_angles(rotation), cost, centre)


class Sight(NamedTuple):
    """What n frames show by themselves."""

    slots: Tensor
    """float32 [n, 9]: see `slots`."""
    hand: Tensor
    """uint8 [n, 3, 23, 30]: the held block, at half size."""


def sight(frames: Tensor) -> Sight:
    """Of frames, uint8 [n, 96, 160, 3]."""
    hand = functional.avg_pool2d(frames[:, HAND[0], HAND[1]].permute(0, 3, 1, 2).float(), 2)
    return Sight(slots(frames), hand.round().to(torch.uint8))


def travel(
    before: Tensor, after: Tensor, depth: Tensor, doubt: Tensor, pitch: Tensor, turn: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """How the eye moved between pairs of frames, uint8 [n, 96, 160, 3] each, by aligning them directly, depth given.

    Gauss-Newton over three angles and travel at once (Kerl et al., Robust odometry estimation for RGB-D cameras,
    2013). `depth` [n, gh, gw] are metres in the second frame, `doubt` the errors that are expected of their
    logarithms: what is less than sure counts for less, because wrong depths do not average out, but shorten every way.
    `pitch` [n] degrees in the first, `turn` [n, 3] as found by `measure`. Returns the travel [n, 3] in metres (right,
    down, ahead; level), the turn with it [n, 3], and the mean error of brightness that is left [n].
    """
    first, second, mask = brightness(before), brightness(after), _world_mask()
    near = 1 / depth.clamp(min=NEAREST_DEPTH).unsqueeze(1)
    sure = 1 / (1 + (near * doubt.unsqueeze(1) / DOUBTFUL) ** 2)
    rotation = _rotation(torch.deg2rad(turn * torch.tensor((-1.0, 1.0, 1.0))))
    moved = torch.zeros(len(before), 3)
    cost = torch.zeros(len(before))
    for scale, steps in TRAVEL_STEPS:
        earlier, later = (functional.avg_pool2d(picture, scale) for picture in (first, second))
        solid = (functional.avg_pool2d(mask, scale) > 0.99).float()
        size = earlier.shape[-2:]
        inverse = functional.interpolate(near, size, mode="bilinear", align_corners=False).flatten(1)
        trust = functional.interpolate(sure, size, mode="bilinear", align_corners=False).flatten(1)
        rotation, moved, cost = _align(earlier, later, solid, trust, rotation, moved, inverse, steps)
    sin, cos = torch.sin(torch.deg2rad(pitch)), torch.cos(torch.deg2rad(pitch))
    x, y, z = moved.unbind(-1)
    return torch.stack((x, cos * y + sin * z, cos * z - sin * y), -1), _angles(rotation), cost


def _align(
    before: Tensor,
    after: Tensor,
    mask: Tensor,
    trust: Tensor,
    rotation: Tensor,
    moved: Tensor,
    near: Tensor,
    steps: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """As `_refine`, with the eye's travel [n, 3] in the axes of the camera before; `near` [n, h * w] is 1 / depth,
    `trust` what a pixel counts."""
    height, width = before.shape[-2:]
    rays = pixel_rays(height, width, FIELD_OF_VIEW).reshape(1, -1, 3)
    stack, goal, seen = _stacked(before, mask), after.flatten(1), mask.flatten() * trust
    prior = torch.diag(torch.tensor((TURN_PRIOR,) * 3 + (TRAVEL_PRIOR,) * 3))
    for step in range(steps + 1):
        turned = rays @ rotation.transpose(1, 2)
        points = turned + near.unsqueeze(-1) * moved.unsqueeze(1)
        error, weight, (gx, gy, gz) = _compared(stack, points, goal, seen)
        if step == steps:
            return rotation, moved, (weight * error.abs()).sum(1) / weight.sum(1).clamp(min=1.0)
        tx, ty, tz = turned.unbind(-1)
        jacobian = torch.stack(
            (gz * ty - gy * tz, gx * tz - gz * tx, gy * tx - gx * ty, gx * near, gy * near, gz * near), -1
        )
        weighted = (jacobian * weight.unsqueeze(-1)).transpose(1, 2)
        pull = torch.cat((torch.zeros_like(moved), TRAVEL_PRIOR * moved), 1)
        gradient = (weighted @ error.unsqueeze(-1)).squeeze(-1) + pull
        change = -torch.linalg.solve(weighted @ jacobian + prior, gradient.unsqueeze(-1)).squeeze(-1)
        rotation = _rotation(change[:, :3].clamp(-0.1, 0.1)) @ rotation
        moved = moved + change[:, 3:].clamp(-0.3, 0.3)
    raise AssertionError("the loop returns")
