"""An exported step with the transformer's large matrix products in eight bits.

Weights are rounded channel by channel when the file is made, activations frame by frame when it runs (dynamic
quantisation: no calibration, no range that a new world could fall out of). What comes first and last, the layers that
condition the blocks, attention itself and the convolutions stay in float.
"""

from __future__ import annotations

import logging
import re
import tempfile
from pathlib import Path
from typing import Any

from reverie.model.errors import ModelError

ROUNDED = re.compile(r"model\.blocks\.\d+\.(space|memory|mlp)")
"""Modules whose weights are rounded, by the names that `onnx_graph.name_by_module` gives."""


def quantised(model: Any) -> Any:
    """A copy of an `onnx.ModelProto`, rounded. Raises ModelError where nothing in it is to be rounded."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    names = [node.name for node in model.graph.node if node.op_type == "MatMul" and ROUNDED.match(node.name)]
    if not names:
        raise ModelError("export: found no layers to round to eight bits")
    logger = logging.getLogger()  # the quantiser advises on steps of its own that an export does not need
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            target = Path(scratch) / "step.onnx"
            quantize_dynamic(
                model,
                target,
                op_types_to_quantize=["MatMul"],
                nodes_to_quantize=names,
                per_channel=True,
                weight_type=QuantType.QInt8,
                extra_options={"MatMulConstBOnly": True},
            )
            return onnx.load(str(target))
    finally:
        logger.setLevel(level)
