"""Every backend and precision against plain torch: one pass, and 32 dreamed frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.demos import cli
from reverie.model import weights
from reverie.model.config import preset
from reverie.model.errors import ModelError
from reverie.model.onnx_backend import PROVIDERS, OnnxBackend, choose_providers
from reverie.model.onnx_export import example_inputs, export
from reverie.model.signature import OUTPUTS, Backend
from reverie.model.torch_backend import KEPT_SHAPES, TorchBackend
from reverie.model.weights import EXPORTS, INT8, ONNX, STUDENT, load_model, open_backend, save_model
from reverie.model.world_model import WorldModel
from reverie.simulator.action import Action
from reverie.simulator.dream import DreamWorld

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = preset("test")
FRAMES = 32
LIVELY = 0.02
"""Spread of what is added to fresh weights, so that none of the parts that begin at zero is silent."""
TOLERANCES: dict[str, tuple[float, float]] = {
    "onnx": (2e-4, 0.05),
    "onnx-bound": (2e-4, 0.05),
    "torch-static": (1e-6, 1e-6),
    "onnx-int8": (0.2, 0.4),
    "torch-bf16": (0.2, 0.4),
}
"""For one pass, the largest root mean square error of an output as a share of its own root mean square; for a dream's
frames, each from the true state before, the largest mean error of 255. Picked pixels can be whole colours off where a
rounding moves their source."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model none of whose parts is silent, with its exports."""
    torch.manual_seed(1)
    model = WorldModel(CONFIG).requires_grad_(False)
    for weight in model.parameters():
        weight.add_(torch.randn_like(weight) * LIVELY)
    path = tmp_path_factory.mktemp("model")
    save_model(path, CONFIG, model.state_dict())
    report = export(str(path), str(path))
    assert report["bytes"] == (path / ONNX).stat().st_size
    assert report["int8_bytes"] == (path / INT8).stat().st_size
    return path


def made(folder: Path, name: str) -> Backend:
    if name == "onnx-bound":
        return OnnxBackend(folder / ONNX, CONFIG, "cpu", bound=True)
    if name == "torch-static":
        return TorchBackend(load_model(folder), static=True)
    return open_backend(folder, name, "cpu")


