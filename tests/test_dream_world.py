"""The shipped dream of the second edition behind the World protocol: starts, steps, edits, saves, batches."""

import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from reverie.model.cells import UNKNOWN
from reverie.model.dream.model_folder import fingerprint, open_dream
from reverie.model.errors import ModelError
from reverie.model.weights import BUNDLED
from reverie.simulator import Action, Simulator
from reverie.simulator.clips import Clip
from reverie.simulator.dream_world import DreamWorld
from reverie.simulator.errors import EditError, SaveError, SceneError
from reverie.simulator.voxel.world import VoxelWorld

pytestmark = pytest.mark.slow
MODEL = "tiny"
WALK = [Action(forward=True, sprint=k > 5, camera=(0.0, 2.0 * (k % 3 - 1))) for k in range(12)]
HELD_OUT = 1_234_567


@pytest.fixture(scope="module")
def world():
    return DreamWorld.load(MODEL, device="cpu")


@pytest.fixture(scope="module")
def truth():
    return Simulator(VoxelWorld(hud=False), seed=HELD_OUT)


@pytest.fixture(scope="module")
def pictured(world, truth):
    """A dream that began with a picture of a world that it never saw."""
    return Simulator(world, truth.frame, seed=5)


@pytest.fixture
def dream(pictured):
    return pictured.branch()


def frames_of(sim, actions=WALK):
    return [sim.step(action).copy() for action in actions]


def same(one, two):
    return all((a == b).all() for a, b in zip(one, two, strict=True))


def psnr(one, two):
    return 10 * np.log10(255**2 / np.mean((one.astype(float) - two.astype(float)) ** 2))


def clip_of(sim, actions):
    frames, poses = [sim.frame], [sim.pose]
    for action in actions:
        frames.append(sim.step(action))
        poses.append(sim.pose)
    return Clip(np.stack(frames), [*actions, Action()], np.stack(poses).astype(np.float32))


def test_a_dream_begins_with_the_picture_itself(dream, truth):
    assert psnr(dream.frame, truth.frame) > 25
    assert dream.tick == 0 and dream.frame.dtype == np.uint8 and not dream.frame.flags.writeable


def test_the_same_seed_and_actions_give_the_same_bytes(world, truth, pictured):
    again = Simulator(world, truth.frame, seed=5)
    one, other = pictured.branch(), pictured.branch()
    first = frames_of(one)
    assert same(first, frames_of(again)) and same(first, frames_of(other))
    one.rewind(7)
    assert same(first[-7:], frames_of(one, WALK[-7:]))


def test_a_save_goes_on_as_if_nothing_had_happened(dream, world, tmp_path):
    frames_of(dream, WALK[:6])
    dream.save(tmp_path / "a.reverie")
    assert (tmp_path / "a.reverie").stat().st_size < 4 << 20
    opened = Simulator.open(tmp_path / "a.reverie", world)
    assert (opened.frame == dream.frame).all()
    assert same(frames_of(dream, WALK[6:]), frames_of(opened, WALK[6:]))


def test_a_save_opens_in_another_process(dream, tmp_path):
    dream.save(tmp_path / "a.reverie")
    code = (
        "import hashlib, sys\nfrom reverie.simulator import Action, Simulator\n"
        "sim = Simulator.open(sys.argv[1])\n"
        "for _ in range(3): sim.step(Action(forward=True))\n"
        "print(hashlib.sha256(sim.frame.tobytes()).hexdigest())\n"
    )
    import hashlib

    frames_of(dream, [Action(forward=True)] * 3)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.reverie")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == hashlib.sha256(dream.frame.tobytes()).hexdigest()


@pytest.mark.parametrize("name", ["cells", "cells_places", "actors_body", "paint_texels", "complete"])
def test_damaged_saves_get_one_clear_line(world, dream, name):
    meta, arrays = world.pack(dream.state)
    meta = json.loads(json.dumps(meta))
    with pytest.raises(SaveError, match="save: "):
        world.unpack(meta, {key: value for key, value in arrays.items() if key != name})
    with pytest.raises(SaveError, match="save: "):
        world.unpack(meta, {**arrays, name: arrays[name].astype(np.float16)[:-1]})


