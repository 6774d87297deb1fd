"""Where a dream begins: what it knows of how far the player went, and of what was done a tick ago."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_shard import write_rows

from reverie.model.actions import ACTION_INDEX
from reverie.model.config import preset
from reverie.model.torch_backend import TorchBackend
from reverie.model.training.data import ShardSet
from reverie.model.training.rollout import dream
from reverie.model.world_model import WorldModel
from reverie.simulator import Action
from reverie.simulator.clip_rows import clip_travels
from reverie.simulator.clips import Clip
from reverie.simulator.dream import DreamWorld
from reverie.simulator.judge.truth import split

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = replace(preset("test"), keys=16)
TICKS = 9
FORWARD = Action(forward=True)


def walk(metres: float = 0.2) -> Clip:
    """Straight ahead, looking along +x, on noise."""
    frames = np.random.default_rng(0).integers(0, 256, (TICKS, *CONFIG.size, 3), np.uint8)
    poses = np.tile(np.array([0, 64, 0, -90, 5], np.float32), (TICKS, 1))
    poses[:, 0] = metres * np.arange(TICKS)
    return Clip(frames, [FORWARD] * TICKS, poses)


def noisy_model() -> WorldModel:
    """None of whose parts is silent, as zero-initialised ones are."""
    torch.manual_seed(0)
    model = WorldModel(CONFIG).eval().requires_grad_(False)
    for weight in model.parameters():
        weight.add_(torch.randn_like(weight) * 0.05)
    return model


def dream_world() -> DreamWorld:
    return DreamWorld(TorchBackend(noisy_model()), "test")


def test_a_recording_tells_how_far_one_went() -> None:
    clip = walk()
    assert clip_travels(clip) == pytest.approx(np.tile([0, 0, 0.2], (TICKS - 1, 1)), abs=1e-5)
    assert np.isnan(clip_travels(replace(clip, poses=None))).all()
    assert np.isnan(clip_travels(replace(clip, layout="vpt"))).all(), "the server's places are not the picture's"
    late = clip_travels(replace(clip, durations=np.float32([50, 50, 120] + [50] * (TICKS - 3))))
    assert np.flatnonzero(np.isnan(late).any(1)).tolist() == [2]
    assert clip.poses is not None
    clip.poses[5:, 2] += 100  # carried off
    assert np.flatnonzero(np.isnan(clip_travels(clip)).any(1)).tolist() == [4]
    assert clip_travels(Clip(clip.frames[:1], clip.actions[:1], clip.poses[:1])).shape == (0, 3)


def test_a_dream_that_goes_on_from_a_recording_knows_how_far_one_went() -> None:
    world, clip = dream_world(), walk()
    told = world.start(clip, 0)
    assert told.pace[0] == pytest.approx([1, 0, 0, 0.2], abs=1e-5)
    assert told.pose[0] == pytest.approx([0, 0, 0.2 * (TICKS - 1), 0, 5], abs=1e-4)
    guessed = world.start(replace(clip, poses=None), 0)
    assert abs(guessed.pace[0, 3] - 0.2) > 0.01
    assert not np.array_equal(world.frame(world.step(told, FORWARD)), world.frame(world.step(guessed, FORWARD)))


def test_a_dream_that_goes_on_from_a_recording_keeps_views_of_all_of_it() -> None:
    """The camera turns by half a circle, far more ticks than the memory has; what is behind is still known."""
    world, walked = dream_world(), walk(0.0)
    count = 3 * CONFIG.memory
    frames = np.random.default_rng(0).integers(0, 256, (count, *CONFIG.size, 3), np.uint8)
    turn = Action(camera=(0.0, 180.0 / (count - 1)))
    poses = np.tile(np.float32([0, 64, 0, -90, 0]), (count, 1))
    poses[:, 3] += 180.0 / (count - 1) * np.arange(count)
    clip = replace(walked, frames=frames, actions=[turn] * count, poses=poses)

    def views(one: Clip) -> list[int]:
        kept = [view for view in world.start(one, 0).kept[0] if view is not None]
        return [index for index in range(count) if any(np.array_equal(frames[index], view) for view in kept)]

    assert min(views(clip)) == 0 and len(views(clip)) >= 4
    events: list[list[dict]] = [[] for _ in range(count)]
    events[5] = [{"type": "edit"}]
    assert min(views(replace(clip, events=events))) == 5, "nobody knows what of the older ones still holds"
    assert min(views(replace(clip, poses=None))) == count - 1 - CONFIG.memory, "nor where they were"


def test_a_run_keeps_all_that_its_start_knows() -> None:
    clip = replace(walk(), layout="vpt", durations=np.full(TICKS, 50, np.float32), ticks=np.arange(TICKS))
    start = split(clip, 4, "a", 0).start
    assert (start.layout, len(start), len(start.poses), len(start.durations), len(start.ticks)) == ("vpt", 4, 4, 4, 4)
    assert start.hotbar is None and start.events == []


def test_a_dream_is_told_what_was_done_a_tick_ago() -> None:
    world = dream_world()
    picture = walk().frames[0]
    start = world.start(picture, 0)
    assert not start.last_action.any()
    assert np.array_equal(world.start(walk(), 0).last_action[0], FORWARD.to_vector())
    walked = world.step(start, FORWARD)
    assert np.array_equal(walked.last_action[0], FORWARD.to_vector())
    as_idle = replace(walked, last_action=np.zeros_like(walked.last_action))
    assert not np.array_equal(world.frame(world.step(walked, FORWARD)), world.frame(world.step(as_idle, FORWARD)))
    both = world.step_batch(world.stack([start, walked]), np.stack([FORWARD.to_vector(), Action().to_vector()]))
    assert both.last_action[0, ACTION_INDEX["forward"]] == 1 and not both.last_action[1].any()


@pytest.mark.slow
def test_training_is_told_what_was_done_a_tick_ago(tmp_path) -> None:
    write_rows(tmp_path / "0", CONFIG.size, (np.full(25, 1 + row, np.float32) for row in range(40)), 20)
    windows = ShardSet([tmp_path], CONFIG).batch(np.random.default_rng(0), 64, 3, 0.3)
    assert torch.equal(windows.last_action[:, 1:], windows.action[:, :-1])
    known = windows.known > 1  # neither a cold start nor an episode's first tick
    assert known.any() and not known.all()
    assert torch.equal(windows.last_action[known, 0], windows.action[known, 0] - 1)
    assert not windows.last_action[~known, 0].any()
    told, untold = (
        dream(noisy_model(), item, 1, torch.Generator().manual_seed(0)).frames
        for item in (windows, windows._replace(last_action=torch.zeros_like(windows.last_action)))
    )
    assert not torch.equal(told, untold)
