"""Batches of windows out of training shards."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from reverie.model import geometry, recall
from reverie.model.actions import ACTION_DIM
from reverie.model.config import ModelConfig
from reverie.model.errors import ModelError
from reverie.model.training.shards import META, Shard

WITHOUT_KEYS = 0.15
"""Share of windows that do without earlier views, as a dream does that has turned away from all that it has seen."""
RESCAN_SECONDS = 10.0
"""How often batches look for new shards."""
WITHOUT_PACE, PACE_DOUBT = 0.1, 0.015
"""Share of windows that do without the pace, and the standard deviation of a dream's own, in metres a tick."""
DOUBT_METRES, DOUBT_TICKS = 0.15, 200
"""Standard deviation of a dream's place after so many ticks, as far as earlier views in training go."""


class Batch(NamedTuple):
    """Windows of t ticks, each with its past. Letters as in `reverie.model.world_model`."""

    past: Tensor
    """uint8 [b, past + t, h, w, 3]: frame `past + i` is the target of tick i, those before it its past."""
    known: Tensor
    """int64 [b]: how many frames before the first target are real; older ones repeat the oldest real one."""
    action: Tensor
    """float32 [b, t, 25]."""
    last_action: Tensor
    """float32 [b, t, 25]: those of the ticks before; all zero where a dream would not know, at a start."""
    turn: Tensor
    """float32 [b, t, 2]."""
    pitch: Tensor
    """float32 [b, t]."""
    travel: Tensor
    """float32 [b, t, 3]; NaN where unknown."""
    depth: Tensor
    """float32 [b, 1 + t, h/4, w/4]: of the frame before the first target, then of the targets; NaN where unknown."""
    events: Tensor
    """float32 [b, t, e]."""
    edited: Tensor
    """bool [b, t]: the target shows an edit that nothing announced."""
    key: Tensor
    """uint8 [b, t, h, w, 3]: the earlier view that a dream would be given."""
    way: Tensor
    """float32 [b, t, 6]: the way from there to the frame before, all zero for none (`reverie.model.recall.way`)."""
    rest: Tensor
    """uint8 [b, h, w, 3]: the newest frame before the first target in which the hands were at rest."""
    rest_tick: Tensor
    """int64 [b, t]: that of the targets which is the newest frame at rest before each; -1 where it is `rest`."""
    at_rest: Tensor
    """bool [b, t]: the frame before is that frame: the hands are at rest."""
    pace: Tensor
    """float32 [b, t, 4]: how the eye moved in the tick before, all zero for unknown (`reverie.model.recall.pace`)."""

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(*(item.to(device, non_blocking=True) for item in self))


def ticks_of(window: Batch, first: int, ticks: int) -> Batch:
    """The windows as if their targets were `ticks` ones from `first` on; all before is their past."""
    past = window.past.shape[1] - window.action.shape[1]
    parts = {
        name: item[:, first : first + ticks]
        for name, item in window._asdict().items()
        if name not in ("past", "known", "rest")
    }
    parts["past"], parts["known"] = window.past[:, first : first + past + ticks], window.known + first
    parts["depth"] = window.depth[:, first : first + ticks + 1]
    parts["rest"] = resting(window.rest, window.past[:, past:], window.rest_tick[:, first : first + 1])[:, 0]
    parts["rest_tick"] = (window.rest_tick[:, first : first + ticks] - first).clamp(min=-1)
    return Batch(**parts)


def resting(rest: Tensor, targets: Tensor, rest_tick: Tensor) -> Tensor:
    """The newest frames [b, n, ...] at rest, of frames `targets` [b, t, ...] or, where `rest_tick` [b, n] is below
    zero, of `rest` [b, ...]."""
    rows = torch.arange(len(rest), device=rest.device)[:, None]
    return torch.cat((rest[:, None], targets), dim=1)[rows, rest_tick + 1]


def on_screen(newest: Tensor, key: Tensor, way: Tensor, at_rest: Tensor) -> Tensor:
    """What is to come back on the screen [b, t, c, h, w]: `Context.rest` of the `newest` frames at rest and earlier
    views `key` [b, t, c, h, w] with their `way` [b, t, 6], as in `reverie.simulator.dream.DreamWorld`."""
    return torch.where((at_rest & (way[..., 0] > 0))[:, :, None, None, None], key, newest)


