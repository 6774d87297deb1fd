"""Where a session starts: a name, a picture, or a recording. Bundled scenes are pictures in
`simulator/scenes/`.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.simulator.errors import ClipError, EditError, SceneError

if TYPE_CHECKING:
    from reverie.simulator.clips import Clip

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
CLIP_SUFFIXES = frozenset({".mp4", ".jsonl"})
MAX_PITCH = 90.0
VOXEL, LUANTI = "voxel", "luanti"
"""Worlds that bundled scenes are pictures of; those of Luanti have its name before theirs."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A start. At most one of name, image and clip is set; none of them leaves the choice to the world."""

    name: str | None = None
    image: np.ndarray | None = None
    """uint8 [h, w, 3]."""
    clip: Clip | None = None
    pitch: float | None = None
    """Degrees that the camera looks down in the image; None where nobody knows."""

    @property
    def value(self) -> Any:
        """What `World.start` takes."""
        for value in (self.name, self.image, self.clip):
            if value is not None:
                return value
        return None


def resolve_scene(scene: Any, size: tuple[int, int], names: Sequence[str] | None = None) -> Scene:
    """The scene that an argument means: None, a name, a picture (array, PIL image, path) or a clip (or its
    path).

    Pictures and clips are fitted to `size` (height, width). A text is a path if it ends like one, otherwise a
    name: one of `names`, or any if that is None. Raises SceneError.
    """
    from reverie.simulator import edits
    from reverie.simulator.clips import Clip

    if isinstance(scene, Scene):
        return scene
    if scene is None:
        return Scene()
    if isinstance(scene, Clip):
        return Scene(clip=_fitted(scene, size))
    if isinstance(scene, (str, os.PathLike)):
        suffix = Path(scene).suffix.lower()
        if suffix in CLIP_SUFFIXES:
            try:
                return Scene(clip=Clip.load(scene, size=size))
            except ClipError as error:
                raise SceneError(str(error)) from error
        if suffix not in PICTURE_SUFFIXES:
            return Scene(name=check_name(os.fspath(scene), names))
    try:
        return Scene(image=edits.fit_image(scene, size, crop=True))
    except EditError as error:
        raise SceneError(str(error).replace("edit: ", "scene: ", 1)) from error


def check_name(name: str, names: Sequence[str] | None) -> str:
    """`name`, if it is one of `names` (None: any). Raises SceneError, which lists near matches."""
    if names is None or name in names:
        return name
    near = difflib.get_close_matches(name, names)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names) or 'none'}"
    raise SceneError(f"scene {name!r} is unknown; {hint}")


def scene_names() -> list[str]:
    """The bundled scenes that a dream can start from."""
    folder = resources.files("reverie.simulator") / "scenes"
    if not folder.is_dir():
        return []
    return sorted(entry.name[: -len(".png")] for entry in folder.iterdir() if entry.name.endswith(".png"))


def choose_scene(model: str, seed: int) -> str:
    """The bundled scene that a model's dream starts from if nobody names one: one of the world that the model is of.

    That is Luanti for models with luanti in their names, and the voxel world for all others. Raises SceneError.
    """
    own = LUANTI if LUANTI in Path(model).name else VOXEL
    names = [name for name in scene_names() if scene_origin(name) == own]
    if not names:
        raise SceneError("no start scenes are bundled; give a picture or a clip")
    return names[seed % len(names)]


def scene_origin(name: str) -> str:
    """The world that a bundled scene is a picture of: voxel or luanti."""
    return LUANTI if name.startswith(f"{LUANTI}-") else VOXEL


def load_scene(name: str, size: tuple[int, int]) -> Scene:
    """A bundled scene as a picture of `size`, with its pitch. Raises SceneError for an unknown name."""
    from reverie.simulator import edits

    folder = resources.files("reverie.simulator") / "scenes"
    check_name(name, scene_names())
    with resources.as_file(folder / f"{name}.png") as path:
        try:
            image = edits.fit_image(path, size, crop=True)
        except EditError as error:
            raise SceneError(str(error)) from error
    note = folder / f"{name}.json"
    return Scene(image=image, pitch=_pitch(note.read_text("utf-8")) if note.is_file() else None)


def _pitch(text: str) -> float:
    try:
        pitch = float(json.loads(text)["pitch"])
    except (ValueError, KeyError, TypeError) as error:
        raise SceneError(f"the note of a bundled scene is damaged ({error})") from error
    return min(max(pitch, -MAX_PITCH), MAX_PITCH)


def _fitted(clip: Clip, size: tuple[int, int]) -> Clip:
    """A clip in another size."""
    from dataclasses import replace

    from reverie.simulator import edits

    if not len(clip):
        raise SceneError("scene: the clip is empty")
    if clip.frames.shape[1:3] == size:
        return clip
    return replace(clip, frames=np.stack([edits.fit_image(frame, size, crop=True) for frame in clip.frames]))
