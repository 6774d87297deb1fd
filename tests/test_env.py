"""The environments: action spaces, tasks, single and vector environments."""

from __future__ import annotations

import warnings
import zlib
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from reverie.env.errors import EnvError
from reverie.env.fleet import DreamFleet, Fleet, VoxelFleet
from reverie.env.spaces import ACTION_SPACES, DISCRETE_ACTIONS, camera_bins, make_codec
from reverie.env.tasks import TASKS, Task, make_task
from reverie.env.vector import WorldVectorEnv
from reverie.env.world_env import WorldEnv
from reverie.model.errors import ReverieError
from reverie.simulator.action import BUTTONS, Action
from reverie.simulator.world import EVENTS, Senses

ALL_SPACES = sorted(ACTION_SPACES)


@dataclass(frozen=True)
class FakeState:
    """A tick, a number that depends on everything that happened, and whether a trunk was dug."""

    tick: int
    code: int
    dug: float = 0.0


class FakeWorld:
    """A tiny world, singly and in batches. Attacking digs a trunk every third tick."""

    size = (16, 32)

    def start(self, scene: Any, seed: int) -> FakeState:
        return FakeState(0, zlib.crc32(repr((scene, seed)).encode()))

    def step(self, state: FakeState, action: Action) -> FakeState:
        return self._advance(state, action.to_vector())

    def _advance(self, state: FakeState, vector: np.ndarray) -> FakeState:
        attacks = Action.from_vector(vector).attack
        dug = 0.75 if attacks and state.tick % 3 == 2 else 0.25
        return FakeState(state.tick + 1, zlib.crc32(vector.tobytes(), state.code), dug)

    def frame(self, state: FakeState) -> np.ndarray:
        image = np.random.default_rng((state.code, state.tick)).integers(0, 256, (*self.size, 3), np.uint8)
        image.flags.writeable = False
        return image

    def tick(self, state: FakeState) -> int:
        return state.tick

    def senses(self, state: FakeState) -> Senses:
        return Senses(tick=state.tick)

    def events(self, state: FakeState) -> np.ndarray:
        events = np.zeros(len(EVENTS), np.float32)
        events[EVENTS.index("dig_log")] = state.dug
        return events

    def pose(self, state: FakeState) -> np.ndarray:
        return np.array([state.code % 97, state.tick, 0.0, 0.0, 0.0])

    def describe(self) -> dict[str, Any]:
        return {"kind": "fake"}

    def stack(self, states: list[FakeState]) -> tuple[FakeState, ...]:
        return tuple(states)

    def step_batch(self, states: tuple[FakeState, ...], vectors: np.ndarray) -> tuple[FakeState, ...]:
        assert vectors.shape == (len(states), 25) and vectors.dtype == np.float32
        return tuple(self._advance(state, vector) for state, vector in zip(states, vectors))

    def frames(self, states: tuple[FakeState, ...]) -> np.ndarray:
        return np.stack([self.frame(state) for state in states])

    def events_batch(self, states: tuple[FakeState, ...]) -> np.ndarray:
        return np.stack([self.events(state) for state in states])

    def put(self, states: tuple[FakeState, ...], index: int, one: FakeState) -> tuple[FakeState, ...]:
        return states[:index] + (one,) + states[index + 1 :]

    def take(self, states: tuple[FakeState, ...], index: int) -> FakeState:
        return states[index]


class OtherWorld(FakeWorld):
    """A world that is not the fake one."""

    def describe(self) -> dict[str, Any]:
        return {"kind": "other"}


class PosedEnv(WorldEnv):
    """Tells the pose, as the voxel environment does."""

    def _info(self) -> dict[str, Any]:
        return super()._info() | {"pose": np.array(self.world.pose(self._state), np.float64)}


def make_fleet(kind: str, world: Any, codec: Any) -> Fleet:
    return DreamFleet(world, codec) if kind == "dream" else VoxelFleet(world, codec, threads=2)


