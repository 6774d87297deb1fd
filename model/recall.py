"""Key frames: which earlier views a dream keeps, and which one of them helps with the next frame. Plain numpy.

A view is kept when the eye has turned or travelled since the last one was; a view of nearly the same place takes the
older one's slot, so the newest wins and an edit or a dug block is not undone by a stale memory. For the next frame that
view is chosen that shows most of what the frame before did not (the greedy cover of WorldMem, arXiv 2504.12369, for one
frame and with geometry in closed form). The network gets its picture and the `way` to it, and decides what to use.

Letters: b dreams, k slots. A pose [5] is right, down, ahead in metres on axes of yaw 0, then yaw and pitch in degrees.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from reverie.model.actions import ACTION_INDEX, CAMERA_SCALE

SWINGS = tuple(ACTION_INDEX[name] for name in ("attack", "use"))
WALKS = tuple(ACTION_INDEX[name] for name in ("forward", "back", "left", "right", "sprint", "jump"))
PLACES = ACTION_INDEX["use"]
CHANGES = tuple(ACTION_INDEX[name] for name in ("swapHands", "drop", *(f"hotbar.{slot}" for slot in range(1, 10))))
POSE_DIM, WAY_DIM, PACE_DIM = 5, 6, 4
KEEP_DEGREES, KEEP_METRES, KEEP_TICKS = 25.0, 1.5, 100
"""A frame is kept once the view has turned, the eye has travelled, or time has passed by so much since the last."""
TWIN_DEGREES, TWIN_METRES = 12.0, 0.75
"""Two views closer than this are of the same place."""
USUAL_METRES = 8.0
"""How far away things are taken to be where nobody has measured it."""
GRID = (5, 8)
"""Rows and columns of the sight lines that stand for a view."""
OVERLAP_SHARE, NEAR_SHARE, AGE_SHARE = 0.15, 0.02, 0.1
"""Worth, against a newly shown part of the view: of any shown part; of a metre's distance; of being new."""
OLD_TICKS = 200.0
LEAST = 0.05
"""A view that shows less than this share of the frame is no help."""
REST_TICKS = 8
"""Ticks after which hands that have hit or placed something are at rest again (measured in Luanti: 6 or 7)."""
STEADY_TICKS = 2 * REST_TICKS
"""Ticks after which an earlier view of the screen has brought them back."""
NEVER = 2**31
"""Ticks since something was placed, where nothing has been."""
UNLIKELY = 0.02
"""What a model gives less of a chance did not happen."""
STANDS_DEGREES, STANDS_METRES = 0.3, 0.02
"""Whose eye turns and travels less in a tick stands still."""
STUCK_METRES = 0.005
"""Who travels less than this in a tick, with a key to walk by held, is held up by something."""
LEAN_DEGREES = 30.0
"""Who has turned further since then looks another way, which may be free."""
NOSE = 0.05
"""Metres in front of the eye before which nothing is seen."""


def advance(pose: np.ndarray, turn: np.ndarray, travel: np.ndarray) -> np.ndarray:
    """Poses [b, 5] after turns [b, 2] (pitch, yaw) and travels [b, 3] (right, down, ahead of the camera, if level)."""
    yaw = np.deg2rad(pose[:, 3])
    cos, sin = np.cos(yaw), np.sin(yaw)
    right, down, ahead = travel.T
    moved = np.stack((cos * right + sin * ahead, down, cos * ahead - sin * right, turn[:, 1], turn[:, 0]), axis=-1)
    result = pose + moved
    result[:, 3] = (result[:, 3] + 180) % 360 - 180
    return result.astype(pose.dtype)


def pace(turn: np.ndarray, travel: np.ndarray) -> np.ndarray:
    """float32 [..., 4] for turns [..., 2] and travels [..., 3] in the tick that has just passed, NaN where unknown.

    1 for known, then the travel on the level axes of the camera after the turn; all zero for unknown.
    """
    yaw = np.deg2rad(turn[..., 1])
    right, down, ahead = np.moveaxis(travel, -1, 0)
    cos, sin = np.cos(yaw), np.sin(yaw)
    parts = np.stack((np.ones_like(yaw), cos * right - sin * ahead, down, sin * right + cos * ahead), axis=-1)
    return np.where(np.isfinite(parts).all(-1, keepdims=True), parts, 0).astype(np.float32)


def rested(ticks: np.ndarray, action: np.ndarray) -> np.ndarray:
    """For how many ticks the hands have not swung [b], up to STEADY_TICKS: those before and `action` [b, 25].

    Whoever takes another thing in hand has steady hands at once: no older frame shows how it is held.
    """
    swings, changes = (action[:, list(buttons)].any(axis=1) for buttons in (SWINGS, CHANGES))
    later = np.where(swings, 0, np.minimum(ticks + 1, STEADY_TICKS))
    return np.where(changes, STEADY_TICKS, later).astype(ticks.dtype)


