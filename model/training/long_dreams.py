"""Dreams that training goes on with for as long as play does: what a student makes of its own errors in ten seconds.

A window of a few ticks begins in a true past, so what training sees of a dream's own errors ends where the window does,
and a dream that is played goes on into what was never trained. Here some dreams are kept, and from time to time a few
of them are dreamed a little further by the model as it is now (as in Self-Forcing++, arXiv 2510.02283). So far from the
truth no frame is right, and what is asked of them is that they look true (`reverie.model.training.adversarial`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from reverie.model.training.data import Batch, ShardSet, ticks_of
from reverie.model.training.rollout import dream, with_own_past
from reverie.model.world_model import WorldModel

LONG_TICKS = 240
"""Ticks after which a dream is given up for a new one."""
SLICE_TICKS = 16
"""Ticks that a dream is dreamed further at a time."""
KEPT_DREAMS = 5
"""Dreams that are kept, for each that is dreamed further in a step."""


class Slice(NamedTuple):
    """Some ticks of a few long dreams."""

    batch: Batch
    """The dreams: past and pace are the model's own, the rest is of the true window."""
    true: Tensor
    """uint8 [b, t, h, w, 3]: the true frames under the same actions."""
    reached: Tensor
    """float32 [b]: ticks that had been dreamed before."""


def longest_ticks(shards: ShardSet) -> int:
    """How many ticks long dreams of frames of the usual size can have: LONG_TICKS, or as many slices as half of all
    rows have in one episode; 0 for none."""
    lengths = [
        np.bincount(shard.starts)[shard.starts] for shard in shards.shards.values() if shard.size == shards.config.size
    ]
    if not lengths:
        return 0
    usual = int(np.median(np.concatenate(lengths))) - 1
    return min(LONG_TICKS, usual) // SLICE_TICKS * SLICE_TICKS


class LongDreams:
    """Kept dreams in the worlds of `shards`, `count` of which `go_on` in a step."""

    def __init__(self, shards: ShardSet, count: int, seed: int | list[int], device: torch.device) -> None:
        self.shards, self.count, self.device = shards, count, device
        self.rng = np.random.default_rng(seed)
        self.ticks = longest_ticks(shards)
        self.windows: list[Batch] = []
        self.reached: list[int] = []

    def __bool__(self) -> bool:
        """Whether there are any: recordings may be too short for it."""
        return self.ticks > 0

    def _new(self) -> Batch:
        window = self.shards.batch(self.rng, 1, self.ticks, cold=0.0, own_views=False)
        # Nobody gives these dreams an edited frame: it would end them in the true world.
        return window._replace(edited=torch.zeros_like(window.edited)).to(self.device)

    def go_on(self, model: WorldModel, steps: int, generator: torch.Generator) -> Slice:
        """Some of the dreams, chosen by chance, SLICE_TICKS further. Leaves the model in training mode."""
        while len(self.windows) < KEPT_DREAMS * self.count:
            self.windows.append(self._new())
            self.reached.append(0)
        chosen = self.rng.choice(len(self.windows), self.count, replace=False).tolist()
        reached = [self.reached[index] for index in chosen]
        slices = [ticks_of(self.windows[index], first, SLICE_TICKS) for index, first in zip(chosen, reached)]
        batch = Batch(*(torch.cat(column) for column in zip(*slices)))
        true = batch.past[:, -SLICE_TICKS:]
        model.eval()
        dreamed = dream(model, batch, steps, generator)
        model.train()
        for row, index in enumerate(chosen):
            window, first = self.windows[index], reached[row]
            last = first + SLICE_TICKS
            if last + SLICE_TICKS > self.ticks:
                self.windows[index], self.reached[index] = self._new(), 0
                continue
            past = window.past.shape[1] - self.ticks
            window.past[:, past + first : past + last] = dreamed.frames[row]
            window.pace[:, last] = dreamed.last_pace[row]
            self.reached[index] = last
        return Slice(
            with_own_past(batch, dreamed), true, torch.tensor(reached, dtype=torch.float32, device=self.device)
        )
