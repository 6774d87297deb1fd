"""How fast a dream with a world behind it goes: walking into new land, and where the milliseconds go."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from reverie.demos.measure.amounts import WALK, Amounts
from reverie.demos.play import timing
from reverie.model.dream.look import player_camera
from reverie.simulator.action import Action
from reverie.simulator.dream_world import NEW, DreamWorld
from reverie.simulator.session import Simulator

SEED = 8
TURNING = (60, 40)
"""Ticks of walking ahead, then of turning while walking, in turn."""
SNAPSHOTS = 200


def walk(tick: int) -> Action:
    """What is done in a tick while speed is measured: mostly ahead, so that new land is wanted."""
    return Action(forward=True, sprint=True) if tick % sum(TURNING) < TURNING[0] else WALK


def walking_speed(world: DreamWorld, amounts: Amounts) -> tuple[dict[str, Any], Any]:
    """Frames a second, median and 99th percentile from input to frame of a walk into new land; and the last state."""
    state = world.start(NEW, SEED)
    seconds = []
    for tick in range(amounts.warm_up + amounts.steps):
        began = time.perf_counter()
        state = world.step(state, walk(tick))
        world.frame(state)
        if tick >= amounts.warm_up:
            seconds.append(time.perf_counter() - began)
    return timing(seconds), state


def part_times(world: DreamWorld, state: Any, amounts: Amounts) -> dict[str, float]:
    """Milliseconds of the parts of a tick, means over a walk, nothing beside it: `step` is dynamics and commits of
    land, `cast` the caster, `inputs` what the frame model reads, `network` itself with its lookup, `paint` the rest."""
    painter, sums = world._dream.painter, dict.fromkeys(("step", "cast", "inputs", "network", "paint"), 0.0)

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = work()
        sums[name] += time.perf_counter() - began
        return result

    for tick in range(amounts.profiled):
        state = timed("step", lambda: world.step(state, walk(tick)))  # noqa: B023
        camera = player_camera(state)
        timed("cast", lambda: painter.gbuffer(state, camera, world.size))  # noqa: B023
        inputs = timed("inputs", lambda: painter.inputs(state, camera, world.size))  # noqa: B023
        timed("network", lambda: painter.frames.draw(inputs))  # noqa: B023
        began = time.perf_counter()
        world.frame(state)
        sums["paint"] += time.perf_counter() - began
    means = {name: 1000 * total / max(1, amounts.profiled) for name, total in sums.items()}
    means["paint"] = max(0.0, means["paint"] - means["inputs"] - means["network"])  # both are in it once more
    return {name: round(mean, 3) for name, mean in means.items()}


def value_costs(world: DreamWorld) -> dict[str, float]:
    """`snapshot_ms` of a running session, and `save_kib`, the size of its save."""
    sim = Simulator(world, NEW, SEED)
    for tick in range(20):
        sim.step(walk(tick))
    began = time.perf_counter()
    for _ in range(SNAPSHOTS):
        sim.snapshot()
    seconds = (time.perf_counter() - began) / SNAPSHOTS
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "a.reverie"
        sim.save(path)
        size = path.stat().st_size
    return {"snapshot_ms": round(1000 * seconds, 4), "save_kib": round(size / 1024, 1)}


def batch_speed(world: DreamWorld, state: Any, batch: int, amounts: Amounts) -> float:
    """Frames a second of `batch` dreams that are stepped and drawn together."""
    many = world.stack([state] * batch)
    actions = np.tile(WALK.to_vector(), (batch, 1))
    many = world.step_batch(many, actions)
    passes, began = 0, time.perf_counter()
    while passes < amounts.batch_passes and time.perf_counter() - began < amounts.batch_seconds:
        many = world.step_batch(many, actions)
        world.frames(many)
        passes += 1
    return round(passes * batch / (time.perf_counter() - began), 2)


def load_time(model: str, backend: str, device: str) -> tuple[float, DreamWorld]:
    """Seconds until a model can dream, and its world."""
    began = time.perf_counter()
    world = DreamWorld.load(model, backend, device)
    return round(time.perf_counter() - began, 3), world
