"""How a dream starts from pictures: what they show becomes cells and paint, the rest stays unknown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reverie.model.caster.camera import Camera, camera_basis, camera_rays
from reverie.model.caster.gbuffer import VIEW_DISTANCE
from reverie.model.caster.kernel import NO_FACE
from reverie.model.cells import UNKNOWN, CellMap
from reverie.model.dream.look import Painter
from reverie.model.dream.paint import (
    Card,
    FaceKey,
    Paint,
    PaintedFace,
    camera_of_card,
    card_of_view,
    paint_from_picture,
)
from reverie.model.dream.state import DreamState
from reverie.model.lift.lift import LiftNetwork, PixelAnswers, ask, lift
from reverie.model.lift.vote import EMPTY, VoteConfig, passed_cells

FAR_CARD = 48.0
"""Metres ahead of the camera at which what is farther than the lifter's reach is shown."""
MOST_PAINTED = 4
"""Pictures of a clip whose colours are kept: the last one, and others spread over the clip."""


def start_from_pictures(
    painter: Painter,
    network: LiftNetwork,
    images: list[np.ndarray],
    cameras: list[Camera],
    state: DreamState,
    config: VoteConfig | None = None,
) -> DreamState:
    """`state` with cells, paint and hour of pictures uint8 [h, w, 3] seen from cameras; the last one is the start."""
    answers = [ask(network, image, camera) for image, camera in zip(images, cameras)]
    low, tokens = lift(network, images, cameras, config, answers)
    cells = CellMap().write(low, tokens, tokens != UNKNOWN)
    cells = _under_the_sky(cells, cameras[-1], answers[-1])
    lifted = replace(state, cells=cells, paint=Paint(), cache={})
    lifted = replace(lifted, hour=painter.hour_of(lifted, images[-1], cameras[-1]), cache={})
    count = len(images)
    chosen = sorted({count - 1 - k * (count // MOST_PAINTED or 1) for k in range(min(MOST_PAINTED, count))})
    faces: dict[FaceKey, PaintedFace] = {}
    cards: tuple[Card, ...] = ()
    for number in chosen:  # the newest last, so that it lies on top
        image, camera = images[number], cameras[number]
        entity = answers[number].token >= network.tokens
        gbuffer = painter.gbuffer(lifted, camera, image.shape[:2])
        painted = paint_from_picture(image, camera, gbuffer, ~entity)
        faces = dict(Paint().with_faces(faces).with_faces(painted).faces)
        if number == count - 1:
            bare = (gbuffer.faces[..., 0] == NO_FACE) & ~entity
            sky = bare & (answers[number].token == 0)
            land = bare & ~sky
            if sky.any():
                cards += (card_of_view(image, camera, np.where(sky, 255, 0), 1.0, distant=True, of_picture=True),)
            if land.any():
                cards += (card_of_view(image, camera, np.where(land, 255, 0), FAR_CARD, of_picture=True),)
    return replace(lifted, paint=replace(Paint().with_faces(faces).with_cards(cards), hour=lifted.hour), cache={})


def paint_first_frame(painter: Painter, state: DreamState, image: np.ndarray, camera: Camera) -> DreamState:
    """`state` with a picture uint8 [h, w, 3] as paint on all that the camera sees of it, so that it is seen again."""
    gbuffer = painter.gbuffer(state, camera, image.shape[:2])
    painted = {
        key: face for key, face in paint_from_picture(image, camera, gbuffer).items() if key not in state.paint.faces
    }
    return replace(state, paint=state.paint.with_faces(painted), cache={})


def paint_new_land(painter: Painter, state: DreamState) -> DreamState:
    """`state`, whose land has just grown, with the start picture's colours on what now stands where the picture showed
    something beyond the lifter's reach, so that the picture is seen again from where it was taken."""
    if state.paint.freshness(state.hour) <= 0:
        return state
    for card in state.paint.cards:
        if not card.of_picture or card.distant:
            continue
        camera, shown = camera_of_card(card), card.picture[..., 3] > 0
        gbuffer = painter.gbuffer(state, camera, shown.shape)
        found = paint_from_picture(np.ascontiguousarray(card.picture[..., :3]), camera, gbuffer, shown)
        painted = {key: face for key, face in found.items() if key not in state.paint.faces}
        if painted:
            state = replace(state, paint=state.paint.with_faces(painted), cache={})
    return state


def _under_the_sky(cells: CellMap, camera: Camera, answers: PixelAnswers) -> CellMap:
    """The map with nothing in the cells that stand between a picture's sky and the camera, as far as one sees."""
    sky = np.isinf(answers.distance) & (answers.token == EMPTY)
    if not sky.any():
        return cells
    rays = camera_rays(camera_basis(camera.yaw, camera.pitch), sky.shape, camera.fov)[sky]
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    low, passed = passed_cells(np.asarray(camera.position), rays, int(VIEW_DISTANCE) + 1)
    unknown = cells.window(low, passed.shape) == UNKNOWN
    return cells.write(low, np.full(passed.shape, EMPTY, np.uint8), passed & unknown)
