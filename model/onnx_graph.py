"""What is done to an exported graph before it is stored: names, faster forms of a few patterns, float16 weights and
where they lie.

Works on `onnx.GraphProto`s; nothing here needs torch.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np

SCOPES = "pkg.torch.onnx.name_scopes"
"""Under this name torch's exporter notes the modules that a node comes from, and the node last."""
ROOT = "step"
"""Stands for the outermost module in the names of nodes."""
LARGE = 1024
"""Weights of at least this many numbers are stored as float16."""


def name_by_module(graph: Any) -> None:
    """Puts the innermost module before the names of nodes and of what they give: model.blocks.0.mlp.2/node_7.

    So a profile can be read; ONNX Runtime names what it makes of several nodes after either.
    """
    fixed = {value.name for value in graph.output}
    renamed: dict[str, str] = {}
    for node in graph.node:
        scopes = next((item.value for item in node.metadata_props if item.key == SCOPES), "[]")
        modules = [scope for scope in ast.literal_eval(scopes)[:-1] if scope]
        module = modules[-1] if modules else ROOT
        node.name = f"{module}/{node.name}"
        renamed |= {name: f"{module}/{name}" for name in node.output if name and name not in fixed}
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for value in graph.value_info:
        value.name = renamed.get(value.name, value.name)


