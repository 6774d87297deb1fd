"""Studies on equal budgets: the losses of the ways to few steps, and a whole study in seconds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from reverie.demos import ablate as command
from reverie.demos import scaling
from reverie.model import flow
from reverie.model.config import preset
from reverie.model.training import ablate, heldout, phases
from reverie.model.training.adversarial import (
    QUIET_STEPS,
    RISING_STEPS,
    AdversarialLosses,
    critic_loss,
    seen_by_critic,
)
from reverie.model.training.data import Batch, ShardSet, ticks_of
from reverie.model.training.long_dreams import SLICE_TICKS, LongDreams, longest_ticks
from reverie.model.training.loop import LoopConfig
from reverie.model.training.losses import WEIGHTS, total_loss
from reverie.model.training.shortcut import ShortcutLosses, random_steps, shortcut_target
from reverie.model.training.student import distill_losses
from reverie.model.weights import STUDENT, TEACHER, save_model
from reverie.model.world_model import WorldModel
from reverie.simulator.shards import ShardPlan, write_shard

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
CONFIG = preset("test")
PLAN = ShardPlan(size=CONFIG.size, rows=160, episode=(60, 80), edit_every=60.0)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small shard of the voxel world."""
    folder = tmp_path_factory.mktemp("shards")
    write_shard(folder / "00000", 0, 3, PLAN)
    return folder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with untrained weights."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    weights = WorldModel(CONFIG).state_dict()
    for file in (TEACHER, STUDENT):
        save_model(folder, CONFIG, weights, file)
    return folder


def batch_of(shards: Path, windows: int = 2, ticks: int = 3) -> Batch:
    return ShardSet([shards], CONFIG).batch(np.random.default_rng(0), windows, ticks, cold=0.0)


def test_a_shortcut_ends_where_two_half_steps_end() -> None:
    """Followed from its start, the step lands on the second of two Euler steps of a curved flow."""
    torch.manual_seed(0)
    z, clean = torch.randn(2, 2, 3, 4, 4), torch.randn(2, 2, 3, 4, 4)

    def slow(at: torch.Tensor, level: torch.Tensor, size: torch.Tensor, *_: object) -> SimpleNamespace:
        return SimpleNamespace(frame=clean + flow.over_pixels(1 - level) * at.sin() * flow.over_pixels(size))

    level, size = torch.tensor([[0.0, 0.5], [0.25, 0.5]]), torch.tensor([[1.0, 0.5], [0.25, 0.25]])
    target = shortcut_target(slow, z, level, size, None, None)  # type: ignore[arg-type]
    here, at, half = z, level, size / 2
    for _ in range(2):
        predicted = slow(here, at, half).frame
        here = here + (predicted - here) * flow.over_pixels(half / (1 - at))
        at = at + half
    ends = z + (target - z) * flow.over_pixels(size / (1 - level))
    assert torch.allclose(ends, here, atol=1e-5)


def test_shortcut_steps_lie_on_their_grid() -> None:
    level, size = random_steps((40, 20), 8, torch.Generator().manual_seed(0), torch.device("cpu"))
    assert set(size.unique().tolist()) == {0.25, 0.5, 1.0}
    assert torch.equal(level / size, (level / size).round()) and (level + size <= 1).all()


def test_losses_of_students_fall(shards: Path) -> None:
    torch.manual_seed(0)
    batch, start = batch_of(shards), WorldModel(CONFIG)
    for losses in (distill_losses(start, 1, 0.0), ShortcutLosses(start, 0.0)):
        model = WorldModel(CONFIG)
        model.load_state_dict(start.state_dict())
        method = torch.optim.AdamW(model.parameters(), lr=1e-3)
        values = []
        for _ in range(32):
            loss = total_loss(losses(model.train(), batch, torch.Generator().manual_seed(2)))
            method.zero_grad()
            loss.backward()
            method.step()
            values.append(float(loss.detach()))
        assert values[-1] < 0.95 * values[0]


def test_shortcut_teacher_follows_its_student(shards: Path) -> None:
    torch.manual_seed(0)
    start, model = WorldModel(CONFIG), WorldModel(CONFIG)
    losses = ShortcutLosses(start)
    before = (losses.slow.embed.mix.weight - model.embed.mix.weight).abs().mean()
    losses(model.train(), batch_of(shards), torch.Generator().manual_seed(0))
    after = (losses.slow.embed.mix.weight - model.embed.mix.weight).abs().mean()
    assert 0 < after < before
    assert all(weight.grad is None for weight in losses.slow.parameters())


def critic_of(shards: Path) -> AdversarialLosses:
    return AdversarialLosses(None, 1, LongDreams(ShardSet([shards], CONFIG), 2, 0, torch.device("cpu")), 0.0)


