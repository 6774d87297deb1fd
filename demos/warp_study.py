"""How much of the next frame is the last one moved? Errors with true depth and travel, for the log.

    python -m reverie.demos.warp_study --data runs/tiny/data
    python -m reverie.demos.warp_study --data runs/tiny/data --model tiny

With a model: where its errors are. Ticks with motion; PSNR by region of the model's frame, of the frame before as it
stands, and of the frame before moved by true turn, depth and travel, which no way of moving it can beat by much.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from reverie.model.startup import require_for_script

require_for_script("train", __name__)  # before what follows imports torch

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from reverie.demos.scripts import answered
from reverie.model import geometry
from reverie.model.config import ModelConfig, preset
from reverie.model.step import to_unit
from reverie.model.training.data import ShardSet
from reverie.model.training.losses import SKY_METRES
from reverie.model.training.rollout import conditions
from reverie.model.weights import load_model, model_folder
from reverie.model.world_model import causal_ages
from reverie.simulator.judge.truth import MOVED_METRES, TURNED_DEGREES

CHAIN = 8
"""Ticks over which a frame is moved again and again."""
VIEW = (slice(None), slice(None), slice(0, 78), slice(0, 140))
"""Without hotbar and hand, which do not move with the world (160x96 pixels)."""


def laplacian_energy(frames: Tensor) -> float:
    """Mean squared response of the four-neighbour Laplacian: how much fine detail there is."""
    kernel = frames.new_tensor([[0, -1, 0], [-1, 4, -1], [0, -1, 0]]).expand(3, 1, 3, 3)
    return float(functional.conv2d(frames[VIEW], kernel, groups=3).square().mean())


def true_grid(
    depth: Tensor, pitch: Tensor, turn: Tensor, travel: Tensor, config: ModelConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Sampling grids [b, h, w, 2] of the turn alone and of turn, depth and travel, and the points of `travel_shift`."""
    grid = geometry.rotation_grid(pitch, turn, config.size, config.field_of_view)
    shift, points = geometry.travel_shift(depth, pitch, turn, travel, config.size, config.field_of_view)
    shift = functional.interpolate(shift.permute(0, 3, 1, 2), config.size, mode="bilinear").permute(0, 2, 3, 1)
    return grid, grid + shift, points


def study(data: Path, windows: int, seed: int) -> dict[str, float]:
    """Mean absolute errors in -1..1 after one tick, and what is left of detail after `CHAIN` ticks."""
    config = preset("tiny")
    batch = ShardSet([data], config).batch(np.random.default_rng(seed), windows, CHAIN, cold=0.0)
    frames = to_unit(batch.past[:, config.past - 1 :])
    before, after = frames[:, :-1].flatten(0, 1), frames[:, 1:].flatten(0, 1)
    pitch, turn, travel = batch.pitch.flatten(), batch.turn.flatten(0, 1), batch.travel.flatten(0, 1)
    depth = batch.depth[:, 1:].flatten(0, 1).clamp(max=SKY_METRES)
    turned, source, _ = true_grid(depth, pitch, turn, travel, config)
    kept = ~batch.edited.flatten()

    def error(guess: Tensor) -> float:
        return float((guess - after)[VIEW][kept].abs().mean())

    results = {"copy": error(before), "turned": error(geometry.warp(before, turned))}
    for mode in ("bilinear", "bicubic", "nearest"):

        def move(picture: Tensor, grid: Tensor, mode: str = mode) -> Tensor:
            return functional.grid_sample(picture, grid, mode=mode, padding_mode="border", align_corners=False)

        results[f"moved_{mode}"] = error(move(before, source))
        picture = frames[:, 0]
        for grid in source.unflatten(0, (windows, CHAIN)).unbind(1):
            picture = move(picture, grid)
        results[f"detail_left_{mode}"] = laplacian_energy(picture) / laplacian_energy(frames[:, -1])
    return {name: round(value, 4) for name, value in results.items()}


@torch.inference_mode()
def regions(data: Path, model: str, windows: int, seed: int) -> dict[str, dict[str, float]]:
    """Of each region of the frames after a moving tick: its share of the area and of the model's squared error, and the
    PSNR of the model, of copying, and of moving the frame before by what is true.

    Regions: `screen` (the overlay), `sky`, `visible` (could be seen before) and `hidden` (could not).
    """
    network = load_model(model_folder(model)).eval()
    config = network.config
    batch = ShardSet([data], config).batch(np.random.default_rng(seed), windows, 1, cold=0.0)
    moving = (batch.turn.abs().amax((1, 2)) > TURNED_DEGREES) | (batch.travel.abs().amax((1, 2)) > MOVED_METRES)
    batch = type(batch)(*(item[moving & ~batch.edited.any(1)] for item in batch))
    b = len(batch.turn)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(b, 1, 3, *config.size, generator=generator)
    context = conditions(batch, network, torch.zeros(b), generator).context
    none, ages = torch.zeros(b, 1), causal_ages(b, 1, config.memory, torch.device("cpu"))
    dreamed = network(noise, none, torch.full_like(none, 1 / config.steps), context, ages).frame[:, 0].clamp(-1, 1)

    before, after = to_unit(batch.past)[:, -2:].unbind(1)
    pitch, turn, travel = batch.pitch[:, 0], batch.turn[:, 0], batch.travel[:, 0]
    earlier, depth = (item.clamp(max=SKY_METRES) for item in batch.depth.unbind(1))
    _, source, points = true_grid(depth, pitch, turn, travel, config)
    moved = geometry.warp(before, source)

    seen = geometry.visible_before(points, earlier, config.size, config.field_of_view)
    screen = (network.overlay > 0).expand(b, -1, -1)
    seen, sky = (
        functional.interpolate(mask[:, None].float(), config.size)[:, 0] > 0 for mask in (seen, depth >= SKY_METRES)
    )
    masks = {"screen": screen, "sky": sky & ~screen, "visible": seen & ~sky & ~screen, "hidden": ~(seen | sky | screen)}
    errors = {
        name: ((guess - after) / 2).square().mean(1)
        for name, guess in (("model", dreamed), ("copy", before), ("moved", moved))
    }
    found = {}
    for region, mask in masks.items():
        figures = {"area": float(mask.float().mean()), "error": float(errors["model"][mask].sum())}
        figures["error"] /= float(errors["model"].sum())
        figures |= {f"psnr_{name}": -10 * math.log10(float(error[mask].mean())) for name, error in errors.items()}
        found[region] = {name: round(value, 3) for name, value in figures.items()}
    return found


def main() -> int:
    """Prints the figures as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of shards of the voxel world")
    parser.add_argument("--model", help="study the errors of this model")
    parser.add_argument("--windows", type=int, default=48)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.model:
        return answered(lambda: regions(options.data, options.model, options.windows, options.seed))
    return answered(lambda: study(options.data, options.windows, options.seed))


if __name__ == "__main__":
    sys.exit(main())
