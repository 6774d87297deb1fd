"""Labelled views of voxel worlds, without the screen layer: what the frame model and the lifter learn from.

One safetensors file holds one world: its cells, and frames from many places in it with depth, tokens, camera, hour
and animals. Structures of random blocks, lamps among them, are put up near some of the places beforehand, and some
views show a cracked block, so that what players do is seen too.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from reverie.model.errors import ReverieError
from reverie.simulator.voxel.blocks import BLOCK_ID, BLOCKS, SIZE_X, SIZE_Y, SIZE_Z, SOLID
from reverie.simulator.voxel.creatures import CREATURE_COUNT, populate
from reverie.simulator.voxel.disturb import CHANGEABLE
from reverie.simulator.voxel.render import CREATURE_ID, render
from reverie.simulator.voxel.world import HELD_OUT_SEED, VoxelWorld, _changed, _view

BUILT_SHARE = 0.3
"""Share of the places that something is built in front of."""
LAMP_SHARE = 0.25
"""Share of what is built that holds a lamp."""
CRACKED_SHARE = 0.1
"""Share of the views in which the targeted block is cracked."""
CAVE_SHARE = 0.08
"""Share of the places on any floor of a column, not on the topmost."""
WATER_SHARE = 0.04
"""Share of the places inside water."""
DAY_SHARE = 0.8
"""Share of the views between early morning and late evening."""
PITCH = (8.0, 18.0)
"""Mean and spread of the pitch in degrees."""
VIEW_STREAM = 77
"""Sets the random numbers of views apart from others of the same seed."""


@dataclass(frozen=True, slots=True)
class _Place:
    x: float
    y: float
    z: float
    yaw: float
    pitch: float


def view_path(folder: str | os.PathLike[str], seed: int) -> Path:
    """The file of the world of this seed."""
    return Path(folder) / f"views-{seed}.safetensors"


def record_views(seed: int, count: int, size: tuple[int, int] = (96, 160)) -> dict[str, np.ndarray]:
    """`count` views of the world of `seed`.

    `cells` uint8 [256, 64, 256] (x, y, z; block ids are tokens), `frames` uint8 [n, h, w, 3], `depth` float32
    [n, h, w] (metres along the camera's axis, infinity for sky), `tokens` uint8 [n, h, w] (CREATURE_ID for animals),
    `cameras` float64 [n, 5] (x, y, z of the eye, yaw, pitch in degrees), `hours` float32 [n] (0.5 is noon), `cracks`
    float32 [n, 4] (x, y, z of the cracked cell, 0 to 1 how far), `entities` float32 [n, m, 6] (x, y, z of the feet,
    yaw in degrees, kind, phase of the walk in radians).
    """
    world = VoxelWorld(size, hud=False)
    rng = np.random.default_rng([VIEW_STREAM, seed])
    state = world.start(None, seed)
    places = [_place(state.blocks, rng) for _ in range(count)]
    changes = [change for place in places if rng.random() < BUILT_SHARE for change in _structure(place, rng)]
    if changes:
        blocks, heights = _changed(state.blocks, state.heights, changes)
        state = replace(state, blocks=blocks, heights=heights, cache={})
    frames = np.empty((count, *size, 3), np.uint8)
    depth = np.empty((count, *size), np.float32)
    tokens = np.empty((count, *size), np.uint8)
    cameras, cracks = np.empty((count, 5)), np.zeros((count, 4), np.float32)
    hours = np.empty(count, np.float32)
    entities = np.zeros((count, CREATURE_COUNT, 6), np.float32)
    for i, place in enumerate(places):
        hours[i] = rng.uniform(0.24, 0.76) if rng.random() < DAY_SHARE else rng.random()
        there = world.spawn(state, place.x, place.y, place.z, place.yaw, place.pitch)
        there = replace(there, day_time=float(hours[i]), creatures=state.creatures.copy(), cache={})
        populate(there.blocks, SOLID, there.heights, there.body, seed + i, there.creatures)
        view = _view(there)
        wandered = view.creatures.copy()
        wandered[:, 3] = rng.uniform(-180, 180, len(wandered))
        wandered[:, 5] = rng.uniform(0, 2 * math.pi, len(wandered))
        view = replace(view, creatures=wandered)
        target = view.target
        if target is not None and rng.random() < CRACKED_SHARE:
            view = replace(view, crack=float(rng.uniform(0.02, 1.0)))
            cracks[i] = (*target, view.crack)
        drawn = render(there.blocks, there.heights, view, size, hud=False)
        frames[i], depth[i], tokens[i] = drawn.frame, drawn.depth, drawn.ids
        cameras[i] = (*view.position, view.yaw, view.pitch)
        entities[i, : len(wandered)] = wandered
    return {
        "cells": np.ascontiguousarray(state.blocks), "frames": frames, "depth": depth, "tokens": tokens,
        "cameras": cameras, "hours": hours, "cracks": cracks, "entities": entities,
    }  # fmt: skip


def write_views(
    folder: str | os.PathLike[str],
    seeds: range,
    count: int,
    size: tuple[int, int] = (96, 160),
    *,
    processes: int = 1,
    held_out: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Writes a file of views for each world that has none yet; gives how many were written.

    Raises ReverieError for held-out seeds unless `held_out` says that they are for evaluation.
    """
    if seeds and not held_out and max(seeds) >= HELD_OUT_SEED:
        raise ReverieError(f"views: seeds from {HELD_OUT_SEED} up are kept for evaluation")
    Path(folder).mkdir(parents=True, exist_ok=True)
    missing = [seed for seed in seeds if not view_path(folder, seed).exists()]
    jobs = [(os.fspath(folder), seed, count, size) for seed in missing]
    if processes <= 1:
        for done, job in enumerate(jobs):
            _write(job)
            if progress is not None:
                progress(done + 1, len(jobs))
    else:
        with ProcessPoolExecutor(processes) as pool:
            for done, _ in enumerate(pool.map(_write, jobs)):
                if progress is not None:
                    progress(done + 1, len(jobs))
    return len(jobs)


def _write(job: tuple[str, int, int, tuple[int, int]]) -> None:
    folder, seed, count, size = job
    path = view_path(folder, seed)
    part = path.with_suffix(".part")
    save_file(record_views(seed, count, size), part, {"blocks": ",".join(block.name for block in BLOCKS)})
    part.replace(path)


def _place(blocks: np.ndarray, rng: np.random.Generator) -> _Place:
    """A free place to stand or swim."""
    water, air = BLOCK_ID["water"], BLOCK_ID["air"]
    while True:
        x, z = (int(value) for value in rng.integers(0, (SIZE_X, SIZE_Z)))
        solid = SOLID[blocks[x, :, z]]
        floors = np.flatnonzero(solid[:-3] & ~solid[1:-2] & ~solid[2:-1])
        if not len(floors):
            continue
        kind = rng.random()
        y = int(floors[-1] if kind > CAVE_SHARE else rng.choice(floors)) + 1
        lift = 0.0
        if blocks[x, y, z] == water:
            top = y + int((blocks[x, y:, z] == water).sum())
            if rng.random() < WATER_SHARE * 4:
                lift = float(rng.uniform(0, max(top - y - 1, 0)))
            else:
                continue
        elif blocks[x, y, z] != air:
            continue
        elif rng.random() < 0.15:  # in the middle of a jump or a fall
            lift = float(rng.uniform(0, 1.25))
            if SOLID[blocks[x, min(y + 3, SIZE_Y - 1), z]]:
                continue
        dx, dz = rng.uniform(0.02, 0.98, 2)
        pitch = float(np.clip(rng.normal(*PITCH), -80, 85))
        return _Place(x + float(dx), y + lift, z + float(dz), float(rng.uniform(-180, 180)), pitch)


def _structure(place: _Place, rng: np.random.Generator) -> list[tuple[tuple[int, int, int], int]]:
    """A few blocks a few metres ahead of a place: a post, a wall, a heap, single blocks."""
    ahead, side = rng.uniform(2, 7), rng.uniform(-2.5, 2.5)
    yaw = math.radians(place.yaw)
    x = math.floor(place.x - math.sin(yaw) * ahead + math.cos(yaw) * side)
    z = math.floor(place.z + math.cos(yaw) * ahead + math.sin(yaw) * side)
    y = math.floor(place.y)
    kinds = [int(kind) for kind in rng.choice(CHANGEABLE, 2)]
    if rng.random() < LAMP_SHARE:
        kinds[1] = BLOCK_ID["lamp"]
    shape = [
        (1, int(rng.integers(1, 5)), 1),
        (int(rng.integers(2, 5)), int(rng.integers(1, 4)), 1),
        (2, 2, 2),
        (3, 1, 3),
    ]
    sx, sy, sz = shape[int(rng.integers(len(shape)))]
    if rng.random() < 0.5:
        sx, sz = sz, sx
    cells = []
    for i in range(sx):
        for j in range(sy):
            for k in range(sz):
                cell = (x + i, y + j - int(rng.random() < 0.1), z + k)
                near = abs(cell[0] + 0.5 - place.x) < 0.9 and abs(cell[2] + 0.5 - place.z) < 0.9
                if 0 < cell[1] < SIZE_Y and not near and rng.random() < 0.9:
                    cells.append((cell, kinds[int(rng.random() < 0.25)]))
    return cells


__all__ = ["CREATURE_ID", "record_views", "view_path", "write_views"]
