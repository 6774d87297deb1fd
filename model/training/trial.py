"""Hybrid against latent tokens on an equal budget of time: trains both from nothing, measures both on the same windows.

    python -m reverie.model.training.trial --data DIR [DIR ...] --held DIR [DIR ...] --out OUT --minutes 3

The hybrid dreams pixels; the latent arm spends half of its time on a tokenizer and half on dreaming latents. Both have
the same trunk, conditions, batches and side losses, and dream each frame in one step from pure noise. The figures:

    psnr_1 psnr_8 psnr_32  dB to the true frame after so many ticks, from a true past with true actions
    sharpness_32           Laplacian energy of the dreamed frames over that of the true ones after 32 ticks
    same_8                 dB between a dream and its twin with another window's actions (and the same noise) after
                           8 ticks: the lower, the more sensitive to actions
    obeyed_8               dB by which the dream is nearer to the truth than that twin is, after 8 ticks
    codec                  dB to the true frame of a frame encoded and decoded
    milliseconds           one tick of one dream in torch, from past frames to frames
    parameters             of all networks that the arm dreams with

Beside the arms stands `copy`: the frame before the first tick, shown for ever.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from reverie.model import flow
from reverie.model.config import PRESETS, ModelConfig, preset
from reverie.model.errors import ModelError
from reverie.model.latent_model import LatentModel
from reverie.model.step import to_unit
from reverie.model.tokenizer import Tokenizer
from reverie.model.training.data import Batch, ShardSet
from reverie.model.training.heldout import (
    HORIZONS,
    TICKS,
    copied_frames,
    dream_figures,
    dreamer,
    figures,
    held_windows,
    psnr,
    table,
)
from reverie.model.training.loop import LoopConfig, Losses, Network, run_phase
from reverie.model.training.losses import fact_losses, frame_losses, haar_distance, masked_mean
from reverie.model.training.phases import choose_device
from reverie.model.training.pictures import sheet, write_png
from reverie.model.training.rollout import conditions
from reverie.model.training.teacher import random_context_noise, random_levels, usable_frames
from reverie.model.world_model import WorldModel, causal_ages

LATENT_NOISE = 0.3
"""Largest noise of the latents that the decoder learns to decode (RECIPES section 4)."""
TOKENIZER_LOOP = LoopConfig(batch=32, ticks=1, other_rate=1e-3)
SHOWN = 4
"""Windows on the sheet of pictures: true, then each arm's, after each of HORIZONS."""


