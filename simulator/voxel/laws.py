"""Variants of the voxel world's laws: learned dynamics are shown to follow recordings of them, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reverie.simulator.voxel.blocks import BLOCK_ID, SOLID


@dataclass(frozen=True, slots=True)
class Laws:
    """What differs from the usual world. Raises ValueError for an unknown block or a gravity out of range."""

    gravity: float = 1.0
    """Times Minecraft's, outside of water."""
    permeable: tuple[str, ...] = ()
    """Names of blocks that hold nobody."""
    solid: np.ndarray = field(init=False, repr=False, compare=False)
    """bool [blocks]: which kinds keep bodies out."""

    def __post_init__(self) -> None:
        if not 0.0 < self.gravity <= 4.0:
            raise ValueError(f"laws: gravity is {self.gravity!r}, but must be above 0 and at most 4")
        solid = SOLID.copy()
        for name in self.permeable:
            if name not in BLOCK_ID:
                raise ValueError(f"laws: there is no block called {name!r}")
            solid[BLOCK_ID[name]] = False
        solid.flags.writeable = False
        object.__setattr__(self, "solid", solid)

    def to_dict(self) -> dict[str, Any]:
        """JSON, the inverse of `from_dict`."""
        return {"gravity": self.gravity, "permeable": list(self.permeable)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Laws:
        """From JSON. Raises ValueError or KeyError."""
        return cls(float(data["gravity"]), tuple(str(name) for name in data["permeable"]))


USUAL = Laws()