class KeyViews:
    """Which earlier views a player of a shard would have kept at each of its rows, and which row shows hands at rest.

    `resting` [n] are the newest such rows, as far back as each row's own.
    """

    def __init__(self, shard: Shard, slots: int) -> None:
        self.poses = recall.level_poses(np.asarray(shard.columns["eye"][: shard.rows], np.float64))
        edited = np.asarray(shard.columns["edited"][: shard.rows])
        self.resting = np.arange(shard.rows)
        self.placed = np.full(shard.rows, recall.NEVER)
        actions = np.asarray(shard.columns["actions"][: shard.rows])
        changes: list[int] = []
        rest = np.full(1, recall.REST_TICKS)
        self.banks: list[np.ndarray] = []
        bank, keys = np.full(slots, -1), np.zeros((slots, recall.POSE_DIM))
        for row, pose in enumerate(self.poses):
            fresh = row == shard.starts[row]
            rest = np.full(1, recall.REST_TICKS) if fresh else recall.rested(rest, actions[row - 1 : row])
            if not fresh:
                self.placed[row] = recall.placed(self.placed[row - 1 : row], actions[row - 1 : row])[0]
            if rest[0] < recall.REST_TICKS:
                self.resting[row] = self.resting[row - 1]
            if fresh or edited[row]:  # nobody knows what of the old views still holds
                bank = np.full(slots, -1)
            ages = np.where(bank >= 0, row - bank, -1)
            if np.isfinite(pose).all() and recall.worth_keeping(keys[None], ages[None], pose[None])[0]:
                slot = recall.slot_for(keys, ages, pose)
                bank, keys = bank.copy(), keys.copy()
                bank[slot], keys[slot] = row, pose
            elif not (fresh or edited[row]):
                continue
            changes.append(row)
            self.banks.append(bank)
        self.changes = np.array(changes)

    def at(self, rows: np.ndarray) -> np.ndarray:
        """The views [n, slots] kept when the frames of `rows` [n] had been seen: rows of the shard, -1 for none."""
        if not self.banks:
            return np.full((len(rows), 1), -1)
        return np.stack([self.banks[index] for index in np.searchsorted(self.changes, rows, side="right") - 1])