def tokenizer_losses(model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """Absolute error and Haar distance of frames decoded from latents with noise of U(0, LATENT_NOISE) in them."""
    tokenizer = cast("Tokenizer", model)
    frames = to_unit(batch.past[:, -1])
    latents = tokenizer.encode(frames)
    amount = torch.rand(len(frames), generator=generator, device=frames.device) * LATENT_NOISE
    grain = torch.randn(latents.shape, generator=generator, device=frames.device)
    error = tokenizer.decode(latents + flow.over_pixels(amount) * grain).float() - frames
    return {"frame": error.abs().mean(), "haar": haar_distance(error).mean()}


@dataclass(frozen=True, slots=True)
class Arm:
    """A way to dream frames; without a tokenizer the model does it by itself."""

    model: WorldModel
    tokenizer: Tokenizer | None = None

    def seen(self, batch: Batch) -> Batch:
        """The batch with its frames as the model wants them."""
        if self.tokenizer is None:
            return batch
        shrink = self.tokenizer.shrink
        return batch._replace(past=shrink(batch.past), key=shrink(batch.key), rest=shrink(batch.rest[:, None])[:, 0])

    def losses(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The clean frame in one step from any noise level, mostly from the lowest."""
        config: ModelConfig = self.model.config
        b, t = batch.action.shape[:2]
        device = batch.action.device
        given = conditions(self.seen(batch), self.model, random_context_noise(b, generator, device), generator)
        level = random_levels((b, t), config.finest, generator, device)
        noise = torch.randn(given.target.shape, generator=generator, device=device)
        z = flow.noised(given.target, noise, level)
        out = model(z, level, 1 - level, given.context, causal_ages(b, t, config.memory, device))
        usable, frame = usable_frames(batch), out.frame.float()
        if self.tokenizer is None:
            parts = frame_losses(frame, given.target, given.before, given.known, usable)
        else:
            error = frame - given.target
            parts = {"frame": masked_mean((error.abs() + error.square()).mean((2, 3, 4)), usable)}
        return {**parts, **fact_losses(out, batch, config)}

    def dream(self, batch: Batch) -> Tensor:
        """All ticks of the batch, each window with the same noise every time: uint8 [b, t, h, w, 3] on the CPU."""
        past = batch._replace(past=batch.past[:, : self.model.config.past])
        dreamed = dreamer(self.model, 1)(self.seen(past))
        if self.tokenizer is None:
            return dreamed
        ticks = dreamed.to(batch.past.device).split(1, dim=1)
        with torch.autocast(batch.past.device.type, dtype=torch.bfloat16):  # frame by frame, as it is played
            return torch.cat([self.tokenizer.enlarge(tick) for tick in ticks], dim=1).cpu()


def train_arms(shards: ShardSet, out: Path, seconds: float, seed: int, device: torch.device) -> dict[str, Arm]:
    """Trains the hybrid for `seconds` and the parts of the latent arm for half of that each."""

    def trained(name: str, model: Network, losses: Losses, loop: LoopConfig, share: float) -> Network:
        batches = shards.batches(np.random.default_rng(seed), loop.batch, loop.ticks, loop.cold)
        return run_phase(
            name, model, batches, losses, loop, out / name, share * seconds, seed, device, False, lambda *_: None
        )

    torch.manual_seed(seed)
    config, loop = shards.config, LoopConfig()
    hybrid = WorldModel(config)
    hybrid = trained("hybrid", hybrid, Arm(hybrid).losses, loop, 1.0)
    tokenizer = trained("tokenizer", Tokenizer(), tokenizer_losses, TOKENIZER_LOOP, 0.5)
    latent = LatentModel(config)
    latent = trained("latent", latent, Arm(latent, tokenizer).losses, loop, 0.5)
    return {"hybrid": Arm(hybrid), "latent": Arm(latent, tokenizer)}


def measure(arm: Arm, windows: Batch, device: torch.device) -> tuple[dict[str, float | None], Tensor]:
    """The arm's figures, and its dreams uint8 [b, TICKS, h, w, 3]."""
    numbers, dreamed = dream_figures(arm.dream, windows, device)
    codec = None
    if arm.tokenizer is not None:
        last = windows.past[:, -1:].to(device)
        codec = psnr(arm.tokenizer.enlarge(arm.tokenizer.shrink(last)).cpu(), last.cpu())
    networks = [network for network in (arm.model, arm.tokenizer) if network is not None]
    return {
        **numbers,
        "codec": codec,
        "parameters": sum(weight.numel() for network in networks for weight in network.parameters()),
    }, dreamed


def run_trial(
    data: list[Path], held: list[Path], out: Path, config: ModelConfig, minutes: float, windows: int, seed: int = 0
) -> dict:
    """The whole trial; returns what it writes into `out/trial.json`. Raises ModelError."""
    device = choose_device()
    shown = held_windows(ShardSet(held, config), windows)
    arms = train_arms(ShardSet(data, config), out, minutes * 60, seed, device)
    true = shown.past[:, -TICKS:]
    columns: dict[str, dict[str, float | None]] = {"copy": {**figures(copied_frames(shown), true)}}
    pictures = {"true": true}
    for name, arm in arms.items():
        columns[name], pictures[name] = measure(arm, shown, device)
    print(table(columns))
    shots = [tick - 1 for tick in HORIZONS]
    rows = [frames[index, shots].numpy() for index in range(min(SHOWN, len(true))) for frames in pictures.values()]
    write_png(out / "trial.png", sheet(rows))
    result = {"minutes": minutes, "windows": len(true), "device": device.type, "seed": seed, **columns}
    (out / "trial.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code, 2 for what the user can mend."""
    parser = argparse.ArgumentParser(prog="reverie.model.training.trial", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of training shards")
    parser.add_argument("--held", type=Path, nargs="+", required=True, help="folders of shards of held-out worlds")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=3.0, help="of training, for each arm")
    parser.add_argument("--windows", type=int, default=48, help="held-out windows")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="tiny")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    try:
        config = preset(given.preset)
        result = run_trial(given.data, given.held, given.out, config, given.minutes, given.windows, given.seed)
    except ModelError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
