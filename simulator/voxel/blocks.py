"""The kinds of block, as a table: names, ids, and what each is like. Textures are drawn in `textures.py`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Block:
    """One kind of block. `hardness` is the seconds of holding attack that break it (infinity: never)."""

    name: str
    hardness: float
    solid: bool = True
    """Bodies collide with it."""
    targetable: bool = True
    """The crosshair can point at it."""
    see_through: bool = False
    """Light rays go on through its holes (leaves, glass) or through its tint (water)."""
    glow: bool = False
    """Fully lit whatever the hour."""


BLOCKS: tuple[Block, ...] = (
    Block("air", float("inf"), solid=False, targetable=False, see_through=True),
    Block("stone", 1.5),
    Block("dirt", 0.5),
    Block("grass", 0.6),
    Block("sand", 0.5),
    Block("water", float("inf"), solid=False, targetable=False, see_through=True),
    Block("log", 1.0),
    Block("leaves", 0.2, see_through=True),
    Block("planks", 1.0),
    Block("cobblestone", 1.5),
    Block("snow", 0.4),
    Block("gravel", 0.6),
    Block("coal_ore", 1.8),
    Block("iron_ore", 1.8),
    Block("sandstone", 1.0),
    Block("cactus", 0.4),
    Block("pine_log", 1.0),
    Block("pine_leaves", 0.2, see_through=True),
    Block("bricks", 1.5),
    Block("glass", 0.3, see_through=True),
    Block("lamp", 0.3, glow=True),
    Block("ice", 0.5),
    Block("red_wool", 0.6),
    Block("pumpkin", 0.8),
    Block("bedrock", float("inf")),
)
BLOCK_ID: dict[str, int] = {block.name: index for index, block in enumerate(BLOCKS)}
SOLID = np.array([block.solid for block in BLOCKS])
TARGETABLE = np.array([block.targetable for block in BLOCKS])
SEE_THROUGH = np.array([block.see_through for block in BLOCKS])
GLOW = np.array([block.glow for block in BLOCKS])
HARDNESS = np.array([block.hardness for block in BLOCKS])
LOGS: tuple[int, ...] = (BLOCK_ID["log"], BLOCK_ID["pine_log"])
HOTBAR: tuple[str, ...] = (
    "cobblestone",
    "planks",
    "log",
    "bricks",
    "sandstone",
    "red_wool",
    "glass",
    "leaves",
    "lamp",
)
"""What the nine slots hold; they never run out."""

SIZE_X, SIZE_Y, SIZE_Z = 256, 64, 256
"""The world is a torus of this many blocks: it repeats along x and z, so nobody ever meets an edge."""
SEA_LEVEL = 22
"""Water fills open space up to and including this layer."""
EYE_HEIGHT = 1.62
EYE_HEIGHT_SNEAKING = 1.54
REACH = 4.5
FIELD_OF_VIEW = 70.0
"""Vertical, in degrees."""
VIEW_DISTANCE = 64.0
"""Metres until everything has faded into the sky's colour."""
