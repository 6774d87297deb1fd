"""Makes the start scenes that ship with Reverie: pictures of the voxel world without its screen layer, each with the
pose of the player beside it.

python -m reverie.demos.scenes --out simulator/scenes
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from PIL import Image

from reverie.simulator.action import Action
from reverie.simulator.voxel.world import VoxelWorld

SCENES: tuple[tuple[str, str | None, int], ...] = (
    ("plains", "plains", 11), ("forest", "forest", 12), ("desert", "desert", 13), ("snow", "snow", 14),
    ("village", "village", 15), ("lake", "lake", 16), ("night", "night", 17), ("cave", "cave", 18),
    ("meadow", "plains", 21), ("woods", "forest", 22), ("dunes", "desert", 23), ("winter", "snow", 24),
)  # fmt: skip
"""Name, the voxel world's scene, and its seed."""
SETTLE_TICKS = 10
"""Ticks before the picture is taken, in which the player lands and looks a little down."""
LOOK_DOWN = 0.8
"""Degrees a tick."""


def main() -> None:
    """Writes NAME.png and NAME.json for all of `SCENES`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    world = VoxelWorld(hud=False)
    for name, scene, seed in SCENES:
        state = world.start(scene, seed)
        for _ in range(SETTLE_TICKS):
            state = world.step(state, Action(camera=(LOOK_DOWN, 0.0)))
        Image.fromarray(world.frame(state)).save(out / f"{name}.png", optimize=True)
        pose = [round(float(value), 4) for value in world.pose(state)]
        note = {"pitch": pose[4], "pose": pose, "world": "voxel", "scene": scene, "seed": seed}
        (out / f"{name}.json").write_text(json.dumps(note) + "\n", "utf-8")


if __name__ == "__main__":
    main()
