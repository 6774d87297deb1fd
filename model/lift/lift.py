"""Pictures with known cameras become cells: the network's answers for every pixel, and the votes of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from reverie.model.caster.camera import Camera, camera_basis, camera_rays, quarter_of, turn_quarters
from reverie.model.cells import Cell, cell_of
from reverie.model.lift.vote import Ballot, VoteConfig

FARTHER = 1e8
"""Metres from which on an answer means "farther than the reach"."""


class Answer(NamedTuple):
    """Of pixels [n]: metres to the face that is seen (infinity: farther than the reach), its probability, metres along
    which the way is likely clear (infinity: all of the reach), and the token. float32, the last int64."""

    distance: np.ndarray
    chance: np.ndarray
    clear: np.ndarray
    token: np.ndarray


def as_answer(distance: np.ndarray, chance: np.ndarray, clear: np.ndarray, token: np.ndarray) -> Answer:
    """An answer of arrays in which large numbers stand for infinity."""
    distance, clear = (np.where(metres >= FARTHER, np.inf, metres).astype(np.float32) for metres in (distance, clear))
    return Answer(distance, chance.astype(np.float32), clear, token.astype(np.int64))


@dataclass(frozen=True, eq=False)
class PixelAnswers:
    """`Answer` of all pixels of a picture, as [h, w]; a distance that is not to be used is NaN."""

    distance: np.ndarray
    chance: np.ndarray
    clear: np.ndarray
    token: np.ndarray


class LiftNetwork(Protocol):
    """What answers for pixels: torch or ONNX."""

    tokens: int

    def encode(self, image: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """float32 [h * w, f]: features of a picture uint8 [h, w, 3] whose pixels look in unit `directions` float32
        [h, w, 3], yaw within 45 degrees of +z."""

    def decode(self, feature: np.ndarray, eye: np.ndarray, directions: np.ndarray) -> Answer:
        """What pixels with features [n, f] show, seen from `eye` float32 [3] within its cell in `directions` float32
        [n, 3]."""


def ask(network: LiftNetwork, image: np.ndarray, camera: Camera) -> PixelAnswers:
    """The network's answers for a picture from a camera anywhere."""
    quarters = quarter_of(camera.yaw)
    rays = camera_rays(camera_basis(camera.yaw - 90.0 * quarters, camera.pitch), image.shape[:2], camera.fov)
    unit = (rays / np.linalg.norm(rays, axis=2, keepdims=True)).astype(np.float32)
    eye = np.mod(turn_quarters(np.asarray(camera.position, np.float64), quarters), 1.0)
    feature = network.encode(image, unit)
    found = network.decode(feature, eye.astype(np.float32), unit.reshape(-1, 3))
    return PixelAnswers(*(values.reshape(image.shape[:2]) for values in found))


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
        _add(ballot, given, camera, unit, given.token < network.tokens)
    return ballot.result(config)


def lift_part(
    network: LiftNetwork, image: np.ndarray, camera: Camera, mask: np.ndarray, config: VoteConfig | None = None
) -> tuple[Cell, np.ndarray]:
    """As `lift` of one picture, but only the pixels of `mask` bool [h, w] vote."""
    given = ask(network, image, camera)
    ballot = Ballot(cell_of(*camera.position), network.tokens)
    rays = camera_rays(camera_basis(camera.yaw, camera.pitch), image.shape[:2], camera.fov)
    unit = rays / np.linalg.norm(rays, axis=2, keepdims=True)
    _add(ballot, given, camera, unit, mask & (given.token < network.tokens))
    return ballot.result(config)


def _add(ballot: Ballot, given: PixelAnswers, camera: Camera, unit: np.ndarray, counts: np.ndarray) -> None:
    """The votes of the pixels that count, bool [h, w]."""
    distance = np.where(counts, given.distance, np.nan)
    eye = np.asarray(camera.position)
    ballot.add(eye, unit.reshape(-1, 3), distance.reshape(-1), given.token.reshape(-1), given.clear.reshape(-1))
