"""The exact world's own speed, and that of environments full of players."""

from __future__ import annotations

import time
from typing import Any

from reverie.demos.measure.amounts import Amounts


def voxel_speed(size: tuple[int, int], amounts: Amounts) -> float:
    """Steps a second of one voxel world with an explorer in it, each one rendered, on one core."""
    from reverie.simulator.players import make_player
    from reverie.simulator.voxel.world import VoxelWorld

    world, player = VoxelWorld(size), make_player("explorer", 0)
    state = world.start(None, 0)
    began = time.perf_counter()
    for tick in range(amounts.warm_up + amounts.voxel_steps):
        if tick == amounts.warm_up:
            began = time.perf_counter()
        state = world.step(state, player.act(world.senses(state)))
        world.frame(state)
    return round(amounts.voxel_steps / (time.perf_counter() - began), 2)


def voxel_env_speed(size: tuple[int, int], players: int, amounts: Amounts) -> float:
    """Frames a second of `players` voxel worlds on a thread for each core, with random players."""
    from reverie.env.voxel_env import VoxelVectorEnv

    return _env_speed(VoxelVectorEnv(players, size), amounts.voxel_steps // players, amounts)


def dream_env_speed(world: Any, players: int, amounts: Amounts) -> float:
    """Frames a second of `players` dreams in one pass, observations and resets included, with random players."""
    from reverie.env.dream_env import DreamVectorEnv

    return _env_speed(DreamVectorEnv(players, world=world), amounts.batch_passes, amounts)


def _env_speed(env: Any, passes: int, amounts: Amounts) -> float:
    try:
        env.action_space.seed(0)
        env.reset(seed=0)
        env.step(env.action_space.sample())
        done, began = 0, time.perf_counter()
        while done < max(1, passes) and time.perf_counter() - began < amounts.batch_seconds:
            env.step(env.action_space.sample())
            done += 1
        return round(done * env.num_envs / (time.perf_counter() - began), 2)
    finally:
        env.close()