def test_saves_of_nonsense_are_refused(world, dream):
    meta, arrays = world.pack(dream.state)
    for bad in ({"seed": -1}, {"tick": 1.5}, {"hour": 2}, {"events": ["boom"]}, {"actors": {}}, {"pending": 3}):
        with pytest.raises(SaveError, match="save: "):
            world.unpack({**meta, **bad}, arrays)
    strange = arrays["cells"].copy()
    strange.flat[0] = len(world.block_names)
    with pytest.raises(SaveError, match="token"):
        world.unpack(meta, {**arrays, "cells": strange})


def test_a_batch_is_many_singles(world, pictured):
    states = [pictured.state, world.set_time(pictured.state, 0.8), replace(pictured.state, seed=77, cache={})]
    batch, singles = world.stack(states), list(states)
    for action in WALK[:4]:
        batch = world.step_batch(batch, np.repeat(action.to_vector()[None], 3, 0))
        singles = [world.step(state, action) for state in singles]
    assert same(world.frames(batch), [world.frame(state) for state in singles])
    assert world.events_batch(batch).shape == (3, 5)
    assert world.take(world.put(batch, 1, states[0]), 1) is states[0]
    with pytest.raises(ValueError, match="actions"):
        world.step_batch(batch, np.zeros((2, 25), np.float32))


def test_what_is_painted_stays_where_it_is(dream):
    before = dream.frame
    mask = np.zeros(before.shape[:2], bool)
    mask[60:80, 70:100] = True
    red = np.where(mask[..., None], np.array([230, 20, 40], np.uint8), before)
    seen = dream.edit(red, mask)
    assert psnr(seen[64:76, 74:96], red[64:76, 74:96]) > 25  # the rim is filtered with what is beside it
    for turn in (9.0, -9.0):
        for _ in range(5):
            dream.step(Action(camera=(0.0, turn)))
    assert psnr(dream.frame[mask], seen[mask]) > 24
    dream.rewind(10)
    assert (dream.frame == seen).all()


def test_a_sketch_is_dreamed_into_the_world(dream):
    before = dream.frame
    mask = np.zeros(before.shape[:2], bool)
    mask[40:80, 60:110] = True
    sketch = np.where(mask[..., None], np.array([40, 160, 40], np.uint8), before)
    shown = dream.edit(sketch, mask, strength=1.0)
    assert (shown != sketch).any(axis=2)[mask].mean() > 0.2, "the sketch itself came back"
    assert (shown != before).any(axis=2)[mask].mean() > 0.2, "nothing changed"


def test_dreaming_anew_gives_candidates(pictured):
    mask = np.zeros(pictured.frame.shape[:2], bool)
    mask[50:90, 30:130] = True
    shown = []
    for seed in (1, 2):
        other = pictured.branch()
        shown.append(other.redream(mask, seed))
    assert (shown[0] != pictured.frame).any() and (shown[0] != shown[1]).any()


def test_blocks_are_set_and_told(dream):
    x, y, z = (int(np.floor(value)) for value in dream.pose[:3])
    dream.set_blocks({(x, y + 5, z): "stone", (x + 1, y + 5, z): "lamp"})
    assert dream.get_block(x, y + 5, z) == "stone" and dream.get_block(x + 1, y + 5, z) == "lamp"
    assert dream.get_block(x, -3, z) == "unknown"
    for bad in ({(x, 64, z): "stone"}, {(x, y, z): "cheese"}):
        with pytest.raises(EditError):
            dream.set_blocks(bad)


def test_what_a_dream_knows_of_itself(dream, world):
    depth, ids = dream.depth(), dream.block_ids()
    assert depth.shape == ids.shape == dream.frame.shape[:2] and (depth > 0).all()
    assert dream.pose.shape == (5,) and dream.entities.shape[1] == 6
    assert set(world.hotbar()) <= set(world.block_names) and world.icon("stone").shape == (32, 32, 3)
    noon, night = dream.set_time(0.5).mean(), dream.set_time(0.0).mean()
    assert night < 0.6 * noon
    from_above = dream.view((*dream.pose[:3] + (0, 20, 0), 0, 80), size=(64, 64))
    assert from_above.shape == (64, 64, 3)
    for bad in ((np.nan, 0, 0, 0, 0), (0, 0, 0, 0, np.inf)):
        with pytest.raises(EditError):
            dream.view(bad, size=(64, 64))


