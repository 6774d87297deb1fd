"""The weights that ship: whole and small enough, and every bundled scene starts a dream of its model."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reverie.model.weights import BUNDLED, ONNX, STUDENT, bundled_models
from reverie.simulator import Action, DreamWorld, Simulator
from reverie.simulator.scenes import scene_names, scene_origin

LARGEST = 64 * 2**20
WALK = [Action(forward=True, camera=(0.0, 2.0 if tick % 20 < 10 else -2.0)) for tick in range(100)]
OF_THE_WORLD = [name for name in scene_names() if scene_origin(name) == "voxel"]
OF_LUANTI = [name for name in scene_names() if scene_origin(name) == "luanti"]


@pytest.fixture(scope="module")
def luanti() -> DreamWorld:
    return DreamWorld.load("tiny-luanti", backend="onnx", device="cpu")


def test_what_ships_is_whole_and_small() -> None:
    assert {"tiny", "tiny-luanti"} <= set(bundled_models())
    parts = {path.relative_to(BUNDLED / "tiny").as_posix() for path in (BUNDLED / "tiny").rglob("*") if path.is_file()}
    assert {"CARD.md", "config.json", "frame/frame.onnx", "lift/lift.safetensors", "land/columns.onnx"} <= parts
    assert {STUDENT, ONNX, "CARD.md"} <= {path.name for path in (BUNDLED / "tiny-luanti").iterdir()}
    assert sum(path.stat().st_size for path in BUNDLED.rglob("*") if path.is_file()) < LARGEST


@pytest.mark.slow
def test_every_scene_starts_a_dream(luanti: DreamWorld) -> None:
    dream = DreamWorld.load("tiny", device="cpu")
    assert len(OF_THE_WORLD) >= 8 and len(OF_LUANTI) >= 4
    for world, names in ((dream, OF_THE_WORLD), (luanti, OF_LUANTI)):
        for name in names:
            sim = Simulator(world, scene=name, seed=1)
            assert sim.frame.shape == (*world.size, 3)
            assert sim.frame.std() > 5


@pytest.mark.slow
@pytest.mark.parametrize("model, scene", [("tiny", "plains"), ("tiny-luanti", "luanti-bay")])
def test_restored_dreams_repeat_byte_for_byte(model: str, scene: str) -> None:
    sim = Simulator(DreamWorld.load(model, device="cpu"), scene=scene, seed=7)
    for action in WALK[:5]:
        sim.step(action)
    snap = sim.snapshot()
    first = [sim.step(action).tobytes() for action in WALK]
    sim.restore(snap)
    assert [sim.step(action).tobytes() for action in WALK] == first
    assert len(set(first)) > 90  # it moves


@pytest.mark.slow
@pytest.mark.parametrize("model, scene", [("tiny", "desert"), ("tiny-luanti", "luanti-pines")])
def test_saved_dreams_go_on_in_another_process(model: str, scene: str, tmp_path: Path) -> None:
    sim = Simulator(DreamWorld.load(model, device="cpu"), scene=scene, seed=3)
    for action in WALK[:5]:
        sim.step(action)
    sim.save(tmp_path / "a.reverie")
    expected = np.stack([sim.step(action) for action in WALK[:40]])
    code = f"""
import sys, numpy as np
from reverie.simulator import Action, Simulator
sim = Simulator.open({str(tmp_path / "a.reverie")!r})
walk = [Action(forward=True, camera=(0.0, 2.0 if tick % 20 < 10 else -2.0)) for tick in range(40)]
np.save({str(tmp_path / "frames.npy")!r}, np.stack([sim.step(action) for action in walk]))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert np.array_equal(np.load(tmp_path / "frames.npy"), expected)


@pytest.mark.slow
def test_standing_still_stays_still() -> None:
    sim = Simulator(DreamWorld.load("tiny", device="cpu"), scene="village", seed=0)
    first = sim.frame.astype(int)
    for _ in range(40):
        frame = sim.step(Action())
    assert np.abs(frame - first).mean() < 8


@pytest.mark.slow
@pytest.mark.parametrize("damaged", ["config.json", "frame/frame.onnx", "frame/frame.safetensors", "lift/lift.json"])
def test_damaged_shipped_weights_are_named(damaged: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(BUNDLED / "tiny", folder)
    data = (folder / damaged).read_bytes()
    (folder / damaged).write_bytes(data[: len(data) // 3])
    done = subprocess.run(
        [sys.executable, "-m", "reverie.demos.cli", "play", "--headless", "--frames", "1", "--scene", "plains"]
        + ["--model", str(folder)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_exports_do_not_say_where_they_were_made() -> None:
    for path in BUNDLED.rglob("*.onnx"):
        graph = path.read_bytes()
        assert b"stack_trace" not in graph and b"/model/" not in graph and b".py" not in graph
