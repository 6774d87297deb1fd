"""A scripted edit: paint on a paused dream, resume, turn away and back, and look whether the paint stays.

    python -m reverie.demos.edit_scene --model tiny --scene plains --out docs/pictures/edit.png

The picture has one row a run: the same dream under the same actions, first left alone, then edited at tick 0.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from reverie.demos.scripts import answered
from reverie.simulator import Action, DreamWorld, Simulator
from reverie.simulator.edits import Stroke, paint
from reverie.simulator.outputs import writable_picture

SQUARE = (64, 30, 24)
"""Left, top and side of the painted square, for frames of 160x96 pixels."""
COLOUR = (255, 40, 200)
TURN_DEGREES, TURN_TICKS, REST_TICKS = 3.0, 6, 4
SHOWN_EVERY = 2
NEAR_COLOUR = 150.0
"""Pixels nearer than this (Euclidean, 0-255 a channel) to the painted colour count as paint."""


def script() -> list[Action]:
    """Rest, turn right, turn back left past the start, return, rest."""
    turns = [TURN_DEGREES] * TURN_TICKS + [-TURN_DEGREES] * 2 * TURN_TICKS + [TURN_DEGREES] * TURN_TICKS
    rest = [Action()] * REST_TICKS
    return rest + [Action(camera=(0.0, yaw)) for yaw in turns] + rest


def square(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The frame with the square painted by brush strokes, uint8 [h, w, 3], and the mask of what was painted."""
    scale = frame.shape[1] / 160
    left, top, side = (round(number * scale) for number in SQUARE)
    rows = range(top, top + side, 4)
    strokes = [Stroke(((left, row), (left + side, row)), radius=3.0, colour=COLOUR) for row in rows]
    return paint(frame, strokes)


def painted(frame: np.ndarray) -> tuple[int, float]:
    """How many pixels still look painted, and the column of their middle (NaN where there are none)."""
    distance = np.linalg.norm(frame.astype(float) - np.array(COLOUR, float), axis=-1)
    columns = np.nonzero(distance < NEAR_COLOUR)[1]
    return len(columns), float(columns.mean()) if len(columns) else float("nan")


def run(world: Any, scene: str, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    """The picture uint8 [h, w, 3] and the figures of the edited run."""
    plain = Simulator(world, scene=scene, seed=seed)
    edited = plain.branch()
    edited.edit(*square(edited.frame))
    first, _ = painted(edited.frame)
    rows: list[list[np.ndarray]] = [[plain.frame], [edited.frame]]
    counts, middles = [], []
    for action in script():
        for row, sim in zip(rows, (plain, edited), strict=True):
            row.append(sim.step(action))
        count, middle = painted(edited.frame)
        counts.append(count / first)
        middles.append(middle)
    turned = REST_TICKS + TURN_TICKS - 1
    figures = {
        "painted_pixels": first,
        "kept_after_turn": counts[turned],
        "kept_at_end": counts[-1],
        "moved_pixels": middles[turned] - middles[REST_TICKS - 1],
    }
    return np.concatenate([np.concatenate(row[::SHOWN_EVERY][:9], axis=1) for row in rows]), figures


def main() -> int:
    """Writes the picture and prints the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--scene", default="plains")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("reverie-edit.png"))
    options = parser.parse_args()
    from PIL import Image

    def draw() -> dict[str, Any]:
        writable_picture(options.out)
        picture, figures = run(DreamWorld.load(options.model), options.scene, options.seed)
        Image.fromarray(picture).save(options.out)
        rounded = {name: None if value != value else round(value, 3) for name, value in figures.items()}
        return {"picture": str(options.out), **rounded}

    return answered(draw)


if __name__ == "__main__":
    sys.exit(main())
