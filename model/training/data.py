"""Batches of windows out of training shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from reverie.model.actions import ACTION_INDEX, CAMERA_SCALE
from reverie.model.config import ModelConfig
from reverie.model.errors import ModelError
from reverie.model.training.shards import META, Shard


class Batch(NamedTuple):
    """Windows of t ticks, each with its past. Letters as in `reverie.model.world_model`."""

    past: Tensor
    """uint8 [b, past + t, h, w, 3]: frame `past + i` is the target of tick i, those before it its past."""
    known: Tensor
    """int64 [b]: how many frames before the first target are real; older ones repeat the oldest real one."""
    action: Tensor
    """float32 [b, t, 25]."""
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

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(*(item.to(device, non_blocking=True) for item in self))


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


class ShardSet:
    """All finished shards in some folders; `rescan` finds those that a recorder has added since."""

    def __init__(self, folders: Sequence[Path], config: ModelConfig) -> None:
        self.folders, self.config = list(folders), config
        self.shards: dict[Path, Shard] = {}
        self.rescan()

    def rescan(self) -> int:
        """Opens new shards; returns how many rows there are."""
        for folder in self.folders:
            for meta in sorted(folder.glob(f"*/{META}")):
                if meta.parent not in self.shards:
                    shard = Shard.open(meta.parent)
                    if shard.size != self.config.size:
                        raise ModelError(f"{meta.parent}: frames of {shard.size}, the model wants {self.config.size}")
                    self.shards[meta.parent] = shard
        return sum(shard.rows for shard in self.shards.values())

    def window(self, rng: np.random.Generator, ticks: int, cold: float) -> dict[str, np.ndarray]:
        """One random window, as the rows of a `Batch`; a share `cold` of them starts from a single frame."""
        shards = list(self.shards.values())
        past = self.config.past
        weights = np.array([shard.rows for shard in shards], float)
        while True:
            shard = shards[rng.choice(len(shards), p=weights / weights.sum())]
            target = int(rng.integers(1, max(2, shard.rows - ticks + 1)))
            last = target + ticks - 1
            if last < shard.rows and shard.starts[last] == shard.starts[target - 1]:
                break
        oldest = max(int(shard.starts[target]), target - past)
        if rng.random() < cold:
            oldest = target - 1
        rows = np.maximum(np.arange(target - past, target + ticks), oldest)
        columns = shard.columns
        action = np.asarray(columns["actions"][target - 1 : last])
        turn, pitch, travel = camera_motion(np.asarray(columns["eye"][target - 1 : last + 1]), action)
        frames = np.asarray(columns["frames"][oldest : last + 1])
        return {
            "past": frames[rows - oldest],
            "known": np.int64(target - oldest),
            "action": action,
            "turn": turn,
            "pitch": pitch,
            "travel": travel,
            "depth": np.asarray(columns["depth"][target - 1 : last + 1], np.float32),
            "events": np.asarray(columns["events"][target : last + 1], np.float32),
            "edited": np.asarray(columns["edited"][target : last + 1]),
        }

    def batch(self, rng: np.random.Generator, size: int, ticks: int, cold: float) -> Batch:
        """`size` random windows of `ticks` targets each. Raises ModelError where there is nothing to read."""
        if not self.shards:
            raise ModelError(f"no training shards in {', '.join(map(str, self.folders))}")
        windows = [self.window(rng, ticks, cold) for _ in range(size)]
        return Batch(*(torch.from_numpy(np.stack([window[name] for window in windows])) for name in Batch._fields))

    def batches(self, rng: np.random.Generator, size: int, ticks: int, cold: float, ahead: int = 2) -> Iterator[Batch]:
        """Endless batches, made by a thread while the last one is used."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1, thread_name_prefix="shards") as pool:
            waiting = [pool.submit(self.batch, rng, size, ticks, cold) for _ in range(ahead)]
            while True:
                yield waiting.pop(0).result()
                waiting.append(pool.submit(self.batch, rng, size, ticks, cold))
