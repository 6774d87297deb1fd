"""Assembles a world model's folder from training runs, and writes its networks as ONNX files of static shapes."""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from reverie.model.cells import Vocabulary
from reverie.model.errors import ModelError
from reverie.model.land.columns import CHANNELS, LandFacts
from reverie.model.land.config import LandConfig
from reverie.model.land.networks import CellNet, ColumnNet
from reverie.model.land.world_model import CONFIG, PARTS, load_config

OPSET = 20
INPUTS: dict[str, tuple[str, ...]] = {
    "outline": ("columns",),
    "columns": ("columns", "context"),
    "cells": ("cells", "columns", "draft", "low"),
}


def build(part: str, config: LandConfig) -> nn.Module:
    """The network of a part, with fresh weights."""
    if part == "cells":
        return CellNet(config.cells)
    return ColumnNet(config.outline if part == "outline" else config.columns)


def example(part: str, config: LandConfig) -> tuple[Tensor, ...]:
    """Inputs of the right shapes, a batch of one."""
    if part == "cells":
        edge = config.cells.size
        crop = torch.zeros(1, edge, edge, edge, dtype=torch.int64)
        columns = torch.zeros(1, CHANNELS, edge, edge, dtype=torch.int64)
        return crop, columns, crop.clone(), torch.zeros(1, dtype=torch.int64)
    own = config.outline if part == "outline" else config.columns
    columns = torch.zeros(1, CHANNELS, own.size, own.size, dtype=torch.int64)
    if part == "outline":
        return (columns,)
    return columns, torch.zeros(1, CHANNELS, own.context, own.context, dtype=torch.int64)


def save_land(
    folder: Path, config: LandConfig, vocabulary: Vocabulary, facts: LandFacts, weights: dict[str, dict[str, Tensor]]
) -> None:
    """Writes `config.json` and a safetensors file for each part in `weights`, in float32."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {"config": config.to_dict(), "vocabulary": vocabulary.to_dict(), "facts": facts.to_dict()}
    (folder / CONFIG).write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    for part, tensors in weights.items():
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / f"{part}.safetensors")


def load_network(folder: Path, part: str) -> nn.Module:
    """A part's network with its weights, loaded strictly. Raises ModelError."""
    config, _, _ = load_config(folder)
    network = build(part, config)
    path = folder / f"{part}.safetensors"
    try:
        network.load_state_dict(load_file(path), strict=True)
    except RuntimeError as error:
        raise ModelError(f"{path}: does not hold the weights that {CONFIG} describes") from error
    except Exception as error:  # safetensors raises its own type, and OSError
        raise ModelError(f"{path}: cannot be read ({str(error).splitlines()[0][:120]})") from error
    return network.eval().requires_grad_(False)


def assemble(out: Path, runs: dict[str, Path]) -> None:
    """Makes a model's folder from the runs of its parts: their cooled weights where there are any, else their EMA.

    Raises ModelError where the runs are not of one vocabulary and configuration.
    """
    records = {part: json.loads((run / CONFIG).read_text("utf-8")) for part, run in runs.items()}
    first = next(iter(records.values()))
    if any(record[key] != first[key] for record in records.values() for key in ("config", "vocabulary", "facts")):
        raise ModelError("the runs are not of one vocabulary, configuration and survey")
    weights = {}
    for part, run in runs.items():
        cooled = run / "cooled.safetensors"
        weights[part] = load_file(cooled if cooled.is_file() else run / "ema.safetensors")
    config, vocabulary, facts = load_config(next(iter(runs.values())))
    save_land(out, config, vocabulary, facts, weights)


def export(folder: Path) -> dict[str, int]:
    """Writes an ONNX file for each part that has weights in the folder; returns their sizes in bytes.

    Raises ModelError, also where the optional packages onnx and onnxscript are missing.
    """
    try:
        import onnx
    except ImportError as error:
        raise ModelError("export needs the onnx package: pip install 'reverie[export]'") from error
    config, _, _ = load_config(folder)
    sizes = {}
    for part in PARTS:
        if not (folder / f"{part}.safetensors").is_file():
            continue
        path = folder / f"{part}.onnx"
        with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            raw = Path(scratch) / path.name
            torch.onnx.export(
                load_network(folder, part),
                example(part, config),
                str(raw),
                input_names=list(INPUTS[part]),
                output_names=["logits"],
                opset_version=OPSET,
                external_data=False,
                verbose=False,
                dynamo=True,
            )
            graph = onnx.load(str(raw))
        onnx.checker.check_model(graph)
        onnx.save(graph, str(path))
        sizes[part] = path.stat().st_size
    return sizes
