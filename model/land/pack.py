"""Packed worlds: a folder of whole worlds of cells, one compressed file a world, written once and read many times."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.model.cells import Vocabulary
from reverie.model.errors import ModelError

INDEX = "pack.json"
VERSION = 1


def _file(folder: Path, seed: int) -> Path:
    return folder / f"{seed:08d}.npz"


def write_pack(
    folder: Path,
    vocabulary: Vocabulary,
    shape: tuple[int, int, int],
    seeds: Iterable[int],
    generate: Callable[[int], np.ndarray],
) -> None:
    """Writes the worlds of `seeds`, cells uint8 [shape] that wrap along x and z. Worlds that are there stay.

    Each file appears whole or not at all, so a run that was killed goes on where it stopped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = {"version": VERSION, "shape": list(shape), "vocabulary": vocabulary.to_dict()}
    (folder / INDEX).write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    for seed in seeds:
        path = _file(folder, seed)
        if path.is_file():
            continue
        cells = generate(seed)
        if cells.shape != tuple(shape) or cells.dtype != np.uint8:
            raise ValueError(f"world {seed} has cells {cells.dtype} {list(cells.shape)}, not uint8 {list(shape)}")
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez_compressed(file, cells=cells)
        part.replace(path)


@dataclass(frozen=True, slots=True)
class Pack:
    """A folder of packed worlds, in the order of their seeds."""

    folder: Path
    seeds: tuple[int, ...]
    vocabulary: Vocabulary
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        return len(self.seeds)

    def world(self, index: int) -> np.ndarray:
        """uint8 [sx, sy, sz]: all cells of a world, which repeats along x and z. Raises ModelError."""
        path = _file(self.folder, self.seeds[index])
        try:
            with np.load(path, allow_pickle=False) as file:
                cells = file["cells"]
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise ModelError(f"{path}: cannot be read ({error})") from error
        if cells.shape != self.shape or cells.dtype != np.uint8:
            raise ModelError(f"{path}: holds cells of another shape than {INDEX} says")
        return cells


def open_pack(folder: Path, limit: int | None = None) -> Pack:
    """The pack in a folder, its first `limit` worlds. Raises ModelError."""
    try:
        record: dict[str, Any] = json.loads((folder / INDEX).read_text("utf-8"))
        if record["version"] != VERSION:
            raise ModelError(f"{folder}: version {record['version']} of packed worlds; this program reads {VERSION}")
        sx, sy, sz = (int(edge) for edge in record["shape"])
        vocabulary = Vocabulary.from_dict(record["vocabulary"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder / INDEX}: cannot be read ({error})") from error
    seeds = tuple(sorted(int(path.stem) for path in folder.glob("*.npz")))[:limit]
    if not seeds:
        raise ModelError(f"{folder}: holds no worlds")
    return Pack(folder, seeds, vocabulary, (sx, sy, sz))


def torus_crop(world: np.ndarray, x: int, z: int, shape: tuple[int, int], axes: tuple[int, int] = (0, 2)) -> np.ndarray:
    """A copy of the columns from (x, z) on; `axes` are those of x and z, along which the world wraps."""
    along_x = world.take(np.arange(x, x + shape[0]), axis=axes[0], mode="wrap")
    return along_x.take(np.arange(z, z + shape[1]), axis=axes[1], mode="wrap")