def test_a_body_walks_falls_and_is_held_up(world):
    """On a floor in the air, from cells that are known."""
    sim = Simulator(world, "new", seed=3)
    x, y, z = (int(np.floor(value)) for value in sim.pose[:3])
    tower = {(x + i, y + 10, z + k): "stone" for i in range(-3, 4) for k in range(-3, 4)}
    sim.set_blocks(tower)
    state = world._dynamics.spawn((x + 0.5, y + 11.0, z + 0.5), 0.0, 0.0)
    sim = Simulator._at(world, replace(sim.state, actors=state, cache={}), sim._past.config)
    for _ in range(10):
        sim.step(Action())
    assert abs(sim.pose[1] - (y + 11)) < 0.01
    for _ in range(30):
        sim.step(Action(forward=True))
    assert sim.pose[1] < y + 10, "walked off the edge and fell"


def test_a_dream_from_nothing(world):
    one, two = (Simulator(world, "new", seed=seed) for seed in (3, 4))
    assert (one.frame != two.frame).any()
    assert (one.state.cells.window((-16, 0, -16), (32, 64, 32)) != UNKNOWN).mean() > 0.5
    assert (Simulator(world, "new", seed=3).frame == one.frame).all()


def test_a_clip_is_gone_on_from(world, truth):
    sim = truth.branch()
    clip = clip_of(sim, WALK)
    dream = Simulator(world, clip, seed=1)
    assert psnr(dream.frame, clip.frames[-1]) > 22
    np.testing.assert_allclose(dream.pose, sim.pose, atol=1e-4)
    bare = Simulator(world, replace(clip, poses=None), seed=1)
    assert psnr(bare.frame, clip.frames[-1]) > 22


def test_nothing_but_pictures_and_places_of_a_recording_reaches_a_dream(world, truth):
    """Clips that differ only in what a recording tells besides give the same dream."""
    clip = clip_of(truth.branch(), WALK)
    told = replace(clip, events=[[{"type": "dig", "block": "log"}]] * len(clip), layout="vpt")
    assert (Simulator(world, told, seed=1).frame == Simulator(world, clip, seed=1).frame).all()


def test_bad_starts_and_sizes(world):
    with pytest.raises(SceneError, match="seed"):
        world.start("new", -1)
    with pytest.raises(SceneError, match="unknown"):
        world.start("nowhere", 1)
    with pytest.raises(SceneError, match="multiples"):
        DreamWorld.load(MODEL, size=(97, 160))
    with pytest.raises(ModelError, match="backend"):
        DreamWorld.load(MODEL, backend="torch")


def test_frames_of_another_size(pictured):
    large = DreamWorld.load(MODEL, device="cpu", size=(192, 320))
    frame = large.frame(pictured.state)
    assert frame.shape == (192, 320, 3)
    small = frame.reshape(96, 2, 160, 2, 3).mean((1, 3))
    assert psnr(small, pictured.frame) > 18


def test_models_that_are_damaged_are_refused(tmp_path):
    for missing in ("config.json", "frame/frame.json", "lift/lift.json", "dynamics/dynamics.safetensors"):
        folder = tmp_path / missing.replace("/", "-")
        shutil.copytree(BUNDLED / MODEL, folder)
        (folder / missing).unlink()
        with pytest.raises(ModelError):
            open_dream(folder, "cpu")
    folder = tmp_path / "words"
    shutil.copytree(BUNDLED / MODEL, folder)
    config = json.loads((folder / "config.json").read_text())
    config["vocabulary"]["names"][0] = "nothing"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="vocabulary"):
        open_dream(folder, "cpu")
    assert fingerprint(folder) != fingerprint(BUNDLED / MODEL)


def test_saves_hold_no_code(dream, tmp_path):
    dream.save(tmp_path / "a.reverie")
    with zipfile.ZipFile(tmp_path / "a.reverie") as archive:
        assert sorted(archive.namelist()) == ["meta.json", "state.safetensors"]


def test_who_stands_in_a_scene_goes_on_standing(world):
    for name in ("village", "plains", "forest", "snow"):
        sim = Simulator(world, name, seed=5)
        height = sim.pose[1]
        for _ in range(10):
            sim.step(Action())
        assert sim.pose[1] == pytest.approx(height, abs=0.05), name
