"""The judge's readers: what they measure, how they are trained, and that they notice dreams that are wrong."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from clocks import count_steps

from reverie.demos.train import READERS_HELD, train
from reverie.model import motion
from reverie.model.errors import ModelError
from reverie.model.readers import BUTTONS, FEAT_FRAMES, SHIPPED, Guess, Readers, effective, fitted, look
from reverie.model.training import readers as training
from reverie.model.training.lessons import GRID, KEYS, LESSON, SCALARS, UNKNOWN, UNSEEN, load_lesson
from reverie.model.training.shards import Shard
from reverie.simulator.action import IDLE, Action
from reverie.simulator.clip_rows import row_effects
from reverie.simulator.judge import feats, frechet, reading, tasks, truth
from reverie.simulator.judge.recorded import recorded_runs
from reverie.simulator.lessons import effect_of, write_lesson
from reverie.simulator.record import record
from reverie.simulator.shards import ShardPlan, write_shard
from reverie.simulator.voxel.world import HELD_OUT_SEED, VoxelWorld

pytestmark = pytest.mark.slow

CLIPS = 8
F1_BAR, CAMERA_BAR, FEATS_BAR = 0.6, 0.5, 0.85
"""Lower than the shipped readers' own figures, because the clips are few."""
NOTICED = 0.75
"""A corrupted dream has at most this share of the truth's F1."""


@pytest.fixture(scope="module")
def readers() -> Readers:
    return Readers.load()


