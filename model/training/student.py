"""The student: few steps, and a past that is its own dream."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from reverie.model import flow
from reverie.model.config import ModelConfig
from reverie.model.training.data import Batch
from reverie.model.training.loop import Losses
from reverie.model.training.losses import choice_loss, fact_losses, frame_losses
from reverie.model.training.rollout import Conditions, conditions, dream, with_own_past
from reverie.model.training.teacher import usable_frames
from reverie.model.world_model import Context, Prediction, WorldModel, causal_ages

OWN_PAST = 0.5
"""Share of the student's windows whose past is its own dream."""
TEACHER_TARGETS = 0.05
"""Share of the student's batches in which the target of the other windows is the end of the teacher's path."""
TEACHER_STEPS = 4


def with_own_dreams(
    model: WorldModel, batch: Batch, steps: int, share: float, generator: torch.Generator
) -> tuple[int, Batch]:
    """The batch with a past that `model` dreams now in its first windows, a `share` of all on average; and how many."""
    chance = float(torch.rand((), generator=generator, device=batch.action.device))
    own = round(len(batch.action) * share + chance - 0.5)
    if not own:
        return 0, batch
    model.eval()
    first = Batch(*(item[:own] for item in batch))
    dreamed = with_own_past(first, dream(model, first, steps, generator))
    model.train()
    return own, batch._replace(
        past=torch.cat((dreamed.past, batch.past[own:])), pace=torch.cat((dreamed.pace, batch.pace[own:]))
    )


class Lesson(NamedTuple):
    """Windows, and what a student gets to see of them."""

    true: Batch
    seen: Batch
    """The same, with a past that the student has dreamed in the first `own` of them."""
    own: int


def dreamed_ahead(
    model: WorldModel, windows: Batch, steps: int, own_past: float, ahead: int, generator: torch.Generator
) -> list[Lesson]:
    """Lessons for `ahead` steps out of one batch of `windows`.

    Their own pasts are dreamed in one go by the `model` as it is now. A dream is a chain of small passes, which keeps
    an accelerator waiting for orders: four times as many windows take it hardly longer. The last lesson's dreams then
    are of a model that is a few steps old.
    """
    own, mixed = with_own_dreams(model, windows, steps, own_past, generator)
    lessons = []
    for first in range(ahead):
        true, seen = (Batch(*(item[first::ahead] for item in batch)) for batch in (windows, mixed))
        lessons.append(Lesson(true, seen, len(range(first, own, ahead))))
    return lessons


class Answer(NamedTuple):
    """What a student said to a batch, and what was asked for: frames [b, t, 3, h, w] in -1..1."""

    out: Prediction
    target: Tensor
    given: Conditions
    batch: Batch

    def losses(self, config: ModelConfig) -> dict[str, Tensor]:
        """All that is minimised about it."""
        batch, before = self.batch, self.given.before
        usable = usable_frames(batch)
        frame = frame_losses(self.out.frame.float(), self.target, before, self.given.known, usable)
        if self.out.choice is not None:
            frame["choice"] = choice_loss(self.out.choice, self.target, before, usable)
        return {**frame, **fact_losses(self.out, batch, config)}


def student_answer(
    model: WorldModel,
    teacher: WorldModel | None,
    steps: int,
    own_past: float,
    batch: Batch | Lesson,
    generator: torch.Generator,
) -> Answer:
    """One pass of the student over a batch, as `distill_losses` says, or over a lesson that is prepared already."""
    config = model.config
    if isinstance(batch, Lesson):
        batch, mixed, own = batch
    else:
        own, mixed = with_own_dreams(model, batch, steps, own_past, generator)
    b, t = batch.action.shape[:2]
    device = batch.action.device
    taught = float(torch.rand((), generator=generator, device=device)) < TEACHER_TARGETS
    ages = causal_ages(b, t, config.memory, device)
    clean = torch.zeros(b, device=device)
    true = conditions(batch, model, clean, generator)
    given = conditions(mixed, model, clean, generator) if own else true
    level = torch.randint(0, steps, (b, t), generator=generator, device=device) / steps
    size = torch.full_like(level, 1 / steps)
    noise = torch.randn(true.target.shape, generator=generator, device=device)
    target = true.target
    if teacher is not None and taught and own < b:
        rest = Context(*(item[own:] for item in true.context))
        taught_by = teacher_path(teacher, noise[own:], rest, ages[own:])
        target = torch.cat((target[:own], taught_by))
    z = flow.noised(target, noise, level)
    return Answer(model(z, level, size, given.context, ages), target, given, batch)


def distill_losses(teacher: WorldModel | None, steps: int, own_past: float = OWN_PAST) -> Losses:
    """A student that takes `steps` steps where `teacher` takes many, or learns without one.

    A share `own_past` of the windows are dreamed by the student first and their true frames asked for from that past
    (errors of its own kind, as in LIVE, arXiv 2602.03747); of the others the target is now and then where the teacher's
    path from the same noise ends (Luhman and Luhman, arXiv 2101.02388); the rest are true frames from a true past.
    """

    def losses(model: WorldModel, batch: Batch | Lesson, generator: torch.Generator) -> dict[str, Tensor]:
        return student_answer(model, teacher, steps, own_past, batch, generator).losses(model.config)

    return losses


@torch.no_grad()
def teacher_path(teacher: WorldModel, noise: Tensor, context: Context, ages: Tensor) -> Tensor:
    """Where the path of a teacher from `noise` [b, t, 3, h, w] ends after TEACHER_STEPS steps."""

    def denoise(z: Tensor, at: float, by: float) -> Tensor:
        levels, sizes = (torch.full(z.shape[:2], number, device=z.device) for number in (at, 1 / teacher.config.finest))
        return teacher(z, levels, sizes, context, ages).frame.float()

    return flow.sample(denoise, noise, TEACHER_STEPS)
