"""A contact sheet of dreams: `python -m reverie.demos.world_sheet --out SHEET.png [--photograph PHOTO.jpg]`.

Six pictures a row. Ten seconds of walking in land that nobody made, every two seconds (two rows); a full turn in steps
of 72 degrees; a dig; a wall of planks built; a door painted, turned away from, looked at again, and come back to from
three metres; and a photograph that is entered.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reverie.simulator import Action, Simulator
from reverie.simulator.dream_world import NEW, DreamWorld
from reverie.simulator.outputs import writable_picture

NEW_SEEDS = (8, 21)
TURNING, DIGGING, BUILDING, DOOR = "meadow", "plains", "desert", "village"
DOOR_COLOUR, KNOB = (110, 60, 25), (230, 200, 60)


def _go(sim: Simulator, count: int, **keys: object) -> np.ndarray:
    """The frame after so many ticks of one action."""
    for _ in range(count):
        frame = sim.step(Action(**keys))  # type: ignore[arg-type]
    return frame.copy()


def walking(world: DreamWorld, seed: int) -> list[np.ndarray]:
    """Ten seconds ahead, jumping now and then, every two seconds."""
    sim = Simulator(world, NEW, seed=seed)
    frames = [sim.frame.copy()]
    for tick in range(200):
        frame = sim.step(Action(forward=True, jump=tick % 20 > 16))
        if tick % 40 == 39:
            frames.append(frame.copy())
    return frames


def turning(world: DreamWorld) -> list[np.ndarray]:
    """A full turn to the right at three degrees a tick."""
    sim = Simulator(world, TURNING, seed=5)
    return [sim.frame.copy(), *(_go(sim, 24, camera=(0.0, 3.0)) for _ in range(5))]


def digging(world: DreamWorld) -> list[np.ndarray]:
    """Looking down, then digging for five seconds."""
    sim = Simulator(world, DIGGING, seed=5)
    frames = [sim.frame.copy(), _go(sim, 20, camera=(2.0, 0.0))]
    return frames + [_go(sim, 25, attack=True) for _ in range(4)]


def building(world: DreamWorld) -> list[np.ndarray]:
    """A wall of planks, three wide and two high, placed by hand."""
    sim = Simulator(world, BUILDING, seed=5)
    frames = [sim.frame.copy(), _go(sim, 12, camera=(2.0, 0.0))]
    slot = next((k for k, name in enumerate(world.hotbar()) if name == "planks"), 0) + 1
    _go(sim, 1, hotbar=slot)
    for yaw, pitch in ((0.0, 0.0), (8.0, 0.0), (-16.0, 0.0), (8.0, -7.0)):
        _go(sim, 2, camera=(pitch / 2, yaw / 2))
        _go(sim, 1, use=True)
        frames.append(_go(sim, 6))
    return frames


def painting(world: DreamWorld) -> list[np.ndarray]:
    """A door painted on what stands ahead: at once, turned away, turned back, three metres back, and there again."""
    sim = Simulator(world, DOOR, seed=5)
    frame = sim.frame
    h, w, _ = frame.shape
    image = frame.copy()
    image[h // 4 : 5 * h // 8, w // 2 - 10 : w // 2 + 12] = DOOR_COLOUR
    image[7 * h // 16 : 15 * h // 32, w // 2 + 6 : w // 2 + 9] = KNOB
    sim.edit(image)
    return [
        frame.copy(), sim.frame.copy(), _go(sim, 30, camera=(0.0, 4.0)), _go(sim, 30, camera=(0.0, -4.0)),
        _go(sim, 14, back=True), _go(sim, 14, forward=True),
    ]  # fmt: skip


def entering(world: DreamWorld, photograph: str) -> list[np.ndarray]:
    """A photograph: itself, the dream's first frame, turned to both sides, one and two seconds ahead."""
    from reverie.simulator.edits import fit_image

    picture = fit_image(photograph, world.size, crop=True)
    sim = Simulator(world, picture, seed=5)
    return [
        picture, sim.frame.copy(), _go(sim, 10, camera=(0.0, 3.0)), _go(sim, 20, camera=(0.0, -3.0)),
        _go(sim, 20, forward=True, camera=(0.0, 1.5)), _go(sim, 20, forward=True),
    ]  # fmt: skip


def draw_sheet(world: DreamWorld, photograph: str | None = None) -> np.ndarray:
    """uint8 [rows * h, 6 w, 3]."""
    rows = [walking(world, seed) for seed in NEW_SEEDS]
    rows += [turning(world), digging(world), building(world), painting(world)]
    if photograph is not None:
        rows.append(entering(world, photograph))
    return np.concatenate([np.concatenate(row, 1) for row in rows])


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the sheet."""
    from PIL import Image

    parser = argparse.ArgumentParser(prog="python -m reverie.demos.world_sheet", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the picture that is written")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--photograph", help="a picture that the last row enters")
    args = parser.parse_args(arguments)
    writable_picture(args.out)
    sheet = Image.fromarray(draw_sheet(DreamWorld.load(args.model), args.photograph))
    sheet.quantize(256, dither=Image.Dither.NONE).save(args.out, optimize=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
