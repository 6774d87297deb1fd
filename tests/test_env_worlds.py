"""The environments over the real worlds: the voxel world, small random dreams, and the bundled model."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

import reverie.env
from reverie.demos import rl
from reverie.env.dream_env import DreamEnv, DreamVectorEnv
from reverie.env.spaces import DISCRETE_ACTIONS, MultiDiscreteCodec
from reverie.env.voxel_env import VoxelEnv, VoxelVectorEnv
from reverie.model.config import preset
from reverie.simulator.action import Action
from reverie.simulator.voxel.blocks import BLOCK_ID, HARDNESS
from reverie.simulator.world import EVENTS, TICKS_PER_SECOND

SIZE = (48, 64)
"""The smallest frames that the policies of stable-baselines3 take."""
ATTACK = [name for name, _ in DISCRETE_ACTIONS].index("attack")
IDS = {"dream": "reverie/Dream-v0", "voxel": "reverie/Voxel-v0"}


@pytest.fixture(scope="module")
def tiny_dream(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings of a dream that knows nothing: random weights, started from a picture of noise."""
    import torch

    from reverie.model.weights import save_model
    from reverie.model.world_model import WorldModel

    folder = tmp_path_factory.mktemp("model")
    config = replace(preset("test"), size=SIZE)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = WorldModel(config)
    for parameter in model.parameters():  # layers that begin at zero would make every dream the same
        with torch.no_grad():
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    save_model(folder, config, model.state_dict())
    scene = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    return {"model": str(folder), "backend": "torch", "device": "cpu", "scene": scene}


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Callable[[str], dict[str, Any]]:
    """Settings that make a small environment of the world of that name."""

    def choose(kind: str) -> dict[str, Any]:
        if kind == "voxel":
            return {"size": SIZE, "world_seeds": (0, 2)}
        return dict(request.getfixturevalue("tiny_dream"))

    return choose


def test_importing_registers_both() -> None:
    for name in IDS.values():
        spec = gymnasium.spec(name)
        assert isinstance(spec.entry_point, str) and isinstance(spec.vector_entry_point, str)
        assert spec.max_episode_steps == reverie.env.EPISODE_TICKS


