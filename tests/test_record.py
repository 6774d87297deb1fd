"""Recordings of scripted players, and the edits that are made under their eyes."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from reverie.model.errors import ReverieError
from reverie.simulator import Action, Clip, VoxelWorld
from reverie.simulator import record as recording
from reverie.simulator.errors import ClipError
from reverie.simulator.record import event_records, record
from reverie.simulator.voxel.disturb import COLUMN_HEIGHTS, KINDS, random_edit

SIZE = (32, 48)


@pytest.fixture(scope="module")
def world():
    return VoxelWorld(size=SIZE)


@pytest.fixture(scope="module")
def edited(world):
    """Many edits: (state before, state after, event)."""
    rng, cases = np.random.default_rng(3), []
    for seed in range(6):
        state = world.start(None, seed)
        for _ in range(12):
            for _ in range(5):
                state = world.step(state, Action(camera=(0.5, 12.0)))
            cases.append((state, *random_edit(world, state, rng)))
    return cases


@pytest.mark.slow
def test_edits_are_seen_and_leave_the_player_alone(world, edited):
    for before, after, event in edited:
        assert event["type"] == "edit" and event["kind"] in KINDS
        assert world.tick(after) == world.tick(before)
        assert np.array_equal(world.pose(after), world.pose(before))
        if event["kind"] == "time":
            assert after.day_time == event["day_time"] and after.blocks is before.blocks
            continue
        changed = (world.frame(after) != world.frame(before)).any(axis=-1).sum()
        assert changed == event["pixels"] > 0


def test_edits_change_just_the_blocks_that_they_name(world, edited):
    for before, after, event in edited:
        cells = [tuple(cell) for cell in event.get("cells", [])]
        for cell in cells:
            was, now = world.get_block(before, *cell), world.get_block(after, *cell)
            assert now == event["block"]
            if event["kind"] in ("appear", "column"):
                assert was in ("air", "water") and now != "air"
            else:
                assert was not in ("air", "water", "bedrock")
            assert (now == "air") == (event["kind"] == "vanish")
        assert (after.blocks != before.blocks).sum() <= len(cells)


def test_every_kind_of_edit_happens(edited):
    kinds = Counter(event["kind"] for _, _, event in edited)
    assert kinds.keys() == KINDS.keys()
    assert kinds["time"] < sum(kinds.values()) / 2


def test_nothing_is_built_into_the_player(world, edited):
    for _, after, event in edited:
        if event["kind"] not in ("appear", "column"):
            continue
        x, y, z = world.pose(after)[:3]
        for cell in event["cells"]:
            beside = all(cell[i] - 0.3 < p < cell[i] + 1.3 for i, p in ((0, x), (2, z)))
            assert not (beside and cell[1] - 1.8 < y < cell[1] + 1)
        if event["kind"] == "column":
            assert len({(cell[0], cell[2]) for cell in event["cells"]}) == 1
            assert len(event["cells"]) < COLUMN_HEIGHTS[1]


def test_edits_repeat_with_the_seed(world):
    state = world.start(None, 5)
    one, two = (random_edit(world, state, np.random.default_rng(8)) for _ in range(2))
    assert one[1] == two[1]
    assert np.array_equal(one[0].blocks, two[0].blocks)


def test_without_anything_to_change_the_hour_does(world):
    state = world.start(None, 5)
    x, _, z = world.pose(state)[:3]
    state = world.spawn(state, x, 300.0, z, pitch=-80.0)
    _, event = random_edit(world, state, np.random.default_rng(0))
    assert event["kind"] == "time"


def test_recordings_show_what_happened(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "TICKS_BETWEEN_EDITS", 8.0)
    told: list[tuple[int, int]] = []
    result = record(tmp_path, 2, 60, 40, size=SIZE, player="builder", progress=lambda *done: told.append(done))
    assert result["frames"] == 120 and told == [(60, 120), (120, 120)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "voxel-s40-builder.jsonl", "voxel-s40-builder.mp4", "voxel-s41-builder.jsonl", "voxel-s41-builder.mp4",
    ]  # fmt: skip
    for path in result["clips"]:
        clip = Clip.load(path)
        assert clip.frames.shape == (60, *SIZE, 3)
        assert clip.poses.shape == (60, 5) and clip.hotbar is not None
        assert sum(event["type"] == "edit" for events in clip.events for event in events) >= 2
        assert not clip.events[0] or clip.events[0][0]["type"] != "edit"


def test_a_recording_replays_to_the_same_frames(tmp_path, world):
    record(tmp_path, 1, 40, 17, size=SIZE, player="explorer", edits=False)
    clip = Clip.load(tmp_path / "voxel-s17-explorer")
    state = world.start(None, 17)
    for k in range(40):
        assert np.allclose(world.pose(state), clip.poses[k], atol=1e-3)
        assert np.abs(world.frame(state).astype(int) - clip.frames[k]).mean() < 16
        state = world.step(state, clip.actions[k])


@pytest.mark.parametrize(("episodes", "seed"), [(1, 1_000_000), (2, 999_999), (1, 5_000_000), (1, -1)])
def test_held_out_seeds_are_refused(tmp_path, episodes, seed):
    with pytest.raises(ReverieError, match="seeds"):
        record(tmp_path, episodes, 10, seed, size=SIZE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [{"episodes": 0}, {"ticks": 0}, {"player": "nobody"}])
def test_bad_requests_are_refused(tmp_path, wrong):
    with pytest.raises(ReverieError):
        record(tmp_path, **({"episodes": 1, "ticks": 5, "seed": 0, "size": SIZE} | wrong))
    assert not list(tmp_path.iterdir())


def test_existing_recordings_are_not_overwritten(tmp_path):
    there = tmp_path / "voxel-s4-idle.jsonl"
    there.write_text("precious")
    with pytest.raises(ClipError, match="not overwritten"):
        record(tmp_path, 3, 5, 2, size=SIZE, player="idle")
    assert there.read_text() == "precious" and len(list(tmp_path.iterdir())) == 1


FULL_DISK = """
import resource
from reverie.simulator import record as recording
from reverie.model.errors import ReverieError
once = recording.record_episode
def then_full(path, *rest):
    if "s1-" in path.name:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
    once(path, *rest)
recording.record_episode = then_full
try:
    recording.record({out!r}, 2, 80, 0, size=(32, 48), player="spinner")
except ReverieError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_full_disk_keeps_what_is_recorded(tmp_path):
    told = subprocess.run([sys.executable, "-c", FULL_DISK.format(out=str(tmp_path))], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert "voxel-s1-spinner.mp4" in told.stdout and "frames are safe" in told.stdout
    assert len(Clip.load(tmp_path / "voxel-s0-spinner")) == 80
    with pytest.warns(UserWarning):
        assert 0 < len(Clip.load(tmp_path / "voxel-s1-spinner")) < 80


def test_event_records():
    assert event_records(np.array([1, 0, 0.9, 0.2, 2], np.float32)) == [
        {"type": "dig"}, {"type": "dig_log"}, {"type": "splash"},
    ]  # fmt: skip
