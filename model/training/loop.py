"""The loop that every phase runs: boxed in time, killed and resumed at will, on one process or several (`torchrun`)."""

from __future__ import annotations

import copy
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.distributed.checkpoint.stateful import Stateful
from tqdm import tqdm

from reverie.model.cores import allowed_cores
from reverie.model.training.data import Batch
from reverie.model.training.losses import total_loss
from reverie.model.training.pictures import loss_curves

CHECKPOINT, LOG, CURVES = "checkpoint.pt", "log.jsonl", "losses.png"
Network = TypeVar("Network", bound=nn.Module)
Losses = Callable[[Any, Any, torch.Generator], dict[str, Tensor]]


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """How a phase is optimised."""

    batch: int = 4
    """Windows a step, on each process."""
    ticks: int = 12
    """Targets a window."""
    frames: int | None = None
    """Targets, of all processes, after which the phase ends even where it has time left: for equal budgets."""
    cold: float = 0.25
    """Share of windows that start from a single frame."""
    matrix_rate: float = 1.5e-3
    """Learning rate of Muon, for the matrices inside the blocks."""
    other_rate: float = 6e-4
    """Learning rate of AdamW, for everything else."""
    warm_up: float = 0.02
    """Share of the phase in which the rates rise."""
    cool_down: float = 0.4
    """Share of the phase in which the rates fall to zero."""
    clip: float = 1.0
    average: float = 0.998
    """Decay of the running average of the weights."""
    checkpoint_seconds: float = 240.0
    log_seconds: float = 5.0
    ahead: int = 1
    """Steps for which a student dreams its own pasts at once (`reverie.model.training.student.dreamed_ahead`)."""
    loaders: int = 0
    """Processes that make batches; 0: a thread of this one, which is all that a CPU's training can eat."""
    compiled: str | None = None
    """What `torch.compile` makes kernels with; None for inductor on a GPU and nothing on a CPU, which gains nothing."""

    def slowed(self, rate: float) -> LoopConfig:
        """The same with learning rates of so many times these: for weights that are not fresh."""
        return replace(self, matrix_rate=self.matrix_rate * rate, other_rate=self.other_rate * rate)


ACCELERATOR_BATCH, ACCELERATOR_AHEAD, SPARE_CORES = 40, 4, 3
"""Windows a step, and steps dreamed at once, where an accelerator trains, and cores that make no batches there."""


def usual_loop(device: torch.device) -> LoopConfig:
    """A CPU learns from few windows a step; an accelerator from many, which many processes make.

    Those are not counted by `OMP_NUM_THREADS`: `torchrun` sets it to 1, for the threads inside each process.
    """
    if device.type == "cpu":
        return LoopConfig()
    return LoopConfig(batch=ACCELERATOR_BATCH, ahead=ACCELERATOR_AHEAD, loaders=max(1, allowed_cores() - SPARE_CORES))


