"""The phases: first the finished flow (the teacher), then a student of few steps that learns from its own dreams."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from reverie.model.config import ModelConfig
from reverie.model.startup import limit_torch
from reverie.model.training.adversarial import AdversarialLosses
from reverie.model.training.data import Batch, ShardSet, find_overlay
from reverie.model.training.long_dreams import LongDreams
from reverie.model.training.loop import LOG, LoopConfig, Losses, Processes, run_phase, usual_loop
from reverie.model.training.lora import ADAPTER, adapter_weights, add_adapters, merge_adapters
from reverie.model.training.pictures import sheet, write_png
from reverie.model.training.rollout import rollout
from reverie.model.training.student import OWN_PAST, Lesson, distill_losses, dreamed_ahead
from reverie.model.training.teacher import dynamics_losses
from reverie.model.weights import STUDENT, TEACHER, load_model, save_model
from reverie.model.world_model import WorldModel

PHASES: tuple[str, ...] = ("dynamics", "distill")
STUDENT_TICKS = 32
"""Targets of the student's windows: longer than the teacher's, for its errors to grow as they do in play."""
STUDENT_WINDOWS = 0.25
"""Its windows a step, over the teacher's."""
LONG_SHARE = 2
"""Long dreams that it dreams on in a step, for each window."""
SAMPLE_TICKS = 18


def choose_device() -> torch.device:
    """The GPU of this process where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


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
    critic: bool = True,
) -> Path:
    """Runs one phase on the shards in `folders` and writes its weights into the model folder `out/model`.

    `init` names a model folder to start from instead of fresh weights. The distill phase starts from, and learns from,
    the teacher in `out/model` or in `init`; not `taught`, it goes on from the student in `init` alone. The overlay is
    looked for in `folders` where the model has none, and in those of `screens` in any case: what they show is added if
    there are other `folders` too, and taken instead if not. With a `rank` only low-rank adapters learn; they are merged
    into the weights and kept beside them as `adapter.safetensors`. Without the `critic` the distill phase has no long
    dreams. Raises ModelError.
    """
    limit_torch()
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
        loop = replace(loop, ahead=1)
        steps, file = config.finest, TEACHER
    else:
        source = init if init and not (target / TEACHER).is_file() else target
        teacher = load_model(source, TEACHER).to(device).requires_grad_(False) if taught else None
        goes_on = source is init and (source / STUDENT).is_file()
        model = load_model(source, STUDENT if goes_on or not taught else TEACHER)
        model.requires_grad_(True)
        loop = replace(loop, ticks=STUDENT_TICKS, batch=max(1, round(loop.batch * STUDENT_WINDOWS)))
        steps, losses, file = config.steps, distill_losses(teacher, config.steps), STUDENT
        if critic:
            dreams = LongDreams(shards, LONG_SHARE * loop.batch, [seed, processes.rank], device)
            losses = AdversarialLosses(teacher, steps, dreams)
    _learn_screen(model, shards, screens, seed)
    if rank:
        add_adapters(model, rank)
    batches = shards.batches(
        rng, loop.batch * loop.ahead, loop.ticks, loop.cold, own_views=False, loaders=loop.loaders,
        ahead=1 if loop.ahead > 1 else 2,
    )  # fmt: skip

    def prepare(model: WorldModel, batch: Batch, generator: torch.Generator) -> Sequence[Batch | Lesson]:
        if phase == "dynamics":
            return (batch,)
        return dreamed_ahead(model, batch, steps, OWN_PAST, loop.ahead, generator)

    average = run_phase(
        phase, model, batches, losses, loop, out / phase, seconds, seed, device, resume,
        _sampler(shards, steps, device), prepare=prepare,
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
