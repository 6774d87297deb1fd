"""Worlds and sessions. Importing this is cheap: each name is loaded when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reverie.simulator.action import Action as Action
    from reverie.simulator.clips import Clip as Clip
    from reverie.simulator.dream import DreamWorld as DreamWorld
    from reverie.simulator.session import Simulator as Simulator
    from reverie.simulator.voxel.world import VoxelWorld as VoxelWorld

_HOMES = {
    "Action": "reverie.simulator.action",
    "Clip": "reverie.simulator.clips",
    "DreamWorld": "reverie.simulator.dream",
    "Simulator": "reverie.simulator.session",
    "VoxelWorld": "reverie.simulator.voxel.world",
}
__all__ = ["Action", "Clip", "DreamWorld", "Simulator", "VoxelWorld"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
