"""Recordings of scripted players in the voxel world, with edits under their eyes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from reverie.model.errors import ReverieError
from reverie.simulator.clips import ClipWriter, clip_paths
from reverie.simulator.errors import ClipError
from reverie.simulator.outputs import writable_folder
from reverie.simulator.world import EVENTS

TICKS_BETWEEN_EDITS = 120.0
"""Mean number of ticks from one edit to the next."""
EDIT_STREAM = 1
"""Sets the random numbers of the edits apart from others of the same seed."""

Progress = Callable[[int, int], None]


def record(
    out_dir: str | os.PathLike[str],
    episodes: int,
    ticks: int,
    seed: int,
    size: tuple[int, int] = (96, 160),
    player: str = "explorer",
    edits: bool = True,
    progress: Progress | None = None,
    hud: bool = True,
) -> dict[str, Any]:
    """Writes clips of `ticks` frames each, episode i in the world of seed + i; gives `clips` (paths) and `frames`.

    `player` is a name that `make_player` knows; without `hud` the screen layer is left out. `progress` is called with
    the frames written and those in all; without it a bar is drawn where standard error is a terminal. Raises
    ReverieError for seeds that are held out or numbers that make no sense, ClipError for files that are there already
    (before anything is written) and when the disk is full (finished clips stay, and so does what was written of the
    last).
    """
    from tqdm import tqdm

    from reverie.simulator.players import make_player
    from reverie.simulator.voxel.world import HELD_OUT_SEED, VoxelWorld

    if episodes < 1 or ticks < 1:
        raise ReverieError(f"record: needs at least one episode and one tick, not {episodes} and {ticks}")
    if seed < 0 or seed + episodes > HELD_OUT_SEED:
        raise ReverieError(
            f"record: seeds {seed} to {seed + episodes - 1} are not all from 0 to {HELD_OUT_SEED - 1}; "
            "those above are kept for evaluation"
        )
    writable_folder(out_dir)
    paths = [Path(out_dir) / f"voxel-s{seed + i}-{player}.mp4" for i in range(episodes)]
    there = [str(file) for path in paths for file in clip_paths(path) if file.exists()]
    if there:
        raise ClipError(f"{there[0]}: is there already, and is not overwritten")
    make_player(player, seed)  # an unknown one is refused before anything is written
    world, total = VoxelWorld(size=size, hud=hud), episodes * ticks
    with tqdm(total=total, unit="frame", disable=None if progress is None else True) as bar:

        def written(frames: int) -> None:
            bar.update(frames - bar.n)
            if progress is not None:
                progress(frames, total)

        for episode, path in enumerate(paths):
            record_episode(path, world, seed + episode, ticks, player, edits)
            written((episode + 1) * ticks)
    return {"clips": [str(path) for path in paths], "frames": total}


def record_episode(
    path: Path,
    world: Any,
    seed: int,
    ticks: int,
    player: str,
    edits: bool = True,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Writes one clip. Raises ClipError."""
    from reverie.simulator.players import make_player
    from reverie.simulator.voxel.disturb import random_edit

    rng = np.random.default_rng((seed, EDIT_STREAM))
    actor = make_player(player, seed)
    state = world.start(None, seed)
    with ClipWriter(path, world.size, overwrite=False) as writer:
        for tick in range(ticks):
            happened: list[dict[str, Any]] = []
            if edits and tick and rng.random() < 1 / TICKS_BETWEEN_EDITS:
                state, event = random_edit(world, state, rng)
                happened.append(event)
            action = actor.act(world.senses(state))
            after = world.step(state, action)
            happened += event_records(world.events(after))
            writer.write(world.frame(state), action, pose=world.pose(state), events=happened)
            state = after
            if progress is not None:
                progress(tick + 1)


def event_records(events: np.ndarray) -> list[dict[str, Any]]:
    """What `World.events` counted (float32 [len(EVENTS)]) as a clip's events."""
    return [{"type": name} for name, count in zip(EVENTS, events) if count >= 0.5]
