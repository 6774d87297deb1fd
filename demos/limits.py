"""What keeps dreams from the truth: what was never seen, or what is known and missed?

    python -m reverie.demos.limits --data DIR --model tiny

Dreams of 32 ticks on shards of held-out worlds, from a true past with true actions, one step a frame: as the model
dreams them, with the eye's true travel put in for its own, and with the true depth as well. For each, after 1, 8 and 32
ticks, decibels above copying (mean over windows), and of its squared error the share, with the PSNR there, of three
regions: `unseen` (not in sight when the dream began), `screen` (painted on it) and `seen` (all else). One line of JSON.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reverie.model.startup import require_for_script

require_for_script("train", __name__)  # before what follows imports torch

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from reverie.demos.scripts import answered
from reverie.model import geometry
from reverie.model.training import heldout
from reverie.model.training.data import Batch, ShardSet
from reverie.model.training.losses import SKY_METRES
from reverie.model.weights import load_model, model_folder
from reverie.model.world_model import WorldModel

TOLD: dict[str, tuple[bool, bool]] = {"own": (False, False), "true_travel": (True, False), "true_both": (True, True)}
"""Names of the arms, and whether true travel and true depth are put in."""


def _metres(depth: Tensor) -> Tensor:
    """Depths with the sky, and what nobody knows, as far away as training has it."""
    return torch.nan_to_num(depth, nan=SKY_METRES, posinf=SKY_METRES).clamp(max=SKY_METRES)


@contextmanager
def told(model: WorldModel, batch: Batch, travel: bool, depth: bool) -> Iterator[None]:
    """While it lasts, `model` is given the true travel, the true depth, or both, of a dream of `batch`, tick by tick.

    For dreams of one step a frame: every pass is a tick.
    """
    ticks = {"facts": 0, "head": 0}

    def say_travel(_module: nn.Module, _inputs: Any, out: Tensor) -> Tensor:
        truth = torch.nan_to_num(batch.travel[:, ticks["facts"], None]).to(out.dtype)
        ticks["facts"] += 1
        # Travel comes first, and last how much of the pace is added to it.
        return torch.cat((truth, out[..., 3:-3], torch.zeros_like(truth)), dim=-1)

    def say_depth(_module: nn.Module, _inputs: Any, out: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        ticks["head"] += 1
        return (*out[:-1], _metres(batch.depth[:, ticks["head"]]).log1p().to(out[-1].dtype))

    hooks = [model.facts.register_forward_hook(say_travel)] if travel else []
    hooks += [model.head.register_forward_hook(say_depth)] if depth else []
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def seen_at_first(batch: Batch, tick: int, field_of_view: float) -> Tensor:
    """Which pixels of the frame after so many ticks were in sight before the first, by true depth: bool [b, h, w]."""
    size = (batch.past.shape[2], batch.past.shape[3])
    way, yaw = torch.zeros(len(batch.turn), 3), torch.zeros(len(batch.turn))
    for index in range(tick):
        way = way + geometry.carry(torch.nan_to_num(batch.travel[:, index]), yaw)
        yaw = yaw + batch.turn[:, index, 1]
    turn = torch.stack((batch.pitch[:, tick - 1] + batch.turn[:, tick - 1, 0] - batch.pitch[:, 0], yaw), dim=-1)
    depth, before = _metres(batch.depth[:, tick]), _metres(batch.depth[:, 0])
    _, points = geometry.travel_shift(depth, batch.pitch[:, 0], turn, way, size, field_of_view)
    seen = geometry.visible_before(points, before, size, field_of_view)
    # The sky is all around at one distance, which is not one depth.
    source = geometry.project(points, size, field_of_view)
    sky = functional.grid_sample((before >= SKY_METRES).float()[:, None], source, mode="nearest", align_corners=False)
    ahead = (points[..., 2] > geometry.NEAREST) & geometry.inside(source)[:, 0]
    seen = torch.where(depth >= SKY_METRES, ahead & (sky[:, 0] > 0), seen)
    return functional.interpolate(seen[:, None].float(), size)[:, 0] > 0


def limits(data: Path, name: str, count: int) -> dict[str, Any]:
    """All figures for the model called `name`, on `count` windows. Raises ReverieError."""
    model = load_model(model_folder(name))
    windows = heldout.held_windows(ShardSet([data], model.config), count)
    true, copied = windows.past[:, -heldout.TICKS :], heldout.copied_frames(windows)
    screen = model.screen(model.config.size) > 0
    found: dict[str, Any] = {"model": name, "windows": len(true)}
    for arm, (travel, depth) in TOLD.items():

        def dream(batch: Batch, travel: bool = travel, depth: bool = depth) -> Tensor:
            with told(model, batch, travel, depth):
                return heldout.dreamer(model, 1)(batch)

        dreamed = heldout.dreams(dream, windows, torch.device("cpu"))
        figures = {}
        for tick in heldout.HORIZONS:
            frames, truth = dreamed[:, tick - 1], true[:, tick - 1]
            error = ((frames.float() - truth.float()) / 255).square().mean(-1)
            seen = seen_at_first(windows, tick, model.config.field_of_view)
            gain = heldout.psnr(frames, truth) - heldout.psnr(copied[:, tick - 1], truth)
            figures[str(tick)] = {"gain": round(gain, 2)} | {
                region: {
                    "area": round(float(mask.float().mean()), 3),
                    "error": round(float((error * mask).sum() / error.sum().clamp(min=1e-12)), 3),
                    "psnr": round(float(-10 * np.log10(max(float(error[mask].mean()), heldout.SMALLEST_ERROR))), 2),
                }
                for region, mask in (
                    ("unseen", ~seen & ~screen), ("seen", seen & ~screen), ("screen", screen.expand_as(seen)),
                )
                if bool(mask.any())
            }  # fmt: skip
        found[arm] = figures
    return found


def main() -> int:
    """Prints the figures as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of shards of held-out voxel worlds")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--windows", type=int, default=40)
    options = parser.parse_args()
    return answered(lambda: limits(options.data, options.model, options.windows))


if __name__ == "__main__":
    sys.exit(main())
