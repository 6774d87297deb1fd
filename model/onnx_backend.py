"""ONNX Runtime: the fast path on a CPU, and on GPUs through its CUDA and TensorRT providers. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from reverie.model.config import ModelConfig
from reverie.model.errors import ModelError
from reverie.model.signature import INPUTS, OUTPUTS

PROVIDERS: dict[str, str] = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""In the order in which they are preferred."""


class OnnxBackend:
    """Runs an exported step. `device`: auto (the best there is), cuda or cpu. Raises ModelError."""

    def __init__(self, path: Path, config: ModelConfig, device: str = "auto", threads: int | None = None) -> None:
        import onnxruntime

        onnxruntime.set_default_logger_severity(4)
        here = onnxruntime.get_available_providers()
        wanted = ["cpu"] if device == "cpu" or not _has_gpu() else list(PROVIDERS)
        if device == "cuda" and wanted == ["cpu"]:
            raise ModelError("device cuda: this machine has no NVIDIA GPU")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
        options.inter_op_num_threads = 1
        providers = [PROVIDERS[name] for name in wanted if PROVIDERS[name] in here]
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # ONNX Runtime's own errors share no public base class
            raise ModelError(f"{path}: not a usable ONNX model ({str(error).splitlines()[0][:120]})") from error
        used = self._session.get_providers()[0]
        short = next(name for name, provider in PROVIDERS.items() if provider == used)
        if device == "cuda" and short == "cpu":
            raise ModelError("device cuda: ONNX Runtime could not start its CUDA provider")
        self.config = config
        self.name = f"onnx-{short}"
        self._outputs = list(OUTPUTS)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All of `INPUTS` in, all of `OUTPUTS` out."""
        results = self._session.run(self._outputs, {name: inputs[name] for name in INPUTS})
        return dict(zip(OUTPUTS, results, strict=True))


def _has_gpu() -> bool:
    """Whether the NVIDIA driver shows a device; asked first because providers log errors where there is none."""
    return Path("/proc/driver/nvidia/gpus").is_dir() or "CUDA_PATH" in os.environ
