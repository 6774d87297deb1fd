"""What only an exact world can tell about its recordings: the lessons that the judge's readers are trained on.

A recording of the voxel world (`simulator/shards.py`) follows from its seed, so that it can be played again without
drawing a picture. Played again it tells, for each frame, which of the held keys had an effect, and what is in view.

    effect  float16 [n, k]     of each key in `KEYS` held at this tick: how much it changed what the next frame is drawn
                               from. Metres of the eye's way for keys that move the body, 1 for hands that did something
    scalars float32 [n, s]     see `SCALARS`
    kinds   uint8   [n, 6, 10] the block that is first met through the middles of 6x10 squares, every
                               `LOOK_EVERY` ticks; `UNSEEN` between
    faces   uint8   [n, 6, 10] the side of it that is seen, 0 none, 1 to 6
"""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from reverie.model.errors import ModelError
from reverie.model.training.lessons import GRID, KEYS, LESSON, LOOK_EVERY, SCALARS, UNKNOWN, UNSEEN
from reverie.model.training.shards import META, Shard, read_meta
from reverie.simulator.action import Action
from reverie.simulator.clip_rows import row_effects
from reverie.simulator.shards import ShardPlan, play_shard
from reverie.simulator.voxel import physics
from reverie.simulator.voxel.blocks import BLOCK_ID, FIELD_OF_VIEW, VIEW_DISTANCE
from reverie.simulator.voxel.interact import block_at, eye_in_water
from reverie.simulator.voxel.render import cast
from reverie.simulator.voxel.world import VoxelState, VoxelWorld
from reverie.simulator.world import EVENTS

ORIGIN = re.compile(r"voxel world, seed (\d+), shard (\d+)")
HANDS = ("attack", "use", "hotbar")
"""Keys whose effect is seen on what is held and what it works on; the others move the body."""


def effect_of(world: VoxelWorld, state: VoxelState, action: Action, after: VoxelState) -> np.ndarray:
    """float32 [len(KEYS)]: how much each held key changed what `after`, the next frame, is drawn from.

    The world is stepped once more with each key released. Keys that are not held, or change nothing, have 0.
    """
    effect = np.zeros(len(KEYS), np.float32)
    for index, key in enumerate(KEYS):
        if not getattr(action, key):
            continue
        released: dict[str, Any] = {key: 0 if key == "hotbar" else False}
        other = world.step(state, replace(action, **released))
        if key in HANDS:
            changed = (other.happened != after.happened).any()  # a block was dug or placed, or was not
            effect[index] = float(changed or _seen_hands(other) != _seen_hands(after))
        else:
            effect[index] = math.dist(physics.eye(other.body), physics.eye(after.body))
    return effect


def _seen_hands(state: VoxelState) -> tuple[int, int, float]:
    return state.hands.slot, state.hands.swing, round(crack(state), 3)


def crack(state: VoxelState) -> float:
    """How broken the block under work is, 0 to 1."""
    return state.hands.progress if state.hands.target is not None else 0.0


def scalars_of(world: VoxelWorld, state: VoxelState) -> np.ndarray:
    """float32 [len(SCALARS)]: what a frame tells besides shapes."""
    body, senses = state.body, world.senses(state)
    under = block_at(state.blocks, math.floor(body[physics.X]), math.floor(body[physics.Y] - 0.01),
                     math.floor(body[physics.Z]))  # fmt: skip
    angle = 2 * math.pi * state.day_time
    values = {
        "pitch": body[physics.PITCH],
        "sun": -math.cos(angle),
        "east": math.sin(angle),
        "slot": state.hands.slot,
        "swing": state.hands.swing,
        "crack": crack(state),
        "wet": float(eye_in_water(state.blocks, body)),
        "target": 0 if senses.target_block is None else BLOCK_ID[senses.target_block],
        "under": under,
    }
    return np.array([values[name] for name in SCALARS], np.float32)


