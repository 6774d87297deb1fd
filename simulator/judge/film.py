"""Short films for the pages: all frames of one as the tiles of a WebP picture, which any browser can play in step.

`films.json` lists what was filmed: {kind, name, label, ticks, frames, width, height, columns, captions, true, dream}.
`true` and `dream` are files beside it; frame 0 is the last true one before the dream begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.simulator.errors import ClipError

COLUMNS = 8
QUALITY = 86
EFFORT = 4
"""Of WebP, 0 to 6."""
FILMS, FOLDER = "films.json", "films"
SIDES = ("true", "dream")


@dataclass(frozen=True, slots=True)
class Film:
    """A true and a dreamed run of equal length, as they lie on disk."""

    kind: str
    """played, or probe."""
    name: str
    label: str
    ticks: tuple[int, ...]
    captions: tuple[str, ...]
    width: int
    height: int
    columns: int
    true: str
    dream: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def shoot(
    folder: Path,
    kind: str,
    name: str,
    label: str,
    first: np.ndarray,
    true: np.ndarray,
    dream: np.ndarray,
    captions: Sequence[str],
) -> Film:
    """Writes a pair of films: `first` uint8 [h, w, 3], then `true` and `dream` [n, h, w, 3]. Raises ClipError."""
    n, height, width, _ = true.shape
    names = [f"{FOLDER}/{kind}-{name}-{side}.webp" for side in SIDES]
    for file, frames in zip(names, (true, dream), strict=True):
        _write(folder / file, np.concatenate((first[None], frames)))
    return Film(kind, name, label, tuple(range(n + 1)), tuple(captions), width, height, COLUMNS, *names)


def _write(path: Path, frames: np.ndarray) -> None:
    from PIL import Image

    n, height, width, _ = frames.shape
    rows = -(-n // COLUMNS)
    tiles = np.zeros((rows * COLUMNS, height, width, 3), np.uint8)
    tiles[:n] = frames
    picture = tiles.reshape(rows, COLUMNS, height, width, 3).swapaxes(1, 2).reshape(rows * height, COLUMNS * width, 3)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path, quality=QUALITY, method=EFFORT)
    except OSError as error:
        raise ClipError(f"{path}: cannot be written ({error.strerror or error})") from error