@cache
def clips() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True held-out clips: frames [b, t + 1, h, w, 3], actions [b, t, 25], effects [b, t, keys]."""
    world = VoxelWorld()
    runs = [truth.played_run(world, HELD_OUT_SEED + seed, 2) for seed in range(CLIPS)]
    frames = np.stack([np.concatenate((run.first[None], run.frames)) for run in runs if run.frames is not None])
    effect = np.stack([run.effect for run in runs if run.effect is not None])
    return frames, np.stack([run.actions for run in runs]), effect


def blurred(frames: np.ndarray) -> np.ndarray:
    """Means of 8x8 pixels."""
    *lead, height, width, _ = frames.shape
    means = frames.reshape(*lead, height // 8, 8, width // 8, 8, 3).mean(axis=(-4, -2))
    return means.repeat(8, axis=-3).repeat(8, axis=-2).astype(np.uint8)


def corrupted(name: str, frames: np.ndarray) -> np.ndarray:
    """The five ways in which a dream of these clips may be bad."""
    if name == "shuffled actions":
        return np.roll(frames, 1, axis=0)
    if name == "frozen":
        return np.repeat(frames[:, :1], frames.shape[1], axis=1)
    if name == "blurred":
        return blurred(frames)
    if name == "noise":
        return np.random.default_rng(0).integers(256, size=frames.shape, dtype=np.uint8)
    first, rest = frames[:, :1], np.roll(frames, 1, axis=0)[:, 1:]
    return np.concatenate((first, rest), axis=1)


CORRUPTIONS = ("shuffled actions", "frozen", "blurred", "noise", "another seed")


def scored(readers: Readers, frames: np.ndarray) -> dict[str, float]:
    _, actions, effect = clips()
    return reading.figures(reading.read_back(readers, frames, actions, effect))


def test_a_turn_is_measured_from_pictures_alone() -> None:
    world = VoxelWorld()
    state = world.start("forest", HELD_OUT_SEED + 1)
    turned = world.step(state, Action(camera=(1.5, -6.0)))
    pair = [fitted(world.frame(one)[None]) for one in (state, turned)]
    found = motion.measure(*pair).turn[0]
    assert found[0] == pytest.approx(1.5, abs=0.3)
    assert found[1] == pytest.approx(-6.0, abs=0.4)
    still = motion.measure(pair[0], pair[0])
    assert still.turn.abs().max() < 0.02


def test_the_chosen_slot_is_seen() -> None:
    world = VoxelWorld()
    state = world.start("snow", HELD_OUT_SEED + 3)
    for slot in (4, 9, 1):
        state = world.step(state, Action(hotbar=slot))
        assert int(motion.slots(fitted(world.frame(state)[None])).argmax()) == slot - 1


def test_only_keys_that_did_something_have_an_effect() -> None:
    world = VoxelWorld()
    state = world.start("plains", 5)
    for _ in range(10):
        state = world.step(state, IDLE)
    action = Action(forward=True, jump=True, hotbar=1)
    effect = dict(zip(KEYS, effect_of(world, state, action, world.step(state, action)), strict=True))
    assert effect["forward"] > 0.05
    assert effect["jump"] > 0.3
    assert effect["hotbar"] == 0, "slot 1 was chosen already"
    assert effect["back"] == effect["attack"] == 0
    flying = world.step(state, action)
    assert effect_of(world, flying, action, world.step(flying, action))[KEYS.index("jump")] == 0
    held = np.array([[True] * len(BUTTONS)])
    assert effective(held, np.full((1, len(BUTTONS)), 0.01)).sum() == 0


def test_a_lesson_is_what_the_recording_was(tmp_path: Path) -> None:
    plan = ShardPlan(size=(96, 160), rows=40, episode=(20, 25))
    write_shard(tmp_path / "shards" / "00000", 0, 11, plan)
    assert write_lesson(tmp_path / "shards" / "00000", tmp_path / "lesson", plan) == 40
    lesson = load_lesson(tmp_path / "lesson")
    shard = Shard.open(tmp_path / "shards" / "00000")
    assert np.allclose(lesson["scalars"][:, SCALARS.index("pitch")], shard.columns["eye"][:, 4], atol=1e-3)
    held = np.asarray(shard.columns["actions"])
    assert not (lesson["effect"].any(axis=1) & ~held.any(axis=1)).any()
    assert (lesson["kinds"][::3] != UNSEEN).all()
    with pytest.raises(ModelError, match="another version"):
        write_lesson(tmp_path / "shards" / "00000", tmp_path / "other", ShardPlan(episode=(3, 4), rows=40))
    with pytest.raises(ModelError, match="no lesson"):
        load_lesson(tmp_path)


def test_readers_are_trained_and_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count_steps(monkeypatch, 0.1)
    plan = ShardPlan(size=(96, 160), rows=120, episode=(110, 112))
    write_shard(tmp_path / "shards" / "00000", 0, 3, plan)
    write_lesson(tmp_path / "shards" / "00000", tmp_path / "lessons" / "00000", plan)
    assert (tmp_path / "lessons" / "00000" / LESSON).is_file()
    rng = np.random.default_rng(0)
    with (tmp_path / "feats.npz").open("wb") as file:
        np.savez(
            file, frames=rng.integers(256, size=(4, FEAT_FRAMES, 96, 160, 3), dtype=np.uint8),
            feat=np.arange(4), success=np.array([True, False] * 2), names=np.array(feats.NAMES[:4]),
        )  # fmt: skip
    done = training.train_readers(
        tmp_path / "shards", tmp_path / "lessons", tmp_path / "feats.npz", tmp_path / "out", 1.5
    )
    assert done["ticks"] == 120
    opened = Readers.load(Path(done["model"]))
    assert opened.names == feats.NAMES[:4]
    assert len(opened.thresholds) == len(BUTTONS)
    with pytest.raises(ModelError, match="no recordings"):
        training.train_readers(tmp_path, tmp_path, tmp_path / "feats.npz", tmp_path / "out", 1.0)
    base = Readers.load()
    again = train("readers", str(tmp_path / "shards"), str(tmp_path), minutes=0.02, init=str(SHIPPED))
    kept = Readers.load(Path(again["model"]))
    assert torch.equal(kept.feature_reader.cells.weight, base.feature_reader.cells.weight)
    assert kept.names == base.names and not torch.equal(kept.depth_reader.depth.weight, base.depth_reader.depth.weight)


def test_places_and_events_tell_what_keys_of_a_recording_did() -> None:
    eyes = np.array([(0, 0, 0), (0.2, 0, 0), (0.2, 0.4, 0), (0.2, 0, 0), (0.2, 0, 0)], float)
    found = row_effects(eyes, np.array([False, False, True, False, True]))
    columns = {key: found[:, KEYS.index(key)].tolist() for key in KEYS}
    assert columns["forward"] == columns["sneak"] == pytest.approx([0.2, 0, 0, 0, 0])
    assert columns["jump"] == pytest.approx([0, 0.4, 0, 0, 0])  # falling is not the key's doing
    assert columns["use"] == [0, 0, 1, 0, 0] and columns["attack"] == [1, 1, 1, 1, 0]


def test_readers_of_another_game_learn_from_its_recordings(
    tmp_path: Path, readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_steps(monkeypatch, 0.1)
    record(tmp_path / "clips", episodes=3, ticks=120, seed=5)
    done = train("readers", data=str(tmp_path / "clips"), out=str(tmp_path / "out"), minutes=0.05)
    assert done["shards"] == 2  # one map seed is kept for judging
    lesson = load_lesson(next((tmp_path / "out" / "lessons").iterdir()))
    assert (lesson["scalars"][:, SCALARS.index("swing")] == UNKNOWN).all() and (lesson["kinds"] == UNSEEN).all()
    own = Readers.load(Path(done["model"]))
    assert own.readable == BUTTONS and "hotbar" in readers.readable
    assert torch.equal(own.feature_reader.cells.weight, readers.feature_reader.cells.weight)
    assert not torch.equal(own.action_reader.head[-1].weight, readers.action_reader.head[-1].weight)
    frames, actions, effect = (part[:2] for part in clips())
    assert reading.read_back(own, frames, actions, effect).counts.shape == (2, len(BUTTONS), 2)
    held = recorded_runs(str(tmp_path / "clips"), 4, 0, 2, (96, 160), READERS_HELD)
    assert all(run.effect is not None and run.effect.shape == (len(run.actions), len(KEYS)) for run in held)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="neither training shards nor clips"):
        train("readers", data=str(tmp_path / "empty"), out=str(tmp_path / "x"), minutes=0.01)


def test_a_mirror_swaps_left_and_right(readers: Readers) -> None:
    frames, _, _ = clips()
    seen = look(readers.depth_reader, frames[:1, :6])
    t = seen.turn.shape[1]
    held = torch.zeros(1, t, len(BUTTONS))
    held[..., BUTTONS.index("left")] = 1
    pieces = training.Pieces(seen, held, torch.ones_like(held), torch.zeros(1, t + 1).long())
    other = training.mirrored(pieces)
    assert other.buttons[..., BUTTONS.index("right")].all() and not other.buttons[..., BUTTONS.index("left")].any()
    assert torch.equal(other.seen.turn[..., 1], -seen.turn[..., 1])
    assert torch.equal(other.seen.travel[..., 0], -seen.travel[..., 0])
    assert torch.equal(training.mirrored(other).seen.centre, seen.centre)


def test_a_part_of_a_piece_is_as_long_everywhere(readers: Readers) -> None:
    frames, actions, _ = clips()
    seen = look(readers.depth_reader, frames[:1])
    held = torch.from_numpy(actions[:1, :, : len(BUTTONS)])
    pieces = training.Pieces(seen, held, torch.ones_like(held), torch.arange(33)[None])
    part = training.shortened(pieces, np.random.default_rng(1))
    t = part.buttons.shape[1]
    low = int(part.swing[0, 0])
    assert training.SHORTEST <= t <= 32 and part.swing.shape == part.seen.slots.shape[:2] == (1, t + 1)
    assert torch.equal(part.seen.travel, seen.travel[:, low : low + t])
    assert torch.equal(part.seen.hand, seen.hand[:, low : low + t + 1])


def test_depth_and_pitch_are_seen(readers: Readers) -> None:
    world = VoxelWorld()
    states = [truth.arrive(world, HELD_OUT_SEED + seed)[0] for seed in range(CLIPS)]
    with torch.inference_mode():
        far = readers.depth_reader(fitted(np.stack([world.frame(state) for state in states])))
    metres = np.stack([world.depth(state)[2::4, 2::4] for state in states])
    near = metres < 16
    assert np.median(np.abs(far.depth.numpy() - np.log(metres.clip(0.1)))[near]) < 0.2
    assert np.median(np.abs(far.pitch.numpy() - [world.pose(state)[4] for state in states])) < 4


def test_thresholds_are_those_of_all_buttons_together() -> None:
    logits = torch.full((1, 100, len(BUTTONS)), -9.0)
    held = torch.zeros(1, 100, len(BUTTONS))
    logits[:, :90, 0], held[:, :90, 0] = 2.0, 1.0  # easy to see, and common
    logits[:, :10, 1], held[:, :4, 1] = 1.0, 1.0  # more often wrong than right where it is said

    class Fixed(torch.nn.Module):
        def forward(self, seen: object) -> Guess:
            return Guess(logits, logits)

    pieces = training.Pieces(None, held, torch.ones_like(held), torch.zeros(1, 101))  # type: ignore[arg-type]
    levels = training.thresholds(Fixed(), pieces)  # type: ignore[arg-type]
    assert levels[0] < 2 and levels[1] >= 1


def test_shapes_and_repeatability(readers: Readers) -> None:
    frames, _, _ = clips()
    one, other = readers.read_actions(frames[:2, :9]), readers.read_actions(frames[:2, :9])
    assert one.buttons.shape == (2, 8, len(BUTTONS)) and one.camera.shape == (2, 8, 2) and one.hotbar.shape == (2, 8)
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    features = readers.features(frames[0, :5])
    assert features.shape == (5, readers.feature_reader.dimensions)
    assert np.array_equal(features, readers.features(frames[0, :5]))
    assert readers.maps(frames[0, :2]).shape[2:] == GRID
    assert readers.features(np.zeros((1, 192, 320, 3), np.uint8)).shape == features[:1].shape


def test_a_folder_without_readers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no readers"):
        Readers.load(tmp_path)


def test_shipped_readers_are_small_and_have_a_card() -> None:
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 6_000_000
    assert "python -m reverie.demos.readers" in (SHIPPED / "CARD.md").read_text("utf-8")


def test_shipped_readers_read_true_clips(readers: Readers) -> None:
    report = scored(readers, clips()[0])
    assert report["action_f1"] > F1_BAR
    assert report["camera_deg"] < CAMERA_BAR


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corrupted_actions_are_noticed(readers: Readers, name: str) -> None:
    """The table of corruptions, for the keys that are read from frames: both fall, whatever is wrong."""
    good, bad = scored(readers, clips()[0]), scored(readers, corrupted(name, clips()[0]))
    if name != "blurred":  # in a blurred picture one still sees how it turns
        assert bad["action_f1"] < NOTICED * good["action_f1"]
        assert bad["camera_deg"] > 3 * good["camera_deg"]
    assert bad["action_f1"] < good["action_f1"]


@pytest.mark.parametrize(("name", "most"), [("blurred", 0.1), ("noise", 0.3)])
def test_corrupted_frames_are_far_from_true_ones(readers: Readers, name: str, most: float) -> None:
    frames, _, _ = clips()
    half = CLIPS // 2
    reference = frames[half:].reshape(-1, *frames.shape[2:])
    same, _ = frechet.frechet_ratio(readers, frames[:half, ::4], frames[:half, ::4], reference)
    found, _ = frechet.frechet_ratio(readers, corrupted(name, frames)[:half, ::4], frames[:half, ::4], reference)
    assert same.value == pytest.approx(0.0, abs=1e-3)
    assert found.value > most


@cache
def feat_clips() -> list[feats.FeatRun]:
    return feats.feat_runs(VoxelWorld(), HELD_OUT_SEED + 40_000, 2, 1, lambda count: None)


def test_feats_are_balanced_and_end_as_they_should() -> None:
    runs = feat_clips()
    assert len(runs) == 2 * len(feats.FEATS) == 32
    assert [run.success for run in runs].count(True) == 16
    for run in runs:
        assert run.success != ("not done" in run.run.label)
        assert run.run.actions.shape == (feats.TICKS, 25)


def test_feats_are_read_from_true_frames_and_not_from_frozen_ones(readers: Readers) -> None:
    runs = feat_clips()
    seen = np.stack([run.seen for run in runs])
    right = tasks.judged(readers, runs, seen)
    frozen = tasks.judged(readers, runs, np.repeat(seen[:, :1], FEAT_FRAMES, axis=1))
    done = np.array([run.success for run in runs])
    assert right.mean() >= FEATS_BAR
    assert frozen[done].mean() < 0.5, "nothing was achieved where nothing moved"
    with pytest.raises(ModelError, match="no feat"):
        readers.read_feats(["fly"], seen[:1])