def make_vector(kind: str, num_envs: int, action_space: str = "multidiscrete", **settings: Any) -> WorldVectorEnv:
    world, codec = FakeWorld(), make_codec(action_space)
    return WorldVectorEnv(world, make_fleet(kind, world, codec), codec, num_envs, **settings)


# Action spaces


def test_camera_bins_are_those_of_vpt() -> None:
    expected = [-10, -5.81, -3.22, -1.61, -0.62, 0, 0.62, 1.61, 3.22, 5.81, 10]
    np.testing.assert_allclose(camera_bins(), expected, atol=0.006)


def test_multidiscrete_space_is_the_documented_one() -> None:
    codec = make_codec("multidiscrete")
    assert codec.space == gymnasium.spaces.MultiDiscrete([3, 3, 2, 3, 2, 2, 10, 11, 11])
    action = codec.to_action(np.array([1, 2, 1, 2, 1, 0, 7, 5, 10]))
    assert action == Action(forward=True, right=True, jump=True, sprint=True, attack=True, hotbar=7, camera=(0.0, 10.0))
    assert codec.to_action([2, 1, 0, 1, 0, 1, 0, 0, 5]) == Action(
        back=True, left=True, sneak=True, use=True, camera=(-10.0, 0.0)
    )


@pytest.mark.parametrize("name", ALL_SPACES)
def test_the_ways_to_decode_agree(name: str) -> None:
    codec = make_codec(name)
    batched = gymnasium.vector.utils.batch_space(codec.space, 32)
    batched.seed(5)
    batch = batched.sample()
    actions = codec.to_actions(batch)
    singles = [codec.to_action(one) for one in gymnasium.vector.utils.iterate(batched, batch)]
    vectors = codec.to_vectors(batch)
    assert actions == singles
    assert len(set(map(repr, actions))) > 5
    assert vectors.dtype == np.float32 and vectors.shape == (32, 25)
    np.testing.assert_array_equal(vectors, np.stack([action.to_vector() for action in actions]))


@pytest.mark.parametrize("name", ALL_SPACES)
def test_samples_survive_a_round_trip(name: str) -> None:
    codec = make_codec(name)
    codec.space.seed(11)
    for _ in range(50):
        sample = codec.space.sample()
        if name == "minerl" and codec.space.contains(sample):
            sample["camera"] = np.round(sample["camera"])
        back = codec.from_action(codec.to_action(sample))
        assert codec.space.contains(back)
        assert data_equivalence(back, sample, exact=True)


def test_from_action_finds_the_nearest_sample() -> None:
    codec = make_codec("multidiscrete")
    walk = Action(forward=True, back=True, left=True, sneak=True, sprint=True, drop=True, camera=(-0.7, 170.0))
    assert codec.from_action(walk).tolist() == [0, 1, 0, 1, 0, 0, 0, 4, 10]
    with pytest.raises(EnvError, match="discrete space has none"):
        make_codec("discrete").from_action(walk)


def test_discrete_actions_are_distinct() -> None:
    assert 10 <= len(DISCRETE_ACTIONS) <= 16
    assert len({repr(action) for _, action in DISCRETE_ACTIONS}) == len(DISCRETE_ACTIONS)
    assert make_codec("discrete").to_action(np.int64(0)) == Action()


def minerl_sample(**changes: Any) -> dict[str, Any]:
    return dict.fromkeys(BUTTONS, 0) | {"hotbar": 0, "camera": np.zeros(2, np.float32)} | changes


