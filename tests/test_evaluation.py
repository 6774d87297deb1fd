"""The evaluation: the truth gives the caps, and each figure notices what it is for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reverie.model.errors import ReverieError
from reverie.simulator.action import Action
from reverie.simulator.clips import Clip
from reverie.simulator.evaluation import metrics
from reverie.simulator.evaluation.candidates import CORRUPTIONS, TrueWorld, WithScreenLayer, known_hud_mask
from reverie.simulator.evaluation.evaluate import Amounts, chosen_parts, evaluate
from reverie.simulator.evaluation.keys import BY_NAME, KEYS, is_median
from reverie.simulator.evaluation.parts import PARTS, Limits, Measured, Part
from reverie.simulator.evaluation.runs import CONTEXT, HORIZONS, Run, RunStore, seed_of, state_at_start
from reverie.simulator.evaluation.sight import Door, View, in_sight, paint_door, unit_rays
from reverie.simulator.evaluation.starts import TrueStart, columns_of
from reverie.simulator.voxel.world import HELD_OUT_SEED, VoxelWorld

SIZE = (48, 80)
LIMITS = Limits(explorer=32, walk=5, revisit=1, stay=1, turn=8.0, seeds=2)
SMALL = Amounts(
    explorer=2,
    walk=2,
    walls=3,
    turn=1,
    revisit=1,
    back=1,
    idle=1,
    seeds=1,
    door=1,
    task=8,
    nostate=1,
    readouts=1,
    limits=LIMITS,
)
NOTICED: dict[str, tuple[str, ...]] = {
    "frozen": (
        "seen_psnr_8",
        "psnr_32",
        "perceptual_32",
        "place_error_32",
        "edit_away_walk",
        "tasks_16",
        "body_error_32",
        "walls_standing",
    ),
    "blurred": ("seen_psnr_1", "detail_5s", "perceptual_1", "frechet_2s", "edit_psnr_1s", "turn_return_8"),
    "noisy": ("seen_psnr_1", "detail_5s", "idle_drift", "seeds_same", "frechet_2s", "revisit_psnr_1s"),
    "shuffled": ("seen_psnr_8", "psnr_32", "place_error_32", "walk_return_psnr", "tasks_16", "body_error_32"),
    "hazy": ("seen_psnr_32", "contrast_5s", "detail_5s", "frechet_2s", "idle_drift", "edit_psnr_1s"),
    "drifting": ("idle_drift", "revisit_psnr_1s", "turn_return_8", "seen_psnr_32"),
    "emptied": ("turn_return_8", "revisit_psnr_1s", "edit_return_turn10"),
    "unpainted": ("edit_psnr_1s", "edit_gain_1s", "edit_return", "edit_return_walk"),
}
"""Figures that have to be worse than the truth's in each corrupted world, by a margin."""
UNMOVED: dict[str, tuple[str, ...]] = {
    "unpainted": ("seen_psnr_32", "turn_return_8", "tasks_16", "detail_5s"),
    "noisy": ("place_error_32", "tasks_16"),
    "emptied": ("edit_psnr_1s", "idle_drift"),
}
"""Figures that have nothing to do with a corruption, and stay as they are."""
MARGIN = {"dB": 3.0, "": 0.05, "of 255": 1.0, "m": 0.1, "of the truth's": 0.1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluation")


@pytest.fixture(scope="module")
def store(folder: Path) -> RunStore:
    return RunStore(folder / "runs", SIZE)


def measured(folder: Path, name: str, keys: tuple[str, ...] = ()) -> dict[str, Any]:
    world = TrueWorld(SIZE) if name == "truth" else CORRUPTIONS[name](SIZE)
    return evaluate(world, folder / name, runs=folder / "runs", amounts=SMALL, keys=keys, sheets=False)


@pytest.fixture(scope="module")
def truth(folder: Path) -> dict[str, Any]:
    return measured(folder, "truth")


def badness(name: str, value: float) -> float:
    aim = BY_NAME[name].aim
    return -value if aim == "high" else value if aim == "low" else abs(value - 1)


@pytest.mark.slow
def test_the_truth_gives_the_caps(truth: dict[str, Any]) -> None:
    for key in KEYS:
        value = truth[key.name]
        if value is None or key.aim == "none" or key.name.startswith("edit_gain"):
            continue
        own = truth.get(f"true_{key.name}")  # animals walk on while nobody looks
        cap = {"dB": own or metrics.PSNR_CAP, "": 0.0 if key.aim == "low" else 1.0, "of the truth's": 1.0}.get(
            key.unit, 0.0
        )
        assert value == pytest.approx(cap if key.name != "idle_drift" else own, abs=1e-6), key.name
    assert truth["edit_gain_1s"] > 20 and truth["copy_seen_psnr_8"] < 40
    assert truth["runs_done"] == truth["runs_planned"] > 15
    listed = {name for names in NOTICED.values() for name in names}
    assert all(truth[name] is not None for name in listed)


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTICED)
def test_figures_notice_what_they_are_for(folder: Path, truth: dict[str, Any], name: str) -> None:
    wanted = (*NOTICED[name], *UNMOVED.get(name, ()))
    report = measured(folder, name, wanted)
    for key in NOTICED[name]:
        worse = badness(key, report[key]) - badness(key, truth[key])
        assert worse > MARGIN[BY_NAME[key].unit], (key, report[key], truth[key])
    for key in UNMOVED.get(name, ()):
        assert report[key] == pytest.approx(truth[key], abs=0.05 * MARGIN[BY_NAME[key].unit]), key


