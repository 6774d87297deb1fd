"""Reads folders of labelled views; the files are mapped, not read whole, so that any number of worlds fits."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from reverie.model.errors import ReverieError

FIELD_OF_VIEW = 70.0
"""Vertical, in degrees, of recorded frames."""


@dataclass(frozen=True, slots=True)
class View:
    """One labelled view: see `reverie.simulator.voxel.views.record_views` for what its arrays hold."""

    frame: np.ndarray
    depth: np.ndarray
    tokens: np.ndarray
    camera: np.ndarray
    hour: float
    crack: np.ndarray
    entities: np.ndarray


class ViewFile:
    """The views of one world, read on demand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = safe_open(path, framework="np")
        self._frames = self._file.get_slice("frames")
        self.count, self.height, self.width, _ = self._frames.get_shape()
        self.names = tuple(self._file.metadata()["blocks"].split(","))
        self._cells: np.ndarray | None = None

    def cells(self) -> np.ndarray:
        """uint8 [sx, sy, sz]: the cells of the world, which repeat along x and z."""
        return self._file.get_tensor("cells")

    def cameras(self) -> np.ndarray:
        """float64 [n, 5]: x, y, z of the eye, yaw and pitch in degrees of all views."""
        return self._file.get_tensor("cameras")

    def view(self, index: int) -> View:
        """One of the views."""
        row = slice(index, index + 1)
        get = lambda key: self._file.get_slice(key)[row][0]  # noqa: E731
        return View(
            get("frames"),
            get("depth"),
            get("tokens"),
            get("cameras"),
            float(get("hours")),
            get("cracks"),
            get("entities"),
        )


def view_files(folder: str | os.PathLike[str]) -> list[ViewFile]:
    """All files of views in a folder, by name. Raises ReverieError where there are none."""
    paths = sorted(Path(folder).glob("views-*.safetensors"))
    if not paths:
        raise ReverieError(f"{folder}: holds no views; make some with 'reverie train data'")
    return [ViewFile(path) for path in paths]
