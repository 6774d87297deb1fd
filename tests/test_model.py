"""The network: geometry, causality, memory, sampling, weights and the two backends."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.model import flow, geometry
from reverie.model.actions import ACTION_DIM
from reverie.model.config import PRESETS, ModelConfig, preset
from reverie.model.errors import ModelError
from reverie.model.layers import Memory
from reverie.model.onnx_export import example_inputs, export
from reverie.model.signature import OUTPUTS
from reverie.model.step import to_bytes, to_unit
from reverie.model.weights import (
    STUDENT,
    fingerprint,
    load_config,
    load_model,
    model_folder,
    open_backend,
    save_model,
)
from reverie.model.world_model import HEIGHTS, Context, WorldModel, causal_ages

pytestmark = pytest.mark.usefixtures("one_thread")
FIELD = 70.0
CONFIG = preset("test")


def noisy_model(config: ModelConfig = CONFIG, seed: int = 0) -> WorldModel:
    """A model none of whose parts is silent, as zero-initialised ones are."""
    torch.manual_seed(seed)
    model = WorldModel(config).eval().requires_grad_(False)
    for weight in model.parameters():
        weight.add_(torch.randn_like(weight) * 0.05)
    return model


def random_context(b: int, t: int, config: ModelConfig = CONFIG, seed: int = 0) -> tuple[torch.Tensor, Context]:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    context = Context(
        past=normal(b, t, len(config.history), 3, *config.size).clamp(-1, 1),
        action=normal(b, t, 25).abs(),
        last_action=normal(b, t, 25).abs(),
        turn=normal(b, t, 2) * 4,
        pitch=normal(b, t) * 10,
        context_noise=torch.zeros(b, t),
        key=normal(b, t, 3, *config.size).clamp(-1, 1),
        way=torch.cat((torch.ones(b, t, 1), normal(b, t, 5)), dim=-1),
        rest=normal(b, t, 3, *config.size).clamp(-1, 1),
        pace=torch.cat((torch.ones(b, t, 1), normal(b, t, 3) * 0.2), dim=-1),
    )
    return normal(b, t, 3, *config.size), context


def pick(context: Context, index: slice) -> Context:
    return Context(*(item[:, index] for item in context))


# Geometry


def test_heights_tell_sky_from_ground() -> None:
    sine, steep = geometry.heights(torch.tensor([0.0, 50.0, -50.0]), (32, 48), FIELD).unbind(1)
    assert torch.allclose(sine[0], -sine[0].flip(0), atol=1e-6), "level: as far above the horizon as below it"
    assert bool((sine[0, :16] < 0).all()) and bool((sine[1] > 0).all()) and bool((sine[2] < 0).all())
    straight = sine[:, 15:17, 23:25].mean((1, 2))
    assert torch.allclose(straight, torch.tensor(np.sin(np.deg2rad([0, 50, -50])), dtype=torch.float32), atol=0.01)
    assert torch.equal(steep.sign(), sine.sign()) and float(steep[1].min()) > float(sine[1].min())
    cells = geometry.heights(torch.tensor([20.0]), (32, 48), FIELD, 4)
    whole = geometry.heights(torch.tensor([20.0]), (32, 48), FIELD)
    assert torch.allclose(cells[:, :1], torch.nn.functional.avg_pool2d(whole[:, :1], 4), atol=0.01)


def test_no_turn_leaves_every_pixel_in_place() -> None:
    frames = torch.rand(2, 3, 32, 48)
    grid = geometry.rotation_grid(torch.tensor([0.0, 30.0]), torch.zeros(2, 2), (32, 48), FIELD)
    assert torch.allclose(geometry.warp(frames, grid), frames, atol=1e-4)


@pytest.mark.parametrize(("turn", "axis", "sign"), [((0.0, 5.0), 0, 1), ((5.0, 0.0), 1, 1), ((0.0, -5.0), 0, -1)])
def test_a_turn_looks_up_the_pixel_at_the_tangent_of_its_angle(turn, axis, sign) -> None:
    size = (96, 160)
    grid = geometry.rotation_grid(torch.zeros(1), torch.tensor([turn]), size, FIELD)
    middle = grid[0, 47:49, 79:81].mean((0, 1))
    pixels = middle * torch.tensor([80.0, 48.0])
    expected = geometry.focal_length(96, FIELD) * np.tan(np.deg2rad(5.0))
    assert pixels[axis] == pytest.approx(sign * expected, abs=0.02)
    assert pixels[1 - axis] == pytest.approx(0.0, abs=0.02)


def test_turning_there_and_back_is_no_turn() -> None:
    pitch, turn = torch.tensor([12.0]), torch.tensor([[7.0, -20.0]])
    there = geometry.turn_back(pitch, turn)
    back = geometry.turn_back(pitch + turn[:, 0], -turn)
    assert torch.allclose(there @ back, torch.eye(3)[None], atol=1e-5)


def test_what_is_redrawn_again_and_again_keeps_its_detail() -> None:
    """A third of a pixel to the right, then back, twelve times; and nothing grows, however often."""
    wave = torch.sin(torch.arange(48) * 0.9).expand(1, 3, 32, 48)
    grid = geometry.rotation_grid(torch.zeros(1), torch.zeros(1, 2), (32, 48), FIELD)
    left = {}
    for way in (geometry.redraw, geometry.warp):
        frames = wave
        for tick in range(24):
            frames = way(frames, grid + torch.tensor([(-1) ** tick * 2 / 3 / 48, 0.0]))
        left[way] = float((frames - wave)[..., 8:-8].abs().mean() / wave.abs().mean())
    assert left[geometry.redraw] < 0.2 < 0.6 < left[geometry.warp]
    rough = frames = torch.randn(1, 3, 32, 48)
    for tick in range(400):
        frames = geometry.redraw(frames, grid + torch.tensor([(-1) ** tick * 2 / 3 / 48, 0.0]))
    assert frames.square().mean() < rough.square().mean()


def test_walking_towards_a_wall_spreads_it_from_the_middle() -> None:
    size = (96, 160)
    depth = torch.full((1, 24, 40), 4.0)
    shift, points = geometry.travel_shift(
        depth, torch.zeros(1), torch.zeros(1, 2), torch.tensor([[0.0, 0.0, 1.0]]), size, FIELD
    )
    assert torch.allclose(points[..., 2], torch.tensor(5.0))  # the wall was a metre farther before
    rays = geometry.pixel_rays(*size, FIELD, 4)
    here = rays[..., :2] * geometry.focal_length(96, FIELD) / torch.tensor([80.0, 48.0])
    assert torch.allclose(shift[0], here * (4 / 5 - 1), atol=1e-4)
    assert geometry.visible_before(points, torch.full((1, 24, 40), 5.0), size, FIELD).all()
    assert not geometry.visible_before(points, torch.full((1, 24, 40), 1.0), size, FIELD).any()


def test_the_true_motion_of_the_voxel_world_explains_its_frames() -> None:
    """Depth and poses of the exact world, put through our geometry, must predict its next frame better than a copy."""
    from reverie.simulator.action import Action
    from reverie.simulator.voxel import physics
    from reverie.simulator.voxel.world import VoxelWorld

    world = VoxelWorld()
    before = world.start("plains", 5)
    for _ in range(10):
        before = world.step(before, Action(forward=True))
    after = world.step(before, Action(forward=True, camera=(1.0, 6.0)))
    from reverie.model.recall import camera_motion

    eye = np.array([(*physics.eye(state.body), *world.pose(state)[3:]) for state in (before, after)], np.float32)
    turn, pitch, travel = (torch.from_numpy(item) for item in camera_motion(eye, np.zeros((1, 25), np.float32)))
    depth = torch.from_numpy(world.depth(after)[2::4, 2::4].astype(np.float32))[None].clamp(max=64)
    shift, _ = geometry.travel_shift(depth, pitch, turn, travel, (96, 160), FIELD)
    shift = torch.nn.functional.interpolate(shift.permute(0, 3, 1, 2), (96, 160), mode="bilinear").permute(0, 2, 3, 1)
    grid = geometry.rotation_grid(pitch, turn, (96, 160), FIELD)
    first, second = (to_unit(torch.from_numpy(world.frame(state).copy()))[None] for state in (before, after))
    view = (slice(None), slice(None), slice(4, 72), slice(8, 120))  # without the picture's rim, hotbar and hand

    def error(guess: torch.Tensor) -> float:
        return float((guess - second)[view].abs().mean())

    copied, turned = error(first), error(geometry.warp(first, grid))
    moved = error(geometry.warp(first, grid + shift))
    assert turned < 0.7 * copied
    assert moved < 0.9 * turned


# The network


def test_frames_do_not_depend_on_later_ones() -> None:
    model = noisy_model()
    noised, context = random_context(1, 4)
    level, size = torch.rand(1, 4), torch.ones(1, 4)
    ages = causal_ages(1, 4, CONFIG.memory, torch.device("cpu"))
    first = model(noised, level, size, context, ages)
    changed = noised.clone()
    changed[:, 3] += 1
    second = model(changed, level, size, context, ages)
    assert torch.equal(first.frame[:, :3], second.frame[:, :3])
    assert not torch.equal(first.frame[:, 3], second.frame[:, 3])


def test_one_frame_at_a_time_with_a_memory_equals_all_at_once() -> None:
    model = noisy_model()
    t = CONFIG.memory + 3
    noised, context = random_context(2, t)
    level, size = torch.rand(2, t), torch.ones(2, t)
    whole = model(noised, level, size, context, causal_ages(2, t, CONFIG.memory, torch.device("cpu")))
    kept: list[Memory] = []
    for index in range(t):
        now = slice(index, index + 1)
        recent = kept[-CONFIG.memory :]
        memory = None
        if recent:
            memory = [Memory(torch.cat([m.keys for m in recent], 1), torch.cat([m.values for m in recent], 1))]
        ages = torch.arange(len(recent), -1, -1).float().expand(2, 1, -1)
        one = model(noised[:, now], level[:, now], size[:, now], pick(context, now), ages, memory)
        kept.append(one.memory[0])
        assert torch.allclose(one.frame, whole.frame[:, now], atol=1e-4)


def test_the_order_of_the_ring_does_not_matter() -> None:
    model = noisy_model()
    noised, context = random_context(1, 1)
    keys, values = (torch.randn(1, CONFIG.memory, 6, 16) for _ in range(2))
    ages = torch.tensor([[3.0, 1.0, 2.0, -1.0]])
    order = torch.tensor([2, 3, 1, 0])

    def dream(order: torch.Tensor) -> torch.Tensor:
        all_ages = torch.cat((ages[:, order], torch.zeros(1, 1)), 1)[:, None]
        memory = [Memory(keys[:, order], values[:, order])]
        return model(noised, torch.zeros(1, 1), torch.ones(1, 1), context, all_ages, memory).frame

    assert torch.allclose(dream(torch.arange(4)), dream(order), atol=1e-5)
    values[:, 3] += 100  # an empty place says nothing
    assert torch.allclose(dream(torch.arange(4)), dream(order), atol=1e-5)


@pytest.mark.parametrize("size", [(32, 48), (48, 32), (64, 64)])
def test_any_multiple_of_the_patch_is_a_frame(size) -> None:
    config = replace(CONFIG, size=size)
    noised, context = random_context(1, 2, config)
    out = noisy_model(config)(
        noised, torch.zeros(1, 2), torch.ones(1, 2), context, causal_ages(1, 2, 4, torch.device("cpu"))
    )
    assert out.frame.shape == (1, 2, 3, *size)
    assert out.depth.shape == (1, 2, size[0] // 4, size[1] // 4)


def test_a_pace_lasts_as_far_as_the_network_says() -> None:
    model = WorldModel(CONFIG).eval().requires_grad_(False)
    noised, context = random_context(2, 1)
    ages = causal_ages(2, 1, CONFIG.memory, noised.device)
    level = torch.zeros(2, 1)
    assert not model(noised, level, level + 1, context, ages).travel.any()
    model.facts.bias[-3:] = torch.tensor([0.5, 1.0, 0.5])
    travel = model(noised, level, level + 1, context, ages).travel
    assert torch.allclose(travel, context.pace[..., 1:] * torch.tensor([0.5, 1.0, 0.5]), atol=1e-5)


@pytest.mark.parametrize("grid", [(CONFIG.size[0] // 16, CONFIG.size[1] // 16), (4, 2)])
def test_a_token_knows_its_place_on_the_screen(grid) -> None:
    """Of tokens that all look alike, in frames of any size."""
    model = WorldModel(CONFIG).eval().requires_grad_(False)
    model.place[:, 0, 0] = torch.randn(CONFIG.width)
    _, context = random_context(1, 1)
    level, alike = torch.zeros(1, 1), torch.zeros(1, 1, grid[0] * grid[1], CONFIG.width)
    ages = causal_ages(1, 1, CONFIG.memory, level.device)
    tokens, _ = model.trunk(alike, grid, level, level, context, ages, None)
    assert tokens[0, 0, 0].norm() > 1 and tokens[0, 0, -1].norm() < 0.1


def test_an_untrained_model_moves_the_frame_with_the_camera() -> None:
    torch.manual_seed(0)
    model = WorldModel(CONFIG).eval()
    noised, context = random_context(1, 1)
    out = model(noised, torch.zeros(1, 1), torch.ones(1, 1), context, torch.zeros(1, 1, 1)).frame[0]
    grid = geometry.rotation_grid(context.pitch[0], context.turn[0], CONFIG.size, FIELD)
    turned = geometry.pick(context.past[0, :, 0], grid)
    seen = geometry.inside(grid)
    error = (out - turned).abs() * seen
    assert error.sum() < 0.5 * ((out - context.past[0, :, 0]).abs() * seen).sum()


def test_what_comes_back_into_view_is_remembered() -> None:
    """After a turn of 60 degrees an earlier view that looked there fills what the frame before cannot show."""
    torch.manual_seed(0)
    model = WorldModel(CONFIG).eval()
    noised, context = random_context(1, 1)
    way = torch.tensor(
        [[[1.0, 0.0, -60.0, 0.0, 0.0, 0.0]]]
    )  # the key looks 60 degrees to the right of the frame before
    turned = context._replace(turn=torch.tensor([[[0.0, 60.0]]]), pitch=torch.zeros(1, 1), way=way)
    out = model(noised, torch.zeros(1, 1), torch.ones(1, 1), turned, torch.zeros(1, 1, 1)).frame[0]
    grid = geometry.rotation_grid(torch.zeros(1), turned.turn[0], CONFIG.size, FIELD)
    hidden = ~geometry.inside(grid)
    assert hidden.float().mean() > 0.4
    error = ((out - turned.key[0]).abs() * hidden).sum() / (3 * hidden.sum())
    assert error < 0.2
    forgotten = turned._replace(way=torch.zeros(1, 1, 6))
    without = model(noised, torch.zeros(1, 1), torch.ones(1, 1), forgotten, torch.zeros(1, 1, 1)).frame[0]
    assert ((without - turned.key[0]).abs() * hidden).sum() / (3 * hidden.sum()) > 3 * error


def test_what_is_painted_on_the_screen_does_not_move() -> None:
    torch.manual_seed(0)
    model = WorldModel(CONFIG).eval()
    model.overlay[20:24, 10:30] = 1
    noised, context = random_context(1, 1)
    context = context._replace(turn=torch.tensor([[[0.0, 12.0]]]), way=torch.zeros(1, 1, 6))
    before = torch.full_like(context.past, -1.0)
    before[..., 20:24, 10:30] = 1.0
    out = model(noised, torch.zeros(1, 1), torch.ones(1, 1), context._replace(past=before), torch.zeros(1, 1, 1))
    shown = out.frame[0, 0].mean(0)
    assert shown[20:24, 10:30].mean() > 0.2  # half kept, half an untrained painter's grey
    assert shown[:18].max() < 0  # nothing of it is carried along


def test_the_screen_comes_back_from_the_frame_at_rest_as_it_stands() -> None:
    """With a head that takes all from the past: hand and hotbar are where they were, the earlier view has turned."""
    torch.manual_seed(0)
    model = WorldModel(CONFIG).eval().requires_grad_(False)
    model.overlay[20:26, 10:30] = 1
    model.overlay[10, 20:26] = 1  # a crosshair, which is left as it is
    model.head.out.weight.zero_()
    cells = CONFIG.cell**2
    model.head.out.bias[model.head.colours :] = 0
    model.head.out.bias[model.head.colours + 4 * cells : model.head.colours + 5 * cells] = 3.0
    noised, context = random_context(1, 1)
    way, turn = torch.tensor([[[1.0, 0.0, 0.0, 0.0, 0.0, 0.0]]]), torch.tensor([[[0.0, 12.0]]])
    context = context._replace(turn=turn, way=way, pitch=torch.zeros(1, 1))
    shown = model(noised, torch.zeros(1, 1), torch.ones(1, 1), context, torch.zeros(1, 1, 1)).frame[0, 0]
    screen, thin = model.overlay > 0, torch.zeros(CONFIG.size, dtype=torch.bool)
    thin[10, 20:26] = True
    assert not torch.allclose(shown[:, thin], context.rest[0, 0][:, thin], atol=0.1)
    screen &= ~thin
    assert torch.allclose(shown[:, screen], context.rest[0, 0][:, screen], atol=1e-4)
    alone = context._replace(way=torch.zeros_like(way))
    unseen = model(noised, torch.zeros(1, 1), torch.ones(1, 1), alone, torch.zeros(1, 1, 1)).frame[0, 0]
    assert torch.allclose(unseen[:, screen], context.rest[0, 0][:, screen], atol=1e-4), "without an earlier view, too"
    grid = geometry.rotation_grid(torch.zeros(1), turn[0], CONFIG.size, FIELD)
    moved = geometry.redraw(context.key[0], grid)[0]
    world = geometry.inside(grid)[0, 0] & (geometry.warp(model.overlay[None, None], grid)[0, 0] == 0)
    world &= model.overlay == 0
    assert world.float().mean() > 0.5
    assert torch.allclose(shown[:, world], moved[:, world], atol=1e-3)
    assert not torch.allclose(shown[:, world], context.key[0, 0][:, world], atol=0.1)
    model.config = replace(CONFIG, screen_views=False)
    other = model(noised, torch.zeros(1, 1), torch.ones(1, 1), context, torch.zeros(1, 1, 1)).frame[0, 0]
    assert not torch.allclose(other[:, screen], context.rest[0, 0][:, screen], atol=0.1)


def test_weights_that_say_nothing_of_the_screen_do_without(tmp_path) -> None:
    save_model(tmp_path, CONFIG, WorldModel(CONFIG).state_dict())
    assert load_config(tmp_path) == CONFIG and CONFIG.screen_views
    record = json.loads((tmp_path / "config.json").read_text())
    del record["screen_views"]
    (tmp_path / "config.json").write_text(json.dumps(record))
    assert load_config(tmp_path) == replace(CONFIG, screen_views=False)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ModelError):
        load_config(tmp_path)


def test_each_shape_of_frames_has_its_own_screen(tmp_path) -> None:
    model, tall = WorldModel(CONFIG), CONFIG.shapes[0]
    usual, other = torch.zeros(CONFIG.size), torch.zeros(tall)
    usual[-4:], other[-1:] = 1, 1
    model.learn_screen({CONFIG.size: usual})
    assert model.screen(tall)[-6:].all() and not model.screen(tall)[:-6].any()  # an eighth of the height, stretched
    model.learn_screen({CONFIG.size: usual, tall: other})
    assert torch.equal(model.screen(tall), other) and torch.equal(model.screen(CONFIG.size), usual)
    save_model(tmp_path, CONFIG, model.state_dict())
    assert torch.equal(load_model(tmp_path).screen(tall), other)
    weights = {name: value for name, value in model.state_dict().items() if not name.startswith("overlay_")}
    save_model(tmp_path, CONFIG, weights)  # from before there were shapes
    assert load_model(tmp_path).screen(tall)[-6:].all()


# Flow


def test_sampling_with_a_perfect_denoiser_gives_the_frame() -> None:
    clean, noise = np.random.default_rng(0).standard_normal((2, 1, 3, 4, 4))
    for steps in (1, 2, 8):
        levels: list[float] = []

        def denoise(z, level, size, steps=steps, levels=levels):
            levels.append(level)
            expected = flow.noised(clean, noise, np.full(1, level))
            assert np.allclose(z, expected)
            assert size == pytest.approx(1 / steps)
            return clean

        assert np.allclose(flow.sample(denoise, noise, steps), clean)
        assert levels == pytest.approx([step / steps for step in range(steps)])


def test_bytes_survive_the_way_to_numbers_and_back() -> None:
    frames = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(1, 16, 16, 3)
    assert torch.equal(to_bytes(to_unit(frames)), frames)


# Configuration and weights


@pytest.mark.parametrize("name", list(PRESETS))
def test_configurations_survive_json(name) -> None:
    config = preset(name)
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    "change",
    [{"depth": "deep"}, {"extra": 1}, {"size": [90, 160]}, {"steps": 3}, {"heads": 3}, {"history": []}],
)
def test_configurations_that_make_no_sense_are_refused(change) -> None:
    with pytest.raises(ModelError):
        ModelConfig.from_dict({**CONFIG.to_dict(), **change})


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A small model folder with an export."""
    path = tmp_path_factory.mktemp("model")
    save_model(path, CONFIG, noisy_model().state_dict())
    export(str(path), str(path))
    return path


