"""Votes, paint, frame inputs, exported networks, the trainer and the queue, each with tiny networks."""

import json
import os
import signal

import numpy as np
import pytest
import torch

from reverie.model.caster.camera import Camera, camera_basis, camera_rays, pixel_scale
from reverie.model.caster.gbuffer import cast
from reverie.model.caster.scene import SceneCache, TokenTables
from reverie.model.cells import UNKNOWN, CellMap, Vocabulary
from reverie.model.dream.paint import (
    Paint,
    PaintIndex,
    camera_of_card,
    card_cover,
    card_of_view,
    composite,
    paint_from_picture,
)
from reverie.model.errors import ReverieError
from reverie.model.export_networks import export_frames, export_lifter
from reverie.model.frame.config import FrameConfig
from reverie.model.frame.features import BOX_ROW, CRACK_ROW, DETAILS, FACE_TEXELS, frame_input, look_up
from reverie.model.frame.network import FrameModel
from reverie.model.frame.runtime import FrameRunner
from reverie.model.lift.lift import as_answer, lift
from reverie.model.lift.network import CLEAR_STEP, RISK, LiftConfig, Lifter, crossings
from reverie.model.lift.runtime import OnnxLift
from reverie.model.lift.torch_lift import TorchLift
from reverie.model.lift.vote import Ballot
from reverie.model.training.queue import PAUSE, Stage, locked, read_ledger, run_queue, status
from reverie.model.training.trainer import TrainerConfig, load_ema, train_part

SIZE = (32, 48)
WORDS = Vocabulary(("air", "rock", "sand"), (False, True, True), (False,) * 3, (False,) * 3, (False,) * 3)
CAMERA = Camera((8.3, 12.6, 4.4), 20.0, 10.0)
FRAME = FrameConfig(3, 0, texture=4, kind=3, light=8, shade=8, lobes=2, channels=(8, 16))
LIFT = LiftConfig(4, channels=(8, 8, 16, 16, 16), blocks=(0, 1, 1, 1, 1), attention=1, feature=16)


@pytest.fixture(scope="module")
def land():
    box = np.zeros((96, 64, 96), np.uint8)
    box[:, :11] = 1
    box[:, 10] = 2
    box[40:60, 11:14, 52:54] = 1
    return CellMap().write((-40, 0, -40), box)


@pytest.fixture(scope="module")
def gbuffer(land):
    scene = SceneCache(TokenTables.of(WORDS)).scene(land, CAMERA.position[0], CAMERA.position[2])
    return cast(scene, CAMERA, SIZE)


@pytest.fixture(scope="module")
def inputs(gbuffer):
    return frame_input(gbuffer, FRAME.layout, CAMERA.position, 0.5, pixel_scale(SIZE[0]))


def test_texels_are_weighted_to_one_and_belong_to_their_face(gbuffer, inputs):
    assert np.allclose(inputs.weights.sum(3), 1, atol=1e-5) and (inputs.weights >= 0).all()
    sky = gbuffer.faces == 6
    surface = inputs.texels // FACE_TEXELS
    wanted = gbuffer.tokens.astype(int) * 6 + gbuffer.faces
    assert (surface[~sky] == wanted[~sky][:, None]).all()
    assert (inputs.texels[sky] >= FRAME.layout.sky_row).all() and inputs.texels.max() < FRAME.layout.rows
    assert (
        (inputs.details[~sky] == 0).all() and (inputs.details[sky] >= BOX_ROW).all() and inputs.details.max() < DETAILS
    )
    assert np.isfinite(inputs.numbers).all() and np.abs(inputs.numbers).max() < 10


@pytest.mark.parametrize("yaw, pitch", [(0.0, 0.0), (130.0, 40.0), (-75.0, -60.0)])
def test_a_card_tells_the_camera_that_it_was_made_for(yaw, pitch):
    camera = Camera((8.3, 12.6, 4.4), yaw, pitch)
    card = card_of_view(np.zeros((32, 48, 3), np.uint8), camera, np.full((32, 48), 255, np.uint8), 48.0)
    found = camera_of_card(card)
    assert np.allclose(found.position, camera.position, atol=1e-6)
    assert np.allclose((found.yaw, found.pitch), (yaw, pitch), atol=1e-6)


