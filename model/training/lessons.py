"""Lessons: what is known of a shard's frames beyond its columns, and their file (written by `simulator/lessons.py`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reverie.model.errors import ModelError

LESSON = "lesson.npz"
KEYS: tuple[str, ...] = ("forward", "back", "left", "right", "jump", "sneak", "sprint", "attack", "use", "hotbar")
"""Keys that a frame pair can tell something about. The others of an action change nothing that is drawn."""
SCALARS: tuple[str, ...] = ("pitch", "sun", "east", "slot", "swing", "crack", "wet", "target", "under")
"""Degrees down; the sun's height and its east (-1 to 1); slot 0-8; tick of the arm's swing 0-5; how broken the block
under work is, 0-1; eyes under water; kinds of the block under the crosshair and under the feet."""
GRID = (6, 10)
LOOK_EVERY = 3
UNSEEN, UNKNOWN = 255, -1
"""Stand for kinds and faces that were not looked at, and for scalars that nobody knows."""


def load_lesson(folder: Path) -> dict[str, np.ndarray]:
    """The columns of a lesson. Raises ModelError."""
    try:
        with np.load(folder / LESSON, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}: holds no lesson ({error})") from error
