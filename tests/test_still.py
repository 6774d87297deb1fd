"""Whoever stands still: what stays is not drawn anew, and keys that lead nowhere are not told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from reverie.model.actions import ACTION_DIM, ACTION_INDEX
from reverie.model.config import preset
from reverie.model.recall import LEAN_DEGREES, REST_TICKS, STEADY_TICKS, WALKS, in_vain, stands
from reverie.model.torch_backend import TorchBackend
from reverie.model.world_model import WorldModel
from reverie.simulator import Action
from reverie.simulator.dream import DreamState, DreamWorld

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = preset("test")
WAIT, WALK, ASIDE = Action(), Action(forward=True), Action(forward=True, left=True)
JUMP, TURN = Action(forward=True, jump=True), Action(forward=True, camera=(0.0, 2.0))
HELD_UP = np.array([[1, 0, 0, 0]], np.float32)
FREE = np.array([[1, 0, 0, 0.2]], np.float32)


class Watched(DreamWorld):
    """Remembers what its network was given."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(TorchBackend(WorldModel(CONFIG).eval().requires_grad_(False)), "test")
        self.given: dict[str, Any] = {}
        run = self._backend.run
        self._backend.run = lambda inputs: run(self.given.update(inputs) or inputs)


@pytest.fixture
def world() -> Watched:
    return Watched()


def begun(world: DreamWorld) -> DreamState:
    """A dream whose newest frame is not the one that it has kept, and whose eye stands."""
    state = world.start(np.random.default_rng(0).integers(0, 256, (*CONFIG.size, 3), np.uint8), 0)
    later = world.step(state, WALK)
    return replace(later, pace=HELD_UP, pose=later.pose + np.float32(0.1))


def test_who_neither_turns_nor_travels_stands() -> None:
    turn, travelled = np.array([[0, 0], [0, 0], [0.2, -0.2], [0, 0.4]]), np.array([0, 0.1, 0.01, 0])
    assert stands(turn, travelled).tolist() == [True, False, True, False]


def test_keys_are_in_vain_that_were_held_and_moved_nobody() -> None:
    vectors = {name: action.to_vector()[None] for name, action in (("w", WALK), ("wa", ASIDE), ("wj", JUMP))}
    unknown = np.zeros((1, 4), np.float32)
    assert in_vain(vectors["w"], vectors["w"], HELD_UP)[0]
    assert not in_vain(vectors["w"], vectors["w"], FREE)[0], "it moves"
    assert not in_vain(vectors["w"], vectors["w"], unknown)[0], "nobody knows whether it moved"
    assert not in_vain(vectors["wa"], vectors["w"], HELD_UP)[0], "another way, which may be free"
    assert not in_vain(vectors["wj"], vectors["wj"], HELD_UP)[0], "who jumps may get over it"


@pytest.mark.parametrize(
    ("action", "change", "told"),
    [
        (WALK, {}, False),
        (WALK, {"pace": FREE}, True),
        (ASIDE, {}, True),
        (TURN, {}, False),
        (TURN, {"leaned": np.full(1, LEAN_DEGREES - 1, np.float32)}, True),
        (WALK, {"rested": np.full(1, REST_TICKS - 1)}, True),
    ],
    ids=["held up", "moving", "another way", "turning", "turned away", "digging"],
)
def test_a_network_is_not_told_them(world: Watched, action: Action, change: dict[str, Any], told: bool) -> None:
    later = world.step(replace(begun(world), **change), action)
    forward = ACTION_INDEX["forward"]
    assert bool(world.given["action"][0, forward]) is told and bool(world.given["last_action"][0, forward]) is told
    assert later.last_action[0, forward] == 1, "they are held all the same"
    others = np.array([index for index in range(ACTION_DIM) if index not in WALKS])
    assert np.array_equal(world.given["action"][0, others], action.to_vector()[others]), "all else is told"


@pytest.mark.parametrize(
    ("action", "change", "same"),
    [
        (WAIT, {}, True),
        (WAIT, {"rested": np.full(1, STEADY_TICKS - 1)}, False),
        (TURN, {}, False),
        (WAIT, {"pace": FREE}, False),
    ],
    ids=["standing", "after a swing", "turning", "moving"],
)
def test_what_stays_is_the_newest_frame(world: Watched, action: Action, change: dict[str, Any], same: bool) -> None:
    state = replace(begun(world), **change)
    world.step(state, action)
    newest, kept = world.frame(state), state.kept[0, 0]
    assert not np.array_equal(newest, kept)
    assert np.array_equal(world.given["key"][0], newest if same else kept)
    way = world.given["way"][0]
    assert way[0] == 1 and bool(way[2:].any()) is not same


def test_it_counts_how_far_one_has_turned_from_what_is_in_the_way(world: Watched) -> None:
    state, turned = begun(world), []
    for _ in range(20):
        state = replace(world.step(state, TURN), pace=HELD_UP)
        turned.append(float(state.leaned[0]))
    rest = int(LEAN_DEGREES / 2) - 1
    assert turned[:rest] == pytest.approx([2.0 * (tick + 1) for tick in range(rest)], abs=1e-4)
    assert turned[rest] == 0 and turned[rest + 1] == pytest.approx(2.0), "asked once, and not free: it leans anew"
    assert world.step(state, WAIT).leaned[0] == 0
    meta, arrays = world.pack(state)
    assert world.unpack(meta, arrays).leaned[0] == state.leaned[0]


def test_dreams_side_by_side_keep_their_own(world: Watched) -> None:
    state = begun(world)
    both = world.stack([state, replace(state, pace=FREE)])
    world.step_batch(both, np.stack([WALK.to_vector()] * 2))
    assert np.array_equal(world.given["key"][0], world.frame(state)) and world.given["action"][0].sum() == 0
    assert np.array_equal(world.given["key"][1], state.kept[0, 0]) and world.given["action"][1].sum() == 1
