"""Recorded walks as training data, and the facts of bodies, hands and tokens that they show.

Letters: n rows, c tokens of the vocabulary, m entities of a row.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open

from reverie.model.dynamics.config import Facts
from reverie.model.dynamics.geometry import find_gaps, find_overlaps, find_rays
from reverie.model.dynamics.layout import ENTITY_LOW, ENTITY_SHAPE, EYE, VY, WINDOW_LOW
from reverie.model.errors import ReverieError

RECORDED_BODY = ("X", "Y", "Z", "VX", "VY", "VZ", "YAW", "PITCH", "EYE", "ON_GROUND", "IN_WATER", "BUMPED")
"""Columns of `body`, float64: feet in metres, metres a tick, degrees, metres above the feet, 0 or 1."""
LOCAL_ENTITIES = 4
"""Entities of a row whose surrounding cells are kept."""
SUFFIX = ".safetensors"
FEWEST = 0.002
"""Share of a token's contacts below which bodies inside of it, or rays past it, are taken for an error."""
FEWEST_SEEN = 5
OUTLIERS = 0.01
"""Share of distances that are taken for errors, such as of animals inside of what was just built."""


def walk_path(folder: str | os.PathLike[str], index: int) -> Path:
    """The file of shard `index`."""
    return Path(folder) / f"walks-{index:05d}{SUFFIX}"


def walk_files(folder: str | os.PathLike[str]) -> list[Path]:
    """All shards of a folder. Raises ReverieError if there are none."""
    files = sorted(Path(folder).glob(f"walks-*{SUFFIX}"))
    if not files:
        raise ReverieError(f"{folder}: holds no recorded walks")
    return files


@dataclass(frozen=True, eq=False)
class Walks:
    """Rows of recorded walks, one a tick, before the row's action."""

    names: tuple[str, ...]
    """c names of tokens."""
    event_names: tuple[str, ...]
    episode: np.ndarray
    """int32 [n], counted over all shards."""
    rare: np.ndarray
    """bool [n]: of an episode about rare events."""
    follows: np.ndarray
    """bool [n]: the next row is the state after this one's action."""
    action: np.ndarray
    """float32 [n, 25], see `reverie.model.actions`."""
    body: np.ndarray
    """float64 [n, 12], see RECORDED_BODY."""
    cells: np.ndarray
    """uint8 [n, *WINDOW_SHAPE]: tokens about the body, from WINDOW_LOW of its cell (floor of x, y + 0.1, z)."""
    target: np.ndarray
    """int32 [n, 3]: the cell under the crosshair, -1 where there is none."""
    normal: np.ndarray
    """int8 [n, 3]: the normal of the face under the crosshair."""
    distance: np.ndarray
    """float32 [n]: metres to it, infinity where there is none."""
    slot: np.ndarray
    """uint8 [n]"""
    cracked: np.ndarray
    """int32 [n, 3]: the cell that is being broken, -1 where there is none."""
    progress: np.ndarray
    """float32 [n]: how far, 0 to 1."""
    swing: np.ndarray
    """uint8 [n]: ticks into the arm's swing."""
    events: np.ndarray
    """uint8 [n, len(event_names)]: what the action before this row led to."""
    entities: np.ndarray
    """float64 [n, m, 6]: feet in metres, yaw in degrees, kind, phase of the walk in radians; NaN where none is."""
    entity_cells: np.ndarray
    """uint8 [n, LOCAL_ENTITIES, *ENTITY_SHAPE]: tokens about the first entities, from ENTITY_LOW of their cell."""

    def __len__(self) -> int:
        return len(self.episode)


def read_walks(files: list[Path]) -> Walks:
    """All rows of some shards. Raises ReverieError for a file that is damaged or of another vocabulary."""
    parts: list[dict[str, np.ndarray]] = []
    meta: dict[str, str] | None = None
    episodes = 0
    for path in files:
        try:
            with safe_open(path, "np") as file:
                mine = file.metadata()
                columns = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except Exception as error:
            raise ReverieError(f"{path}: is no readable shard of walks ({error})") from error
        if meta is not None and mine != meta:
            raise ReverieError(f"{path}: has other names than the shards before it")
        meta = mine
        columns["episode"] = columns["episode"] + episodes
        episodes = int(columns["episode"][-1]) + 1
        parts.append(columns)
    if meta is None:
        raise ReverieError("no walks to read")
    joined = {}
    for name in list(parts[0]):
        joined[name] = np.concatenate([part.pop(name) for part in parts])
    joined["follows"] = ~joined.pop("last")
    return Walks(tuple(json.loads(meta["names"])), tuple(json.loads(meta["events"])), **joined)


