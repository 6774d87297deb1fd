"""Scripted players: lively, deterministic, and able to play blind."""

import numpy as np
import pytest

from reverie.model.errors import ReverieError
from reverie.simulator import VoxelWorld
from reverie.simulator.players import PLAYERS, make_player
from reverie.simulator.world import EVENTS, Senses

TICKS = 400


@pytest.fixture(scope="module")
def world():
    return VoxelWorld(size=(48, 80))


def play(world, name, seed=0, scene="plains", ticks=TICKS):
    """(poses [T, 5], cameras [T, 2], summed events) of a run."""
    state, player = world.start(scene, seed), make_player(name, seed)
    poses, cameras, happened = [], [], np.zeros(len(EVENTS))
    for _ in range(ticks):
        action = player.act(world.senses(state))
        assert np.isfinite(action.to_vector()).all()
        state = world.step(state, action)
        poses.append(world.pose(state))
        cameras.append(action.camera)
        happened += world.events(state)
    return np.array(poses), np.array(cameras), happened


def path_length(poses):
    return float(np.hypot(*np.diff(poses[:, [0, 2]], axis=0).T).sum())


def test_the_explorer_travels(world):
    lengths = [path_length(play(world, "explorer", seed)[0]) for seed in range(3)]
    assert min(lengths) > 15
    assert max(lengths) > 35


def test_the_explorer_looks_as_people_do(world):
    runs = [play(world, "explorer", seed) for seed in range(3)]
    cameras = np.abs(np.concatenate([cameras for _, cameras, _ in runs])[:, 1])
    assert np.median(cameras) < 2.0
    assert 3.0 < np.percentile(cameras, 95) < 14.0
    assert cameras.max() < 31.0
    pitches = np.concatenate([poses[:, 4] for poses, _, _ in runs])
    assert np.mean((pitches > -40) & (pitches < 55)) > 0.9


def test_the_builder_changes_blocks(world):
    changes = [play(world, "builder", seed, ticks=600)[2] for seed in range(3)]
    assert min(happened[:2].sum() for happened in changes) >= 1
    assert sum(happened[:2].sum() for happened in changes) >= 10


def held_up(world, name, seed):
    """The share of ticks in which a key to walk by was held, as before, and nobody moved."""
    state, player = world.start("forest", seed), make_player(name, seed)
    walking, moved = [], []
    for _ in range(TICKS):
        action = player.act(world.senses(state))
        later = world.step(state, action)
        walking.append(action.forward or action.back or action.left or action.right)
        moved.append(np.hypot(*(world.pose(later) - world.pose(state))[[0, 2]]) > 0.01)
        state = later
    return float(np.mean(np.array(walking[1:]) & np.array(walking[:-1]) & ~np.array(moved[1:])))


def test_the_stubborn_lean_on_what_is_in_the_way(world):
    stubborn, explorer = ([held_up(world, name, seed) for seed in range(4)] for name in ("stubborn", "explorer"))
    assert np.mean(stubborn) > 0.08 and np.mean(stubborn) > 2 * np.mean(explorer)
    assert max(stubborn) < 0.7, "it turns away in the end"


def test_the_fidget_tries_its_hands_where_it_stands(world):
    runs = [play(world, "fidget", seed) for seed in range(3)]
    assert np.mean([path_length(poses) for poses, _, _ in runs]) < path_length(play(world, "explorer")[0])
    players, still = [make_player("fidget", seed) for seed in range(4)], Senses(tick=0)
    actions = [player.act(still) for player in players for _ in range(1200)]
    assert 0.05 < np.mean([action.attack for action in actions]) < 0.5
    slots = [action.hotbar for action in actions if action.hotbar]
    assert len(slots) > 10 and len(set(slots)) > 5
    held = "".join("#" if action.attack else "." for action in actions).split(".")
    assert {1, 16} <= {len(stretch) for stretch in held}, "single clicks, and the key held down"


def test_the_spinner_turns(world):
    _, cameras, _ = play(world, "spinner")
    assert np.abs(cameras[:, 1]).sum() > 720


def test_the_idle_player_hardly_moves(world):
    poses, cameras, happened = play(world, "idle")
    assert path_length(poses) < 2.0
    assert np.mean((cameras == 0).all(axis=1)) > 0.7
    assert not happened[:2].any()


@pytest.mark.parametrize("name", PLAYERS)
def test_players_repeat_themselves_exactly(world, name):
    first, second = play(world, name, seed=3, ticks=150), play(world, name, seed=3, ticks=150)
    assert (first[0] == second[0]).all()
    assert (first[1] == second[1]).all()
    assert (play(world, name, seed=4, ticks=150)[1] != first[1]).any()


@pytest.mark.parametrize("name", PLAYERS)
def test_players_play_blind(name):
    player = make_player(name, 5)
    actions = [player.act(Senses(tick=tick)) for tick in range(600)]
    held = np.array([action.to_vector() for action in actions])
    assert np.isfinite(held).all()
    assert held.any()


def test_keys_are_held_for_human_times(world):
    state, player = world.start("plains", 1), make_player("mixed", 1)
    forward = []
    for _ in range(800):
        action = player.act(world.senses(state))
        state = world.step(state, action)
        forward.append(action.forward)
    flips = np.count_nonzero(np.diff(np.array(forward, int)))
    assert flips < 800 / 6


def test_unknown_players_are_refused():
    with pytest.raises(ReverieError, match="nobody"):
        make_player("nobody", 0)