@pytest.mark.slow
@pytest.mark.parametrize("kind", IDS)
@pytest.mark.parametrize("action_space", ["multidiscrete", "discrete", "minerl"])
def test_check_env_passes_without_warnings(
    kind: str, action_space: str, settings: Callable[[str], dict[str, Any]]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if action_space == "minerl":  # its camera is in degrees by contract
            warnings.filterwarnings("ignore", message=".*symmetric and normalized space.*")
        env = gymnasium.make(IDS[kind], action_space=action_space, **settings(kind))
        check_env(env.unwrapped)
        env.close()


@pytest.mark.parametrize("kind", IDS)
def test_make_wraps_and_truncates(kind: str, settings: Callable[[str], dict[str, Any]]) -> None:
    env = gymnasium.make(IDS[kind], max_episode_steps=3, render_mode="rgb_array", **settings(kind))
    frame, _ = env.reset(seed=0)
    np.testing.assert_array_equal(env.render(), frame)
    ends = []
    for _ in range(3):
        frame, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        ends.append(truncated)
        assert type(reward) is float and terminated is False
    assert ends == [False, False, True]
    np.testing.assert_array_equal(env.render(), frame)
    env.close()


def test_both_worlds_have_the_same_spaces(settings: Callable[[str], dict[str, Any]]) -> None:
    for action_space in ("multidiscrete", "discrete", "minerl"):
        dream, voxel = (
            gymnasium.make(IDS[kind], action_space=action_space, **settings(kind)) for kind in ("dream", "voxel")
        )
        assert dream.action_space == voxel.action_space
        assert dream.observation_space == voxel.observation_space


@pytest.mark.parametrize("kind", IDS)
def test_snapshots_give_bit_identical_futures(kind: str, settings: Callable[[str], dict[str, Any]]) -> None:
    env = {"dream": DreamEnv, "voxel": VoxelEnv}[kind](**settings(kind))
    env.reset(seed=2)
    env.action_space.seed(2)
    actions = [env.action_space.sample() for _ in range(8)]
    for action in actions[:3]:
        env.step(action)
    snapshot, twin = env.snapshot(), env.branch()
    first = [env.step(action) for action in actions[3:]]
    env.restore(snapshot)
    assert data_equivalence(first, [env.step(action) for action in actions[3:]], exact=True)
    assert data_equivalence(first, [twin.step(action) for action in actions[3:]], exact=True)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_voxel_vector_env_equals_single_ones(mode: str) -> None:
    common: dict[str, Any] = {"size": SIZE, "world_seeds": (0, 2), "max_episode_steps": 6}
    theirs = SyncVectorEnv([lambda: VoxelEnv(**common)] * 3, autoreset_mode=mode)
    ours = VoxelVectorEnv(3, threads=2, autoreset_mode=mode, **common)
    assert data_equivalence(ours.reset(seed=1), theirs.reset(seed=1), exact=True)
    ours.action_space.seed(0)
    for _ in range(15):
        actions = ours.action_space.sample()
        mine, other = ours.step(actions), theirs.step(actions)
        assert data_equivalence(mine[:4], other[:4], exact=True)
        assert data_equivalence(mine[4]["pose"], other[4]["pose"], exact=True)
        assert mine[4].keys() == other[4].keys()
    ours.close()


@pytest.mark.slow
def test_dreams_in_a_batch_are_the_dreams_alone(tiny_dream: dict[str, Any]) -> None:
    alone = [DreamEnv(**tiny_dream) for _ in range(3)]
    envs = DreamVectorEnv(3, **tiny_dream)
    frames, infos = envs.reset(seed=4)
    for index, env in enumerate(alone):
        frame, info = env.reset(seed=4 + index)
        np.testing.assert_array_equal(frames[index], frame)
        assert infos["world_seed"][index] == info["world_seed"]
    envs.action_space.seed(0)
    for _ in range(6):
        actions = envs.action_space.sample()
        for index, env in enumerate(alone):  # rounding would grow tenfold a tick in a dream of random weights
            np.testing.assert_array_equal(env.restore(envs.snapshot(index)), frames[index])
        frames, *_ = envs.step(actions)
        singles = np.stack([env.step(action)[0] for env, action in zip(alone, actions)])
        off = np.abs(frames.astype(int) - singles)
        # Only rounding may differ; where a source lies on the line between two pixels, that picks the other one.
        assert (off.max(axis=-1) > 2).mean() < 0.002, "batching may only change the rounding"
    assert len({frame.tobytes() for frame in frames}) == 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", IDS)
def test_make_vec_builds_ours(kind: str, settings: Callable[[str], dict[str, Any]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        envs = gymnasium.make_vec(
            IDS[kind],
            num_envs=4,
            vectorization_mode="vector_entry_point",
            max_episode_steps=5,
            autoreset_mode="SameStep",
            **settings(kind),
        )
    assert isinstance(envs.unwrapped, DreamVectorEnv | VoxelVectorEnv)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    counted = RecordEpisodeStatistics(envs)
    first, _ = counted.reset(seed=3)
    assert first.shape == (4, *SIZE, 3) and first.dtype == np.uint8 and first in counted.observation_space
    counted.action_space.seed(0)
    actions = [counted.action_space.sample() for _ in range(7)]
    seen = []
    for action in actions:
        frames, rewards, terminated, truncated, infos = counted.step(action)
        assert rewards.shape == terminated.shape == truncated.shape == (4,)
        seen.append(frames)
        if truncated.any():
            assert infos["episode"]["l"].tolist() == [5] * 4
            assert infos["final_info"]["tick"].tolist() == [5] * 4 and infos["tick"].tolist() == [0] * 4
            assert all((end != start).any() for end, start in zip(infos["final_obs"], frames))
    again, _ = counted.reset(seed=3)
    np.testing.assert_array_equal(first, again)
    for action, frames in zip(actions, seen):
        np.testing.assert_array_equal(counted.step(action)[0], frames)
    counted.close()


@pytest.mark.slow
def test_the_voxel_world_is_the_same_in_every_process() -> None:
    code = (
        "import hashlib, gymnasium, reverie.env;"
        f"env = gymnasium.make('reverie/Voxel-v0', size={SIZE}, world_seeds=(0, 2));"
        "digest = hashlib.sha256(env.reset(seed=5)[0]); env.action_space.seed(5);"
        "[digest.update(env.step(env.action_space.sample())[0]) for _ in range(30)];"
        "print(digest.hexdigest())"
    )
    runs = {subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout for _ in range(2)}
    assert len(runs) == 1 and len(runs.pop().strip()) == 64


def test_a_trunk_that_is_dug_is_worth_one() -> None:
    env = VoxelEnv(size=SIZE, world_seeds=(0, 1), action_space="discrete", task="wood")
    env.reset(seed=0)
    snapshot = env.snapshot()
    x, y, z = (int(np.floor(coordinate)) for coordinate in env.world.pose(snapshot.state)[:3])
    state = env.world.spawn(snapshot.state, x + 0.5, y, z + 0.5, yaw=0.0, pitch=0.0)
    state = env.world.set_block(state, x, y + 1, z + 1, "air")
    for ahead, name in ((1, "log"), (2, "stone")):
        state = env.world.set_block(state, x, y + 1, z + ahead, name)
    env.restore(replace(snapshot, state=state))
    hardness = HARDNESS[BLOCK_ID["log"]]
    rewards, tick = [], 0
    while sum(rewards) == 0 and tick < 3 * hardness * TICKS_PER_SECOND:
        _, reward, _, _, info = env.step(ATTACK)
        rewards.append(reward)
        tick += 1
    assert rewards[-1] == 1.0 and info["score"] == 1.0
    assert info["events"][EVENTS.index("dig_log")] == 1.0
    assert tick == pytest.approx(hardness * TICKS_PER_SECOND, abs=3)
    assert sum(env.step(ATTACK)[1] for _ in range(60)) == 0.0, "stone is no wood"


def test_actions_do_what_they_say() -> None:
    codec = MultiDiscreteCodec()
    env = VoxelEnv(size=SIZE, world_seeds=(0, 1), scene="plains")
    _, info = env.reset(seed=0)
    assert info.keys() == {"tick", "events", "score", "world_seed", "pose"}
    turn = codec.from_action(Action(camera=(5.81, 10.0)))
    *_, info = env.step(turn)
    before = info["pose"]
    *_, info = env.step(turn)
    assert info["pose"][3] - before[3] == pytest.approx(10.0, abs=1e-6)
    assert info["pose"][4] - before[4] == pytest.approx(5.81, abs=0.01)


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Path]:
    pytest.importorskip("stable_baselines3")
    yield tmp_path / "agent"


def rl_report(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert rl.main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.slow
def test_ppo_runs_in_the_voxel_world(agents: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = ("--steps", "64", "--num-envs", "2", "--episode-ticks", "12", "--repeat", "2", "--worlds", "1")
    report = rl_report(
        capsys, "train", "--env", "voxel", *short, "--out", str(agents), "--evaluate-in", "voxel", "--episodes", "2"
    )
    assert report["steps"] == 64 and report["env"] == "voxel" and report["task"] == "wood"
    again = rl_report(capsys, "evaluate", "--agent", str(agents), "--env", "voxel", "--episodes", "2")
    assert again == report["evaluation"]
    (agents / rl.POLICY_FILE).write_bytes(b"not a policy")
    assert rl.main(["evaluate", "--agent", str(agents)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: the agent in") and error.count("\n") == 1


@pytest.mark.slow
def test_ppo_runs_in_a_dream(
    agents: Path, tiny_dream: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from PIL import Image

    scene = tmp_path / "scene.png"
    Image.fromarray(tiny_dream["scene"]).save(scene)
    report = rl_report(
        capsys,
        *("train", "--env", "dream", "--model", tiny_dream["model"], "--backend", "torch", "--device", "cpu"),
        *("--scene", str(scene), "--steps", "64", "--num-envs", "4", "--episode-ticks", "9", "--repeat", "2"),
    )
    assert report["steps"] == 64 and report["score"] is not None


def test_a_missing_library_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delitem(sys.modules, "reverie.demos.sb3", raising=False)
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    monkeypatch.setitem(sys.modules, "stable_baselines3.common.vec_env.base_vec_env", None)
    assert rl.main(["train", "--env", "voxel", "--steps", "8", "--num-envs", "1"]) == 2
    assert capsys.readouterr().err == "error: train needs stable-baselines3: pip install 'reverie[rl]'\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("evaluate", "--agent", "/nowhere"), "no agent in /nowhere"),
        (("train", "--env", "moon"), "invalid choice: 'moon'"),
        (("train", "--steps", "0"), "not a whole number of 1 or more"),
        (("train", "--env", "dream", "--model", "nobody"), "unknown model 'nobody'"),
        (("train", "--env", "voxel", "--scene", "atlantis"), "atlantis"),
    ],
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert rl.main(arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and message in error


@pytest.mark.slow
def test_the_bundled_dream_passes_check_env() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make("reverie/Dream-v0", task="wood")
        voxel = gymnasium.make("reverie/Voxel-v0", task="wood")
        assert env.observation_space == voxel.observation_space and env.action_space == voxel.action_space
        check_env(env.unwrapped)
