"""Training of the world model's networks: masked prediction on packed worlds, as jobs that can be killed at any time.

A run is a folder: `checkpoint.pt` (weights, their EMA, optimizers, step), `ema.safetensors`, `config.json`,
`log.jsonl`. All chance is a function of the seed and the step, so a resumed run is the run that never stopped.
The learning rate is constant after a warm-up; `cool_steps` adds a decay to zero that starts from the checkpoint and
leaves it as it was (warmup-stable-decay: Hu et al. 2024, arXiv 2404.06395; Hägele et al. 2024, arXiv 2405.18392).
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from reverie.model.cells import HEIGHT as LAYERS
from reverie.model.cells import UNKNOWN
from reverie.model.errors import ModelError
from reverie.model.export_networks import load_halves
from reverie.model.land.columns import HEIGHT, STRIDE, LandFacts, columns_of, filled, outline_of, survey
from reverie.model.land.config import CellConfig, ColumnConfig, LandConfig, land_config
from reverie.model.land.masks import dropped_columns, unknown_cells, unknown_columns
from reverie.model.land.networks import CellNet, ColumnNet
from reverie.model.land.pack import Pack, open_pack, torus_crop
from reverie.model.training.events import Events
from reverie.model.training.muon import Muon
from reverie.model.training.stopping import stop_on_request

CHECKPOINT, COOLING, EMA, CONFIG, LOG = "checkpoint.pt", "cooling.pt", "ema.safetensors", "config.json", "log.jsonl"
PARTS = ("outline", "columns", "cells")
SURVEYED = 8
"""Worlds that the facts about tokens are counted on."""
CHANNEL_NAMES = ("height", "ground", "level", "rise", "top")


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """How a network is optimised."""

    batch: int
    matrix_lr: float = 2e-3
    """Learning rate of Muon, for the matrices inside the blocks."""
    other_lr: float = 1.5e-3
    """Learning rate of AdamW, for everything else."""
    warm_up: int = 50
    clip: float = 1.0
    ema: float = 0.999
    seed: int = 0
    resident: int = 48
    """Worlds in memory at once."""
    stay: int = 6
    """Steps after which the oldest of them gives way to the next."""
    checkpoint_seconds: float = 240.0
    log_seconds: float = 20.0
    evaluation_batches: int = 4


LOOPS = {
    "outline": LoopConfig(batch=32, resident=96, stay=4),
    "columns": LoopConfig(batch=8, resident=96, stay=4),
    "cells": LoopConfig(batch=4),
}


class World(NamedTuple):
    """A packed world with what is derived from it. It wraps along x and z."""

    cells: np.ndarray
    """uint8 [x, 64, z]; empty where only columns are wanted."""
    columns: np.ndarray
    """uint8 [5, x, z]"""
    outline: np.ndarray
    """uint8 [5, x / 8, z / 8]"""


class WorldPool:
    """Worlds in memory, exchanged one by one; which ones are there is a function of the step alone.

    Each is shifted at random when it comes in, so that outlines are not always cut at the same places.
    """

    def __init__(self, pack: Pack, facts: LandFacts, resident: int, stay: int, with_cells: bool) -> None:
        self._pack, self._facts, self._stay, self._with_cells = pack, facts, stay, with_cells
        self._resident = min(resident, len(pack))
        self._worlds: dict[int, World] = {}

    def at(self, step: int) -> list[World]:
        """The worlds that are there in a step."""
        first = step // self._stay
        for number in [number for number in self._worlds if not first <= number < first + self._resident]:
            del self._worlds[number]
        numbers = range(first, first + self._resident)
        for number in numbers:
            if number not in self._worlds:
                self._worlds[number] = self._load(number)
        return [self._worlds[number] for number in numbers]

    def _load(self, number: int) -> World:
        epoch, place = divmod(number, len(self._pack))
        order = np.random.default_rng([7, epoch]).permutation(len(self._pack))
        shift = np.random.default_rng([11, number]).integers(0, self._pack.shape[0], 2)
        cells = self._pack.world(int(order[place]))
        cells = np.ascontiguousarray(np.roll(cells, tuple(shift), axis=(0, 2)))
        columns = columns_of(cells, self._facts)
        kept = cells if self._with_cells else np.empty((0, *cells.shape[1:]), np.uint8)
        return World(kept, columns, outline_of(columns))


def outline_batch(
    worlds: list[World], rng: np.random.Generator, batch: int, config: ColumnConfig
) -> tuple[Tensor, ...]:
    """Outlines [b, 5, s, s], also turned and mirrored, and what of them is unknown."""
    maps, unknown = [], []
    for _ in range(batch):
        outline = worlds[rng.integers(len(worlds))].outline
        x, z = rng.integers(0, outline.shape[1], 2)
        crop = np.rot90(torus_crop(outline, x, z, (config.size, config.size), (1, 2)), int(rng.integers(4)), (1, 2))
        maps.append(crop[:, ::-1] if rng.random() < 0.5 else crop)
        unknown.append(unknown_columns(rng, config.size))
    return torch.from_numpy(np.stack(maps)).long(), torch.from_numpy(np.stack(unknown))


def column_batch(worlds: list[World], rng: np.random.Generator, batch: int, config: ColumnConfig) -> tuple[Tensor, ...]:
    """Maps of columns [b, 5, s, s], what of them is unknown, and the outlines around them [b, 5, k, k].

    A tenth of the outlines is unknown altogether; in the others a tenth of the cells is unknown or of another place,
    so that the network copes with outlines that were sampled.
    """
    margin = (config.context - config.size // STRIDE) // 2
    maps, unknown, around = [], [], []
    for _ in range(batch):
        world = worlds[rng.integers(len(worlds))]
        x, z = rng.integers(0, world.outline.shape[1], 2)
        maps.append(torus_crop(world.columns, x * STRIDE, z * STRIDE, (config.size, config.size), (1, 2)))
        unknown.append(unknown_columns(rng, config.size))
        context = torus_crop(world.outline, x - margin, z - margin, (config.context, config.context), (1, 2))
        noise = rng.random(context.shape[1:])
        strange = context.reshape(len(context), -1)[:, rng.permutation(noise.size)].reshape(context.shape)
        context = np.where(noise < 0.05, strange, np.where(noise < 0.1, UNKNOWN, context))
        around.append(np.full_like(context, UNKNOWN) if rng.random() < 0.1 else context)
    return (
        torch.from_numpy(np.stack(maps)).long(),
        torch.from_numpy(np.stack(unknown)),
        torch.from_numpy(np.stack(around)).long(),
    )


def cell_batch(
    worlds: list[World], rng: np.random.Generator, batch: int, config: CellConfig, facts: LandFacts
) -> tuple[Tensor, ...]:
    """Crops of cells [b, s, s, s], what is unknown of them, their columns [b, 5, s, s], drafts, lowest layers [b]."""
    size = config.size
    crops: list[np.ndarray] = []
    unknown, columns, drafts, lows = [], [], [], []
    while len(crops) < batch:
        world = worlds[rng.integers(len(worlds))]
        x, z = rng.integers(0, world.columns.shape[1], 2)
        below = torus_crop(world.columns, x, z, (size, size), (1, 2))
        height = int(below[HEIGHT, rng.integers(size), rng.integers(size)])
        low = int(np.clip(height - rng.integers(size // 8, size), 0, LAYERS - size))
        crop = torus_crop(world.cells[:, low : low + size], x, z, (size, size))
        below = dropped_columns(rng, below)
        masked = unknown_cells(rng, crop, below, low, facts)
        if masked.any():
            crops.append(crop)
            unknown.append(masked)
            columns.append(below)
            drafts.append(filled(below, facts)[:, low : low + size])
            lows.append(low)
    return (
        torch.from_numpy(np.stack(crops)).long(),
        torch.from_numpy(np.stack(unknown)),
        torch.from_numpy(np.stack(columns)).long(),
        torch.from_numpy(np.stack(drafts)).long(),
        torch.tensor(lows),
    )


def column_losses(model: ColumnNet, maps: Tensor, unknown: Tensor, context: Tensor | None = None) -> dict[str, Tensor]:
    """Nats of each channel, mean over its unknown columns."""
    logits = model(torch.where(unknown, UNKNOWN, maps), context)
    losses = {}
    for channel, part in enumerate(logits.split(model.config.sizes, dim=-1)):
        where = unknown[:, channel]
        if bool(where.any()):
            losses[CHANNEL_NAMES[channel]] = functional.cross_entropy(part[where], maps[:, channel][where])
    return losses


LEAST_RATE = 0.02
"""Of the learning rate, at the end of a decay by time."""
FILLED_WEIGHT = 5.0
"""Weight of filled cells above the ground."""


def above_ground(crops: Tensor, columns: Tensor, low: Tensor) -> Tensor:
    """bool [b, x, y, z]: cells over the ground of their column; none where that is unknown."""
    y = low[:, None] + torch.arange(crops.shape[2])
    return y[:, None, :, None] > columns[:, HEIGHT].unsqueeze(2)


def cell_losses(model: CellNet, air: int, *batch: Tensor) -> dict[str, Tensor]:
    """Losses of a batch as `cell_batch` makes it.

    `cells` is the weighted mean that is trained on; `nats`, `above` are plain means over all, over those above ground.
    """
    crops, unknown, columns, drafts, low = batch
    logits = model(torch.where(unknown, UNKNOWN, crops), columns, drafts, low)
    nats = functional.cross_entropy(logits[unknown], crops[unknown], reduction="none")
    above = above_ground(crops, columns, low)[unknown]
    weight = torch.where(above & (crops[unknown] != air), FILLED_WEIGHT, 1.0)
    losses = {"cells": (nats * weight).sum() / weight.sum(), "nats": nats.detach().mean()}
    if bool(above.any()):
        losses["above"] = nats.detach()[above].mean()
    return losses


class Task(NamedTuple):
    """What a network is trained on."""

    model: nn.Module
    losses: Callable[[nn.Module, int, bool], dict[str, Tensor]]
    """Of a model, in a step, on held-out worlds or not."""


def optimizers(model: nn.Module, config: LoopConfig) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al., 2024) for the blocks' matrices, AdamW for the rest."""
    matrices = [weight for name, weight in model.named_parameters() if name.startswith("blocks.") and weight.ndim == 2]
    inside = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in inside]
    return [
        Muon(matrices, lr=config.matrix_lr),
        torch.optim.AdamW(others, lr=config.other_lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]


def _autocast() -> Any:
    """bfloat16 where the processor computes in it, else float32."""
    if torch.cpu._is_avx512_bf16_supported():
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return nullcontext()


def _save(path: Path, state: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def _save_weights(path: Path, model: nn.Module) -> None:
    part = path.with_suffix(".part")
    save_file({name: weight.detach().contiguous() for name, weight in model.state_dict().items()}, part)
    part.replace(path)


def run(
    name: str,
    task: Task,
    config: LoopConfig,
    folder: Path,
    minutes: float,
    resume: bool = True,
    cool_steps: int = 0,
    max_steps: int | None = None,
    decay: float = 0.0,
) -> nn.Module:
    """Trains for `minutes` of this call, or up to step `max_steps`, and returns the EMA of the weights.

    With `cool_steps` the learning rate falls to zero over so many steps and training ends there; the weights go to
    `cooled.safetensors`, and the run's checkpoint stays for more training at the full rate.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = task.model.train()
    ema = copy.deepcopy(model).eval().requires_grad_(False)
    methods = optimizers(model, config)
    base_rates = [method.param_groups[0]["lr"] for method in methods]
    step, cooled_from, spent_before = 0, None, 0.0
    goes_to = folder / (COOLING if cool_steps else CHECKPOINT)
    source = goes_to if goes_to.is_file() else folder / CHECKPOINT
    if resume and source.is_file():
        state = torch.load(source, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        ema.load_state_dict(state["ema"])
        for method, values in zip(methods, state["methods"], strict=True):
            method.load_state_dict(values)
        step, spent_before, cooled_from = state["step"], state["seconds"], state["cooled_from"]
    elif not resume:
        (folder / LOG).unlink(missing_ok=True)
    if cool_steps and cooled_from is None:
        cooled_from = step
    end = max_steps if cooled_from is None else cooled_from + cool_steps

    def checkpoint(seconds: float) -> None:
        _save(
            goes_to,
            {
                "model": model.state_dict(), "ema": ema.state_dict(), "step": step, "seconds": seconds,
                "methods": [method.state_dict() for method in methods], "cooled_from": cooled_from,
            },
        )  # fmt: skip
        if not cool_steps:
            _save_weights(folder / EMA, ema)

    def held_out() -> dict[str, float]:
        sums: dict[str, list[float]] = {}
        with torch.no_grad(), _autocast():
            for number in range(config.evaluation_batches):
                for key, value in task.losses(ema, number, True).items():
                    sums.setdefault(key, []).append(float(value))
        return {key: round(float(np.mean(values)), 5) for key, values in sums.items()}

    def log(record: dict[str, Any]) -> None:
        with (folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        events.add(int(record["step"]), record)

    events = Events(folder)
    began = last_checkpoint = last_log = time.monotonic()
    pending: dict[str, list[float]] = {}
    bar = tqdm(total=round(minutes * 60), desc=name, unit="s", mininterval=5.0)
    with stop_on_request() as asked:
        while not asked.is_set() and (end is None or step < end):
            now = time.monotonic()
            if now - began >= minutes * 60:
                break
            factor = min(1.0, (step + 1) / config.warm_up)
            if decay:
                factor = min(factor, max((1 - (now - began) / (minutes * 60)) / decay, LEAST_RATE))
            if cooled_from is not None:
                factor = min(factor, 1 - (step - cooled_from) / cool_steps)
            for method, lr in zip(methods, base_rates):
                for group in method.param_groups:
                    group["lr"] = lr * factor
            with _autocast():
                parts = task.losses(model, step, False)
            loss = sum(value for value in parts.values() if value.requires_grad)
            assert isinstance(loss, Tensor)
            for method in methods:
                method.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            if bool(torch.isfinite(norm)):
                for method in methods:
                    method.step()
            decay = min(config.ema, (1 + step) / (10 + step))
            with torch.no_grad():
                for slow, fast in zip(ema.parameters(), model.parameters()):
                    slow.lerp_(fast, 1 - decay)
            step += 1
            for key, value in {**parts, "norm": norm}.items():
                pending.setdefault(key, []).append(float(value.detach()))
            now = time.monotonic()
            bar.n = min(round(now - began), bar.total)
            bar.set_postfix(step=step, loss=f"{float(loss.detach()):.4f}", refresh=False)
            if now - last_log >= config.log_seconds:
                means = {key: round(float(np.mean(values)), 5) for key, values in pending.items()}
                log({"step": step, "seconds": round(spent_before + now - began, 1), "lr": factor, "losses": means})
                pending, last_log = {}, now
            if now - last_checkpoint >= config.checkpoint_seconds:
                checkpoint(spent_before + now - began)
                log({"step": step, "seconds": round(spent_before + now - began, 1), "held_out": held_out()})
                last_checkpoint = time.monotonic()
        seconds = spent_before + time.monotonic() - began
        checkpoint(seconds)
        log({"step": step, "seconds": round(seconds, 1), "held_out": held_out()})
    bar.close()
    events.close()
    if cool_steps and step == end:
        _save_weights(folder / "cooled.safetensors", ema)
    return ema


def prepare(data: Path, out: Path, preset: str = "tiny") -> tuple[Pack, LandConfig, LandFacts]:
    """The pack, and a run's configuration: kept in `config.json`, so that a resumed run is what it was.

    Raises ModelError where the folder holds a run of another vocabulary or preset.
    """
    pack = open_pack(data)
    config = land_config(len(pack.vocabulary), preset)
    path = out / CONFIG
    if path.is_file():
        record = json.loads(path.read_text("utf-8"))
        if record["config"] != config.to_dict() or record["vocabulary"] != pack.vocabulary.to_dict():
            raise ModelError(f"{out}: holds a run of another network or vocabulary")
        return pack, config, LandFacts.from_dict(record["facts"])
    facts = survey((pack.world(index) for index in range(min(SURVEYED, len(pack)))), pack.vocabulary)
    out.mkdir(parents=True, exist_ok=True)
    record = {"config": config.to_dict(), "vocabulary": pack.vocabulary.to_dict(), "facts": facts.to_dict()}
    path.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    return pack, config, facts


def train(
    part: str,
    data: Path,
    out: Path,
    minutes: float,
    resume: bool = True,
    *,
    cool_steps: int = 0,
    held_out: Path | None = None,
    preset: str = "tiny",
    loop: LoopConfig | None = None,
    max_steps: int | None = None,
    init: Path | None = None,
    decay: float = 0.0,
) -> nn.Module:
    """Trains one of `PARTS` on the packed worlds in `data`; `held_out` is a pack to judge on (else `data`).

    A new run begins with the weights in the folder `init`, if that is given. `decay` is the share of the minutes, at
    their end, in which the learning rate falls."""
    loop = loop or LOOPS[part]
    pack, config, facts = prepare(data, out, preset)
    with_cells = part == "cells"
    judged = open_pack(held_out, limit=8) if held_out is not None else pack
    pools = (
        WorldPool(pack, facts, loop.resident, loop.stay, with_cells),
        WorldPool(judged, facts, 8, 1_000_000, with_cells),
    )
    torch.manual_seed(loop.seed)
    if part == "cells":
        model: nn.Module = CellNet(config.cells)
    else:
        model = ColumnNet(config.outline if part == "outline" else config.columns)
    if init is not None and not (out / CHECKPOINT).is_file():
        load_halves(model, init / f"{part}.safetensors")

    def losses(network: nn.Module, step: int, is_held_out: bool) -> dict[str, Tensor]:
        worlds = pools[is_held_out].at(step)
        rng = np.random.default_rng([loop.seed, step, int(is_held_out)])
        if isinstance(network, CellNet):
            batch = cell_batch(worlds, rng, loop.batch, config.cells, facts)
            return cell_losses(network, facts.air, *batch)
        assert isinstance(network, ColumnNet)
        make = outline_batch if part == "outline" else column_batch
        return column_losses(network, *make(worlds, rng, loop.batch, network.config))

    return run(part, Task(model, losses), loop, out, minutes, resume, cool_steps, max_steps, decay)


TRAIN: dict[str, Callable[..., nn.Module]] = {part: partial(train, part) for part in PARTS}
