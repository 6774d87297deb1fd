"""The phases: first the finished flow (the teacher), then a student of few steps that learns from its own dreams."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from reverie.model import flow
from reverie.model.config import ModelConfig
from reverie.model.training.data import Batch, ShardSet, find_overlay
from reverie.model.training.loop import LOG, LoopConfig, Losses, Processes, run_phase, usual_loop
from reverie.model.training.lora import ADAPTER, adapter_weights, add_adapters, merge_adapters
from reverie.model.training.losses import fact_losses, frame_losses
from reverie.model.training.pictures import sheet, write_png
from reverie.model.training.rollout import Conditions, conditions, dream, rollout, with_own_past
from reverie.model.weights import STUDENT, TEACHER, load_model, save_model
from reverie.model.world_model import Context, Prediction, WorldModel, causal_ages

PHASES: tuple[str, ...] = ("dynamics", "distill")
CONTEXT_NOISE = 0.3
"""Largest noise level of spoiled contexts."""
CLEAN_CONTEXTS = 0.5
"""Share of windows whose context is left clean."""
START_LEVELS = 0.5
"""Share of frames that are predicted from pure noise, which is all a one-step student ever does."""
OWN_PAST = 0.5
"""Share of the student's windows whose past is its own dream."""
TEACHER_TARGETS = 0.05
"""Share of the student's batches in which the target of the other windows is the end of the teacher's path."""
TEACHER_STEPS = 4
STUDENT_TICKS = 32
"""Targets of the student's windows: longer than the teacher's, for its errors to grow as they do in play."""
STUDENT_WINDOWS = 0.5
"""Its windows a step, over the teacher's."""
SAMPLE_TICKS = 18


