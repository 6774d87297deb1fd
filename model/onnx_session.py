"""One exported network run by ONNX Runtime. Imports no torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reverie.model.cores import usable_cores
from reverie.model.errors import ModelError
from reverie.model.onnx_backend import PROVIDERS, _has_gpu, _load_cuda_libraries, choose_providers


class OnnxNetwork:
    """A network in an `.onnx` file; `device` is auto, cuda or cpu. Raises ModelError for a file that is none."""

    def __init__(self, path: Path, device: str = "cpu", threads: int | None = None) -> None:
        import onnxruntime

        onnxruntime.set_default_logger_severity(4)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or usable_cores()
        options.inter_op_num_threads = 1
        providers = choose_providers(device, onnxruntime.get_available_providers(), _has_gpu())
        if PROVIDERS["cuda"] in providers:
            _load_cuda_libraries()
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # ONNX Runtime's own errors share no public base class
            raise ModelError(f"{path}: not a usable ONNX model ({str(error).splitlines()[0][:120]})") from error
        used = self._session.get_providers()[0]
        short = next(name for name, provider in PROVIDERS.items() if provider == used)
        if device == "cuda" and short == "cpu":
            raise ModelError(
                "device cuda: ONNX Runtime could not start its CUDA provider; "
                "pip install 'reverie[gpu]' brings CUDA's libraries"
            )
        self.name = f"onnx-{short}"
        """Such as onnx-cpu."""
        self._inputs = [entry.name for entry in self._session.get_inputs()]

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """The outputs, in the order of the file, of inputs in the order of the file."""
        return self._session.run(None, dict(zip(self._inputs, inputs, strict=True)))
