"""Training shards: folders of plain arrays that are memory-mapped, never copied into memory whole.

A shard holds episodes end to end, one row a tick. Row k is what the player saw (and where the eye was) before
`actions[k]`; rows 'events' and 'edited' say what happened on the way to frame k.

    frames  uint8   [n, h, w, 3]
    actions float32 [n, 25]
    eye     float32 [n, 5]         x y z in metres, yaw and pitch in degrees (axes as in Minecraft); NaN where unknown
    depth   float16 [n, h/4, w/4]  metres along the view, at the middles of 4x4 squares; NaN where unknown
    events  uint8   [n, e]
    edited  bool    [n]            the world was changed by hand just before this frame
    episode int32   [n]
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.model.actions import ACTION_DIM
from reverie.model.config import EVENT_COUNT
from reverie.model.errors import ModelError

META = "shard.json"
COLUMNS: dict[str, tuple[str, ...]] = {
    "frames": ("uint8", "h", "w", "3"),
    "actions": ("float32", str(ACTION_DIM)),
    "eye": ("float32", "5"),
    "depth": ("float16", "h/4", "w/4"),
    "events": ("uint8", str(EVENT_COUNT)),
    "edited": ("bool",),
    "episode": ("int32",),
}
DEPTH_CELL = 4


def _column_shape(name: str, size: tuple[int, int]) -> tuple[int, ...]:
    sizes = {"h": size[0], "w": size[1], "h/4": size[0] // DEPTH_CELL, "w/4": size[1] // DEPTH_CELL}
    return tuple(sizes[item] if item in sizes else int(item) for item in COLUMNS[name][1:])


def read_meta(folder: Path) -> dict[str, Any] | None:
    """What `shard.json` in a folder says: `rows`, `size`, `origin`, `source`; None without a readable one."""
    try:
        meta = json.loads((folder / META).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return meta if isinstance(meta, dict) else None


def discard(folder: Path) -> None:
    """Deletes a shard, or just the link to it: its own files, and its folder if nothing else is in there."""
    if folder.is_symlink():
        folder.unlink()
        return
    for name in (META, *(f"{column}.npy" for column in COLUMNS)):
        (folder / name).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def discard_others(out: Path, wanted: Callable[[Path, dict[str, Any] | None], bool]) -> None:
    """Deletes the shards in `out` that are not `wanted`, by their folder and what `read_meta` tells of it."""
    for meta in sorted(out.glob(f"*/{META}")):
        if not wanted(meta.parent, read_meta(meta.parent)):
            discard(meta.parent)


class ShardWriter:
    """Fills one shard of `rows` ticks; the shard counts only once `close` has written its `shard.json`.

    A shard that is there is replaced; what a link in its place points to stays as it is.
    """

    def __init__(self, folder: Path, rows: int, size: tuple[int, int]) -> None:
        if folder.is_symlink() or (folder / META).is_file():
            discard(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.rows, self.size, self.filled = folder, rows, size, 0
        self._columns = {
            name: np.lib.format.open_memmap(
                folder / f"{name}.npy", mode="w+", dtype=layout[0], shape=(rows, *_column_shape(name, size))
            )
            for name, layout in COLUMNS.items()
        }

    @property
    def full(self) -> bool:
        """Whether no row is left."""
        return self.filled >= self.rows

    def append(self, **row: np.ndarray) -> None:
        """Adds one tick; every column must be given."""
        for name, column in self._columns.items():
            column[self.filled] = row[name]
        self.filled += 1

    def close(self, origin: str, source: Mapping[str, Any] | None = None) -> None:
        """Finishes the shard; `origin` says what its rows are of, `source` (plain JSON) which files they were made of.

        Whoever makes a shard again where `source` is another one need not compare anything else.
        """
        for column in self._columns.values():
            column.flush()
        meta = {"rows": self.filled, "size": list(self.size), "origin": origin, "source": source}
        (self.folder / META).write_text(json.dumps(meta) + "\n", "utf-8")


@dataclass(frozen=True, slots=True)
class Shard:
    """A finished shard, memory-mapped."""

    rows: int
    size: tuple[int, int]
    columns: dict[str, np.ndarray]
    starts: np.ndarray
    """[n]: the row at which the episode of each row starts."""

    @classmethod
    def open(cls, folder: Path) -> Shard:
        """Raises ModelError for a folder that holds no whole shard."""
        try:
            meta = json.loads((folder / META).read_text("utf-8"))
            rows, size = int(meta["rows"]), (int(meta["size"][0]), int(meta["size"][1]))
            columns = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in COLUMNS}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{folder}: not a training shard ({error})") from error
        for name, column in columns.items():
            if column.shape[1:] != _column_shape(name, size) or len(column) < rows:
                raise ModelError(f"{folder}: {name}.npy has the wrong shape {column.shape}")
        episode = np.asarray(columns["episode"][:rows])
        first = np.flatnonzero(np.diff(episode, prepend=episode[:1] - 1))
        starts = np.repeat(first, np.diff(first, append=rows))
        return cls(rows, size, columns, starts)
