"""The benchmark's figures, on the smallest model there is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from reverie.demos import bench
from reverie.model.errors import ModelError, ReverieError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch = pytest.importorskip("torch")
    from reverie.model.config import preset
    from reverie.model.weights import save_model
    from reverie.model.world_model import WorldModel

    torch.manual_seed(0)
    save_model(tmp_path / "m", preset("test"), WorldModel(preset("test")).state_dict())
    return tmp_path / "m"


def test_bench(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "STEPS": 6,
        "WARM_UP": 1,
        "BATCHES": (1, 3),
        "BATCH_PASSES": 2,
        "STARTS": 1,
        "VOXEL_STEPS": 5,
    }.items():
        monkeypatch.setattr(bench, name, value)
    report = bench.bench(str(model), backend="torch", device="cpu")
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["backend"] == "torch-cpu" and list(report["backends"]) == ["torch-cpu"]
    assert (report["height"], report["width"]) == (32, 48)
    assert report["fps"] > 0 and 0 < report["p50_ms"] <= report["p99_ms"]
    assert list(report["batch_fps"]) == ["1", "3"] and min(report["batch_fps"].values()) > 0
    assert 0 < report["first_frame_s"] <= report["play_once_s"] + 0.05
    assert 30 < report["peak_mib"] < 8000
    assert report["voxel_fps"] > 0
    assert report["machine"]["cores"] >= 1 and report["machine"]["torch"]


def test_backends_that_are_there(model: Path) -> None:
    assert bench.available_backends(model) == ["torch"]
    (model / bench.ONNX).write_bytes(b"")
    assert bench.available_backends(model)[0] == "onnx"


def test_a_model_that_is_not_there() -> None:
    with pytest.raises(ModelError, match="unknown model"):
        bench.bench("nobody")


def test_what_play_complains_about_is_passed_on() -> None:
    with pytest.raises(ReverieError, match="unknown model 'nobody'"):
        bench.play_start("nobody", "auto", "auto", np.zeros((32, 48, 3), np.uint8))