def placed(ticks: np.ndarray, action: np.ndarray, chance: np.ndarray | float = 1.0) -> np.ndarray:
    """Ticks since something was placed, or may have been [b]: those before, up to NEVER, and `action` [b, 25].

    `chance` [b] is how likely it is that something was placed in this tick.
    """
    may_be = (action[:, PLACES] > 0) & (chance >= UNLIKELY)
    return np.where(may_be, 0, np.minimum(ticks + 1, NEVER)).astype(ticks.dtype)


def stands(turn: np.ndarray, travelled: np.ndarray) -> np.ndarray:
    """Whether eyes that turn by `turn` [b, 2] degrees and have travelled so many metres [b] in a tick stand still."""
    return (np.abs(turn).max(axis=1) < STANDS_DEGREES) & (travelled < STANDS_METRES)


def in_vain(action: np.ndarray, last_action: np.ndarray, pace: np.ndarray) -> np.ndarray:
    """Whether the keys in `action` [b, 25] to walk by lead nowhere [b], as long as nothing is dug.

    That they do where they were held a tick ago as well and, by `pace` [b, 4], nobody moved: something is in the way.
    Of such ticks with a key held 7 in 100 go further than a centimetre in Luanti, 1 in 100 in the voxel world, and
    hardly any further than five, even where the eye turns.
    """
    walk, jump = list(WALKS), ACTION_INDEX["jump"]
    held = (action[:, walk] == last_action[:, walk]).all(axis=1) & action[:, walk].any(axis=1)
    return held & (action[:, jump] == 0) & (pace[:, 0] > 0) & (np.linalg.norm(pace[:, 1:], axis=1) < STUCK_METRES)


def trusted(ages: np.ndarray, placed: np.ndarray, still: np.ndarray) -> np.ndarray:
    """`ages` [b, k] of earlier views, below zero for those that are of no use now, too.

    A view from before something was placed, `placed` [b] ticks ago, shows what has been there. Who stands `still` [b]
    has all that counts in the frame before, and would see the new thing vanish; who moves needs earlier views more
    than that.
    """
    return np.where(still[:, None] & (ages > placed[:, None]), -1, ages)