def test_critic_learns_to_tell_frames_apart(shards: Path) -> None:
    torch.manual_seed(0)
    losses, generator, pitch, nothing = critic_of(shards), torch.Generator(), torch.zeros(4), torch.zeros(CONFIG.size)
    true, dreamed = (
        seen_by_critic(torch.rand(4, 3, *CONFIG.size) * much, pitch, nothing, CONFIG.field_of_view) for much in (1, 0.1)
    )
    spent = [losses.learn(true, dreamed, generator) for _ in range(30)]
    assert spent[-1] < 0.7 * spent[0]
    for one, two in zip(losses.critic(true), losses.critic(dreamed)):
        assert one.mean() > two.mean(), "patches of every size tell"
    sure, wrong = [torch.tensor([20.0])], [torch.tensor([-20.0])]
    assert critic_loss(sure, wrong) < 1e-6 < critic_loss(wrong, sure)


def test_critic_does_not_see_what_is_painted_on_the_screen() -> None:
    frames, overlay = torch.rand(2, 3, *CONFIG.size), torch.zeros(CONFIG.size)
    overlay[20:] = 1
    other = torch.where(overlay > 0, -frames, frames)
    one, two = (seen_by_critic(item, torch.zeros(2), overlay, CONFIG.field_of_view) for item in (frames, other))
    assert torch.equal(one, two)
    assert not torch.equal(one, seen_by_critic(frames, torch.zeros(2), 0 * overlay, CONFIG.field_of_view))


