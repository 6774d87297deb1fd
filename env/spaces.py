"""The three action spaces, and the codecs that turn their samples into actions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from reverie.env.errors import EnvError
from reverie.model.actions import ACTION_DIM, ACTION_INDEX, CAMERA_SCALE
from reverie.simulator.action import BUTTONS, MAX_CAMERA, Action

CAMERA_LIMIT = 10.0
"""Degrees per tick of the outermost camera bins."""
CAMERA_MU = 10.0
"""Strength of the mu-law: how much finer the bins are near zero."""
CAMERA_SIDE = 5
"""Bins on either side of zero."""
HOTBAR_CHOICES = 10
"""No change, or one of nine slots."""


def camera_bins() -> np.ndarray:
    """float64 [11]: degrees per tick of VPT's mu-law camera bins, 0, ±0.62, ±1.61, ±3.22, ±5.81 and ±10.

    The rule is `CameraQuantizer.undiscretize` in `lib/actions.py` of
    https://github.com/openai/Video-Pre-Training.
    """
    steps = np.arange(-CAMERA_SIDE, CAMERA_SIDE + 1) / CAMERA_SIDE
    return np.sign(steps) * CAMERA_LIMIT * ((1.0 + CAMERA_MU) ** np.abs(steps) - 1.0) / CAMERA_MU


class ActionCodec(ABC):
    """One action space: what its samples look like, and what they mean.

    A batch is what the batched space of `num_envs` environments samples: an array with a leading
    dimension, or for `minerl` a dict of such arrays.  Everything raises `EnvError`, a ValueError, for
    samples that are not in the space.
    """

    name: str
    space: spaces.Space[Any]

    @abstractmethod
    def to_action(self, sample: Any) -> Action:
        """The action that one sample of `space` stands for."""

    @abstractmethod
    def to_vectors(self, batch: Any) -> np.ndarray:
        """float32 [b, 25]: the vectors (order: `reverie.model.actions`) of a batch of b samples."""

    @abstractmethod
    def to_actions(self, batch: Any) -> list[Action]:
        """The b actions of a batch."""

    @abstractmethod
    def from_action(self, action: Action) -> Any:
        """The sample that stands for an action, or comes nearest to it (see each codec for what is lost)."""


class MultiDiscreteCodec(ActionCodec):
    """`multidiscrete`: nine choices at once, the keyboard and mouse of VPT with one choice per finger.

    | entry | choices |
    |---|---|
    | 0 | nothing, forward, back |
    | 1 | nothing, left, right |
    | 2 | nothing, jump |
    | 3 | nothing, sneak, sprint |
    | 4 | nothing, attack |
    | 5 | nothing, use |
    | 6 | no change, slot 1 to 9 |
    | 7 | pitch: bin of `camera_bins`, 5 is none, above looks down |
    | 8 | yaw: bin of `camera_bins`, 5 is none, above turns right |
    """

    name = "multidiscrete"
    space: spaces.MultiDiscrete
    _FINGERS: tuple[tuple[str, ...], ...] = (
        ("forward", "back"), ("left", "right"), ("jump",), ("sneak", "sprint"), ("attack",), ("use",),
    )  # fmt: skip

    def __init__(self) -> None:
        self.bins = camera_bins()
        sizes = [len(names) + 1 for names in self._FINGERS] + [HOTBAR_CHOICES, len(self.bins), len(self.bins)]
        self.space = spaces.MultiDiscrete(sizes)
        self._tables = [self._table(entry, size) for entry, size in enumerate(sizes)]

    def _table(self, entry: int, size: int) -> np.ndarray:
        """float32 [size, 25]: what each choice of an entry adds to the action vector."""
        table = np.zeros((size, ACTION_DIM), np.float32)
        if entry < len(self._FINGERS):
            for choice, name in enumerate(self._FINGERS[entry], start=1):
                table[choice, ACTION_INDEX[name]] = 1.0
        elif size == HOTBAR_CHOICES:
            for slot in range(1, size):
                table[slot, ACTION_INDEX[f"hotbar.{slot}"]] = 1.0
        else:
            axis = "cameraX" if entry == len(self._FINGERS) + 1 else "cameraY"
            table[:, ACTION_INDEX[axis]] = self.bins / CAMERA_SCALE
        return table

    def to_action(self, sample: Any) -> Action:
        return self.to_actions(np.asarray(sample)[None])[0]

    def to_actions(self, batch: Any) -> list[Action]:
        return [self._decode(row) for row in self._checked(batch).tolist()]

    def to_vectors(self, batch: Any) -> np.ndarray:
        choices = self._checked(batch)
        return np.sum([table[choices[:, entry]] for entry, table in enumerate(self._tables)], axis=0)

    def from_action(self, action: Action) -> np.ndarray:
        """int64 [9]. Opposite keys cancel, sneak beats sprint, other keys are lost, the camera is rounded."""
        row = []
        for names in self._FINGERS:
            held = [choice for choice, name in enumerate(names, start=1) if getattr(action, name)]
            cancels = len(held) == 2 and "sneak" not in names
            row.append(0 if not held or cancels else held[0])
        turns = [int(np.argmin(np.abs(self.bins - angle))) for angle in action.camera]
        return np.array([*row, action.hotbar, *turns], np.int64)

    def _decode(self, row: list[int]) -> Action:
        held = {names[choice - 1]: True for names, choice in zip(self._FINGERS, row) if choice}
        hotbar, pitch, yaw = row[len(self._FINGERS) :]
        return Action(**held, hotbar=hotbar, camera=(float(self.bins[pitch]), float(self.bins[yaw])))

    def _checked(self, batch: Any) -> np.ndarray:
        sizes = self.space.nvec
        return _checked_choices(batch, (len(sizes),), sizes)


LOOK, TURN = 5.0, 10.0
"""Degrees per tick of the discrete space's pitch and yaw actions."""
DISCRETE_ACTIONS: tuple[tuple[str, Action], ...] = (
    ("idle", Action()),
    ("forward", Action(forward=True)),
    ("forward jump", Action(forward=True, jump=True)),
    ("forward sprint", Action(forward=True, sprint=True)),
    ("forward attack", Action(forward=True, attack=True)),
    ("back", Action(back=True)),
    ("left", Action(left=True)),
    ("right", Action(right=True)),
    ("turn left", Action(camera=(0.0, -TURN))),
    ("turn right", Action(camera=(0.0, TURN))),
    ("look up", Action(camera=(-LOOK, 0.0))),
    ("look down", Action(camera=(LOOK, 0.0))),
    ("attack", Action(attack=True)),
    ("use", Action(use=True)),
    ("jump use", Action(jump=True, use=True)),
)
"""The `discrete` space: what each number does. `jump use` while looking down builds a pillar."""