def camera_motion(eye: np.ndarray, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turns [t, 2], pitches [t] and travels [t, 3] between the t + 1 places of `eye` [t + 1, 5].

    Without a known eye the turn is the action's, the pitch 0 and the travel NaN.
    """
    first = ACTION_INDEX["cameraX"]
    yaw, pitch = eye[:, 3], eye[:, 4]
    turn = np.stack((np.diff(pitch), (np.diff(yaw) + 180) % 360 - 180), axis=-1)
    unknown = np.isnan(turn).any(-1)
    turn[unknown] = action[unknown, first : first + 2] * CAMERA_SCALE
    step = np.diff(eye[:, :3], axis=0)
    heading = np.deg2rad(yaw[:-1])
    right = -np.cos(heading) * step[:, 0] - np.sin(heading) * step[:, 2]
    ahead = -np.sin(heading) * step[:, 0] + np.cos(heading) * step[:, 2]
    travel = np.stack((right, -step[:, 1], ahead), axis=-1)
    return turn.astype(np.float32), np.nan_to_num(pitch[:-1]).astype(np.float32), travel.astype(np.float32)


def level_poses(eye: np.ndarray) -> np.ndarray:
    """Poses as they are here for the places [n, 5] of a recording, whose axes are Minecraft's."""
    return np.stack((-eye[:, 0], -eye[:, 1], eye[:, 2], eye[:, 3], eye[:, 4]), axis=-1).astype(np.float64)


def way(key: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """float32 [..., 6] from key views to poses: 1 for known, the key's pitch, yaw between, right, down, ahead of it."""
    yaw = np.deg2rad(key[..., 3])
    cos, sin = np.cos(yaw), np.sin(yaw)
    x, y, z = np.moveaxis(pose[..., :3] - key[..., :3], -1, 0)
    between = (pose[..., 3] - key[..., 3] + 180) % 360 - 180
    parts = (np.ones_like(yaw), key[..., 4], between, cos * x - sin * z, y, sin * x + cos * z)
    return np.stack(parts, axis=-1).astype(np.float32)


@lru_cache
def _sight_lines(size: tuple[int, int], field_of_view: float) -> tuple[np.ndarray, float, float]:
    """Camera-space rays [n, 3] with z = 1 over the whole view, and the tangents of its half width and half height."""
    down = math.tan(math.radians(field_of_view) / 2)
    across = down * size[1] / size[0]
    y, x = np.meshgrid(*((np.arange(n) + 0.5) * 2 / n - 1 for n in GRID), indexing="ij")
    rays = np.stack((x * across, y * down, np.ones_like(x)), axis=-1).reshape(-1, 3)
    return rays.astype(np.float32), across, down


def seen_points(pose: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Where rays [n, 3] of cameras at poses [b, 5] end, USUAL_METRES away: [b, n, 3]."""
    pitch, yaw = (np.deg2rad(pose[:, None, index]) for index in (4, 3))
    x, y, z = rays.T * USUAL_METRES
    y, z = np.cos(pitch) * y + np.sin(pitch) * z, np.cos(pitch) * z - np.sin(pitch) * y
    x, z = np.cos(yaw) * x + np.sin(yaw) * z, np.cos(yaw) * z - np.sin(yaw) * x
    return np.stack((x, np.broadcast_to(y, x.shape), z), axis=-1) + pose[:, None, :3]


def shows(pose: np.ndarray, points: np.ndarray, size: tuple[int, int], field_of_view: float) -> np.ndarray:
    """Whether cameras at poses [..., 5] have points [..., n, 3] in their view: bool [..., n]."""
    _, across, down = _sight_lines(size, field_of_view)
    pitch, yaw = (np.deg2rad(pose[..., None, index]) for index in (4, 3))
    x, y, z = np.moveaxis(points - pose[..., None, :3], -1, 0)
    x, z = np.cos(yaw) * x - np.sin(yaw) * z, np.cos(yaw) * z + np.sin(yaw) * x
    y, z = np.cos(pitch) * y - np.sin(pitch) * z, np.cos(pitch) * z + np.sin(pitch) * y
    return (z > NOSE) & (np.abs(x) < across * z) & (np.abs(y) < down * z)


def choose(
    keys: np.ndarray, ages: np.ndarray, pose: np.ndarray, turn: np.ndarray, size: tuple[int, int], field_of_view: float
) -> np.ndarray:
    """The slot [b] of the key view that helps most with the frame after `turn` [b, 2] from `pose` [b, 5]; -1 for none.

    `keys` [b, k, 5] are the views' poses, `ages` [b, k] their ages in ticks, below zero for empty slots.
    """
    rays, _, _ = _sight_lines(size, field_of_view)
    points = seen_points(advance(pose, turn, np.zeros_like(pose[:, :3])), rays)
    new = ~shows(pose, points, size, field_of_view)
    shown = shows(keys, points[:, None], size, field_of_view)
    share = shown.mean(-1)
    distance = np.linalg.norm(keys[..., :3] - pose[:, None, :3], axis=-1)
    worth = (shown & new[:, None]).mean(-1) + OVERLAP_SHARE * share
    worth = worth - NEAR_SHARE * distance - AGE_SHARE * ages / (ages + OLD_TICKS).clip(1)
    worth = np.where((ages >= 0) & (share >= LEAST), worth, -np.inf)
    best = worth.argmax(axis=1)
    return np.where(np.isfinite(worth.max(axis=1)), best, -1)


def _apart(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Degrees and metres [...] between poses [..., 5]."""
    yaw = np.abs((one[..., 3] - other[..., 3] + 180) % 360 - 180)
    turned = np.maximum(yaw, np.abs(one[..., 4] - other[..., 4]))
    return turned, np.linalg.norm(one[..., :3] - other[..., :3], axis=-1)


def worth_keeping(keys: np.ndarray, ages: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Whether the views from `pose` [b, 5] differ enough from those kept last: bool [b]. The first is always kept."""
    rows = np.arange(len(pose))
    last = np.where(ages < 0, np.inf, ages).argmin(axis=1)
    turned, travelled = _apart(keys[rows, last], pose)
    age = ages[rows, last]
    return (age < 0) | (turned > KEEP_DEGREES) | (travelled > KEEP_METRES) | (age >= KEEP_TICKS)


def slot_for(keys: np.ndarray, ages: np.ndarray, pose: np.ndarray) -> int:
    """The slot, of one dream's `keys` [k, 5] and `ages` [k], that a view from `pose` [5] takes.

    That of the same place seen earlier, else an empty one, else the oldest.
    """
    turned, travelled = _apart(keys, pose)
    twin = (ages >= 0) & (turned < TWIN_DEGREES) & (travelled < TWIN_METRES)
    if twin.any():
        return int(np.where(twin, ages, -1).argmax())
    return int(np.where(ages < 0, np.inf, ages).argmax())


def stale(keys: np.ndarray, pose: np.ndarray, rays: np.ndarray, size: tuple[int, int], field: float) -> np.ndarray:
    """Which views [k, 5] show anything that lies along `rays` [n, 3] from `pose` [5]: an edit there ends them."""
    points = seen_points(pose[None], rays)
    return np.any(shows(keys, points, size, field), axis=-1)
