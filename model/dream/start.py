"""How a dream starts from pictures: what they show becomes cells and paint, the rest stays unknown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reverie.model.caster.camera import Camera
from reverie.model.caster.kernel import NO_FACE
from reverie.model.cells import UNKNOWN, CellMap
from reverie.model.dream.look import Painter
from reverie.model.dream.paint import Card, FaceKey, Paint, PaintedFace, card_of_view, paint_from_picture
from reverie.model.dream.state import DreamState
from reverie.model.lift.lift import LiftNetwork, ask, lift
from reverie.model.lift.vote import VoteConfig

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
                cards += (card_of_view(image, camera, np.where(sky, 255, 0), 1.0, distant=True),)
            if land.any():
                cards += (card_of_view(image, camera, np.where(land, 255, 0), FAR_CARD),)
    return replace(lifted, paint=Paint().with_faces(faces).with_cards(cards), cache={})