def rollout(reference: Backend, other: Backend) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [FRAMES, h, w, 3] that the first dreams, and what the second makes of each of the first's states.

    A model of random weights is chaotic, and would tear two rollouts apart by itself.
    """
    first, second = DreamWorld(reference, "test"), DreamWorld(other, "test")
    down, across = np.mgrid[: CONFIG.size[0], : CONFIG.size[1]] / max(CONFIG.size)
    picture = np.stack([255 * down, 255 * across, 128 + 100 * np.sin(9 * down)], axis=-1).astype(np.uint8)
    state = first.start(picture, 5)
    frames = []
    for tick in range(FRAMES):
        action = Action(forward=tick % 3 == 0, camera=(1.0, -4.0 if tick > 12 else 3.0))
        seen = second.frame(second.step(state, action))
        state = first.step(state, action)
        frames.append((first.frame(state), seen))
    return np.stack([one for one, _ in frames]), np.stack([two for _, two in frames])


@pytest.mark.slow
@pytest.mark.parametrize("name", TOLERANCES)
@pytest.mark.parametrize("batch", [1, 3])
def test_a_pass_agrees_with_torch(folder: Path, name: str, batch: int) -> None:
    inputs = example_inputs(CONFIG, batch, seed=batch)
    reference, fast = (made(folder, each).run(inputs) for each in ("torch", name))
    for output in OUTPUTS:
        expected, seen = reference[output].astype(float), fast[output].astype(float)
        assert reference[output].shape == fast[output].shape and reference[output].dtype == fast[output].dtype
        error = np.sqrt(np.mean((seen - expected) ** 2) / max(np.mean(expected**2), 1e-12))
        assert error <= TOLERANCES[name][0], output


@pytest.mark.slow
@pytest.mark.parametrize("name", TOLERANCES)
def test_thirty_two_dreamed_frames_agree_with_torch(folder: Path, name: str) -> None:
    first, second = (frames.astype(int) for frames in rollout(made(folder, "torch"), made(folder, name)))
    errors = np.abs(first - second).mean(axis=(1, 2, 3))
    assert errors.max() <= TOLERANCES[name][1]
    assert np.abs(np.diff(first, axis=0)).mean() > 10 * errors.mean()  # the dream itself moves far more than that


def test_every_backend_has_a_tolerance_and_an_option() -> None:
    assert set(weights.BACKENDS) - {"auto", "torch"} <= set(TOLERANCES)
    assert cli.BACKENDS == weights.BACKENDS and cli.DEVICES == weights.DEVICES
    assert set(EXPORTS) < set(weights.BACKENDS)


@pytest.mark.slow
def test_eight_bits_are_used_and_named(folder: Path) -> None:
    import onnx

    kinds = [node.op_type for node in onnx.load(str(folder / INT8)).graph.node]
    blocks, memories = CONFIG.depth, len(CONFIG.memory_layers)
    assert kinds.count("MatMulInteger") == 4 * blocks + 3 * memories
    assert open_backend(folder, "onnx-int8", "cpu").name == "onnx-cpu-int8"
    assert open_backend(folder, "torch-bf16", "cpu").name == "torch-cpu-bf16"


@pytest.mark.slow
def test_a_folder_without_eight_bits_says_so(folder: Path, tmp_path: Path) -> None:
    save_model(tmp_path, CONFIG, load_model(folder).state_dict())
    with pytest.raises(ModelError, match=r"step\.int8\.onnx"):
        open_backend(tmp_path, "onnx-int8")


@pytest.mark.slow
@pytest.mark.parametrize("name", [ONNX, INT8])
def test_beside_its_weights_an_export_borrows_them_and_elsewhere_it_is_whole(
    folder: Path, tmp_path: Path, name: str
) -> None:
    export(str(folder), str(tmp_path))
    saved = (tmp_path / name).stat().st_size - (folder / name).stat().st_size
    assert saved > (0.5 if name == ONNX else 0.2) * (folder / STUDENT).stat().st_size
    inputs = example_inputs(CONFIG, 2)
    beside, alone = (OnnxBackend(place / name, CONFIG, "cpu").run(inputs) for place in (folder, tmp_path))
    assert all(np.array_equal(beside[output], alone[output]) for output in OUTPUTS)


@pytest.mark.slow
def test_slow_patterns_are_gone_and_nodes_tell_their_module(folder: Path) -> None:
    import onnx

    graph = onnx.load(str(folder / ONNX)).graph
    modules = {node.name.split("/")[0] for node in graph.node}
    assert {"model.blocks.0.mlp.0", "model.head", "step"} <= modules
    assert not [node for node in graph.node if node.metadata_props or node.doc_string]
    products = [node for node in graph.node if node.name.endswith(".product")]
    assert len(products) >= 5  # of the turn, the travel and the rays
    assert not [node for node in graph.node if node.op_type == "Reciprocal"]  # each norm is a division, to be fused
    assert [node.op_type for node in graph.node].count("Softmax") == CONFIG.depth + len(CONFIG.memory_layers)


@pytest.mark.slow
def test_bound_inputs_follow_the_arrays(folder: Path) -> None:
    backend, plain = made(folder, "onnx-bound"), made(folder, "onnx")
    inputs = example_inputs(CONFIG, 1)
    backend.run(inputs)
    changed = {**inputs, "pitch": inputs["pitch"] + 20, "past": 255 - inputs["past"]}
    for given in (changed, inputs):
        for output, expected in plain.run(given).items():
            assert np.array_equal(backend.run(given)[output], expected), output


@pytest.mark.slow
def test_static_memory_is_kept_for_a_few_sizes_alone(folder: Path) -> None:
    backend = TorchBackend(load_model(folder), static=True)
    plain = TorchBackend(load_model(folder))
    for batch in (1, 2, 3, 1):
        inputs = example_inputs(CONFIG, batch, seed=batch)
        first, second = backend.run(inputs), plain.run(inputs)
        assert all(np.array_equal(first[name], second[name]) for name in OUTPUTS)
        assert len(backend._passes) <= KEPT_SHAPES


def test_providers_are_chosen_best_first() -> None:
    everything = list(PROVIDERS.values())
    assert choose_providers("auto", everything, gpu=True) == everything
    assert choose_providers("auto", everything[1:], gpu=True) == everything[1:]
    assert choose_providers("auto", everything, gpu=False) == everything[2:]
    assert choose_providers("cpu", everything, gpu=True) == everything[2:]
    with pytest.raises(ModelError, match="no NVIDIA GPU"):
        choose_providers("cuda", everything, gpu=False)