def test_a_crack_is_told_where_it_is(gbuffer):
    cell = gbuffer.cells[20, 20, 0]
    crack = (int(cell[0]), int(cell[1]), int(cell[2]), 0.4)
    cracked = frame_input(gbuffer, FRAME.layout, CAMERA.position, 0.5, pixel_scale(SIZE[0]), None, crack)
    here = (gbuffer.cells == cell).all(3) & (gbuffer.faces != 6)
    assert (cracked.numbers[..., 24][here] == np.float32(0.4)).all() and (cracked.numbers[..., 24][~here] == 0).all()
    assert ((cracked.details >= CRACK_ROW) & (cracked.details < BOX_ROW) == here).all()


def test_the_compiled_look_up_equals_torch(inputs):
    table = torch.randn(FRAME.layout.rows, 4)
    texels, weights = inputs.texels.reshape(-1, 8), inputs.weights.reshape(-1, 8)
    out = np.empty((len(texels), 4), np.float32)
    look_up(texels, weights, table.numpy(), out)
    wanted = torch.nn.functional.embedding_bag(
        torch.from_numpy(texels), table, per_sample_weights=torch.from_numpy(weights), mode="sum"
    )
    assert np.abs(out - wanted.numpy()).max() < 1e-5


@pytest.mark.slow
def test_exported_frames_equal_torch(tmp_path, inputs):
    torch.manual_seed(0)
    model = FrameModel(FRAME)
    export_frames(model, tmp_path, SIZE)
    batch = [inputs.texels, inputs.weights, inputs.kinds, inputs.details, inputs.numbers, inputs.rays, inputs.hour]
    with torch.no_grad():
        wanted = model(*(torch.from_numpy(array)[None] for array in batch))[0].permute(1, 2, 0).numpy()
    runner = FrameRunner(tmp_path)
    drawn = runner.draw(inputs)
    assert drawn.std() > 0 and np.abs(drawn - wanted).max() < 1e-4
    assert runner.draw(inputs).tobytes() == drawn.tobytes()


@pytest.mark.slow
def test_exported_lifter_equals_torch(tmp_path):
    torch.manual_seed(0)
    lifter = Lifter(LIFT)
    export_lifter(lifter, tmp_path, SIZE)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*SIZE, 3), np.uint8)
    rays = camera_rays(camera_basis(10.0, 5.0), SIZE)
    unit = (rays / np.linalg.norm(rays, axis=2, keepdims=True)).astype(np.float32)
    eye = np.array([0.2, 0.6, 0.7], np.float32)
    answers = []
    for network in (OnnxLift(tmp_path), TorchLift(lifter)):
        feature = network.encode(image, unit)
        assert len(feature) == SIZE[0] * SIZE[1]
        answers.append(network.decode(feature, eye, unit.reshape(-1, 3)))
    found, true = answers
    assert len(np.unique(found.distance)) > 1 and np.isinf(found.distance).any() == np.isinf(true.distance).any()
    assert np.isclose(found.distance, true.distance).mean() > 0.99  # infinity is close to itself
    assert np.isclose(found.clear, true.clear).mean() > 0.99 and len(np.unique(found.clear)) > 2
    assert (found.token == true.token).mean() > 0.99 and np.abs(found.chance - true.chance).max() < 1e-3


def test_the_way_is_clear_up_to_where_a_face_is_likely_met():
    torch.manual_seed(0)
    lifter = Lifter(LIFT).eval()
    feature, eye = torch.randn(40, LIFT.feature) * 3, torch.rand(40, 3)
    direction = torch.nn.functional.normalize(torch.randn(40, 3), dim=1)
    with torch.no_grad():
        logits, met = lifter.scores(feature, eye, direction)
        answer = lifter.answer(feature, eye, direction)
    chances = logits.softmax(1)[:, :-1]
    before = (chances * (met < answer.clear[:, None])).sum(1)
    next_step = (chances * (met < (answer.clear * CLEAR_STEP)[:, None])).sum(1)
    assert (before <= RISK + 1e-5).all()
    assert ((next_step > RISK - 1e-5) | (answer.clear > 1e6) | (answer.clear == 0)).all()


