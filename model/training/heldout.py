"""What a short study measures on held-out windows: dreams from a true past with true actions, beside the truth."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from reverie.model.errors import ModelError
from reverie.model.training.data import Batch, ShardSet
from reverie.model.training.rollout import rollout
from reverie.model.world_model import WorldModel

HORIZONS: tuple[int, ...] = (1, 8, 32)
TICKS = max(HORIZONS)
SHUFFLED_AT = 8
"""Ticks after which the effect of other actions is measured."""
HELD_SEED = 0
DRAWS = 20
"""Windows looked at for each one wanted at most: those with edits cannot be foreseen and are left out."""
AT_ONCE = 8
"""Windows dreamed together."""
TIMED = 3
"""Dreams timed; the fastest counts."""
SMALLEST_ERROR = 1e-6
"""Mean squared error, of frames in 0..1, below which two frames count as the same: 60 dB."""
Dream = Callable[[Batch], Tensor]
"""All ticks of a batch, dreamed: uint8 [b, t, h, w, 3] on the CPU, each window with the same noise every time."""


def held_windows(shards: ShardSet, count: int) -> Batch:
    """At most `count` windows of TICKS targets without edits, always the same. Raises ModelError.

    Earlier views are from before the window: true ones from within it would tell the dream what comes.
    """
    rng = np.random.default_rng(HELD_SEED)
    windows: list[Batch] = []
    for _ in range(DRAWS * count):
        window = shards.batch(rng, 1, TICKS, cold=0.0, own_views=False)
        if not bool(window.edited.any()):
            windows.append(window)
        if len(windows) == count:
            break
    if not windows:
        raise ModelError("no held-out windows without edits")
    return Batch(*(torch.cat(column) for column in zip(*windows)))


def psnr(frames: Tensor, others: Tensor) -> float:
    """Mean over frames of the PSNR in dB between two uint8 tensors [..., h, w, 3]."""
    error = ((frames.float() - others.float()) / 255).square().mean((-3, -2, -1))
    return float((-10 * error.clamp(min=SMALLEST_ERROR).log10()).mean())


def laplacian_energy(frames: Tensor) -> float:
    """Mean square of the four-neighbour Laplacian of the brightness of uint8 frames [b, h, w, 3]."""
    grey = frames.float().mean(-1).unsqueeze(1)
    kernel = grey.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    return float(functional.conv2d(grey, kernel).square().mean())


def with_others_actions(batch: Batch) -> Batch:
    """Each window with the actions and camera turns of the next one."""
    return batch._replace(
        action=batch.action.roll(1, 0),
        last_action=batch.last_action.roll(1, 0),
        turn=batch.turn.roll(1, 0),
        rest_tick=batch.rest_tick.roll(1, 0),
        at_rest=batch.at_rest.roll(1, 0),
    )


def figures(dreamed: Tensor, true: Tensor) -> dict[str, float]:
    """What can be said of any frames [b, TICKS, h, w, 3] beside the true ones."""
    numbers = {f"psnr_{tick}": psnr(dreamed[:, tick - 1], true[:, tick - 1]) for tick in HORIZONS}
    sharpness = laplacian_energy(dreamed[:, -1]) / max(laplacian_energy(true[:, -1]), SMALLEST_ERROR)
    return {**numbers, f"sharpness_{TICKS}": sharpness}


def copied_frames(windows: Batch) -> Tensor:
    """The frame before the first tick, shown for ever: uint8 [b, TICKS, h, w, 3]."""
    return windows.past[:, -TICKS - 1 : -TICKS].expand(-1, TICKS, -1, -1, -1)


def pooled_error(frames: Tensor, true: Tensor) -> float:
    """Mean squared error over all pixels of uint8 frames [..., h, w, 3], in units of the range 0..1."""
    return max(float(((frames.float() - true.float()) / 255).square().mean()), SMALLEST_ERROR)


def gains(dreamed: Tensor, windows: Batch) -> dict[str, float]:
    """By how many dB the pooled error of dreams [b, t, h, w, 3] is below that of copying, after each of HORIZONS.

    Pooled before the logarithm is taken, so that windows in which nothing happens, where copying is perfect, count as
    little as they matter.
    """
    true, copied = windows.past[:, -TICKS:], copied_frames(windows)
    return {
        f"gain_{tick}": float(
            10
            * np.log10(
                pooled_error(copied[:, tick - 1], true[:, tick - 1])
                / pooled_error(dreamed[:, tick - 1], true[:, tick - 1])
            )
        )
        for tick in HORIZONS
        if tick <= dreamed.shape[1]
    }


def dreamer(model: WorldModel, steps: int) -> Dream:
    """How `model` dreams with so many steps a frame."""

    def dream(batch: Batch) -> Tensor:
        device = batch.past.device
        generator = torch.Generator(device).manual_seed(HELD_SEED)
        past = batch._replace(past=batch.past[:, : model.config.past])
        with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16):
            return rollout(model, past, steps, generator).cpu()

    return dream


def dreams(dream: Dream, windows: Batch, device: torch.device) -> Tensor:
    """The windows, dreamed a few at a time."""
    parts = zip(*(column.split(AT_ONCE) for column in windows))
    return torch.cat([dream(Batch(*part).to(device)) for part in parts])


def dream_figures(dream: Dream, windows: Batch, device: torch.device) -> tuple[dict[str, float | None], Tensor]:
    """Figures of a way to dream, and its dreams uint8 [b, TICKS, h, w, 3]."""
    true = windows.past[:, -TICKS:]
    dreamed, twins = dreams(dream, windows, device), dreams(dream, with_others_actions(windows), device)
    at = slice(SHUFFLED_AT - 1, SHUFFLED_AT)
    return {
        **figures(dreamed, true),
        f"same_{SHUFFLED_AT}": psnr(dreamed[:, at], twins[:, at]),
        f"obeyed_{SHUFFLED_AT}": psnr(dreamed[:, at], true[:, at]) - psnr(twins[:, at], true[:, at]),
        "milliseconds": milliseconds(dream, windows, device),
    }, dreamed


def milliseconds(dream: Dream, windows: Batch, device: torch.device) -> float:
    """What one tick of one dream takes in torch, from past frames to frames."""
    single = Batch(*(column[:1] for column in windows)).to(device)
    spent = []
    for _ in range(TIMED):
        began = time.perf_counter()
        dream(single)
        spent.append(time.perf_counter() - began)
    return 1000 * min(spent) / TICKS


def table(columns: dict[str, dict[str, float | None]]) -> str:
    """The figures as text, a row for each and a column for each arm."""
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    lines = [" " * 16 + "".join(f"{title:>12}" for title in columns)]
    for name in names:
        values = (column.get(name) for column in columns.values())
        lines.append(f"{name:<16}" + "".join(f"{'-' if value is None else f'{value:.2f}':>12}" for value in values))
    return "\n".join(lines)
