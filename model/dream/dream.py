"""The one step of a dream, and what else can be done with its state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from reverie.model.caster.camera import Camera
from reverie.model.cells import Cell, CellMap
from reverie.model.dream.land import Landscape, WorldModel, uncover
from reverie.model.dream.look import Painter, player_camera
from reverie.model.dream.paint import Paint, card_of_view, paint_from_picture
from reverie.model.dream.start import start_from_pictures
from reverie.model.dream.state import DreamState
from reverie.model.lift.lift import LiftNetwork

DAY_TICKS = 24_000
"""A day of 20 minutes."""
EMPTY = 0


@dataclass(frozen=True, slots=True)
class Moved:
    """What dynamics say of a tick: the actors after it, cells that change, events."""

    actors: Any
    writes: Mapping[Cell, int]
    events: tuple[str, ...]


class Dynamics(Protocol):
    """Body, hands and entities; see `model.dynamics`."""

    def spawn(self, place: tuple[float, float, float], yaw: float, pitch: float) -> Any:
        """Actors with the feet at a place."""

    def step(self, actors: Any, cells: CellMap, action: Any, seed: int, tick: int) -> Moved:
        """A tick of them."""


class Dream:
    """All networks of a model together. Holds no state of any dream, only caches."""

    def __init__(
        self, painter: Painter, dynamics: Dynamics, lifter: LiftNetwork, world_model: WorldModel | None = None
    ) -> None:
        self.painter, self.dynamics, self.lifter = painter, dynamics, lifter
        self.world_model = world_model
        self._landscape = None if world_model is None else Landscape(world_model)

    def step(self, state: DreamState, action: Any) -> DreamState:
        """The state one tick later."""
        moved = self.dynamics.step(state.actors, state.cells, action, state.seed, state.tick)
        cells, paint = state.cells, state.paint
        if moved.writes:
            cells, paint = cells.set(moved.writes), paint.without_cells(set(moved.writes))
        state = replace(
            state, tick=state.tick + 1, actors=moved.actors, cells=cells, paint=paint, events=moved.events,
            hour=(state.hour + 1 / DAY_TICKS) % 1.0, cache={},
        )  # fmt: skip
        if self.world_model is not None:
            opened = [cell for cell, token in moved.writes.items() if token == EMPTY]
            if opened:
                state = uncover(self.world_model, state, opened)
        return state if self._landscape is None else self._landscape.advance(state)

    def frame(self, state: DreamState, size: tuple[int, int]) -> np.ndarray:
        """What the player sees: uint8 [h, w, 3], read-only."""
        return self.painter.picture(state, player_camera(state), size)

    def start(
        self, images: list[np.ndarray], cameras: list[Camera], feet: tuple[float, float, float], seed: int
    ) -> DreamState:
        """A dream that goes on from pictures uint8 [h, w, 3] with known cameras; the last one is the first frame."""
        actors = self.dynamics.spawn(feet, cameras[-1].yaw, cameras[-1].pitch)
        state = DreamState(seed, 0, CellMap(), Paint(), actors, 0.5)
        state = start_from_pictures(self.painter, self.lifter, images, cameras, state)
        return self._surrounded(state)

    def start_from_cells(self, cells: CellMap, actors: Any, hour: float, seed: int) -> DreamState:
        """A dream in cells that are known: for evaluation, and for saves."""
        return self._surrounded(DreamState(seed, 0, cells, Paint(), actors, hour))

    def _surrounded(self, state: DreamState) -> DreamState:
        return state if self._landscape is None else self._landscape.surround(state)

    def paint_over(self, state: DreamState, image: np.ndarray, mask: np.ndarray) -> DreamState:
        """The state painted with `image` uint8 [h, w, 3] where `mask` bool [h, w] is set, as the player sees it.

        Paint on faces stays with them. Paint against the sky stands as a card at the distance of the ground on which
        it touches down, or far off where it touches none.
        """
        camera, size = player_camera(state), image.shape[:2]
        gbuffer = self.painter.gbuffer(state, camera, size)
        paint = state.paint.with_faces(paint_from_picture(image, camera, gbuffer, mask, artist=True))
        sky = mask & np.isinf(gbuffer.depth())
        if sky.any():
            paint = paint.with_cards((card_of_view(image, camera, np.where(sky, 255, 0), _footing(gbuffer, sky)),))
        return replace(state, paint=paint, cache={})

    def set_cells(self, state: DreamState, writes: Mapping[Cell, int]) -> DreamState:
        """The state with cells changed. Raises ValueError for a height outside of the world."""
        changed = state.cells.set(writes)
        state = replace(state, cells=changed, paint=state.paint.without_cells(set(writes)), cache={})
        if self.world_model is None:
            return state
        return uncover(self.world_model, state, [cell for cell, token in writes.items() if token == EMPTY])


FARTHEST_CARD = 48.0


def _footing(gbuffer: Any, sky: np.ndarray) -> float:
    """Metres ahead of the camera at which the ground lies just below what is painted against the sky."""
    columns = np.flatnonzero(sky.any(0))
    lowest = sky.shape[0] - 1 - sky[::-1, columns].argmax(0)
    below = np.minimum(lowest + 1, sky.shape[0] - 1)
    middle = gbuffer.rays[sky.shape[0] // 2, sky.shape[1] // 2]
    ahead = gbuffer.depth()[below, columns] * (gbuffer.rays[below, columns] @ middle)
    near = ahead[np.isfinite(ahead)]
    return float(np.median(near)) if len(near) else FARTHEST_CARD
