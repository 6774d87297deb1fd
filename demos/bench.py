"""`reverie bench`: how fast a model dreams on this machine, how well at each precision, and where the time goes.

Times wander on a shared machine: compare ratios within one run. `docs/SPEED.md` explains the figures.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from reverie.demos.measure import floor, latency, parts, starts, worlds
from reverie.demos.measure.amounts import Amounts, settle, start_picture
from reverie.demos.measure.longrun import long_run
from reverie.demos.measure.machine import machine, version
from reverie.demos.measure.quality import held_out_runs, psnr_at_the_end
from reverie.model.errors import ModelError
from reverie.model.weights import EXPORTS, has_world, load_config, model_folder, open_backend
from reverie.simulator.dream import DreamWorld
from reverie.simulator.judge.truth import TrueRun
from reverie.simulator.session import Simulator
from reverie.simulator.world import TICKS_PER_SECOND

SETTLE_SECONDS = 10.0
TORCH_BACKENDS = ("torch", "torch-bf16")


def bench(
    model: str = "tiny",
    backend: str = "auto",
    device: str = "auto",
    *,
    settle_seconds: float = SETTLE_SECONDS,
    long: float | None = None,
    amounts: Amounts | None = None,
) -> dict[str, Any]:
    """Times each backend and precision that there is (`backend` auto), or one.

    The machine is left alone for `settle_seconds` between measurements. Figures without a prefix are those of the
    first backend. fps, p50_ms, p99_ms: one dream, from input to frame. psnr_32: its picture after 32 ticks on a few
    held-out clips, dB. load_s: from nothing but Python to a model that can dream. batch_fps: frames a second of so many
    dreams in one pass. host_ms (means), graph_ms: where the time goes. pass_ms: the median pass; floor_ms, gap: the
    least that it can take by the machine's measured peak, and how many times that it takes. first_frame_s, peak_mib: of
    `reverie play`. With `long`, so many minutes of dream are played and compared with their beginning. Raises
    ReverieError.
    """
    amounts = amounts or Amounts()
    folder = model_folder(model)
    if has_world(folder):
        return bench_world(model, backend, device, settle_seconds=settle_seconds, long=long, amounts=amounts)
    config = load_config(folder)
    picture = start_picture(config.size)
    names = available_backends(folder) if backend == "auto" else [backend]
    with _progress(len(names) + 3) as tell:
        tell("starts")  # first, while this process has hardly any memory to inherit
        start = starts.play_start(model, names[0], device, picture, amounts.starts)
        if long is not None:
            tell(f"{long:g} minutes of dream")
            sim = Simulator(DreamWorld.load(model, names[0], device), picture)
            start["long"] = long_run(sim, max(1, round(long * 60 * TICKS_PER_SECOND)))
        tell("the machine's peak and held-out clips")
        peak = _peak(amounts)
        counted = floor.operations(config) if version("torch") else None
        runs = held_out_runs(config, amounts.clips)
        rows: dict[str, dict[str, Any]] = {}
        for name in names:
            tell(name)
            settle(settle_seconds)
            row_name, row = backend_row(folder, name, device, runs, amounts)
            row["floor_ms"] = None
            if counted is not None and peak is not None and "cpu" in row_name:
                row["floor_ms"] = floor.floor_ms(counted, peak, name)
            row["gap"] = round(row["pass_ms"] / row["floor_ms"], 2) if row["floor_ms"] else None
            rows[row_name] = row
        tell("worlds")
        settle(settle_seconds)
        world = DreamWorld.load(model, names[0], device)
        first = next(iter(rows))
        return {
            "model": model,
            "fingerprint": world.describe()["fingerprint"],
            "backend": first,
            "width": config.size[1],
            "height": config.size[0],
            **rows[first],
            **start,
            "backends": rows,
            "gflop": round(counted.total, 4) if counted else None,
            "gflop_rounded": round(counted.rounded, 4) if counted else None,
            "peak_gflops": peak,
            "state_mib": parts.state_mib(world, picture),
            "voxel_fps": worlds.voxel_speed(config.size, amounts),
            "env_fps": {
                "voxel": {str(n): worlds.voxel_env_speed(config.size, n, amounts) for n in amounts.envs},
                "dream": {str(n): worlds.dream_env_speed(world, n, amounts) for n in amounts.envs},
            },
            "clips": len(runs),
            "settle_s": settle_seconds,
            "machine": machine(),
        }


def bench_world(
    model: str, backend: str, device: str, *, settle_seconds: float, long: float | None, amounts: Amounts
) -> dict[str, Any]:
    """As `bench`, of a model with a world behind the dream: fps, p50_ms and p99_ms are of a walk into new land with the
    world model at work; part_ms says where a tick goes, snapshot_ms and save_kib what a state costs."""
    from reverie.demos.measure import dreams

    with _progress(5) as tell:
        tell("starts")
        name = "auto" if backend == "auto" else backend
        start = starts.play_start(model, name, device, None, amounts.starts)
        load_s, world = dreams.load_time(model, name, device)
        if long is not None:
            tell(f"{long:g} minutes of dream")
            start["long"] = long_run(Simulator(world, "new", dreams.SEED), max(1, round(long * 60 * TICKS_PER_SECOND)))
        tell("a walk")
        settle(settle_seconds)
        row, state = dreams.walking_speed(world, amounts)
        tell("parts")
        row |= {"part_ms": dreams.part_times(world, state, amounts)} | dreams.value_costs(world)
        tell("batches")
        settle(settle_seconds)
        batches = {str(batch): dreams.batch_speed(world, state, batch, amounts) for batch in amounts.batches}
        tell("worlds")
        settle(settle_seconds)
        return {
            "model": model,
            "fingerprint": world.describe()["fingerprint"],
            "backend": world.backend_name,
            "width": world.size[1],
            "height": world.size[0],
            **row,
            "load_s": load_s,
            **start,
            "batch_fps": batches,
            "voxel_fps": worlds.voxel_speed(world.size, amounts),
            "env_fps": {
                "voxel": {str(n): worlds.voxel_env_speed(world.size, n, amounts) for n in amounts.envs},
                "dream": {str(n): worlds.dream_env_speed(world, n, amounts) for n in amounts.envs},
            },
            "settle_s": settle_seconds,
            "machine": machine(),
        }


def available_backends(folder: Path) -> list[str]:
    """What can run the model in a folder, the one that `auto` takes first. Raises ModelError if nothing can."""
    found = []
    if version("onnxruntime", "onnxruntime-gpu"):
        found += [name for name, file in EXPORTS.items() if (folder / file).is_file()]
    if version("torch"):
        found += TORCH_BACKENDS
    if not found:
        raise ModelError(f"{folder}: neither onnxruntime with an export nor torch is here to run it")
    return found


def backend_row(
    folder: Path, name: str, device: str, runs: list[TrueRun], amounts: Amounts
) -> tuple[str, dict[str, Any]]:
    """A backend's full name, and its figures. Raises ModelError."""
    began = time.perf_counter()
    backend = open_backend(folder, name, device)
    load = time.perf_counter() - began
    world = DreamWorld(backend, str(folder))
    picture = start_picture(world.size)
    state = world.start(picture, 0)
    row = latency.frame_speed(world, state, amounts)
    row["psnr_32"] = psnr_at_the_end(world, runs) if runs else None
    row["load_s"] = round(load, 3)
    row["host_ms"], timed = parts.host_parts(backend, picture, amounts)
    row["pass_ms"] = round(float(np.median(timed.seconds)) * 1000, 3)
    row["graph_ms"] = None
    if name in EXPORTS and "cpu" in backend.name:
        row["graph_ms"] = parts.graph_parts(folder / EXPORTS[name], timed.inputs, row["pass_ms"], amounts)
    row["batch_fps"] = {str(batch): latency.batch_speed(world, state, batch, amounts) for batch in amounts.batches}
    return backend.name, row


def _peak(amounts: Amounts) -> dict[str, float | None] | None:
    return floor.machine_peak(amounts) if version("torch") else None


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """A bar over the parts of the benchmark; what it gives is called with the name of each part as it begins."""
    from tqdm import tqdm

    with tqdm(total=total, desc="bench", file=sys.stderr, disable=None, leave=False) as bar:

        def tell(part: str) -> None:
            bar.set_postfix_str(part)
            bar.update()

        yield tell