@pytest.mark.parametrize(
    ("name", "sample"),
    [
        ("multidiscrete", [3, 0, 0, 0, 0, 0, 0, 5, 5]),
        ("multidiscrete", [0, 0, 0, 0, 0, 0, 0, 5, -1]),
        ("multidiscrete", [0, 0, 0]),
        ("multidiscrete", np.zeros(9)),
        ("multidiscrete", "forward"),
        ("discrete", len(DISCRETE_ACTIONS)),
        ("discrete", -1),
        ("discrete", 1.5),
        ("discrete", [1, 2]),
        ("minerl", 3),
        ("minerl", minerl_sample(hotbar=10)),
        ("minerl", minerl_sample(attack=2)),
        ("minerl", minerl_sample(fly=1)),
        ("minerl", minerl_sample(camera=np.array([0.0, 181.0]))),
        ("minerl", minerl_sample(camera=np.array([np.nan, 0.0]))),
        ("minerl", minerl_sample(camera=np.zeros(3))),
        ("minerl", {"forward": 1}),
    ],
)
def test_samples_out_of_range_are_refused(name: str, sample: Any) -> None:
    with pytest.raises(ValueError, match=r"^action: ") as caught:
        make_codec(name).to_action(sample)
    assert isinstance(caught.value, ReverieError) and "\n" not in str(caught.value)


# Tasks


def test_counts_and_probabilities_are_rewarded_alike() -> None:
    events = np.zeros((5, len(EVENTS)), np.float32)
    events[:, EVENTS.index("dig_log")] = [0.0, 0.5, 0.51, 1.0, 2.0]
    assert make_task("wood").reward(events).tolist() == [0.0, 0.0, 1.0, 1.0, 2.0]
    events[1, EVENTS.index("place")], events[2, EVENTS.index("dig")] = 0.9, 1.0
    assert make_task("build").reward(events).tolist() == [0.0, 1.0, -1.0, 0.0, 0.0]


def test_tasks_that_do_not_exist_are_refused() -> None:
    assert make_task(TASKS["dig"]) is TASKS["dig"]
    with pytest.raises(EnvError, match=r"unknown task 'gold'; there are wood, "):
        make_task("gold")
    with pytest.raises(EnvError, match="unknown event 'boom'"):
        Task("loud", "make noise", (("boom", 1.0),))


# One environment


