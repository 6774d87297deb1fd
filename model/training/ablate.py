"""Small studies on equal budgets: what parts of the model are worth, ways to few steps, and how quality scales.

Every arm of a study gets the same number of training frames, in the same order, and is measured on the same held-out
windows. Arms are data; `python -m reverie.demos.ablate` runs them. Figures beside those of the trial:

    gain_1 gain_8 gain_32  dB by which the mean squared error of all pixels is below that of copying the last frame
    loss                   frame, Haar and texture loss of one step from a true past, weighted as in training
    flops                  additions and multiplications of training so far, counted in the network (from scratch only)
    cpu_seconds            processor time of training
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from reverie.model import flow
from reverie.model.config import ModelConfig
from reverie.model.errors import ModelError
from reverie.model.training import trial
from reverie.model.training.adversarial import AdversarialLosses
from reverie.model.training.data import Batch, ShardSet, find_overlay, ticks_of
from reverie.model.training.heldout import (
    HELD_SEED,
    HORIZONS,
    TICKS,
    copied_frames,
    dream_figures,
    dreamer,
    dreams,
    figures,
    gains,
    held_windows,
    milliseconds,
    pooled_error,
)
from reverie.model.training.long_dreams import LongDreams
from reverie.model.training.loop import CHECKPOINT, LoopConfig, Losses, run_phase
from reverie.model.training.losses import WEIGHTS, frame_losses, total_loss
from reverie.model.training.phases import LONG_SHARE, STUDENT_TICKS, choose_device
from reverie.model.training.pictures import sheet, write_png
from reverie.model.training.rollout import conditions
from reverie.model.training.shortcut import ShortcutLosses
from reverie.model.training.student import OWN_PAST, distill_losses
from reverie.model.weights import STUDENT, TEACHER, load_model
from reverie.model.world_model import (
    CANDIDATES,
    PICKED_FIRST,
    Prediction,
    WorldModel,
    causal_ages,
)

Method = Literal["scratch", "regression", "shortcut", "adversarial", "teacher", "student"]
"""How an arm comes by its weights: from nothing, from a teacher in one of three ways, or as they ship."""
PAINT = 3
"""Place of the new paint among the candidates of `WorldModel`."""
COST = "cost.json"
"""What the training of an arm cost, beside its checkpoint."""
LONGEST = 3600.0
"""Seconds that no arm takes."""
SHOWN = 3
"""Windows on the sheets of pictures."""
WATCHED_TICKS = 8
"""Ticks dreamed where a run is measured on its way."""


class VelocityModel(WorldModel):
    """A denoiser whose picture is taken for the velocity, clean frame less noise (v-prediction); all else is equal.

    It starts from new paint, because no frame that was seen is a velocity.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        bias, cells = self.head.out.bias, config.cell**2
        assert bias is not None
        first = self.head.colours
        with torch.no_grad():
            bias[first : first + CANDIDATES * cells] = 0
            bias[first + PAINT * cells : first + (PAINT + 1) * cells] = PICKED_FIRST

    def forward(self, noised: Tensor, level: Tensor, *given: Any, **named: Any) -> Prediction:
        """As `WorldModel.forward`."""
        out = super().forward(noised, level, *given, **named)
        return out._replace(frame=noised + flow.over_pixels(1 - level) * out.frame, choice=None)


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the things that a study compares."""

    name: str
    says: str
    """What is different about it."""
    method: Method = "scratch"
    changes: dict[str, Any] = field(default_factory=dict)
    """Fields of its `ModelConfig` that differ from the study's."""
    velocity: bool = False
    own_past: float = OWN_PAST
    """Share of windows that a student dreams first."""
    own_views: bool = True
    """Whether training is given earlier views from within a window, true where the dream has its own."""
    steps: tuple[int, ...] = (1,)
    """Steps a frame with which it is measured."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Study:
    """Arms, and what they have in common."""

    arms: tuple[Arm, ...]
    frames: int
    """Training targets of each arm."""
    loop: LoopConfig
    changes: dict[str, Any] = field(default_factory=dict)
    """Fields of the `ModelConfig` that differ from the preset's."""
    marks: tuple[float, ...] = ()
    """Shares of the frames after which an arm is measured on its way."""


