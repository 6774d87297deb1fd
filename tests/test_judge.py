"""Whether the judge judges: worlds that dream perfectly, badly in one way, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reverie.model.errors import ReverieError
from reverie.simulator.action import Action
from reverie.simulator.clips import Clip
from reverie.simulator.errors import ClipError
from reverie.simulator.judge import metrics, truth
from reverie.simulator.judge.evaluate import Amounts, Truth, evaluate, judge, recorded_truth, voxel_truth
from reverie.simulator.voxel.world import VoxelState, VoxelWorld

SIZE = (32, 48)
SEED = 1_000_000
CONTEXT = 6
FEW = Amounts(clips=5, idle=1, revisit=1, edit=3, teacher=2)


@cache
def openings(seed: int) -> tuple[VoxelState, VoxelState]:
    """The world of a seed at tick 0, with a player who has stood still and with one who has played."""
    world = VoxelWorld(SIZE)
    playing, player, _ = truth.arrive(world, seed)
    playing = truth.film(world, playing, lambda now: player.act(world.senses(now)), CONTEXT)[1]
    return truth.still_start(world, seed, CONTEXT)[1], playing


@dataclass(frozen=True)
class Slumber:
    """What one dream of the worlds below is made of."""

    voxels: VoxelState
    frame: np.ndarray
    tick: int


class TrueDreamer:
    """Dreams the truth: finds the voxel world that a clip was filmed in, and plays on there."""

    size = SIZE
    revisits, edited = truth.REVISIT_SECONDS, True
    """Which probes say something about it."""

    def __init__(self) -> None:
        self.world = VoxelWorld(SIZE)

    def start(self, scene: Clip, seed: int) -> list[Slumber]:
        voxels = next(one for one in openings(seed) if (self.world.frame(one) == scene.frames[-1]).all())
        return [Slumber(voxels, scene.frames[-1], 0)]

    def edit(self, state: list[Slumber], image: np.ndarray, mask: None, strength: float) -> list[Slumber]:
        return [Slumber(_edited(self.world, state[0].voxels, image), image, 0)]

    def stack(self, states: list[list[Slumber]]) -> list[Slumber]:
        return [one for state in states for one in state]

    def step_batch(self, state: list[Slumber], actions: np.ndarray) -> list[Slumber]:
        return [self.advanced(one, Action.from_vector(vector)) for one, vector in zip(state, actions)]

    def advanced(self, one: Slumber, action: Action) -> Slumber:
        voxels = self.world.step(one.voxels, action)
        return Slumber(voxels, self.corrupted(self.world.frame(voxels), one), one.tick + 1)

    def corrupted(self, frame: np.ndarray, before: Slumber) -> np.ndarray:
        return frame

    def frames(self, state: list[Slumber]) -> np.ndarray:
        return np.stack([one.frame for one in state])


def _edited(world: VoxelWorld, state: VoxelState, image: np.ndarray) -> VoxelState:
    """The state that shows `image`: the judge's own edit is drawn again until it does."""
    rng = np.random.default_rng([state.seed, truth.EDIT_STREAM])
    for _ in range(truth.EDIT_TRIES):
        changed, _ = truth.random_edit(world, state, rng)
        if (world.frame(changed) == image).all():
            return changed
        rng.uniform(*truth.PAN_RATES), rng.choice((-1, 1))
    raise AssertionError("the edit was not found")


class Frozen(TrueDreamer):
    """Nothing ever moves."""

    revisits, edited = (), False

    def corrupted(self, frame: np.ndarray, before: Slumber) -> np.ndarray:
        return before.frame


class Noisy(TrueDreamer):
    """The truth through a bad antenna."""

    revisits, edited = (), False

    def corrupted(self, frame: np.ndarray, before: Slumber) -> np.ndarray:
        grain = np.random.default_rng(before.tick).normal(0, 25, frame.shape)
        return np.clip(frame + grain, 0, 255).astype(np.uint8)