@pytest.mark.slow
def test_weights_come_back_as_they_were_rounded(folder) -> None:
    loaded = load_model(folder).state_dict()
    for name, weight in noisy_model().state_dict().items():
        assert torch.equal(loaded[name], weight.half().float()), name


@pytest.mark.slow
def test_damaged_weights_are_refused_in_one_line(folder, tmp_path) -> None:
    for name in ("config.json", STUDENT):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    good = (tmp_path / STUDENT).read_bytes()
    other = replace(CONFIG, width=64, heads=4)
    save_model(tmp_path / "other", other, WorldModel(other).state_dict())
    for bad in (good[: len(good) // 2], b"", b"\xff" * 64, (tmp_path / "other" / STUDENT).read_bytes()):
        (tmp_path / STUDENT).write_bytes(bad)
        with pytest.raises(ModelError) as caught:
            load_model(tmp_path)
        assert "\n" not in str(caught.value)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError):
        load_model(tmp_path)
    with pytest.raises(ModelError):
        model_folder("no-such-model")
    with pytest.raises(ModelError):
        open_backend(folder, "openvino")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG.to_dict()))
    (tmp_path / "step.onnx").write_bytes(b"not a graph")
    with pytest.raises(ModelError):
        open_backend(tmp_path, "onnx")


