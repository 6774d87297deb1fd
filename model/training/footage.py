"""Training of the frame model on footage without labels: its own lifter says what pictures show.

A window of a recording is lifted into cells, as a dream that starts from it would be. Frames between those that were
lifted are then drawn from their cameras, and compared where the lifted cells explain them: where the cells that a ray
meets lie where the lifter sees a surface in that very frame. Pixels of a screen layer, of animals, and of what nobody
lifted count nothing. (Self-training on a model's own labels: Lee 2013, Pseudo-Label.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.model.caster.camera import Camera, pixel_scale
from reverie.model.caster.gbuffer import GBuffer, cast
from reverie.model.caster.scene import SceneCache, TokenTables
from reverie.model.cells import UNKNOWN, CellMap, Vocabulary
from reverie.model.frame.features import FrameInput, frame_input
from reverie.model.frame.network import FrameModel
from reverie.model.lift.lift import LiftNetwork, PixelAnswers, ask, lift
from reverie.model.lift.vote import EMPTY
from reverie.model.training.frames import FramePart, Sample, frame_batch, frame_groups, reconstruction
from reverie.model.training.trainer import autocast
from reverie.model.training.view_data import View

AGREED = (0.3, 0.1)
"""Metres, and share of the distance, by which cells may lie off the surface that the lifter sees in a frame."""
HOURS_TRIED = 24
MISTAKEN = 0.16
"""Difference in brightness (of 1) beyond which a pixel shows something else, and tells no hour."""
STILL = 2.0
"""Difference (of 255) up to which a pixel has not changed."""
STILL_SHARE = 0.95
"""Share of the steps in which a pixel of a screen layer stays as it is."""
MOVED = 4.0
"""Mean difference (of 255) of a picture that tells that its camera moved."""
FEWEST_MOVES = 8


@dataclass(frozen=True, eq=False)
class LiftedView:
    """A frame with the G-buffer of lifted cells; `counts` bool [h, w] are the pixels that the cells explain."""

    sample: Sample
    counts: np.ndarray


def screen_layer(frames: np.ndarray) -> np.ndarray:
    """bool [h, w]: pixels of frames uint8 [n, h, w, 3] that stay as they are while the camera moves.

    None of them, if it hardly moves.
    """
    steps = np.abs(np.diff(frames.astype(np.int16), axis=0)).max(3)
    moved = steps[steps.mean((1, 2)) > MOVED]
    if len(moved) < FEWEST_MOVES:
        return np.zeros(frames.shape[1:3], np.bool_)
    return (moved <= STILL).mean(0) >= STILL_SHARE


class FootageLifter:
    """Turns windows of frames with cameras into `LiftedView`s."""

    def __init__(self, lifter: LiftNetwork, vocabulary: Vocabulary, network: FrameModel) -> None:
        self._lifter, self._network = lifter, network.eval()
        self._scenes = SceneCache(TokenTables.of(vocabulary))

    def views(
        self,
        frames: Sequence[np.ndarray],
        cameras: Sequence[Camera],
        lifted: Sequence[int],
        shown: Sequence[int],
        screen: np.ndarray,
    ) -> list[LiftedView]:
        """The frames numbered `shown`, in cells lifted from those numbered `lifted`.

        `frames` are uint8 [h, w, 3]; pixels of `screen` bool [h, w] are neither lifted nor counted.
        """
        answers = {number: self._ask(frames[number], cameras[number], screen) for number in {*lifted, *shown}}
        low, tokens = lift(
            self._lifter, [frames[k] for k in lifted], [cameras[k] for k in lifted],
            answers=[answers[k] for k in lifted],
        )  # fmt: skip
        cells = CellMap().write(low, tokens, tokens != UNKNOWN)
        casts = {number: self._cast(cells, cameras[number], frames[number].shape[:2]) for number in shown}
        counted = {number: explained(casts[number], answers[number], self._lifter.tokens) & ~screen for number in shown}
        hour = self._hour([(frames[k], casts[k], cameras[k], counted[k]) for k in shown])
        out = []
        for number in shown:
            camera, gbuffer = cameras[number], casts[number]
            place = np.array([*camera.position, camera.yaw, camera.pitch])
            nothing = np.zeros(gbuffer.wet.shape, np.float32)
            view = View(frames[number], nothing, nothing.astype(np.uint8), place, hour, np.zeros(4), np.zeros((0, 6)))
            out.append(LiftedView(Sample(view, gbuffer, self._inputs(gbuffer, camera, hour)), counted[number]))
        return out

    def _ask(self, frame: np.ndarray, camera: Camera, screen: np.ndarray) -> PixelAnswers:
        found = ask(self._lifter, frame, camera)
        return replace(found, distance=np.where(screen, np.float32(np.nan), found.distance))

    def _cast(self, cells: CellMap, camera: Camera, size: tuple[int, ...]) -> GBuffer:
        scene = self._scenes.scene(cells, camera.position[0], camera.position[2])
        return cast(scene, camera, (size[0], size[1]))

    def _inputs(self, gbuffer: GBuffer, camera: Camera, hour: float) -> FrameInput:
        scale = pixel_scale(gbuffer.wet.shape[0], camera.fov)
        return frame_input(gbuffer, self._network.config.layout, camera.position, hour, scale)

    def _hour(self, shown: Sequence[tuple[np.ndarray, GBuffer, Camera, np.ndarray]]) -> float:
        """The hour at which the drawn cells look most like the frames."""
        frame, gbuffer, camera, counted = max(shown, key=lambda one: int(one[3].sum()))
        if not counted.any():
            return 0.5
        errors = []
        for k in range(HOURS_TRIED):
            drawn = draw(self._network, self._inputs(gbuffer, camera, k / HOURS_TRIED))
            off = np.abs(drawn - frame.astype(np.float32) / 255).mean(2)[counted]
            errors.append(float(np.minimum(off, MISTAKEN).mean()))
        return int(np.argmin(errors)) / HOURS_TRIED


def explained(gbuffer: GBuffer, answers: PixelAnswers, tokens: int) -> np.ndarray:
    """bool [h, w]: pixels where cells lie where the lifter sees a surface in this very frame, and sky where it sees
    none; never animals, whose tokens are `tokens` and above."""
    met, seen = gbuffer.depth(), answers.distance
    bare = np.isinf(met)
    with np.errstate(invalid="ignore"):
        near = ~bare & (np.abs(met - seen) <= AGREED[0] + AGREED[1] * seen) & np.isfinite(seen)
    open_sky = bare & np.isinf(seen) & (answers.token == EMPTY)
    return (near | open_sky) & (answers.token < tokens)


def draw(network: FrameModel, inputs: FrameInput) -> np.ndarray:
    """float32 [h, w, 3] from 0 to 1."""
    arrays = (inputs.texels, inputs.weights, inputs.kinds, inputs.details, inputs.numbers, inputs.rays, inputs.hour)
    with torch.no_grad():
        drawn = network(*(torch.from_numpy(array)[None] for array in arrays))
    return drawn[0].permute(1, 2, 0).clamp(0, 1).numpy()


def footage_figures(network: FrameModel, views: Sequence[LiftedView]) -> dict[str, float]:
    """`psnr` in decibels over the pixels that count of all views, and `counts`, their share."""
    network.eval()
    total, count, pixels = 0.0, 0, 0
    for view in views:
        truth = view.sample.view.frame.astype(np.float32) / 255
        square = ((draw(network, view.sample.inputs) - truth) ** 2).mean(2)
        total += float(square[view.counts].sum())
        count, pixels = count + int(view.counts.sum()), pixels + view.counts.size
    if not count:
        return {"psnr": math.nan, "counts": 0.0}
    return {"psnr": -10 * math.log10(max(total / count, 1e-9)), "counts": count / pixels}


class FootagePart:
    """Fine-tuning as a part of the training queue: a share of labelled views is rehearsed beside lifted ones."""

    def __init__(
        self,
        network: FrameModel,
        views: Sequence[LiftedView],
        held: Sequence[LiftedView],
        rehearsal: FramePart | None = None,
        share: float = 0.25,
        *,
        batch: int = 8,
        crop: tuple[int, int] = (64, 96),
    ) -> None:
        """`rehearsal` is a part whose network this is; `share` of what is seen comes from it."""
        self.network, self.views, self.held = network, list(views), list(held)
        self._rehearsal, self._share, self._batch, self._crop = rehearsal, share, batch, crop

    def groups(self) -> list[dict[str, Any]]:
        """Tables learn as fast as the network here: there is little to learn them from."""
        return [group | {"lr_scale": 1.0} for group in frame_groups(self.network)]

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """The error of crops of lifted views over the pixels that count, or the loss of a rehearsal.

        A pixel that is drawn very differently is taken for one that was lifted wrongly, and teaches nothing.
        """
        if self._rehearsal is not None and rng.random() < self._share:
            return self._rehearsal.loss(rng)
        chosen = [self.views[i] for i in rng.integers(0, len(self.views), self._batch)]
        height, width = chosen[0].counts.shape
        h, w = min(self._crop[0], height), min(self._crop[1], width)
        corners = [
            (int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))) for _ in range(len(chosen))
        ]
        batch = frame_batch([view.sample for view in chosen], corners, (h, w))
        counts = torch.from_numpy(
            np.stack([view.counts[i : i + h, j : j + w] for view, (i, j) in zip(chosen, corners)])
        ).unsqueeze(1)
        with autocast(batch.target.device):
            drawn = batch.run(self.network)
        near = counts & ((drawn.detach().float() - batch.target).abs().mean(1, keepdim=True) < MISTAKEN)
        loss, square = reconstruction(drawn.float(), batch.target, near)
        return loss, {"own_psnr": -10 * math.log10(max(square, 1e-9))}

    def evaluate(self, network: Any) -> dict[str, float]:
        """`footage_figures` of held-out views."""
        return footage_figures(network, self.held)
