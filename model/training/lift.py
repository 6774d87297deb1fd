"""Training of the lifter on labelled views."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.model.caster.camera import camera_basis, camera_rays, quarter_of, turn_quarters
from reverie.model.lift.network import LiftConfig, Lifter
from reverie.model.training.trainer import autocast
from reverie.model.training.view_data import View, ViewFile, view_files

ON_PLANE = 0.02
"""Metres, and this share of the metres away, by which a label may be off a plane."""
TOKEN_WEIGHT = 0.3
BANDS = ((0.0, 6.0), (6.0, 16.0), (0.0, 16.0), (16.0, 32.0))
"""Metres between which figures are given."""
FEW = 8
"""Outputs up to which a layer is no matrix to be orthogonalised."""
ENTITY_TOKENS = 1
"""Kinds of surface beyond the vocabulary: animals, of whatever kind."""


@dataclass(frozen=True, slots=True)
class LiftSample:
    """Pictures and labels: `image` [b, 3, h, w], `direction` [b, h, w, 3], `eye` [b, 3], `distance` [b, h, w] metres
    along the ray (infinity for sky), `token` int64 [b, h, w]."""

    image: Tensor
    direction: Tensor
    eye: Tensor
    distance: Tensor
    token: Tensor


def lift_sample(views: list[View], tokens: int) -> LiftSample:
    """Views in the axes of the lifter: yaw within 45 degrees of +z."""
    images, directions, eyes, distances, labels = [], [], [], [], []
    for view in views:
        x, y, z, yaw, pitch = view.camera
        quarters = quarter_of(yaw)
        rays = camera_rays(camera_basis(yaw - 90.0 * quarters, pitch), view.depth.shape)
        length = np.linalg.norm(rays, axis=2)
        images.append(view.frame)
        directions.append((rays / length[..., None]).astype(np.float32))
        eyes.append(np.mod(turn_quarters(np.array([x, y, z]), quarters), 1.0).astype(np.float32))
        distances.append((view.depth * length).astype(np.float32))
        labels.append(np.minimum(view.tokens, tokens))
    image = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return LiftSample(
        image,
        torch.from_numpy(np.stack(directions)),
        torch.from_numpy(np.stack(eyes)),
        torch.from_numpy(np.stack(distances)),
        torch.from_numpy(np.stack(labels).astype(np.int64)),
    )


def true_crossing(distance: Tensor, met: Tensor, reach: int) -> Tensor:
    """int64 [n]: which of the crossings at `met` [n, 3 * reach] metres lies at `distance` [n]; 3 * reach where it is
    beyond the reach, -1 where none fits."""
    off = (met - distance.clamp(max=1e6)[:, None]).abs()
    nearest, index = off.min(1)
    index = torch.where(nearest > ON_PLANE * (1 + 0.1 * distance), torch.full_like(index, -1), index)
    return torch.where(distance > reach, torch.full_like(index, met.shape[1]), index)


class LiftPart:
    """The lifter as a part of the training queue."""

    def __init__(
        self,
        data: str | os.PathLike[str],
        held: str | os.PathLike[str],
        *,
        batch: int = 8,
        pixels: int = 256,
        config: LiftConfig | None = None,
        held_views: int = 240,
    ) -> None:
        self.files, self.held = view_files(data), view_files(held)
        self.tokens = len(self.files[0].names)
        self.network = Lifter(config or LiftConfig(self.tokens + ENTITY_TOKENS))
        self.batch, self.pixels, self.held_views = batch, pixels, held_views

    def groups(self) -> list[dict[str, Any]]:
        """Muon for matrices and convolutions inside the network, which learn 1.7 times faster by it than by AdamW."""
        inside = {name for name, weight in self.network.named_parameters() if weight.ndim >= 2 and len(weight) > FEW}
        inside -= {"stem.weight"}
        named = list(self.network.named_parameters())
        return [
            {"params": [weight for name, weight in named if name not in inside]},
            {"params": [weight for name, weight in named if name in inside], "muon": True},
        ]

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of the crossing and of the token, over random pixels of random views."""
        net = self.network
        sample = lift_sample(_draw(self.files, self.batch, rng), self.tokens)
        gain = 1 + 0.15 * torch.randn(self.batch, 3, 1, 1)
        light = 1 + 0.1 * torch.randn(self.batch, 1, 1, 1)
        image = ((sample.image + 1) * gain * light - 1).clamp(-1.2, 1.2)
        b, h, w = sample.distance.shape
        with autocast(image.device):
            feature = net.features(image, sample.direction)
            picked = torch.from_numpy(rng.integers(0, h * w, b * self.pixels))
            which, row, column = torch.arange(b).repeat_interleave(self.pixels), picked // w, picked % w
            chosen = feature[which, row, column]
            logits, met = net.scores(chosen, sample.eye[which], sample.direction[which, row, column])
            token_logits = net.tokens(chosen)
        token = sample.token[which, row, column]
        target = true_crossing(sample.distance[which, row, column], met, net.config.reach)
        target = torch.where(token >= self.tokens, torch.full_like(target, -1), target)
        crossing = F.cross_entropy(logits.float(), target, ignore_index=-1)
        kind = F.cross_entropy(token_logits.float(), token)
        return crossing + TOKEN_WEIGHT * kind, {"crossing": crossing.item(), "token": kind.item()}

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Share of pixels whose very face is found, by distance; tokens right; nats a pixel."""
        assert isinstance(network, Lifter)
        rows = []
        views = [file.view(i) for file in self.held for i in range(file.count)][: self.held_views]
        rng = np.random.default_rng(5)
        with torch.no_grad():
            for first in range(0, len(views), self.batch):
                sample = lift_sample(views[first : first + self.batch], self.tokens)
                with autocast(sample.image.device):
                    feature = network.features(sample.image, sample.direction)
                b, h, w = sample.distance.shape
                picked = torch.from_numpy(rng.integers(0, h * w, b * 400))
                which, row, column = torch.arange(b).repeat_interleave(400), picked // w, picked % w
                chosen = feature[which, row, column].float()
                logits, met = network.scores(chosen, sample.eye[which], sample.direction[which, row, column])
                distance, token = sample.distance[which, row, column], sample.token[which, row, column]
                target = true_crossing(distance, met, network.config.reach)
                target = torch.where(token >= self.tokens, torch.full_like(target, -1), target)
                nats = F.cross_entropy(logits.float(), target, ignore_index=-1, reduction="none")
                right = network.tokens(chosen).argmax(1) == token
                exact = (logits.argmax(1) == target).float()
                rows.append(torch.stack([distance, exact, right.float(), (target >= 0).float(), nats], 1))
        table = torch.cat(rows)
        table = table[table[:, 3] > 0]
        figures = {"nats": table[:, 4].mean().item(), "token": table[:, 2].mean().item()}
        for low, high in BANDS:
            inside = (table[:, 0] > low) & (table[:, 0] <= high)
            figures[f"exact_{low:.0f}_{high:.0f}"] = table[inside, 1].mean().item()
        figures["far"] = table[table[:, 0] > network.config.reach, 1].mean().item()
        return figures


def _draw(files: list[ViewFile], count: int, rng: np.random.Generator) -> list[View]:
    chosen = [files[i] for i in rng.integers(0, len(files), count)]
    return [file.view(int(rng.integers(file.count))) for file in chosen]
