"""Training shards straight from the voxel world, or out of clips.

In the voxel world scripted players walk about, and now and then somebody edits the world before their eyes.
"""

from __future__ import annotations

import itertools
import multiprocessing
import time
import warnings
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from reverie.model.training.shards import DEPTH_CELL, META, ShardWriter
from reverie.simulator.action import Action
from reverie.simulator.errors import ClipError, SceneError
from reverie.simulator.players import make_player
from reverie.simulator.voxel import physics
from reverie.simulator.voxel.disturb import random_edit
from reverie.simulator.voxel.world import HELD_OUT_SEED, VoxelState, VoxelWorld

if TYPE_CHECKING:
    from reverie.simulator.clips import Clip


SHAPES_EVERY = 4
"""One shard in so many is of another shape than the usual one."""


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """What the recordings are of."""

    size: tuple[int, int] = (96, 160)
    shapes: tuple[tuple[int, int], ...] = ()
    """Sizes (h, w) of one shard in SHAPES_EVERY, one after the other."""
    rows: int = 2048
    """Ticks a shard."""
    episode: tuple[int, int] = (192, 448)
    """Shortest and longest episode in ticks."""
    players: tuple[tuple[str, float], ...] = (
        ("mixed", 0.28), ("explorer", 0.1), ("builder", 0.09), ("spinner", 0.06), ("acrobat", 0.14), ("fidget", 0.14),
        ("stubborn", 0.15), ("idle", 0.04),
    )  # fmt: skip
    """Who plays, and how often."""
    edit_every: float = 90.0
    """Ticks between edits, on average."""
    scenes: tuple[tuple[str | None, float], ...] = (
        ("plains", 0.17), ("forest", 0.18), ("desert", 0.14), ("snow", 0.14), ("village", 0.12),
        ("lake", 0.06), ("night", 0.04), ("cave", 0.03), (None, 0.12),
    )  # fmt: skip
    """Where episodes start, and how often; None is anywhere."""

    def size_of(self, index: int) -> tuple[int, int]:
        """(h, w) of the frames of shard number `index`."""
        number, rest = divmod(index, SHAPES_EVERY)
        return self.shapes[number % len(self.shapes)] if self.shapes and rest == SHAPES_EVERY - 1 else self.size


def _start(world: VoxelWorld, plan: ShardPlan, rng: np.random.Generator) -> VoxelState:
    """A random place in a random world that is not held out."""
    seed = int(rng.integers(HELD_OUT_SEED))
    scenes, shares = zip(*plan.scenes, strict=True)
    try:
        return world.start(scenes[rng.choice(len(scenes), p=shares)], seed)
    except SceneError:  # not every world has every scene
        return world.start(None, seed)


def _row(world: VoxelWorld, state: VoxelState) -> dict[str, np.ndarray]:
    half = DEPTH_CELL // 2
    pose = world.pose(state)
    return {
        "frames": world.frame(state),
        "eye": np.array((*physics.eye(state.body), pose[3], pose[4]), np.float32),
        "depth": world.depth(state)[half::DEPTH_CELL, half::DEPTH_CELL].astype(np.float16),
        "events": world.events(state).astype(np.uint8),
    }


class Played(NamedTuple):
    """One tick of a recording."""

    episode: int
    state: VoxelState
    action: Action
    after: VoxelState
    """The state that the action led to, before anybody edited it."""
    edited: bool
    """Whether somebody has edited the world just before `state`."""


def play_shard(world: VoxelWorld, index: int, seed: int, plan: ShardPlan) -> Iterator[Played]:
    """Plays shard number `index` of the recordings called `seed`, tick by tick, without end."""
    rng = np.random.default_rng([seed, index])
    names, shares = zip(*plan.players, strict=True)
    for episode in itertools.count():
        state = _start(world, plan, rng)
        player = make_player(str(rng.choice(names, p=shares)), int(rng.integers(2**31)))
        edited = False
        for _ in range(int(rng.integers(plan.episode[0], plan.episode[1] + 1))):
            action = player.act(world.senses(state))
            after = world.step(state, action)
            yield Played(episode, state, action, after, edited)
            state = after
            edited = bool(rng.random() < 1 / plan.edit_every)
            if edited:
                state, _event = random_edit(world, state, rng)