def choose_device() -> torch.device:
    """The GPU of this process where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


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


class Answer(NamedTuple):
    """What a student said to a batch, and what was asked for: frames [b, t, 3, h, w] in -1..1."""

    out: Prediction
    target: Tensor
    given: Conditions

    def losses(self, batch: Batch, config: ModelConfig) -> dict[str, Tensor]:
        """All that is minimised about it."""
        frame = frame_losses(
            self.out.frame.float(), self.target, self.given.before, self.given.known, usable_frames(batch)
        )
        return {**frame, **fact_losses(self.out, batch, config)}


def student_answer(
    model: WorldModel,
    teacher: WorldModel | None,
    steps: int,
    own_past: float,
    batch: Batch,
    generator: torch.Generator,
) -> Answer:
    """One pass of the student over a batch, as `distill_losses` says."""
    config = model.config
    b, t = batch.action.shape[:2]
    device = batch.action.device
    own, mixed = with_own_dreams(model, batch, steps, own_past, generator)
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
    return Answer(model(z, level, size, given.context, ages), target, given)


def distill_losses(teacher: WorldModel | None, steps: int, own_past: float = OWN_PAST) -> Losses:
    """A student that takes `steps` steps where `teacher` takes many, or learns without one.

    A share `own_past` of the windows are dreamed by the student first and their true frames asked for from that past
    (errors of its own kind, as in LIVE, arXiv 2602.03747); of the others the target is now and then where the teacher's
    path from the same noise ends (Luhman and Luhman, arXiv 2101.02388); the rest are true frames from a true past.
    """

    def losses(model: WorldModel, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        return student_answer(model, teacher, steps, own_past, batch, generator).losses(batch, model.config)

    return losses


@torch.no_grad()
def teacher_path(teacher: WorldModel, noise: Tensor, context: Context, ages: Tensor) -> Tensor:
    """Where the path of a teacher from `noise` [b, t, 3, h, w] ends after TEACHER_STEPS steps."""

    def denoise(z: Tensor, at: float, by: float) -> Tensor:
        levels, sizes = (torch.full(z.shape[:2], number, device=z.device) for number in (at, 1 / teacher.config.finest))
        return teacher(z, levels, sizes, context, ages).frame.float()

    return flow.sample(denoise, noise, TEACHER_STEPS)


def _sampler(shards: ShardSet, steps: int, device: torch.device) -> Callable[[WorldModel, Path], None]:
    """Draws `samples.png`: every third frame of three windows, the truth above the dream."""
    batch = shards.batch(np.random.default_rng(0), 3, SAMPLE_TICKS, cold=0.5).to(device)

    def sample(model: WorldModel, folder: Path) -> None:
        generator = torch.Generator(device).manual_seed(0)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            dreamed = rollout(model, batch, steps, generator)
        rows = []
        for true, seen in zip(batch.past[:, -SAMPLE_TICKS:].cpu().numpy(), dreamed.cpu().numpy()):
            rows += [true[2::3], seen[2::3]]
        write_png(folder / "samples.png", sheet(rows))

    return sample


def train_phase(
    phase: str,
    folders: list[Path],
    out: Path,
    config: ModelConfig,
    seconds: float,
    seed: int = 0,
    resume: bool = False,
    init: Path | None = None,
    loop: LoopConfig | None = None,
    taught: bool = True,
    screens: Sequence[Path] = (),
    rank: int = 0,
) -> Path:
    """Runs one phase on the shards in `folders` and writes its weights into the model folder `out/model`.

    `init` names a model folder to start from instead of fresh weights. The distill phase starts from, and learns from,
    the teacher in `out/model` or in `init`; not `taught`, it goes on from the student in `init` alone. The overlay is
    looked for in `folders` where the model has none, and in those of `screens` in any case: what they show is added if
    there are other `folders` too, and taken instead if not. With a `rank` only low-rank adapters learn; they are merged
    into the weights and kept beside them as `adapter.safetensors`. Raises ModelError.
    """
    device = choose_device()
    loop = loop or usual_loop(device)
    shards = ShardSet(folders, config)
    processes = Processes(device)
    rng = np.random.default_rng([seed, PHASES.index(phase), processes.rank])
    target = out / "model"
    torch.manual_seed(seed)
    if phase == "dynamics":
        model = load_model(init) if init else WorldModel(config)
        losses: Losses = dynamics_losses
        steps, file = config.finest, TEACHER
    else:
        source = init if init and not (target / TEACHER).is_file() else target
        teacher = load_model(source, TEACHER).to(device).requires_grad_(False) if taught else None
        goes_on = source is init and (source / STUDENT).is_file()
        model = load_model(source, STUDENT if goes_on or not taught else TEACHER)
        model.requires_grad_(True)
        steps, losses, file = config.steps, distill_losses(teacher, config.steps), STUDENT
        loop = replace(loop, ticks=STUDENT_TICKS, batch=max(1, round(loop.batch * STUDENT_WINDOWS)))
    _learn_screen(model, shards, screens, seed)
    if rank:
        add_adapters(model, rank)
    batches = shards.batches(rng, loop.batch, loop.ticks, loop.cold, own_views=False, loaders=loop.loaders)
    average = run_phase(
        phase, model, batches, losses, loop, out / phase, seconds, seed, device, resume,
        _sampler(shards, steps, device),
    )  # fmt: skip
    if processes.leads:
        if rank:
            save_model(target, config, adapter_weights(average), ADAPTER)
            merge_adapters(average)
        save_model(target, config, average.state_dict(), file)
        if phase == "dynamics" and not (target / STUDENT).is_file():
            save_model(target, config, average.state_dict(), STUDENT)
    processes.wait()
    return target


def _learn_screen(model: WorldModel, shards: ShardSet, screens: Sequence[Path], seed: int) -> None:
    """Finds what is painted on the screen (`train_phase` says where) and tells the model."""
    if not screens and model.overlay.any():
        return
    shown = ShardSet(screens, shards.config) if screens else shards
    found = {size: find_overlay(shown, seed, size) for size in shown.rows()}
    found = {size: overlay for size, overlay in found.items() if overlay.any()}
    if shards.config.size not in found:
        return
    if screens and set(shards.folders) - set(screens):
        known = {size: model.screen(size) for size in shards.config.sizes}
        found = {size: torch.maximum(overlay, found.get(size, overlay)) for size, overlay in known.items()}
    model.learn_screen(found)


def last_record(folder: Path) -> dict:
    """The last line of a phase's log."""
    lines = (folder / LOG).read_text("utf-8").splitlines()
    return json.loads(lines[-1]) if lines else {}