def find_facts(walks: Walks) -> Facts:
    """What recorded walks show of tokens and boxes.

    A token is solid if no body ever came into its cells (one that began in a cell proves nothing); a crosshair rests on
    a token if rays have ended at it and not gone through; the boxes' sizes are the smallest distances from cells that
    hold bodies out.
    """
    n = len(walks.names)
    centre = walks.body[:, :3]
    low = np.floor(centre + (0.0, 0.1, 0.0)).astype(np.int64) + np.array(WINDOW_LOW)
    before = np.full_like(centre, np.nan)
    before[1:][walks.follows[:-1]] = centre[:-1][walks.follows[:-1]]
    entered, beside = np.zeros(256, np.int64), np.zeros(256, np.int64)
    find_overlaps(walks.cells, low, centre, before, entered, beside)
    solid = entered[:n] <= FEWEST * (entered + beside)[:n]
    table = np.zeros(256, np.bool_)
    table[:n] = solid
    moving = (np.isfinite(before) & (before != centre)).any(1)
    half, height = _box(walks.cells[moving], low[moving], centre[moving], table)

    yaw, pitch = np.radians(walks.body[:, 6]), np.radians(walks.body[:, 7])
    look = np.stack([-np.sin(yaw) * np.cos(pitch), -np.sin(pitch), np.cos(yaw) * np.cos(pitch)], 1)
    eye = centre.copy()
    eye[:, 1] += walks.body[:, 8]
    found = np.isfinite(walks.distance)
    reach = float(walks.distance[found].max()) if found.any() else 0.0
    passed, ended = np.zeros(256, np.int64), np.zeros(256, np.int64)
    find_rays(walks.cells, low, eye, look, np.where(found, walks.distance, reach), found, passed, ended)
    targetable = (ended[:n] >= FEWEST_SEEN) & (passed[:n] < ended[:n])

    boxes = _entity_boxes(walks, table)
    standing = walks.body[:, RECORDED_BODY.index("ON_GROUND")] > 0
    eye_height, fall = (float(np.median(walks.body[standing, entry])) for entry in (EYE, VY))
    empty = int(entered[:n].argmax())
    return Facts(
        names=walks.names, events=walks.event_names, solid=tuple(map(bool, solid)),
        targetable=tuple(map(bool, targetable)), empty=empty, reach=reach, half=half, height=height, eye=eye_height,
        fall=fall, boxes=boxes,
    )  # fmt: skip


def _box(cells: np.ndarray, low: np.ndarray, place: np.ndarray, solid: np.ndarray) -> tuple[float, float]:
    """(half width, height) of boxes that move, from how near they come to solid cells beside and above them."""
    beside, above = np.empty(len(place)), np.empty(len(place))
    find_gaps(cells, low, place, solid, beside, above)
    nearest = []
    for gaps, most in ((beside, 1.0), (above, 4.0)):
        found = gaps[np.isfinite(gaps)]
        nearest.append(round(float(np.quantile(found, OUTLIERS)), 4) if len(found) else most)
    return nearest[0], nearest[1]


def _entity_boxes(walks: Walks, solid: np.ndarray) -> tuple[tuple[float, float], ...]:
    """(half width, height) of each kind of entity."""
    entities = walks.entities[:, :LOCAL_ENTITIES].reshape(-1, 6)
    cells = walks.entity_cells.reshape(-1, *ENTITY_SHAPE)
    moving = np.zeros(walks.entities.shape[:1] + (LOCAL_ENTITIES,), np.bool_)
    motion = walks.entities[1:, :LOCAL_ENTITIES, :3] - walks.entities[:-1, :LOCAL_ENTITIES, :3]
    moving[1:] = walks.follows[:-1, None] & (motion != 0).any(2)
    there = np.isfinite(entities[:, 0]) & moving.reshape(-1)
    boxes = []
    for kind in range(int(np.nanmax(entities[:, 4])) + 1 if there.any() else 0):
        mine = np.flatnonzero(there & (entities[:, 4] == kind))
        place = entities[mine, :3]
        low = np.floor(place + (0.0, 0.1, 0.0)).astype(np.int64) + np.array(ENTITY_LOW)
        boxes.append(_box(cells[mine], low, place, solid))
    return tuple(boxes)
