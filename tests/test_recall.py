"""Earlier views: where they are, which is chosen, which is forgotten, and a dream that keeps them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from reverie.model import geometry, recall
from reverie.model.config import preset
from reverie.model.recall import level_poses
from reverie.model.torch_backend import TorchBackend
from reverie.model.training.data import PACE_DOUBT, KeyViews, ShardSet, find_overlay
from reverie.model.training.shards import Shard, ShardWriter
from reverie.model.world_model import WorldModel
from reverie.simulator import Action
from reverie.simulator.dream import DreamWorld
from reverie.simulator.errors import SaveError

CONFIG = preset("test")
SIZE, FIELD = CONFIG.size, CONFIG.field_of_view
HERE = np.array([[1.0, -2.0, 3.0, 40.0, 10.0]], np.float32)


def look(yaw: float, pitch: float = 0.0, ahead: float = 0.0) -> np.ndarray:
    return np.array([0.0, 0.0, ahead, yaw, pitch], np.float32)


def bank(*poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Poses [1, k, 5] and ages [1, k], the last one newest."""
    keys = np.zeros((1, 8, 5), np.float32)
    ages = np.full((1, 8), -1.0, np.float32)
    for slot, pose in enumerate(poses):
        keys[0, slot], ages[0, slot] = pose, 10.0 * (len(poses) - slot)
    return keys, ages


def test_a_way_undoes_the_advances_that_made_it() -> None:
    rng = np.random.default_rng(0)
    pose = HERE.copy()
    for _ in range(5):
        pose = recall.advance(pose, rng.normal(0, 20, (1, 2)), rng.normal(0, 1, (1, 3)))
    turn, travel = np.array([[4.0, -170.0]]), np.array([[0.3, -0.2, 1.5]])
    after = recall.advance(pose, turn, travel)
    known, pitch, yaw, *between = recall.way(pose, after)[0]
    assert known == 1
    assert pitch == pytest.approx(pose[0, 4])
    assert yaw == pytest.approx(-170, abs=1e-3)
    assert between == pytest.approx(travel[0].tolist(), abs=1e-4)


