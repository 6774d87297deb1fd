"""Trained networks as files that are played without torch: ONNX graphs and JSON, beside the weights.

Each network has a folder of its own. Its weights lie in it once, as float16; the graphs read them from there.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from reverie.model import onnx_graph
from reverie.model.errors import ModelError
from reverie.model.frame import runtime as frame_runtime
from reverie.model.frame.features import HOUR_FEATURES, NUMBERS
from reverie.model.frame.network import FrameModel
from reverie.model.lift import runtime as lift_runtime
from reverie.model.lift.network import Lifter

OPSET = 20
SIDE = 4
"""Frames have sides that are multiples of this."""


def export_graph(
    network: nn.Module, inputs: dict[str, Tensor], path: Path, weights: Path, dynamic: Sequence[dict[int, Any]] = ()
) -> None:
    """One network as an ONNX file that reads what it can from `weights`, a safetensors file beside it.

    `dynamic` names the axes of each input whose lengths are free. Raises ModelError without the package onnx.
    """
    try:
        import onnx
    except ImportError as error:
        raise ModelError("export needs the onnx package: pip install 'reverie[export]'") from error
    with warnings.catch_warnings(), torch.no_grad(), tempfile.TemporaryDirectory() as scratch:
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network.eval(), tuple(inputs.values()), dynamo=True, opset_version=OPSET, verbose=False,
            input_names=list(inputs), dynamic_shapes=tuple(dynamic) or None,
        )  # fmt: skip
        assert program is not None
        raw = Path(scratch) / path.name
        program.save(str(raw), external_data=False)
        model = onnx.load(str(raw))
    onnx_graph.forget_sources(model.graph)
    onnx_graph.store_halves(model.graph)
    onnx_graph.borrow_weights(model.graph, weights)
    onnx.save(model, str(path))


def save_halves(network: nn.Module, path: Path) -> None:
    """Writes a network's weights as float16, and rounds the network to them."""
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.dtype.is_floating_point:
                value.copy_(value.half().to(value.dtype))
    path.parent.mkdir(parents=True, exist_ok=True)
    halves = {
        name: value.detach().cpu().contiguous().half() if value.dtype.is_floating_point else value.detach().cpu()
        for name, value in network.state_dict().items()
    }
    save_file(halves, path)


def load_halves(network: nn.Module, path: Path) -> nn.Module:
    """The network with weights that `save_halves` wrote, in float32. Raises ModelError."""
    try:
        tensors = load_file(path)
        network.load_state_dict({name: t.float() if t.dtype == torch.float16 else t for name, t in tensors.items()})
    except Exception as error:  # safetensors raises its own type, and OSError
        raise ModelError(f"{path}: cannot be used ({str(error).splitlines()[0][:120]})") from error
    return network.eval()


def export_frames(model: FrameModel, folder: Path, size: tuple[int, int] = (96, 160)) -> None:
    """The frame model's files, as `frame.runtime.FrameRunner` reads them; they draw frames of any size."""
    config, weights = model.config, folder / frame_runtime.WEIGHTS
    save_halves(model, weights)
    (folder / frame_runtime.CONFIG).write_text(json.dumps(config.to_dict(), indent=1), encoding="utf-8")
    h, w = size
    rows, columns = torch.export.Dim("rows", min=2), torch.export.Dim("columns", min=2)
    picture = {1: SIDE * rows, 2: SIDE * columns}
    inputs = {
        "texture": torch.randn(1, h, w, 2, config.texture),
        "kind": torch.randn(1, h, w, 2, config.kind + config.detail),
        "numbers": torch.randn(1, h, w, 2, NUMBERS),
        "rays": torch.randn(1, h, w, 3),
        "hour": torch.randn(1, HOUR_FEATURES),
    }
    export_graph(model.net, inputs, folder / frame_runtime.NETWORK, weights, [picture] * 4 + [{}])


class _Features(nn.Module):
    def __init__(self, lifter: Lifter) -> None:
        super().__init__()
        self.lifter = lifter

    def forward(self, image: Tensor, directions: Tensor) -> Tensor:
        return self.lifter.features(image.permute(0, 3, 1, 2) / 127.5 - 1, directions)


class _Answers(nn.Module):
    def __init__(self, lifter: Lifter) -> None:
        super().__init__()
        self.lifter = lifter

    def forward(self, feature: Tensor, eye: Tensor, direction: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        found = self.lifter.answer(feature, eye.expand(direction.shape[0], 3), direction)
        return found.distance, found.chance, found.clear, found.token


def export_lifter(lifter: Lifter, folder: Path, size: tuple[int, int] = (96, 160)) -> None:
    """The lifter's files, as `lift.runtime.OnnxLift` reads them."""
    weights = folder / lift_runtime.WEIGHTS
    save_halves(lifter, weights)
    (folder / lift_runtime.CONFIG).write_text(json.dumps(lifter.config.to_dict(), indent=1), encoding="utf-8")
    h, w = size
    picture = {"image": torch.rand(1, h, w, 3) * 255, "directions": torch.randn(1, h, w, 3)}
    export_graph(_Features(lifter), picture, folder / lift_runtime.FEATURES, weights)
    n = lift_runtime.PIXELS_AT_ONCE
    pixels = {
        "feature": torch.randn(n, lifter.config.feature),
        "eye": torch.rand(1, 3),
        "direction": nn.functional.normalize(torch.randn(n, 3), dim=1),
    }
    count = {0: torch.export.Dim("pixels", min=2, max=n)}
    export_graph(_Answers(lifter), pixels, folder / lift_runtime.ANSWERS, weights, [count, {}, count])
