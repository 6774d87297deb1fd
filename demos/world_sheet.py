"""A contact sheet of dreams with a world behind them: `python -m reverie.demos.world_sheet --out SHEET.png`.

Two rows from nothing but a seed: the first frame, walking ahead for 5 seconds, half a turn. Two rows from held-out
pictures: the picture, the first frame, turned by 72 degrees, turned back, 2 seconds ahead, 2 seconds of digging.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reverie.simulator import Action, Simulator
from reverie.simulator.dream_world import DreamWorld
from reverie.simulator.outputs import writable_picture
from reverie.simulator.voxel.world import VoxelWorld

NEW_SEEDS = (8, 21)
PICTURES = ((1_000_021, "village"), (1_000_013, "forest"))
AHEAD = [Action(forward=True, jump=tick % 20 > 16) for tick in range(100)]
TURN = [Action(camera=(0.0, 3.0))] * 60


def _frames(sim: Simulator, actions: Sequence[Action], count: int) -> list[np.ndarray]:
    """`count` frames at equal distances, the last one after the last action."""
    every = len(actions) // count
    shown = [sim.step(action) for action in actions]
    return [frame.copy() for frame in shown[-1 - every * (count - 1) :: every]]


def draw_sheet(world: DreamWorld) -> np.ndarray:
    """uint8 [4 h, 6 w, 3]."""
    rows = []
    for seed in NEW_SEEDS:
        sim = Simulator(world, "new", seed=seed)
        rows.append([sim.frame, *_frames(sim, AHEAD, 3), *_frames(sim, TURN, 2)])
    back = [Action(camera=(0.0, -3.0))] * 24
    dig = [Action(attack=True, camera=(1.0 if tick < 20 else 0.0, 0.0)) for tick in range(40)]
    truth = VoxelWorld(world.size, hud=False)
    for seed, scene in PICTURES:
        picture = truth.frame(truth.start(scene, seed))
        sim = Simulator(world, picture, seed=5)
        row = [picture, sim.frame]
        for actions in (TURN[:24], back, [Action(forward=True)] * 40, dig):
            row += _frames(sim, actions, 1)
        rows.append(row)
    return np.concatenate([np.concatenate(row, 1) for row in rows])


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the sheet."""
    from PIL import Image

    parser = argparse.ArgumentParser(prog="python -m reverie.demos.world_sheet", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the picture that is written")
    parser.add_argument("--model", default="tiny")
    args = parser.parse_args(arguments)
    writable_picture(args.out)
    sheet = Image.fromarray(draw_sheet(DreamWorld.load(args.model)))
    sheet.quantize(256, dither=Image.Dither.NONE).save(args.out, optimize=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