@pytest.mark.parametrize("name", ALL_SPACES)
def test_check_env_passes_without_warnings(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*not having a spec.*")
        if name == "minerl":  # its camera is in degrees by contract
            warnings.filterwarnings("ignore", message=".*symmetric and normalized space.*")
        check_env(WorldEnv(FakeWorld(), action_space=name, render_mode="rgb_array"))


def test_wood_is_rewarded_and_the_goal_ends_the_episode() -> None:
    env = WorldEnv(FakeWorld(), task=replace(TASKS["wood"], goal=2.0), action_space="discrete")
    attack = [name for name, _ in DISCRETE_ACTIONS].index("attack")
    env.reset(seed=1)
    steps = [env.step(attack) for _ in range(6)]
    assert [reward for _, reward, *_ in steps] == [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]
    assert [terminated for _, _, terminated, _, _ in steps] == [False] * 5 + [True]
    assert steps[-1][4]["score"] == 2.0 and steps[-1][4]["tick"] == 6
    assert steps[-1][4]["events"][EVENTS.index("dig_log")] == 0.75
    env.reset(seed=1)
    assert sum(env.step(0)[1] for _ in range(6)) == 0.0


def test_episodes_are_truncated_by_either_limit() -> None:
    for settings in ({"max_episode_steps": 3}, {"task": replace(TASKS["wood"], time_limit=3)}):
        env = WorldEnv(FakeWorld(), **settings)
        env.reset(seed=0)
        ends = [env.step(env.action_space.sample())[3] for _ in range(3)]
        assert ends == [False, False, True] and all(type(end) is bool for end in ends)


def test_seeds_choose_the_world() -> None:
    env = WorldEnv(FakeWorld(), world_seeds=(100, 200))
    first, info = env.reset(seed=3)
    assert 100 <= info["world_seed"] < 200
    second, _ = env.reset()
    again, _ = env.reset(seed=3)
    assert (first == again).all() and (first != second).any()
    assert (env.reset(seed=4)[0] != first).any()
    one, info = env.reset(seed=3, options={"world_seed": 1_000_001})
    assert info["world_seed"] == 1_000_001 and (one != first).any()
    assert (env.reset()[0] == second).all(), "an option must not disturb later draws"
    scenic, _ = env.reset(seed=3, options={"scene": "village"})
    assert (scenic != first).any()


def test_what_does_not_exist_is_refused() -> None:
    world = FakeWorld()
    env = WorldEnv(world)
    with pytest.raises(EnvError, match="unknown option 'speed'"):
        env.reset(options={"speed": 2})
    with pytest.raises(EnvError, match="world_seed is -1"):
        env.reset(options={"world_seed": -1})
    with pytest.raises(EnvError, match="unknown action space 'keys'"):
        WorldEnv(world, action_space="keys")
    with pytest.raises(EnvError, match="unknown render mode 'human'"):
        WorldEnv(world, render_mode="human")
    with pytest.raises(EnvError, match="max_episode_steps is 0"):
        WorldEnv(world, max_episode_steps=0)
    with pytest.raises(EnvError, match="world_seeds"):
        WorldEnv(world, world_seeds=(5, 5))
    with pytest.raises(EnvError, match="call reset"):
        WorldEnv(world).step(env.action_space.sample())


def test_snapshot_restore_and_branch_give_the_same_future() -> None:
    env = WorldEnv(FakeWorld(), world_seeds=(0, 50))
    env.reset(seed=9)
    env.action_space.seed(2)
    actions = [env.action_space.sample() for _ in range(12)]
    for action in actions[:4]:
        env.step(action)
    snapshot, twin = env.snapshot(), env.branch()

    def future(one: WorldEnv) -> list[Any]:
        return [one.step(action) for action in actions[4:]] + [one.reset()]

    first = future(env)
    second = future(twin)
    env.restore(snapshot)
    third = future(env)
    other = WorldEnv(FakeWorld(), world_seeds=(0, 50))
    other.restore(snapshot)
    for steps in (second, third, future(other)):
        assert data_equivalence(first, steps, exact=True)
    with pytest.raises(EnvError, match="another world"):
        WorldEnv(OtherWorld()).restore(snapshot)


# Many environments


def reference(num_envs: int, kind: str, mode: str, action_space: str, **settings: Any) -> SyncVectorEnv:
    single = PosedEnv if kind == "voxel" else WorldEnv

    def make() -> WorldEnv:
        return single(FakeWorld(), action_space=action_space, render_mode="rgb_array", **settings)

    return SyncVectorEnv([make] * num_envs, autoreset_mode=mode)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dream", "voxel"])
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
@pytest.mark.parametrize("action_space", ALL_SPACES)
def test_vector_env_equals_gymnasium_over_single_ones(kind: str, mode: str, action_space: str) -> None:
    settings: dict[str, Any] = {"task": replace(TASKS["wood"], goal=2.0), "max_episode_steps": 9}
    theirs = reference(4, kind, mode, action_space, **settings)
    ours = make_vector(kind, 4, action_space, autoreset_mode=mode, render_mode="rgb_array", **settings)
    assert ours.metadata["autoreset_mode"] == AutoresetMode(mode)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert_same(ours.reset(seed=7), theirs.reset(seed=7))
    ours.action_space.seed(1)
    ends = set()
    for tick in range(40):
        actions = ours.action_space.sample()
        result = ours.step(actions)
        assert_same(result, theirs.step(actions))
        ends |= {name for name, done in zip(("terminated", "truncated"), result[2:4]) if done.any()}
        if tick == 20:
            mask = np.array([True, False, False, True])
            options = {"reset_mask": mask, "scene": "lake"}
            assert_same(
                ours.reset(seed=[5, None, None, 6], options=dict(options)),
                theirs.reset(seed=[5, None, None, 6], options=dict(options)),
            )
    assert ends == {"terminated", "truncated"}
    assert_same(ours.render(), theirs.render())
    ours.close()
    theirs.close()


def assert_same(ours: Any, theirs: Any) -> None:
    """Deep equality that names the first difference."""
    assert type(ours) is type(theirs)
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key in ours:
            assert_same(ours[key], theirs[key])
    elif isinstance(ours, tuple | list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs):
            assert_same(one, other)
    elif isinstance(ours, np.ndarray) and ours.dtype == object:
        assert_same(list(ours), list(theirs))
    elif isinstance(ours, np.ndarray):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    else:
        assert ours == theirs


def test_observations_and_infos_are_never_reused() -> None:
    for kind in ("dream", "voxel"):
        envs = make_vector(kind, 2, max_episode_steps=3, autoreset_mode="SameStep")
        seen = [envs.reset(seed=0)]
        for _ in range(5):
            observations, _, _, _, infos = envs.step(envs.action_space.sample())
            seen.append((observations, infos))
        for one, (observation, info) in enumerate(seen):
            for other, _ in [(later, None) for later in seen[one + 1 :]]:
                assert not np.shares_memory(observation, other[0])
                for key in info.keys() & other[1].keys():
                    if isinstance(info[key], np.ndarray):
                        assert not np.shares_memory(info[key], other[1][key]), key
        envs.close()


def test_disabled_autoreset_waits_for_a_reset_mask() -> None:
    envs = make_vector("dream", 3, max_episode_steps=2, autoreset_mode="Disabled")
    envs.reset(seed=0)
    for _ in range(2):
        truncated = envs.step(envs.action_space.sample())[3]
    assert truncated.all()
    with pytest.raises(EnvError, match=r"environments \[0, 1, 2\] are over"):
        envs.step(envs.action_space.sample())
    _, infos = envs.reset(options={"reset_mask": np.array([True, True, False])})
    assert infos["_tick"].tolist() == [True, True, False]
    with pytest.raises(EnvError, match=r"environments \[2\] are over"):
        envs.step(envs.action_space.sample())
    envs.reset(options={"reset_mask": np.array([False, False, True])})
    envs.step(envs.action_space.sample())


@pytest.mark.parametrize("kind", ["dream", "voxel"])
def test_a_snapshot_fans_out_into_many_environments(kind: str) -> None:
    env = WorldEnv(FakeWorld())
    env.reset(seed=3)
    env.step(env.action_space.sample())
    envs = make_vector(kind, 3)
    envs.reset(seed=0)
    for index in range(3):
        envs.restore(index, env.snapshot())
    same = np.repeat(env.action_space.sample()[None], 3, axis=0)
    expected = env.step(same[0])
    observations, rewards, *_, infos = envs.step(same)
    for index in range(3):
        np.testing.assert_array_equal(observations[index], expected[0])
        assert rewards[index] == expected[1] and infos["tick"][index] == 2
    back = WorldEnv(FakeWorld())
    np.testing.assert_array_equal(back.restore(envs.snapshot(1)), expected[0])
    with pytest.raises(EnvError, match="another world"):
        envs.restore(0, replace(env.snapshot(), world={"kind": "other"}))
    envs.close()


def test_vector_env_refuses_what_it_cannot_do() -> None:
    with pytest.raises(EnvError, match="num_envs is 0"):
        make_vector("dream", 0)
    with pytest.raises(EnvError, match="unknown autoreset mode 'soon'; there are NextStep, SameStep, Disabled"):
        make_vector("dream", 2, autoreset_mode="soon")
    envs = make_vector("dream", 2)
    with pytest.raises(EnvError, match="call reset"):
        envs.step(envs.action_space.sample())
    with pytest.raises(EnvError, match="first reset must be of all"):
        envs.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(EnvError, match="3 seeds for 2"):
        envs.reset(seed=[1, 2, 3])
    with pytest.raises(EnvError, match="2 bools"):
        envs.reset(options={"reset_mask": [True, False]})
    envs.reset(seed=1)
    with pytest.raises(ValueError, match="entry 0 of a sample is 3"):
        envs.step(np.full((2, 9), 3))
    with pytest.raises(ValueError, match="3 actions for 2"):
        envs.step(np.zeros((3, 9), np.int64))
