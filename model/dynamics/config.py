"""What dynamics know besides their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from reverie.model.cells import UNKNOWN


@dataclass(frozen=True, slots=True)
class Facts:
    """What recordings show about tokens and boxes; see `reverie.model.training.walk_data.find_facts`."""

    names: tuple[str, ...]
    events: tuple[str, ...]
    """Names of what can happen in a tick."""
    solid: tuple[bool, ...]
    """Keeps bodies out, for each token."""
    targetable: tuple[bool, ...]
    """The crosshair rests on it, for each token."""
    empty: int
    """The token that bodies are mostly in; it fills what lies above the map."""
    reach: float
    """Metres from the eye to which the crosshair finds a target."""
    half: float
    height: float
    """Half width and height of the player's box, metres."""
    eye: float
    """Height of the eyes of one who stands, metres."""
    fall: float
    """Velocity upwards of one who stands, metres a tick: what the ground holds up."""
    boxes: tuple[tuple[float, float], ...]
    """The same of each kind of entity."""

    def solid_table(self) -> np.ndarray:
        """bool [256]. UNKNOWN cells keep bodies out: nothing recorded says that a body could be there, and what is
        asked of the world model arrives before a walker does. A body that is inside one may leave it."""
        table = np.zeros(256, np.bool_)
        table[: len(self.solid)] = self.solid
        table[UNKNOWN] = True
        return table

    def targetable_table(self) -> np.ndarray:
        """bool [256]. The crosshair finds nothing beyond an UNKNOWN cell, and does not rest on it."""
        table = np.zeros(256, np.bool_)
        table[: len(self.targetable)] = self.targetable
        return table

    def box_table(self) -> np.ndarray:
        """float64 [kinds, 2]: half width and height; at least one kind."""
        return np.array(self.boxes or ((0.45, 1.0),), np.float64)

    def to_dict(self) -> dict[str, Any]:
        """JSON, the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Facts:
        """From JSON. Raises KeyError, TypeError or ValueError."""
        return cls(
            names=tuple(map(str, data["names"])), events=tuple(map(str, data["events"])),
            solid=tuple(map(bool, data["solid"])), targetable=tuple(map(bool, data["targetable"])),
            empty=int(data["empty"]), reach=float(data["reach"]),
            half=float(data["half"]), height=float(data["height"]), eye=float(data["eye"]), fall=float(data["fall"]),
            boxes=tuple((float(half), float(height)) for half, height in data["boxes"]),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class DynamicsConfig:
    """The networks' sizes."""

    width: int = 96
    """Of hidden layers."""
    hidden: int = 2
    """Hidden layers of each network."""
    cell_channels: int = 4
    """Learned numbers of a token, for bodies."""
    target_channels: int = 8
    """The same for hands."""
    turn_limit: float = 8.0
    """Degrees a tick that an entity turns at most; found from recordings."""
    stride: float = 3.0
    """Radians of an entity's walk in a metre; found from recordings."""

    def to_dict(self) -> dict[str, Any]:
        """JSON, the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DynamicsConfig:
        """From JSON. Raises TypeError for other keys."""
        return cls(**data)
