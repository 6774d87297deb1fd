"""What a recording tells of its ticks, as columns of a training shard: eyes, events, episodes, late ticks."""

from __future__ import annotations

from typing import Any

import numpy as np

from reverie.model.actions import ACTION_DIM
from reverie.model.recall import camera_motion
from reverie.model.training.lessons import KEYS
from reverie.simulator.clip_lines import TICK_MS
from reverie.simulator.clips import Clip
from reverie.simulator.world import EVENTS

EYE_HEIGHT: dict[str, float] = {"luanti": 1.625, "reverie": 1.62}
"""Metres above the feet, by layout. Places in VPT's files are the server's, not those of the picture, and not used."""
LATE_MS = 25.0
"""A tick that lasted longer or shorter by more than this is no step to learn from, or to be judged by."""
EFFECT_OF_HANDS = 1.0
WALKING: tuple[str, ...] = ("forward", "back", "left", "right", "sneak", "sprint")
"""Keys that are seen by how far the eye moves along the ground."""
LEAP_METRES = 4.0
"""Who moves farther in a tick was carried there, and something else begins."""


def clip_events(events: list[dict[str, Any]]) -> np.ndarray:
    """What a clip tells of a tick, counted: uint8 [len(EVENTS)]. In Luanti the node's name tells a trunk."""
    names = [event.get("type") for event in events]
    names += ["dig_log" for e in events if e.get("type") == "dig" and str(e.get("node", "")).endswith("tree")]
    return np.array([names.count(name) for name in EVENTS], np.uint8)


def clip_eyes(clip: Clip) -> np.ndarray:
    """float32 [T, 5]: x, y, z of the eye, yaw and pitch; NaN where nobody knows."""
    eyes = np.full((len(clip), 5), np.nan, np.float32)
    if clip.poses is None:
        return eyes
    eyes[:, 3:] = clip.poses[:, 3:]
    if clip.layout in EYE_HEIGHT:
        eyes[:, :3] = clip.poses[:, :3]
        eyes[:, 1] += EYE_HEIGHT[clip.layout]
    return eyes


def clip_edited(clip: Clip) -> np.ndarray:
    """bool [T]: whether somebody changed a frame before the player saw it."""
    edited = [any(event.get("type") == "edit" for event in events) for events in clip.events[: len(clip)]]
    return np.array(edited + [False] * (len(clip) - len(edited)), bool)


def clip_travels(clip: Clip) -> np.ndarray:
    """float32 [T - 1, 3]: metres right, down and ahead of the level eye between frames; NaN where nobody knows, where a
    tick was late, and where something else begins (`clip_episodes`)."""
    _, _, travel = camera_motion(clip_eyes(clip), np.zeros((len(clip) - 1, ACTION_DIM), np.float32))
    travel[clip_late(clip)[:-1] | (np.diff(clip_episodes(clip)) > 0)] = np.nan
    return travel


def clip_episodes(clip: Clip) -> np.ndarray:
    """int32 [T]: a new number where frames are missing (a menu was open) or the player was carried off."""
    starts = np.zeros(len(clip), bool)
    if clip.ticks is not None:
        starts[1:] |= np.diff(clip.ticks) != 1
    if clip.poses is not None:
        starts[1:] |= np.linalg.norm(np.diff(clip.poses[:, :3], axis=0), axis=1) > LEAP_METRES
    return np.cumsum(starts).astype(np.int32)


def clip_effects(clip: Clip) -> np.ndarray | None:
    """float32 [T, len(KEYS)]: what each key of `KEYS`, if held, did at each tick, as far as places and events tell it.

    `row_effects` says how; None where places are unknown. The last tick is not known to do anything.
    """
    eyes = clip_eyes(clip)[:, :3]
    if not np.isfinite(eyes).all():
        return None
    events = clip.events or [[] for _ in range(len(clip))]
    return row_effects(eyes, np.array([any(one.get("type") == "place" for one in tick) for tick in events]))


def row_effects(eyes: np.ndarray, placed: np.ndarray) -> np.ndarray:
    """The same from places [T, 3] and whether a block was placed at each tick, bool [T].

    Walking keys did what the eye moved along the ground, jumping what it rose, in metres; the right button placed
    something or nothing, the left one swings the arm at least. Keys that work against each other cannot be told apart,
    as `reverie.simulator.lessons.effect_of` can in a world that may be played twice.
    """
    way = np.diff(eyes, axis=0, append=eyes[-1:])
    effects = np.full((len(eyes), len(KEYS)), EFFECT_OF_HANDS, np.float32)
    for key in WALKING:
        effects[:, KEYS.index(key)] = np.hypot(way[:, 0], way[:, 2])
    effects[:, KEYS.index("jump")] = np.maximum(way[:, 1], 0)
    effects[:, KEYS.index("use")] = EFFECT_OF_HANDS * placed
    effects[-1] = 0
    return effects


def clip_late(clip: Clip) -> np.ndarray:
    """bool [T]: whether the tick after each frame lasted too long or too short: engines move players by real time."""
    if clip.durations is None:
        return np.zeros(len(clip), bool)
    return np.abs(clip.durations - TICK_MS) > LATE_MS
