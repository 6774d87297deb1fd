"""The step as ONNX files: one with fp32 arithmetic, one with the transformer in eight bits (`onnx_int8.py`).

Float weights are stored as float16, to which they were rounded when saved. An export into the model's own folder reads
them from the `model.safetensors` beside it, so that they lie there once; an export elsewhere is one file.
"""

from __future__ import annotations

import importlib
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reverie.model import onnx_graph
from reverie.model.actions import ACTION_DIM
from reverie.model.config import ModelConfig
from reverie.model.errors import ModelError
from reverie.model.onnx_int8 import quantised
from reverie.model.recall import PACE_DIM, WAY_DIM
from reverie.model.signature import INPUTS, OUTPUTS, memory_shape
from reverie.model.step import DreamStep
from reverie.model.weights import INT8, ONNX, STUDENT, load_model, model_folder

OPSET = 20


def example_inputs(config: ModelConfig, batch: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs of the right shapes, as for a dream whose memory is full."""
    rng = np.random.default_rng(seed)
    height, width = config.size
    shape = memory_shape(config, batch, config.size)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    return {
        "noised": normal(batch, 3, height, width),
        "level": np.zeros(batch, np.float32),
        "size": np.ones(batch, np.float32),
        "past": rng.integers(0, 256, (batch, config.past, height, width, 3), np.uint8),
        "keys": normal(*shape),
        "values": normal(*shape),
        "ages": np.tile(np.arange(1, config.memory + 1, dtype=np.float32), (batch, 1)),
        "action": np.abs(normal(batch, ACTION_DIM)),
        "last_action": np.abs(normal(batch, ACTION_DIM)),
        "turn": normal(batch, 2) * 5,
        "pitch": normal(batch) * 20,
        "key": rng.integers(0, 256, (batch, height, width, 3), np.uint8),
        "way": np.concatenate((np.ones((batch, 1), np.float32), normal(batch, WAY_DIM - 1)), axis=1),
        "rest": rng.integers(0, 256, (batch, height, width, 3), np.uint8),
        "pace": np.concatenate((np.ones((batch, 1), np.float32), normal(batch, PACE_DIM - 1) * 0.2), axis=1),
    }


def require_packages() -> None:
    """Raises ModelError where a package is missing that `export` needs."""
    for name in ("onnx", "onnxscript"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ModelError(f"export to ONNX needs the package {name}: pip install 'reverie[export]'") from error


def export(model: str, out: str) -> dict[str, Any]:
    """Writes `step.onnx` and `step.int8.onnx` for the model in folder (or of the name) `model` into folder `out`.

    The batch size is free. In the model's own folder the files share its weights. Raises ModelError, also
    where the optional packages onnx and onnxscript are missing (`require_packages`).
    """
    require_packages()
    import onnx

    folder = model_folder(model)
    network = load_model(folder)
    step = DreamStep(network).eval().requires_grad_(False)
    inputs = example_inputs(network.config, batch=2)
    batch = torch.export.Dim("batch", min=1, max=4096)
    target = Path(out) / ONNX
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = Path(scratch) / ONNX
        torch.onnx.export(
            step,
            tuple(torch.from_numpy(inputs[name]) for name in INPUTS),
            str(raw),
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes={name: {0: batch} for name in INPUTS},
            opset_version=OPSET,
            external_data=False,
            verbose=False,
            dynamo=True,
        )
        graph = onnx.load(str(raw))
    onnx_graph.name_by_module(graph.graph)
    onnx_graph.forget_sources(graph.graph)
    onnx_graph.sums_to_products(graph.graph)
    onnx_graph.unrolled_softmax(graph.graph)
    onnx_graph.fusable_norms(graph.graph)
    rounded = quantised(graph)
    weights, sizes = target.with_name(STUDENT), {}
    for name, proto in ((ONNX, graph), (INT8, rounded)):
        onnx_graph.store_halves(proto.graph)
        if weights.is_file() and weights.samefile(folder / STUDENT):
            onnx_graph.borrow_weights(proto.graph, weights)
        path = target.with_name(name)
        onnx.save(proto, str(path))
        onnx.checker.check_model(str(path))
        sizes[name] = path.stat().st_size
    return {
        "onnx": str(target),
        "bytes": sizes[ONNX],
        "int8": str(target.with_name(INT8)),
        "int8_bytes": sizes[INT8],
        "opset": OPSET,
    }