SMALL: dict[str, Any] = {"width": 128, "bottleneck": 64, "cell_width": 32}
STUDIES: dict[str, Study] = {
    "ablations": Study(
        arms=(
            Arm("base", "as shipped (memory attention in two of six layers), but small"),
            Arm("again", "the same with another seed", seed=1),
            Arm("velocity", "v-prediction", velocity=True),
            Arm("history-1", "one past frame stacked instead of four", changes={"history": (1,)}),
            Arm("memory-4", "memory of 4 ticks instead of 16", changes={"memory": 4}),
            Arm("memory-none", "memory attention in no layer", changes={"memory_layers": ()}),
            Arm("memory-half", "memory attention in every second layer", changes={"memory_layers": (1, 3, 5)}),
            Arm("memory-all", "memory attention in all layers", changes={"memory_layers": (0, 1, 2, 3, 4, 5)}),
        ),
        frames=1920,
        loop=LoopConfig(batch=2, ticks=12),
        changes=SMALL,
    ),
    "distill": Study(
        arms=(
            Arm("teacher", "the teacher itself", "teacher", steps=(1, 4, 8)),
            Arm("shipped", "the student that ships", "student"),
            Arm("regression", "(a) true frames asked for from its own past", "regression", steps=(1, 2, 4)),
            Arm("true-past", "(a) without its own past", "regression", own_past=0.0),
            Arm("earlier-views", "(a) with earlier views from before the window only", "regression", own_views=False),
            Arm("shortcut", "(b) shortcut forcing from its own past", "shortcut", steps=(1, 2, 4)),
            Arm("adversarial", "(c) as (a), with a critic of long dreams", "adversarial", steps=(1, 2, 4)),
        ),
        frames=3200,
        loop=LoopConfig(batch=2, ticks=STUDENT_TICKS // 2),
    ),
    "scaling": Study(
        arms=(
            Arm("width-96", "", changes={"width": 96, "depth": 4, "memory_layers": (1, 3), "cell_width": 32}),
            Arm("width-160", "", changes={"width": 160, "depth": 5, "memory_layers": (1, 3), "cell_width": 48}),
            Arm("width-256", "", changes={"width": 256, "depth": 6, "memory_layers": (2, 4), "cell_width": 64}),
        ),
        frames=3072,
        loop=LoopConfig(batch=2, ticks=12, cool_down=1e-3),
        marks=(1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0),
    ),
}


def start(arm: Arm, config: ModelConfig, folder: Path, shards: ShardSet) -> tuple[WorldModel, Losses | None]:
    """The arm's untrained model and its losses; None where there is nothing to train. `folder` holds the teacher."""
    torch.manual_seed(arm.seed)
    if arm.method == "scratch":
        model = (VelocityModel if arm.velocity else WorldModel)(config)
        return model, trial.Arm(model).losses
    model = load_model(folder, STUDENT if arm.method == "student" else TEACHER)
    if arm.method in ("student", "teacher"):
        return model, None
    teacher = load_model(folder, TEACHER).requires_grad_(False)
    if arm.method == "regression":
        return model, distill_losses(teacher, 1, arm.own_past)
    if arm.method == "shortcut":
        return model, ShortcutLosses(model, arm.own_past)
    return model, AdversarialLosses(teacher, 1, LongDreams(shards, LONG_SHARE, arm.seed, choose_device()), arm.own_past)


@torch.no_grad()
def held_loss(model: WorldModel, windows: Batch, device: torch.device) -> float:
    """Frame, Haar and texture loss of one step from noise and a true past, weighted as in training."""
    config = model.config
    total = 0.0
    for part in zip(*(column.split(1) for column in windows)):
        batch = Batch(*part).to(device)
        b, t = batch.action.shape[:2]
        generator = torch.Generator(device).manual_seed(HELD_SEED)
        given = conditions(batch, model, torch.zeros(b, device=device), generator)
        noise = torch.randn(given.target.shape, generator=generator, device=device)
        level = torch.zeros(b, t, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            out = model(noise, level, level + 1, given.context, causal_ages(b, t, config.memory, device))
        parts = frame_losses(out.frame.float(), given.target, given.before, given.known, torch.ones_like(level))
        total += float(sum(WEIGHTS[name] * value for name, value in parts.items()))
    return total / len(windows.action)


def training_flops(model: WorldModel, losses: Losses, batch: Batch, device: torch.device) -> float:
    """Additions and multiplications per training frame, counted in one step of training, forward and backward."""
    generator, batch = torch.Generator(device).manual_seed(0), batch.to(device)
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:  # the others are not counted on a CPU
        total_loss(losses(model.train(), batch, generator)).backward()
    model.zero_grad(set_to_none=True)
    return counter.get_total_flops() / (batch.action.shape[0] * batch.action.shape[1])


@dataclass(frozen=True, slots=True)
class Bench:
    """What arms are trained and measured on."""

    data: list[Path]
    held: list[Path]
    out: Path
    teacher: Path
    """Folder of the model whose teacher students start from."""
    windows: int
    device: torch.device = field(default_factory=choose_device)

    def overlay(self, shards: ShardSet) -> Tensor:
        """What is painted on the screen, looked for once."""
        path = self.out / "overlay.npy"
        if not path.is_file():
            np.save(path, find_overlay(shards).numpy())
        return torch.from_numpy(np.load(path))


def run_arm(arm: Arm, study: Study, base: ModelConfig, bench: Bench) -> dict[str, Any]:
    """Trains and measures one arm; returns its record. Raises ModelError."""
    config = replace(base, **study.changes | arm.changes)
    if arm.method != "scratch":
        config = load_model(bench.teacher, TEACHER).config
    shards, windows = ShardSet(bench.data, config), held_windows(ShardSet(bench.held, config), bench.windows)
    model, losses = start(arm, config, bench.teacher, shards)
    record: dict[str, Any] = {
        "says": arm.says, "method": arm.method, "changes": arm.changes, "windows": len(windows.action),
        "parameters": sum(weight.numel() for weight in model.parameters()), "frames": 0, "flops": 0.0,
    }  # fmt: skip
    if losses is not None:
        if not model.overlay.any():
            model.learn_screen({config.size: bench.overlay(shards)})
        model = _train(arm, study, model, losses, shards, windows, bench, record)
    true = windows.past[:, -TICKS:]
    record["loss"] = held_loss(model, windows, bench.device)
    rows = [true]
    for steps in arm.steps:
        dream = dreamer(model, steps)
        if steps == arm.steps[0]:
            numbers, dreamed = dream_figures(dream, windows, bench.device)
        else:
            dreamed = dreams(dream, windows, bench.device)
            numbers = {**figures(dreamed, true), "milliseconds": milliseconds(dream, windows, bench.device)}
        record.setdefault("steps", {})[str(steps)] = {**numbers, **gains(dreamed, windows)}
        rows.append(dreamed)
    shots = [0, 3, 7, 15, 31]
    moving = (true[:, -1].float() - true[:, 0].float()).abs().mean((1, 2, 3)).argsort(descending=True)[:SHOWN]
    write_png(bench.out / f"{arm.name}.png", sheet([frames[i, shots].numpy() for i in moving for frames in rows]))
    return record


def _train(
    arm: Arm,
    study: Study,
    model: WorldModel,
    losses: Losses,
    shards: ShardSet,
    windows: Batch,
    bench: Bench,
    record: dict[str, Any],
) -> WorldModel:
    """Trains on the study's budget; writes what it cost, and figures on the way, into `record`.

    An arm that was trained on that budget before is taken from its folder.
    """
    folder = bench.out / arm.name
    if (folder / COST).is_file():
        cost = json.loads((folder / COST).read_text("utf-8"))
        if cost["frames"] == study.frames:
            record |= cost
            state = torch.load(folder / CHECKPOINT, map_location=bench.device, weights_only=True)
            model.load_state_dict(state["average"])
            return model.to(bench.device).eval()
    loop = replace(study.loop, frames=study.frames)
    model.requires_grad_(True).to(bench.device)
    a_frame = 0.0
    if arm.method == "scratch":  # the losses of students have a state, and chance decides what they cost
        a_frame = training_flops(
            model, losses, shards.batch(np.random.default_rng(0), 1, loop.ticks, 0.0), bench.device
        )
    marks = [round(mark * study.frames) for mark in study.marks]
    curve: list[dict[str, float]] = []
    measured = 0.0

    def watch(average: nn.Module, seen: int) -> None:
        nonlocal measured
        if not marks or seen < marks[0]:
            return
        began = time.process_time()
        while marks and seen >= marks[0]:
            marks.pop(0)
        assert isinstance(average, WorldModel)
        curve.append({"frames": seen, "flops": seen * a_frame, **brief_figures(average, windows, bench.device)})
        measured += time.process_time() - began

    began = time.process_time()
    average = run_phase(
        arm.name, model,
        shards.batches(np.random.default_rng(arm.seed), loop.batch, loop.ticks, loop.cold, arm.own_views), losses, loop,
        folder, LONGEST, arm.seed, bench.device, False, lambda *_: None, watch,
    )  # fmt: skip
    cost = {
        "frames": study.frames, "flops": study.frames * a_frame,
        "cpu_seconds": round(time.process_time() - began - measured, 1), "curve": curve,
    }  # fmt: skip
    (folder / COST).write_text(json.dumps(cost) + "\n", "utf-8")
    record |= cost
    return average


def brief_figures(model: WorldModel, windows: Batch, device: torch.device) -> dict[str, float]:
    """The held-out loss, and error and gain over copying after the first of HORIZONS."""
    dreamed = dreams(dreamer(model, 1), ticks_of(windows, 0, WATCHED_TICKS), device)
    true = windows.past[:, -TICKS:]
    errors = {
        f"error_{tick}": pooled_error(dreamed[:, tick - 1], true[:, tick - 1])
        for tick in HORIZONS
        if tick <= WATCHED_TICKS
    }
    return {"loss": held_loss(model, windows, device), **errors, **gains(dreamed, windows)}


def copy_figures(windows: Batch) -> dict[str, float]:
    """Those of the frame before, shown for ever."""
    return figures(copied_frames(windows), windows.past[:, -TICKS:])


def run_study(name: str, base: ModelConfig, bench: Bench, only: Iterable[str] = (), frames: int | None = None) -> dict:
    """Runs the arms of a study that are not in `bench.out/NAME.json` yet, all or those named `only`; returns its text.

    `frames` replaces the study's budget. Raises ModelError.
    """
    study = STUDIES[name]
    if frames:
        study = replace(study, frames=frames)
    wanted = set(only)
    unknown = wanted - {arm.name for arm in study.arms}
    if unknown:
        raise ModelError(f"{name}: has no arms {', '.join(sorted(unknown))}")
    bench.out.mkdir(parents=True, exist_ok=True)
    path = bench.out / f"{name}.json"
    result: dict[str, Any] = {"study": name, "frames": study.frames, "copy": {}, "arms": {}}
    if path.is_file():
        result = json.loads(path.read_text("utf-8"))
        if result["frames"] != study.frames:
            raise ModelError(f"{path}: its arms had {result['frames']} frames, not {study.frames}")
    for arm in study.arms:
        if arm.name in result["arms"] or (wanted and arm.name not in wanted):
            continue
        result["arms"][arm.name] = run_arm(arm, study, base, bench)
        if not result["copy"]:
            result["copy"] = copy_figures(held_windows(ShardSet(bench.held, base), bench.windows))
        result["arms"] = {each.name: result["arms"][each.name] for each in study.arms if each.name in result["arms"]}
        path.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    return result