def forget_sources(graph: Any) -> None:
    """Drops what the exporter notes of each node's source: stack traces, with paths of the machine it ran on."""
    for item in [graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        item.ClearField("doc_string")
        item.ClearField("metadata_props")


def sums_to_products(graph: Any) -> int:
    """Replaces sums over a product of outer dimensions by the matrix product that they are; returns how many.

    (left [..., i, j, 1] * right [..., 1, j, k]).sum(-2) is left [..., i, j] @ right [..., j, k]. The network writes
    the sum, because autocast would round the product; ONNX Runtime takes many times longer over it.
    """
    from onnx import helper, numpy_helper

    shapes = _shapes(graph)
    numbers = {item.name: numpy_helper.to_array(item) for item in graph.initializer if item.dims == [1]}
    users = [name for node in graph.node for name in node.input]
    makers = {node.output[0]: node for node in graph.node if node.op_type == "Mul"}
    found = 0
    for node in list(graph.node):
        product = makers.get(node.input[0]) if node.op_type == "ReduceSum" and len(node.input) == 2 else None
        if product is None or users.count(node.input[0]) != 1 or _attribute(node, "keepdims", 1):
            continue
        left, right = (shapes.get(name, []) for name in product.input)
        rank = max(len(left), len(right))
        outer = min(len(left), len(right)) >= 3 and left[-1] == 1 and right[-3] == 1
        if not outer or int(numbers.get(node.input[1], np.zeros(1))[0]) not in (-2, rank - 2):
            continue
        found += 1
        axes = {axis: f"{node.name}.axis{-axis}" for axis in (-1, -3)}
        graph.initializer.extend(numpy_helper.from_array(np.array([axis]), name) for axis, name in axes.items())
        sides = [f"{node.name}.left", f"{node.name}.right"]
        replacement = [
            helper.make_node("Squeeze", [product.input[0], axes[-1]], [sides[0]], name=f"{node.name}.squeeze_left"),
            helper.make_node("Squeeze", [product.input[1], axes[-3]], [sides[1]], name=f"{node.name}.squeeze_right"),
            helper.make_node("MatMul", sides, [node.output[0]], name=f"{node.name}.product"),
        ]
        _replace(graph, node, replacement)
        graph.node.remove(product)
    return found


def unrolled_softmax(graph: Any) -> int:
    """Writes each softmax over another dimension than the last out in elementwise steps; returns how many.

    ONNX Runtime would transpose the array there and back, and go through it a few numbers at a time.
    """
    from onnx import helper, numpy_helper

    shapes = _shapes(graph)
    found = 0
    for node in list(graph.node):
        rank = len(shapes.get(node.output[0], []))
        axis = _attribute(node, "axis", -1) if node.op_type == "Softmax" else -1
        if not rank or axis in (-1, rank - 1):
            continue
        found += 1
        names = {part: f"{node.name}.{part}" for part in ("axis", "largest", "lowered", "powers", "total")}
        graph.initializer.append(numpy_helper.from_array(np.array([axis]), names["axis"]))
        steps = [
            ("ReduceMax", [node.input[0], names["axis"]], names["largest"]),
            ("Sub", [node.input[0], names["largest"]], names["lowered"]),
            ("Exp", [names["lowered"]], names["powers"]),
            ("ReduceSum", [names["powers"], names["axis"]], names["total"]),
            ("Div", [names["powers"], names["total"]], node.output[0]),
        ]
        nodes = [helper.make_node(kind, inputs, [output], name=f"{output}.{kind}") for kind, inputs, output in steps]
        for made in nodes:
            if made.op_type.startswith("Reduce"):
                made.attribute.append(helper.make_attribute("keepdims", 1))
        _replace(graph, node, nodes)
    return found


def fusable_norms(graph: Any) -> int:
    """Writes each x * (1 / root mean square) as a division and a scale, which ONNX Runtime fuses; returns how many.

    Norms without weights get a scale of ones.
    """
    from onnx import helper, numpy_helper

    shapes = _shapes(graph)
    weights = {item.name for item in graph.initializer}
    makers = {node.output[0]: node for node in graph.node if node.op_type == "Reciprocal"}
    found = 0
    for node in list(graph.node):
        inverse = makers.get(node.input[1]) if node.op_type == "Mul" else None
        width = shapes.get(node.output[0], [""])[-1]
        if inverse is None or not isinstance(width, int) or not width:
            continue
        found += 1
        scaled = any(
            user.op_type == "Mul" and user.input[0] == node.output[0] and user.input[1] in weights
            for user in graph.node
        )
        quotient = node.output[0] if scaled else f"{node.name}.quotient"
        made = [helper.make_node("Div", [node.input[0], inverse.input[0]], [quotient], name=f"{node.name}.divide")]
        if not scaled:
            ones = f"{node.name}.ones"
            graph.initializer.append(numpy_helper.from_array(np.ones(width, np.float32), ones))
            made.append(helper.make_node("Mul", [quotient, ones], [node.output[0]], name=f"{node.name}.scale"))
        _replace(graph, node, made)
        if not any(inverse.output[0] in user.input for user in graph.node):
            graph.node.remove(inverse)
    return found


def store_halves(graph: Any) -> None:
    """Replaces each large float32 weight by a float16 one and a cast, which ONNX Runtime folds when it loads."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT or int(np.prod(weight.dims)) < LARGE:
            continue
        numbers = numpy_helper.to_array(weight)
        with np.errstate(over="ignore"):
            halves = numbers.astype(np.float16)
        if not np.array_equal(halves.astype(np.float32), numbers):
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(halves, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    for node in reversed(casts):
        graph.node.insert(0, node)


def borrow_weights(graph: Any, file: Path) -> int:
    """Lets the graph read those float16 weights that a safetensors `file` beside it also holds from there (ONNX's
    external data), turned about first where it holds them so; returns how many bytes that saves.
    """
    from onnx import TensorProto, helper

    stored = _stored_halves(file)
    turns, saved = [], 0
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT16 or len(weight.raw_data) < 2 * LARGE:
            continue
        data, name = weight.raw_data, weight.name
        if data not in stored and len(weight.dims) == 2:
            data = np.frombuffer(data, np.uint16).reshape(tuple(weight.dims)).T.tobytes()
            if data in stored:
                weight.dims[:] = weight.dims[::-1]
                weight.name = f"{name}.turned"
                turns.append(helper.make_node("Transpose", [weight.name], [name], perm=[1, 0]))
        if data not in stored:
            continue
        saved += len(data)
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        place = {"location": file.name, "offset": str(stored[data]), "length": str(len(data))}
        weight.external_data.extend(_entry(key, value) for key, value in place.items())
    for node in turns:
        graph.node.insert(0, node)
    return saved


def _entry(key: str, value: str) -> Any:
    from onnx import StringStringEntryProto

    return StringStringEntryProto(key=key, value=value)


def _stored_halves(file: Path) -> dict[bytes, int]:
    """The float16 tensors of a safetensors file, and at which byte of it each begins.

    The file is eight bytes that say how long its JSON header is, the header, and the tensors.
    """
    content = file.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    entries = json.loads(content[8:begin])
    entries.pop("__metadata__", None)
    places = [entry["data_offsets"] for entry in entries.values() if entry["dtype"] == "F16"]
    return {content[begin + low : begin + high]: begin + low for low, high in places}


def _shapes(graph: Any) -> dict[str, list[int | str]]:
    """Sizes of every value whose shape is known; a name stands for one that is free."""
    shapes: dict[str, list[int | str]] = {item.name: list(item.dims) for item in graph.initializer}
    for value in [*graph.input, *graph.output, *graph.value_info]:
        shapes[value.name] = [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
    return shapes


def _attribute(node: Any, name: str, default: int) -> int:
    return next((item.i for item in node.attribute if item.name == name), default)


def _replace(graph: Any, node: Any, nodes: list[Any]) -> None:
    """Puts `nodes` in the place of `node`."""
    place = next(index for index, other in enumerate(graph.node) if other is node or other == node)
    graph.node.remove(node)
    for made in reversed(nodes):
        graph.node.insert(place, made)