class Blurred(TrueDreamer):
    """The truth without glasses: means of 4x4 pixels."""

    revisits, edited = (), False

    def corrupted(self, frame: np.ndarray, before: Slumber) -> np.ndarray:
        height, width, _ = frame.shape
        means = frame.reshape(height // 4, 4, width // 4, 4, 3).mean(axis=(1, 3))
        return means.repeat(4, axis=0).repeat(4, axis=1).astype(np.uint8)


class Deaf(TrueDreamer):
    """Always walks on, whatever is asked."""

    revisits, edited = (1,), False

    def advanced(self, one: Slumber, action: Action) -> Slumber:
        return super().advanced(one, Action(forward=True))


class Stubborn(TrueDreamer):
    """Does not take edits."""

    revisits = ()

    def edit(self, state: list[Slumber], image: np.ndarray, mask: None, strength: float) -> list[Slumber]:
        return state


class Elsewhere(TrueDreamer):
    """Dreams another world than the one it was shown."""

    revisits, edited = (), False

    def start(self, scene: Clip, seed: int) -> list[Slumber]:
        return [Slumber(openings(SEED + 500)[0], scene.frames[-1], 0)]


@pytest.fixture(scope="module")
def true() -> Truth:
    return voxel_truth(FEW, SEED, CONTEXT, SIZE)


@pytest.fixture(scope="module")
def report(true: Truth, tmp_path_factory: pytest.TempPathFactory) -> Callable[[type], dict[str, Any]]:
    """The judge's report on a kind of dreamer."""
    known: dict[type, dict[str, Any]] = {}

    def found(kind: type) -> dict[str, Any]:
        if kind not in known:
            probes = {seconds: true.revisits[seconds] for seconds in kind.revisits}
            shown = replace(true, revisits=probes, edits=true.edits if kind.edited else [])
            known[kind] = judge(kind(), shown, tmp_path_factory.mktemp(kind.__name__))[0]
        return known[kind]

    return found


def test_the_truth_is_perfect(report: Callable[[type], dict[str, Any]]) -> None:
    got = report(TrueDreamer)
    for horizon in (1, 8, 32):
        assert got[f"psnr_{horizon}"] == metrics.PSNR_CAP
        assert got[f"ssim_{horizon}"] == pytest.approx(1.0)
        assert got[f"copy_psnr_{horizon}_moving"] < 40
        assert got[f"gain_{horizon}_ci"][0] > 0
    assert got["sharpness_32"] == pytest.approx(1.0)
    assert got["action_sensitivity"] > 10
    assert got["idle_drift"] == got["true_idle_drift"] < 5
    for seconds in truth.REVISIT_SECONDS:
        assert got[f"revisit_psnr_{seconds}s"] == got[f"true_revisit_psnr_{seconds}s"]
        assert got[f"revisit_psnr_{seconds}s"] > got[f"elsewhere_psnr_{seconds}s"] + 5
    assert got["edit_gain"] > 20


def test_a_frozen_picture_is_a_copy_and_deaf(report: Callable[[type], dict[str, Any]]) -> None:
    got = report(Frozen)
    for horizon in (1, 8, 32):
        assert got[f"psnr_{horizon}"] == got[f"copy_psnr_{horizon}"]
        assert got[f"gain_{horizon}"] == 0
    assert got["action_sensitivity"] == 0
    assert got["idle_drift"] == 0


def test_noise_is_seen(report: Callable[[type], dict[str, Any]]) -> None:
    got, best = report(Noisy), report(TrueDreamer)
    assert got["psnr_32"] < 25 and got["ssim_32"] < 0.9
    assert got["sharpness_32"] > 1.5
    assert got["idle_drift"] > best["idle_drift"] + 10


def test_blur_is_seen(report: Callable[[type], dict[str, Any]]) -> None:
    got = report(Blurred)
    assert got["sharpness_32"] < 0.7
    assert got["ssim_32"] < 0.9 and got["psnr_1"] < 40


def test_a_deaf_world_is_seen(report: Callable[[type], dict[str, Any]]) -> None:
    got, best = report(Deaf), report(TrueDreamer)
    assert got["action_sensitivity"] == 0
    assert got["psnr_32"] < best["psnr_32"] - 10
    assert got["idle_drift"] > best["idle_drift"] + 5
    assert got["revisit_psnr_1s"] < best["revisit_psnr_1s"] - 5


def test_a_world_that_takes_no_edits_is_seen(report: Callable[[type], dict[str, Any]]) -> None:
    assert report(Stubborn)["edit_gain"] < -20


def test_another_world_is_seen(report: Callable[[type], dict[str, Any]]) -> None:
    got = report(Elsewhere)
    assert got["psnr_1"] < got["copy_psnr_1"]
    assert got["gain_32_ci"][1] < got["psnr_32"]
    assert got["psnr_32"] < 20


def test_runs_follow_from_the_seed(true: Truth) -> None:
    again = voxel_truth(Amounts(2, 1, 1, 1, 1), SEED, CONTEXT, SIZE)
    for first, second in zip(true.played, again.played):
        assert first.label == second.label
        assert (first.frames == second.frames).all() and (first.actions == second.actions).all()
    assert (true.edits[0].image == again.edits[0].image).all()
    run = again.played[0]
    assert run.frames.shape == (truth.HORIZON, *SIZE, 3) and len(run.start) == CONTEXT
    assert len({run.label.split()[1] for run in true.played}) > 3, "varied scenes"


def test_a_revisit_turns_all_the_way_back() -> None:
    for seconds in truth.REVISIT_SECONDS:
        yaws = [action.camera[1] for action in truth.revisit_script(seconds)]
        assert sum(yaws) == 0 and max(np.cumsum(yaws)) >= 180
        assert len(yaws) == 2 * truth.TURN_TICKS + 20 * seconds


def test_recorded_runs(true: Truth, tmp_path: Path) -> None:
    world = VoxelWorld(SIZE)
    state, player, _ = truth.arrive(world, SEED)
    clip, _ = truth.film(world, state, lambda now: player.act(world.senses(now)), 2 * (CONTEXT + truth.HORIZON))
    clip.events = [[] for _ in clip.actions]
    clip.events[-1] = [{"type": "edit"}]
    clip.save(tmp_path / "a", lossless=True)
    got = recorded_truth(str(tmp_path), FEW, 5, CONTEXT, SIZE)
    again = recorded_truth(str(tmp_path), FEW, 5, CONTEXT, SIZE)
    assert [run.label for run in got.played] == [run.label for run in again.played]
    assert len(got.played) == FEW.clips and not got.edits and got.idle[0].frames is None
    for run in got.played:
        first = int(run.label.split()[1])
        assert first + CONTEXT + truth.HORIZON < len(clip), "not over the edit"
        assert (run.frames == clip.frames[first + CONTEXT : first + CONTEXT + truth.HORIZON]).all()
        assert (run.actions[0] == clip.actions[first + CONTEXT - 1].to_vector()).all()
    with pytest.raises(ClipError, match="no recording"):
        recorded_truth(str(tmp_path / "nowhere"), FEW, 5, CONTEXT, SIZE)


def test_psnr_and_ssim() -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (2, 32, 48, 3), np.uint8)
    assert (metrics.psnr(frame, frame) == metrics.PSNR_CAP).all()
    off = frame.copy()
    off[1] = np.where(frame[1] < 128, frame[1] + 16, frame[1] - 16)
    assert metrics.psnr(off, frame)[1] == pytest.approx(20 * np.log10(255 / 16))
    region = np.zeros((2, 32, 48), bool)
    assert (metrics.psnr(off, frame, region) == metrics.PSNR_CAP).all()
    region[1, 3:9, 4:9] = True
    assert metrics.psnr(off, frame, region)[1] == pytest.approx(20 * np.log10(255 / 16))
    assert metrics.ssim(frame, frame) == pytest.approx(1.0)
    assert abs(metrics.ssim(frame[:1], frame[1:])[0]) < 0.1
    flat = np.full((32, 48, 3), 100, np.uint8)
    brighter = np.full((32, 48, 3), 120, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert metrics.ssim(flat, brighter) == pytest.approx((2 * 100 * 120 + c1) / (100**2 + 120**2 + c1))
    assert metrics.mean_change(flat, brighter) == 20


def test_edit_gain() -> None:
    flat = np.full((32, 48, 3), 100, np.uint8)
    edited = flat.copy()
    edited[4:9, 4:9] = 200
    assert metrics.edit_gain(edited, edited, flat) == pytest.approx(metrics.PSNR_CAP - 20 * np.log10(255 / 100))
    assert metrics.edit_gain(flat, edited, flat) == -metrics.edit_gain(edited, edited, flat)
    faded = edited.copy()
    faded[4:9, 4:9] = 150
    assert metrics.edit_gain(faded, edited, flat) == pytest.approx(0.0)


def test_bootstrap() -> None:
    values = np.random.default_rng(1).normal(30, 2, 64)
    found = metrics.bootstrap(values)
    assert found == metrics.bootstrap(values)
    assert found.value == pytest.approx(values.mean()) and found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 8, rel=0.15)
    assert metrics.bootstrap(np.array([3.0])) == (3.0, 3.0, 3.0)
    pairs = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert metrics.bootstrap(pairs, metrics.ratio_of_sums).value == pytest.approx(4 / 6)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """So small a model is faster on one, above all where cores are busy."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_evaluate_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from reverie.model.config import preset
    from reverie.model.weights import TEACHER, save_model
    from reverie.model.world_model import WorldModel

    monkeypatch.setattr(truth, "REVISIT_SECONDS", (1,))
    monkeypatch.setattr(truth, "IDLE_SECONDS", 1)
    torch.manual_seed(0)
    folder, out = tmp_path / "model", tmp_path / "out"
    for file in ("model.safetensors", TEACHER):
        save_model(folder, preset("test"), WorldModel(preset("test")).state_dict(), file=file)
    settings = {"clips": 2, "quick": True, "out": str(out), "backend": "torch", "device": "cpu"}
    first = evaluate(str(folder), **settings)
    written = json.loads((out / "report.json").read_text())
    second = evaluate(str(folder), **settings)
    assert written == first
    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    assert first["clips"] == 2 and first["seeds"] == [SEED, SEED + 1] and first["backend"] == "torch-cpu"
    assert first["tokenizer_psnr"] is None and first["teacher_clips"] == 2
    for name in ("psnr_1", "copy_psnr_8", "teacher_psnr_32", "idle_drift", "revisit_psnr_1s", "action_sensitivity"):
        low, high = first[f"{name}_ci"]
        assert low <= first[name] <= high
    curves = json.loads((out / "curves.json").read_text())
    assert len(curves["psnr"]) == truth.HORIZON and curves["psnr"][0] == pytest.approx(first["psnr_1"], abs=1e-3)
    assert (out / "sheet.png").stat().st_size > 1000


def test_evaluate_refuses_worlds_of_training() -> None:
    with pytest.raises(ReverieError, match="trained on"):
        evaluate("tiny", seed=3)
