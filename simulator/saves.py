"""`.reverie` files: a zip of `meta.json` (which world, and the plain part of its state) and
`state.safetensors`.

Nothing in such a file is ever run, no path in it is ever followed, and everything is checked before it is
used.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.model.errors import ReverieError
from reverie.simulator.errors import SaveError
from reverie.simulator.world import World

FORMAT = "reverie-save"
VERSION = 1
META_NAME, ARRAYS_NAME = "meta.json", "state.safetensors"
MAX_BYTES = 256 << 20
"""Most that a save may unpack to."""
MAX_META_BYTES = 16 << 20
MAX_SIDE = 4096
"""Longest side of a frame, in pixels, that a save may ask for."""
MACHINE_KEYS = frozenset({"backend", "backend_name", "device"})
"""Parts of a world's description that say how it runs here, not what it is."""


@dataclass(frozen=True, slots=True)
class Save:
    """What a `.reverie` file holds."""

    world: dict[str, Any]
    """The world's description (`World.describe`)."""
    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]
    """Meta and arrays are the state as `World.pack` gave it."""


def write_save(path: str | os.PathLike[str], world: World[Any], state: Any) -> None:
    """Writes a state, whole or not at all: a file that is there already is replaced only at the end.

    Raises SaveError when the disk is full or the place cannot be written to.
    """
    import safetensors.numpy

    path = Path(path)
    meta, arrays = world.pack(state)
    head = {"format": FORMAT, "version": VERSION, "world": world.describe(), "state": meta}
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        text = json.dumps(head, allow_nan=False)
        packed = safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in arrays.items()})
        with partial.open("wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                archive.writestr(META_NAME, text)
                archive.writestr(ARRAYS_NAME, packed)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise SaveError(f"{path}: cannot be saved ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)


def read_save(path: str | os.PathLike[str]) -> Save:
    """Reads and checks a file. Raises SaveError for one that is damaged or no save."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SaveError(f"{path}: is too large to be a save")
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if sorted(member.filename for member in members) != sorted((META_NAME, ARRAYS_NAME)):
                raise SaveError(f"{path}: is not a save (it does not hold just {META_NAME} and {ARRAYS_NAME})")
            text = _unpack(path, archive, META_NAME, MAX_META_BYTES)
            packed = _unpack(path, archive, ARRAYS_NAME, MAX_BYTES)
    except FileNotFoundError as error:
        raise SaveError(f"{path}: no such file") from error
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        # RuntimeError: encrypted, or (NotImplementedError) an unknown compression
        raise SaveError(f"{path}: is damaged or not a save ({_one_line(error)})") from error
    head = _parse_head(path, text)
    return Save(head["world"], head["state"], _parse_arrays(path, packed))


def unpack_save(save: Save, world: World[Any], path: str | os.PathLike[str]) -> Any:
    """The state of a save in `world`. Raises SaveError if it is of another world, or its contents make no
    sense.
    """
    check_same_world(world.describe(), save.world, path)
    try:
        return world.unpack(save.meta, save.arrays)
    except SaveError as error:
        raise SaveError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError) as error:
        raise SaveError(f"{path}: holds a state that makes no sense ({_one_line(error)})") from error


def check_same_world(ours: Mapping[str, Any], theirs: Mapping[str, Any], what: str | os.PathLike[str]) -> None:
    """Raises SaveError, about `what`, unless two descriptions are of the same world (on whatever machine).

    Where both worlds have fingerprints of their weights, it does not matter what the model is called.
    """
    ignored = MACHINE_KEYS | ({"model"} if ours.get("fingerprint") and theirs.get("fingerprint") else set())
    for key in sorted((ours.keys() | theirs.keys()) - ignored):
        if _plain(ours.get(key)) != _plain(theirs.get(key)):
            raise SaveError(f"{what}: is of another world (its {key} is {theirs.get(key)!r}, not {ours.get(key)!r})")


def open_world(description: Mapping[str, Any]) -> World[Any]:
    """The world that a description is of: a VoxelWorld, or a DreamWorld of a bundled model.

    A description comes out of a file that anybody may have made, so names of models are looked up among the
    bundled ones and never taken for paths. Raises SaveError.
    """
    kind = description.get("world")
    if kind == "voxel":
        from reverie.simulator.voxel.laws import USUAL, Laws
        from reverie.simulator.voxel.world import VoxelWorld

        try:
            laws = Laws.from_dict(description["laws"]) if "laws" in description else USUAL
            return VoxelWorld(_size(description.get("size")), description.get("hud", True) is not False, laws)
        except (ValueError, TypeError, KeyError) as error:
            raise SaveError(f"save: {_one_line(error)}") from error
    if kind == "dream":
        return _open_dream(description)
    raise SaveError(f"save: is of an unknown kind of world, {kind!r}")


def _open_dream(description: Mapping[str, Any]) -> World[Any]:
    from reverie.model.weights import bundled_models
    from reverie.simulator.dream import DreamWorld

    name = description.get("model")
    bundled = bundled_models()
    if not isinstance(name, str) or name not in bundled:
        raise SaveError(
            f"save: was made with the model {name!r}, which is not bundled ({', '.join(bundled) or 'none is'}); "
            "load it and pass it as world="
        )
    sides = description.get("size")
    if (
        not isinstance(sides, list)
        or len(sides) != 2
        or not all(type(side) is int and 0 < side <= MAX_SIDE for side in sides)
    ):
        raise SaveError("save: the dream's frame size is missing or out of range")
    try:
        return DreamWorld.load(name, size=(sides[0], sides[1]))
    except SaveError:
        raise
    except ReverieError as error:
        raise SaveError(f"save: its model cannot be loaded ({error})") from error


def _unpack(path: Path, archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """A member's bytes, never more than `limit` whatever its header claims."""
    with archive.open(name) as member:
        data = member.read(limit + 1)
    if len(data) > limit:
        raise SaveError(f"{path}: {name} unpacks to over {limit >> 20} MiB")
    return data


def _parse_head(path: Path, text: bytes) -> dict[str, Any]:
    try:
        head = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SaveError(f"{path}: {META_NAME} is damaged ({_one_line(error)})") from error
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise SaveError(f"{path}: is not a save of Reverie")
    if head.get("version") != VERSION:
        raise SaveError(f"{path}: is a save of version {head.get('version')!r}, but this reads version {VERSION}")
    if not isinstance(head.get("world"), dict) or not isinstance(head.get("state"), dict):
        raise SaveError(f"{path}: {META_NAME} lacks the world or its state")
    return head


def _parse_arrays(path: Path, packed: bytes) -> dict[str, np.ndarray]:
    import safetensors
    import safetensors.numpy

    try:
        return safetensors.numpy.load(packed)
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise SaveError(f"{path}: {ARRAYS_NAME} is damaged ({_one_line(error)})") from error


def _size(value: Any) -> tuple[int, int]:
    whole = isinstance(value, (list, tuple)) and len(value) == 2 and all(type(side) is int for side in value)
    if not whole or not all(0 < side <= MAX_SIDE for side in value):
        raise SaveError(f"save: {value!r} is not the size of a frame")
    return value[0], value[1]


def _plain(value: Any) -> Any:
    """A value as it is after a round trip through JSON."""
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