def optimisers(model: nn.Module, config: LoopConfig) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al., 2024) for the blocks' matrices, AdamW for the rest."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, weight in model.named_parameters():
        inside = name.startswith("blocks.") and ".condition." not in name
        (matrices if inside and weight.ndim == 2 else others).append(weight)
    adam = torch.optim.AdamW(others, lr=config.other_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    if not matrices:
        return [adam]
    muon = torch.optim.Muon(matrices, lr=config.matrix_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    return [muon, adam]


def rate_factor(progress: float, config: LoopConfig) -> float:
    """The learning rates' factor at `progress` 0..1: up, level, down to zero."""
    return max(0.0, min(1.0, progress / config.warm_up, (1 - progress) / config.cool_down))


class Processes:
    """This process among those that `torchrun` started; alone without it."""

    def __init__(self, device: torch.device) -> None:
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        if self.count > 1 and not distributed.is_initialized():
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")

    @property
    def leads(self) -> bool:
        """Whether this one writes the files."""
        return self.rank == 0

    def wait(self) -> None:
        """Returns when all have come here."""
        if self.count > 1:
            distributed.barrier()

    def average_gradients(self, model: nn.Module) -> None:
        """Every process gets the mean of all gradients."""
        if self.count == 1:
            return
        for weight in model.parameters():
            if weight.grad is not None:
                distributed.all_reduce(weight.grad)
                weight.grad /= self.count

    def agree(self, number: float) -> float:
        """The first process's number, so that all stop at the same step."""
        if self.count == 1:
            return number
        shared = torch.tensor([number], dtype=torch.float64)
        if distributed.get_backend() == "nccl":
            shared = shared.cuda()
        distributed.broadcast(shared, 0)
        return float(shared.item())


def run_phase(
    name: str,
    model: Network,
    batches: Iterator[Batch],
    losses: Losses,
    config: LoopConfig,
    folder: Path,
    seconds: float,
    seed: int,
    device: torch.device,
    resume: bool,
    sample: Callable[[Network, Path], None],
    watch: Callable[[Network, int], None] | None = None,
    prepare: Callable[[Network, Batch, torch.Generator], Sequence[Any]] = lambda model, batch, generator: (batch,),
) -> Network:
    """Trains `model` for `seconds` of its own time and returns the running average of its weights.

    Every few minutes it leaves a checkpoint, the loss curves and a sheet of samples in `folder`; with `resume` it goes
    on from the checkpoint that is there, and so do losses that have a state of their own. The log has losses, frames a
    second and the share of time that was spent waiting for data. After each step `watch` gets the average and the
    targets that were seen. What `prepare` makes of a batch are what so many steps learn from.
    """
    processes = Processes(device)
    folder.mkdir(parents=True, exist_ok=True)
    model.to(device).train()
    average = copy.deepcopy(model)
    average.eval().requires_grad_(False)
    kernels = config.compiled or ("inductor" if device.type == "cuda" else None)
    if kernels:
        model.compile(backend=kernels)
    methods = optimisers(model, config)
    base_rates = [method.param_groups[0]["lr"] for method in methods]
    generator = torch.Generator(device).manual_seed(seed * 1000 + processes.rank)
    step, spent = 0, 0.0

    path = folder / CHECKPOINT
    if resume and path.is_file():
        state = torch.load(path, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        for method, values in zip(methods, state["methods"], strict=True):
            method.load_state_dict(values)
        if isinstance(losses, Stateful) and "losses" in state:
            losses.load_state_dict(state["losses"])
        step, spent = state["step"], state["spent"]
        generator.manual_seed(seed * 1000 + processes.rank + 7919 * step)
    elif processes.leads:
        (folder / LOG).write_text("", "utf-8")

    def checkpoint() -> None:
        if not processes.leads:
            return
        state = {
            "model": model.state_dict(), "average": average.state_dict(),
            "methods": [method.state_dict() for method in methods], "step": step, "spent": spent,
        }  # fmt: skip
        if isinstance(losses, Stateful):
            state["losses"] = losses.state_dict()
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
        if (folder / LOG).stat().st_size:
            loss_curves(folder / LOG, folder / CURVES)
        sample(average, folder)

    began = time.perf_counter() - spent
    last_checkpoint = last_log = spent
    pending: dict[str, list[float]] = {}
    frames, waited, prepared = 0, 0.0, deque[Any]()
    a_step = config.batch * config.ticks * processes.count

    def progress() -> float:
        return max(spent / seconds, step * a_step / config.frames if config.frames else 0.0)

    bar = tqdm(total=round(seconds), initial=round(spent), desc=name, unit="s", disable=not processes.leads)
    while progress() < 1:
        factor = rate_factor(progress(), config)
        for method, rate in zip(methods, base_rates):
            for group in method.param_groups:
                group["lr"] = rate * factor
        with torch.autocast(device.type, dtype=torch.bfloat16):
            if not prepared:
                asked = time.perf_counter()
                batch = next(batches).to(device)
                waited += time.perf_counter() - asked
                prepared.extend(prepare(model, batch, generator))
            parts = losses(model, prepared.popleft(), generator)
        loss = total_loss(parts)
        for method in methods:
            method.zero_grad(set_to_none=True)
        loss.backward()
        processes.average_gradients(model)
        norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        if bool(torch.isfinite(norm)):
            for method in methods:
                method.step()
        decay = min(config.average, (1 + step) / (10 + step))
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), model.parameters()):
                slow.lerp_(fast, 1 - decay)
        step += 1
        frames += a_step
        for key, value in {**parts, "norm": norm}.items():
            pending.setdefault(key, []).append(float(value.detach()))
        spent = processes.agree(time.perf_counter() - began)
        bar.n = min(round(spent), bar.total)
        bar.set_postfix(step=step, frame=f"{pending['frame'][-1]:.4f}", refresh=False)
        bar.refresh()
        if processes.leads and (spent - last_log >= config.log_seconds or progress() >= 1):
            means = {key: float(np.mean(values)) for key, values in pending.items()}
            record = {
                "step": step, "seconds": round(spent, 1), "frames_per_second": round(frames / (spent - last_log), 1),
                "waited": round(waited / (spent - last_log), 4), "rate": factor, "losses": means,
            }  # fmt: skip
            with (folder / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            pending, frames, waited, last_log = {}, 0, 0.0, spent
        if watch is not None:
            watch(average, step * a_step)
        if spent - last_checkpoint >= config.checkpoint_seconds:
            checkpoint()
            last_checkpoint = spent
    checkpoint()
    bar.close()
    return average
