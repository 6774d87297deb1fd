"""stable-baselines3's `VecEnv` contract: our players behave as its own `DummyVecEnv` over single environments does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from fake_world import FakeWorld

from reverie.env.errors import EnvError
from reverie.env.fleet import VoxelFleet
from reverie.env.spaces import make_codec
from reverie.env.tasks import Task
from reverie.env.vector import WorldVectorEnv
from reverie.env.world_env import WorldEnv
from reverie.simulator.errors import SceneError
from reverie.simulator.world import EVENTS

vec_env = pytest.importorskip("stable_baselines3.common.vec_env")
from reverie.demos.sb3 import PlayersVecEnv  # noqa: E402  after it is known that it can be imported

COUNT = 3
LIMIT = 7
SEEDS = (0, 50)


TASK = Task("any", "events that come by chance", (("dig", 1.0), ("place", 0.5)), goal=4.0)


class World(FakeWorld):
    """With events, and with a pose, which the voxel world's players are told."""

    def events(self, state: Any) -> np.ndarray:
        return np.array([state.random >> 40 + number & 1 for number in range(len(EVENTS))], np.float32)

    def pose(self, state: Any) -> np.ndarray:
        return np.full(5, float(state.tick))


class PosedEnv(WorldEnv):
    def _info(self) -> dict[str, Any]:
        return super()._info() | {"pose": self.world.pose(self._playing())}  # type: ignore[attr-defined]


def settings() -> dict[str, Any]:
    return {"task": TASK, "world_seeds": SEEDS, "max_episode_steps": LIMIT, "render_mode": "rgb_array"}


def make_players(repeat: int = 1, **changed: Any) -> PlayersVecEnv:
    world, codec = World(), make_codec("discrete")
    options = settings() | {"autoreset_mode": "SameStep"} | changed
    fleet = VoxelFleet(world, codec, 2)  # type: ignore[arg-type]
    return PlayersVecEnv(WorldVectorEnv(world, fleet, codec, COUNT, **options), repeat)


def make_reference() -> Any:
    def make() -> gymnasium.Env[Any, Any]:
        return PosedEnv(World(), action_space="discrete", **settings())

    return vec_env.DummyVecEnv([make] * COUNT)


def same(ours: Any, theirs: Any) -> None:
    """Equal in value, and in kind where that matters: arrays, numbers, and dicts of them."""
    assert type(ours) is type(theirs) or (isinstance(ours, bool | int | float) and np.isscalar(theirs)), (ours, theirs)
    if isinstance(theirs, dict):
        assert set(ours) - {"episode"} == set(theirs) - {"episode"}
        for name in set(theirs) - {"episode"}:
            same(ours[name], theirs[name])
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            same(one, other)
    elif isinstance(theirs, np.ndarray):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    else:
        assert ours == theirs


