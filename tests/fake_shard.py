"""A training shard whose frames tell their rows, and of whose world nothing is known."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from reverie.model.training.shards import ShardWriter


def write_rows(folder: Path, size: tuple[int, int], actions: Iterable[np.ndarray], episode: int) -> None:
    """One row for each of `actions` [25], each frame as bright as its row's number; `episode` rows make an episode."""
    given = list(actions)
    writer = ShardWriter(folder, len(given), size)
    for row, action in enumerate(given):
        writer.append(
            frames=np.full((*size, 3), row, np.uint8),
            actions=action,
            eye=np.zeros(5, np.float32),
            depth=np.full((size[0] // 4, size[1] // 4), np.nan, np.float16),
            events=np.zeros(5, np.uint8),
            edited=np.bool_(False),
            episode=np.int32(row // episode),
        )
    writer.close("rows")
