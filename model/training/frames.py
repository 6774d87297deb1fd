"""Training of the frame model on labelled views, drawn from the true cells of their worlds."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.model.caster.camera import Camera, pixel_scale
from reverie.model.caster.gbuffer import EntityKind, GBuffer, cast
from reverie.model.caster.kernel import NO_FACE
from reverie.model.caster.scene import TokenTables, torus_scene
from reverie.model.cells import Vocabulary
from reverie.model.frame.config import FrameConfig
from reverie.model.frame.features import FrameInput, frame_input
from reverie.model.frame.network import FrameModel
from reverie.model.training.trainer import autocast
from reverie.model.training.view_data import View, ViewFile, view_files

TEXTURE_LR = 4.0
"""Learning rate of the tables, over that of the network."""
DETAIL_EDGE = 8
DETAIL_WEIGHT = 0.15


@dataclass(frozen=True, eq=False)
class Sample:
    """A view with its G-buffer, ready to be cut into crops."""

    view: View
    gbuffer: GBuffer
    inputs: FrameInput


def cast_view(
    view: View, cells: np.ndarray, tables: TokenTables, kinds: tuple[EntityKind, ...], config: FrameConfig
) -> Sample:
    """The G-buffer of a recorded view."""
    x, y, z, yaw, pitch = (float(value) for value in view.camera)
    size = view.depth.shape
    gbuffer = cast(torus_scene(cells, tables, x, z), Camera((x, y, z), yaw, pitch), size, view.entities, kinds)
    cx, cy, cz, progress = view.crack
    crack = (int(cx), int(cy), int(cz), float(progress)) if progress > 0 else None
    return Sample(
        view,
        gbuffer,
        frame_input(gbuffer, config.layout, (x, y, z), view.hour, pixel_scale(size[0]), view.entities, crack),
    )


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """The arguments of `FrameModel.forward`, and `target` float [b, 3, h, w] from 0 to 1."""

    texels: Tensor
    weights: Tensor
    kinds: Tensor
    details: Tensor
    numbers: Tensor
    rays: Tensor
    hour: Tensor
    target: Tensor

    def run(self, model: nn.Module) -> Tensor:
        """What a model draws."""
        return model(self.texels, self.weights, self.kinds, self.details, self.numbers, self.rays, self.hour)


def frame_batch(samples: list[Sample], corners: list[tuple[int, int]], size: tuple[int, int]) -> FrameBatch:
    """Crops of `size` from samples, each from its corner (row, column)."""

    def cut(get: Any) -> Tensor:
        parts = [get(s)[i : i + size[0], j : j + size[1]] for s, (i, j) in zip(samples, corners)]
        return torch.from_numpy(np.stack(parts))

    return FrameBatch(
        cut(lambda s: s.inputs.texels),
        cut(lambda s: s.inputs.weights),
        cut(lambda s: s.inputs.kinds),
        cut(lambda s: s.inputs.details),
        cut(lambda s: s.inputs.numbers),
        cut(lambda s: s.inputs.rays),
        torch.from_numpy(np.stack([s.inputs.hour for s in samples])),
        cut(lambda s: s.view.frame).permute(0, 3, 1, 2).float() / 255,
    )


def frame_groups(network: FrameModel) -> list[dict[str, Any]]:
    """Parameter groups: tables learn faster than the network, and do not decay."""
    tables = [network.textures, network.kinds, network.details]
    known = {id(table) for table in tables}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in known]
    return [{"params": rest}, {"params": tables, "lr_scale": TEXTURE_LR, "weight_decay": 0.0}]


def reconstruction(drawn: Tensor, target: Tensor, counts: Tensor | None = None) -> tuple[Tensor, float]:
    """(loss, mean squared error) of pictures [b, 3, h, w] from 0 to 1, over the pixels that `counts` bool [b, 1, h, w].

    Squared and absolute errors, which ask for means, and a term that asks for as much local detail as the truth has:
    the difference of local root mean squares of the Laplacian.
    """
    error = drawn - target
    if counts is None:
        square, absolute = (error**2).mean(), error.abs().mean()
    else:
        weight = counts.float() / max(float(counts.sum()) * error.shape[1], 1.0)
        square, absolute = (error**2 * weight).sum(), (error.abs() * weight).sum()
        target = torch.where(counts, target, drawn.detach())
    detail = (local_detail(drawn) - local_detail(target)).abs().mean()
    return square * 4 + absolute * 0.25 + detail * DETAIL_WEIGHT, square.item()


def local_detail(pictures: Tensor) -> Tensor:
    """Root mean squares of the Laplacian of brightness [b, 1, h, w], over squares of `DETAIL_EDGE` pixels."""
    grey = pictures.mean(1, keepdim=True)
    inner = 4 * grey[..., 1:-1, 1:-1] - grey[..., :-2, 1:-1] - grey[..., 2:, 1:-1]
    inner = inner - grey[..., 1:-1, :-2] - grey[..., 1:-1, 2:]
    return (F.avg_pool2d(inner**2, DETAIL_EDGE, DETAIL_EDGE // 2) + 1e-6).sqrt()


class FramePart:
    """The frame model as a part of the training queue: regression from the true cells."""

    def __init__(
        self,
        data: str | os.PathLike[str],
        held: str | os.PathLike[str],
        vocabulary: Vocabulary,
        kinds: tuple[EntityKind, ...],
        *,
        config: FrameConfig | None = None,
        batch: int = 8,
        crop: tuple[int, int] = (64, 96),
        pool: int = 192,
        fresh: int = 1,
        held_views: int = 96,
    ) -> None:
        self.files, self.held_files = view_files(data), view_files(held)
        self.tables, self.kinds = TokenTables.of(vocabulary), kinds
        self.config = config or FrameConfig(len(vocabulary), len(kinds))
        self.network = FrameModel(self.config)
        self.batch, self.crop, self.pool_size, self.fresh = batch, crop, pool, fresh
        self._pool: list[Sample] = []
        self._held_views = held_views
        self._held: list[Sample] = []

    def groups(self) -> list[dict[str, Any]]:
        """See `frame_groups`."""
        return frame_groups(self.network)

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """`reconstruction` of random crops out of a pool of views that is slowly renewed."""
        wanted = self.fresh if self._pool else 16
        for _ in range(wanted):
            self._renew(rng)
        chosen = [self._pool[i] for i in rng.integers(0, len(self._pool), self.batch)]
        h, w = self.crop
        corners = [
            (int(rng.integers(0, s.view.depth.shape[0] - h + 1)), int(rng.integers(0, s.view.depth.shape[1] - w + 1)))
            for s in chosen
        ]
        batch = frame_batch(chosen, corners, self.crop)
        with autocast(batch.target.device):
            drawn = batch.run(self.network)
        loss, square = reconstruction(drawn.float(), batch.target)
        return loss, {"psnr": -10 * math.log10(max(square, 1e-9))}

    def _renew(self, rng: np.random.Generator) -> None:
        file: ViewFile = self.files[int(rng.integers(len(self.files)))]
        cells = file.cells()
        for index in rng.integers(0, file.count, 4):
            sample = cast_view(file.view(int(index)), cells, self.tables, self.kinds, self.config)
            if len(self._pool) < self.pool_size:
                self._pool.append(sample)
            else:
                self._pool[int(rng.integers(self.pool_size))] = sample

    def held_samples(self) -> list[Sample]:
        """Views of held-out worlds."""
        if not self._held:
            for file in self.held_files:
                cells = file.cells()
                each = max(1, self._held_views // len(self.held_files))
                self._held += [
                    cast_view(file.view(i), cells, self.tables, self.kinds, self.config) for i in range(each)
                ]
        return self._held

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Decibels over pixels of a kind, pooled over held-out views, and detail over the truth's."""
        return frame_figures(draw_samples(network, self.held_samples()), self.held_samples())


