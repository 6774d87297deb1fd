"""Gymnasium environments, registered on import: `reverie/Dream-v0` and `reverie/Voxel-v0`."""

import gymnasium

EPISODE_TICKS = 1200
"""Length of an episode unless `max_episode_steps` says otherwise: a minute."""

gymnasium.register(
    id="reverie/Dream-v0",
    entry_point="reverie.env.dream_env:DreamEnv",
    vector_entry_point="reverie.env.dream_env:DreamVectorEnv",
    max_episode_steps=EPISODE_TICKS,
)
gymnasium.register(
    id="reverie/Voxel-v0",
    entry_point="reverie.env.voxel_env:VoxelEnv",
    vector_entry_point="reverie.env.voxel_env:VoxelVectorEnv",
    max_episode_steps=EPISODE_TICKS,
)
