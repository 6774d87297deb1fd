"""Shortcut forcing: few steps by asking one step to end where two half steps end.

Shortcut models (Frans et al., arXiv 2410.12557) with the x-prediction and the losses of Dreamer 4 (arXiv 2509.24527).
Letters: b windows, t frames, h w pixels.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from reverie.model import flow
from reverie.model.step import to_unit
from reverie.model.training.data import Batch
from reverie.model.training.losses import fact_losses, frame_losses
from reverie.model.training.rollout import conditions
from reverie.model.training.student import OWN_PAST, with_own_dreams
from reverie.model.training.teacher import random_levels, usable_frames
from reverie.model.world_model import Context, WorldModel, causal_ages

BOOTSTRAPPED = 0.5
"""Share of windows that learn from two half steps. Dreamer 4's heirs take a quarter, in far longer training."""
SLOW_DECAY = 0.99
"""Decay of the average of the weights that takes the half steps."""


def shortcut_target(slow: WorldModel, z: Tensor, level: Tensor, size: Tensor, context: Context, ages: Tensor) -> Tensor:
    """The clean frames [b, t, 3, h, w] that a step of `size` [b, t] must predict to end where two half steps end.

    Dreamer 4 minimises (1 - level)^2 |(x - z) / (1 - level) - v|^2, where v is the mean of the velocities of both half
    steps from z [b, t, 3, h, w]. That is |x - (z + (1 - level) v)|^2: an ordinary loss on a clean frame.
    """
    half = size / 2
    middle = level + half
    first = (slow(z, level, half, context, ages).frame.float() - z) / flow.over_pixels(1 - level)
    reached = z + flow.over_pixels(half) * first
    second = (slow(reached, middle, half, context, ages).frame.float() - reached) / flow.over_pixels(1 - middle)
    return z + flow.over_pixels(1 - level) * (first + second) / 2


def random_steps(
    shape: tuple[int, int], finest: int, generator: torch.Generator, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Levels and sizes of that shape: sizes 1, 1/2, 1/4 … above 1 / `finest`, levels that are multiples of them."""
    halvings = torch.randint(0, finest.bit_length() - 1, shape, generator=generator, device=device)
    size = 0.5**halvings
    level = (torch.rand(shape, generator=generator, device=device) / size).floor() * size
    return level, size


class ShortcutLosses:
    """The losses of a student that starts as a finished flow; the average of its weights is its own teacher."""

    def __init__(self, start: WorldModel, own_past: float = OWN_PAST) -> None:
        self.slow = copy.deepcopy(start).train().requires_grad_(False)  # as undecided as what learns from it
        self.own_past = own_past

    def __call__(self, model: WorldModel, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Smallest steps towards the true frames, in some windows larger ones towards where half steps end."""
        config = model.config
        b, t = batch.action.shape[:2]
        device = batch.action.device
        with torch.no_grad():
            for mine, theirs in zip(self.slow.parameters(), model.parameters()):
                mine.lerp_(theirs, 1 - SLOW_DECAY)
        _, mixed = with_own_dreams(model, batch, 1, self.own_past, generator)
        given = conditions(mixed, model, torch.zeros(b, device=device), generator)
        target = to_unit(batch.past[:, -t:])
        ages = causal_ages(b, t, config.memory, device)
        level = random_levels((b, t), config.finest, generator, device)
        size = torch.full_like(level, 1 / config.finest)
        large = torch.rand(b, generator=generator, device=device) < BOOTSTRAPPED
        coarse_level, coarse_size = random_steps((b, t), config.finest, generator, device)
        level = torch.where(large[:, None], coarse_level, level)
        size = torch.where(large[:, None], coarse_size, size)
        z = flow.noised(target, torch.randn(target.shape, generator=generator, device=device), level)
        if bool(large.any()):
            context = Context(*(item[large] for item in given.context))
            with torch.no_grad():
                reached = shortcut_target(self.slow, z[large], level[large], size[large], context, ages[large])
            target = target.index_put((large,), reached)
        out = model(z, level, size, given.context, ages)
        weight = flow.ramp(level) * usable_frames(batch)
        return {
            **frame_losses(out.frame.float(), target, given.before, given.known, weight),
            **fact_losses(out, batch, config),
        }