def test_every_corruption_is_looked_for() -> None:
    assert set(NOTICED) == set(CORRUPTIONS)


def test_runs_are_held_out_and_repeat(store: RunStore, folder: Path) -> None:
    run = store.get("explorer", 0)
    again = RunStore(folder / "other", SIZE).get("explorer", 0)
    assert run.seed == seed_of("explorer", 0) >= HELD_OUT_SEED
    assert len(run.start_frames) == len(run.start_actions) == len(run.start_poses) == CONTEXT
    assert run.ticks == HORIZONS and len(run.poses) == len(run.actions) + 1 == HORIZONS[-1] + 1
    for name in ("start_frames", "frames", "poses", "distance", "seen", "seen_since"):
        np.testing.assert_array_equal(getattr(run, name), getattr(again, name))
    assert (run.seen <= run.seen_since).all() and run.seen[0].mean() > 0.5
    clip = run.clip(poses=False)
    assert clip.poses is None and clip.actions[-1] == Action.from_vector(run.actions[0])
    state = state_at_start(VoxelWorld(SIZE, hud=False), run)
    np.testing.assert_array_equal(VoxelWorld(SIZE, hud=False).frame(state), run.first)


def test_all_runs_differ_in_seed_only_where_they_should() -> None:
    assert seed_of("turn1.5", 2) == seed_of("revisit20", 2) == seed_of("idle", 2)
    assert len({seed_of(kind, 0) for kind in ("explorer", "played", "walk", "idle", "back", "seeds", "door-walk")}) == 7


def test_what_was_in_sight() -> None:
    distance = np.full(SIZE, 5.0) / np.abs(unit_rays(np.zeros(5), SIZE)[..., 2])  # a wall five metres ahead
    nothing = np.zeros(SIZE, bool)
    here, turned = (View(np.array([0.0, 0, 0, yaw, 0]), distance, nothing) for yaw in (0.0, 170.0))
    assert in_sight(here, [here]).all()
    assert not in_sight(here, [turned]).any() and not in_sight(here, []).any()
    nearer = replace(here, distance=distance * 0.5)
    assert not in_sight(here, [nearer]).any(), "something else stood before it"
    animals = nothing.copy()
    animals[10:20, 10:20] = True
    assert not in_sight(replace(here, moving=animals), [here])[animals].any()
    sky = replace(here, distance=np.full(SIZE, np.inf))
    assert in_sight(sky, [sky]).all() and not in_sight(sky, [here]).any()
    aside = replace(here, eye=np.array([1.0, 0, 0, 0.0, 0]))
    found = in_sight(aside, [here])
    assert 0.5 < found.mean() < 1.0 and (found[:, 40:].all() or found[:, :40].all())