@pytest.mark.slow
def test_the_fingerprint_names_the_weights(folder, tmp_path) -> None:
    save_model(tmp_path, CONFIG, noisy_model(seed=1).state_dict())
    assert fingerprint(folder) == fingerprint(folder)
    assert fingerprint(folder) != fingerprint(tmp_path)


# Backends


@pytest.mark.parametrize(("name", "new"), [("head.join.weight", HEIGHTS), ("action.0.weight", ACTION_DIM)])
def test_weights_that_lack_the_newest_inputs_still_load(tmp_path, name, new) -> None:
    weights = WorldModel(CONFIG).state_dict()
    save_model(tmp_path / "new", CONFIG, weights)
    weights[name] = weights[name][:, :-new]
    save_model(tmp_path / "old", CONFIG, weights)
    old, whole = (load_model(tmp_path / folder).state_dict()[name] for folder in ("old", "new"))
    assert torch.equal(old[:, :-new], whole[:, :-new]) and not old[:, -new:].any()
    weights[name] = weights[name][:, :-1]
    save_model(tmp_path / "wrong", CONFIG, weights)
    with pytest.raises(ModelError, match="does not hold"):
        load_model(tmp_path / "wrong")


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 3])
def test_onnx_runtime_agrees_with_torch(folder, batch) -> None:
    inputs = example_inputs(CONFIG, batch, seed=batch)
    reference, fast = (open_backend(folder, name, "cpu").run(inputs) for name in ("torch", "onnx"))
    for name in OUTPUTS:
        assert reference[name].shape == fast[name].shape
        assert reference[name].dtype == fast[name].dtype
        tolerance = 1 if name == "frame" else 2e-4 * max(1.0, float(np.abs(reference[name]).max()))
        wrong = np.abs(reference[name].astype(float) - fast[name]) > tolerance
        # A source on the line between two pixels may be picked from either side.
        assert wrong.mean() < 0.002 if name in ("clean", "frame") else not wrong.any(), name


@pytest.mark.slow
def test_both_backends_dream_the_same_32_frames(folder) -> None:
    """Each from the same state: a model of random weights is chaotic, and would tear two rollouts apart by itself."""
    from reverie.simulator.action import Action
    from reverie.simulator.dream import DreamWorld

    image = np.random.default_rng(3).integers(0, 256, (*CONFIG.size, 3), np.uint8)
    reference, exported = (DreamWorld(open_backend(folder, name, "cpu"), "test") for name in ("torch", "onnx"))
    state = reference.start(image, 5)
    for tick in range(32):
        action = Action(forward=tick % 3 == 0, camera=(1.0, -4.0 if tick > 12 else 3.0))
        other, state = exported.step(state, action), reference.step(state, action)
        difference = np.abs(exported.frame(other).astype(int) - reference.frame(state))
        # A source on the line between two pixels may be picked from either side.
        assert (difference.max(axis=-1) > 1).mean() < 0.01
        assert np.abs(other.pose - state.pose).max() < 1e-3
        assert np.abs(other.keys - state.keys).max() < 1e-3
