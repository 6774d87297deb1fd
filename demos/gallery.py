"""The README's pictures of real dreams: each start scene, then the same dream one, two, four seconds on.

python -m reverie.demos.gallery --model tiny --out docs/pictures/dreams.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from reverie.demos.scripts import answered
from reverie.simulator import Action, DreamWorld, Simulator
from reverie.simulator.outputs import writable_picture

SCENES: tuple[str, ...] = ("plains", "forest", "desert", "snow", "village", "lake")
SHOWN_TICKS: tuple[int, ...] = (0, 5, 10, 20, 40, 80)
"""At 20 ticks a second."""


def stroll(tick: int) -> Action:
    """Walks ahead, looking to the right for a second and to the left for a second."""
    return Action(forward=True, camera=(0.0, 1.5 if (tick // 20) % 2 == 0 else -1.5))


def strip(world: DreamWorld, scene: str) -> np.ndarray:
    """Frames of one dream side by side: uint8 [h, n w, 3]."""
    sim = Simulator(world, scene=scene, seed=0)
    frames = {0: sim.frame}
    for tick in range(max(SHOWN_TICKS)):
        frames[tick + 1] = sim.step(stroll(tick))
    return np.concatenate([frames[tick] for tick in SHOWN_TICKS], axis=1)


def main() -> int:
    """Writes one picture with a row for each scene."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    from PIL import Image

    def draw() -> None:
        writable_picture(options.out)
        world = DreamWorld.load(options.model)
        Image.fromarray(np.concatenate([strip(world, scene) for scene in SCENES])).save(options.out, optimize=True)

    return answered(draw)


if __name__ == "__main__":
    sys.exit(main())
