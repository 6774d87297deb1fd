"""A small deterministic world without weights or compilers, for tests of what lies around worlds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reverie.simulator.action import Action
from reverie.simulator.errors import SaveError, SceneError
from reverie.simulator.world import EVENTS, Senses

WEIGHTS = np.linspace(0.1, 1.7, 25)


@dataclass(frozen=True)
class FakeState:
    """A picture that every action stirs, chaotically enough that a lost bit shows."""

    tick: int
    canvas: np.ndarray
    random: int


class FakeWorld:
    """Implements `reverie.simulator.world.World`; counts its steps, so that replays can be seen."""

    def __init__(self, size: tuple[int, int] = (32, 48), flavour: str = "plain") -> None:
        self.size, self.flavour, self.steps = size, flavour, 0

    def start(self, scene: Any, seed: int) -> FakeState:
        if isinstance(scene, str) and scene != "meadow":
            raise SceneError(f"scene {scene!r} is unknown")
        canvas = np.random.default_rng(seed).random((*self.size, 3))
        if isinstance(scene, np.ndarray):
            canvas = scene / 255
        return FakeState(0, canvas, seed)

    def step(self, state: FakeState, action: Action) -> FakeState:
        self.steps += 1
        random = (state.random * 6364136223846793005 + 1442695040888963407) % 2**64
        push = float(action.to_vector() @ WEIGHTS) + random / 2**64
        canvas = 3.9 * state.canvas * (1 - state.canvas)
        return FakeState(state.tick + 1, np.roll(canvas + 0.02 * np.sin(push), 1, axis=1) % 1.0, random)

    def edit(self, state: FakeState, image: np.ndarray, mask: np.ndarray | None, strength: float) -> FakeState:
        chosen = np.ones(self.size, bool) if mask is None else mask
        return replace(state, canvas=np.where(chosen[..., None], image / 255, state.canvas))

    def frame(self, state: FakeState) -> np.ndarray:
        return np.rint(state.canvas * 255).astype(np.uint8)

    def tick(self, state: FakeState) -> int:
        return state.tick

    def senses(self, state: FakeState) -> Senses:
        return Senses(state.tick)

    def events(self, state: FakeState) -> np.ndarray:
        return np.zeros(len(EVENTS), np.float32)

    def describe(self) -> dict[str, Any]:
        return {"world": "fake", "size": list(self.size), "flavour": self.flavour, "device": "abacus"}

    def pack(self, state: FakeState) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"tick": state.tick, "random": state.random}, {"canvas": state.canvas}

    def unpack(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> FakeState:
        if arrays["canvas"].shape != (*self.size, 3):
            raise SaveError("save: the canvas has another size")
        return FakeState(int(meta["tick"]), arrays["canvas"].copy(), int(meta["random"]))
