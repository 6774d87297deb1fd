"""The trial of hybrid against latent tokens: the tokenizer, the latent model, and the whole of it in seconds."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from clocks import count_steps

from reverie.demos import limits
from reverie.model.actions import ACTION_DIM
from reverie.model.config import EVENT_COUNT, preset
from reverie.model.latent_model import LatentModel
from reverie.model.step import to_unit
from reverie.model.tokenizer import LATENT_CHANNELS, Tokenizer
from reverie.model.training import heldout, trial
from reverie.model.training.data import Batch, ShardSet
from reverie.model.training.rollout import rollout
from reverie.model.training.shards import ShardWriter
from reverie.model.weights import save_model
from reverie.model.world_model import FIRST_DEPTH, Context, WorldModel, causal_ages

pytestmark = pytest.mark.slow

CONFIG = preset("test")
HEIGHT, WIDTH = CONFIG.size
ROWS, COLUMNS = HEIGHT // CONFIG.patch, WIDTH // CONFIG.patch


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one shard of 96 random ticks, the first of them edited."""
    folder = tmp_path_factory.mktemp("shards")
    rng = np.random.default_rng(0)
    writer = ShardWriter(folder / "00000", 96, CONFIG.size)
    for tick in range(96):
        writer.append(
            frames=rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8),
            actions=rng.integers(0, 2, ACTION_DIM).astype(np.float32),
            eye=rng.normal(size=5).astype(np.float32),
            depth=rng.uniform(1, 9, (HEIGHT // 4, WIDTH // 4)).astype(np.float16),
            events=np.zeros(EVENT_COUNT, np.uint8),
            edited=np.bool_(tick == 10),
            episode=np.int32(0),
        )
    writer.close("noise")
    return folder


def test_latents_are_bounded_and_sixteen_times_smaller() -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer()
    frames = torch.randint(0, 256, (2, 3, HEIGHT, WIDTH, 3), dtype=torch.uint8)
    latents = tokenizer.encode(100 * to_unit(frames[:, 0]))
    assert latents.shape == (2, LATENT_CHANNELS, ROWS, COLUMNS)
    assert latents.abs().max() <= 1
    small = tokenizer.shrink(frames)
    assert small.shape == (2, 3, ROWS, COLUMNS, LATENT_CHANNELS) and small.dtype == torch.uint8
    exact = tokenizer.encode(to_unit(frames[:, 1]))
    assert (to_unit(small[:, 1]) - exact).abs().max() <= 0.5 / 127.5 + 1e-5
    again = tokenizer.enlarge(small)
    assert again.shape == frames.shape and again.dtype == torch.uint8


def test_tokenizer_learns_a_picture() -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer(widths=(16, 16, 32))
    ramp = torch.linspace(-1, 1, WIDTH).expand(4, 3, HEIGHT, WIDTH) * torch.tensor([1, -1, 0.5, 0])[:, None, None, None]
    method = torch.optim.AdamW(tokenizer.parameters(), lr=3e-3)
    errors = []
    for _ in range(60):
        error = (tokenizer.decode(tokenizer.encode(ramp)) - ramp).abs().mean()
        method.zero_grad()
        error.backward()
        method.step()
        errors.append(error.item())
    assert errors[-1] < 0.4 * errors[0]


def latent_context(b: int, t: int) -> Context:
    past = torch.randn(b, t, len(CONFIG.history), LATENT_CHANNELS, ROWS, COLUMNS)
    action, last, turn = torch.rand(b, t, ACTION_DIM), torch.rand(b, t, ACTION_DIM), torch.rand(b, t, 2)
    key, way = torch.zeros(b, t, 3, *CONFIG.size), torch.zeros(b, t, 6)
    pitch, noise, pace = torch.zeros(b, t), torch.zeros(b, t), torch.zeros(b, t, 4)
    return Context(past, action, last, turn, pitch, noise, key, way, key, pace)


def test_latent_model_says_what_the_world_model_says() -> None:
    torch.manual_seed(0)
    model = LatentModel(CONFIG)
    context = latent_context(2, 3)
    noised = torch.randn(2, 3, LATENT_CHANNELS, ROWS, COLUMNS)
    ages = causal_ages(2, 3, CONFIG.memory, noised.device)
    out = model(noised, torch.zeros(2, 3), torch.ones(2, 3), context, ages)
    assert torch.equal(out.frame, context.past[:, :, 0]), "an untrained model repeats the latent before"
    assert out.flow.shape == (2, 3, HEIGHT // CONFIG.cell, WIDTH // CONFIG.cell, 2)
    assert out.depth.shape == (2, 3, HEIGHT // CONFIG.cell, WIDTH // CONFIG.cell)
    assert out.events.shape == (2, 3, EVENT_COUNT) and out.travel.shape == (2, 3, 3) and out.pitch.shape == (2, 3)
    assert len(out.memory) == len(CONFIG.memory_layers)


def test_each_depth_comes_from_the_token_it_lies_in() -> None:
    torch.manual_seed(0)
    model = LatentModel(CONFIG)
    torch.nn.init.normal_(model.head.weight)
    context = latent_context(1, 1)
    x = torch.zeros(1, 1, ROWS * COLUMNS, CONFIG.width)
    x[:, :, COLUMNS + 2] = 1  # second row, third column
    model.trunk = lambda *_: (x, [])  # type: ignore[method-assign]
    out = model(context.past[:, :, 0], torch.zeros(1, 1), torch.ones(1, 1), context, torch.zeros(1, 1, 1))
    side = CONFIG.patch // CONFIG.cell
    depth = (out.depth[0, 0] - FIRST_DEPTH).abs()
    assert (depth[side:, 2 * side :] > 0).all()
    assert depth[:side].sum() == 0 and depth[side:, : 2 * side].sum() == 0


def test_rollout_of_the_pixels_dreams_latents(shards: Path) -> None:
    torch.manual_seed(0)
    arm = trial.Arm(LatentModel(CONFIG).eval(), Tokenizer().eval())
    batch = ShardSet([shards], CONFIG).batch(np.random.default_rng(0), 2, 3, cold=0.0)
    latents = rollout(arm.model, arm.seen(batch), 1, torch.Generator().manual_seed(0))
    assert latents.shape == (2, 3, ROWS, COLUMNS, LATENT_CHANNELS)
    newest = arm.seen(batch).past[:, CONFIG.past - 1 : CONFIG.past].expand_as(latents)
    assert torch.equal(latents, newest), "untrained, every tick repeats the newest known latent"
    assert arm.dream(batch).shape == (2, 3, HEIGHT, WIDTH, 3)


def test_held_windows_have_no_edits_and_are_always_the_same(shards: Path) -> None:
    held = ShardSet([shards], CONFIG)
    windows = heldout.held_windows(held, 3)
    assert windows.action.shape[:2] == (3, heldout.TICKS) and not windows.edited.any()
    assert torch.equal(windows.past, heldout.held_windows(held, 3).past)


def test_measures_of_known_frames() -> None:
    grey = torch.full((2, HEIGHT, WIDTH, 3), 100, dtype=torch.uint8)
    assert heldout.psnr(grey, grey) == pytest.approx(60)
    assert heldout.psnr(grey, grey + 51) == pytest.approx(-20 * math.log10(0.2), abs=1e-3)
    point = torch.zeros((1, 5, 5, 3), dtype=torch.uint8)
    point[0, 2, 2] = 1
    assert heldout.laplacian_energy(point) == pytest.approx((16 + 4) / 9)


def test_two_second_trial(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    count_steps(monkeypatch, 0.1)
    where = ["--data", str(shards), "--held", str(shards), "--out", str(tmp_path)]
    assert trial.main([*where, "--preset", "test", "--minutes", "0.0167", "--windows", "2"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result == json.loads((tmp_path / "trial.json").read_text("utf-8"))
    assert result["windows"] == 2 and (tmp_path / "trial.png").is_file()
    for arm in ("hybrid", "latent"):
        numbers = [value for name, value in result[arm].items() if name != "codec"]
        assert all(math.isfinite(value) for value in numbers)
        assert result[arm]["milliseconds"] > 0 and result[arm]["parameters"] > 0
        assert result[arm]["same_8"] < 60.01
    assert result["hybrid"]["codec"] is None and math.isfinite(result["latent"]["codec"])


def test_trial_without_shards_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--data", str(tmp_path), "--held", str(tmp_path), "--out", str(tmp_path / "out")]
    assert trial.main([*where, "--preset", "test"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_truth_is_put_in_tick_by_tick(shards: Path) -> None:
    torch.manual_seed(0)
    model = WorldModel(CONFIG).eval()
    batch = heldout.held_windows(ShardSet([shards], CONFIG), 2)
    said: list[tuple[torch.Tensor, torch.Tensor]] = []
    forward = WorldModel.forward

    def recorded(*given: object) -> object:
        out = forward(model, *given)  # type: ignore[arg-type]
        said.append((out.travel[:, 0], out.depth[:, 0]))
        return out

    model.forward = recorded  # type: ignore[method-assign, assignment]
    with limits.told(model, batch, travel=True, depth=True):
        heldout.dreamer(model, 1)(batch)
    assert len(said) == heldout.TICKS
    for tick, (travel, depth) in enumerate(said):
        assert torch.allclose(travel.float(), batch.travel[:, tick], atol=0.02), "all but what is taken as none"
        assert torch.allclose(depth.float(), batch.depth[:, tick + 1].log1p(), atol=0.02)
    heldout.dreamer(model, 1)(batch)
    assert not said[-1][0].any(), "the hooks are gone"


def test_where_errors_are_adds_up(shards: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_model(tmp_path, CONFIG, WorldModel(CONFIG).state_dict())
    found = limits.limits(shards, str(tmp_path), 2)
    for arm in limits.TOLD:
        for tick in heldout.HORIZONS:
            regions = [part for part in found[arm][str(tick)].values() if isinstance(part, dict)]
            assert sum(part["error"] for part in regions) == pytest.approx(1, abs=0.01)
            assert sum(part["area"] for part in regions) == pytest.approx(1, abs=0.01)


def test_what_was_in_sight_is_found_by_turning_back() -> None:
    """A third of a quarter turn in 32 ticks under a bare sky: what came in at the side was not in sight."""
    ticks, cells = heldout.TICKS, (HEIGHT // 4, WIDTH // 4)
    still = torch.zeros(1, ticks)
    parts = {
        "past": torch.zeros(1, CONFIG.past + ticks, HEIGHT, WIDTH, 3, dtype=torch.uint8),
        "known": torch.zeros(1),
        "turn": torch.stack((still, still + 1.0), dim=-1),
        "pitch": still,
        "travel": torch.zeros(1, ticks, 3),
        "depth": torch.full((1, ticks + 1, *cells), torch.inf),
    }
    batch = Batch(**{name: parts.get(name, torch.zeros(0)) for name in Batch._fields})
    seen = [limits.seen_at_first(batch, tick, CONFIG.field_of_view)[0].float() for tick in (1, 32)]
    assert seen[0].mean() > 0.9 and 0.4 < seen[1].mean() < 0.8
    assert seen[1][:, : WIDTH // 3].all() and not seen[1][:, -WIDTH // 4 :].any()