def test_a_way_that_is_not_surely_clear_stays_unknown():
    ballot = Ballot((0, 5, 0), 3)
    rays, eye = np.array([[0.0, 0.0, 1.0]] * 2), np.array([0.5, 5.5, 0.5])
    ballot.add(eye, rays, np.array([6.5, 6.5]), np.array([1, 1]), np.array([2.0, 3.0]))
    low, tokens = ballot.result()
    assert [int(tokens[0 - low[0], 5, z - low[2]]) for z in range(9)] == [0, 0, 0, 0, *[UNKNOWN] * 3, 1, UNKNOWN]


class TrueAnswers:
    """A lifter that is always right."""

    tokens = 3

    def __init__(self, gbuffer):
        self.gbuffer = gbuffer

    def encode(self, image, directions):
        return np.zeros((SIZE[0] * SIZE[1], 1), np.float32)

    def decode(self, feature, eye, directions):
        depth = self.gbuffer.depth().ravel()
        return as_answer(depth, np.ones(len(feature)), depth, self.gbuffer.tokens[..., 0].ravel())


def test_right_answers_become_the_cells_that_were_seen(land, gbuffer):
    low, tokens = lift(TrueAnswers(gbuffer), [np.zeros((*SIZE, 3), np.uint8)], [CAMERA])
    truth = land.window(low, tokens.shape)
    known = tokens != UNKNOWN
    assert (tokens[known] == truth[known]).mean() > 0.995
    seen = gbuffer.cells[..., 0, :][(gbuffer.faces[..., 0] != 6) & (gbuffer.geometry[..., 0, 0] < 20)] - np.array(low)
    assert (tokens[tuple(seen.T)] == truth[tuple(seen.T)]).mean() > 0.95
    assert not known[:, 0].any()


def test_most_rays_decide_and_no_vote_leaves_no_trace():
    ballot = Ballot((0, 5, 0), 3)
    rays = np.tile([[0.0, 0.0, 1.0]], (5, 1))
    eye = np.array([0.5, 5.5, 0.5])
    ballot.add(eye, rays, np.array([3.5, 3.5, 3.5, 6.5, np.nan]), np.array([1, 1, 2, 2, 2]))
    low, tokens = ballot.result()
    at = lambda z: tokens[0 - low[0], 5, z - low[2]]  # noqa: E731
    assert (at(0), at(3), at(4), at(7), at(8)) == (0, 0, 1, 2, UNKNOWN)


def test_crossings_lie_on_planes():
    eye, direction = (
        torch.tensor([[0.3, 0.6, 0.9]]),
        torch.nn.functional.normalize(torch.tensor([[0.5, -0.4, 0.8]]), dim=1),
    )
    met = crossings(eye, direction, 8)
    points = eye[:, None] + direction[:, None] * met.distance[..., None]
    for axis in range(3):
        on_axis = points[0, axis * 8 : (axis + 1) * 8, axis]
        assert torch.allclose(on_axis, on_axis.round(), atol=1e-4)
        assert len(on_axis.round().unique()) == 8


