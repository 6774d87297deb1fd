"""`reverie play` until its first frame, timed and weighed in processes of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reverie.model.errors import ReverieError

TIMEOUT = 300
MIB = 2**20
LAUNCHER = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps([done.returncode, seconds, peak, done.stdout, done.stderr]))
"""
"""Runs from a small process of its own: a child's peak memory counts in that of the process it was forked from."""


def play_start(model: str, backend: str, device: str, picture: np.ndarray | None, starts: int) -> dict[str, Any]:
    """first_frame_s from the command to its first dreamed frame, play_once_s to its end, peak_mib of its memory.

    It starts from a picture, or as usual where that is None. Each is the median of so many `starts`. Raises
    ReverieError.
    """
    from PIL import Image

    runs = []
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "reverie.demos.cli", "play", "--headless", "--frames", "1", "--json"]
        command += ["--model", model, "--backend", backend, "--device", device]
        if picture is not None:
            scene = Path(scratch) / "scene.png"
            Image.fromarray(picture).save(scene)
            command += ["--scene", str(scene)]
        for _ in range(starts):
            runs.append(_launched(command))
    firsts, ends, peaks = zip(*runs)
    return {
        "first_frame_s": round(float(np.median(firsts)), 3),
        "play_once_s": round(float(np.median(ends)), 3),
        "peak_mib": round(float(np.median(peaks)), 1),
    }


def _launched(command: Sequence[str]) -> tuple[float, float, float]:
    """Seconds from the command to the first frame and to the end, and the peak memory in MiB."""
    launcher = [sys.executable, "-c", LAUNCHER, *command]
    try:
        done = subprocess.run(launcher, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        raise ReverieError(f"reverie play could not be timed ({type(error).__name__})") from error
    code, seconds, peak, output, errors = json.loads(done.stdout.splitlines()[-1])
    if code:
        said = errors.strip().splitlines() or ["it said nothing"]
        raise ReverieError(f"reverie play could not be timed: {said[-1]}")
    report = json.loads(output.splitlines()[-1])
    return float(report["seconds_to_first_frame"]), seconds, peak * _peak_unit() / MIB


def _peak_unit() -> int:
    """Bytes in one unit of ru_maxrss: 1 on macOS, 1024 on Linux (getrusage's manual pages)."""
    return 1 if sys.platform == "darwin" else 1024
