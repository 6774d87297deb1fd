"""Fine-tuning of the frame model on footage without labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from clocks import count_steps

from reverie.demos import cli
from reverie.demos.footage import WINDOW, read_windows
from reverie.model.dream.model_folder import open_dream, read_config
from reverie.model.training.footage import screen_layer
from reverie.model.training.frames import reconstruction
from reverie.model.weights import model_folder
from reverie.simulator.clips import Clip
from reverie.simulator.record import record

MODEL = "tiny"


def moving(count: int = 20, seed: int = 0) -> np.ndarray:
    """uint8 [n, 24, 32, 3]: a picture that moves to the left by three pixels a frame."""
    wide = np.random.default_rng(seed).integers(0, 256, (24, 200, 3), dtype=np.uint8)
    return np.stack([wide[:, 3 * k : 3 * k + 32] for k in range(count)])


def test_a_screen_layer_is_what_stays_while_the_camera_moves() -> None:
    frames = moving()
    assert not screen_layer(frames).any()
    frames[:, 20:, 4:12] = frames[0, 20:, 4:12]
    found = screen_layer(frames)
    assert found[20:, 4:12].all() and found.sum() == found[20:, 4:12].sum()
    assert not screen_layer(np.repeat(frames[:1], 20, 0)).any()  # the camera rests: nobody can tell


def test_reconstruction_asks_for_detail_and_leaves_out_what_does_not_count() -> None:
    torch.manual_seed(0)
    target = torch.rand(1, 3, 32, 32)
    mean = torch.full_like(target, 0.5)
    other = torch.rand(1, 3, 32, 32)
    counts = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    counts[..., :16] = True
    assert reconstruction(target, target)[0] == 0
    blurred, noisy = (reconstruction(drawn, target) for drawn in (mean, other))
    assert blurred[1] < noisy[1]  # the mean is nearer
    term = {name: loss - 4 * square for name, (loss, square) in {"mean": blurred, "noise": noisy}.items()}
    assert term["noise"] < term["mean"] + 0.25 * ((other - target).abs().mean() - (mean - target).abs().mean())
    wrong = torch.where(counts, target, torch.rand_like(target))
    assert reconstruction(wrong, target, counts)[1] == 0


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    record(folder, episodes=3, ticks=60, seed=40, player="spinner", edits=False, hud=False)
    return folder


@pytest.mark.slow
def test_windows_hold_cameras_with_and_without_poses(clips: Path, tmp_path: Path) -> None:
    config, dream = read_config(model_folder(MODEL)), open_dream(model_folder(MODEL), "cpu", 1)[0]
    path = sorted(clips.glob("*.mp4"))[0]
    windows = read_windows(path, config, dream.lifter, 1.62, 9, 0)
    assert len(windows) == 2 and all(len(window.frames) == len(window.cameras) == WINDOW for window in windows)
    clip = Clip.load(path)
    assert clip.poses is not None
    yaws = sorted(window.cameras[0].yaw for window in windows)
    np.testing.assert_allclose(yaws, sorted(clip.poses[[0, 25], 3]), atol=1e-3)
    for line in (hidden := path.with_suffix(".jsonl")).read_text().splitlines():
        record_of = {key: value for key, value in json.loads(line).items() if key not in ("xpos", "yaw", "pitch")}
        with (tmp_path / hidden.name).open("a") as file:
            file.write(json.dumps(record_of) + "\n")
    (tmp_path / path.name).write_bytes(path.read_bytes())
    alone = read_windows(tmp_path / path.name, config, dream.lifter, 1.62, 2, 0)
    assert [len(window.frames) for window in alone] == [1, 1]


@pytest.mark.slow
def test_fine_tuning_leaves_a_model_that_plays(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    count_steps(monkeypatch, 0.05)
    (clips / "broken.mp4").write_bytes(b"no film")
    (clips / "broken.jsonl").write_text("{}\n")
    arguments = ["train", "finetune", "--model", MODEL, "--data", str(clips), "--out", str(tmp_path / "out")]
    arguments += ["--minutes", "0.1", "--judged", "2", "--replay-share", "0", "--held", "0.3", "--json"]
    assert cli.main(arguments) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["views"] >= 3 and report["held_views"] >= 1 and report["before"]["psnr"] != report["after"]["psnr"]
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    made = tmp_path / "out" / "model"
    weights = [(folder / "frame" / "frame.safetensors").read_bytes() for folder in (model_folder(MODEL), made)]
    assert weights[0] != weights[1]
    same = [(folder / "lift" / "lift.safetensors").read_bytes() for folder in (model_folder(MODEL), made)]
    assert same[0] == same[1]
    assert cli.main(["play", "--model", str(made), "--headless", "--frames", "2"]) == 0
    for refused in ("--critic", "--keep-screen"):
        assert cli.main([*arguments, refused]) == 2
