"""Fine-tuning: from a folder of recordings to a model and one report, with a small model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from clocks import count_steps
from safetensors.torch import load_file

from reverie.demos import finetune
from reverie.demos.finetune import rehearsal, rows_in
from reverie.model.config import preset
from reverie.model.errors import ModelError
from reverie.model.training.loop import LoopConfig
from reverie.model.training.phases import last_record
from reverie.model.weights import STUDENT, TEACHER, load_model, save_model
from reverie.model.world_model import WorldModel
from reverie.simulator.errors import ReverieError
from reverie.simulator.record import record
from reverie.simulator.shards import ShardPlan, write_shard

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = preset("test")
PLAN = ShardPlan(size=CONFIG.size, rows=64, episode=(40, 60))
LOOP = LoopConfig(batch=2)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, three recordings and three shards to rehearse; training counts steps of 0.6 seconds each."""
    count_steps(monkeypatch, 0.2)
    torch.manual_seed(0)
    weights = WorldModel(CONFIG).state_dict()
    save_model(tmp_path / "model", CONFIG, weights)
    record(tmp_path / "clips", episodes=3, ticks=60, seed=4, size=CONFIG.size, player="spinner")
    for index in range(3):
        write_shard(tmp_path / "shards" / f"{index:05d}", index, 3, PLAN)
    return tmp_path


@pytest.mark.slow
def test_fine_tuning_leaves_a_model_and_one_report(work: Path) -> None:
    arguments = {
        "data": str(work / "clips"), "out": str(work / "out"), "replay": str(work / "shards"), "held": 0.3,
        "replay_share": 0.5, "judged_windows": 2, "loop": LOOP, "export": False,
    }  # fmt: skip
    report = finetune.finetune(str(work / "model"), minutes=0.06, **arguments)
    assert report["clips"] == 2 and report["ticks"] == 120 and len(report["held"]) == 1
    assert report["rehearsed_ticks"] == 128 and report["rehearsed_share"] == pytest.approx(0.516)
    assert report["change"]["clips"]["psnr_1"] == pytest.approx(
        report["after"]["clips"]["psnr_1"] - report["before"]["clips"]["psnr_1"], abs=1e-3
    )
    assert {"voxel", "clips"} == report["before"].keys() == report["after"].keys()
    assert report == json.loads((work / "out" / "report.json").read_text())
    table = (work / "out" / "report.md").read_text()
    assert "held-out recordings" in table and report["held"][0] in table
    assert (work / "out" / "model" / STUDENT).read_bytes() != (work / "model" / STUDENT).read_bytes()
    assert not (work / "out" / "model" / TEACHER).exists()
    worth = {share: report["blend"][f"worth_{share:g}"] for share in finetune.BLENDS}
    share = report["blend"]["share"]
    assert worth[share] == max(worth.values())
    before, tuned, after = (load_model(work / name).state_dict() for name in ("model", "out/tuned", "out/model"))
    for name, weight in after.items():
        mean = tuned[name] if name.startswith("overlay") else before[name].lerp(tuned[name], share)
        torch.testing.assert_close(weight, mean, rtol=1e-3, atol=1e-5)
    steps = last_record(work / "out" / "distill")["step"]
    again = finetune.finetune(str(work / "model"), minutes=0.1, resume=True, **arguments)
    assert again["last"]["step"] > steps and again["before"] == report["before"]
    assert "critic" not in report["last"]["losses"]
    heard = {**arguments, "out": str(work / "heard"), "critic": True, "blended": 1.0}
    report = finetune.finetune(str(work / "model"), minutes=0.06, **heard)
    assert "critic" in report["last"]["losses"] and report["blend"] == {"share": 1.0}
    weights = [load_model(work / "heard" / name).state_dict() for name in ("tuned", "model")]
    assert all(torch.equal(weight, weights[1][name]) for name, weight in weights[0].items())


@pytest.mark.slow
def test_worth_is_what_dreams_gain_over_copying(work: Path) -> None:
    runs = {"voxel": finetune.voxel_runs(2, CONFIG.memory + CONFIG.past, CONFIG.size)}
    report = finetune.judged(work / "model", runs, work / "judged")["voxel"]
    mean = sum(report[f"gain_{tick}"] for tick in (1, 8, 32)) / 3
    assert finetune.gain(work / "model", runs["voxel"]) == pytest.approx(mean, abs=1e-2)
    others = finetune.voxel_runs(1, CONFIG.memory + CONFIG.past, CONFIG.size, first=1)
    assert others[0].seed == runs["voxel"][1].seed != runs["voxel"][0].seed


