"""`reverie bench`: how fast a model dreams on this machine, and what it costs to start.

Times wander on a shared machine: compare ratios within one run.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reverie.demos.play import timing
from reverie.model.errors import ModelError, ReverieError
from reverie.model.weights import ONNX, load_config, model_folder
from reverie.simulator.action import Action
from reverie.simulator.dream import DreamWorld

STEPS, WARM_UP = 200, 10
"""Ticks that are timed, and ticks before them."""
BATCHES = (1, 4, 16, 64)
BATCH_SECONDS, BATCH_PASSES = 5.0, 20
"""A batch size is timed until either is used up."""
STARTS = 3
"""How often the command is started; the median start counts."""
START_TIMEOUT = 300
VOXEL_STEPS = 200
WALK = Action(forward=True, camera=(0.0, 2.0))
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


def bench(model: str = "tiny", backend: str = "auto", device: str = "auto") -> dict[str, Any]:
    """Times each backend that there is (`backend` auto), or one. Figures without a prefix are those of the first.

    fps, p50_ms, p99_ms: one dream, from input to frame. load_s: from nothing but Python to a model that can dream.
    batch_fps: frames a second of so many dreams in one pass. first_frame_s, peak_mib: of `reverie play`. Raises
    ReverieError.
    """
    folder = model_folder(model)
    size = load_config(folder).size
    picture = _picture(size)
    names = available_backends(folder) if backend == "auto" else [backend]
    start = play_start(model, names[0], device, picture)  # first, while this process has hardly any memory to inherit
    rows: dict[str, dict[str, Any]] = {}
    for name in names:
        world, row = backend_speed(model, name, device, picture)
        rows[world.backend_name] = row
    first = next(iter(rows))
    return {
        "model": model,
        "fingerprint": world.describe()["fingerprint"],
        "backend": first,
        "width": size[1],
        "height": size[0],
        **rows[first],
        **start,
        "backends": rows,
        "voxel_fps": voxel_speed(size),
        "machine": machine(),
    }


def available_backends(folder: Path) -> list[str]:
    """What can run the model in a folder, the one that `auto` takes first. Raises ModelError if nothing can."""
    found = []
    if (folder / ONNX).is_file() and _version("onnxruntime", "onnxruntime-gpu"):
        found.append("onnx")
    if _version("torch"):
        found.append("torch")
    if not found:
        raise ModelError(f"{folder}: neither onnxruntime with {ONNX} nor torch is here to run it")
    return found


def backend_speed(model: str, backend: str, device: str, picture: np.ndarray) -> tuple[DreamWorld, dict[str, Any]]:
    """The loaded world, and its load time and speeds."""
    began = time.perf_counter()
    world = DreamWorld.load(model, backend, device)
    load = time.perf_counter() - began
    state = world.start(picture, 0)
    seconds = []
    for tick in range(WARM_UP + STEPS):
        began = time.perf_counter()
        state = world.step(state, WALK)
        world.frame(state)
        if tick >= WARM_UP:
            seconds.append(time.perf_counter() - began)
    batches = {str(batch): batch_speed(world, state, batch) for batch in BATCHES}
    return world, {**timing(seconds), "load_s": round(load, 3), "batch_fps": batches}


def batch_speed(world: DreamWorld, state: Any, batch: int) -> float:
    """Frames a second of `batch` dreams that are stepped together."""
    many = world.stack([state] * batch)
    actions = np.tile(WALK.to_vector(), (batch, 1))
    many = world.step_batch(many, actions)
    passes, began = 0, time.perf_counter()
    while passes < BATCH_PASSES and time.perf_counter() - began < BATCH_SECONDS:
        many = world.step_batch(many, actions)
        passes += 1
    return round(passes * batch / (time.perf_counter() - began), 2)


def play_start(model: str, backend: str, device: str, picture: np.ndarray) -> dict[str, Any]:
    """`reverie play` until its first frame, in processes of their own. Raises ReverieError."""
    from PIL import Image

    runs = []
    with tempfile.TemporaryDirectory() as scratch:
        scene = Path(scratch) / "scene.png"
        Image.fromarray(picture).save(scene)
        command = [sys.executable, "-m", "reverie.demos.cli", "play", "--headless", "--frames", "1", "--json"]
        command += ["--model", model, "--backend", backend, "--device", device, "--scene", str(scene)]
        for _ in range(STARTS):
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
        done = subprocess.run(launcher, capture_output=True, text=True, timeout=START_TIMEOUT, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        raise ReverieError(f"reverie play could not be timed ({type(error).__name__})") from error
    code, seconds, peak, output, errors = json.loads(done.stdout.splitlines()[-1])
    if code:
        said = errors.strip().splitlines() or ["it said nothing"]
        raise ReverieError(f"reverie play could not be timed: {said[-1]}")
    report = json.loads(output.splitlines()[-1])
    return float(report["seconds_to_first_frame"]), seconds, peak * _peak_unit() / MIB


def voxel_speed(size: tuple[int, int]) -> float:
    """Steps a second of the voxel world with an explorer in it, each one rendered."""
    from reverie.simulator.players import make_player
    from reverie.simulator.voxel.world import VoxelWorld

    world, player = VoxelWorld(size), make_player("explorer", 0)
    state = world.start(None, 0)
    began = time.perf_counter()
    for tick in range(WARM_UP + VOXEL_STEPS):
        if tick == WARM_UP:
            began = time.perf_counter()
        state = world.step(state, player.act(world.senses(state)))
        world.frame(state)
    return round(VOXEL_STEPS / (time.perf_counter() - began), 2)


def machine() -> dict[str, Any]:
    """What all this ran on."""
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "onnxruntime": _version("onnxruntime", "onnxruntime-gpu"),
        "torch": _version("torch"),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _version(*packages: str) -> str | None:
    """The version of the first of these packages that is installed."""
    for package in packages:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _peak_unit() -> int:
    """Bytes in one unit of ru_maxrss: 1 on macOS, 1024 on Linux (getrusage's manual pages)."""
    return 1 if sys.platform == "darwin" else 1024


def _picture(size: tuple[int, int]) -> np.ndarray:
    """A start that every model has: sky above, ground below, uint8 [h, w, 3]."""
    picture = np.full((*size, 3), (120, 170, 240), np.uint8)
    picture[size[0] // 2 :] = (90, 140, 60)
    return picture
