"""One tick's input, with MineRL's names, and its conversions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from reverie.model.actions import ACTION_DIM, ACTION_INDEX, CAMERA_SCALE

MAX_CAMERA = 180.0
"""Largest camera turn of one tick, degrees."""
BUTTONS: tuple[str, ...] = (
    "forward", "back", "left", "right", "jump", "sneak", "sprint",
    "attack", "use", "drop", "inventory", "swapHands", "pickItem", "ESC",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Action:
    """What the player does during one tick (1/20 s).

    `hotbar` selects slot 1-9, 0 leaves it alone.  `camera` is (pitch, yaw) in degrees for this tick:
    positive pitch looks down, positive yaw turns right.  Raises ValueError for anything out of range.
    """

    forward: bool = False
    back: bool = False
    left: bool = False
    right: bool = False
    jump: bool = False
    sneak: bool = False
    sprint: bool = False
    attack: bool = False
    use: bool = False
    drop: bool = False
    inventory: bool = False
    swapHands: bool = False
    pickItem: bool = False
    ESC: bool = False
    hotbar: int = 0
    camera: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if isinstance(self.hotbar, bool) or int(self.hotbar) != self.hotbar or not 0 <= self.hotbar <= 9:
            raise ValueError(f"action: hotbar is {self.hotbar!r}, but must be 0 (no change) or a slot from 1 to 9")
        pitch, yaw = self.camera
        if not (abs(pitch) <= MAX_CAMERA and abs(yaw) <= MAX_CAMERA):  # also refuses NaN
            raise ValueError(f"action: camera turn {self.camera!r} is not within ±{MAX_CAMERA:g} degrees per tick")
        for name in BUTTONS:
            if getattr(self, name) not in (False, True):
                raise ValueError(f"action: {name} is {getattr(self, name)!r}, but must be True or False")

    def to_vector(self) -> np.ndarray:
        """The float32 [25] vector that models are conditioned on (order: `reverie.model.actions`)."""
        vector = np.zeros(ACTION_DIM, np.float32)
        for name in BUTTONS:
            if getattr(self, name):
                vector[ACTION_INDEX[name]] = 1.0
        if self.hotbar:
            vector[ACTION_INDEX[f"hotbar.{self.hotbar}"]] = 1.0
        vector[ACTION_INDEX["cameraX"]] = self.camera[0] / CAMERA_SCALE
        vector[ACTION_INDEX["cameraY"]] = self.camera[1] / CAMERA_SCALE
        return vector

    @classmethod
    def from_vector(cls, vector: np.ndarray) -> Action:
        """The action of a [25] vector; buttons count as held above one half. Raises ValueError."""
        vector = np.asarray(vector, np.float64)
        if vector.shape != (ACTION_DIM,):
            raise ValueError(f"action: a vector has {ACTION_DIM} entries, not shape {vector.shape}")
        slots = [slot for slot in range(1, 10) if vector[ACTION_INDEX[f"hotbar.{slot}"]] > 0.5]
        camera = (
            float(vector[ACTION_INDEX["cameraX"]]) * CAMERA_SCALE,
            float(vector[ACTION_INDEX["cameraY"]]) * CAMERA_SCALE,
        )
        held = {name: bool(vector[ACTION_INDEX[name]] > 0.5) for name in BUTTONS}
        return cls(**held, hotbar=slots[0] if slots else 0, camera=camera)

    def to_dict(self) -> dict[str, Any]:
        """Only what differs from doing nothing, as plain JSON values (one line of an `--actions` file)."""
        record: dict[str, Any] = {name: True for name in BUTTONS if getattr(self, name)}
        if self.hotbar:
            record["hotbar"] = self.hotbar
        if self.camera != (0.0, 0.0):
            record["camera"] = [float(self.camera[0]), float(self.camera[1])]
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Action:
        """The inverse of `to_dict`. Raises ValueError for unknown names and bad values."""
        if not isinstance(record, Mapping):
            raise ValueError(f"action: expected an object of names and values, got {type(record).__name__}")
        unknown = set(record) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"action: unknown name {sorted(map(str, unknown))[0]!r}")
        values = dict(record)
        try:
            if "camera" in values:
                pitch, yaw = (float(angle) for angle in values["camera"])
                if not (math.isfinite(pitch) and math.isfinite(yaw)):
                    raise ValueError
                values["camera"] = (pitch, yaw)
            if "hotbar" in values:
                values["hotbar"] = int(values["hotbar"])
        except (TypeError, ValueError) as error:
            raise ValueError(f"action: cannot read {dict(record)!r}") from error
        return cls(**values)


IDLE = Action()
