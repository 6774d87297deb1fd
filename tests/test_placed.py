"""Views from before something was placed: of no use to somebody who stands before it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_shard import write_rows

from reverie.model.config import preset
from reverie.model.recall import NEVER, STEADY_TICKS, placed, stands, trusted
from reverie.model.torch_backend import TorchBackend
from reverie.model.training.data import KeyViews, ShardSet
from reverie.model.world_model import WorldModel
from reverie.simulator import Action
from reverie.simulator.dream import DreamState, DreamWorld
from reverie.simulator.errors import SaveError
from reverie.simulator.world import EVENTS

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = preset("test")
HIT, PLACE, WAIT = Action(attack=True), Action(use=True), Action()
STANDS = np.zeros((1, 4), np.float32)


@pytest.fixture
def world() -> DreamWorld:
    torch.manual_seed(0)
    return DreamWorld(TorchBackend(WorldModel(CONFIG).eval().requires_grad_(False)), "test")


def start(world: DreamWorld) -> DreamState:
    return world.start(np.random.default_rng(0).integers(0, 256, (*CONFIG.size, 3), np.uint8), 0)


def known_views(world: DreamWorld, state: DreamState, action: Action = WAIT) -> bool:
    """Whether the next frame, after `action`, is given an earlier view."""
    _, way = world._recall(state, world._turn(state, action.to_vector()[None]))
    return bool(way[0, 0])


def test_ticks_are_counted_since_something_was_placed() -> None:
    vectors = np.stack([action.to_vector() for action in (WAIT, PLACE, HIT, WAIT)])
    assert placed(np.array([3, 3, 0, NEVER]), vectors).tolist() == [4, 0, 1, NEVER]
    told = placed(np.array([3, 3, 3, 3]), vectors[[0, 1, 1, 2]], np.array([0.9, 0.9, 0.001, 0.9]))
    assert told.tolist() == [4, 0, 4, 4], "a *use* that places nothing, as the model sees it, does not count"


def test_older_views_are_not_trusted_by_those_who_stand_still() -> None:
    ages = np.array([[-1.0, 0.0, 4.0, 5.0]] * 4)
    turn, travelled = np.array([[0, 0], [0.2, -0.2], [0, -2.0], [0, 0]]), np.array([0.0, 0.01, 0.0, 0.1])
    found = trusted(ages, np.array([4, NEVER, 4, 4]), stands(turn, travelled))
    assert found.tolist() == [[-1, 0, 4, -1], *ages[1:].tolist()]


def test_a_dream_does_not_look_at_what_was_there_before(world: DreamWorld) -> None:
    state = replace(world.step(start(world), WAIT), pace=STANDS, rested=np.full(1, STEADY_TICKS - 3))
    assert known_views(world, state)
    hit, put = (replace(world.step(state, action), pace=STANDS) for action in (HIT, PLACE))
    assert known_views(world, hit) and not known_views(world, put)
    assert known_views(world, put, Action(camera=(0.0, 4.0))), "who turns needs what it shows at the edge"
    assert known_views(world, replace(put, pace=STANDS + 0.1)), "and so does who walks"
    assert not known_views(world, replace(world.step(put, WAIT), pace=STANDS)), "the view is as old as it was"
    assert known_views(world, replace(world._keep(put, np.zeros(1, int)), pace=STANDS)), "a new view has seen it"


def test_a_use_that_places_nothing_changes_nothing(world: DreamWorld) -> None:
    state = replace(world.step(start(world), WAIT), pace=STANDS, rested=np.full(1, STEADY_TICKS - 3))
    run = world._backend.run

    def sees_nothing(inputs):
        return {**run(inputs), "events": np.zeros((1, len(EVENTS)), np.float32)}

    world._backend.run = sees_nothing
    assert known_views(world, replace(world.step(state, PLACE), pace=STANDS))


def test_a_save_holds_when_it_was(world: DreamWorld) -> None:
    state = world.step(world.step(start(world), PLACE), WAIT)
    meta, arrays = world.pack(state)
    assert world.unpack(meta, arrays).placed.tolist() == [1]
    for value in (np.array([-1]), np.array([0.5])):
        with pytest.raises(SaveError):
            world.unpack(meta, {**arrays, "placed": value})


def test_training_and_play_count_the_same(tmp_path, world: DreamWorld) -> None:
    actions = [WAIT] * 30
    actions[4] = actions[5] = actions[24] = PLACE
    write_rows(tmp_path / "0", CONFIG.size, (action.to_vector() for action in actions), 20)
    found = ShardSet([tmp_path], CONFIG)
    (shard,) = found.shards.values()
    views = KeyViews(shard, CONFIG.keys)
    known, rows = views.placed, np.array([3, 4, 5, 6, 19, 21])
    _, ways = found._keys(shard, rows, views.at(rows), np.zeros((6, 2), np.float32), np.random.default_rng(0))
    assert ways[:, 0].tolist() == [1, 1, 0, 0, 0, 1], "nobody moves in it: no view from before the placing"
    for first, last in ((0, 20), (20, 30)):
        state = start(world)
        for row in range(first, last):
            assert state.placed[0] == known[row], row
            state = world.step(state, actions[row])
