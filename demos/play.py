"""`reverie play`: sets up a world and a session, and runs it in the window or without one."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reverie.demos.options import PlayOptions
from reverie.demos.recording import Recorder, pose_of
from reverie.demos.window.display import missing_display
from reverie.model.errors import ReverieError
from reverie.simulator.action import IDLE, Action
from reverie.simulator.clip_names import clip_paths, find_clip
from reverie.simulator.outputs import apart, writable_file
from reverie.simulator.text import read_text
from reverie.simulator.world import TICKS_PER_SECOND

_LOADED = time.perf_counter()
DEFAULT_FRAMES = 10 * TICKS_PER_SECOND
"""Ten seconds, where nothing says how long to play."""
DEFAULT_PLAYER = "explorer"
DREAM_FILE = "reverie-dream.mp4"
"""Where the dream goes when there is no display to show it on."""
DEFAULT_SIZE = (96, 160)
PLAYABLE_SEEDS = 1_000_000
"""Seeds drawn for players lie below this; those above are kept for evaluation."""
NOTICE_SECONDS = 2.0
START_TIME_FIELD = 19
"""Of /proc/self/stat, counted from after the program's name: when the process started (man 5 proc)."""

Script = Callable[[Any], Action]
"""Gives the action of a tick from the session."""


def play(options: PlayOptions) -> dict[str, Any]:
    """Plays as asked, and reports how it went. Raises ReverieError."""
    missing = None if options.headless else missing_display()
    headless = options.headless or missing is not None
    record = options.record
    if record or missing is not None:
        record = str(check_record(record or DREAM_FILE, options))
    if missing is not None:
        print(f"reverie: {missing}; dreaming to {record} instead", file=sys.stderr, flush=True)
    seed = options.seed
    if seed is None:
        seed = 0 if headless else int(np.random.default_rng().integers(PLAYABLE_SEEDS))
    script, frames = _script(options, seed, headless)
    with _patience_notice():
        sim = _session(options, seed)
    backend = getattr(sim.world, "backend_name", options.world)
    if headless:
        figures = play_headless(sim, script, frames or DEFAULT_FRAMES, record)
    else:
        what = "voxel world" if options.world == "voxel" else f"{options.model} on {backend}"
        figures = _play_window(sim, script, frames, record, f"{what}, seed {seed}")
    height, width = sim.world.size
    return {
        **figures,
        "world": options.world,
        "backend": backend,
        "width": width,
        "height": height,
        "model": options.model if options.world == "dream" else None,
        "scene": options.scene,
        "seed": seed,
        "record": record,
    }


def check_record(record: str, options: PlayOptions) -> Path:
    """The film that a recording called `record` is written to.

    Raises ReverieError where it, or its lines beside it, cannot be written or would replace what is played from.
    """
    if Path(record).is_dir():
        raise ReverieError(f"{record}: is a folder; name a file in it, such as {Path(record) / 'play.mp4'}")
    outputs = clip_paths(record)
    for output in outputs:
        writable_file(output)
    inputs: dict[str | os.PathLike[str], str] = {}
    if options.actions is not None:
        inputs[options.actions] = "what --actions plays from"
    if options.scene is not None:
        inputs |= dict.fromkeys((options.scene, *find_clip(options.scene)), "what --scene starts from")
    if options.world == "dream":
        inputs |= dict.fromkeys(Path(options.model).rglob("*"), "a part of --model")
    apart(outputs, {path: use for path, use in inputs.items() if Path(path).exists()})
    return outputs[0]


def read_actions(path: str) -> list[Action]:
    """The actions of a file with one JSON object a line (`Action.to_dict`); an empty line is an idle tick."""
    try:
        lines = read_text(Path(path)).removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8 or UTF-16"
        raise ReverieError(f"{path}: the actions cannot be read ({reason})") from error
    actions = []
    for number, line in enumerate(lines if any(lines) else (), 1):
        try:
            record = json.loads(line) if line.strip() else {}
            if isinstance(record, dict) and "mouse" in record:
                raise ReverieError(
                    f"{path}: holds the lines of a recording, which --scene goes on from; --actions takes lines such "
                    'as {"forward": true}'
                )
            actions.append(Action.from_dict(record) if line.strip() else IDLE)
        except (ValueError, RecursionError) as error:
            raise ReverieError(f"{path}, line {number}: {error}") from error
    if not actions:
        raise ReverieError(f"{path}: holds no actions")
    return actions


