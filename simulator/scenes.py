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

from reverie.simulator.clip_names import LINES_SUFFIX, OTHER_FILM_SUFFIXES, find_clip, is_film
from reverie.simulator.errors import ClipError, EditError, SceneError

if TYPE_CHECKING:
    from reverie.simulator.clips import Clip

PICTURE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
)
OTHER_PICTURE_SUFFIXES = frozenset(
    {".avif", ".heic", ".heif", ".jxl", ".jp2", ".svg", ".ico", ".psd", ".xcf", ".kra", ".tga", ".dds", ".exr", ".hdr",
     ".eps", ".ai", ".pdf", ".dng", ".cr2", ".nef", ".arw", ".raw", ".qoi", ".apng"}
)  # fmt: skip
"""Pictures that are not read."""
CLIP_TICKS = 1200
"""So much of a recording's end, or of what comes before a chosen tick, is read to start from: one minute."""
INSTEAD = ". To start from one of its frames, save that as a picture: ffmpeg -sseof -1 -i FILM -update 1 last.png"
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
    pose: tuple[float, float, float, float, float] | None = None
    """x, y, z of the feet in metres, yaw and pitch in degrees of who sees the image; None where nobody knows."""

    @property
    def value(self) -> Any:
        """What `World.start` takes."""
        for value in (self.name, self.image, self.clip):
            if value is not None:
                return value
        return None


def resolve_scene(
    scene: Any, size: tuple[int, int], names: Sequence[str] | None = None, tick: int | None = None
) -> Scene:
    """The scene that an argument means: None, a name, a picture (array, PIL image, path) or a clip (or its
    path).

    Pictures and clips are fitted to `size` (height, width). A text is a path if it ends like one, otherwise a
    name: one of `names`, or any if that is None. Of the recording at a path the last CLIP_TICKS are read, or those up
    to `tick`, counted from its beginning; a `tick` makes no sense for anything else. Raises SceneError.
    """
    from reverie.simulator import edits
    from reverie.simulator.clips import Clip

    if tick is not None and not _is_clip_path(scene):
        raise SceneError(f"scene: tick {tick} can only be chosen of a recording (NAME.mp4 with NAME.jsonl)")
    if isinstance(scene, Scene):
        return scene
    if scene is None:
        return Scene()
    if isinstance(scene, Clip):
        return Scene(clip=_fitted(scene, size))
    if isinstance(scene, (str, os.PathLike)):
        if "://" in os.fspath(scene):
            raise SceneError(f"scene {scene}: is an address; download what is there, and name the file")
        if _is_clip_path(scene):
            return Scene(clip=_read_clip(Path(scene), size, tick))
        if Path(scene).suffix.lower() not in PICTURE_SUFFIXES:
            return Scene(name=check_name(os.fspath(scene), names))
    try:
        return Scene(image=edits.fit_image(scene, size, crop=True))
    except EditError as error:
        raise SceneError(str(error).replace("edit: ", "scene: ", 1)) from error


def check_name(name: str, names: Sequence[str] | None) -> str:
    """`name`, if it is one of `names` (None: any that is not a file's). Raises SceneError.

    The error says of a file why it is no scene, and lists near matches of a name.
    """
    if names is not None and name in names:
        return name
    _refuse_files(Path(name), names is not None)
    if names is None:
        return name
    near = difflib.get_close_matches(name, names)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names) or 'none'}"
    raise SceneError(f"scene {name!r} is unknown; {hint}")


def _is_clip_path(scene: Any) -> bool:
    """Whether a scene is given as the path of a film, of whatever kind, or of a recording's lines."""
    return isinstance(scene, (str, os.PathLike)) and (is_film(scene) or Path(scene).suffix.lower() == LINES_SUFFIX)


def _read_clip(path: Path, size: tuple[int, int], tick: int | None) -> Clip:
    """The part of a recording that a session starts from. Raises SceneError."""
    from reverie.simulator.clips import Clip

    film, lines = find_clip(path)
    if path.suffix.lower() in OTHER_FILM_SUFFIXES:
        if not path.exists():
            raise SceneError(f"{path}: no such file")
        raise SceneError(
            f"{path}: is a film of a kind that is not read; convert it to mp4, and put the lines of its actions, "
            f"{path.with_suffix(LINES_SUFFIX).name}, beside it{INSTEAD}"
        )
    if film.exists() and not lines.exists():
        raise SceneError(
            f"{film}: is a film without a player's actions (there is no {lines.name} beside it), so no dream can go on "
            f"from it{INSTEAD}"
        )
    if not film.exists():
        if lines.exists():
            raise SceneError(f"{lines}: is lines without a film: there is no {film.name} beside it")
        raise SceneError(f"{film} and {lines.name}: no such files")
    try:
        if tick is None:
            return Clip.load_end(path, CLIP_TICKS, size=size)
        start = max(0, tick + 1 - CLIP_TICKS)
        clip = Clip.load(path, start, tick + 1 - start, size=size)
        if clip.ticks is None or clip.ticks[-1] != tick:
            raise ClipError(f"{film}: has no frame {tick}, or it shows a menu")
        return clip
    except ClipError as error:
        raise SceneError(str(error)) from error


def _refuse_files(path: Path, no_name: bool) -> None:
    """Raises SceneError for what is, or by its suffix should be, a file that no session can start from.

    Without a suffix it may be a name that a world knows, unless `no_name`.
    """
    if path.suffix.lower() in OTHER_PICTURE_SUFFIXES:
        raise SceneError(f"scene {path}: is a picture of a kind that is not supported; save it as PNG or JPEG")
    if not (no_name or path.suffix):
        return
    if path.is_dir():
        raise SceneError(f"scene {path}: is a folder; name a picture, or a recording (NAME.mp4), in it")
    if path.is_file():
        kinds = ", ".join(sorted(PICTURE_SUFFIXES))
        raise SceneError(
            f"scene {path}: is a file whose name does not say what it is; a picture ends in one of {kinds}, "
            "a recording in .mp4"
        )
    if path.exists():
        raise SceneError(f"scene {path}: is neither a picture nor a recording")
    if path.suffix or len(path.parts) > 1:
        raise SceneError(f"scene {path}: no such file")


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
    return _noted(note.read_text("utf-8"), image) if note.is_file() else Scene(image=image)


def _noted(text: str, image: np.ndarray) -> Scene:
    """An image with what its note says."""
    try:
        note = json.loads(text)
        pitch = min(max(float(note["pitch"]), -MAX_PITCH), MAX_PITCH)
        if "pose" not in note:
            return Scene(image=image, pitch=pitch)
        x, y, z, yaw, _ = (float(value) for value in note["pose"])
    except (ValueError, KeyError, TypeError) as error:
        raise SceneError(f"the note of a bundled scene is damaged ({error})") from error
    return Scene(image=image, pitch=pitch, pose=(x, y, z, yaw, pitch))


def _fitted(clip: Clip, size: tuple[int, int]) -> Clip:
    """A clip in another size."""
    from dataclasses import replace

    from reverie.simulator import edits

    if not len(clip):
        raise SceneError("scene: the clip is empty")
    if clip.frames.shape[1:3] == size:
        return clip
    return replace(clip, frames=np.stack([edits.fit_image(frame, size, crop=True) for frame in clip.frames]))
