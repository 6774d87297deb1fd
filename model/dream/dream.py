"""The one step of a dream, and what else can be done with its state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from reverie.model.caster.camera import Camera
from reverie.model.caster.kernel import NO_FACE
from reverie.model.cells import HEIGHT, UNKNOWN, Cell, CellMap
from reverie.model.dream.land import Landscape, WorldModel, uncover
from reverie.model.dream.look import Painter, player_camera
from reverie.model.dream.paint import Paint, card_of_view, paint_from_picture
from reverie.model.dream.start import paint_first_frame, paint_new_land, start_from_pictures
from reverie.model.dream.state import DreamState
from reverie.model.errors import ModelError
from reverie.model.lift.lift import LiftNetwork, lift_part

DAY_TICKS = 24_000
"""A day of 20 minutes."""
EMPTY = 0
START_STREAM = 3
"""Sets the random numbers of starts apart from others of the same seed."""


Place = tuple[float, float, float]
"""x, y, z in metres."""


class Moved(Protocol):
    """What dynamics say of a tick."""

    @property
    def actors(self) -> Any:
        """Body, hands and entities after it."""

    @property
    def writes(self) -> Mapping[Cell, int]:
        """Cells that change."""

    @property
    def events(self) -> tuple[str, ...]:
        """What happened."""


class Dynamics(Protocol):
    """Body, hands and entities; see `model.dynamics`."""

    def spawn(self, place: tuple[float, float, float], yaw: float, pitch: float) -> Any:
        """Actors with the feet at a place."""

    def step(self, actors: Any, cells: CellMap, action: Any, seed: int, tick: int) -> Moved:
        """A tick of them."""

    def step_many(
        self,
        actors: Sequence[Any],
        cells: Sequence[CellMap],
        actions: Sequence[Any],
        seeds: Sequence[int],
        ticks: Sequence[int],
    ) -> Sequence[Moved]:
        """A tick of many dreams, each as by itself."""


class Dream:
    """All networks of a model together. Holds no state of any dream, only caches."""

    def __init__(
        self, painter: Painter, dynamics: Dynamics, lifter: LiftNetwork, world_model: WorldModel | None = None
    ) -> None:
        self.painter, self.dynamics, self.lifter = painter, dynamics, lifter
        self.world_model = world_model
        self._landscape = None if world_model is None else Landscape(world_model)

    @property
    def landscape(self) -> Landscape | None:
        """What asks the world model for land, if there is one."""
        return self._landscape

    def step(self, state: DreamState, action: Any) -> DreamState:
        """The state one tick later."""
        return self._after(state, self.dynamics.step(state.actors, state.cells, action, state.seed, state.tick))

    def step_many(self, states: Sequence[DreamState], actions: Sequence[Any]) -> list[DreamState]:
        """Many dreams one tick later, each as it would go on by itself."""
        moved = self.dynamics.step_many(
            [state.actors for state in states], [state.cells for state in states], actions,
            [state.seed for state in states], [state.tick for state in states],
        )  # fmt: skip
        return [self._after(state, one) for state, one in zip(states, moved, strict=True)]

    def _after(self, state: DreamState, moved: Moved) -> DreamState:
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
        if self._landscape is None:
            return state
        grown = self._landscape.advance(state)
        return grown if grown.complete is state.complete else paint_new_land(self.painter, grown)

    def frame(self, state: DreamState, size: tuple[int, int]) -> np.ndarray:
        """What the player sees: uint8 [h, w, 3], read-only."""
        return self.painter.picture(state, player_camera(state), size)

    def start(
        self,
        images: list[np.ndarray],
        cameras: list[Camera],
        feet: Place,
        seed: int,
        stood: Sequence[Place] = (),
    ) -> DreamState:
        """A dream that goes on from pictures uint8 [h, w, 3] with known cameras; the last one is the first frame.

        `feet` is where the body is now, `stood` where else it has stood.
        """
        actors = self.dynamics.spawn(feet, cameras[-1].yaw, cameras[-1].pitch)
        state = DreamState(seed, 0, CellMap(), Paint(), actors, 0.5, plan=self._footing((*stood, feet)))
        state = self._surrounded(start_from_pictures(self.painter, self.lifter, images, cameras, state))
        return paint_first_frame(self.painter, state, images[-1], cameras[-1])

    def _footing(self, places: Sequence[Place]) -> Any:
        """What the world model is to know of the ground: as high as bodies stand that seem to stand at places."""
        if self.world_model is None:
            return None
        return self.world_model.plan_heights(
            {
                (math.floor(x), math.floor(z)): round(y) - 1
                for x, y, z in places
                if abs(y - round(y)) <= STANDING and 1 <= round(y) < HEIGHT
            }
        )

    def start_new(self, seed: int, hour: float, ground: float) -> DreamState:
        """A dream of land that nobody has seen, from nothing but the seed; the player stands on open ground.

        `ground` is about how high in metres that is to be looked for. Raises ModelError without a world model.
        """
        if self._landscape is None:
            raise ModelError("this model has no world model, so it cannot dream a world from nothing")
        yaw = float(np.random.default_rng([seed, START_STREAM]).uniform(-180.0, 180.0))
        actors = self.dynamics.spawn((0.5, ground, 0.5), yaw, 0.0)
        state = self._landscape.surround(DreamState(seed, 0, CellMap(), Paint(), actors, hour))
        place = self._landscape.footing(state)
        if place is not None:
            x, y, z = place
            state = replace(state, actors=self.dynamics.spawn((x + 0.5, float(y), z + 0.5), yaw, 0.0), cache={})
            state = self._landscape.surround(state)
        return state

    def start_from_cells(self, cells: CellMap, actors: Any, hour: float, seed: int) -> DreamState:
        """A dream in cells that are known: for evaluation, and for saves."""
        return self._surrounded(DreamState(seed, 0, cells, Paint(), actors, hour))

    def _surrounded(self, state: DreamState) -> DreamState:
        return state if self._landscape is None else self._landscape.surround(state)

    def paint_over(self, state: DreamState, image: np.ndarray, mask: np.ndarray, opacity: float = 1.0) -> DreamState:
        """The state painted with `image` uint8 [h, w, 3] where `mask` bool [h, w] is set, as the player sees it.

        Paint on faces stays with them. Paint against the sky stands as a card at the distance of the ground on which
        it touches down, or far off where it touches none.
        """
        camera, size = player_camera(state), image.shape[:2]
        gbuffer = self.painter.gbuffer(state, camera, size)
        faces = paint_from_picture(image, camera, gbuffer, mask, artist=True)
        paint = state.paint.with_faces({key: face.faded(opacity) for key, face in faces.items()})
        sky = mask & np.isinf(gbuffer.depth())
        if sky.any():
            alpha = np.where(sky, round(255 * opacity), 0)
            paint = paint.with_cards((card_of_view(image, camera, alpha, _footing(gbuffer, sky)),))
        return replace(state, paint=paint, cache={})

    def sketch(self, state: DreamState, image: np.ndarray, mask: np.ndarray, strength: float) -> DreamState:
        """The state with what `image` uint8 [h, w, 3] shows under `mask` bool [h, w] lifted into cells.

        The frame model draws those; the picture's own colours stay on them as paint of opacity 1 - `strength`.
        """
        camera = player_camera(state)
        low, tokens = lift_part(self.lifter, image, camera, mask)
        where = tokens != UNKNOWN
        there = state.cells.window(low, tokens.shape)
        changed = {
            (low[0] + int(x), low[1] + int(y), low[2] + int(z)) for x, y, z in np.argwhere(where & (tokens != there))
        }
        state = replace(
            state, cells=state.cells.write(low, tokens, where), paint=state.paint.without_cells(changed), cache={}
        )
        return state if strength >= 1 else self.paint_over(state, image, mask, 1 - strength)

    def redream(self, state: DreamState, mask: np.ndarray, seed: int) -> DreamState:
        """The state with the cells under `mask` bool [h, w], and those about them, dreamed anew with another seed.

        Raises ModelError without a world model.
        """
        if self.world_model is None:
            raise ModelError("this model has no world model, so nothing can be dreamed anew")
        gbuffer = self.painter.gbuffer(state, player_camera(state), mask.shape)
        hit = (gbuffer.faces != NO_FACE) & (gbuffer.owner < 0) & mask[..., None]
        if not hit.any():
            return state
        places = np.unique(gbuffer.cells[hit], axis=0)
        low, high = places.min(0) - 1, places.max(0) + 2
        blank = np.zeros(high - low, bool)
        for offset in np.ndindex(3, 3, 3):
            blank[tuple((places - low + np.array(offset) - 1).T)] = True
        blank[:, : max(0, 1 - int(low[1]))] = False  # the lowest layer stays
        corner = (int(low[0]), int(low[1]), int(low[2]))
        cells = state.cells.write(corner, np.full(blank.shape, UNKNOWN, np.uint8), blank)
        columns = {(corner[0] + int(x), corner[2] + int(z)) for x, z in np.argwhere(blank.any(1))}
        plan = None if state.plan is None else state.plan.without_columns(columns)
        answer = self.world_model.propose(cells, corner, blank.shape, seed, plan, None)
        cells = cells.write(corner, answer.tokens, blank & (answer.tokens != UNKNOWN))
        gone = {(corner[0] + int(x), corner[1] + int(y), corner[2] + int(z)) for x, y, z in np.argwhere(blank)}
        return replace(state, cells=cells, plan=answer.plan, paint=state.paint.without_cells(gone), cache={})

    def set_cells(self, state: DreamState, writes: Mapping[Cell, int]) -> DreamState:
        """The state with cells changed. Raises ValueError for a height outside of the world."""
        changed = state.cells.set(writes)
        state = replace(state, cells=changed, paint=state.paint.without_cells(set(writes)), cache={})
        if self.world_model is None:
            return state
        return uncover(self.world_model, state, [cell for cell, token in writes.items() if token == EMPTY])


FARTHEST_CARD = 48.0
STANDING = 0.01
"""Metres from a whole height up to which feet seem to stand on the ground."""


def _footing(gbuffer: Any, sky: np.ndarray) -> float:
    """Metres ahead of the camera at which the ground lies just below what is painted against the sky."""
    columns = np.flatnonzero(sky.any(0))
    lowest = sky.shape[0] - 1 - sky[::-1, columns].argmax(0)
    below = np.minimum(lowest + 1, sky.shape[0] - 1)
    middle = gbuffer.rays[sky.shape[0] // 2, sky.shape[1] // 2]
    ahead = gbuffer.depth()[below, columns] * (gbuffer.rays[below, columns] @ middle)
    near = ahead[np.isfinite(ahead)]
    return float(np.median(near)) if len(near) else FARTHEST_CARD
