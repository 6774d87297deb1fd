"""How a dream looks: from its state to a picture, from the player's eyes or any other camera."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from reverie.model.caster.camera import Camera, pixel_scale
from reverie.model.caster.gbuffer import EntityKind, GBuffer, cast
from reverie.model.caster.scene import SceneCache, TokenTables
from reverie.model.cells import Vocabulary
from reverie.model.dream.paint import Paint, PaintIndex, card_cover, composite
from reverie.model.dream.state import DreamState
from reverie.model.frame.features import FrameInput, frame_input
from reverie.model.frame.runtime import FrameRunner

HOURS_TRIED = 24
MISTAKEN = 40.0
"""Brightness (of 255) beyond which a pixel that is drawn differently shows something else, and tells no hour."""


def player_camera(state: DreamState) -> Camera:
    """The player's own camera."""
    return Camera(state.actors.eye, state.actors.yaw, state.actors.pitch)


class Painter:
    """Draws states: caster, frame model, paint."""

    def __init__(self, vocabulary: Vocabulary, kinds: tuple[EntityKind, ...], frames: FrameRunner) -> None:
        self.vocabulary, self.kinds, self.frames = vocabulary, kinds, frames
        self._scenes = SceneCache(TokenTables.of(vocabulary))
        self._indexes: dict[int, tuple[weakref.ref[Paint], PaintIndex]] = {}

    def gbuffer(self, state: DreamState, camera: Camera, size: tuple[int, int]) -> GBuffer:
        """What a camera meets."""
        key = ("gbuffer", camera, size)
        if key not in state.cache:
            scene = self._scenes.scene(state.cells, camera.position[0], camera.position[2])
            state.cache[key] = cast(scene, camera, size, state.actors.entities, self.kinds)
        return state.cache[key]

    def inputs(self, state: DreamState, camera: Camera, size: tuple[int, int], hour: float | None = None) -> FrameInput:
        """The frame model's input from a camera."""
        return frame_input(
            self.gbuffer(state, camera, size), self.frames.config.layout, camera.position,
            state.hour if hour is None else hour, pixel_scale(size[0], camera.fov), state.actors.entities,
            state.actors.crack,
        )  # fmt: skip

    def picture(self, state: DreamState, camera: Camera, size: tuple[int, int]) -> np.ndarray:
        """uint8 [h, w, 3]: what a camera sees, read-only."""
        key = ("picture", camera, size)
        if key not in state.cache:
            inputs = self.inputs(state, camera, size)
            gbuffer = self.gbuffer(state, camera, size)
            freshness = state.paint.freshness(state.hour)
            covers = [card_cover(card, camera, gbuffer, freshness) for card in state.paint.cards]
            covers.append(self._index(state.paint).cover(gbuffer, inputs, freshness))
            frame = composite(self.frames.draw(inputs), covers)
            frame.flags.writeable = False
            state.cache[key] = frame
        return state.cache[key]

    def hour_of(self, state: DreamState, image: np.ndarray, camera: Camera) -> float:
        """The hour (0 to 1) at which the state, drawn without paint, looks most like a picture uint8 [h, w, 3]."""
        h, w, _ = image.shape
        h, w = h // 2, w // 2
        small = image[: 2 * h, : 2 * w].reshape(h, 2, w, 2, 3).mean((1, 3))
        errors = []
        for k in range(HOURS_TRIED):
            inputs = self.inputs(state, camera, (h, w), k / HOURS_TRIED)
            off = np.abs(self.frames.draw(inputs) * 255 - small)
            errors.append(float(np.minimum(off, MISTAKEN).mean()))
        return int(np.argmin(errors)) / HOURS_TRIED

    def _index(self, paint: Paint) -> PaintIndex:
        key = id(paint)
        kept = self._indexes.get(key)
        if kept is not None and kept[0]() is paint:
            return kept[1]
        index = PaintIndex(paint)
        self._indexes[key] = (weakref.ref(paint, lambda gone: self._forget(key, gone)), index)
        return index

    def _forget(self, key: int, gone: Any) -> None:
        kept = self._indexes.get(key)
        if kept is not None and kept[0] is gone:
            self._indexes.pop(key, None)
