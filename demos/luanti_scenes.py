"""Makes the start scenes of Luanti that ship with Reverie: frames of recordings, each with the camera's pitch.

python -m reverie.demos.luanti_scenes --data DIR --out simulator/scenes
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from PIL import Image

from reverie.simulator.clips import Clip

SIZE = (96, 160)
SCENES: tuple[tuple[str, str, int], ...] = (
    ("savanna", "luanti-s100006-000-0", 30), ("cove", "luanti-s101145-201-1", 60),
    ("cactus", "luanti-s100315-420-0", 120), ("bay", "luanti-s100300-407-0", 110),
    ("pines", "luanti-s100325-422-0", 110), ("rainforest", "luanti-s102283-401-2", 36),
)  # fmt: skip
"""Name, recording and frame."""
CREDIT = """# Start scenes of Luanti

The pictures `luanti-*.png` are frames of gameplay in the voxel engine Luanti (Minetest) with Minetest Game. They show
its textures and other media, and are under [CC BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/) (share
alike). Credit: **Minetest Game contributors**. The engine and the game are named for attribution alone; nobody of
theirs endorses Reverie.

All other pictures in this folder are of Reverie's own voxel world and under its licence.
"""


def main() -> None:
    """Writes luanti-NAME.png and .json for all of `SCENES`, and who is to be credited."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder of recordings, 160x96")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    out: Path = options.out
    for name, recording, frame in SCENES:
        path = next(options.data.rglob(f"{recording}.mp4"))
        clip = Clip.load(path, frame, 1, size=SIZE)
        assert clip.poses is not None
        Image.fromarray(clip.frames[0]).save(out / f"luanti-{name}.png", optimize=True)
        pitch = round(float(clip.poses[0, 4]), 2)
        note = {"pitch": pitch, "world": "luanti", "recording": recording, "frame": frame}
        (out / f"luanti-{name}.json").write_text(json.dumps(note) + "\n", "utf-8")
    (out / "CREDITS.md").write_text(CREDIT, "utf-8")


if __name__ == "__main__":
    main()