def drive(act: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Does the same to our players and to the reference, and compares what comes back and what is told about it."""
    ours, theirs = act(OURS), act(THEIRS)
    same(ours, theirs)
    same(OURS.reset_infos, THEIRS.reset_infos)
    return ours, theirs


OURS: Any = None
THEIRS: Any = None


@pytest.fixture(autouse=True)
def both() -> Any:
    global OURS, THEIRS
    OURS, THEIRS = make_players(), make_reference()
    yield
    OURS.close()
    THEIRS.close()


def test_episodes_seeds_options_and_infos_are_those_of_single_environments() -> None:
    rng = np.random.default_rng(0)
    drive(lambda env: list(env.seed(5)))
    drive(lambda env: env.reset())
    ended = reached = 0
    for tick in range(3 * LIMIT + 2):
        actions = rng.integers(0, OURS.action_space.n, COUNT)
        result, _ = drive(lambda env, actions=actions: list(env.step(actions)))
        ended += int(result[2].sum())
        reached += sum(done and not info["TimeLimit.truncated"] for done, info in zip(*result[2:], strict=True))
        if tick == LIMIT + 2:
            drive(lambda env: env.set_options({"world_seed": 9}))
            drive(lambda env: env.reset())
    assert 0 < reached < ended >= 2 * COUNT
    drive(lambda env: env.reset())  # goes on drawing where the last episodes stopped


def test_options_reach_the_next_reset_alone_one_for_all_or_one_for_each() -> None:
    drive(lambda env: list(env.seed(1)))
    drive(lambda env: env.set_options({"world_seed": 5}))
    observations, _ = drive(lambda env: env.reset())
    assert (observations == observations[0]).all()
    assert [info["world_seed"] for info in OURS.reset_infos] == [5] * COUNT
    each = [{"world_seed": 11}, {}, {"scene": "meadow", "world_seed": 13}]
    drive(lambda env: env.set_options(each))
    drive(lambda env: env.reset())
    assert OURS.reset_infos[0]["world_seed"] == 11 and OURS.reset_infos[2]["world_seed"] == 13
    drive(lambda env: env.reset())
    assert [info["world_seed"] for info in OURS.reset_infos] != [11, 5, 13]
    drive(lambda env: env.set_options(None))
    drive(lambda env: env.reset())


def test_options_are_copied_and_wrong_ones_refused() -> None:
    mine = {"world_seed": 3}
    OURS.set_options(mine)
    mine["world_seed"] = 4
    OURS.reset()
    assert OURS.reset_infos[0]["world_seed"] == 3
    OURS.set_options({"weather": "rain"})
    with pytest.raises(EnvError, match="weather"):
        OURS.reset()
    OURS.set_options([{"world_seed": 1}])
    with pytest.raises(EnvError, match=f"1 options for {COUNT}"):
        OURS.reset()
    OURS.set_options({"scene": "atlantis"})
    with pytest.raises(SceneError):
        OURS.reset()


def test_an_ended_episode_is_told_and_the_next_one_begins() -> None:
    players = make_players(task="wood")
    players.seed(0)
    players.reset()
    begun = [info["world_seed"] for info in players.reset_infos]
    for _ in range(LIMIT - 1):
        *_, done, infos = players.step(np.zeros(COUNT, int))
        assert not done.any() and not any("episode" in info or "terminal_observation" in info for info in infos)
    observations, _, done, infos = players.step(np.zeros(COUNT, int))
    assert done.all()
    for index, info in enumerate(infos):
        assert info["TimeLimit.truncated"] is True and info["tick"] == LIMIT
        assert info["episode"]["l"] == LIMIT and set(info["episode"]) == {"r", "l", "t"}
        assert not np.array_equal(info["terminal_observation"], observations[index])
        assert players.reset_infos[index]["tick"] == 0
    assert [info["world_seed"] for info in players.reset_infos] != begun
    players.close()


def test_what_is_handed_out_is_not_changed_afterwards() -> None:
    first = OURS.reset()
    kept, infos = first.copy(), OURS.reset_infos
    old = [dict(info) for info in infos]
    second, rewards, done, told = OURS.step(np.ones(COUNT, int))
    before = (second.copy(), rewards.copy(), done.copy(), [info["events"].copy() for info in told])
    for _ in range(LIMIT + 1):
        OURS.step(np.ones(COUNT, int))
    same(first, kept)
    same([second, rewards, done], list(before[:3]))
    same([info["events"] for info in told], before[3])
    assert [info["tick"] for info in old] == [0] * COUNT


def test_attributes_methods_and_indices() -> None:
    for name in ("render_mode", "observation_space", "action_space"):
        for indices in (None, 1, [0, 2], range(2), -1):
            assert OURS.get_attr(name, indices) == THEIRS.get_attr(name, indices), (name, indices)
    assert OURS.has_attr("task") and not OURS.has_attr("no_such_thing")
    with pytest.raises(AttributeError):
        OURS.get_attr("no_such_thing")
    OURS.set_attr("mark", 7)
    assert OURS.get_attr("mark") == [7] * COUNT
    with pytest.raises(EnvError, match="all players"):
        OURS.set_attr("mark", 8, indices=[1])
    with pytest.raises(AttributeError):
        OURS.env_method("action_masks")
    with pytest.raises(IndexError):
        OURS.get_attr("task", COUNT)
    assert OURS.env_is_wrapped(gymnasium.Wrapper) == THEIRS.env_is_wrapped(gymnasium.Wrapper) == [False] * COUNT
    assert OURS.env_is_wrapped(gymnasium.Wrapper, [0]) == [False]
    assert OURS.num_envs == COUNT and OURS.unwrapped is OURS
    assert [rng.random() for rng in OURS.get_attr("np_random")] != [0.0] * COUNT


def test_players_can_be_snapshot_and_restored_one_by_one() -> None:
    OURS.seed(2)
    OURS.reset()
    OURS.step(np.full(COUNT, 1))
    (snapshot,) = OURS.env_method("snapshot", indices=1)
    expected = [OURS.step(np.full(COUNT, 2))[0][1] for _ in range(3)]
    OURS.env_method("restore", snapshot, indices=[0, 1])
    for frame in expected:
        observations = OURS.step(np.full(COUNT, 2))[0]
        assert np.array_equal(observations[0], frame) and np.array_equal(observations[1], frame)


def test_rendering() -> None:
    drive(lambda env: list(env.seed(4)))
    drive(lambda env: env.reset())
    drive(lambda env: list(env.get_images()))
    drive(lambda env: env.render())
    drive(lambda env: env.render("rgb_array"))
    drive(lambda env: env.env_method("render", indices=[1]))
    blind = make_players(render_mode=None)
    blind.reset()
    assert blind.get_images() == [None] * COUNT and blind.render_mode is None
    blind.close()


def test_held_actions_count_for_all_their_ticks() -> None:
    single, held = make_players(task="wood"), make_players(repeat=3, task="wood")
    for env in (single, held):
        env.seed(6)
        env.reset()
    for _ in range(2):
        reward = sum(single.step(np.full(COUNT, 4))[1] for _ in range(3))
        observations, rewards, done, infos = held.step(np.full(COUNT, 4))
        np.testing.assert_allclose(rewards, reward)
        assert not done.any()
    assert [info["tick"] for info in infos] == [6] * COUNT
    observations, _, done, infos = held.step(np.full(COUNT, 4))  # ends in the first of these ticks
    assert done.all() and [info["tick"] for info in infos] == [LIMIT] * COUNT
    assert [info["tick"] for info in held.reset_infos] == [0] * COUNT
    for _ in range(3):
        later = single.step(np.full(COUNT, 4))[0]
    assert np.array_equal(observations, later)
    single.close()
    held.close()


@pytest.mark.parametrize("changed", [{"autoreset_mode": "NextStep"}, {"repeat": 0}])
def test_what_does_not_fit_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(EnvError):
        make_players(**changed)


@pytest.mark.slow
def test_wrappers_and_algorithms_take_it() -> None:
    from stable_baselines3 import PPO
    from stable_baselines3.common.evaluation import evaluate_policy

    wrapped = vec_env.VecMonitor(vec_env.VecFrameStack(make_players(task="wood"), 2))
    agent = PPO("MlpPolicy", wrapped, n_steps=4, batch_size=6, n_epochs=1, seed=0, device="cpu")
    agent.learn(24)
    assert agent.ep_info_buffer
    scores, lengths = evaluate_policy(agent, wrapped, 4, return_episode_rewards=True)
    assert len(scores) == 4 and set(lengths) == {LIMIT}
    wrapped.close()
