"""The session: futures are exact after going back, by any of the ways, and its memory stays bounded."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from fake_world import FakeWorld

from reverie.model.errors import ReverieError
from reverie.simulator import Action, Simulator
from reverie.simulator.errors import EditError, SaveError, SceneError
from reverie.simulator.history import History, HistoryConfig

RED = np.array([255, 0, 0], np.uint8)


def script(length: int, seed: int = 0) -> list[Action]:
    """Actions of every sort."""
    rng = np.random.default_rng(seed)
    return [
        Action(
            forward=bool(rng.random() < 0.6),
            jump=bool(rng.random() < 0.2),
            attack=bool(rng.random() < 0.4),
            use=bool(rng.random() < 0.1),
            hotbar=int(rng.integers(0, 10)),
            camera=(float(rng.normal(0, 2)), float(rng.normal(0, 5))),
        )
        for _ in range(length)
    ]


def play(session: Simulator, actions: list[Action]) -> list[bytes]:
    return [session.step(action).tobytes() for action in actions]


def test_restored_snapshot_has_the_same_future():
    session = Simulator(FakeWorld(), seed=3)
    play(session, script(5))
    snapshot, actions = session.snapshot(), script(100, seed=1)
    first = play(session, actions)
    assert len(set(first)) == 100
    session.restore(snapshot)
    assert session.tick == 5
    assert play(session, actions) == first


def test_snapshot_of_another_world_is_refused():
    snapshot = Simulator(FakeWorld(flavour="sour")).snapshot()
    with pytest.raises(SaveError, match="flavour"):
        Simulator(FakeWorld()).restore(snapshot)
    with pytest.raises(SaveError, match="takes a snapshot"):
        Simulator(FakeWorld()).restore("yesterday")


def test_rewind_reaches_every_tick_of_the_history_exactly():
    config = HistoryConfig(dense=5, every=16, span=60, keyframes=8)
    actions = script(150)
    session = Simulator(FakeWorld(), history=config)
    frames = [session.frame.tobytes()]
    for tick, action in enumerate(actions):
        session.step(action)
        if tick in (97, 98, 131):
            session.edit(np.full((32, 48, 3), tick, np.uint8), mask=np.eye(32, 48) > 0)
        frames.append(session.frame.tobytes())
    reachable = session.history
    assert reachable[-1] == 150 and reachable[-1] - reachable[0] >= 60
    for tick in reachable:
        other = session.branch()
        assert other.rewind(150 - tick) is not None
        assert (other.tick, other.frame.tobytes()) == (tick, frames[tick])
        assert other.history == range(reachable[0], tick + 1)
        if tick < 97:
            continue
        # the future from there is the one without the edits that were rewound
        assert other.step(actions[tick] if tick < 150 else Action()).shape == (32, 48, 3)


def test_rewinding_a_long_way_replays_few_ticks():
    world = FakeWorld()
    session = Simulator(world)
    play(session, script(1000))
    world.steps = 0
    session.rewind(500)
    assert 0 < world.steps <= HistoryConfig().every


def test_rewind_forgets_the_future_and_refuses_too_much():
    session = Simulator(FakeWorld(), history=HistoryConfig(dense=2, every=10, span=20))
    play(session, script(100))
    with pytest.raises(ReverieError, match="at most"):
        session.rewind(90)
    assert session.tick == 100
    session.rewind(7)
    session.edit(RED * np.ones((32, 48, 3), np.uint8))
    after = play(session, script(30, seed=2))
    session.rewind(15)
    assert session.frame.tobytes() == after[14]
    for wrong in (-1, 1.5, True):
        with pytest.raises(ReverieError):
            session.rewind(wrong)


def test_history_is_bounded_even_with_an_edit_at_every_tick():
    config = HistoryConfig(dense=10, every=20, span=400, keyframes=12)
    session = Simulator(FakeWorld(), history=config)
    for action in script(300):
        session.step(action)
        session.edit(RED * np.ones((32, 48, 3), np.uint8), mask=np.eye(32, 48) > 0)
        assert session._past.kept <= config.dense + config.keyframes
    assert len(session._past._actions) <= config.span + config.every


def test_default_history_covers_a_minute():
    history: History[int] = History()
    history.begin(0, 0)
    for tick in range(1, 5000):
        history.stepped(Action(), tick)
    assert len(history.ticks) > 1200
    assert history.kept <= HistoryConfig().dense + HistoryConfig().keyframes


def test_a_history_that_keeps_nothing_is_refused():
    for wrong in ({"dense": 0}, {"every": 0}, {"keyframes": 0}, {"span": -1}):
        with pytest.raises(ReverieError, match="keeps nothing"):
            HistoryConfig(**wrong)


def test_branches_are_independent():
    session = Simulator(FakeWorld())
    play(session, script(10))
    before = session.frame.copy()
    other = session.branch()
    play(other, script(7, seed=9))
    other.rewind(9)
    assert (session.tick, other.tick) == (10, 8)
    assert np.array_equal(session.frame, before)
    assert session.history == range(11)


def test_edit_replaces_what_is_under_the_mask():
    session = Simulator(FakeWorld())
    before = session.frame.copy()
    mask = np.zeros((32, 48), bool)
    mask[4:9, 10:20] = True
    after = session.edit(RED * np.ones((7, 7, 3), np.uint8), mask)
    assert (after[mask] == RED).all()
    assert np.array_equal(after[~mask], before[~mask])
    assert session.tick == 0


def test_transparent_parts_of_an_edit_are_left_alone():
    session = Simulator(FakeWorld())
    before = session.frame.copy()
    image = np.zeros((32, 48, 4), np.uint8)
    image[:16] = (255, 0, 0, 255)
    after = session.edit(image)
    assert (after[:16] == RED).all() and np.array_equal(after[16:], before[16:])


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan"), "much"])
def test_bad_strength_is_refused(strength):
    with pytest.raises(EditError, match="strength"):
        Simulator(FakeWorld()).edit(RED * np.ones((32, 48, 3), np.uint8), strength=strength)


def test_worlds_without_truth_say_so():
    session = Simulator(FakeWorld())
    for ask in (
        lambda: session.pose,
        session.depth,
        session.block_ids,
        lambda: session.get_block(0, 0, 0),
        lambda: session.set_time(0.5),
    ):
        with pytest.raises(ReverieError, match="FakeWorld has none"):
            ask()


def test_start_scenes():
    grey = np.full((64, 96, 3), 77, np.uint8)
    assert (Simulator(FakeWorld(), grey).frame == 77).all()
    assert Simulator(FakeWorld(), "meadow").tick == 0
    with pytest.raises(SceneError, match="desart"):
        Simulator(FakeWorld(), "desart")


# The voxel world


@pytest.fixture(scope="module")
def voxel():
    from reverie.simulator import VoxelWorld

    return VoxelWorld(size=(32, 48))


def test_voxel_future_is_exact_after_restore_and_rewind(voxel):
    session = Simulator(voxel, seed=11)
    play(session, script(20))
    snapshot, actions = session.snapshot(), script(100, seed=4)
    first = play(session, actions)
    truth = session.pose.copy()
    session.restore(snapshot)
    assert play(session, actions) == first
    assert np.array_equal(session.pose, truth)
    session.rewind(70)
    assert session.frame.tobytes() == first[29]
    assert play(session, actions[30:]) == first[30:]


REOPEN = """
import hashlib, sys
sys.path.insert(0, {tests!r})
from test_session import play, script
from reverie.simulator import Simulator
session = Simulator.open({path!r})
print(session.tick, hashlib.sha256(b"".join(play(session, script(100, seed=5)))).hexdigest())
"""


@pytest.mark.slow
def test_voxel_future_is_exact_in_a_new_process(voxel, tmp_path, request):
    session = Simulator(voxel, seed=12)
    play(session, script(40))
    session.set_block(*(int(v) for v in session.pose[:3] + [2, 1, 0]), "lamp")
    session.save(tmp_path / "a.reverie")
    code = REOPEN.format(tests=str(request.path.parent), path=str(tmp_path / "a.reverie"))
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    here = hashlib.sha256(b"".join(play(session, script(100, seed=5)))).hexdigest()
    assert told == ["40", here]


def test_voxel_truth_through_the_session(voxel):
    session = Simulator(voxel, seed=13)
    assert session.pose.shape == (5,)
    assert session.depth().shape == session.block_ids().shape == (32, 48)
    x, y, z = (int(np.floor(v)) for v in session.pose[:3])
    session.set_block(x, y + 5, z, "bricks")
    assert session.get_block(x, y + 5, z) == "bricks"
    session.step(Action())
    session.set_time(0.0)
    night = session.frame.mean()
    assert night < session.set_time(0.5).mean()
    session.rewind(1)
    assert session.get_block(x, y + 5, z) == "bricks"


# The dream, of a model that has learned nothing


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_dream_future_is_exact_after_every_way_back(tmp_path):
    torch = pytest.importorskip("torch")
    from reverie.model.config import ModelConfig
    from reverie.model.torch_backend import TorchBackend
    from reverie.model.world_model import WorldModel
    from reverie.simulator import DreamWorld

    config = ModelConfig(size=(32, 48), width=64, depth=3, memory_layers=(1,), memory=6)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = WorldModel(config)
        for weights in model.parameters():
            weights.add_(torch.randn_like(weights), alpha=0.05)
    world = DreamWorld(TorchBackend(model), "untrained", "ab12")
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    session = Simulator(world, picture, seed=3)
    play(session, script(10))
    snapshot, actions = session.snapshot(), script(60, seed=1)
    first = play(session, actions)
    assert len(set(first)) == 60
    session.restore(snapshot)
    assert play(session, actions) == first
    session.rewind(45)
    assert session.frame.tobytes() == first[14]
    session.edit(picture, np.eye(32, 48) > 0, strength=0.4)
    session.save(tmp_path / "a.reverie")
    opened = Simulator.open(tmp_path / "a.reverie", world=world)
    assert play(opened, actions) == play(session, actions) != first
    with pytest.raises(SaveError, match="fingerprint"):
        Simulator.open(tmp_path / "a.reverie", world=DreamWorld(TorchBackend(model), "untrained", "cd34"))
    with pytest.raises(SaveError, match="not bundled"):
        Simulator.open(tmp_path / "a.reverie")


def test_session_does_not_import_heavy_libraries():
    code = (
        "import sys, reverie.simulator.session; "
        "print([name for name in ('torch', 'numba', 'av', 'PIL', 'safetensors') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
