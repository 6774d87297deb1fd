"""Training shards straight from the voxel world, or out of clips.

In the voxel world scripted players walk about, and now and then somebody edits the world before their eyes.
"""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import os
import time
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reverie.model.training.shards import DEPTH_CELL, META, ShardWriter, discard_others, read_meta
from reverie.simulator.action import Action
from reverie.simulator.clip_names import find_clip, recordings
from reverie.simulator.errors import ClipError, SceneError
from reverie.simulator.players import make_player
from reverie.simulator.voxel import physics
from reverie.simulator.voxel.disturb import random_edit
from reverie.simulator.voxel.world import HELD_OUT_SEED, VoxelState, VoxelWorld

if TYPE_CHECKING:
    from reverie.simulator.clips import Clip


SHAPES_EVERY = 4
"""One shard in so many is of another shape than the usual one."""
CLIP_SHARDS = 2
"""Version of what `clips_to_shards` makes of a recording: shards of another are made anew."""
HASHED_BYTES = 1 << 16
"""So much of a file's beginning and of its end is hashed to know it again."""
LONGEST_NAME = 120
"""Bytes of the name of a shard's folder, without the hash that longer ones get."""


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
    writer.close(_voxel_origin(seed, index))
    return writer.filled


def _voxel_origin(seed: int, index: int) -> str:
    return f"voxel world, seed {seed}, shard {index}"


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

    Those of other recordings (another seed, size or length), and shards made of clips, are not: they are deleted, or
    made anew. Starts no new one after `seconds`, unless there is none at all. Returns how many are there at the end;
    `progress` gets the ticks of each.
    """
    plan = plan or ShardPlan()
    began = time.perf_counter()
    discard_others(out, lambda folder, meta: not folder.is_symlink() and not _of_clip(meta))
    there = {meta.parent.name for meta in out.glob(f"*/{META}")}
    names = [f"{index:05d}" for index in range(count)]
    todo = [
        index for index, name in enumerate(names) if name not in there or not _is_played(out / name, index, seed, plan)
    ]
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


def _is_played(folder: Path, index: int, seed: int, plan: ShardPlan) -> bool:
    """Whether the shard in a folder is number `index` of the recordings called `seed`."""
    meta = read_meta(folder)
    wanted = (_voxel_origin(seed, index), plan.rows, list(plan.size_of(index)))
    return meta is not None and (meta.get("origin"), meta.get("rows"), meta.get("size")) == wanted


def _of_clip(meta: dict[str, Any] | None) -> bool:
    """Whether a shard was made of a recording in files; before `source` was kept, the file's name was its origin."""
    return meta is None or meta.get("source") is not None or str(meta.get("origin")).endswith(".mp4")


def clips_to_shards(
    folder: Path,
    out: Path,
    size: tuple[int, int],
    only: Collection[Path] | None = None,
    progress: Callable[[int], None] | None = None,
) -> int:
    """One shard in `out` for each clip in `folder` (of `only`, if given) that can be read; returns how many there are.

    A shard that is there is kept if it was made of the same files (`clip_source`), and made anew otherwise; those of
    other clips are deleted, so that `out` holds these and no others. Places and the camera's angles are taken
    from the clip, depth is unknown. Clips that are damaged are named in a warning and left out. `progress` gets the
    frames of each that is written. Raises ClipError where `out` cannot be written, or
    holds shards of something else.
    """
    from reverie.simulator.clip_check import examine, reason_of
    from reverie.simulator.clips import Clip

    films = recordings(folder)
    names = shard_names(films, folder)
    wanted = {names[film]: film for film in films if only is None or film in only}
    sources: dict[str, dict[str, Any]] = {}
    for name, film in wanted.items():
        try:
            sources[name] = clip_source(film, folder, size)
        except OSError as error:
            warnings.warn(f"left out: {film}: cannot be read ({error.strerror})", stacklevel=2)
    for meta in sorted(out.glob(f"*/{META}")):
        if not _of_clip(read_meta(meta.parent)):
            raise ClipError(f"{meta.parent}: is a shard of something else than recordings; choose another folder")
    try:
        discard_others(out, lambda shard, meta: _is_made_of(meta, sources.get(shard.name)))
        done = 0
        for name, source in sources.items():
            if read_meta(out / name) is not None:
                done += 1
                continue
            film = wanted[name]
            try:
                found = examine(film)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # `examine` has looked at the lengths
                    clip = Clip.load(film, size=size, degrees_per_pixel=found.degrees_per_pixel)
                if clip.ticks is not None and len(clip) != found.frames - found.menus:
                    raise ClipError(f"{film}: only {len(clip)} of {found.frames - found.menus} frames can be decoded")
            except Exception as error:  # whatever is wrong with one recording, the others are learned from
                warnings.warn(f"left out: {reason_of(error)}", stacklevel=2)
                continue
            _write_clip(clip, out / name, size, film.name, source)
            done += 1
            if progress is not None:
                progress(len(clip))
    except OSError as error:
        raise ClipError(f"{out}: cannot be written ({error.strerror})") from error
    return done


def clip_source(film: Path, folder: Path, size: tuple[int, int]) -> dict[str, Any]:
    """What tells the shard of a recording from all others, as plain JSON. Raises OSError.

    The names of its files in `folder`, their sizes, times and hashes (of HASHED_BYTES at either end), the `size` of
    frames, and the version of what makes shards of them.
    """
    files = []
    for path in find_clip(film):
        facts = path.stat()
        with path.open("rb") as file:
            digest = hashlib.sha256(file.read(HASHED_BYTES))
            file.seek(max(0, facts.st_size - HASHED_BYTES))
            digest.update(file.read(HASHED_BYTES))
        name = os.fsencode(path.relative_to(folder)).decode("utf-8", "backslashreplace")
        files.append([name, facts.st_size, facts.st_mtime_ns, digest.hexdigest()])
    return {"files": files, "size": list(size), "version": CLIP_SHARDS}


def _is_made_of(meta: dict[str, Any] | None, source: dict[str, Any] | None) -> bool:
    return meta is not None and source is not None and meta.get("source") == source


def shard_names(films: Collection[Path], folder: Path) -> dict[Path, str]:
    """The name of each recording's shard: its path in `folder` with _ between the parts.

    Where several have one name so (`a_b` and `a/b`, or `A` and `a`), and where it is too long, a hash of the path is
    added.
    """
    plain = {film: "_".join(film.relative_to(folder).with_suffix("").parts) for film in films}
    count = Counter(name.casefold() for name in plain.values())
    names = {}
    for film, name in plain.items():
        raw = os.fsencode(name)
        if count[name.casefold()] > 1 or len(raw) > LONGEST_NAME:
            mark = hashlib.sha256(os.fsencode(film.relative_to(folder))).hexdigest()[:12]
            name = f"{os.fsdecode(raw[:LONGEST_NAME])}-{mark}"
        names[film] = name
    return names


def _write_clip(clip: Clip, target: Path, size: tuple[int, int], origin: str, source: dict[str, Any]) -> None:
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
    writer.close(origin, source)
