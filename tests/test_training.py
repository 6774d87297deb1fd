"""Shards, losses, phases: small, but the real thing from recordings to a model that dreams."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.model.config import preset
from reverie.model.errors import ModelError
from reverie.model.recall import camera_motion
from reverie.model.training import data
from reverie.model.training.data import Batch, ShardSet
from reverie.model.training.loop import LoopConfig
from reverie.model.training.losses import (
    choice_loss,
    fact_losses,
    frame_losses,
    haar_distance,
    texture_distance,
)
from reverie.model.training.phases import last_record, train_phase
from reverie.model.training.pictures import sheet, write_png
from reverie.model.training.rollout import conditions, dream, rollout, with_own_past
from reverie.model.training.shards import Shard, ShardWriter
from reverie.model.training.student import distill_losses, dreamed_ahead, with_own_dreams
from reverie.model.weights import load_model
from reverie.model.world_model import CANDIDATES, Choice, Prediction, WorldModel, causal_ages
from reverie.simulator.errors import ReverieError
from reverie.simulator.shards import ShardPlan, clips_to_shards, write_shard

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = preset("test")
PLAN = ShardPlan(size=CONFIG.size, rows=160, episode=(60, 80), edit_every=20.0)


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    """One small shard of the voxel world."""
    folder = tmp_path_factory.mktemp("shards")
    write_shard(folder / "00000", 0, 3, PLAN)
    return folder


@pytest.mark.slow
def test_a_shard_holds_what_was_played(shards) -> None:
    shard = Shard.open(shards / "00000")
    assert shard.rows == PLAN.rows
    assert shard.size == CONFIG.size
    columns = shard.columns
    assert columns["frames"].std() > 10
    assert np.isfinite(columns["eye"]).all()
    assert columns["edited"].sum() > 0
    episodes = columns["episode"][: shard.rows]
    assert set(np.unique(shard.starts)) == {
        int(np.flatnonzero(episodes == number)[0]) for number in np.unique(episodes)
    }


def test_the_same_numbers_play_the_same_shard(shards, tmp_path) -> None:
    write_shard(tmp_path / "again", 0, 3, PLAN)
    first, second = Shard.open(shards / "00000").columns, Shard.open(tmp_path / "again").columns
    assert all(np.array_equal(first[name], second[name], equal_nan=name in ("eye", "depth")) for name in first)


def test_unfinished_and_damaged_shards_are_no_shards(shards, tmp_path) -> None:
    ShardWriter(tmp_path / "open", 4, CONFIG.size)
    assert ShardSet([tmp_path], CONFIG).rescan() == 0
    with pytest.raises(ModelError):
        Shard.open(tmp_path / "open")
    with pytest.raises(ModelError):
        ShardSet([tmp_path], CONFIG).batch(np.random.default_rng(0), 1, 2, 0.0)
    with pytest.raises(ModelError):
        ShardSet([shards], preset("tiny"))


def test_windows_are_consecutive_rows_of_one_episode(tmp_path) -> None:
    writer = ShardWriter(tmp_path / "0", 120, CONFIG.size)
    for row in range(120):
        writer.append(
            frames=np.full((*CONFIG.size, 3), row, np.uint8),
            actions=np.full(25, row, np.float32),
            eye=np.full(5, np.nan, np.float32),
            depth=np.full((CONFIG.size[0] // 4, CONFIG.size[1] // 4), row, np.float16),
            events=np.full(5, row, np.uint8),
            edited=np.bool_(row % 2),
            episode=np.int32(row // 40),
        )
    writer.close("numbers")
    source = ShardSet([tmp_path], CONFIG)
    rng = np.random.default_rng(0)
    for cold in (0.0, 1.0):
        for _ in range(40):
            window = source.window(rng, 5, cold)
            rows = window["past"][:, 0, 0, 0].astype(int)
            target = rows[CONFIG.past]
            known = int(window["known"])
            assert (np.diff(rows[CONFIG.past - known :]) == 1).all()
            assert (rows[: CONFIG.past - known] == target - known).all()
            assert (target - known) // 40 == rows[-1] // 40
            assert known == 1 if cold else known == min(CONFIG.past, target % 40)
            assert (window["action"][:, 0] == np.arange(target - 1, target + 4)).all()
            assert (window["depth"][:, 0, 0] == np.arange(target - 1, target + 5)).all()
            assert (window["events"][:, 0] == np.arange(target, target + 5)).all()
            assert (window["edited"] == np.arange(target, target + 5) % 2).all()


def test_camera_motion_is_in_the_players_own_axes() -> None:
    # Looking along -x (yaw 90), a step to -x is ahead, to -z is to the right, up is minus down.
    eye = np.array([[0, 0, 0, 90, 10], [-2, 1, -3, 95, 7], [-2, 1, -3, -175, 7]], np.float32)
    turn, pitch, travel = camera_motion(eye, np.zeros((2, 25), np.float32))
    assert travel[0] == pytest.approx([3, -1, 2], abs=1e-5)
    assert turn[0] == pytest.approx([-3, 5])
    assert turn[1] == pytest.approx([0, 90])
    assert pitch == pytest.approx([10, 7])
    unknown = np.full((2, 5), np.nan, np.float32)
    action = np.zeros((1, 25), np.float32)
    action[0, 15:17] = 0.1, -0.2
    turn, pitch, travel = camera_motion(unknown, action)
    assert turn[0] == pytest.approx([2, -4])
    assert pitch[0] == 0
    assert np.isnan(travel).all()


def test_blur_costs_texture_and_a_shift_does_not() -> None:
    grain = torch.rand(1, 3, 96, 160, generator=torch.Generator().manual_seed(0))
    shifted = grain.roll((1, 1), (-2, -1))
    blurred = torch.nn.functional.avg_pool2d(grain, 3, stride=1, padding=1)
    assert texture_distance(grain, grain, grain) == 0
    assert texture_distance(shifted, grain, grain) < 0.5 * texture_distance(blurred, grain, grain)
    assert haar_distance(shifted - grain) > haar_distance(blurred - grain)  # which is why it is needed


def test_the_right_candidate_is_found_however_seldom_it_is_chosen() -> None:
    torch.manual_seed(0)
    pictures = torch.rand(1, 1, CANDIDATES, 3, 16, 16) * 2 - 1
    target, one, right = pictures[:, :, 2], torch.ones(1, 1), torch.zeros(CANDIDATES)
    right[2] = 1
    logits = torch.zeros(1, 1, CANDIDATES, 16, 16).index_fill(2, torch.tensor([2]), -8.0).requires_grad_(True)
    mixture = (logits.softmax(2)[:, :, :, None] * pictures).sum(2)
    losses = {
        "mixed": (mixture - target).abs().mean(),
        "chosen": choice_loss(Choice(pictures.unbind(2), logits), target, torch.zeros_like(target), one),
    }
    pulls = {
        name: float(torch.autograd.grad(loss, logits, retain_graph=True)[0][:, :, 2].abs().mean())
        for name, loss in losses.items()
    }
    assert pulls["chosen"] > 100 * pulls["mixed"]
    sure = Choice(pictures.unbind(2), (60 * (right - 1))[None, None, :, None, None].expand_as(logits))
    assert float(choice_loss(sure, target, target, one)) == pytest.approx(0, abs=1e-4)
    assert float(losses["chosen"].detach()) > 1
    moves = [
        Choice(pictures.unbind(2), (60 * torch.eye(CANDIDATES)[way])[None, None, :, None, None].expand_as(logits))
        for way in (0, 1)
    ]
    nearer = pictures[:, :, 0]
    assert choice_loss(moves[0], nearer, nearer, one) == choice_loss(moves[1], nearer, nearer, one), "one and the same"


def test_a_frame_is_mixed_of_what_training_is_shown(shards) -> None:
    torch.manual_seed(0)
    batch, model = ShardSet([shards], CONFIG).batch(np.random.default_rng(1), 2, 3, 0.0), WorldModel(CONFIG).train()
    given = conditions(batch, model, torch.zeros(2), torch.Generator())
    level = torch.zeros(2, 3)
    out = model(given.target, level, level + 1, given.context, causal_ages(2, 3, CONFIG.memory, level.device))
    assert out.choice is not None and out.choice.logits.requires_grad
    assert len(out.choice.pictures) == CANDIDATES and not any(picture.requires_grad for picture in out.choice.pictures)
    mixed = (out.choice.logits.softmax(2)[:, :, :, None] * torch.stack(out.choice.pictures, dim=2)).sum(2)
    assert torch.allclose(mixed, out.frame, atol=1e-4)
    assert "choice" in distill_losses(None, 1, 0.0)(model, batch, torch.Generator())


def perfect(batch: Batch) -> Prediction:
    """What a model would say that knows the truth."""
    from reverie.model import geometry

    b, t = batch.action.shape[:2]
    depth = batch.depth[:, 1:].clamp(max=64.0)
    size = tuple(batch.past.shape[2:4])
    shift, _ = geometry.travel_shift(
        depth.flatten(0, 1), batch.pitch.flatten(), batch.turn.flatten(0, 1), batch.travel.flatten(0, 1), size, 70.0
    )
    return Prediction(
        frame=torch.zeros(1),
        flow=shift.unflatten(0, (b, t)),
        depth=torch.log1p(depth),
        travel=batch.travel,
        events=(batch.events.clamp(max=1) * 2 - 1) * 30,
        pitch=(batch.pitch + batch.turn[..., 0]) / 90,
        memory=[],
    )


def test_the_truth_has_no_loss_and_anything_else_has(shards) -> None:
    batch = ShardSet([shards], CONFIG).batch(np.random.default_rng(1), 8, 4, 0.0)
    truth = perfect(batch)
    for name, loss in fact_losses(truth, batch, CONFIG).items():
        assert float(loss) < 1e-3, name
    wrong = truth._replace(
        flow=truth.flow + 0.1,
        depth=truth.depth + 1,
        travel=truth.travel + 1,
        events=-truth.events,
        pitch=truth.pitch + 1,
    )
    for name, loss in fact_losses(wrong, batch, CONFIG).items():
        assert float(loss) > 0.5, name


def test_detail_is_asked_for_where_there_was_some() -> None:
    grain = torch.rand(1, 3, 96, 160, generator=torch.Generator().manual_seed(0))
    smooth = torch.full_like(grain, grain.mean())
    lattice = smooth.clone()
    lattice[..., ::2, ::2] += 0.25
    unseen = torch.zeros_like(grain)
    assert texture_distance(smooth, grain, unseen) < 0.1 * texture_distance(lattice, grain, unseen)
    assert texture_distance(lattice, grain, grain) < texture_distance(smooth, grain, grain)


def test_the_known_frame_turns_beneath_the_screen(shards) -> None:
    model = WorldModel(CONFIG)
    overlay = torch.zeros(CONFIG.size)
    overlay[-4:] = 1
    model.learn_screen({CONFIG.size: overlay})
    batch = ShardSet([shards], CONFIG).batch(np.random.default_rng(1), 2, 3, 0.0)
    still, right = torch.zeros_like(batch.turn), torch.zeros_like(batch.turn)
    right[..., 1] = 40.0
    generator = torch.Generator().manual_seed(0)
    given = conditions(batch._replace(turn=still), model, torch.zeros(2), generator)
    assert torch.allclose(given.known, given.before, atol=1e-6)
    known = conditions(batch._replace(turn=right), model, torch.zeros(2), generator).known
    assert torch.equal(known[..., -4:, :], given.before[..., -4:, :])
    assert (known[..., :-4, -8:] == 0).all()  # what the turn brings into view was not known
    assert (known[..., :-4, :8] != 0).float().mean() > 0.9


def test_edits_are_not_asked_for() -> None:
    frames = torch.rand(1, 2, 3, 16, 16)
    target = frames.clone()
    target[:, 1] += 1
    usable = frame_losses(frames, target, frames, frames, torch.tensor([[1.0, 0.0]]))
    assert float(usable["frame"]) == 0
    both = frame_losses(frames, target, frames, frames, torch.tensor([[1.0, 1.0]]))
    assert float(both["frame"]) > 0.5


def test_the_haar_distance_sees_detail_and_not_brightness() -> None:
    flat, board = torch.full((1, 3, 16, 16), 0.5), torch.zeros(1, 3, 16, 16)
    board[..., ::2, ::2] = 1.0
    assert float(haar_distance(flat)) == pytest.approx(0.0, abs=1e-6)
    assert float(haar_distance(board)) > 0.1


def test_a_rollout_is_its_own_past(shards) -> None:
    torch.manual_seed(0)
    model = WorldModel(CONFIG).eval()
    batch = ShardSet([shards], CONFIG).batch(np.random.default_rng(2), 2, 6, 0.0)
    batch = batch._replace(edited=torch.zeros_like(batch.edited))
    dreamed = dream(model, batch, 1, torch.Generator().manual_seed(1))
    first = dreamed.frames
    again = rollout(model, batch, 1, torch.Generator().manual_seed(1))
    assert torch.equal(first, again)
    assert first.shape == (2, 6, *CONFIG.size, 3)
    own = with_own_past(batch, dreamed)
    assert torch.equal(own.past[:, -6:], first)
    assert torch.equal(own.past[:, : CONFIG.past], batch.past[:, : CONFIG.past])
    assert torch.equal(own.pace[:, 0], batch.pace[:, 0]) and (own.pace[:, 1:, 0] == 1).all()
    # The later frames follow from the dream alone: other truths make no difference.
    blind = batch._replace(
        past=torch.cat((batch.past[:, : CONFIG.past], torch.zeros_like(first)), dim=1),
        pace=torch.cat((batch.pace[:, :1], torch.zeros_like(batch.pace[:, 1:])), dim=1),
    )
    assert torch.equal(rollout(model, blind, 1, torch.Generator().manual_seed(1)), first)


def test_a_dream_goes_on_from_the_frame_that_somebody_edits(shards) -> None:
    torch.manual_seed(0)
    model = WorldModel(CONFIG).eval()
    batch = ShardSet([shards], CONFIG).batch(np.random.default_rng(2), 2, 6, 0.0)
    edited = torch.zeros_like(batch.edited)
    alone = dream(model, batch._replace(edited=edited), 1, torch.Generator().manual_seed(1))
    edited[1, 2] = True
    changed = dream(model, batch._replace(edited=edited), 1, torch.Generator().manual_seed(1))
    assert torch.equal(changed.frames[0], alone.frames[0]) and torch.equal(changed.frames[1, :2], alone.frames[1, :2])
    assert torch.equal(changed.frames[1, 2], batch.past[1, CONFIG.past + 2])
    assert not changed.pace[1, 3].any() and bool((changed.pace[1, 4:, 0] == 1).all())
    assert not torch.equal(changed.frames[1, 3], alone.frames[1, 3])


@pytest.mark.slow
def test_pasts_of_several_steps_are_dreamed_at_once(shards) -> None:
    torch.manual_seed(0)
    model = WorldModel(CONFIG)
    windows = ShardSet([shards], CONFIG).batch(np.random.default_rng(2), 8, 6, 0.0)
    lessons = dreamed_ahead(model, windows, 1, 0.75, 4, torch.Generator().manual_seed(1))
    assert [lesson.own for lesson in lessons] == [2, 2, 1, 1] and model.training
    _, mixed = with_own_dreams(model, windows, 1, 0.75, torch.Generator().manual_seed(1))
    rows = [0, 4, 1, 5, 2, 6, 3, 7]
    for name, true, seen in zip(Batch._fields, windows, mixed, strict=True):
        assert torch.equal(torch.cat([getattr(lesson.true, name) for lesson in lessons]), true[rows]), name
        assert torch.equal(torch.cat([getattr(lesson.seen, name) for lesson in lessons]), seen[rows]), name
    for lesson in lessons:
        dreamed = (lesson.seen.past != lesson.true.past).flatten(1).any(1)
        assert dreamed.tolist() == [True] * lesson.own + [False] * (2 - lesson.own)
        losses = distill_losses(None, 1)(model, lesson, torch.Generator().manual_seed(2))
        assert all(torch.isfinite(value) for value in losses.values())


@pytest.mark.slow
def test_training_learns_resumes_and_leaves_a_model(shards, tmp_path) -> None:
    often = LoopConfig(log_seconds=0.0, frames=60 * 48)
    folder = train_phase("dynamics", [shards], tmp_path, CONFIG, seconds=300, seed=0, loop=often)
    log = [json.loads(line) for line in (tmp_path / "dynamics" / "log.jsonl").read_text().splitlines()]
    depth = [record["losses"]["depth"] for record in log]
    assert np.mean(depth[-len(depth) // 3 :]) < np.mean(depth[: len(depth) // 3])
    steps = last_record(tmp_path / "dynamics")["step"]
    more = replace(often, frames=80 * 48)
    train_phase("dynamics", [shards], tmp_path, CONFIG, seconds=300, seed=0, resume=True, loop=more)
    resumed = last_record(tmp_path / "dynamics")
    assert resumed["step"] > steps
    assert len((tmp_path / "dynamics" / "log.jsonl").read_text().splitlines()) > len(log)
    train_phase("distill", [shards], tmp_path, CONFIG, seconds=300, seed=0, loop=LoopConfig(frames=6 * 48))
    for phase in ("dynamics", "distill"):
        for name in ("losses.png", "samples.png"):
            assert (tmp_path / phase / name).read_bytes().startswith(b"\x89PNG")
    from reverie.simulator.action import Action
    from reverie.simulator.dream import DreamWorld

    world = DreamWorld.load(str(folder), backend="torch", device="cpu")
    state = world.start(np.full((*CONFIG.size, 3), 90, np.uint8), 0)
    assert world.frame(world.step(state, Action(forward=True))).shape == (*CONFIG.size, 3)


@pytest.mark.slow
def test_compiled_kernels_train_the_same_model(shards, tmp_path) -> None:
    weights = []
    for kernels in (None, "aot_eager"):
        out = tmp_path / str(kernels)
        loop = LoopConfig(batch=2, frames=64, compiled=kernels)
        folder = train_phase("dynamics", [shards], out, CONFIG, seconds=300, seed=0, loop=loop)
        train_phase("distill", [shards], out, CONFIG, seconds=300, seed=0, loop=loop)
        weights.append(load_model(folder).state_dict())
        assert 0 <= last_record(out / "distill")["waited"] <= 1
    for name, plain in weights[0].items():
        assert torch.allclose(plain, weights[1][name], atol=2e-3), name


@pytest.mark.slow
def test_two_processes_train_one_model(shards, tmp_path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = (
        "import sys, hashlib, torch; from pathlib import Path; torch.set_num_threads(1)\n"
        "from reverie.model.config import preset; from reverie.model.training.phases import train_phase\n"
        "from reverie.model.training.loop import LoopConfig\n"
        f"out = Path({str(tmp_path)!r}); rank = __import__('os').environ['RANK']\n"
        f"train_phase('dynamics', [Path({str(shards)!r})], out, preset('test'), 300.0, loop=LoopConfig(frames=400))\n"
    )
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen([sys.executable, "-c", code], env={**environment, "RANK": str(rank)}, stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()[-2000:]
    assert (tmp_path / "model" / "teacher.safetensors").is_file()
    assert last_record(tmp_path / "dynamics")["step"] > 0


def test_clips_become_shards(tmp_path) -> None:
    from reverie.simulator.record import record

    record(tmp_path / "clips", episodes=1, ticks=24, seed=4, size=CONFIG.size, player="spinner")
    (tmp_path / "clips" / "broken.mp4").write_bytes(b"no film")
    (tmp_path / "clips" / "broken.jsonl").write_text("{}\n")
    with pytest.warns(UserWarning, match="broken"):
        assert clips_to_shards(tmp_path / "clips", tmp_path / "shards", CONFIG.size) == 1
    source = ShardSet([tmp_path / "shards"], replace(CONFIG))
    batch = source.batch(np.random.default_rng(0), 2, 4, 0.0)
    assert batch.depth.isnan().all()
    assert float(batch.turn.abs().max()) > 1.0


@pytest.mark.slow
def test_batches_take_up_shards_that_are_recorded_meanwhile(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(data, "RESCAN_SECONDS", 0.0)
    write_shard(tmp_path / "0", 0, 3, ShardPlan(size=CONFIG.size, rows=64, episode=(64, 64)))
    source = ShardSet([tmp_path], CONFIG)
    batches = source.batches(np.random.default_rng(0), 1, 2, 0.0)
    next(batches)
    write_shard(tmp_path / "1", 1, 3, ShardPlan(size=CONFIG.size, rows=64, episode=(64, 64)))
    for _ in range(5):
        next(batches)
    assert len(source.shards) == 2


@pytest.mark.slow
def test_frames_of_several_shapes_are_recorded_and_learned_from(tmp_path) -> None:
    plan = replace(PLAN, shapes=CONFIG.shapes)
    assert [plan.size_of(index) for index in range(8)] == 3 * [CONFIG.size] + [(48, 32)] + 3 * [CONFIG.size] + [
        (48, 32)
    ]
    for index in (2, 3):
        write_shard(tmp_path / str(index), index, 3, plan)
    source = ShardSet([tmp_path], CONFIG)
    assert source.rows() == {CONFIG.size: 160, (48, 32): 160}
    assert source.batch(np.random.default_rng(0), 2, 3, 0.0).past.shape[2:4] == CONFIG.size
    rng, generator = np.random.default_rng(1), torch.Generator().manual_seed(0)
    made = source.batches(rng, 2, 3, 0.0)
    shapes = set()
    for _ in range(12):
        batch = next(made)
        shapes.add(tuple(batch.past.shape[2:4]))
        assert batch.key.shape[2:4] == batch.past.shape[2:4]
        assert batch.depth.shape[2:] == (batch.past.shape[2] // 4, batch.past.shape[3] // 4)
    made.close()
    assert shapes == {CONFIG.size, (48, 32)}
    tall = source.batch(rng, 2, 3, 0.0, size=(48, 32))
    losses = distill_losses(None, 1, own_past=1.0)(WorldModel(CONFIG), tall, generator)
    assert all(bool(torch.isfinite(loss)) for loss in losses.values())


@pytest.mark.slow
def test_processes_make_the_batches_that_an_accelerator_eats(shards) -> None:
    rng = np.random.default_rng(0)
    made = ShardSet([shards], CONFIG).batches(rng, 2, 4, 0.0, loaders=2)
    first = [next(made) for _ in range(4)]
    made.close()
    assert all(batch.past.shape == (2, CONFIG.past + 4, *CONFIG.size, 3) for batch in first)
    assert not any(torch.equal(first[0].past, other.past) for other in first[1:])


@pytest.mark.slow
def test_train_works_through_stages_and_says_where_it_stands(tmp_path, monkeypatch, capsys) -> None:
    from reverie.demos import cli, queue

    stages = [queue.Stage("one", 0.0, lambda minutes: {"figure": 1.0}), queue.Stage("two", 1.0, lambda minutes: {})]
    monkeypatch.setattr(queue, "make_stages", lambda *arguments, **more: stages)
    out = ["--out", str(tmp_path / "mine"), "--json"]
    assert cli.main(["train", "one", "--minutes", "1", *out]) == 0
    made = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert made["ledger"]["one"]["figures"] == {"figure": 1.0} and "two" not in made["ledger"] and "model" not in made
    assert cli.main(["train", "status", *out]) == 0
    stands = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert stands["working"] is None and stands["stages"]["two"] == {"wanted": 1.0, "hours": 0.0}
    assert cli.main(["train", "three", *out]) == 2


def test_train_says_what_it_cannot_do(tmp_path) -> None:
    from reverie.demos.train import train

    for arguments in (
        {"phase": "tokenizer"},
        {"phase": "all", "data": str(tmp_path)},
        {"phase": "all", "preset_name": "x"},
    ):
        with pytest.raises(ReverieError) as caught:
            train(**{"out": str(tmp_path / "out"), "minutes": 0.01, **arguments})
        assert "\n" not in str(caught.value)


def test_pictures_are_readable(tmp_path) -> None:
    from PIL import Image

    picture = sheet(
        [np.random.default_rng(0).integers(0, 256, (3, 8, 10, 3), np.uint8), np.zeros((2, 8, 10, 3), np.uint8)]
    )
    write_png(tmp_path / "a.png", picture)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), picture)