def draw_samples(network: nn.Module, samples: list[Sample]) -> list[np.ndarray]:
    """float32 [h, w, 3] pictures from 0 to 1, clipped."""
    frames = []
    with torch.no_grad():
        for sample in samples:
            drawn = frame_batch([sample], [(0, 0)], sample.view.depth.shape).run(network)
            frames.append(drawn[0].permute(1, 2, 0).clamp(0, 1).numpy())
    return frames


def frame_figures(drawn: list[np.ndarray], samples: list[Sample]) -> dict[str, float]:
    """`all`, `land`, `sky`, ... in decibels; `detail` the Laplacian energy over the truth's (median over views)."""
    masks: dict[str, list[np.ndarray]] = {}
    errors, details = [], []
    for frame, sample in zip(drawn, samples):
        truth = sample.view.frame.astype(np.float32) / 255
        errors.append(((frame - truth) ** 2).mean(2).reshape(-1))
        sky = sample.gbuffer.faces[..., 0] == NO_FACE
        distance = sample.gbuffer.geometry[..., 0, 0]
        token = sample.view.tokens
        by_day = np.full(sky.shape, 0.3 < sample.view.hour < 0.7)
        parts = {
            "all": np.ones_like(sky), "land": ~sky, "sky": sky, "day_land": ~sky & by_day, "day_sky": sky & by_day,
            "near": ~sky & (distance < 6), "middle": ~sky & (distance >= 6) & (distance < 16),
            "distant": ~sky & (distance >= 16), "entities": token == 255,
            "two_layers": ~sky & (sample.gbuffer.geometry[..., 1, 0] > distance), "wet": sample.gbuffer.wet > 0,
        }  # fmt: skip
        for name, mask in parts.items():
            masks.setdefault(name, []).append(mask.reshape(-1))
        true_detail = _laplacian(truth)
        if true_detail > 1e-4:
            details.append(_laplacian(frame) / true_detail)
    flat = np.concatenate(errors)
    figures = {}
    for name, parts_of in masks.items():
        mask = np.concatenate(parts_of)
        if mask.any():
            figures[name] = float(-10 * np.log10(max(flat[mask].mean(), 1e-9)))
    figures["detail"] = float(np.median(details))
    return figures


def _laplacian(frame: np.ndarray) -> float:
    grey = frame.mean(2)
    inner = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    return float((inner**2).mean())