@pytest.mark.slow
def test_rehearsal_is_recorded_where_no_shards_are_given(tmp_path: Path) -> None:
    folder = rehearsal(None, tmp_path / "replay", 128, CONFIG, 0, 60.0, PLAN)
    assert rows_in(folder) == 128


@pytest.mark.slow
def test_what_cannot_be_fine_tuned_is_told_in_one_line(work: Path) -> None:
    rest = {"out": str(work / "x"), "minutes": 0.01, "export": False}
    (work / "empty").mkdir()
    for model, data in (("no-such", "clips"), ("model", "voxel"), ("model", "empty")):
        with pytest.raises(ReverieError) as caught:
            finetune.finetune(str(work / model), data=str(work / data), **rest)
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="no training shards to rehearse"):
        rehearsal(str(work / "empty"), work / "y", 10, CONFIG, 0, 1.0)


@pytest.mark.slow
def test_the_screen_of_the_recordings_is_learned(work: Path) -> None:
    known = torch.zeros(CONFIG.size)
    known[:2, :2] = 1
    model = WorldModel(CONFIG)
    model.overlay.copy_(known)
    save_model(work / "model", CONFIG, model.state_dict())
    for seed in range(3):
        record(work / "turning", episodes=1, ticks=200, seed=seed, size=CONFIG.size, player="spinner")
    rest = {"minutes": 0.01, "held": 0.0, "judged_windows": 1, "loop": LOOP, "export": False}
    overlays = {}
    for share in (0.0, 0.5):
        out = work / f"out{share}"
        replay = {"replay": str(work / "shards"), "replay_share": share}
        finetune.finetune(str(work / "model"), data=str(work / "turning"), out=str(out), **replay, **rest)
        overlays[share] = load_model(out / "model").overlay
    assert overlays[0.0].any() and not overlays[0.0][:2, :2].any()  # what is learned alone is the game's own
    assert torch.equal(overlays[0.5], torch.maximum(overlays[0.0], known))  # rehearsed worlds keep theirs
    finetune.finetune(
        str(work / "model"),
        data=str(work / "turning"),
        out=str(work / "kept"),
        replay_share=0.0,
        keep_screen=True,
        **rest,
    )
    assert torch.equal(load_model(work / "kept" / "model").overlay, known)


@pytest.mark.slow
def test_adapters_learn_little_and_are_merged() -> None:
    pytest.importorskip("peft")
    from reverie.model.training.lora import adapter_weights, add_adapters, merge_adapters

    torch.manual_seed(0)
    model = WorldModel(CONFIG)
    names, before = set(model.state_dict()), model.state_dict()["blocks.0.mlp.0.weight"].clone()
    whole = sum(weight.numel() for weight in model.parameters())
    adapted = add_adapters(model, 2)
    learning = [name for name, weight in adapted.named_parameters() if weight.requires_grad]
    assert learning and all(".lora_" in name for name in learning)
    assert sum(weight.numel() for weight in adapter_weights(adapted).values()) < whole / 3
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if name.startswith("blocks.0.mlp.0.lora_"):
                weight.fill_(0.1)
    merged = merge_adapters(adapted)
    assert set(merged.state_dict()) == names
    torch.testing.assert_close(merged.state_dict()["blocks.0.mlp.0.weight"], before + 2 * 0.1 * 0.1)


@pytest.mark.slow
def test_fine_tuning_by_adapters(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("peft")
    monkeypatch.setattr(finetune, "ENOUGH", 2)
    report = finetune.finetune(
        str(work / "model"), minutes=0.06, data=str(work / "clips"), out=str(work / "out"), replay_share=0.0, held=0.3,
        judged_windows=1, loop=LOOP, export=False, rank=2,
    )  # fmt: skip
    assert report["clips"] == 1 and len(report["held"]) == len(report["chosen_by"]) == 1
    assert report["held"] != report["chosen_by"]
    folder, share = work / "out" / "model", report["blend"]["share"]
    whole, scaled = (load_file(place / "adapter.safetensors") for place in (work / "out" / "tuned", folder))
    for name, part in whole.items():
        assert torch.equal(scaled[name], share * part if ".lora_B." in name else part), name
    assert report["rank"] == 2 and (folder / "adapter.safetensors").stat().st_size < (folder / STUDENT).stat().st_size
    old, new = (load_model(place).state_dict() for place in (work / "model", folder))
    assert old.keys() == new.keys()
    assert not torch.equal(old["blocks.0.mlp.0.weight"], new["blocks.0.mlp.0.weight"])
    assert torch.equal(old["blocks.0.mlp.0.bias"], new["blocks.0.mlp.0.bias"])