class DiscreteCodec(ActionCodec):
    """`discrete`: one of the combinations of `DISCRETE_ACTIONS`."""

    name = "discrete"

    def __init__(self) -> None:
        self.space = spaces.Discrete(len(DISCRETE_ACTIONS))
        self._vectors = np.stack([action.to_vector() for _, action in DISCRETE_ACTIONS])

    def to_action(self, sample: Any) -> Action:
        return self.to_actions(np.asarray(sample)[None])[0]

    def to_actions(self, batch: Any) -> list[Action]:
        return [DISCRETE_ACTIONS[choice][1] for choice in self._checked(batch).tolist()]

    def to_vectors(self, batch: Any) -> np.ndarray:
        return self._vectors[self._checked(batch)]

    def from_action(self, action: Action) -> np.int64:
        """The number of an action of the table; any other raises `EnvError`."""
        for choice, (_, known) in enumerate(DISCRETE_ACTIONS):
            if known == action:
                return np.int64(choice)
        raise EnvError(f"action: the discrete space has none for {action.to_dict()}")

    def _checked(self, batch: Any) -> np.ndarray:
        return _checked_choices(batch, (), np.array(len(DISCRETE_ACTIONS)))


class MineRLCodec(ActionCodec):
    """`minerl`: a dict with MineRL's names.

    Each button is 0 or 1, `hotbar` 0 (no change) or a slot, `camera` float32 [pitch, yaw] in degrees.
    """

    name = "minerl"
    space: spaces.Dict

    def __init__(self) -> None:
        entries: dict[str, spaces.Space[Any]] = {name: spaces.Discrete(2) for name in BUTTONS}
        entries["hotbar"] = spaces.Discrete(HOTBAR_CHOICES)
        entries["camera"] = spaces.Box(-MAX_CAMERA, MAX_CAMERA, (2,), np.float32)
        self.space = spaces.Dict(entries)

    def to_action(self, sample: Any) -> Action:
        self._require_names(sample)
        return self.to_actions({name: np.asarray(value)[None] for name, value in sample.items()})[0]

    def to_actions(self, batch: Any) -> list[Action]:
        held, hotbar, camera = self._checked(batch)
        return [
            Action(**dict(zip(BUTTONS, map(bool, keys))), hotbar=slot, camera=(turn[0], turn[1]))
            for keys, slot, turn in zip(held.tolist(), hotbar.tolist(), camera.tolist())
        ]

    def to_vectors(self, batch: Any) -> np.ndarray:
        held, hotbar, camera = self._checked(batch)
        vectors = np.zeros((len(hotbar), ACTION_DIM), np.float32)
        vectors[:, [ACTION_INDEX[name] for name in BUTTONS]] = held
        for slot in range(1, HOTBAR_CHOICES):
            vectors[:, ACTION_INDEX[f"hotbar.{slot}"]] = hotbar == slot
        vectors[:, [ACTION_INDEX["cameraX"], ACTION_INDEX["cameraY"]]] = camera / CAMERA_SCALE
        return vectors

    def from_action(self, action: Action) -> dict[str, Any]:
        """Every action has its sample; the camera is rounded to float32."""
        sample: dict[str, Any] = {name: np.int64(getattr(action, name)) for name in BUTTONS}
        return sample | {"hotbar": np.int64(action.hotbar), "camera": np.array(action.camera, np.float32)}

    def _require_names(self, sample: Any) -> None:
        if not isinstance(sample, Mapping):
            raise EnvError(f"action: the minerl space takes a dict, not {type(sample).__name__}")
        wrong = set(self.space.spaces) ^ set(sample)
        if wrong:
            name = min(map(str, wrong))
            raise EnvError(f"action: {'missing' if name in self.space.spaces else 'unknown'} name {name!r}")

    def _checked(self, batch: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Buttons int64 [b, 14], hotbar int64 [b] and camera float64 [b, 2] of a valid batch."""
        self._require_names(batch)
        held = np.stack([_checked_choices(batch[name], (), np.array(2), name) for name in BUTTONS], axis=1)
        hotbar = _checked_choices(batch["hotbar"], (), np.array(HOTBAR_CHOICES), "hotbar")
        camera = np.asarray(batch["camera"])
        if camera.shape != (len(hotbar), 2) or camera.dtype.kind not in "fiu":
            raise EnvError(f"action: camera is two numbers per action, not {camera.dtype} of shape {camera.shape}")
        if not np.all(np.abs(camera) <= MAX_CAMERA):  # also refuses NaN
            raise EnvError(f"action: camera is not within ±{MAX_CAMERA:g} degrees per tick")
        return held, hotbar, camera.astype(np.float64)


def _checked_choices(batch: Any, shape: tuple[int, ...], sizes: np.ndarray, what: str = "a sample") -> np.ndarray:
    """`batch` as int64 [b, *shape] once it is known that 0 <= entry < size everywhere."""
    choices = np.asarray(batch)
    if choices.dtype.kind not in "biu":
        raise EnvError(f"action: {what} is made of whole numbers, not {choices.dtype}")
    if choices.ndim != len(shape) + 1 or choices.shape[1:] != shape:
        raise EnvError(f"action: {what} has shape {shape}, not {choices.shape[1:]}")
    wrong = (choices < 0) | (choices >= sizes)
    if wrong.any():
        index = tuple(np.argwhere(wrong)[0])
        size = int(np.broadcast_to(sizes, choices.shape)[index])
        where = f"entry {index[1]} of {what}" if shape else what
        raise EnvError(f"action: {where} is {choices[index]}, but must be from 0 to {size - 1}")
    return choices.astype(np.int64)


ACTION_SPACES: dict[str, type[ActionCodec]] = {
    codec.name: codec for codec in (MultiDiscreteCodec, DiscreteCodec, MineRLCodec)
}


def make_codec(name: str) -> ActionCodec:
    """The codec of an action space by keyword. Raises EnvError for one that does not exist."""
    if name not in ACTION_SPACES:
        raise EnvError(f"unknown action space {name!r}; there are {', '.join(ACTION_SPACES)}")
    return ACTION_SPACES[name]()
