"""A critic tells dreamed frames from true ones, and the student learns from it where no frame is right or wrong.

What was never seen is not known, and whoever is asked for the truth about it answers with the mean of all that it might
be. Dreams are made of dreams, so the mean of means ends in fog. A critic (Goodfellow et al., arXiv 1406.2661) asks
instead that a frame could be true: of patches of three sizes (Isola et al., arXiv 1611.07004; Wang et al., arXiv
1711.11585), where it also knows which way is down. It looks at long dreams, whose past is the student's own (student
forcing, AAPT, arXiv 2506.09350), so that a picture that has begun to wash out is mended and not handed on. Its
gradients are kept small where frames are true (R1, Mescheder et al., arXiv 1801.04406).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from reverie.model import geometry
from reverie.model.step import to_unit
from reverie.model.training.data import Batch
from reverie.model.training.long_dreams import LongDreams
from reverie.model.training.loop import Processes
from reverie.model.training.losses import fact_losses, total_loss
from reverie.model.training.rollout import conditions
from reverie.model.training.student import OWN_PAST, Lesson, student_answer
from reverie.model.world_model import WorldModel, causal_ages

WEIGHT = 2.0
"""How strongly the critic pulls at the pixels of long dreams, where 1 is as strongly as all other losses together pull
at those of windows."""
PULL_DECAY = 0.95
"""Decay of the running average of that pull."""
RATE = 5e-4
"""The critic's learning rate."""
QUIET_STEPS, RISING_STEPS = 60, 60
"""Steps in which the critic learns and is not heard, and those in which its weight rises."""
UNHEARD_TICKS, RISING_TICKS = 16, 32
"""Ticks of a dream about which the critic is not heard, and those after them in which its weight rises: so near to the
truth there is a right frame, and windows ask for it."""
REMEMBERED, REPLAYED = 60, 0.25
"""Steps whose dreams the critic may see again, and how many such frames it sees in a step, for each new one."""
PENALTY, PENALTY_EVERY = 0.0001, 4
"""Weight of the squared gradient at true frames, and steps of the critic between two looks at it."""
SCALES = (0.5, 1.0, 2.0)
"""What a patch of each size counts in that gradient, the smallest first, of which there are most."""
FINE = 4.0
"""How many times over the critic sees what a 3x3 mean takes from a frame: blur shows in little else."""


class DreamCritic(nn.Module):
    """How true patches of a frame look: of about 18, 38 and 62 pixels."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()

        def halve(few: int, many: int) -> nn.Conv2d:
            return nn.Conv2d(few, many, 4, stride=2, padding=1)

        def look(channels: int) -> nn.Conv2d:
            return nn.Conv2d(channels, channels, 3, padding=1)

        small, middle = 2 * width, 4 * width
        self.first, self.second, self.third = halve(9, width), halve(width, small), halve(small, middle)
        self.fourth, self.near, self.wide = halve(middle, middle), look(small), look(middle)
        self.small, self.middle = nn.Conv2d(small, 1, 1), nn.Conv2d(middle, 1, 3, padding=1)
        self.large = nn.Conv2d(middle, 1, 3, padding=1)

    def forward(self, seen: Tensor) -> list[Tensor]:
        """What `seen_by_critic` gives, [b, 9, h, w] -> logits of being true, [b, 1, h/s, w/s] for s = 4, 8, 16."""

        def bent(x: Tensor) -> Tensor:
            return functional.leaky_relu(x, 0.2)

        x = bent(self.second(bent(self.first(seen))))
        small = self.small(bent(self.near(x)))
        x = bent(self.third(x))
        x = bent(x + self.wide(x))
        return [small, self.middle(x), self.large(bent(self.fourth(x)))]


def seen_by_critic(frames: Tensor, pitch: Tensor, overlay: Tensor, field_of_view: float) -> Tensor:
    """Frames [b, 3, h, w] in -1..1 without their `overlay` [h, w], which way is down for cameras pitched by `pitch`
    [b], where the overlay is, and the frames' finest detail: [b, 9, h, w]."""
    world = (1 - overlay).expand(len(frames), 1, -1, -1)
    shown = frames * world
    fine = shown - functional.avg_pool2d(functional.pad(shown, (1, 1, 1, 1), mode="replicate"), 3, 1)
    down = geometry.heights(pitch, (frames.shape[-2], frames.shape[-1]), field_of_view)
    return torch.cat((shown, down, world, FINE * fine), dim=1)