def test_critic_is_quiet_at_first_and_pulls_as_told(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    batch, model, losses = batch_of(shards), WorldModel(CONFIG).train(), critic_of(shards)
    generator = torch.Generator().manual_seed(0)
    # All these dreams have just begun, and of such the critic says nothing unless it is told to.
    loud = QUIET_STEPS + RISING_STEPS
    for asked, unheard, heard in ((0, -100, 0.0), (QUIET_STEPS, -100, 0.0), (loud, 0, 0.0), (loud, -100, 1.0)):
        losses.asked, losses.dreams.reached = asked, [0] * len(losses.dreams.reached)
        monkeypatch.setattr("reverie.model.training.adversarial.UNHEARD_TICKS", unheard)
        parts = losses(model, batch, generator)
        (gradient,) = torch.autograd.grad(parts["critic"], [model.head.out.weight], retain_graph=True)
        assert (float(gradient.abs().max()) > 0) == (heard > 0)
    assert set(parts) <= set(WEIGHTS) and all(bool(torch.isfinite(value)) for value in parts.values())
    assert losses.pull > 0
    total_loss(parts).backward()
    assert all(weight.grad is not None for weight in model.head.parameters())


def test_critic_goes_on_where_training_does(
    shards: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[AdversarialLosses] = []

    def watched(*given: Any) -> AdversarialLosses:
        made.append(AdversarialLosses(*given))
        return made[-1]

    monkeypatch.setattr(phases, "AdversarialLosses", watched)
    for steps in (3, 4):
        loop = LoopConfig(frames=steps * phases.STUDENT_TICKS)
        phases.train_phase("distill", [shards], tmp_path, CONFIG, 300.0, resume=steps > 3, init=teacher, loop=loop)
    before, after = made
    assert (before.asked, after.asked) == (3, 4) and after.learned == 8
    moved = [(one - two).abs().max() for one, two in zip(before.critic.parameters(), after.critic.parameters())]
    assert 0 < max(moved) < 0.01, "a step further, not begun anew"


def test_critic_is_not_heard_where_recordings_are_short(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reverie.model.training.long_dreams.SLICE_TICKS", 10_000)
    torch.manual_seed(0)
    batch, model, losses = batch_of(shards), WorldModel(CONFIG).train(), critic_of(shards)
    spent = []
    for way in (losses, distill_losses(None, 1, 0.0)):
        torch.manual_seed(1)
        parts = way(model, batch, torch.Generator().manual_seed(1))
        spent.append({name: float(value.detach()) for name, value in parts.items()})
    assert spent[0] == spent[1]


def test_long_dreams_go_on_from_themselves(shards: Path) -> None:
    torch.manual_seed(0)
    model, found = WorldModel(CONFIG), ShardSet([shards], CONFIG)
    dreams, generator = LongDreams(found, 1, 0, torch.device("cpu")), torch.Generator().manual_seed(0)
    assert dreams.ticks == longest_ticks(found) > 0 and dreams.ticks % SLICE_TICKS == 0
    past: dict[int, torch.Tensor] = {}
    went_on = 0
    for _ in range(40):
        reached = list(dreams.reached)
        batch, true, depth = dreams.go_on(model, 1, generator)
        assert batch.past.shape[1] == CONFIG.past + SLICE_TICKS and true.shape[1] == SLICE_TICKS
        moved = [index for index, (one, two) in enumerate(zip(reached or [0] * 5, dreams.reached)) if one != two]
        if len(moved) == 1 and dreams.reached[moved[0]]:
            index = moved[0]
            assert depth.tolist() == [dreams.reached[index] - SLICE_TICKS]
            if dreams.reached[index] > SLICE_TICKS:
                assert torch.equal(batch.past[0, : CONFIG.past], past[index]), "the dream before is the past now"
                went_on += 1
            past[index] = batch.past[0, -CONFIG.past :]
    assert went_on > 5
    assert model.training


def test_velocity_and_clean_frames_are_one_line_apart(shards: Path) -> None:
    batch = batch_of(shards)
    torch.manual_seed(0)
    model = ablate.VelocityModel(CONFIG)
    given = ticks_of(batch, 0, 2)
    assert given.action.shape[1] == 2 and given.depth.shape[1] == 3
    frames = heldout.dreamer(model.eval(), 1)(given)
    assert frames.shape == (2, 2, *CONFIG.size, 3) and frames.float().std() > 50, "untrained, it shows the noise"


def test_copying_gains_nothing(shards: Path) -> None:
    windows = heldout.held_windows(ShardSet([shards], CONFIG), 2)
    assert set(heldout.gains(heldout.copied_frames(windows), windows).values()) == {0.0}
    true = windows.past[:, -heldout.TICKS :]
    assert min(heldout.gains(true, windows).values()) > 0


def test_a_power_law_is_found_again() -> None:
    work = np.array([1e11, 1e12, 1e13])
    law = scaling.fit(work, 0.3 * (work / 1e12) ** -0.2)
    assert law.power == pytest.approx(-0.2) and law(1e12) == pytest.approx(0.3) and law.r2 == pytest.approx(1)
    curves = {"a": [{"flops": 1.0, "loss": 3.0}, {"flops": 4.0, "loss": 2.0}], "b": [{"flops": 2.0, "loss": 3.5}]}
    assert scaling.frontier(curves, "loss") == [(1.0, 3.0), (4.0, 2.0)]


@pytest.mark.parametrize("study", sorted(ablate.STUDIES))
def test_a_study_fills_its_page(
    study: str, shards: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    tiny = {
        "ablations": (ablate.Arm("base", "base"), ablate.Arm("velocity", "v-prediction", velocity=True)),
        "distill": (
            ablate.Arm("shortcut", "shortcut", "shortcut", steps=(1, 2)),
            ablate.Arm("shipped", "shipped", "student"),
        ),
        "scaling": tuple(ablate.Arm(f"width-{w}", "", changes={"width": w, "depth": 2}) for w in (16, 32)),
    }[study]
    plan = ablate.Study(tiny, 24, ablate.LoopConfig(batch=2, ticks=3), marks=(0.25, 0.5, 1.0))
    monkeypatch.setitem(ablate.STUDIES, study, plan)
    page = tmp_path / "page.md"
    page.write_text(f"Before.\n<!-- {study} -->\n<!-- /{study} -->\nAfter.\n", "utf-8")
    where = ["--data", str(shards), "--held", str(shards), "--out", str(tmp_path), "--page", str(page)]
    line = [study, *where, "--preset", "test", "--teacher", str(teacher), "--windows", "1"]
    assert command.main([*line, "--only", tiny[0].name]) == 0
    first = json.loads((tmp_path / f"{study}.json").read_text("utf-8"))
    assert list(first["arms"]) == [tiny[0].name]
    assert command.main(line) == 0
    result = json.loads((tmp_path / f"{study}.json").read_text("utf-8"))
    assert list(result["arms"]) == [arm.name for arm in tiny]
    assert result["arms"][tiny[0].name] == first["arms"][tiny[0].name], "a finished arm is not run again"
    assert all(math.isfinite(x) for arm in result["arms"].values() for x in arm["steps"]["1"].values())
    text = page.read_text("utf-8")
    assert text.startswith("Before.") and text.endswith("After.\n") and text.count("\n|") >= 4
    assert (tmp_path / f"{tiny[0].name}.png").is_file()
    if study == "scaling":
        assert [point["frames"] for point in result["arms"]["width-16"]["curve"]] == [6, 12, 24]
        works = [arm["curve"][-1]["flops"] for arm in result["arms"].values()]
        assert works[0] < works[1]
        assert np.asarray(Image.open(tmp_path / "pictures" / "scaling.png")).std() > 1
    assert command.main([*line, "--only", "nobody"]) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].endswith("has no arms nobody")
