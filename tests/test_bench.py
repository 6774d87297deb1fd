"""The benchmark's figures, on the smallest model there is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fake_world import FakeWorld

from reverie.demos import bench
from reverie.demos.measure import floor, longrun, parts, starts
from reverie.demos.measure.amounts import Amounts, start_picture
from reverie.demos.measure.longrun import long_run, resident_mib
from reverie.model.config import preset
from reverie.model.errors import ModelError, ReverieError
from reverie.simulator.history import HistoryConfig
from reverie.simulator.session import Simulator

FEW = Amounts(
    steps=6, warm_up=1, batches=(1, 3), batch_passes=2, profiled=2, starts=1, voxel_steps=4, envs=(2,), clips=1,
    probe_side=64, probe_seconds=0.01,
)  # fmt: skip
CONFIG = preset("test")
LONG_TICKS = 2000
GROWTH_MIB = 24.0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch = pytest.importorskip("torch")
    from reverie.model.weights import save_model
    from reverie.model.world_model import WorldModel

    path = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    save_model(path, CONFIG, WorldModel(CONFIG).state_dict())
    return path


@pytest.mark.slow
def test_bench(model: Path) -> None:
    report = bench.bench(str(model), backend="torch", device="cpu", settle_seconds=0.0, long=0.01, amounts=FEW)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["backend"] == "torch-cpu" and list(report["backends"]) == ["torch-cpu"]
    assert (report["height"], report["width"]) == CONFIG.size
    assert report["fps"] > 0 and 0 < report["p50_ms"] <= report["p99_ms"]
    assert list(report["batch_fps"]) == ["1", "3"] and min(report["batch_fps"].values()) > 0
    assert report["first_frame_s"] > 0 and report["play_once_s"] > 0
    assert 30 < report["peak_mib"] < 8000
    assert 3 < report["psnr_32"] <= 60
    assert set(report["host_ms"]) == {"noise", "pass", "new state", "other host work"}
    assert min(report["host_ms"]["pass"], report["host_ms"]["noise"], report["pass_ms"]) > 0
    assert report["gap"] == pytest.approx(report["pass_ms"] / report["floor_ms"], abs=0.01)
    assert report["voxel_fps"] > 0 and report["env_fps"]["voxel"]["2"] > 0 and report["env_fps"]["dream"]["2"] > 0
    assert report["long"]["ticks"] == 12
    assert report["machine"]["cores"] >= 1 and report["machine"]["torch"]


@pytest.mark.slow
def test_operations_are_those_of_the_layers() -> None:
    pytest.importorskip("torch")
    counted = floor.operations(CONFIG)
    d, tokens = CONFIG.width, 6
    block = tokens * 2 * (3 * d * d + d * d + 8 * d * d)
    memory = tokens * 2 * (d * d + d * d + d * d)  # queries; keys and values of half the heads; the way out
    assert counted.rounded == pytest.approx((CONFIG.depth * block + memory) / floor.GIGA)
    head = 8 * 12 * 2 * 9 * CONFIG.cell_width**2 * 3
    assert counted.total > counted.rounded + head / floor.GIGA


def test_floors_take_the_rate_of_their_precision() -> None:
    counted, peak = floor.Operations(3.0, 2.0), {"fp32": 100.0, "bf16": 300.0, "int8": 200.0}
    assert floor.floor_ms(counted, peak, "onnx") == floor.floor_ms(counted, peak, "torch") == 30.0
    assert floor.floor_ms(counted, peak, "torch-bf16") == 10.0
    assert floor.floor_ms(counted, peak, "onnx-int8") == 20.0
    assert floor.floor_ms(counted, {**peak, "int8": None}, "onnx-int8") is None


def test_nodes_belong_to_parts() -> None:
    names = {
        "model.embed.mix/node_MatMul_269_kernel_time": "embed",
        "model.blocks.2.condition/node_9": "condition",
        "model.action.0/node_7": "condition",
        "model.blocks.0.space.qkv/node_linear_10": "attention in the frame",
        "model.blocks.11.memory/node_Softmax": "attention to the memory",
        "model.blocks.0.mlp.2/node_MatMul_quant": "mlp",
        "model.blocks.0/node_mul": "norms and gates",
        "model.head.spread/node": "head",
        "model/node_GridSample": "warps and mixing",
        "step/node_select": "input and output",
        "QuickGelu_12": parts.OTHER,
    }
    for name, part in names.items():
        assert parts.part_of(name) == part


def test_a_profile_divides_the_pass(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    from reverie.model.signature import INPUTS

    nodes = [
        helper.make_node("Exp", [INPUTS[0]], ["a"], name="model.head/node_exp"),
        helper.make_node("MatMul", ["a", "a"], ["b"], name="model.blocks.0.mlp/node_product"),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [64, 64]) for name in (*INPUTS, "b")]
    graph = helper.make_graph(nodes, "step", values[:-1], values[-1:])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10),
        str(tmp_path / "step.onnx"),
    )
    inputs = {name: np.zeros((64, 64), np.float32) for name in INPUTS}
    found = parts.graph_parts(tmp_path / "step.onnx", inputs, 8.0, FEW)
    assert set(found) == {"head", "mlp"} and sum(found.values()) == pytest.approx(8.0, abs=0.01)


def test_backends_that_are_there(model: Path, tmp_path: Path) -> None:
    assert bench.available_backends(model) == ["torch", "torch-bf16"]
    for name in ("step.onnx", "step.int8.onnx"):
        (tmp_path / name).write_bytes(b"")
    assert bench.available_backends(tmp_path)[:2] == ["onnx", "onnx-int8"]


def test_a_model_that_is_not_there() -> None:
    with pytest.raises(ModelError, match="unknown model"):
        bench.bench("nobody")


def test_what_play_complains_about_is_passed_on() -> None:
    with pytest.raises(ReverieError, match="unknown model 'nobody'"):
        starts.play_start("nobody", "auto", "auto", start_picture((32, 48)), starts=1)


@pytest.mark.slow
def test_a_long_dream_neither_grows_nor_slows(model: Path) -> None:
    torch = pytest.importorskip("torch")
    from reverie.model.torch_backend import TorchBackend
    from reverie.model.weights import load_model
    from reverie.simulator.dream import DreamWorld

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        limits = HistoryConfig(dense=5, every=20, span=150, keyframes=10)
        sim = Simulator(DreamWorld(TorchBackend(load_model(model)), "m"), start_picture(CONFIG.size), history=limits)
        found = long_run(sim, LONG_TICKS)
    finally:
        torch.set_num_threads(threads)
    assert found["ticks"] == LONG_TICKS == sim.tick
    assert sim._past.kept <= limits.dense + limits.keyframes
    assert found["ticks_to_go_back"] <= limits.span + limits.every + 1
    assert found["late_mib"] - found["early_mib"] < GROWTH_MIB
    assert found["late_ms"] > 0 and found["early_ms"] > 0


def test_growth_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    hoard: list[np.ndarray] = []

    class Hoarder(FakeWorld):
        def step(self, state, action):
            hoard.append(np.ones(2**18))  # 2 MiB
            return super().step(state, action)

    found = long_run(Simulator(Hoarder(), None), 60)
    assert len(hoard) == 60 and resident_mib() > 0
    monkeypatch.setattr(longrun, "resident_mib", lambda: 100.0 + 2.0 * len(hoard))  # an allocator may have room left
    found = long_run(Simulator(Hoarder(), None), 60)
    assert found["late_mib"] - found["early_mib"] > 60