def view_of(state: VoxelState, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Kinds and faces, uint8 [6, 10] each, met by rays through the middles of a grid of squares; 0 is the sky."""
    rows, columns = GRID
    scale = 2 * math.tan(math.radians(FIELD_OF_VIEW) / 2) / size[0]
    across = ((np.arange(columns) + 0.5) * size[1] / columns - size[1] / 2) * scale
    up = (size[0] / 2 - (np.arange(rows) + 0.5) * size[0] / rows) * scale
    yaw, pitch = math.radians(state.body[physics.YAW]), math.radians(state.body[physics.PITCH])
    ahead = np.array([-math.sin(yaw) * math.cos(pitch), -math.sin(pitch), math.cos(yaw) * math.cos(pitch)])
    right = np.array([-math.cos(yaw), 0.0, -math.sin(yaw)])
    rays = ahead + right * across[None, :, None] + np.cross(right, ahead) * up[:, None, None]
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    kinds, faces = np.zeros(GRID, np.uint8), np.zeros(GRID, np.uint8)
    eye = physics.eye(state.body)
    for row in range(rows):
        for column in range(columns):
            found = cast(state.blocks, eye, tuple(rays[row, column].tolist()), VIEW_DISTANCE)
            if found is None:
                continue
            x, y, z, nx, ny, nz, _ = (int(value) for value in found)
            kinds[row, column] = block_at(state.blocks, x, y, z)
            faces[row, column] = 1 + (0 if nx else 1 if ny else 2) * 2 + (nx + ny + nz > 0)
    return kinds, faces


def write_clip_lesson(folder: Path, out: Path) -> int:
    """Writes what is known of a shard that was made of a recording, its keys' effects (`row_effects`), to `out`;
    returns its ticks. Of what is in view nothing is known. Raises ModelError where its places are not.
    """
    shard = Shard.open(folder)
    eyes = np.asarray(shard.columns["eye"][: shard.rows, :3])
    if not np.isfinite(eyes).all():
        raise ModelError(f"{folder}: does not tell where the player was; readers cannot learn from it")
    events = np.asarray(shard.columns["events"][: shard.rows, EVENTS.index("place")]) > 0
    placed = np.append(events[1:], False)  # a row tells what happened on the way to it
    columns: dict[str, np.ndarray] = {
        "effect": row_effects(eyes, placed).astype(np.float16),
        "scalars": np.zeros((shard.rows, len(SCALARS)), np.float32),
        "kinds": np.full((shard.rows, *GRID), UNSEEN, np.uint8),
        "faces": np.full((shard.rows, *GRID), UNSEEN, np.uint8),
    }
    columns["scalars"][:, SCALARS.index("swing")] = UNKNOWN
    _save(out, columns, folder)
    return shard.rows


def write_lesson(folder: Path, out: Path, plan: ShardPlan | None = None) -> int:
    """Plays the shard in `folder` again and writes its lesson to `out`; returns its ticks.

    Raises ModelError where it is no recording of the voxel world, or of another version of it.
    """
    shard, plan = Shard.open(folder), plan or ShardPlan()
    origin = str(json.loads((folder / META).read_text("utf-8")).get("origin"))
    found = ORIGIN.fullmatch(origin)
    if found is None:
        raise ModelError(f"{folder}: {origin!r} is no recording of the voxel world; readers learn from nothing else")
    seed, index = (int(number) for number in found.groups())
    world = VoxelWorld(shard.size)
    columns: dict[str, np.ndarray] = {
        "effect": np.zeros((shard.rows, len(KEYS)), np.float16),
        "scalars": np.zeros((shard.rows, len(SCALARS)), np.float32),
        "kinds": np.full((shard.rows, *GRID), UNSEEN, np.uint8),
        "faces": np.full((shard.rows, *GRID), UNSEEN, np.uint8),
    }
    for row, played in enumerate(islice(play_shard(world, index, seed, plan), shard.rows)):
        if not np.array_equal(played.action.to_vector(), shard.columns["actions"][row]):
            raise ModelError(f"{folder}: cannot be played again; it was recorded by another version")
        columns["effect"][row] = effect_of(world, played.state, played.action, played.after)
        columns["scalars"][row] = scalars_of(world, played.state)
        if row % LOOK_EVERY == 0:
            columns["kinds"][row], columns["faces"][row] = view_of(played.state, shard.size)
    _save(out, columns, folder)
    return shard.rows


def is_lesson_of(lesson: Path, shard: Path) -> bool:
    """Whether the lesson in a folder was made of the shard that is in `shard` now."""
    return (lesson / LESSON).is_file() and read_meta(lesson) is not None and read_meta(lesson) == read_meta(shard)


def _save(out: Path, columns: dict[str, np.ndarray], shard: Path) -> None:
    """Beside the lesson goes the meta of the shard that it is of (`is_lesson_of`), last."""
    out.mkdir(parents=True, exist_ok=True)
    (out / META).unlink(missing_ok=True)
    with (out / LESSON).open("wb") as file:
        np.savez(file, **columns)  # type: ignore[arg-type]
    shutil.copyfile(shard / META, out / META)
