"""Sizes of the frame model. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from reverie.model.frame.features import TextureLayout


@dataclass(frozen=True, slots=True)
class FrameConfig:
    """Sizes of the network."""

    tokens: int
    entities: int
    texture: int = 12
    """Channels of a texel."""
    kind: int = 8
    """Channels of what each face of each kind of surface has all over."""
    detail: int = 4
    """Channels of cracks and of the sky's box."""
    light: int = 40
    shade: int = 24
    lobes: int = 8
    """Spherical Gaussians about directions that follow the hour: sun, moon, glow (Wang et al. 2009)."""
    channels: tuple[int, ...] = (24, 48, 64)
    """Of the U-Net, from full resolution down."""
    sky_height: float = 96.0
    sky_period: float = 256.0

    @property
    def layout(self) -> TextureLayout:
        """Where textures are in their table."""
        return TextureLayout(self.tokens, self.entities, self.sky_height, self.sky_period)

    def to_dict(self) -> dict[str, Any]:
        """JSON, the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FrameConfig:
        """From JSON."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in data.items()})
