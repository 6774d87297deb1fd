"""Painting on a paused frame: strokes, undo, and the mask of what was touched. No window in here, only arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reverie.simulator import edits

Colour = tuple[int, int, int]

PALETTE: tuple[tuple[str, Colour], ...] = (
    ("grass", (98, 152, 62)),
    ("earth", (121, 85, 58)),
    ("stone", (125, 125, 125)),
    ("sand", (219, 207, 163)),
    ("water", (52, 98, 196)),
    ("wood", (168, 134, 84)),
    ("red", (176, 44, 40)),
    ("white", (240, 246, 248)),
    ("night", (22, 24, 32)),
)
"""The nine colours of keys 1-9: those of common materials, which a model or the voxel world can make sense of."""
SMALLEST_BRUSH, LARGEST_BRUSH = 1, 32
"""Radius in frame pixels."""
MAX_UNDO = 64


@dataclass(frozen=True, slots=True)
class Layer:
    """A painted picture (uint8 [h, w, 3]), and where the player painted it (bool [h, w])."""

    image: np.ndarray
    mask: np.ndarray


class Canvas:
    """A frame (uint8 [h, w, 3]) being painted on. The frame itself is never written to."""

    def __init__(self, frame: np.ndarray) -> None:
        self._frame = frame
        self._layer = Layer(frame.copy(), np.zeros(frame.shape[:2], bool))
        self._undo: list[Layer] = []

    @property
    def image(self) -> np.ndarray:
        """The painted picture, uint8 [h, w, 3]."""
        return self._layer.image

    @property
    def mask(self) -> np.ndarray:
        """Where it is painted, bool [h, w]."""
        return self._layer.mask

    @property
    def touched(self) -> bool:
        """Whether anything is painted."""
        return bool(self._layer.mask.any())

    def begin(self) -> None:
        """Starts a stroke: what `undo` goes back to."""
        self._undo.append(self._layer)
        del self._undo[:-MAX_UNDO]

    def paint(self, start: tuple[float, float], end: tuple[float, float], radius: float, colour: Colour | None) -> None:
        """Draws from `start` to `end` ((x, y) in frame pixels) with a round brush; colour None wipes paint off."""
        stroke = edits.Stroke((start, end), radius, colour or PALETTE[0][1])
        image, where = edits.paint(self._layer.image, (stroke,))
        if colour is None:
            image[where] = self._frame[where]
        mask = self._layer.mask | where if colour is not None else self._layer.mask & ~where
        self._layer = Layer(image, mask)

    def paste(self, picture: np.ndarray) -> None:
        """Covers everything with a uint8 [h, w, 3] picture of the frame's size."""
        self.begin()
        self._layer = Layer(picture.copy(), np.ones(self._frame.shape[:2], bool))

    def pick(self, point: tuple[float, float]) -> Colour | None:
        """The colour under a point, None outside the frame."""
        x, y = int(point[0] // 1), int(point[1] // 1)
        height, width = self._frame.shape[:2]
        if not (0 <= x < width and 0 <= y < height):
            return None
        red, green, blue = (int(value) for value in self._layer.image[y, x])
        return red, green, blue

    def undo(self) -> bool:
        """Takes the last stroke back; False when there is none."""
        if not self._undo:
            return False
        self._layer = self._undo.pop()
        return True

    def clear(self) -> None:
        """Takes all paint off (which `undo` can bring back)."""
        if self.touched:
            self.begin()
            self._layer = Layer(self._frame.copy(), np.zeros(self._frame.shape[:2], bool))
