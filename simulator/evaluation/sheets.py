"""Contact sheets of an evaluation: ten seconds of walking, a full turn, a door; the truth above, the dream below."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reverie.simulator.evaluation.parts import FILMED, WALK_FILM
from reverie.simulator.evaluation.runs import STAY_SECONDS
from reverie.simulator.judge.sheet import Strip, write_sheet

TURN = "turn1.5", "turn3", "turn8", "turn0.5"
"""The first of these that was measured is shown."""
DOORS = {
    "door-stay": ("before", "painted", *(f"{seconds} s" for seconds in STAY_SECONDS)),
    "door-turn3": ("before", "painted", "turned back"),
    "door-walk": ("before", "painted", "3 m back", "returned"),
}


def write_sheets(out: Path, folder: Path) -> list[Path]:
    """Writes walk.png, turn.png and door.png to `out` from the films beside the values; returns what was written."""
    films = folder / "films"
    written = []
    walks = ("tick 0", *(f"{tick / 20:g} s" for tick in WALK_FILM))
    turns = ("tick 0", "1/4", "1/2", "3/4", "full turn")
    turn = next((name for name in TURN if (films / f"poses-{name}-0.npz").exists()), TURN[0])
    for name, parts in (("walk", {"walk": walks}), ("turn", {turn: turns}), ("door", DOORS)):
        strips = []
        for part, captions in parts.items():
            for number in range(FILMED):
                strips += _strips(films / f"poses-{part}-{number}.npz", captions)
        if strips:
            path = out / f"{name}.png"
            write_sheet(path, strips)
            written.append(path)
    return written


def _strips(path: Path, captions: tuple[str, ...]) -> list[Strip]:
    if not path.exists():
        return []
    with np.load(path, allow_pickle=False) as file:
        true, dream = file["true"], file["dream"]
    return [Strip("true", true, captions[: len(true)]), Strip("dream", dream)]
