"""Records scripted players in Luanti (Debian's package `minetest`) as clips in VPT's layout, several at once.

python -m reverie.demos.record_luanti --out luanti-clips --clips 20 --ticks 600 --instances 2

One engine frame is one tick: the engine is capped at 20 frames a second, a mod in it numbers each frame in the picture
and logs the same number with camera, place and keys, and pictures and log are joined by the number, not by a clock.
The pictures show media of Minetest Game: CC BY-SA 4.0, "Minetest Game contributors".
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from reverie.demos.cli import EXIT_INTERRUPTED, complain, escape_output, frame_size, whole
from reverie.demos.luanti.engine import COUNTER_ROWS, SPREAD, WINDOW, Engine, FrameState, NodeEvent, unwrapped
from reverie.demos.luanti.player import Actor, Player
from reverie.demos.luanti.screen import Screen
from reverie.model.errors import ReverieError
from reverie.simulator.clip_lines import DEGREES_PER_PIXEL, KEY_PREFIX, TICK_MS
from reverie.simulator.errors import ClipError
from reverie.simulator.video import VideoWriter

STAGGER = 2.6
"""Seconds between two starts: engines that start together want the same port."""
PATIENCE = 90.0
"""Seconds in which a world must appear."""
SETTLE = (4.0, 40.0)
"""Seconds that the picture must stand still for before recording begins, and after which it begins all the same."""
STILL_LEVELS = 0.5
"""Mean change of a pixel, of 255, in a picture that stands still but for clouds."""
STALLED = 15.0
"""Seconds without a new picture after which a clip is given up."""
POLL = 0.004
TOLD_MS, LATE_MS = 15.0, 80.0
"""Ticks that differ from 50 ms by more than the first carry their length; longer than the second counts as late."""
NODE_DELAY = 5
"""Frames in which the log of a node may come after the frame whose button did it."""
BUTTONS: dict[str, int] = {"dig": 0, "place": 1}
TIMES_OF_DAY, DARK_SHARE = (0.3, 0.72), 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """One clip."""

    path: Path
    seed: int
    number: int
    ticks: int
    size: tuple[int, int]
    spread: int = SPREAD


def record_clip(plan: Plan, stop: threading.Event, actor: Actor | None = None) -> dict[str, Any]:
    """Lets somebody (a scripted player) play and writes the clip; returns its line of the index. Raises ClipError."""
    rng = np.random.default_rng([plan.seed, plan.number])
    dark = rng.random() < DARK_SHARE
    time_of_day = float(rng.choice((0.2, 0.79))) if dark else float(rng.uniform(*TIMES_OF_DAY))
    screen = Screen(WINDOW)
    try:
        engine = Engine(screen.display, plan.seed, plan.number, round(time_of_day, 3), plan.spread)
        try:
            settle(screen, engine, stop)
            pictures = play(screen, engine, actor or Player(rng), plan.ticks + 1, stop)
        finally:
            engine.follow()
            engine.close()
    finally:
        screen.close()
    numbers = sorted(set(pictures) & set(engine.frames))
    if len(numbers) < 2:
        raise ClipError("Luanti showed no frames")
    lines = join([engine.frames[number] for number in numbers], engine.frames, engine.events)
    write(plan.path, [pictures[number] for number in numbers[:-1]], lines, plan.size)
    done = [event["type"] for line in lines for event in line["node_events"]]
    return {
        "file": plan.path.name, "frames": len(lines), "seed": plan.seed, "time_of_day": round(time_of_day, 3),
        "hotbar": engine.hotbar, "digs": done.count("dig"), "places": done.count("place"),
        "late_ticks": sum(line.get("dt", 0) > LATE_MS for line in lines),
    }  # fmt: skip


def settle(screen: Screen, engine: Engine, stop: threading.Event) -> None:
    """Returns when the surroundings are loaded. Raises ClipError if the engine ends or shows nothing."""
    began = time.monotonic()
    while not engine.frames or not engine.hotbar:
        if not engine.alive or stop.is_set() or time.monotonic() - began > PATIENCE:
            told = engine.errors.read_text("utf-8", "replace").strip().splitlines()
            raise ClipError(f"Luanti shows no world ({told[-1] if told else 'it says nothing'})")
        time.sleep(0.2)
        engine.follow()
    screen.focus()
    began = still_since = time.monotonic()
    before: np.ndarray | None = None
    while time.monotonic() - still_since < SETTLE[0] and time.monotonic() - began < SETTLE[1] and not stop.is_set():
        time.sleep(0.25)
        got = screen.grab(COUNTER_ROWS)
        if got is None:
            continue
        if before is None or np.abs(got[1].astype(np.int16) - before).mean() > STILL_LEVELS:
            still_since = time.monotonic()
        before = got[1].astype(np.int16)
    screen.focus()


def play(screen: Screen, engine: Engine, player: Actor, count: int, stop: threading.Event) -> dict[int, np.ndarray]:
    """`count` pictures (uint8 [192, 320, 3]) by their numbers; the player acts once on each.

    Raises ClipError if the engine ends or its picture stands still, and when `stop` is set.
    """
    pictures: dict[int, np.ndarray] = {}
    newest = time.monotonic()
    while len(pictures) < count:
        if stop.is_set():
            raise ClipError("recording was interrupted")
        if not engine.alive or time.monotonic() - newest > STALLED:
            raise ClipError(f"Luanti {'shows nothing new' if engine.alive else 'ended'} after {len(pictures)} frames")
        got = screen.grab(COUNTER_ROWS)
        if got is None or got[0] in pictures:
            time.sleep(POLL)
            continue
        pictures[got[0]] = got[1]
        newest = time.monotonic()
        engine.follow()
        state = engine.frames.get(engine.newest)
        if state is not None:
            wanted = player.act(state, got[1])
            screen.hold(set(wanted.keys))
            screen.turn(wanted.right, wanted.down)
    screen.hold(set())
    return pictures


def join(shown: Sequence[FrameState], all_frames: dict[int, FrameState], events: Sequence[NodeEvent]) -> list[dict]:
    """Lines of n - 1 ticks from the n frames that were seen. What line k did shows in the state of frame k + 1."""
    lines = [_line(tick, before, after, all_frames) for tick, (before, after) in enumerate(pairwise(shown))]
    line_of = {
        number: tick
        for tick, (before, after) in enumerate(pairwise(shown))
        for number in range(before.number + 1, after.number + 1)
    }
    for event in events:
        for number in range(event.after, event.after - NODE_DELAY, -1):
            tick = line_of.get(number)
            if tick is not None and BUTTONS[event.kind] in lines[tick]["mouse"]["buttons"]:
                entry = {"type": event.kind, "pos": list(event.place), "node": event.node}
                lines[tick]["node_events"].append(entry)
                break
    return lines


def _line(tick: int, before: FrameState, after: FrameState, frames: dict[int, FrameState]) -> dict[str, Any]:
    keys = [KEY_PREFIX + name for name in sorted(after.held - BUTTONS.keys())]
    if after.slot != before.slot:
        keys.append(f"{KEY_PREFIX}{after.slot + 1}")
    line: dict[str, Any] = {
        "mouse": {
            "dx": float(round(unwrapped(after.yaw - before.yaw) / DEGREES_PER_PIXEL)),
            "dy": float(round((after.pitch - before.pitch) / DEGREES_PER_PIXEL)),
            "buttons": sorted(BUTTONS[name] for name in after.held & BUTTONS.keys()),
        },
        "keyboard": {"keys": keys},
        "hotbar": before.slot,
        "tick": tick,
        **dict(zip(("xpos", "ypos", "zpos"), before.place)),
        "yaw": round(before.yaw, 2) % 360,
        "pitch": round(before.pitch, 2),
        "isGuiOpen": False,
        "node_events": [],
    }
    between = (frames.get(number) for number in range(before.number + 1, after.number + 1))
    lasted = 1000 * sum(state.seconds for state in between if state is not None)
    if abs(lasted - TICK_MS) > TOLD_MS:
        line["dt"] = round(lasted)
    return line


def write(path: Path, pictures: Sequence[np.ndarray], lines: Sequence[dict[str, Any]], size: tuple[int, int]) -> None:
    """An mp4 of the pictures, area-averaged to `size`, and the lines beside it, which get their name last."""
    height, width = size
    video = VideoWriter(path.with_name(path.name + ".mp4"), size)
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("w", encoding="utf-8") as text:
        for picture, line in zip(pictures, lines, strict=True):
            tall, wide = picture.shape[0] // height, picture.shape[1] // width
            small = picture.reshape(height, tall, width, wide, 3).mean((1, 3))
            video.write(np.rint(small).astype(np.uint8))
            text.write(json.dumps(line, separators=(",", ":")) + "\n")
    video.close()
    unfinished.replace(path.with_name(path.name + ".jsonl"))


def record(
    out: Path,
    clips: int,
    ticks: int,
    seed: int,
    instances: int,
    size: tuple[int, int] = (96, 160),
    clips_per_map: int = 2,
    spread: int = SPREAD,
) -> dict[str, Any]:
    """Writes `clips` clips, `instances` at a time; clip i plays on map seed + i // clips_per_map.

    Raises ReverieError.
    """
    from tqdm import tqdm

    picture = (WINDOW[0] - 2 * COUNTER_ROWS, WINDOW[1])
    if picture[0] % size[0] or picture[1] % size[1] or picture[0] // size[0] != picture[1] // size[1]:
        raise ClipError(f"size {size[1]}x{size[0]}: frames of {picture[1]}x{picture[0]} cannot be averaged to it")
    out.mkdir(parents=True, exist_ok=True)
    maps = [seed + index // clips_per_map for index in range(clips)]
    plans = [
        Plan(out / f"luanti-s{maps[index]}-{index:03d}-{index % instances}", maps[index], index, ticks, size, spread)
        for index in range(clips)
    ]
    todo = [plan for plan in plans if not plan.path.with_name(plan.path.name + ".jsonl").exists()]
    gate, stop = threading.Lock(), threading.Event()

    def run(plan: Plan) -> dict[str, Any]:
        with gate:
            time.sleep(STAGGER)
        try:
            return record_clip(plan, stop)
        except ClipError as error:
            raise ClipError(f"{plan.path.name}: {error}") from error

    entries: list[dict[str, Any]] = []
    failures: list[str] = []
    with ThreadPoolExecutor(instances) as pool, tqdm(total=len(todo) * ticks, unit="frame", disable=None) as bar:
        waiting = [pool.submit(run, plan) for plan in todo]
        try:
            for future in as_completed(waiting):
                try:
                    entries.append(future.result())
                except ReverieError as error:
                    failures.append(str(error))
                    print(f"record_luanti: {error}", file=sys.stderr)
                    continue
                bar.update(entries[-1]["frames"])
                with (out / "index.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(entries[-1], separators=(",", ":")) + "\n")
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if failures and not entries:
        raise ClipError(failures[0])
    return {"clips": len(entries), "frames": sum(entry["frames"] for entry in entries), "failed": len(failures)}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; exit code 2 for what the user can mend."""
    parser = argparse.ArgumentParser(prog="record_luanti", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--clips", type=whole(1), default=20)
    parser.add_argument("--ticks", type=whole(1), default=600)
    parser.add_argument("--seed", type=whole(0), default=1, help="of the first map")
    parser.add_argument("--clips-per-map", type=whole(1), default=2, metavar="N", help="then comes the next seed")
    parser.add_argument(
        "--spread", type=whole(1), default=SPREAD, metavar="METRES",
        help=f"from the middle of a map, within which players begin (default: {SPREAD})",
    )  # fmt: skip
    parser.add_argument("--instances", type=whole(1), default=2, help="engines at once")
    parser.add_argument("--size", type=frame_size, default=(96, 160), help="160x96 (default) or 320x192")
    escape_output()
    options = parser.parse_args(arguments)
    try:
        result = record(
            options.out, options.clips, options.ticks, options.seed, options.instances, options.size,
            options.clips_per_map, options.spread,
        )  # fmt: skip
    except (ReverieError, OSError) as error:
        return complain(error)
    except KeyboardInterrupt:
        print("record_luanti: interrupted; the same command goes on from here", file=sys.stderr)
        return EXIT_INTERRUPTED
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
