"""Where a frame's milliseconds go: on the host, and in the exported graph part by part."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from reverie.demos.measure.amounts import WALK, Amounts
from reverie.model.cores import usable_cores
from reverie.model.signature import INPUTS, Backend
from reverie.simulator.dream import DreamState, DreamWorld

PARTS: tuple[tuple[str, str], ...] = (
    (r"model\.embed", "embed"),
    (r"model\.(level|size|noise|action)\b|model\.blocks\.\d+\.condition", "condition"),
    (r"model\.blocks\.\d+\.space", "attention in the frame"),
    (r"model\.blocks\.\d+\.memory", "attention to the memory"),
    (r"model\.blocks\.\d+\.mlp", "mlp"),
    (r"model\.blocks", "norms and gates"),
    (r"model\.head", "head"),
    (r"model/", "warps and mixing"),
    (r"step/", "input and output"),
)
"""Parts of the step by what their nodes' names begin with (`onnx_graph.name_by_module`); the first that fits counts."""
OTHER = "other nodes"
NODE_END = "_kernel_time"
MIB = 2**20


class TimedBackend:
    """Another backend, with the seconds that its passes took and the inputs of the last one."""

    def __init__(self, backend: Backend) -> None:
        self.name, self.config = backend.name, backend.config
        self.seconds: list[float] = []
        self.inputs: dict[str, np.ndarray] = {}
        self._backend = backend

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As the other does."""
        began = time.perf_counter()
        out = self._backend.run(inputs)
        self.seconds.append(time.perf_counter() - began)
        self.inputs = inputs
        return out


class TimedWorld(DreamWorld):
    """A dream with the seconds that its noise and its new state took."""

    noise_seconds = 0.0
    state_seconds = 0.0

    def _noise(self, state: DreamState, stream: int) -> np.ndarray:
        began = time.perf_counter()
        noise = super()._noise(state, stream)
        self.noise_seconds += time.perf_counter() - began
        return noise

    def _advance(self, *args: Any, **named: Any) -> DreamState:
        began = time.perf_counter()
        state = super()._advance(*args, **named)
        self.state_seconds += time.perf_counter() - began
        return state


def host_parts(backend: Backend, picture: np.ndarray, amounts: Amounts) -> tuple[dict[str, float], TimedBackend]:
    """Mean milliseconds a frame: noise, passes, the new state (past and memory), all else; and the timed backend."""
    timed = TimedBackend(backend)
    world = TimedWorld(timed, "timed")
    state = world.start(picture, 0)
    for _ in range(amounts.warm_up):
        state = world.step(state, WALK)
    timed.seconds.clear()
    world.noise_seconds = world.state_seconds = 0.0
    began = time.perf_counter()
    for _ in range(amounts.steps):
        state = world.step(state, WALK)
    whole = time.perf_counter() - began
    spent = {"noise": world.noise_seconds, "pass": sum(timed.seconds), "new state": world.state_seconds}
    spent["other host work"] = max(0.0, whole - sum(spent.values()))
    return {name: round(seconds / amounts.steps * 1000, 3) for name, seconds in spent.items()}, timed


def graph_parts(path: Path, inputs: dict[str, np.ndarray], pass_ms: float, amounts: Amounts) -> dict[str, float]:
    """Milliseconds of each of `PARTS` in a pass of `pass_ms`, by ONNX Runtime's profile of an exported step.

    The profile slows all nodes down alike, so that it says only how the pass is to be divided.
    """
    import onnxruntime

    with tempfile.TemporaryDirectory() as scratch:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_cores()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(scratch) / "profile")
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for _ in range(amounts.profiled):
            session.run(None, {name: inputs[name] for name in INPUTS})
        events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    spent: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(NODE_END):
            spent[part_of(event["name"])] += event["dur"]
    total = max(1, sum(spent.values()))
    return {part: round(pass_ms * duration / total, 3) for part, duration in spent.most_common()}


def part_of(node: str) -> str:
    """The part of the step that a node belongs to, by its name."""
    return next((part for pattern, part in PARTS if re.match(pattern, node)), OTHER)


def state_mib(world: DreamWorld, picture: np.ndarray) -> float:
    """Size of one dream's state in MiB: what a snapshot costs, and what a batch holds for each dream."""
    _, arrays = world.pack(world.start(picture, 0))
    return round(sum(array.nbytes for array in arrays.values()) / MIB, 3)