def play_headless(sim: Any, script: Script | None, frames: int, record: str | None) -> dict[str, Any]:
    """Plays `frames` ticks as fast as they come, and measures each step alone, without recording. Raises ClipError."""
    from tqdm import tqdm

    assert script is not None
    recorder = Recorder()
    if record is not None:
        recorder.start(record, sim.world.size)
    seconds, first = [], 0.0
    try:
        for _ in tqdm(range(frames), desc="dreaming", unit="frame", file=sys.stderr, disable=None, leave=False):
            frame, pose, action = sim.frame, pose_of(sim), script(sim)
            began = time.perf_counter()
            sim.step(action)
            seconds.append(time.perf_counter() - began)
            first = first or process_age()
            recorder.see(frame, pose, action, sim)
    finally:
        recorder.stop()
    return {**timing(seconds), "frames": frames, "seconds_to_first_frame": round(first, 3)}


def timing(seconds: Sequence[float]) -> dict[str, float | None]:
    """Frames a second, and median and 99th percentile of the step in milliseconds; None without any step."""
    if not seconds:
        return {"fps": None, "p50_ms": None, "p99_ms": None}
    middle, late = np.percentile(seconds, (50, 99)) * 1000
    return {
        "fps": round(len(seconds) / sum(seconds), 2),
        "p50_ms": round(float(middle), 3),
        "p99_ms": round(float(late), 3),
    }


def process_age() -> float:
    """Seconds since this process started (Linux), or since this module was loaded (elsewhere)."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(fields[START_TIME_FIELD]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, AttributeError, ValueError, IndexError):
        return time.perf_counter() - _LOADED


def _play_window(sim: Any, script: Script | None, frames: int | None, record: str | None, label: str) -> dict[str, Any]:
    """Opens the window, and plays until it is closed."""
    from reverie.demos.window.app import WindowApp

    app = WindowApp(sim, label=label, script=script, record=record, max_ticks=frames)
    report = app.run()
    first, latency = report.first_frame_at, report.latency_ms
    since_first = None if first is None else time.perf_counter() - first
    return {
        **timing(report.step_seconds),
        "frames": report.frames,
        "seconds_to_first_frame": None if since_first is None else round(process_age() - since_first, 3),
        "input_to_screen_ms": None if latency is None else round(latency, 1),
    }


def _script(options: PlayOptions, seed: int, headless: bool) -> tuple[Script | None, int | None]:
    """Who acts (None: the person at the window), and for how many ticks (None: as long as they like)."""
    if options.actions is not None:
        if options.player is not None:
            raise ReverieError("--player and --actions both say what to do; give one of them")
        actions = read_actions(options.actions)
        source = iter(actions)
        return (lambda sim: next(source, IDLE)), options.frames or len(actions)
    name = options.player or (DEFAULT_PLAYER if headless else None)
    if name is None:
        return None, options.frames
    from reverie.simulator.players import make_player

    player = make_player(name, seed)
    return (lambda sim: player.act(sim.senses)), options.frames


@contextlib.contextmanager
def _patience_notice() -> Iterator[None]:
    """Tells a person at a terminal why nothing happens yet, if that takes long (compiling, the first time)."""
    words = "reverie: getting the world ready; this takes longer the first time"
    timer = threading.Timer(NOTICE_SECONDS, lambda: print(words, file=sys.stderr, flush=True))
    timer.daemon = True
    if sys.stderr.isatty():
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _session(options: PlayOptions, seed: int) -> Any:
    """The session that was asked for."""
    from reverie.simulator import Simulator
    from reverie.simulator.scenes import resolve_scene

    world = _world(options)
    return Simulator(world, scene=resolve_scene(options.scene, world.size, tick=options.scene_tick), seed=seed)


def _world(options: PlayOptions) -> Any:
    if options.world == "voxel":
        if options.backend != "auto" or options.device == "cuda":
            raise ReverieError("--backend and --device choose what runs a dream; the voxel world runs on the CPU")
        from reverie.simulator.voxel.world import VoxelWorld

        return VoxelWorld(size=options.size or DEFAULT_SIZE)
    from reverie.simulator.dream import DreamWorld

    return DreamWorld.load(options.model, backend=options.backend, device=options.device, size=options.size)
