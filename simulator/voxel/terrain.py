"""The land of a seed: hills and cliffs, four biomes, water, caves, ores, plants and small buildings.

Everything comes from gradient noise (Perlin 1985) on lattices that repeat with the world, so the torus has no seam,
and from private generators, so a seed is always the same land.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from reverie.model.compiled import compiled
from reverie.simulator.voxel import plants, structures
from reverie.simulator.voxel.blocks import BLOCK_ID, SEA_LEVEL, SEE_THROUGH, SIZE_X, SIZE_Y, SIZE_Z

BIOMES: tuple[str, ...] = ("plains", "forest", "desert", "snow")
PLAINS, FOREST, DESERT, SNOW = range(4)

_AIR, _STONE, _DIRT, _GRASS, _SAND, _WATER, _SNOW, _GRAVEL, _COAL, _IRON, _SANDSTONE, _ICE, _BEDROCK = (
    BLOCK_ID[name]
    for name in (
        "air", "stone", "dirt", "grass", "sand", "water", "snow", "gravel", "coal_ore", "iron_ore", "sandstone",
        "ice", "bedrock",
    )
)  # fmt: skip
_HIGHEST_GROUND = 50
"""Leaves room below the top of the world for the tallest tree or tower."""
_LOWEST_GROUND = 11
_NATURAL_LANDMARKS = 6
"""Most of a kind that are listed."""


@dataclass(frozen=True, slots=True)
class Terrain:
    """A generated world.

    `blocks` is uint8 [256, 64, 256], `biome` uint8 [256, 256] (index into BIOMES), both read-only.  `landmarks`
    lists (x, y, z, kind): y is the ground there; kinds are those of `structures.LANDMARKS`.
    """

    blocks: np.ndarray
    biome: np.ndarray
    landmarks: tuple[tuple[int, int, int, str], ...]


@compiled
def _gradient_noise(table, x, y, z, period_xz, period_y):
    """3-D gradient noise in about -1..1, periodic in x and z; `table` is a shuffled uint8 [512]."""
    fx, fy, fz = math.floor(x), math.floor(y), math.floor(z)
    ix, iy, iz = int(fx), int(fy), int(fz)
    x, y, z = x - fx, y - fy, z - fz
    u, v, w = (
        x * x * x * (x * (x * 6 - 15) + 10),
        y * y * y * (y * (y * 6 - 15) + 10),
        z * z * z * (z * (z * 6 - 15) + 10),
    )
    total = 0.0
    for cx in range(2):
        hx = table[(ix + cx) % period_xz]
        wx = u if cx else 1.0 - u
        for cy in range(2):
            hy = table[hx + (iy + cy) % period_y]
            wy = v if cy else 1.0 - v
            for cz in range(2):
                h = table[hy + (iz + cz) % period_xz] % 12
                px, py, pz = x - cx, y - cy, z - cz
                # one of the twelve edges of the cube
                if h < 4:
                    dot = (px if h & 1 else -px) + (py if h & 2 else -py)
                elif h < 8:
                    dot = (px if h & 1 else -px) + (pz if h & 2 else -pz)
                else:
                    dot = (py if h & 1 else -py) + (pz if h & 2 else -pz)
                total += wx * wy * (w if cz else 1.0 - w) * dot
    return total


@compiled
def _fractal_map(table, cells, octaves, layer):
    """float64 [256, 256]: fractal noise whose first octave has `cells` periods along an edge."""
    out = np.zeros((SIZE_X, SIZE_Z))
    amplitude, norm = 1.0, 0.0
    for octave in range(octaves):
        n = cells << octave
        norm += amplitude
        for x in range(SIZE_X):
            for z in range(SIZE_Z):
                out[x, z] += amplitude * _gradient_noise(
                    table, x * n / SIZE_X, layer + 0.37 + octave * 3.0, z * n / SIZE_Z, n, 256
                )
        amplitude *= 0.5
    return out / norm


@compiled
def _smoothstep(low, high, value):
    part = min(max((value - low) / (high - low), 0.0), 1.0)
    return part * part * (3.0 - 2.0 * part)


@compiled
def _ground(table, biome):
    """int16 [256, 256]: y of the highest block of bare land."""
    continent = _fractal_map(table, 3, 2, 10)
    hills = _fractal_map(table, 6, 4, 20)
    rugged = _fractal_map(table, 4, 2, 30)
    detail = _fractal_map(table, 24, 2, 40)
    ground = np.zeros((SIZE_X, SIZE_Z), np.int16)
    for x in range(SIZE_X):
        for z in range(SIZE_Z):
            wild = _smoothstep(-0.12, 0.30, rugged[x, z])
            lift = SEA_LEVEL + 4.5 + 17.0 * continent[x, z]
            height = lift + hills[x, z] * (7.0 + 27.0 * wild) + detail[x, z] * 1.6
            # cliffs: where the land is wild, heights gather on terraces
            step = 7.0
            level = math.floor(height / step)
            part = height / step - level
            terraced = (level + _smoothstep(0.40, 0.60, part)) * step
            height += (terraced - height) * wild * 0.9
            if height < SEA_LEVEL:  # flat lake floors
                height = SEA_LEVEL - 0.8 - (SEA_LEVEL - height) * 0.6
            if height > 42:
                height = 42 + (height - 42) * 0.5
            ground[x, z] = int(min(max(height, _LOWEST_GROUND), _HIGHEST_GROUND))
    return ground


@compiled
def _fill(table, ground, biome, patches):
    """uint8 [256, 64, 256]: rock, soil, water and caves, without anything that grows or was built."""
    blocks = np.zeros((SIZE_X, SIZE_Y, SIZE_Z), np.uint8)
    for x in range(SIZE_X):
        for z in range(SIZE_Z):
            top = ground[x, z]
            kind = biome[x, z]
            low = top
            for dx in range(-1, 2):
                for dz in range(-1, 2):
                    low = min(low, ground[(x + dx) & 255, (z + dz) & 255])
            steep = top - low
            surface, soil = _GRASS, _DIRT
            if kind == DESERT:
                surface, soil = _SAND, _SAND
            elif kind == SNOW:
                surface = _SNOW
            if top <= SEA_LEVEL + 1 and kind != SNOW:
                surface, soil = _SAND, _SAND
            if top < SEA_LEVEL - 1:
                surface = _GRAVEL if patches[x, z] > 0.05 else _SAND
                soil = surface
            if steep >= 3 and top > SEA_LEVEL:
                surface = _SANDSTONE if kind == DESERT else _STONE
                soil = surface
            elif patches[x, z] > 0.33 and top > SEA_LEVEL:
                surface = _GRAVEL
            for y in range(top + 1):
                if y == 0:
                    block = _BEDROCK
                elif y == top:
                    block = surface
                elif y > top - 4:
                    block = soil
                elif kind == DESERT and y > top - 9:
                    block = _SANDSTONE
                else:
                    block = _STONE
                blocks[x, y, z] = block
            for y in range(top + 1, SEA_LEVEL + 1):
                blocks[x, y, z] = _ICE if kind == SNOW and y == SEA_LEVEL else _WATER
    return blocks


@compiled
def _carve(table, blocks, ground):
    """Cuts winding tunnels: where two noise fields are both near zero, a tube runs.

    Tunnels keep out from under water, and open on hillsides where they meet the surface.
    """
    for x in range(SIZE_X):
        for z in range(SIZE_Z):
            top = ground[x, z]
            low = top
            for dx in range(-2, 3):
                for dz in range(-2, 3):
                    low = min(low, ground[(x + dx) & 255, (z + dz) & 255])
            if low <= SEA_LEVEL + 1:
                top = min(top, low - 5)
            for y in range(3, top + 1):
                a = _gradient_noise(table, x * 10 / SIZE_X, y / 15.0, z * 10 / SIZE_Z, 10, 256)
                if abs(a) > 0.13:
                    continue
                b = _gradient_noise(table, x * 10 / SIZE_X + 0.5, y / 15.0 + 60.5, z * 10 / SIZE_Z + 0.5, 10, 256)
                room = 0.13 if y < ground[x, z] - 3 else 0.10
                if a * a + b * b < room * room:
                    blocks[x, y, z] = _AIR


@compiled
def _ores(blocks, sites):
    """Turns small clumps of stone into ore; `sites` int64 [n, 4]: x, y, z, kind."""
    for n in range(len(sites)):
        x, y, z, kind = sites[n]
        for step in range(6):
            if 0 < y < SIZE_Y and blocks[x & 255, y, z & 255] == _STONE:
                blocks[x & 255, y, z & 255] = kind
            turn = (sites[n, 0] * 7 + sites[n, 2] * 13 + step * 5 + n) % 6
            x += (turn == 0) - (turn == 1)
            y += (turn == 2) - (turn == 3)
            z += (turn == 4) - (turn == 5)


def _biomes(table: np.ndarray) -> np.ndarray:
    """uint8 [256, 256]. Thresholds are quantiles, so that every seed has some of each."""
    heat = _fractal_map(table, 2, 3, 70)
    moisture = _fractal_map(table, 3, 3, 80)
    biome = np.where(moisture > np.quantile(moisture, 0.48), FOREST, PLAINS).astype(np.uint8)
    biome[heat > np.quantile(heat, 0.77)] = DESERT
    biome[heat < np.quantile(heat, 0.25)] = SNOW
    return biome


def _natural_landmarks(
    blocks: np.ndarray, ground: np.ndarray, rng: np.random.Generator
) -> tuple[structures.Landmark, ...]:
    """Some cave mouths (ground that was carved away) and places in deep water."""
    surface = np.take_along_axis(blocks, ground[:, None, :].astype(np.intp), 1)[:, 0]
    found: list[structures.Landmark] = []
    for kind, where in (("cave", surface == _AIR), ("lake", ground < SEA_LEVEL - 3)):
        spots = np.argwhere(where)
        chosen = rng.permutation(len(spots))[:_NATURAL_LANDMARKS]
        found += [(int(x), int(ground[x, z]), int(z), kind) for x, z in spots[chosen]]
    return tuple(found)


@lru_cache(maxsize=4)
def generate(seed: int) -> Terrain:
    """The land of a seed. Deterministic; takes well under a second once compiled; the last few are kept."""
    rng = np.random.Generator(np.random.PCG64([seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF, 11]))
    table = np.tile(rng.permutation(256), 2).astype(np.int64)
    biome = _biomes(table)
    ground = _ground(table, biome)
    patches = _fractal_map(table, 16, 2, 50)
    blocks = _fill(table, ground, biome, patches)
    _carve(table, blocks, ground)
    count = 1500
    sites = np.stack(
        [
            rng.integers(0, SIZE_X, count),
            rng.integers(2, 40, count),
            rng.integers(0, SIZE_Z, count),
            np.where(rng.random(count) < 0.6, _COAL, _IRON),
        ],
        1,
    )
    _ores(blocks, sites)
    natural = _natural_landmarks(blocks, ground, rng)
    taken, built = structures.build(blocks, ground, biome, rng)
    plants.grow(blocks, ground, biome, taken, rng)
    blocks.setflags(write=False)
    biome.setflags(write=False)
    return Terrain(blocks, biome, built + natural)


@compiled
def _column_height(blocks, see_through, x, z):
    for y in range(SIZE_Y - 1, -1, -1):
        if not see_through[blocks[x, y, z]]:
            return y
    return -1


@compiled
def _column_heights(blocks, see_through):
    heights = np.empty((SIZE_X, SIZE_Z), np.int16)
    for x in range(SIZE_X):
        for z in range(SIZE_Z):
            heights[x, z] = _column_height(blocks, see_through, x, z)
    return heights


def column_heights(blocks: np.ndarray) -> np.ndarray:
    """int16 [256, 256]: y of the highest block of each column that is not see-through; -1 where there is none."""
    return _column_heights(blocks, SEE_THROUGH)


def update_column(heights: np.ndarray, blocks: np.ndarray, x: int, z: int) -> None:
    """Sets `heights` (in place) right again after a block of column (x, z) has changed; x and z may be unbounded."""
    x, z = x & (SIZE_X - 1), z & (SIZE_Z - 1)
    heights[x, z] = _column_height(blocks, SEE_THROUGH, x, z)