def test_a_door_stays_on_its_wall() -> None:
    distance = np.full(SIZE, 5.0) / np.abs(unit_rays(np.zeros(5), SIZE)[..., 2])
    view = View(np.array([0.0, 1.6, 0, 0, 0]), distance, np.zeros(SIZE, bool))
    door = Door((0.0, 0.0, 5.0), (-1.0, 0, 0), (0.0, 0, -1.0))
    frame = np.full((*SIZE, 3), 200, np.uint8)
    painted, mask = paint_door(frame, view, door)
    assert (painted[~mask] == 200).all() and (painted[mask] != 200).any(-1).all()
    height = np.flatnonzero(mask.any(1))
    assert mask.sum() > 40 and len(height) == pytest.approx(2 * mask.any(0).sum(), abs=2)
    hidden, gone = paint_door(frame, replace(view, distance=distance * 0.6), door)
    assert not gone.any() and (hidden == 200).all(), "something stands before it"
    assert not paint_door(frame, replace(view, eye=np.array([0.0, 1.6, 0, 180, 0])), door)[1].any()


def test_true_start_holds_the_world_about_the_player(store: RunStore) -> None:
    run = store.get("idle", 0)
    start = store.true_start(run)
    world = VoxelWorld(SIZE, hud=False)
    state = state_at_start(world, run)
    np.testing.assert_allclose(start.body.place, run.poses[0, :3])
    x, y, z = (int(np.floor(value)) for value in start.body.place)
    for cell in ((x, y - 1, z), (x + 5, y, z - 7), (x - 30, 12, z + 30)):
        token = start.tokens[tuple(np.array(cell) - start.low)]
        assert start.names[token] == world.get_block(state, *cell)
    assert start.clip.poses is not None and start.entities.shape[1] == 6


class StillDream:
    """A stand-in for a dream that starts in all three columns, and shows nothing but the start."""

    size = SIZE

    def __init__(self) -> None:
        self.starts: list[str] = []

    def start(self, scene: Any = None, seed: int = 0) -> Any:
        assert isinstance(scene, Clip)
        self.starts.append("frames" if scene.poses is None else "poses")
        return scene.frames[-1]

    def start_true(self, start: TrueStart, seed: int) -> Any:
        self.starts.append("cells")
        return start.clip.frames[-1]

    def start_unknown(self, clip: Clip, seed: int) -> Any:
        self.starts.append("unknown")
        return clip.frames[-1]

    def step(self, state: Any, action: Action) -> Any:
        return state

    def frame(self, state: Any) -> np.ndarray:
        return state

    def edit(self, state: Any, image: np.ndarray, mask: np.ndarray | None, strength: float) -> Any:
        return image

    def tick(self, state: Any) -> int:
        return 0

    def describe(self) -> dict[str, Any]:
        return {"world": "still"}


@pytest.mark.slow
def test_a_dream_is_measured_in_three_columns(folder: Path, truth: dict[str, Any]) -> None:
    dream = StillDream()
    assert columns_of(dream) == ("poses", "frames", "cells") and columns_of(TrueWorld(SIZE)) == ("poses",)
    report = evaluate(
        dream, folder / "still", runs=folder / "runs", amounts=SMALL, keys=("seen_", "nostate", "tasks_16")
    )
    assert set(dream.starts) == {"poses", "frames", "cells", "unknown"}
    for prefix in ("", "frames_", "cells_"):
        assert report[f"{prefix}seen_psnr_8"] == report[f"{prefix}copy_seen_psnr_8"] == truth["copy_seen_psnr_8"]
    assert report["nostate_gain_8"] == 0.0
    assert report["tasks_16"] is None and report["walls_inside"] is None


