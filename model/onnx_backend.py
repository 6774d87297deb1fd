"""ONNX Runtime: the fast path on a CPU, and on GPUs through its TensorRT and CUDA providers. Imports no torch."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from reverie.model.config import ModelConfig
from reverie.model.cores import usable_cores
from reverie.model.errors import ModelError
from reverie.model.signature import INPUTS, OUTPUTS

PROVIDERS: dict[str, str] = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""In the order in which they are preferred."""


class OnnxBackend:
    """Runs an exported step. `device`: auto (the best there is), cuda or cpu. Raises ModelError.

    `suffix` tells its precision in `name`. On a GPU (or where `bound` says so) inputs are bound to the device, and an
    array that was an input of the pass before is not carried there again: arrays of a dream's state are never written
    to, so the same object has the same numbers, and the passes of a many-step dream share memory and past.
    """

    def __init__(
        self,
        path: Path,
        config: ModelConfig,
        device: str = "auto",
        threads: int | None = None,
        suffix: str = "",
        bound: bool | None = None,
    ) -> None:
        import onnxruntime

        onnxruntime.set_default_logger_severity(4)
        wanted = choose_providers(device, onnxruntime.get_available_providers(), _has_gpu())
        if PROVIDERS["cuda"] in wanted:
            _load_cuda_libraries()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or usable_cores()
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=wanted)
        except Exception as error:  # ONNX Runtime's own errors share no public base class
            raise ModelError(f"{path}: not a usable ONNX model ({str(error).splitlines()[0][:120]})") from error
        used = self._session.get_providers()[0]
        short = next(name for name, provider in PROVIDERS.items() if provider == used)
        if device == "cuda" and short == "cpu":
            raise ModelError(
                "device cuda: ONNX Runtime could not start its CUDA provider; "
                "pip install 'reverie[gpu]' brings CUDA's libraries"
            )
        self.config = config
        self.name = f"onnx-{short}{suffix}"
        self._place = "cpu" if short == "cpu" else "cuda"
        self._bound = self._place != "cpu" if bound is None else bound
        self._held: dict[str, tuple[np.ndarray, Any]] = {}
        self._outputs = list(OUTPUTS)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All of `INPUTS` in, all of `OUTPUTS` out."""
        if self._bound:
            results = self._run_bound(inputs)
        else:
            results = self._session.run(self._outputs, {name: inputs[name] for name in INPUTS})
        return dict(zip(OUTPUTS, results, strict=True))

    def _run_bound(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        from onnxruntime import OrtValue

        binding = self._session.io_binding()
        for name in INPUTS:
            array = inputs[name]
            if name not in self._held or self._held[name][0] is not array:
                self._held[name] = (array, OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self._place, 0))
            binding.bind_ortvalue_input(name, self._held[name][1])
        for name in OUTPUTS:
            binding.bind_output(name, self._place)
        self._session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()


def choose_providers(device: str, available: list[str], gpu: bool) -> list[str]:
    """ONNX Runtime's providers for `device`, best first: TensorRT, CUDA, the CPU. Raises ModelError."""
    if device == "cuda" and not gpu:
        raise ModelError("device cuda: this machine has no NVIDIA GPU")
    wanted = ["cpu"] if device == "cpu" or not gpu else list(PROVIDERS)
    return [PROVIDERS[name] for name in wanted if PROVIDERS[name] in available]


def _load_cuda_libraries() -> None:
    """Loads those that are installed as Python packages (extra `gpu`, or torch's own), which no linker looks for."""
    import onnxruntime

    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(RuntimeError, OSError):
        onnxruntime.preload_dlls()  # prints what it does not find


def _has_gpu() -> bool:
    """Whether the NVIDIA driver shows a device; asked first because providers log errors where there is none."""
    return Path("/proc/driver/nvidia/gpus").is_dir() or "CUDA_PATH" in os.environ
