"""The teacher: a finished flow that learns from true pasts, each frame at a noise level of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from reverie.model import flow
from reverie.model.training.data import Batch
from reverie.model.training.losses import fact_losses, frame_losses
from reverie.model.training.rollout import conditions
from reverie.model.world_model import WorldModel, causal_ages

CONTEXT_NOISE = 0.3
"""Largest noise level of spoiled contexts."""
CLEAN_CONTEXTS = 0.5
"""Share of windows whose context is left clean."""
START_LEVELS = 0.5
"""Share of frames that are predicted from pure noise, which is all a one-step student ever does."""


def usable_frames(batch: Batch) -> Tensor:
    """Weights [b, t]: 1 where the target follows from its past, 0 where somebody edited the world in between."""
    return (~batch.edited).float()


def random_levels(shape: tuple[int, int], finest: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Noise levels of that shape on a grid of 1 / `finest`; a share of START_LEVELS are zero, pure noise."""
    level = torch.randint(0, finest, shape, generator=generator, device=device) / finest
    start = torch.rand(shape, generator=generator, device=device) < START_LEVELS
    return torch.where(start, torch.zeros_like(level), level)


def random_context_noise(b: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Noise levels [b] for the past of each window; a share of CLEAN_CONTEXTS stays clean."""
    noise = torch.rand(b, generator=generator, device=device) * CONTEXT_NOISE
    clean = torch.rand(b, generator=generator, device=device) < CLEAN_CONTEXTS
    return torch.where(clean, torch.zeros_like(noise), noise)


def dynamics_losses(model: WorldModel, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """Flow matching with a noise level of its own for each frame (diffusion forcing, arXiv 2407.01392)."""
    config = model.config
    b, t = batch.action.shape[:2]
    device = batch.action.device
    given = conditions(batch, model, random_context_noise(b, generator, device), generator)
    level = random_levels((b, t), config.finest, generator, device)
    noise = torch.randn(given.target.shape, generator=generator, device=device)
    z = flow.noised(given.target, noise, level)
    out = model(
        z,
        level,
        torch.full_like(level, 1 / config.finest),
        given.context,
        causal_ages(b, t, config.memory, device),
    )
    weight = flow.ramp(level) * usable_frames(batch)
    losses = frame_losses(out.frame.float(), given.target, given.before, given.known, weight)
    return {**losses, **fact_losses(out, batch, config)}
