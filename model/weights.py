"""Model folders: `config.json`, `model.safetensors`, `step.onnx`, `step.int8.onnx`, `teacher.safetensors`, `CARD.md`.
Never pickle.

Weights are stored in float16 and played in float32; the ONNX file is made from the same rounded numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.model.actions import ACTION_DIM
from reverie.model.config import ModelConfig
from reverie.model.errors import ModelError
from reverie.model.signature import Backend
from reverie.model.startup import TORCH, limit_torch, require

if TYPE_CHECKING:
    from torch import Tensor

    from reverie.model.world_model import WorldModel

BUNDLED = Path(__file__).parent / "shipped"
CONFIG, STUDENT, TEACHER = "config.json", "model.safetensors", "teacher.safetensors"
ONNX, INT8 = "step.onnx", "step.int8.onnx"
EXPORTS: dict[str, str] = {"onnx": ONNX, "onnx-int8": INT8}
"""Backends that run a file of the folder, and the file."""
BACKENDS = ("auto", *EXPORTS, "torch", "torch-bf16")
"""What can run a model, and at which precision (else float32). auto: ONNX where there is an export, else torch."""
DEVICES = ("auto", "cpu", "cuda")


def bundled_models() -> tuple[str, ...]:
    """Names of the models that ship with Reverie."""
    return tuple(sorted(folder.parent.name for folder in BUNDLED.glob(f"*/{CONFIG}")))


def model_folder(model: str) -> Path:
    """The folder of a bundled model, or the one that a path names. Raises ModelError."""
    if model in bundled_models():
        return BUNDLED / model
    folder = Path(model)
    if (folder / CONFIG).is_file():
        return folder
    if folder.is_dir():
        raise ModelError(f"{model}: not a model folder, it has no {CONFIG}")
    raise ModelError(
        f"unknown model {model!r}; bundled: {', '.join(bundled_models()) or 'none'}, or give a model folder"
    )


def read_record(folder: Path) -> Any:
    """The JSON in a model folder's `config.json`. Raises ModelError."""
    try:
        return json.loads((folder / CONFIG).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / CONFIG}: cannot be read ({error})") from error


def has_world(folder: Path) -> bool:
    """Whether a model is of the second edition, with a world behind its dreams. Raises ModelError."""
    record = read_record(folder)
    return isinstance(record, dict) and "edition" in record


def load_config(folder: Path) -> ModelConfig:
    """The configuration saved in a model folder. Raises ModelError."""
    record = read_record(folder)
    if isinstance(record, dict):  # weights that never learned to take the screen from earlier views do not say so
        record.setdefault("screen_views", False)
    return ModelConfig.from_dict(record)


def fingerprint(folder: Path) -> str:
    """Sixteen hexadecimal digits that name the weights in a folder."""
    digest = hashlib.sha256()
    for name in (CONFIG, STUDENT):
        path = folder / name
        if not path.is_file():
            raise ModelError(f"{folder}: {name} is missing")
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def load_model(folder: Path, file: str = STUDENT) -> WorldModel:
    """The network in a model folder, in float32 on the CPU. Raises ModelError."""
    import torch
    from safetensors.torch import load_file

    from reverie.model.world_model import HEIGHTS, WorldModel

    limit_torch()
    model = WorldModel(load_config(folder))
    path = folder / file
    try:
        tensors = load_file(path)
    except Exception as error:  # safetensors raises its own type, and OSError
        raise ModelError(f"{path}: cannot be read ({str(error).splitlines()[0][:120]})") from error
    if "overlay" in tensors:  # weights that know one shape of frames take that one's overlay for all
        for name, known in model.overlays(tensors["overlay"].float()).items():
            tensors.setdefault(name, known)
    # Weights that were never told where the horizon is, or what was done a tick ago.
    for name, new in (("head.join.weight", HEIGHTS), ("action.0.weight", ACTION_DIM)):
        rows, inputs, *kernel = model.get_parameter(name).shape
        if name in tensors and tensors[name].shape == (rows, inputs - new, *kernel):
            tensors[name] = torch.cat((tensors[name], tensors[name].new_zeros(rows, new, *kernel)), dim=1)
    try:
        model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=True)
    except RuntimeError as error:
        raise ModelError(f"{path}: does not hold the weights that {CONFIG} describes") from error
    return model.eval()


def save_model(folder: Path, config: ModelConfig, weights: Mapping[str, Tensor], file: str = STUDENT) -> None:
    """Writes the configuration and the weights, as float16, into `folder`."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(config.to_dict(), indent=2) + "\n", "utf-8")
    halves = {name: tensor.detach().to("cpu", torch.float16).contiguous() for name, tensor in weights.items()}
    save_file(halves, folder / file)


def open_backend(folder: Path, backend: str = "auto", device: str = "auto") -> Backend:
    """Whatever runs the model in `folder`; `backend` is one of `BACKENDS`, `device` of `DEVICES`. Raises ModelError."""
    if backend not in BACKENDS:
        raise ModelError(f"unknown backend {backend!r}; there are {', '.join(BACKENDS)}")
    if device not in DEVICES:
        raise ModelError(f"unknown device {device!r}; there are {', '.join(DEVICES)}")
    config = load_config(folder)
    if backend == "auto":
        backend = "onnx" if (folder / ONNX).is_file() else "torch"
    if backend in EXPORTS:
        exported = folder / EXPORTS[backend]
        if not exported.is_file():
            raise ModelError(f"{folder}: has no {exported.name}; make it with `reverie export`")
        from reverie.model.onnx_backend import OnnxBackend

        return OnnxBackend(exported, config, device, suffix=backend.removeprefix("onnx"))
    require("train", f"backend {backend}", TORCH)
    import torch

    from reverie.model.torch_backend import TorchBackend

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return TorchBackend(load_model(folder), device, "bf16" if backend == "torch-bf16" else "fp32")
