"""`reverie/Dream-v0`: one player in a dream, or many in one batch."""

from __future__ import annotations

from typing import Any

from reverie.env.fleet import DreamFleet
from reverie.env.spaces import make_codec
from reverie.env.vector import WorldVectorEnv
from reverie.env.world_env import WorldEnv
from reverie.simulator.dream import DreamWorld


class DreamEnv(WorldEnv):
    """One player in a dream. Everything else that `WorldEnv` takes can be given by keyword."""

    def __init__(
        self,
        model: str = "tiny",
        backend: str = "auto",
        device: str = "auto",
        *,
        world: DreamWorld | None = None,
        **settings: Any,
    ) -> None:
        """Loads a model as `DreamWorld.load` does, unless a `world` is given to share. Raises ModelError."""
        super().__init__(world or DreamWorld.load(model, backend=backend, device=device), **settings)


class DreamVectorEnv(WorldVectorEnv):
    """Many dreams, one batched pass of the model for all. Takes what `DreamEnv` takes."""

    def __init__(
        self,
        num_envs: int = 1,
        model: str = "tiny",
        backend: str = "auto",
        device: str = "auto",
        *,
        world: DreamWorld | None = None,
        action_space: str = "multidiscrete",
        **settings: Any,
    ) -> None:
        codec = make_codec(action_space)
        world = world or DreamWorld.load(model, backend=backend, device=device)
        super().__init__(world, DreamFleet(world, codec), codec, num_envs, **settings)
