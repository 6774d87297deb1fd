"""What a precision costs: each backend's dreams against the truth on the same few held-out clips."""

from __future__ import annotations

import numpy as np

from reverie.model.config import ModelConfig
from reverie.simulator.dream import DreamWorld
from reverie.simulator.judge import metrics, truth
from reverie.simulator.judge.dreaming import dream_runs, open_dreams
from reverie.simulator.voxel.world import HELD_OUT_SEED, VoxelWorld


def held_out_runs(config: ModelConfig, clips: int) -> list[truth.TrueRun]:
    """The first few true runs that `reverie evaluate` judges by."""
    world, context = VoxelWorld(config.size), config.memory + config.past
    return [truth.played_run(world, HELD_OUT_SEED + index, context) for index in range(clips)]


def psnr_at_the_end(world: DreamWorld, runs: list[truth.TrueRun]) -> float:
    """Mean PSNR in dB of the dreams' frames after 32 ticks: psnr_32 of `reverie evaluate`, on fewer clips."""

    def tell(frames: int) -> None:
        """Nobody watches."""

    seen = dream_runs(world, open_dreams(world, runs, tell), runs, tell)
    true = np.stack([run.frames for run in runs if run.frames is not None])
    return round(float(metrics.psnr(seen[:, -1], true[:, -1]).mean()), 4)
