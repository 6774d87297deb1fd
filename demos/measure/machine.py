"""What everything was measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from reverie.model.cores import usable_cores


def machine() -> dict[str, Any]:
    """Processor, cores, load, system, versions; `gpu` is the one that torch sees, or None."""
    return {
        "cpu": _cpu_name(),
        "cores": usable_cores(),
        "gpu": _gpu_name(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "onnxruntime": version("onnxruntime", "onnxruntime-gpu"),
        "torch": version("torch"),
    }


def version(*packages: str) -> str | None:
    """The version of the first of these packages that is installed."""
    for package in packages:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _gpu_name() -> str | None:
    if version("torch") is None:
        return None
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
