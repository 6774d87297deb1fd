"""An adversarial finish: a critic of patches tells dreamed frames from true ones, and the student learns from it.

PatchGAN (Isola et al., arXiv 1611.07004) with hinge losses (Lim and Ye, arXiv 1705.02894) and spectral norms (Miyato et
al., arXiv 1802.05957), on frames that the student dreams from its own past (student forcing, AAPT, arXiv 2506.09350).
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from reverie.model.training.data import Batch
from reverie.model.training.phases import OWN_PAST, student_answer
from reverie.model.world_model import WorldModel

WEIGHT = 0.05
"""Of the critic's word beside the other losses."""
RATE = 2e-4
"""The critic's learning rate."""
BEGIN, FULL = 0.5, 0.6
"""Shares of the training after which the critic starts to learn, and after which it is listened to in full."""


class PatchCritic(nn.Module):
    """How true each patch of a frame looks, given the frame before."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        channels = (6, width, 2 * width, 4 * width)
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(few, many, 4, stride=2, padding=1)) for few, many in itertools.pairwise(channels)
        )
        self.out = spectral_norm(nn.Conv2d(channels[-1], 1, 3, padding=1))

    def forward(self, frame: Tensor, before: Tensor) -> Tensor:
        """Frames [b, 3, h, w] in -1..1 -> scores [b, 1, h/8, w/8], above zero for true."""
        x = torch.cat((frame, before), dim=1)
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.2)
        return self.out(x)


def critic_loss(true: Tensor, dreamed: Tensor) -> Tensor:
    """Hinge: scores of true frames above 1, of dreamed ones below -1."""
    return functional.relu(1 - true).mean() + functional.relu(1 + dreamed).mean()


class AdversarialLosses:
    """The losses of `distill_losses` for one step; in the second half of `frames` targets also the critic's word.

    That word counts into the loss called frame. The critic has an optimiser of its own and learns whenever it is asked.
    """

    def __init__(
        self, teacher: WorldModel | None, frames: int, own_past: float = OWN_PAST, weight: float = WEIGHT
    ) -> None:
        self.teacher, self.frames, self.own_past, self.weight = teacher, frames, own_past, weight
        self.critic = PatchCritic()
        self.method = torch.optim.AdamW(self.critic.parameters(), lr=RATE, betas=(0.0, 0.9), weight_decay=0.0)
        self.seen = 0

    def __call__(self, model: WorldModel, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        answer = student_answer(model, self.teacher, 1, self.own_past, batch, generator)
        losses = answer.losses(batch, model.config)
        done = self.seen / self.frames
        self.seen += batch.action.shape[0] * batch.action.shape[1]
        if done >= BEGIN:
            usable = ~batch.edited.flatten()
            dreamed, true, before = (
                item.flatten(0, 1)[usable] for item in (answer.out.frame.float(), answer.target, answer.given.before)
            )
            self.learn(true, dreamed.detach(), before)
            weight = self.weight * min(1.0, (done - BEGIN) / (FULL - BEGIN))
            losses["frame"] = losses["frame"] - weight * self.critic(dreamed, before).float().mean()
        return losses

    def learn(self, true: Tensor, dreamed: Tensor, before: Tensor) -> float:
        """One step of the critic on frames [n, 3, h, w]; returns its loss. Leaves it without gradients."""
        self.critic.to(true.device).train().requires_grad_(True)
        loss = critic_loss(self.critic(true, before).float(), self.critic(dreamed, before).float())
        self.method.zero_grad(set_to_none=True)
        loss.backward()
        self.method.step()
        self.critic.eval().requires_grad_(False)
        return float(loss.detach())
