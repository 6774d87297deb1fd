"""The look of each kind of block: 16x16 textures drawn by code, and their mip levels.

Nothing is loaded from a file.  Every texture is drawn from a private generator seeded by its name, so all machines
see the same world.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from reverie.simulator.voxel.blocks import BLOCKS

TEXELS = 16
"""Texels along one edge of a face."""
MIP_LEVELS = 5
"""Edges of 16, 8, 4, 2 and 1 texels."""
MIP_TEXELS = sum((TEXELS >> level) ** 2 for level in range(MIP_LEVELS))
SIDE, TOP, BOTTOM = 0, 1, 2
CRACK_STAGES = 5

_Faces = tuple[np.ndarray, np.ndarray, np.ndarray]


def _generator(name: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))


def _blotches(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Smooth periodic value noise in -1..1, [16, 16], with `cells` features along an edge."""
    lattice = rng.uniform(-1, 1, (cells, cells))
    position = np.arange(TEXELS) * cells / TEXELS
    low = position.astype(int)
    part = position - low
    part = part * part * (3 - 2 * part)
    high = (low + 1) % cells
    rows = lattice[low] * (1 - part)[:, None] + lattice[high] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, high] * part


def _paint(colour: tuple[float, float, float], light: np.ndarray | float = 0.0) -> np.ndarray:
    """An opaque float texture [16, 16, 4] of one colour, brightened by `light` [16, 16] (0.1 is 10 %)."""
    texture = np.full((TEXELS, TEXELS, 4), 255.0)
    texture[..., :3] = np.asarray(colour) * (1 + np.broadcast_to(light, (TEXELS, TEXELS)))[..., None]
    return texture


def _grain(rng: np.random.Generator, fine: float, coarse: float, cells: int = 4) -> np.ndarray:
    return fine * rng.uniform(-1, 1, (TEXELS, TEXELS)) + coarse * _blotches(rng, cells)


def _all(texture: np.ndarray) -> _Faces:
    return texture, texture, texture


def _stone(rng: np.random.Generator) -> np.ndarray:
    texture = _paint((127, 128, 132), _grain(rng, 0.05, 0.10))
    for _ in range(5):  # short level seams
        row, start, length = rng.integers(0, 16), rng.integers(0, 16), rng.integers(3, 7)
        texture[row, (start + np.arange(length)) % TEXELS, :3] *= 0.82
    return texture


def _dirt(rng: np.random.Generator) -> np.ndarray:
    texture = _paint((136, 98, 66), _grain(rng, 0.10, 0.10, 8))
    for _ in range(9):
        row, column = rng.integers(0, 16, 2)
        texture[row, column, :3] = (172, 142, 108) if rng.random() < 0.4 else (94, 64, 42)
    return texture