def write_shard(folder: Path, index: int, seed: int, plan: ShardPlan) -> int:
    """Plays shard number `index` of the recordings called `seed` into `folder`; returns its ticks."""
    size = plan.size_of(index)
    world, writer = VoxelWorld(size), ShardWriter(folder, plan.rows, size)
    for played in itertools.islice(play_shard(world, index, seed, plan), plan.rows):
        writer.append(
            **_row(world, played.state),
            actions=played.action.to_vector(),
            edited=np.array(played.edited),
            episode=np.array(played.episode, np.int32),
        )
    writer.close(f"voxel world, seed {seed}, shard {index}")
    return writer.filled


def write_shards(
    out: Path,
    count: int,
    seed: int = 0,
    plan: ShardPlan | None = None,
    workers: int = 1,
    seconds: float = float("inf"),
    progress: Callable[[int], None] | None = None,
) -> int:
    """Plays `count` shards into `out/00000`, `out/00001`, …, skipping those that are there.

    Starts no new one after `seconds`, unless there is none at all. Returns how many are there at the end; `progress`
    gets the ticks of each.
    """
    plan = plan or ShardPlan()
    began = time.perf_counter()
    todo = [index for index in range(count) if not (out / f"{index:05d}" / META).is_file()]
    done = count - len(todo)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        running: set[Future[int]] = set()
        while todo or running:
            while todo and len(running) < workers:
                if done + len(running) and time.perf_counter() - began >= seconds:
                    break
                index = todo.pop(0)
                running.add(pool.submit(write_shard, out / f"{index:05d}", index, seed, plan))
            if not running:
                break
            finished = next(as_completed(running))
            running.remove(finished)
            ticks = finished.result()
            done += 1
            if progress is not None:
                progress(ticks)
    return done


def clips_to_shards(
    folder: Path,
    out: Path,
    size: tuple[int, int],
    only: Collection[Path] | None = None,
    progress: Callable[[int], None] | None = None,
) -> int:
    """One shard in `out` for each clip in `folder` (of `only`, if given) that can be read; returns how many there are.

    Places and the camera's angles are taken from the clip, depth is unknown. Clips that are damaged are named in a
    warning and left out. `progress` gets the frames of each that is written.
    """
    from reverie.simulator.clip_check import examine
    from reverie.simulator.clips import Clip

    done = 0
    for path in sorted(folder.rglob("*.mp4")):
        if only is not None and path not in only:
            continue
        target = out / "_".join(path.relative_to(folder).with_suffix("").parts)
        if (target / META).is_file():
            done += 1
            continue
        try:
            found = examine(path)
            clip = Clip.load(path, size=size, degrees_per_pixel=found.degrees_per_pixel)
        except ClipError as error:
            warnings.warn(f"left out: {error}", stacklevel=2)
            continue
        _write_clip(clip, target, size, str(path.name))
        done += 1
        if progress is not None:
            progress(len(clip))
    return done


def _write_clip(clip: Clip, target: Path, size: tuple[int, int], origin: str) -> None:
    """Frames that follow a late tick count as edited: they are a past like any other, but nothing to be predicted."""
    from reverie.simulator.clip_rows import clip_edited, clip_episodes, clip_events, clip_eyes, clip_late

    writer = ShardWriter(target, len(clip), size)
    unknown_depth = np.full((size[0] // DEPTH_CELL, size[1] // DEPTH_CELL), np.nan, np.float16)
    eyes, episodes, late, edited = clip_eyes(clip), clip_episodes(clip), clip_late(clip), clip_edited(clip)
    events = clip.events or [[] for _ in range(len(clip))]
    for index, (frame, action) in enumerate(zip(clip.frames, clip.actions, strict=True)):
        fresh = index == 0 or episodes[index] != episodes[index - 1]
        writer.append(
            frames=frame,
            actions=action.to_vector(),
            eye=eyes[index],
            depth=unknown_depth,
            events=clip_events([] if fresh else events[index - 1]),
            edited=np.array(edited[index] or (not fresh and late[index - 1])),
            episode=episodes[index],
        )
    writer.close(origin)