class ShardSet:
    """All finished shards in some folders; `rescan` finds those that a recorder has added since.

    Shards may be of any size that the model is trained on; a batch is of one size.
    """

    def __init__(self, folders: Sequence[Path], config: ModelConfig) -> None:
        self.folders, self.config = list(folders), config
        self.shards: dict[Path, Shard] = {}
        self._views: dict[int, KeyViews] = {}
        self.rescan()

    def rescan(self) -> int:
        """Opens new shards; returns how many rows there are."""
        for folder in self.folders:
            for meta in sorted(folder.glob(f"*/{META}")):
                if meta.parent not in self.shards:
                    shard = Shard.open(meta.parent)
                    if shard.size not in self.config.sizes:
                        raise ModelError(f"{meta.parent}: frames of {shard.size}, the model wants {self.config.sizes}")
                    self.shards[meta.parent] = shard
        return sum(shard.rows for shard in self.shards.values())

    def rows(self) -> dict[tuple[int, int], int]:
        """How many rows there are of frames of each size (height, width)."""
        found: dict[tuple[int, int], int] = {}
        for shard in self.shards.values():
            found[shard.size] = found.get(shard.size, 0) + shard.rows
        return found

    def window(
        self,
        rng: np.random.Generator,
        ticks: int,
        cold: float,
        own_views: bool = True,
        size: tuple[int, int] | None = None,
    ) -> dict[str, np.ndarray]:
        """One random window of frames of `size` (the usual one), as the rows of a `Batch`.

        A share `cold` of them starts from a single frame. Without `own_views` no earlier view is from the window
        itself, whose frames a dream has not seen.
        """
        size = size or self.config.size
        shards = [shard for shard in self.shards.values() if shard.size == size]
        past = self.config.past
        weights = np.array([shard.rows for shard in shards], float)
        while True:
            shard = shards[rng.choice(len(shards), p=weights / weights.sum())]
            target = int(rng.integers(1, max(2, shard.rows - ticks + 1)))
            last = target + ticks - 1
            if last < shard.rows and shard.starts[last] == shard.starts[target - 1]:
                break
        oldest = max(int(shard.starts[target]), target - past)
        starts_cold = bool(rng.random() < cold)
        if starts_cold:
            oldest = target - 1
        rows = np.maximum(np.arange(target - past, target + ticks), oldest)
        columns = shard.columns
        action = np.asarray(columns["actions"][target - 1 : last])
        last_action = np.concatenate((np.zeros_like(action[:1]), action[:-1]))
        if oldest < target - 1:
            last_action[0] = columns["actions"][target - 2]
        turn, pitch, travel = recall.camera_motion(np.asarray(columns["eye"][target - 1 : last + 1]), action)
        frames = np.asarray(columns["frames"][oldest : last + 1])
        before = np.arange(target - 1, last)
        rest = np.maximum(self._views_of(shard).resting[before], target - 1 if starts_cold else 0)
        if rng.random() < WITHOUT_KEYS:
            key = np.zeros((ticks, *shard.size, 3), np.uint8)
            way = np.zeros((ticks, recall.WAY_DIM), np.float32)
        elif starts_cold:  # a dream keeps the picture that it starts from
            key, way = self._keys(shard, before, np.full((ticks, 1), target - 1), turn, rng)
        else:
            seen = before if own_views else before[:1].repeat(ticks)
            key, way = self._keys(shard, before, self._views_of(shard).at(seen), turn, rng)
        return {
            "past": frames[rows - oldest],
            "known": np.int64(target - oldest),
            "action": action,
            "last_action": last_action,
            "turn": turn,
            "pitch": pitch,
            "travel": travel,
            "depth": np.asarray(columns["depth"][target - 1 : last + 1], np.float32),
            "events": np.asarray(columns["events"][target : last + 1], np.float32),
            "edited": np.asarray(columns["edited"][target : last + 1]),
            "key": key,
            "way": way,
            "rest": np.asarray(columns["frames"][rest[0]]),
            "rest_tick": np.maximum(rest - target, -1),
            "at_rest": rest == before,
            "pace": self._paces(shard, target, ticks, starts_cold, rng),
        }

    @staticmethod
    def _paces(shard: Shard, target: int, ticks: int, starts_cold: bool, rng: np.random.Generator) -> np.ndarray:
        """How the eye moved in the tick before each frame from row `target` on was asked for [t, 4], not quite exactly.

        Unknown where a dream would not know it: at a cold start, and after a late tick, which counts as an edit.
        """
        pace = np.zeros((ticks, recall.PACE_DIM), np.float32)
        first = 1 if starts_cold or target - 1 == shard.starts[target] else 0
        rows = np.arange(target + first - 2, target + ticks - 1)
        if rng.random() < WITHOUT_PACE or len(rows) < 2:
            return pace
        eye = np.asarray(shard.columns["eye"][rows], np.float32)
        turn, _, travel = recall.camera_motion(eye, np.zeros((len(rows) - 1, ACTION_DIM), np.float32))
        travel += rng.normal(0, PACE_DOUBT, travel.shape).astype(np.float32)
        travel[np.asarray(shard.columns["edited"][rows[1:]])] = np.nan
        pace[first:] = recall.pace(turn, travel)
        return pace

    def _views_of(self, shard: Shard) -> KeyViews:
        if id(shard) not in self._views:
            self._views[id(shard)] = KeyViews(shard, self.config.keys)
        return self._views[id(shard)]

    def _keys(
        self, shard: Shard, before: np.ndarray, bank: np.ndarray, turn: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """The earlier views [t, h, w, 3] for the frames after rows `before` [t], and the ways [t, 6] from there.

        They are chosen from those kept, rows `bank` [t, slots] of the shard, -1 for none. The ways are blurred as a
        dream's own would be, which adds up its travels.
        """
        views = self._views_of(shard)
        poses = views.poses[before]
        ages = np.where(bank >= 0, before[:, None] - bank, -1)
        keys = views.poses[bank.clip(0)]
        travelled = np.linalg.norm(poses[:, :3] - views.poses[(before - 1).clip(0), :3], axis=1)
        ages = recall.trusted(ages, views.placed[before], recall.stands(turn, travelled))
        slots = recall.choose(keys, ages, poses, turn, shard.size, self.config.field_of_view)
        chosen = bank[np.arange(len(before)), slots]
        way = recall.way(views.poses[chosen.clip(0)], poses)
        doubt = DOUBT_METRES * np.minimum(1, ages[np.arange(len(before)), slots] / DOUBT_TICKS)
        way[:, 3:] += rng.standard_normal(3).astype(np.float32) * doubt[:, None]
        known = (slots >= 0) & np.isfinite(way).all(axis=1)
        way = np.where(known[:, None], way, 0).astype(np.float32)
        return np.stack([np.asarray(shard.columns["frames"][row]) for row in chosen.clip(0)]), way

    def batch(
        self,
        rng: np.random.Generator,
        count: int,
        ticks: int,
        cold: float,
        own_views: bool = True,
        size: tuple[int, int] | None = None,
    ) -> Batch:
        """`count` random windows of `ticks` targets each, of frames of `size` (the usual one).

        Raises ModelError where there is nothing to read.
        """
        if (size or self.config.size) not in self.rows():
            raise ModelError(f"no training shards in {', '.join(map(str, self.folders))}")
        windows = [self.window(rng, ticks, cold, own_views, size) for _ in range(count)]
        return Batch(*(torch.from_numpy(np.stack([window[name] for window in windows])) for name in Batch._fields))

    def batches(
        self,
        rng: np.random.Generator,
        count: int,
        ticks: int,
        cold: float,
        own_views: bool = True,
        ahead: int = 2,
        loaders: int = 0,
    ) -> Iterator[Batch]:
        """Endless batches, made while the last one is used by a thread, or by so many processes (`loaders`).

        Each is of one of the sizes that there are, by how many rows are of it. Shards that a recorder adds join in.
        """
        asked = count, ticks, cold, own_views
        if loaders:
            stream = _Stream(self, int(rng.integers(2**31)), asked)
            yield from DataLoader(stream, batch_size=None, num_workers=loaders, prefetch_factor=ahead)
        made = self._endless(rng, asked)
        with ThreadPoolExecutor(1, thread_name_prefix="shards") as pool:
            waiting = [pool.submit(next, made) for _ in range(ahead)]
            while True:
                yield waiting.pop(0).result()
                waiting.append(pool.submit(next, made))

    def _endless(self, rng: np.random.Generator, asked: tuple[int, int, float, bool]) -> Iterator[Batch]:
        looked = time.monotonic()
        while True:
            if time.monotonic() - looked > RESCAN_SECONDS:
                self.rescan()
                looked = time.monotonic()
            sizes, rows = zip(*self.rows().items()) if self.shards else ((self.config.size,), (1,))
            yield self.batch(rng, *asked, size=sizes[rng.choice(len(sizes), p=np.divide(rows, sum(rows)))])


class _Stream(IterableDataset[Batch]):
    """Batches of a set of shards, with a random stream of its own in each process of a `DataLoader`."""

    def __init__(self, shards: ShardSet, seed: int, asked: tuple[int, int, float, bool]) -> None:
        self.shards, self.seed, self.asked = shards, seed, asked

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        return self.shards._endless(np.random.default_rng([self.seed, worker.id if worker else 0]), self.asked)


OVERLAY_PAIRS, OVERLAY_DEGREES, OVERLAY_RATIO, OVERLAY_GAP = 300, 3.0, 0.3, 3


def find_overlay(shards: ShardSet, seed: int = 0, size: tuple[int, int] | None = None) -> Tensor:
    """What is painted on the screen of frames of `size` (the usual one): float32 [h, w], 1 for pixels that stay where
    they are when the camera turns.

    Over pairs of frames with a turn between them, those which the frame before explains far better as it stands than
    turned with the camera, and those which they cut off from the middle of the picture, such as the plain inside of a
    hand. Zero where too few pairs turn.
    """
    config, size = shards.config, size or shards.config.size
    rng = np.random.default_rng(seed)
    still, turned = torch.zeros(size), torch.zeros(size)
    used = 0
    for _ in range(8 * OVERLAY_PAIRS):
        window = shards.window(rng, 1, cold=1.0, size=size)
        if np.abs(window["turn"]).max() < OVERLAY_DEGREES or window["edited"].any():
            continue
        before, after = torch.from_numpy(window["past"][-2:]).movedim(-1, 1).float()[:, None]
        pitch, turn = torch.from_numpy(window["pitch"]), torch.from_numpy(window["turn"])
        grid = geometry.rotation_grid(pitch, turn, size, config.field_of_view)
        seen = geometry.inside(grid)[0, 0]
        still += (before - after).abs().mean((0, 1)) * seen
        turned += (geometry.warp(before, grid) - after).abs().mean((0, 1)) * seen
        used += 1
        if used == OVERLAY_PAIRS:
            return _cut_off(still < OVERLAY_RATIO * turned).float()
    return torch.zeros(size)


def _cut_off(wall: Tensor) -> Tensor:
    """bool [h, w]: the pixels of `wall`, and those that nothing OVERLAY_GAP + 1 wide reaches from the middle third."""
    height, width = wall.shape
    closed = _grown(wall, OVERLAY_GAP)
    reached = torch.zeros_like(wall)
    reached[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = True
    reached &= ~closed
    while True:
        wider = _grown(reached, 1) & ~closed
        if torch.equal(wider, reached):
            return wall | ~_grown(reached, OVERLAY_GAP)
        reached = wider


def _grown(mask: Tensor, pixels: int) -> Tensor:
    """A mask [h, w] with all that is at most so many pixels away from it."""
    return functional.max_pool2d(mask[None].float(), 2 * pixels + 1, 1, pixels)[0] > 0
