"""Contact sheets: rows of frames with captions, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reverie.model.actions import ACTION_INDEX, CAMERA_SCALE
from reverie.simulator.errors import ClipError
from reverie.simulator.text import printable

CAPTION_HEIGHT, GAP = 13, 2
LABEL_WIDTH = 56
PAPER, INK = (24, 24, 28), (230, 230, 220)
KEYS = {
    "forward": "W", "left": "A", "back": "S", "right": "D", "jump": "jump", "sneak": "sneak", "sprint": "sprint",
    "attack": "dig", "use": "use",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """Frames [n, h, w, 3] beside each other; `captions` (n, or none) stand above them."""

    label: str
    frames: np.ndarray
    captions: Sequence[str] = ()


def action_caption(tick: int, actions: np.ndarray) -> str:
    """What was done in the actions [k, 25] before a tick: `t8 W jump >12 v3` (degrees to the right and down)."""
    held = [short for name, short in KEYS.items() if actions[:, ACTION_INDEX[name]].any()]
    down, right = actions[:, ACTION_INDEX["cameraX"] : ACTION_INDEX["cameraY"] + 1].sum(axis=0) * CAMERA_SCALE
    turns = [
        f"{sign}{abs(angle):.0f}"
        for angle, sign in ((right, ">" if right > 0 else "<"), (down, "v" if down > 0 else "^"))
        if abs(angle) >= 0.5
    ]
    return " ".join([f"t{tick}", *held, *turns])


def write_sheet(path: Path, strips: Sequence[Strip]) -> None:
    """Writes strips below each other as a PNG. Raises ClipError when the file cannot be written."""
    from PIL import Image, ImageDraw

    height, width = strips[0].frames.shape[1:3]
    columns = max(len(strip.frames) for strip in strips)
    tall = sum(height + GAP + (CAPTION_HEIGHT if strip.captions else 0) for strip in strips)
    sheet = Image.new("RGB", (LABEL_WIDTH + columns * (width + GAP), tall), PAPER)
    pen = ImageDraw.Draw(sheet)
    y = 0
    for strip in strips:
        for column, caption in enumerate(strip.captions):
            pen.text((LABEL_WIDTH + column * (width + GAP), y), caption, INK)
        y += CAPTION_HEIGHT if strip.captions else 0
        pen.text((2, y + 2), printable(strip.label).replace(" ", "\n"), INK)
        for column, frame in enumerate(strip.frames):
            sheet.paste(Image.fromarray(frame), (LABEL_WIDTH + column * (width + GAP), y))
        y += height + GAP
    try:
        sheet.save(path)
    except OSError as error:
        raise ClipError(f"{path}: cannot be written ({error.strerror or error})") from error