@pytest.mark.slow
def test_a_stopped_measurement_goes_on(folder: Path, truth: dict[str, Any]) -> None:
    out, counted = folder / "stopped", []

    def count(session: Any, run: Run) -> Measured:
        counted.append(run.number)
        return Measured({"counted": float(run.number)})

    part = Part("counting", "idle", count)
    common: dict[str, Any] = {"runs": folder / "runs", "amounts": replace(SMALL, explorer=3), "extra": (part,)}
    evaluate(TrueWorld(SIZE), out, keys=("counting",), share=(1, 2), sheets=False, **common)
    assert counted == [1]
    assert evaluate(TrueWorld(SIZE), out, keys=("counting",), minutes=0, sheets=False, **common)["runs_done"] == 1
    report = evaluate(TrueWorld(SIZE), out, keys=("counting",), sheets=False, **common)
    assert counted == [1, 0, 2] and report["counted"] == 1.0 and report["counted_runs"] == 3
    assert json.loads((out / "report.json").read_text())["counted"] == 1.0


def test_the_first_edition_is_not_judged_by_its_screen_layer(store: RunStore) -> None:
    mask = known_hud_mask((96, 160))
    assert 0.1 < mask.mean() < 0.4 and mask[47, 79] and not mask[:30, :80].any()
    dream = StillDream()
    world = WithScreenLayer(dream)
    run = store.get("idle", 0)
    first = world.start_run(run, 0)
    hidden = known_hud_mask(SIZE)
    changed = (first != run.first).any(-1)
    assert changed[hidden].mean() > 0.5
    outline = changed & ~hidden  # of the targeted block
    assert outline.mean() < 0.05


@pytest.mark.slow
def test_sheets(folder: Path, truth: dict[str, Any]) -> None:
    keys = ("detail", "turn_return", "edit")
    evaluate(TrueWorld(SIZE), folder / "truth", runs=folder / "runs", amounts=SMALL, keys=keys)
    assert all((folder / "truth" / f"{name}.png").stat().st_size > 1000 for name in ("walk", "turn", "door"))


def test_keys_choose_parts() -> None:
    assert {part.name for part in chosen_parts(PARTS, ["detail_10s"])} == {"walk"}
    assert {part.name for part in chosen_parts(PARTS, ["edit_return"])} >= {"door-walk", "door-turn3"}
    assert len(chosen_parts(PARTS, [])) == len(PARTS)
    with pytest.raises(ReverieError, match="nonsense"):
        chosen_parts(PARTS, ["nonsense"])
    assert len(BY_NAME) == len(KEYS) and is_median("copy_detail_10s") and not is_median("seen_psnr_8")


def test_metrics() -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (*SIZE, 3), np.uint8)
    assert metrics.psnr(frame, frame) == metrics.PSNR_CAP
    few = np.zeros(SIZE, bool)
    few[0, :5] = True
    assert np.isnan(metrics.psnr(frame, frame, few))
    off = frame.copy()
    off[:, :40] = 255 - off[:, :40]
    half = np.zeros(SIZE, bool)
    half[:, 40:] = True
    assert (
        metrics.psnr(off, frame, half) == metrics.PSNR_CAP > metrics.psnr(off, frame) > metrics.psnr(off, frame, ~half)
    )
    interval = metrics.bootstrap(np.array([1.0, 2.0, 3.0, np.nan]))
    assert interval.value == 2.0 and interval.low < 2.0 < interval.high
    assert np.isnan(metrics.bootstrap(np.array([np.nan])).value)
    one, other = rng.normal(0, 1, (4, 50, 8)), rng.normal(1, 1, (4, 50, 8))
    assert metrics.frechet_ratio(one, one, other).value == pytest.approx(0.0, abs=1e-9)
    assert metrics.frechet_ratio(other, one, other).value == pytest.approx(1.0)
    nearer = metrics.frechet_ratio(0.7 * one + 0.3 * other, one, other).value
    assert 0.0 < nearer < 1.0


def test_the_edge_of_what_is_not_judged_is_no_detail() -> None:
    frame = np.full((*SIZE, 3), 90, np.uint8)
    hidden = np.zeros(SIZE, bool)
    hidden[30:40, 20:60] = True
    frame[hidden] = 255
    assert metrics.laplacian_energy(frame) > 0
    assert metrics.laplacian_energy(frame, ~hidden) == 0
    assert metrics.contrast(frame, ~hidden) == 0