def test_a_painted_picture_is_seen_again_and_stays_on_its_faces(land, gbuffer, inputs):
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (*SIZE, 3), np.uint8)
    mask = np.zeros(SIZE, bool)
    mask[20:30, 10:30] = True
    paint = Paint().with_faces(paint_from_picture(image, CAMERA, gbuffer, mask, artist=True))
    cover = PaintIndex(paint).cover(gbuffer, inputs)
    assert cover is not None
    inner = np.zeros(SIZE, bool)
    inner[21:29, 11:29] = True
    near = inner & (gbuffer.geometry[..., 0, 3] < 4)
    assert cover[..., 3][near].mean() > 0.8 and cover[..., 3][:15].max() == 0
    moved = Camera((8.3, 12.6, 4.0), 25.0, 10.0)
    scene = SceneCache(TokenTables.of(WORDS)).scene(land, 8.3, 4.0)
    later = cast(scene, moved, SIZE)
    later_inputs = frame_input(later, FRAME.layout, moved.position, 0.5, pixel_scale(SIZE[0]))
    again = PaintIndex(paint).cover(later, later_inputs)
    assert again is not None and again[..., 3].sum() > 0.5 * cover[..., 3].sum()
    cells = {key[:3] for key in paint.faces}
    assert not paint.without_cells(cells).faces and paint.faces


def test_new_paint_lies_over_old_paint_and_keeps_what_it_leaves_clear(gbuffer):
    red, blue = (np.full((*SIZE, 3), colour, np.uint8) for colour in ((200, 0, 0), (0, 0, 200)))
    left, right = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    left[:, :30], right[:, 20:] = True, True
    paint = Paint().with_faces(paint_from_picture(red, CAMERA, gbuffer, left))
    paint = paint.with_faces(paint_from_picture(blue, CAMERA, gbuffer, right))
    both = [
        face.texels for face in paint.faces.values() if len(np.unique(face.texels[..., 0][face.texels[..., 3] > 0])) > 1
    ]
    assert both
    for face in paint.faces.values():
        colours = face.texels[face.texels[..., 3] > 0][:, :3]
        assert set(map(tuple, colours.tolist())) <= {(200, 0, 0), (0, 0, 200)}


def test_a_card_shows_its_picture_from_where_it_was_seen(gbuffer):
    rng = np.random.default_rng(2)
    image = rng.integers(0, 256, (*SIZE, 3), np.uint8)
    sky = np.isinf(gbuffer.depth())
    card = card_of_view(image, CAMERA, np.where(sky, 255, 0), 1.0, distant=True)
    cover = card_cover(card, CAMERA, gbuffer)
    assert cover is not None
    frame = composite(np.zeros((*SIZE, 3), np.float32), [cover])
    inner = sky.copy()
    inner[1:] &= sky[:-1]
    inner[:-1] &= sky[1:]
    inner[:, 1:] &= sky[:, :-1]
    inner[:, :-1] &= sky[:, 1:]
    assert inner.any() and np.abs(frame[inner].astype(int) - image[inner]).max() <= 2
    assert frame[~sky].max() == 0
    assert card_cover(card, Camera(CAMERA.position, CAMERA.yaw + 180, 0.0), gbuffer) is None


class Line:
    """A part that fits a line."""

    def __init__(self):
        torch.manual_seed(0)
        self.network = torch.nn.Linear(1, 1)
        self.seen = []

    def groups(self):
        return [{"params": list(self.network.parameters())}]

    def loss(self, rng):
        x = torch.from_numpy(rng.standard_normal((16, 1)).astype(np.float32))
        self.seen.append(float(x[0]))
        error = ((self.network(x) - 3 * x - 1) ** 2).mean()
        return error, {"error": error.item()}

    def evaluate(self, network):
        return {"slope": float(network.weight.detach())}


def test_training_goes_on_where_it_stopped(tmp_path):
    config = TrainerConfig(lr=0.05, warmup=1, weight_decay=0.0)
    first = Line()
    train_part(first, tmp_path, 60.0, config, steps=12)
    steps = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"]
    assert steps == len(first.seen) == 12
    second = Line()
    figures = train_part(second, tmp_path, 60.0, config, steps=30)
    assert second.seen[0] not in first.seen
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert kept["step"] == steps + len(second.seen)
    assert (
        abs(figures["slope"] - 3) < 2.5
        and float(load_ema(tmp_path, Line().network).weight.detach()) == figures["slope"]
    )
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == kept["step"]


