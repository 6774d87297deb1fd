"""The floor under a frame's time: its operations over the rate that this machine was measured to reach."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from reverie.demos.measure.amounts import Amounts
from reverie.model.config import ModelConfig
from reverie.model.cores import usable_cores
from reverie.model.errors import ModelError

GIGA = 1e9
FEWEST_PROBES = 20


class Operations(NamedTuple):
    """Additions and multiplications of one pass for one dream, in 10^9."""

    total: float
    rounded: float
    """Those that the int8 export does in eight bits."""


def operations(config: ModelConfig) -> Operations:
    """Counted in the network itself: matrix products, attention and convolutions. Needs torch."""
    import torch
    from torch import nn
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from reverie.model.onnx_export import example_inputs
    from reverie.model.onnx_int8 import ROUNDED
    from reverie.model.signature import INPUTS
    from reverie.model.step import DreamStep
    from reverie.model.world_model import WorldModel

    step = DreamStep(WorldModel(config)).eval()
    inputs = example_inputs(config, 1)
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), counter:  # the others are not counted on a CPU
        step(*(torch.from_numpy(inputs[name]) for name in INPUTS))
    tokens = (config.size[0] // config.patch) * (config.size[1] // config.patch)
    rounded = sum(
        2 * tokens * layer.in_features * layer.out_features
        for name, layer in step.named_modules()
        if isinstance(layer, nn.Linear) and ROUNDED.match(name)
    )
    return Operations(counter.get_total_flops() / GIGA, rounded / GIGA)


def machine_peak(amounts: Amounts) -> dict[str, float | None]:
    """10^9 operations a second of a large matrix product on all cores: the best of many. None where nothing runs it.

    fp32 and bf16 by torch, int8 (uint8 times int8) by ONNX Runtime, which needs the onnx package to be told so.
    """
    import torch

    side = amounts.probe_side
    a = torch.rand(side, side)
    half = a.to(torch.bfloat16)
    product = _int8_product(side)
    return {
        "fp32": _rate(lambda: a @ a, side, amounts),
        "bf16": _rate(lambda: half @ half, side, amounts),
        "int8": _rate(product, side, amounts) if product else None,
    }


def floor_ms(counted: Operations, peak: dict[str, float | None], backend: str) -> float | None:
    """The least milliseconds that a pass can take on a CPU at that peak; `backend` is one of `weights.BACKENDS`."""
    fp32, bf16, int8 = peak["fp32"], peak["bf16"], peak["int8"]
    if backend == "torch-bf16":
        seconds = counted.total / bf16 if bf16 else None
    elif backend == "onnx-int8":
        seconds = (counted.total - counted.rounded) / fp32 + counted.rounded / int8 if fp32 and int8 else None
    else:
        seconds = counted.total / fp32 if fp32 else None
    return None if seconds is None else round(seconds * 1000, 4)


def _rate(work: Callable[[], object], side: int, amounts: Amounts) -> float:
    """The best of as many runs as fit into the time, after one that does not count."""
    work()
    best, began, runs = np.inf, time.perf_counter(), 0
    while runs < FEWEST_PROBES or time.perf_counter() - began < amounts.probe_seconds:
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
        runs += 1
    return float(f"{2 * side**3 / best / GIGA:.4g}")  # never zero, however slow and busy the machine


def _int8_product(side: int) -> Callable[[], object] | None:
    try:
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        return None
    import onnxruntime

    rng = np.random.default_rng(0)
    weight = numpy_helper.from_array(rng.integers(-127, 127, (side, side), np.int8), "weight")
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "weight"], ["y"])],
        "probe",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [side, side])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [side, side])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own errors share no public base class
        raise ModelError(f"the eight-bit probe cannot be run ({str(error).splitlines()[0][:120]})") from error
    x = rng.integers(0, 255, (side, side), np.uint8)
    return lambda: session.run(None, {"x": x})