def critic_loss(true: list[Tensor], dreamed: list[Tensor]) -> Tensor:
    """Mean over the sizes of patches of the logistic losses of telling true from dreamed."""
    parts = [functional.softplus(-one).mean() + functional.softplus(two).mean() for one, two in zip(true, dreamed)]
    return torch.stack(parts).mean()


class Seen(NamedTuple):
    """Frames of long dreams, and the true ones under the same actions: uint8 [n, h, w, 3]."""

    dreamed: Tensor
    true: Tensor
    pitch: Tensor
    """[n], degrees."""


class AdversarialLosses:
    """The losses of `reverie.model.training.student.distill_losses`, and what long dreams add to them.

    That is the critic's word, the error of what is painted on their screen, and that of travel, which both follow from
    the actions however far a dream has gone astray. For each window there should be two long dreams. The critic has an
    optimiser of its own and learns whenever the losses are asked for. Where recordings are too short for long dreams
    the critic is not heard.
    """

    def __init__(
        self,
        teacher: WorldModel | None,
        steps: int,
        dreams: LongDreams,
        own_past: float = OWN_PAST,
        weight: float = WEIGHT,
    ) -> None:
        self.teacher, self.steps, self.dreams, self.own_past, self.weight = teacher, steps, dreams, own_past, weight
        self.processes = Processes(dreams.device)
        self.critic = DreamCritic().to(dreams.device)
        self.method = torch.optim.AdamW(self.critic.parameters(), lr=RATE, betas=(0.5, 0.95), weight_decay=1e-4)
        self.asked, self.learned, self.pull = 0, 0, 0.0
        self.remembered: deque[Seen] = deque(maxlen=REMEMBERED)

    def state_dict(self) -> dict[str, Any]:
        """What a run that goes on later needs: the critic knows things, and begun anew it would be silent for long."""
        return {
            "critic": self.critic.state_dict(), "method": self.method.state_dict(),
            "asked": self.asked, "learned": self.learned, "pull": self.pull,
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from there."""
        self.critic.load_state_dict(state_dict["critic"])
        self.method.load_state_dict(state_dict["method"])
        self.asked, self.learned, self.pull = (state_dict[name] for name in ("asked", "learned", "pull"))

    def __call__(self, model: WorldModel, batch: Batch | Lesson, generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of a batch of windows, by their names in `reverie.model.training.losses.WEIGHTS`."""
        answer = student_answer(model, self.teacher, self.steps, self.own_past, batch, generator)
        losses = answer.losses(model.config)
        if not self.dreams:
            return losses
        self._feel(total_loss(losses), answer.out.frame)
        heard = min(1.0, max(0.0, (self.asked - QUIET_STEPS) / RISING_STEPS))
        self.asked += 1
        long, true, reached = self.dreams.go_on(model, self.steps, generator)
        pitch, dreamed = (long.pitch + long.turn[..., 0]).flatten(), long.past[:, -true.shape[1] :]
        self.remembered.append(Seen(dreamed.flatten(0, 1), true.flatten(0, 1), pitch))
        far = ((reached - UNHEARD_TICKS) / RISING_TICKS).clamp(0, 1).repeat_interleave(true.shape[1])
        return losses | self._long_losses(model, long, self.remembered[-1], heard * far, generator)

    def _long_losses(
        self, model: WorldModel, long: Batch, seen: Seen, heard: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """What long dreams add, the critic's word about each frame by the share that is `heard` [n]."""
        b, t, device = *long.action.shape[:2], long.action.device
        given = conditions(long, model, torch.zeros(b, device=device), generator)
        noise = torch.randn(given.target.shape, generator=generator, device=device)
        level = torch.zeros(b, t, device=device)
        ages = causal_ages(b, t, model.config.memory, device)
        out = model(noise, level, level + 1 / self.steps, given.context, ages)
        frames, true, overlay = out.frame.float().flatten(0, 1), to_unit(seen.true), model.screen(model.config.size)

        def shown(pictures: Tensor, pitch: Tensor = seen.pitch) -> Tensor:
            return seen_by_critic(pictures, pitch, overlay, model.config.field_of_view)

        count = round(REPLAYED * len(frames))
        old = self.remembered[int(torch.randint(len(self.remembered), (), generator=generator, device=device))]
        rows = torch.randint(len(old.pitch), (count,), generator=generator, device=device)
        right, wrong = (shown(to_unit(item[rows]), old.pitch[rows]) for item in (old.true, old.dreamed))
        self.learn(right, wrong, generator)
        told_apart = self.learn(shown(true), shown(frames.detach()), generator)
        screen = ((frames - true).abs() * overlay).mean() / overlay.mean().clamp(min=1e-3)
        return {
            "critic": self.weight * self.pull * self._word(frames, shown, heard),
            "screen": screen,
            "long_travel": fact_losses(out, long, model.config)["travel"],
            "told_apart": torch.tensor(told_apart),
        }

    def _feel(self, loss: Tensor, frames: Tensor) -> None:
        """Keeps the running average of how strongly a loss pulls at frames."""
        (gradient,) = torch.autograd.grad(loss, frames, retain_graph=True)
        pull = float(gradient.float().norm())
        self.pull = PULL_DECAY * self.pull + (1 - PULL_DECAY) * min(pull, 3 * self.pull) if self.pull else pull

    def _word(self, frames: Tensor, shown: Callable[[Tensor], Tensor], heard: Tensor) -> Tensor:
        """A loss whose gradient in frames [n, 3, h, w] is that of their being true, each by its share `heard` [n], and
        of length one if all are heard in full."""
        leaf = frames.detach().requires_grad_(True)
        doubts = [functional.softplus(-score.float()).mean((1, 2, 3)) for score in self.critic(shown(leaf))]
        (gradient,) = torch.autograd.grad(torch.stack(doubts).sum(), leaf)
        gradient = gradient / gradient.norm().clamp(min=1e-9)
        return (frames * gradient * heard[:, None, None, None]).sum()

    def learn(self, true: Tensor, dreamed: Tensor, generator: torch.Generator) -> float:
        """One step of the critic on what `seen_by_critic` gives of true and of dreamed frames; returns its loss."""
        self.learned += 1
        penalised = self.learned % PENALTY_EVERY == 0
        true = true.detach().requires_grad_(penalised)
        one, two = ([score.float() for score in self.critic(item)] for item in (true, dreamed.detach()))
        spent = loss = critic_loss(one, two)
        if penalised:
            # Of the sum of all sizes, with signs by chance: without them one size would learn to cancel the others.
            signs = torch.randint(2, (len(SCALES),), generator=generator, device=true.device).tolist()
            total = [(2 * sign - 1) * scale * score.sum() for sign, scale, score in zip(signs, SCALES, one)]
            (gradient,) = torch.autograd.grad(torch.stack(total).sum(), true, create_graph=True)
            loss = loss + PENALTY_EVERY * PENALTY * gradient.square().sum((1, 2, 3)).mean()
        self.method.zero_grad(set_to_none=True)
        loss.backward()
        self.processes.average_gradients(self.critic)
        self.method.step()
        return float(spent.detach())
