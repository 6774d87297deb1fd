"""Lets an agent that was trained in a dream (`reverie.demos.rl`) act in the running Luanti, and records it.

python -m reverie.demos.luanti_agent --agent DIR --out clips --ticks 400 --seed 7 --json

Beside it a player who presses keys at random, on the same map and from the same place. What they dug, placed and walked
is counted from the recordings; nothing in the engine knows of a task.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reverie.demos.cli import complain, escape_output, whole
from reverie.demos.luanti.engine import FrameState
from reverie.demos.luanti.player import KEYSYMS, Input
from reverie.demos.record_luanti import Plan, record_clip
from reverie.demos.rl import Engine, load_agent, load_config
from reverie.env.spaces import ActionCodec, make_codec
from reverie.model.errors import ReverieError
from reverie.model.startup import require
from reverie.simulator.action import Action
from reverie.simulator.clip_lines import BUTTON_OF_KEY, DEGREES_PER_PIXEL
from reverie.simulator.clip_rows import clip_events
from reverie.simulator.clips import Clip
from reverie.simulator.outputs import writable_folder
from reverie.simulator.world import EVENTS

SIZE = (96, 160)
"""Height and width of what agents see."""
MOUSE = {"attack": "left", "use": "right"}
PLAYED = ("forward", "back", "left", "right", "jump", "sneak", "sprint")


def to_input(action: Action, owed: np.ndarray) -> Input:
    """Keys and whole pixels of the mouse; `owed` [2] keeps the parts of pixels, right and down, for the next tick."""
    key_of = {button: key for key, button in BUTTON_OF_KEY.items()}
    keys = {KEYSYMS.get(key_of[name], key_of[name]) for name in PLAYED if getattr(action, name)}
    keys |= {button for name, button in MOUSE.items() if getattr(action, name)}
    if action.hotbar:
        keys.add(str(action.hotbar))
    owed += np.array((action.camera[1], action.camera[0])) / DEGREES_PER_PIXEL
    whole_pixels = np.rint(owed)
    owed -= whole_pixels
    return Input(frozenset(keys), int(whole_pixels[0]), int(whole_pixels[1]))


@dataclass(slots=True)
class AgentPlayer:
    """Chooses an action every `repeat` ticks and holds it."""

    choose: Callable[[np.ndarray], Any]
    """Frames uint8 [1, h, w, 3] -> a sample of the action space."""
    codec: ActionCodec
    repeat: int
    _owed: np.ndarray = field(default_factory=lambda: np.zeros(2))
    _action: Action = field(default_factory=Action)
    _tick: int = 0

    def act(self, state: FrameState, picture: np.ndarray) -> Input:
        """The next input."""
        if self._tick % self.repeat == 0:
            tall, wide = picture.shape[0] // SIZE[0], picture.shape[1] // SIZE[1]
            seen = picture.reshape(SIZE[0], tall, SIZE[1], wide, 3).mean((1, 3))
            self._action = self.codec.to_action(self.choose(np.rint(seen).astype(np.uint8)[None]))
        self._tick += 1
        return to_input(self._action, self._owed)


def deeds(path: Path) -> dict[str, float]:
    """What a recording's player did: events counted, and metres walked over ground."""
    clip = Clip.load(path)
    counts = np.sum([clip_events(events) for events in clip.events], axis=0)
    assert clip.poses is not None
    steps = np.linalg.norm(np.diff(clip.poses[:, [0, 2]], axis=0), axis=1)
    return {"metres": round(float(steps.sum()), 1)} | {name: int(n) for name, n in zip(EVENTS[:3], counts)}


def run(agent_folder: Path, out: Path, ticks: int, seed: int) -> dict[str, Any]:
    """The deeds of the agent and of a random player. Raises ReverieError."""
    writable_folder(out)
    config = load_config(agent_folder)
    agent = load_agent(agent_folder, config, "voxel", Engine())
    codec = make_codec(config.action_space)
    codec.space.seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    choosers: dict[str, Callable[[np.ndarray], Any]] = {
        "agent": lambda frames: agent.predict(frames, deterministic=False)[0][0],
        "random": lambda frames: codec.space.sample(),
    }
    report: dict[str, Any] = {"task": config.task, "trained_in": config.env, "seed": seed, "ticks": ticks}
    for name, choose in choosers.items():
        path = out / f"luanti-s{seed}-{name}"
        record_clip(Plan(path, seed, 0, ticks, SIZE), threading.Event(), AgentPlayer(choose, codec, config.repeat))
        report[name] = deeds(path)
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; exit code 2 for what the user can mend."""
    parser = argparse.ArgumentParser(prog="luanti_agent", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--agent", type=Path, required=True, metavar="DIR", help="what `rl train --out` wrote")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the recordings go")
    parser.add_argument("--ticks", type=whole(1), default=400)
    parser.add_argument("--seed", type=whole(0), default=1, help="of the map")
    parser.add_argument("--json", action="store_true")
    escape_output()
    options = parser.parse_args(arguments)
    try:
        require("rl", "an agent")
        report = run(options.agent, options.out, options.ticks, options.seed)
    except (ReverieError, OSError) as error:
        return complain(error)
    print(json.dumps(report) if options.json else "\n".join(f"{name}: {value}" for name, value in report.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
