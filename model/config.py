"""What a model is made of. A preset is an entry of `PRESETS`; the values are saved as JSON beside the weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from reverie.model.errors import ModelError

EVENT_COUNT = 5
"""Events that the event head tells apart; their names are `reverie.simulator.world.EVENTS`."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The shape of one world model. Sizes are in pixels, tokens or channels; times are in ticks."""

    size: tuple[int, int] = (96, 160)
    """(height, width) of most frames it was trained on; it dreams any multiples of `patch`."""
    shapes: tuple[tuple[int, int], ...] = ((128, 128), (160, 96))
    """(height, width) of the others."""
    patch: int = 16
    """Side of the square of pixels that one token stands for."""
    cell: int = 4
    """Side of the square of pixels that one cell of the detail head stands for."""
    width: int = 256
    depth: int = 6
    heads: int = 4
    memory_heads: int = 2
    """Key and value heads of the attention over time; each serves `heads / memory_heads` query heads."""
    memory_layers: tuple[int, ...] = (2, 4)
    """Blocks that also look back in time."""
    memory: int = 16
    """Frames whose keys and values the ring cache keeps."""
    history: tuple[int, ...] = (1, 2, 4, 8)
    """Ages, in ticks, of the past frames that are stacked under the frame being dreamed."""
    keys: int = 16
    """Earlier views that a dream keeps to come back to."""
    screen_views: bool = True
    """Whether it also comes back to what was painted on the screen."""
    bottleneck: int = 96
    """Channels that a patch of one stacked frame is squeezed through."""
    cell_width: int = 64
    field_of_view: float = 70.0
    """Vertical, in degrees: what the rotation warp assumes of the camera."""
    finest: int = 8
    """Noise levels are multiples of 1 / finest; the teacher takes this many steps."""
    steps: int = 1
    """Denoising steps per dreamed frame."""

    def __post_init__(self) -> None:
        for size in self.sizes:
            if any(side % self.patch for side in size) or self.patch % self.cell:
                raise ModelError(f"model config: size {size} does not divide into patches of {self.patch}")
        if self.width % self.heads or (self.width // self.heads) % 4 or self.heads % self.memory_heads:
            raise ModelError("model config: heads do not divide the width")
        if self.finest % self.steps:
            raise ModelError(f"model config: {self.steps} steps do not divide {self.finest} noise levels")
        if not self.history or min(self.history) < 1:
            raise ModelError("model config: history needs at least the frame before")

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of all frames it was trained on, the usual one first."""
        return (self.size, *self.shapes)

    @property
    def head_width(self) -> int:
        """Channels of one attention head."""
        return self.width // self.heads

    @property
    def past(self) -> int:
        """Past frames that a state must keep."""
        return max(self.history)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ModelConfig:
        """The inverse of `to_dict`; every field must be there and no other. Raises ModelError."""
        names = {field.name for field in fields(cls)}
        if not isinstance(record, dict) or set(record) != names:
            raise ModelError("model config: fields are missing or unknown")
        defaults = cls()
        values: dict[str, Any] = {}
        for name, value in record.items():
            kind = type(getattr(defaults, name))
            try:
                values[name] = _whole(value) if kind is tuple else kind(value)
            except (TypeError, ValueError) as error:
                raise ModelError(f"model config: {name} cannot be {value!r}") from error
        return cls(**values)


def _plain(value: Any) -> Any:
    """With lists for tuples, as JSON has them."""
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _whole(value: Any) -> Any:
    """With tuples for lists and whole numbers for numbers."""
    return tuple(_whole(item) for item in value) if isinstance(value, list | tuple) else int(value)


PRESETS: dict[str, ModelConfig] = {
    "tiny": ModelConfig(),
    "base": ModelConfig(
        size=(192, 320), shapes=((256, 256), (320, 192)), width=640, depth=12, heads=10, memory_layers=(2, 5, 8, 11),
        memory=32, bottleneck=192, cell_width=96,
    ),
    "test": ModelConfig(
        size=(32, 48), shapes=((48, 32),), width=32, depth=2, heads=2, memory_heads=1, memory_layers=(1,), memory=4,
        history=(1, 2), keys=4, bottleneck=16, cell_width=16,
    ),
}  # fmt: skip


def preset(name: str) -> ModelConfig:
    """The preset called `name`. Raises ModelError."""
    if name not in PRESETS:
        raise ModelError(f"unknown preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]