def test_a_gradient_that_is_not_finite_stops_training(tmp_path):
    part = Line()
    part.loss = lambda rng: ((part.network(torch.ones(1, 1)) * float("nan")).sum(), {})
    with pytest.raises(FloatingPointError):
        train_part(part, tmp_path, 1.0, TrainerConfig())


def test_the_queue_works_through_its_stages_once(tmp_path):
    calls = []

    def stage(name, hours):
        return Stage(name, hours, lambda minutes: calls.append(name) or {"figure": 1.0})

    stages = [stage("data", 0.0), stage("net", 1e-13)]
    ledger = run_queue(tmp_path, stages, 1.0)
    run_queue(tmp_path, stages, 1.0)
    assert calls == ["data", "net"] and ledger["net"]["figures"] == {"figure": 1.0}
    report = status(tmp_path, stages)
    assert report["working"] is None and not report["paused"] and set(report["stages"]) == {"data", "net"}
    (tmp_path / PAUSE).touch()
    assert status(tmp_path, stages)["paused"]


def test_sigterm_ends_the_queue_with_a_checkpoint(tmp_path):
    part, stages = Line(), []

    def train(minutes):
        loss = part.loss
        part.loss = lambda rng: os.kill(os.getpid(), signal.SIGTERM) or loss(rng)
        return train_part(part, tmp_path / "line", 1.0, TrainerConfig(), steps=50)

    stages = [Stage("line", 9.0, train), Stage("later", 0.0, lambda minutes: pytest.fail("went on"))]
    assert set(run_queue(tmp_path, stages, 1.0)) == {"line"}
    assert torch.load(tmp_path / "line" / "checkpoint.pt", weights_only=True)["step"] == 1


def test_one_process_trains_at_a_time_and_a_dead_ones_lock_is_taken(tmp_path):
    with locked(tmp_path), pytest.raises(ReverieError, match="training there"), locked(tmp_path):
        pass
    (tmp_path / "lock").write_text("999999999")
    with locked(tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())
    assert not (tmp_path / "lock").exists() and read_ledger(tmp_path) == {}


@pytest.mark.slow
def test_the_turn_of_a_camera_is_read_from_a_world_of_cubes():
    from reverie.model.lift.pose import read_rotation
    from reverie.simulator.voxel.views import record_views

    views = record_views(1_100_011, 12, (96, 160))
    yaw_errors, pitch_errors = [], []
    for frame, (_, _, _, yaw, pitch) in zip(views["frames"], views["cameras"]):
        found_yaw, found_pitch, score = read_rotation([frame])
        assert -45 <= found_yaw < 45 and 0 <= score <= 1
        yaw_errors.append(abs((found_yaw - yaw + 45) % 90 - 45))
        pitch_errors.append(abs(found_pitch - pitch))
    assert np.median(yaw_errors) < 2.0 and np.median(pitch_errors) < 2.5


def test_turns_between_pictures_tie_them_to_one_unknown():
    from reverie.model.lift.pose import read_rotation
    from reverie.simulator.voxel.world import VoxelWorld

    world = VoxelWorld((96, 160), hud=False)
    state = world.start("village", 1_000_021)
    x, y, z = world.pose(state)[:3]
    turns = np.array([[-6.0, -50.0], [-3.0, -25.0], [0.0, 0.0]])
    frames = [world.frame(world.spawn(state, x, y, z, 20.0 + yaw, 8.0 + pitch)) for pitch, yaw in turns]
    yaw, pitch, _ = read_rotation(frames, turns)
    assert abs(yaw - 20.0) < 1.5 and abs(pitch - 8.0) < 1.5


def test_the_queue_says_where_it_stands(tmp_path, capsys):
    from reverie.demos import queue

    assert queue.main(["status", "--out", str(tmp_path), "--init", str(tmp_path)]) == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert {"views", "frames", "lift", "columns", "cells", "dynamics"} <= set(stages)
    assert queue.main(["status", "--out", str(tmp_path), "--only", "nonsense"]) == 2
