"""Pictures with known cameras become cells: the network's answers for every pixel, and the votes of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from reverie.model.caster.camera import Camera, camera_basis, camera_rays, quarter_of, turn_quarters
from reverie.model.cells import Cell, cell_of
from reverie.model.lift.vote import Ballot, VoteConfig


@dataclass(frozen=True, eq=False)
class PixelAnswers:
    """For each pixel: metres along its ray to the face it sees (infinity: farther than the reach), how sure that is
    (probability), and the token. float32, float32, int64 [h, w]."""

    distance: np.ndarray
    sureness: np.ndarray
    token: np.ndarray


class LiftNetwork(Protocol):
    """What answers for pixels: torch or ONNX."""

    tokens: int

    def encode(self, image: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """float32 [h * w, f]: features of a picture uint8 [h, w, 3] whose pixels look in unit `directions` float32
        [h, w, 3], yaw within 45 degrees of +z."""

    def decode(
        self, feature: np.ndarray, eye: np.ndarray, directions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Metres (infinity: farther than the reach), probability and token [n] of pixels with features [n, f], seen
        from `eye` float32 [3] within its cell in `directions` float32 [n, 3]."""


def ask(network: LiftNetwork, image: np.ndarray, camera: Camera) -> PixelAnswers:
    """The network's answers for a picture from a camera anywhere."""
    quarters = quarter_of(camera.yaw)
    rays = camera_rays(camera_basis(camera.yaw - 90.0 * quarters, camera.pitch), image.shape[:2], camera.fov)
    unit = (rays / np.linalg.norm(rays, axis=2, keepdims=True)).astype(np.float32)
    eye = np.mod(turn_quarters(np.asarray(camera.position, np.float64), quarters), 1.0)
    feature = network.encode(image, unit)
    found = network.decode(feature, eye.astype(np.float32), unit.reshape(-1, 3))
    metres, sure, token = (values.reshape(image.shape[:2]) for values in found)
    return PixelAnswers(metres.astype(np.float32), sure.astype(np.float32), token.astype(np.int64))


def lift(
    network: LiftNetwork,
    images: list[np.ndarray],
    cameras: list[Camera],
    config: VoteConfig | None = None,
    answers: list[PixelAnswers] | None = None,
) -> tuple[Cell, np.ndarray]:
    """(lowest cell, uint8 tokens [64, 64, 64]) about the last camera: EMPTY, tokens or UNKNOWN; see `vote`.

    `images` uint8 [h, w, 3] are seen from `cameras`; `answers` are those of `ask` where they are known already.
    """
    ballot = Ballot(cell_of(*cameras[-1].position), network.tokens)
    for number, (image, camera) in enumerate(zip(images, cameras)):
        given = ask(network, image, camera) if answers is None else answers[number]
        rays = camera_rays(camera_basis(camera.yaw, camera.pitch), image.shape[:2], camera.fov)
        unit = rays / np.linalg.norm(rays, axis=2, keepdims=True)
        entity = given.token >= network.tokens
        distance = np.where(entity, np.nan, given.distance)
        ballot.add(np.asarray(camera.position), unit.reshape(-1, 3), distance.reshape(-1), given.token.reshape(-1))
    return ballot.result(config)


def lift_part(
    network: LiftNetwork, image: np.ndarray, camera: Camera, mask: np.ndarray, config: VoteConfig | None = None
) -> tuple[Cell, np.ndarray]:
    """As `lift` of one picture, but only the pixels of `mask` bool [h, w] vote."""
    given = ask(network, image, camera)
    distance = np.where(mask & (given.token < network.tokens), given.distance, np.nan)
    ballot = Ballot(cell_of(*camera.position), network.tokens)
    rays = camera_rays(camera_basis(camera.yaw, camera.pitch), image.shape[:2], camera.fov)
    unit = rays / np.linalg.norm(rays, axis=2, keepdims=True)
    ballot.add(np.asarray(camera.position), unit.reshape(-1, 3), distance.reshape(-1), given.token.reshape(-1))
    return ballot.result(config)
