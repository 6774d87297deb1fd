"""`reverie/Voxel-v0`: one player in the voxel world, or many on a pool of threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from reverie.env.fleet import VoxelFleet
from reverie.env.spaces import make_codec
from reverie.env.vector import WorldVectorEnv
from reverie.env.world_env import WorldEnv
from reverie.simulator.voxel.world import VoxelWorld

DEFAULT_SIZE = (96, 160)
"""Height and width of frames, pixels: those of the `tiny` dream."""


class VoxelEnv(WorldEnv):
    """One player in the voxel world; `info` also has `pose`: float64 [5], x, y, z, yaw and pitch.

    Everything else that `WorldEnv` takes can be given by keyword.
    """

    world: VoxelWorld

    def __init__(
        self, size: tuple[int, int] = DEFAULT_SIZE, *, world: VoxelWorld | None = None, **settings: Any
    ) -> None:
        """`size` is the height and width of frames, unless a `world` is given to share."""
        super().__init__(world or VoxelWorld(size=size), **settings)

    def _info(self) -> dict[str, Any]:
        return super()._info() | {"pose": np.array(self.world.pose(self._playing()), np.float64)}


class VoxelVectorEnv(WorldVectorEnv):
    """Many voxel worlds on a pool of `threads` (one for each core). Takes what `VoxelEnv` takes."""

    def __init__(
        self,
        num_envs: int = 1,
        size: tuple[int, int] = DEFAULT_SIZE,
        *,
        world: VoxelWorld | None = None,
        action_space: str = "multidiscrete",
        threads: int | None = None,
        **settings: Any,
    ) -> None:
        codec = make_codec(action_space)
        world = world or VoxelWorld(size=size)
        super().__init__(world, VoxelFleet(world, codec, threads), codec, num_envs, **settings)
