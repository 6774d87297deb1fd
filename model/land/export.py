"""Assembles a world model's folder from training runs, and writes its networks as ONNX files of static shapes."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from reverie.model.cells import Vocabulary
from reverie.model.errors import ModelError
from reverie.model.export_networks import export_graph, load_halves, save_halves
from reverie.model.land.columns import CHANNELS, LandFacts
from reverie.model.land.config import LandConfig
from reverie.model.land.networks import CellNet, ColumnNet
from reverie.model.land.world_model import CONFIG, PARTS, load_config

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
    """Writes `config.json` and a safetensors file for each part in `weights`, as float16."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {"config": config.to_dict(), "vocabulary": vocabulary.to_dict(), "facts": facts.to_dict()}
    (folder / CONFIG).write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    for part, tensors in weights.items():
        network = build(part, config)
        network.load_state_dict(tensors)
        save_halves(network, folder / f"{part}.safetensors")


def load_network(folder: Path, part: str) -> nn.Module:
    """A part's network with its weights, loaded strictly. Raises ModelError."""
    config, _, _ = load_config(folder)
    return load_halves(build(part, config), folder / f"{part}.safetensors").requires_grad_(False)


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
    config, _, _ = load_config(folder)
    sizes = {}
    for part in PARTS:
        weights = folder / f"{part}.safetensors"
        if not weights.is_file():
            continue
        path = folder / f"{part}.onnx"
        inputs = dict(zip(INPUTS[part], example(part, config), strict=True))
        export_graph(load_network(folder, part), inputs, path, weights)
        sizes[part] = path.stat().st_size
    return sizes
