"""How much of the next frame is the last one moved? Errors with true depth and travel, for the log.

python -m reverie.demos.warp_study --data runs/tiny/data
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.nn import functional

from reverie.model import geometry
from reverie.model.config import preset
from reverie.model.errors import ReverieError
from reverie.model.step import to_unit
from reverie.model.training.data import ShardSet
from reverie.model.training.losses import SKY_METRES

CHAIN = 8
"""Ticks over which a frame is moved again and again."""
VIEW = (slice(None), slice(None), slice(0, 78), slice(0, 140))
"""Without hotbar and hand, which do not move with the world (160x96 pixels)."""


def laplacian_energy(frames: Tensor) -> float:
    """Mean squared response of the four-neighbour Laplacian: how much fine detail there is."""
    kernel = frames.new_tensor([[0, -1, 0], [-1, 4, -1], [0, -1, 0]]).expand(3, 1, 3, 3)
    return float(functional.conv2d(frames[VIEW], kernel, groups=3).square().mean())


def study(data: Path, windows: int, seed: int) -> dict[str, float]:
    """Mean absolute errors in -1..1 after one tick, and what is left of detail after `CHAIN` ticks."""
    config = preset("tiny")
    batch = ShardSet([data], config).batch(np.random.default_rng(seed), windows, CHAIN, cold=0.0)
    frames = to_unit(batch.past[:, config.past - 1 :])
    before, after = frames[:, :-1].flatten(0, 1), frames[:, 1:].flatten(0, 1)
    pitch, turn, travel = batch.pitch.flatten(), batch.turn.flatten(0, 1), batch.travel.flatten(0, 1)
    grid = geometry.rotation_grid(pitch, turn, config.size, config.field_of_view)
    depth = batch.depth[:, 1:].flatten(0, 1).clamp(max=SKY_METRES)
    shift, _ = geometry.travel_shift(depth, pitch, turn, travel, config.size, config.field_of_view)
    shift = functional.interpolate(shift.permute(0, 3, 1, 2), config.size, mode="bilinear").permute(0, 2, 3, 1)
    kept = ~batch.edited.flatten()

    def error(guess: Tensor) -> float:
        return float((guess - after)[VIEW][kept].abs().mean())

    results = {"copy": error(before), "turned": error(geometry.warp(before, grid))}
    for mode in ("bilinear", "bicubic", "nearest"):

        def move(picture: Tensor, source: Tensor, mode: str = mode) -> Tensor:
            return functional.grid_sample(picture, source, mode=mode, padding_mode="border", align_corners=False)

        results[f"moved_{mode}"] = error(move(before, grid + shift))
        picture = frames[:, 0]
        for source in (grid + shift).unflatten(0, (windows, CHAIN)).unbind(1):
            picture = move(picture, source)
        results[f"detail_left_{mode}"] = laplacian_energy(picture) / laplacian_energy(frames[:, -1])
    return {name: round(value, 4) for name, value in results.items()}


def main() -> int:
    """Prints the figures as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of shards of the voxel world")
    parser.add_argument("--windows", type=int, default=48)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        print(json.dumps(study(options.data, options.windows, options.seed)))
    except ReverieError as error:
        print(f"reverie: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