def _fringe(rng: np.random.Generator, below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """`below` with an uneven fringe of `above` hanging over its upper edge."""
    texture = below.copy()
    depth = np.clip(np.round(4 + 1.6 * _blotches(rng, 8)[0] + rng.uniform(-1, 1, TEXELS)), 2, 7).astype(int)
    for column in range(TEXELS):
        texture[: depth[column], column] = above[: depth[column], column]
        texture[depth[column], column, :3] *= 0.72
    return texture


def _grass(rng: np.random.Generator) -> _Faces:
    top = _paint((98, 166, 62), _grain(rng, 0.13, 0.12, 4))
    for _ in range(14):
        row, column = rng.integers(0, 16, 2)
        top[row, column, :3] = (138, 200, 84) if rng.random() < 0.6 else (62, 122, 44)
    dirt = _dirt(rng)
    return _fringe(rng, dirt, top), top, dirt


def _snow(rng: np.random.Generator) -> _Faces:
    top = _paint((224, 232, 243), _grain(rng, 0.03, 0.05))
    dirt = _dirt(rng)
    return _fringe(rng, dirt, top), top, dirt


def _sand(rng: np.random.Generator) -> np.ndarray:
    ripples = 0.04 * np.sin(np.arange(TEXELS)[:, None] * np.pi / 2.67 + 2.0 * _blotches(rng, 2))
    return _paint((222, 208, 158), _grain(rng, 0.05, 0.02) + ripples)


def _sandstone(rng: np.random.Generator) -> _Faces:
    bands = np.zeros((TEXELS, TEXELS))
    bands[[3, 4, 9, 13]] = -0.13
    bands[[0, 7, 15]] = 0.06
    side = _paint((212, 190, 134), bands + _grain(rng, 0.04, 0.03))
    side[10, 2:7, :3] *= 0.85
    side[5, 9:14, :3] *= 0.85
    top = _paint((220, 202, 150), _grain(rng, 0.03, 0.03))
    top[[0, -1], :, :3] *= 0.88
    top[:, [0, -1], :3] *= 0.88
    return side, top, top


def _water(rng: np.random.Generator) -> np.ndarray:
    rows, columns = np.mgrid[0:TEXELS, 0:TEXELS] * (2 * np.pi / TEXELS)
    waves = np.sin(rows * 2 + 1.2 * np.sin(columns)) + np.sin(columns + rows + 1.7)
    return _paint((46, 98, 196), 0.09 * waves + _grain(rng, 0.02, 0.04))


def _trunk(rng: np.random.Generator, bark: tuple[int, int, int], wood: tuple[int, int, int]) -> _Faces:
    stripes = rng.choice([-0.30, -0.05, 0.08, 0.20], TEXELS)
    side = _paint(bark, stripes[None] + _grain(rng, 0.07, 0.06, 2))
    for _ in range(6):  # knots and splits
        row, column = rng.integers(0, 16, 2)
        side[(row + np.arange(3)) % TEXELS, column, :3] *= 0.6
    rows, columns = np.abs(np.mgrid[0:TEXELS, 0:TEXELS] - 7.5)
    ring = np.maximum(rows, columns)
    top = _paint(wood, np.where(ring.astype(int) % 2 == 0, 0.10, -0.16) + _grain(rng, 0.04, 0.0))
    top[ring > 7, :3] = side[0, :1, :3]
    return side, top, top


def _foliage(rng: np.random.Generator, colour: tuple[int, int, int], holes: float) -> np.ndarray:
    lumps = rng.uniform(-1, 1, (TEXELS, TEXELS)) * 0.6 + _blotches(rng, 8)
    texture = _paint(colour, 0.30 * lumps)
    texture[lumps <= np.quantile(lumps, holes), 3] = 0
    texture[lumps >= np.quantile(lumps, 0.9), :3] *= 1.2
    return texture


def _boards(rng: np.random.Generator) -> np.ndarray:
    light = _grain(rng, 0.03, 0.0) + 0.07 * rng.uniform(-1, 1, (TEXELS, 1))
    texture = _paint((176, 138, 82), light)
    for board, joint in enumerate((5, 13, 2, 9)):
        texture[4 * board : 4 * board + 4, :, :3] *= 1 + 0.06 * (-1) ** board
        texture[4 * board + 3, :, :3] *= 0.62
        texture[4 * board : 4 * board + 3, joint, :3] *= 0.68
    return texture


def _cobbles(rng: np.random.Generator) -> np.ndarray:
    """Round stones: each texel belongs to the nearest of some scattered centres; joints where two are as near."""
    centres = (np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2) + 0.5) * 4.0
    centres = centres + rng.uniform(-1.5, 1.5, centres.shape)
    grid = np.stack(list(np.mgrid[0:TEXELS, 0:TEXELS]), -1).reshape(-1, 1, 2) + 0.5
    gap = np.abs(grid - centres)
    distance = np.sort(np.hypot(*np.moveaxis(np.minimum(gap, TEXELS - gap), -1, 0)), axis=1)
    nearest = np.argmin(np.hypot(*np.moveaxis(np.minimum(gap, TEXELS - gap), -1, 0)), axis=1)
    tones = rng.uniform(-0.16, 0.22, len(centres))[nearest].reshape(TEXELS, TEXELS)
    joint = (distance[:, 1] - distance[:, 0] < 0.9).reshape(TEXELS, TEXELS)
    return _paint((128, 127, 126), np.where(joint, -0.5, tones + _grain(rng, 0.05, 0.0)))


def _gravel(rng: np.random.Generator) -> np.ndarray:
    lumps = rng.uniform(-1, 1, (TEXELS, TEXELS)) * 0.5 + _blotches(rng, 8)
    texture = _paint((132, 124, 120), 0.28 * lumps)
    texture[lumps > 0.75, :3] = (176, 160, 150)
    return texture


def _ore(rng: np.random.Generator, speck: tuple[int, int, int]) -> np.ndarray:
    texture = _stone(rng)
    for row, column in ((2, 3), (4, 10), (9, 5), (8, 13), (12, 10), (13, 2)):
        for _ in range(7):
            spot = (row + rng.integers(-1, 2)) % TEXELS, (column + rng.integers(-1, 2)) % TEXELS
            texture[spot][:3] = np.asarray(speck) * rng.uniform(0.8, 1.15)
    return texture


