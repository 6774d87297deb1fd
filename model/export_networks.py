"""Trained networks as files that are played without torch: ONNX graphs, tables and JSON."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from reverie.model.frame import runtime as frame_runtime
from reverie.model.frame.features import HOUR_FEATURES, NUMBERS
from reverie.model.frame.network import FrameModel
from reverie.model.lift import runtime as lift_runtime
from reverie.model.lift.network import Lifter

OPSET = 20


def export_graph(network: nn.Module, inputs: dict[str, Tensor], dynamic: dict[str, dict[int, str]], path: Path) -> None:
    """One network as an ONNX file; `dynamic` names the axes of inputs whose lengths may differ."""
    axes = {
        name: {axis: torch.export.Dim(label, min=1) for axis, label in dynamic.get(name, {}).items()} for name in inputs
    }
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network.eval(), tuple(inputs.values()), dynamo=True, opset_version=OPSET, verbose=False,
            input_names=list(inputs), dynamic_shapes=tuple(axes.values()) if any(axes.values()) else None,
        )  # fmt: skip
    assert program is not None
    program.save(str(path), external_data=False)


def export_frames(model: FrameModel, folder: Path, size: tuple[int, int] = (96, 160)) -> None:
    """The frame model's files, as `frame.runtime.FrameRunner` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config
    (folder / frame_runtime.CONFIG).write_text(json.dumps(config.to_dict(), indent=1), encoding="utf-8")
    tables = {name: getattr(model, name).detach().contiguous() for name in ("textures", "kinds", "details")}
    save_file(tables, folder / frame_runtime.TABLES)
    h, w = size
    inputs = {
        "texture": torch.randn(1, h, w, 2, config.texture),
        "kind": torch.randn(1, h, w, 2, config.kind + config.detail),
        "numbers": torch.randn(1, h, w, 2, NUMBERS),
        "rays": torch.randn(1, h, w, 3),
        "hour": torch.randn(1, HOUR_FEATURES),
    }
    export_graph(model.net, inputs, {}, folder / frame_runtime.NETWORK)


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

    def forward(self, feature: Tensor, eye: Tensor, direction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, met = self.lifter.scores(feature, eye.expand(direction.shape[0], 3), direction)
        chance, choice = logits.softmax(1).max(1)
        metres = torch.cat([met, torch.full_like(met[:, :1], lift_runtime.FARTHER)], 1).gather(1, choice[:, None])[:, 0]
        return metres, chance, self.lifter.tokens(feature).argmax(1)


def export_lifter(lifter: Lifter, folder: Path, size: tuple[int, int] = (96, 160)) -> None:
    """The lifter's files, as `lift.runtime.OnnxLift` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / lift_runtime.CONFIG).write_text(json.dumps(lifter.config.to_dict(), indent=1), encoding="utf-8")
    h, w = size
    picture = {"image": torch.rand(1, h, w, 3) * 255, "directions": torch.randn(1, h, w, 3)}
    export_graph(_Features(lifter), picture, {}, folder / lift_runtime.FEATURES)
    n = lift_runtime.PIXELS_AT_ONCE
    pixels = {
        "feature": torch.randn(n, lifter.config.feature),
        "eye": torch.rand(1, 3),
        "direction": nn.functional.normalize(torch.randn(n, 3), dim=1),
    }
    export_graph(_Answers(lifter), pixels, {}, folder / lift_runtime.ANSWERS)
