"""One loop that trains any part of the model: resumable to the step, on a CPU or a GPU.

A part says what its network, a loss and a measurement are; the loop owns the optimizer, the learning rate, the
average of the weights (EMA), checkpoints and the record of losses.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from reverie.model.training.events import Events
from reverie.model.training.muon import Muon
from reverie.model.training.stopping import stop_on_request

CHECKPOINT = "checkpoint.pt"
HISTORY = "history.jsonl"


@dataclass(frozen=True, slots=True)
class TrainerConfig:
    """How a part is trained. The learning rate warms up and stays (warmup-stable-decay, Hu et al. 2024)."""

    lr: float = 2e-3
    weight_decay: float = 0.02
    betas: tuple[float, float] = (0.9, 0.98)
    warmup: int = 100
    """Steps until the full learning rate."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.999
    decay_share: float = 0.0
    """Share of this run's minutes, at its end, in which the learning rate falls to a fiftieth."""
    checkpoint_every: float = 180.0
    """Seconds."""
    evaluate_every: float = 600.0
    """Seconds."""
    seed: int = 0


class Part(Protocol):
    """What the loop needs to know of a part."""

    @property
    def network(self) -> nn.Module:
        """What is trained."""

    def groups(self) -> list[dict[str, Any]]:
        """Parameter groups for AdamW, or for Muon where a group says `muon`; `lr_scale` multiplies the learning
        rate."""

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """The loss of one fresh batch, and figures to be recorded."""

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Figures of a network on held-out data."""


def training_dtype(device: torch.device) -> torch.dtype | None:
    """bfloat16 where the hardware multiplies it, else None for float32."""
    if device.type == "cuda":
        return torch.bfloat16
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else None


def autocast(device: torch.device) -> torch.autocast:
    """Mixed precision where the hardware has it."""
    dtype = training_dtype(device)
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)


def _save(path: Path, content: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    torch.save(content, part)
    part.replace(path)


def train_part(
    part: Part,
    out: Path,
    minutes: float,
    config: TrainerConfig,
    *,
    resume: bool = True,
    steps: int | None = None,
    progress: Callable[[int, dict[str, float]], None] | None = None,
) -> dict[str, float]:
    """Trains for so many minutes, or `steps` if they are done sooner, and gives the last figures.

    `out` holds the checkpoint and the record afterwards.
    With `resume` a checkpoint that is there goes on, to the step; the random numbers of step k depend on k alone.
    SIGTERM ends it after the step at hand.
    """
    out.mkdir(parents=True, exist_ok=True)
    network = part.network
    groups = part.groups()
    for group in groups:
        group.setdefault("lr_scale", 1.0)
    split = [(group.pop("muon", False), group) for group in groups]
    matrices = [group for muon, group in split if muon]
    others = [group for muon, group in split if not muon]
    methods: list[torch.optim.Optimizer] = []
    if others:
        methods.append(torch.optim.AdamW(others, lr=config.lr, weight_decay=config.weight_decay, betas=config.betas))
    if matrices:
        methods.append(Muon(matrices, lr=config.lr, weight_decay=config.weight_decay))
    ema = {key: value.detach().clone() for key, value in network.state_dict().items()}
    step, spent = 0, 0.0
    checkpoint = out / CHECKPOINT
    if resume and checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(kept["network"])
        for method, state in zip(methods, kept["methods"], strict=True):
            method.load_state_dict(state)
        ema, step, spent = kept["ema"], kept["step"], kept["seconds"]

    def keep() -> None:
        content = {
            "network": network.state_dict(), "ema": ema, "methods": [method.state_dict() for method in methods]
        }  # fmt: skip
        _save(checkpoint, {**content, "step": step, "seconds": spent + time.monotonic() - begun})

    def record(figures: dict[str, float]) -> None:
        with (out / HISTORY).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "hours": (spent + time.monotonic() - begun) / 3600, **figures}) + "\n")
        events.add(step, figures)
        if progress is not None:
            progress(step, figures)

    def measure() -> dict[str, float]:
        live = {key: value.detach().clone() for key, value in network.state_dict().items()}
        network.load_state_dict(ema)
        network.eval()
        figures = part.evaluate(network)
        network.load_state_dict(live)
        network.train()
        record(figures)
        return figures

    events = Events(out)
    begun = time.monotonic()
    saved, measured = begun, begun
    running: dict[str, float] = {}
    network.train()
    end = None if steps is None else step + steps
    with stop_on_request() as asked:
        while (now := time.monotonic()) - begun < minutes * 60 and step != end and not asked.is_set():
            left = 1.0 - (now - begun) / (minutes * 60)
            fall = min(left / config.decay_share, 1.0) if config.decay_share else 1.0
            for group in (group for method in methods for group in method.param_groups):
                group["lr"] = config.lr * group["lr_scale"] * min(1.0, (step + 1) / config.warmup) * max(fall, 0.02)
            torch.manual_seed(config.seed * 1_000_003 + step)
            loss, figures = part.loss(np.random.default_rng([config.seed, step]))
            network.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
            if not math.isfinite(float(norm)):
                raise FloatingPointError(f"step {step}: the gradient is not finite")
            for method in methods:
                method.step()
            step += 1
            rate = max(
                1.0 - config.ema, 10.0 / (step + 20)
            )  # an average over the last tenth at first (Karras et al. 2024)
            with torch.no_grad():
                for key, value in network.state_dict().items():
                    if value.dtype.is_floating_point:
                        ema[key].lerp_(value, rate)
                    else:
                        ema[key].copy_(value)
            for name, value in figures.items():
                running[name] = value if name not in running else 0.98 * running[name] + 0.02 * value
            if step % 100 == 0:
                record({f"train_{name}": round(value, 5) for name, value in running.items()})
            now = time.monotonic()
            if now - saved > config.checkpoint_every:
                keep()
                saved = time.monotonic()
            if now - measured > config.evaluate_every:
                measure()
                measured = time.monotonic()
    keep()
    figures = measure()
    events.close()
    (out / "trainer.json").write_text(json.dumps(asdict(config), indent=1), encoding="utf-8")
    return figures


def load_ema(out: Path, network: nn.Module) -> nn.Module:
    """The network with the averaged weights of a checkpoint, ready to be used."""
    network.load_state_dict(torch.load(out / CHECKPOINT, weights_only=True)["ema"])
    return network.eval()