def _cactus(rng: np.random.Generator) -> _Faces:
    ribs = np.tile([-0.30, -0.02, 0.16, 0.05], 4)[None] * np.ones((TEXELS, 1))
    side = _paint((82, 148, 62), ribs + _grain(rng, 0.05, 0.0))
    side[2::5, 2::4, :3] = (226, 232, 190)  # thorns
    top = _paint((112, 172, 84), _grain(rng, 0.06, 0.08))
    top[[0, -1], :, :3] *= 0.6
    top[:, [0, -1], :3] *= 0.6
    return side, top, top


def _bricks(rng: np.random.Generator) -> np.ndarray:
    texture = _paint((166, 82, 64), _grain(rng, 0.06, 0.04))
    for course in range(4):
        rows = slice(4 * course, 4 * course + 4)
        for brick in range(2):
            columns = (np.arange(8) + 8 * brick + 4 * (course % 2)) % TEXELS
            texture[rows, columns, :3] *= rng.uniform(0.85, 1.15)
            texture[rows, columns[-1], :3] = (196, 184, 172)
        texture[4 * course + 3, :, :3] = (196, 184, 172)
    return texture


def _glass(rng: np.random.Generator) -> np.ndarray:
    texture = _paint((206, 232, 240), _grain(rng, 0.03, 0.0))
    texture[1:-1, 1:-1, 3] = 0
    for column in range(3, 9):  # two shines
        texture[11 - column, column, 3] = 255
        texture[16 - column, column + 2, 3] = 255
    return texture


def _lamp(rng: np.random.Generator) -> np.ndarray:
    rows, columns = np.abs(np.mgrid[0:TEXELS, 0:TEXELS] - 7.5)
    texture = _paint((255, 226, 140), 0.12 - 0.035 * np.hypot(rows, columns) + _grain(rng, 0.02, 0.0))
    texture[(np.maximum(rows, columns) > 7) | (np.minimum(rows, columns) < 1), :3] = (132, 88, 40)
    return texture


def _ice(rng: np.random.Generator) -> np.ndarray:
    texture = _paint((158, 198, 240), _grain(rng, 0.02, 0.07, 3))
    for start, slope in ((3, 1), (11, 1), (14, -1)):
        along = np.arange(3, 13)
        texture[along, (start + slope * along) % TEXELS, :3] = (222, 238, 252)
    return texture


