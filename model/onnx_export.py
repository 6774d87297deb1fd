"""The step as an ONNX file: fp32 arithmetic, weights stored as float16, to which they were rounded when saved."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reverie.model.actions import ACTION_DIM
from reverie.model.config import ModelConfig
from reverie.model.errors import ModelError
from reverie.model.recall import WAY_DIM
from reverie.model.signature import INPUTS, OUTPUTS, memory_shape
from reverie.model.step import DreamStep
from reverie.model.weights import ONNX, load_model, model_folder

OPSET = 20
LARGE = 1024
"""Weights of at least this many numbers are stored as float16."""


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
        "turn": normal(batch, 2) * 5,
        "pitch": normal(batch) * 20,
        "key": rng.integers(0, 256, (batch, height, width, 3), np.uint8),
        "way": np.concatenate((np.ones((batch, 1), np.float32), normal(batch, WAY_DIM - 1)), axis=1),
    }


def export(model: str, out: str) -> dict[str, Any]:
    """Writes `step.onnx` for the model in folder (or of the name) `model` into folder `out`; batch size is free.

    Raises ModelError, also where the optional packages onnx and onnxscript are missing.
    """
    try:
        import onnx
    except ImportError as error:
        raise ModelError("export needs the onnx package: pip install 'reverie[export]'") from error
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
    _forget_sources(graph.graph)
    _store_halves(graph.graph)
    onnx.checker.check_model(graph)
    onnx.save(graph, str(target))
    return {"onnx": str(target), "bytes": target.stat().st_size, "opset": OPSET}


def _forget_sources(graph: Any) -> None:
    """Drops what the exporter notes of each node's source: stack traces, with paths of the machine it ran on."""
    for item in [graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        item.ClearField("doc_string")
        item.ClearField("metadata_props")


def _store_halves(graph: Any) -> None:
    """Replaces each large float32 weight by a float16 one and a cast, which ONNX Runtime folds when it loads."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT or int(np.prod(weight.dims)) < LARGE:
            continue
        numbers = numpy_helper.to_array(weight)
        halves = numbers.astype(np.float16)
        if not np.array_equal(halves.astype(np.float32), numbers):
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(halves, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    for node in reversed(casts):
        graph.node.insert(0, node)