def test_poses_and_the_networks_geometry_agree() -> None:
    """A point in front of a camera, seen from an earlier one: by poses, and by the way put through `travel_shift`."""
    key, pose = look(-20, 5, ahead=-1.0), look(15, -8, ahead=2.0) + np.float32([0.5, 0.2, 0, 0, 0])
    rays = geometry.pixel_rays(*SIZE, FIELD, 4).reshape(-1, 3)
    points = recall.seen_points(pose[None], rays.numpy())
    by_pose = recall.shows(key[None], points, SIZE, FIELD)[0]
    way = torch.from_numpy(recall.way(key, pose))[None]
    depth = torch.full((1, SIZE[0] // 4, SIZE[1] // 4), recall.USUAL_METRES)
    turn = torch.stack((torch.tensor([float(pose[4])]) - way[:, 1], way[:, 2]), dim=-1)
    _, points = geometry.travel_shift(depth, way[:, 1], turn, way[:, 3:], SIZE, FIELD)
    grid = geometry.project(points, SIZE, FIELD)
    by_network = ((grid.abs() < 1).all(-1) & (points[..., 2] > recall.NOSE)).flatten().numpy()
    assert by_pose.any() and not by_pose.all()
    assert (by_pose == by_network).mean() > 0.99


def test_travel_is_carried_onto_the_axes_of_the_earlier_view() -> None:
    ahead = geometry.carry(torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([90.0]))
    assert torch.allclose(ahead, torch.tensor([[1.0, 0.0, 0.0]]), atol=1e-6)


def test_a_pace_goes_on_straight_ahead_while_the_camera_turns() -> None:
    turn, travel = (
        np.array([[0.0, 30.0], [5.0, 0.0], [0.0, 0.0]]),
        np.array([[0.1, -0.2, 0.3], [0, 0, 1], [np.nan] * 3]),
    )
    pace = recall.pace(turn, travel)
    back = geometry.carry(torch.from_numpy(pace[:, 1:]), torch.from_numpy(turn[:, 1]).float())
    assert back[:2].numpy() == pytest.approx(travel[:2], abs=1e-6)
    assert pace[:, 0].tolist() == [1, 1, 0] and not pace[2].any()
    once = recall.advance(HERE, turn[:1], travel[:1])
    twice = recall.advance(once, np.zeros((1, 2)), pace[:1, 1:])
    assert (twice - once)[0, :3] == pytest.approx((once - HERE)[0, :3], abs=1e-5)


def test_training_is_given_the_pace_that_a_dream_would_know(tmp_path) -> None:
    yaw = np.arange(0, 400, 10.0)
    write(tmp_path / "0", np.zeros((len(yaw), *SIZE, 3), np.uint8), yaw, edited=25)
    windows = ShardSet([tmp_path], CONFIG).batch(np.random.default_rng(0), 64, 4, 0.25)
    known = windows.pace[..., 0] == 1
    assert 0.5 < known.float().mean() < 0.95
    assert (windows.pace[~known] == 0).all()
    assert not known[windows.known == 1][:, 0].any(), "what starts from one frame has no pace yet"
    assert windows.pace[known][:, 1:].std() < 3 * PACE_DOUBT


def test_shard_places_are_poses() -> None:
    # Yaw 90 looks along -x: ahead on our axes is to the right of yaw 0.
    eye = np.array([[0, 60, 0, 90, 0], [-2, 61, 0, 90, 0]])
    before, after = level_poses(eye)
    assert recall.way(before, after)[3:] == pytest.approx([0, -1, 2], abs=1e-5)


def test_the_view_that_shows_what_comes_into_sight_is_chosen() -> None:
    keys, ages = bank(look(0), look(60), look(120), look(180))
    for yaw, turn, slot in ((40.0, 10.0, 1), (70.0, -30.0, 0), (150.0, 20.0, 3)):
        chosen = recall.choose(keys, ages, look(yaw)[None], np.array([[0.0, turn]]), SIZE, FIELD)
        assert chosen[0] == slot
    nothing = recall.choose(*bank(look(0)), look(150)[None], np.array([[0.0, 10.0]]), SIZE, FIELD)
    assert nothing[0] == -1
    assert recall.choose(*bank(), look(0)[None], np.zeros((1, 2)), SIZE, FIELD)[0] == -1


def test_of_two_views_of_one_place_the_newer_wins() -> None:
    keys, ages = bank(look(50), look(49))
    assert recall.choose(keys, ages, look(20)[None], np.array([[0.0, 10.0]]), SIZE, FIELD)[0] == 1
    assert recall.slot_for(keys[0], ages[0], look(52)) == 0  # and takes the older one's slot
    assert recall.slot_for(keys[0], ages[0], look(90)) == 2  # another place gets an empty one
    full = np.arange(8, 0, -1, dtype=np.float32)
    assert recall.slot_for(np.stack([look(40 * k) for k in range(8)]), full, look(20)) == 0  # or the oldest


def test_views_are_kept_when_they_differ() -> None:
    keys, ages = bank(look(0))
    for pose, wanted in ((look(5), False), (look(30), True), (look(0, ahead=2.0), True), (look(0, pitch=40), True)):
        assert recall.worth_keeping(keys, ages, pose[None])[0] == wanted
    assert recall.worth_keeping(*bank(), look(0)[None])[0]


def dream_world() -> DreamWorld:
    torch.manual_seed(0)
    return DreamWorld(TorchBackend(WorldModel(replace(CONFIG, keys=16))), "test")


def picture(seed: int) -> np.ndarray:
    """Coloured squares."""
    return np.kron(np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8), np.ones((8, 8, 1), np.uint8))


@pytest.mark.slow
def test_a_dream_that_turns_away_and_back_finds_what_was_there() -> None:
    world = dream_world()
    start = picture(0)
    state = world.start(start, 0)
    for _ in range(9):
        state = world.step(state, Action(camera=(0.0, 20.0)))
    away = np.abs(world.frame(state).astype(int) - start).mean()
    for _ in range(9):
        state = world.step(state, Action(camera=(0.0, -20.0)))
    back = np.abs(world.frame(state).astype(int) - start).mean()
    assert state.pose[0, 3] == pytest.approx(world.start(start, 0).pose[0, 3], abs=1e-3)
    assert back < 0.5 * away


@pytest.mark.slow
def test_an_edit_outlives_a_look_elsewhere_and_ends_older_views() -> None:
    world = dream_world()
    state = world.start(picture(0), 0)
    for yaw in (20.0, 20.0, -20.0, -20.0):
        state = world.step(state, Action(camera=(0.0, yaw)))
    before = int((state.kept_ages >= 0).sum())
    mask = np.zeros(SIZE, bool)
    mask[8:24, 16:32] = True
    state = world.edit(state, np.full((*SIZE, 3), 255, np.uint8), mask, 0.0)
    assert (state.kept_ages >= 0).sum() <= before
    assert all((view is None) == (age < 0) for view, age in zip(state.kept[0], state.kept_ages[0], strict=True))
    for yaw in (20.0,) * 9 + (-20.0,) * 9:
        state = world.step(state, Action(camera=(0.0, yaw)))
    assert world.frame(state)[10:22, 18:30].mean() > 200
    whole = world.edit(state, picture(5), None, 0.0)
    assert (whole.kept_ages >= 0).sum() == 1


@pytest.mark.slow
def test_kept_views_are_saved_and_checked() -> None:
    world = dream_world()
    state = world.start(picture(0), 0)
    for _ in range(4):
        state = world.step(state, Action(camera=(0.0, 20.0)))
    meta, arrays = world.pack(state)
    assert len(arrays["kept"]) == (state.kept_ages >= 0).sum() > 1
    again = world.unpack(meta, arrays)
    first, second = (world.step(item, Action(camera=(0.0, -20.0))) for item in (state, again))
    assert np.array_equal(world.frame(first), world.frame(second))
    for broken in (arrays["kept"][1:], arrays["kept"].astype(np.int16), None):
        with pytest.raises(SaveError):
            world.unpack(meta, {**arrays, "kept": broken})


def write(folder, frames: np.ndarray, yaw: np.ndarray, edited: int) -> Shard:
    writer = ShardWriter(folder, len(frames), SIZE)
    for row, frame in enumerate(frames):
        writer.append(
            frames=frame,
            actions=np.zeros(25, np.float32),
            eye=np.array([0, 0, 0, yaw[row], 0], np.float32),
            depth=np.full((SIZE[0] // 4, SIZE[1] // 4), np.nan, np.float16),
            events=np.zeros(5, np.uint8),
            edited=np.bool_(row == edited),
            episode=np.int32(0),
        )
    writer.close("turns")
    return Shard.open(folder)


def test_training_is_given_the_views_that_play_would_keep(tmp_path) -> None:
    yaw = np.concatenate((np.arange(0, 200, 10.0), np.arange(200, 0, -10.0)))
    frames = np.stack([np.full((*SIZE, 3), row, np.uint8) for row in range(len(yaw))])
    shard = write(tmp_path / "0", frames, yaw, edited=25)
    views = KeyViews(shard, CONFIG.keys)
    kept = views.at(np.array([0, 10, 24, 25, 30]))
    assert set(kept[0]) == {-1, 0}
    assert all((row <= last).all() for row, last in zip(kept, (0, 10, 24, 25, 30), strict=True))
    assert set(kept[3]) == {-1, 25}  # an edit ends all older ones
    window = ShardSet([tmp_path], CONFIG).batch(np.random.default_rng(0), 16, 4, 0.0)
    known = window.way[..., 0] == 1
    assert known.any() and not known.all()
    assert (window.way[~known] == 0).all()
    cold = ShardSet([tmp_path], CONFIG).batch(np.random.default_rng(0), 16, 4, 1.0)
    known = cold.way[..., 0] == 1
    assert known[:, 0].float().mean() > 0.5
    first = cold.past[:, CONFIG.past - 1 : CONFIG.past].expand(-1, 4, -1, -1, -1)
    assert torch.equal(cold.key[known], first[known]), "the picture that a dream starts from, and no other"
    assert not cold.way[:, 0, 1:][known[:, 0]].any(), "from where it stands"


def test_the_overlay_is_found_in_turning_pictures(tmp_path) -> None:
    """A random panorama under a fixed frame: the frame is found, the panorama is not."""
    rng = np.random.default_rng(0)
    height, width = SIZE
    panorama = np.kron(rng.integers(0, 256, (height, 200, 3)), np.ones((1, 4, 1)))
    focal = geometry.focal_length(height, FIELD)
    yaw = rng.uniform(0, 80, 400)
    columns = np.arctan((np.arange(width) + 0.5 - width / 2) / focal)
    frames = []
    for angle in yaw:
        places = ((np.deg2rad(angle) + columns) * focal + 200).astype(int)
        frame = panorama[:, places].astype(np.uint8)
        frame[-6:, 10:-10] = 90
        frames.append(frame)
    write(tmp_path / "0", np.stack(frames), yaw, edited=-1)
    overlay = find_overlay(ShardSet([tmp_path], CONFIG)).numpy()
    assert overlay[-6:, 12:-12].mean() > 0.95
    assert overlay[:-8].mean() < 0.05