def _wool(rng: np.random.Generator) -> np.ndarray:
    rows, columns = np.mgrid[0:TEXELS, 0:TEXELS]
    weave = 0.10 * np.where((rows // 2 + columns // 2) % 2, 1, -1)
    return _paint((190, 44, 44), weave + _grain(rng, 0.06, 0.04))


def _pumpkin(rng: np.random.Generator) -> _Faces:
    ribs = np.tile([-0.22, -0.02, 0.08, 0.02], 4)[None] * np.ones((TEXELS, 1))
    side = _paint((230, 136, 30), ribs + _grain(rng, 0.04, 0.0))
    face = (
        "................", "................", "................", "................",
        "..##........##..", "..###......###..", "..####....####..", "................",
        ".......##.......", "................", ".##..........##.", ".####.####.####.",
        "..############..", "....##.##.##....", "................", "................",
    )  # fmt: skip
    carved = np.array([[mark == "#" for mark in line] for line in face])
    side[carved, :3] = (70, 32, 8)
    rows, columns = np.abs(np.mgrid[0:TEXELS, 0:TEXELS] - 7.5)
    top = _paint((214, 122, 28), np.where((rows + columns).astype(int) % 4 == 0, -0.2, 0.04) + _grain(rng, 0.04, 0))
    top[np.maximum(rows, columns) < 2, :3] = (90, 120, 40)  # stalk
    return side, top, top


def _bedrock(rng: np.random.Generator) -> np.ndarray:
    return _paint((78, 78, 82), np.sign(_blotches(rng, 6)) * 0.4 + _grain(rng, 0.15, 0.0))


_DRAW: dict[str, Callable[[np.random.Generator], np.ndarray | _Faces]] = {
    "air": lambda rng: np.zeros((TEXELS, TEXELS, 4)),
    "stone": _stone,
    "dirt": _dirt,
    "grass": _grass,
    "sand": _sand,
    "water": _water,
    "log": lambda rng: _trunk(rng, (112, 84, 50), (186, 148, 92)),
    "leaves": lambda rng: _foliage(rng, (64, 138, 44), 0.22),
    "planks": _boards,
    "cobblestone": _cobbles,
    "snow": _snow,
    "gravel": _gravel,
    "coal_ore": lambda rng: _ore(rng, (38, 38, 42)),
    "iron_ore": lambda rng: _ore(rng, (222, 168, 130)),
    "sandstone": _sandstone,
    "cactus": _cactus,
    "pine_log": lambda rng: _trunk(rng, (74, 52, 36), (142, 106, 70)),
    "pine_leaves": lambda rng: _foliage(rng, (40, 96, 74), 0.16),
    "bricks": _bricks,
    "glass": _glass,
    "lamp": _lamp,
    "ice": _ice,
    "red_wool": _wool,
    "pumpkin": _pumpkin,
    "bedrock": _bedrock,
}


@lru_cache(maxsize=1)
def texture_atlas() -> np.ndarray:
    """All textures, uint8 [n_blocks, 3, 16, 16, 4] RGBA; axis 1 is side, top, bottom; alpha 0 is a hole. Read-only."""
    atlas = np.zeros((len(BLOCKS), 3, TEXELS, TEXELS, 4))
    for index, block in enumerate(BLOCKS):
        drawn = _DRAW[block.name](_generator(block.name))
        atlas[index] = np.stack(drawn if isinstance(drawn, tuple) else _all(drawn))
    packed = np.clip(np.round(atlas), 0, 255).astype(np.uint8)
    packed.setflags(write=False)
    return packed


@lru_cache(maxsize=1)
def block_colours() -> np.ndarray:
    """float32 [n_blocks, 3]: mean colour (0-255) of each kind over its side and top, holes left out. Read-only."""
    faces = texture_atlas()[:, [SIDE, TOP]].astype(np.float64).reshape(len(BLOCKS), -1, 4)
    weight = np.maximum(faces[..., 3:], 1e-6)
    colours = ((faces[..., :3] * weight).sum(1) / weight.sum(1)).astype(np.float32)
    colours.setflags(write=False)
    return colours


@lru_cache(maxsize=1)
def mip_table() -> np.ndarray:
    """The atlas with its mip levels for the renderer: float32 [n_blocks, 3, MIP_TEXELS, 4], colours 0-255, alpha 0-1.

    Levels follow each other, each row-major.  Holes do not darken the levels above them. Read-only.
    """
    level = texture_atlas().astype(np.float64)
    level[..., 3] /= 255.0
    levels = [level]
    for _ in range(MIP_LEVELS - 1):
        n, f, height, width, _ = level.shape
        quads = level.reshape(n, f, height // 2, 2, width // 2, 2, 4).transpose(0, 1, 2, 4, 3, 5, 6)
        quads = quads.reshape(n, f, height // 2, width // 2, 4, 4)
        weight = np.maximum(quads[..., 3:], 1e-6)
        colour = (quads[..., :3] * weight).sum(-2) / weight.sum(-2)
        level = np.concatenate([colour, quads[..., 3:].mean(-2)], -1)
        levels.append(level)
    table = np.concatenate([part.reshape(*part.shape[:2], -1, 4) for part in levels], 2).astype(np.float32)
    table.setflags(write=False)
    return table


@lru_cache(maxsize=1)
def crack_stages() -> np.ndarray:
    """bool [CRACK_STAGES, 16, 16]: texels that are cracked, each stage holding the ones before it. Read-only."""
    rng = _generator("cracks")
    stages = np.zeros((CRACK_STAGES, TEXELS, TEXELS), bool)
    marks = np.zeros((TEXELS, TEXELS), bool)
    for stage in range(CRACK_STAGES):
        for _ in range(2):
            angle = rng.uniform(0, 2 * np.pi)
            position = np.array([7.5, 7.5]) + rng.uniform(-2, 2, 2)
            for _ in range(4 + 3 * stage):
                angle += rng.uniform(-0.7, 0.7)
                position = position + (np.sin(angle), np.cos(angle))
                row, column = np.round(position).astype(int)
                if 0 <= row < TEXELS and 0 <= column < TEXELS:
                    marks[row, column] = True
        stages[stage] = marks
    stages.setflags(write=False)
    return stages
