"""What was built on the land: huts, towers, wells, arches and lamp posts, alone and in villages."""

from __future__ import annotations

import numpy as np

from reverie.simulator.voxel.blocks import BLOCK_ID, SEA_LEVEL, SIZE_X, SIZE_Y, SIZE_Z

LANDMARKS: tuple[str, ...] = ("village", "hut", "tower", "well", "arch", "lamp_post", "cave", "lake")
Landmark = tuple[int, int, int, str]

_DESERT, _SNOW = 2, 3
_VILLAGES = 2
_VILLAGE_SPACING = 80
_VILLAGE_RADIUS = 11
_ALONE: tuple[tuple[str, int], ...] = (("tower", 7), ("hut", 7), ("arch", 5), ("well", 3), ("lamp_post", 16))
"""How many of each stand outside villages."""
_ROUGHEST = 4
"""Most that the ground may rise and fall under a building."""
_STONES = ("bricks", "cobblestone", "sandstone")


class Site:
    """Writes blocks around a corner or centre on the torus."""

    def __init__(self, blocks: np.ndarray, taken: np.ndarray, x: int, y: int, z: int) -> None:
        self._blocks, self._taken = blocks, taken
        self.x, self.y, self.z = x, y, z

    def put(self, x: tuple[int, int] | int, y: tuple[int, int] | int, z: tuple[int, int] | int, name: str) -> None:
        """Fills a box, given as offsets from the site (first and last inclusive, or one number)."""
        (x0, x1), (y0, y1), (z0, z1) = ((v, v) if isinstance(v, int) else v for v in (x, y, z))
        xs = np.arange(self.x + x0, self.x + x1 + 1) % SIZE_X
        ys = np.clip(np.arange(self.y + y0, self.y + y1 + 1), 1, SIZE_Y - 2)
        zs = np.arange(self.z + z0, self.z + z1 + 1) % SIZE_Z
        self._blocks[np.ix_(xs, ys, zs)] = BLOCK_ID[name]
        self._taken[np.ix_(xs, zs)] = True

    def keep_clear(self, reach: int) -> None:
        """Lets nothing grow within `reach` columns."""
        xs = np.arange(self.x - reach, self.x + reach + 1) % SIZE_X
        zs = np.arange(self.z - reach, self.z + reach + 1) % SIZE_Z
        self._taken[np.ix_(xs, zs)] = True


def _hut(site: Site, biome: int, rng: np.random.Generator) -> None:
    a, b = int(rng.integers(2, 4)), int(rng.integers(2, 4))  # half widths
    wall, corner, roof = (
        ("planks", "log", "cobblestone"),
        ("cobblestone", "log", "planks"),
        ("bricks", "cobblestone", "planks"),
        ("planks", "cobblestone", "bricks"),
    )[rng.integers(0, 4)]
    if biome == _DESERT:
        wall, corner, roof = "sandstone", "planks" if rng.random() < 0.5 else "sandstone", "sandstone"
    elif biome == _SNOW:
        wall, corner, roof = ("pine_log" if rng.random() < 0.5 else "planks"), "pine_log", "snow"
    site.keep_clear(max(a, b) + 2)
    site.put((-a, a), (-3, 0), (-b, b), "cobblestone")
    site.put((-a - 1, a + 1), (1, 7), (-b - 1, b + 1), "air")
    site.put((-a, a), 0, (-b, b), "planks")
    site.put((-a, a), (1, 4), (-b, b), wall)
    site.put((1 - a, a - 1), (1, 4), (1 - b, b - 1), "air")
    for x in (-a, a):
        for z in (-b, b):
            site.put(x, (1, 4), z, corner)
    for x in (-a, a):
        site.put(x, (2, 3), (0, 0) if b < 3 else (-1, 1), "glass")
    site.put((0, 0) if a < 3 else (-1, 1), (2, 3), b, "glass")
    site.put(0, (1, 2), -b, "air")  # the door
    site.put(0, 0, -b - 1, "cobblestone")
    if biome == _DESERT:
        site.put((-a, a), 5, (-b, b), roof)
        site.put((1 - a, a - 1), 5, (1 - b, b - 1), "planks")
    else:
        for step in range(min(a, b) + 2):  # a hipped roof
            site.put((step - a - 1, a + 1 - step), 5 + step, (step - b - 1, b + 1 - step), roof)
            if step == 0:
                site.put((1 - a, a - 1), 5, (1 - b, b - 1), "air")
    site.put(0, 5, 0, "lamp")
    if rng.random() < 0.5:
        site.put(a - 1, 1, b - 1, "pumpkin")
    else:
        site.put(a - 1, 1, b - 1, "red_wool")


def _tower(site: Site, biome: int, rng: np.random.Generator) -> None:
    stone = "sandstone" if biome == _DESERT else _STONES[rng.integers(0, 3)]
    trim = "red_wool" if rng.random() < 0.5 else "planks"
    r, tall = 2, int(rng.integers(9, 15))
    site.keep_clear(r + 2)
    site.put((-r, r), (-4, 0), (-r, r), "cobblestone")
    site.put((-r, r), (1, tall), (-r, r), stone)
    site.put((1 - r, r - 1), (1, tall - 1), (1 - r, r - 1), "air")
    for level in range(4, tall - 1, 4):
        for x, z in ((-r, 0), (r, 0), (0, -r), (0, r)):
            site.put(x, (level, level + 1), z, "glass")
    site.put((-r, r), tall - 1, (-r, r), trim)
    site.put((-r - 1, r + 1), tall, (-r - 1, r + 1), stone)
    for x in range(-r - 1, r + 2, 2):
        for z in (-r - 1, r + 1):
            site.put(x, tall + 1, z, stone)
            site.put(z, tall + 1, x, stone)
    site.put(0, (1, 2), -r, "air")
    site.put(0, tall + 1, 0, "lamp")
    site.put(0, tall - 2, 0, "lamp")


def _well(site: Site, biome: int, rng: np.random.Generator) -> None:
    stone = "sandstone" if biome == _DESERT else "cobblestone"
    site.keep_clear(3)
    site.put((-1, 1), (1, 5), (-1, 1), "air")
    site.put((-1, 1), (-3, 1), (-1, 1), stone)
    site.put(0, (-2, 0), 0, "water")
    site.put(0, 1, 0, "air")
    for x in (-1, 1):
        for z in (-1, 1):
            site.put(x, (2, 3), z, "log")
    site.put((-1, 1), 4, (-1, 1), "planks")
    site.put(0, 5, 0, "planks")


def _arch(site: Site, biome: int, rng: np.random.Generator) -> None:
    stone = "sandstone" if biome == _DESERT else _STONES[rng.integers(0, 3)]
    half, tall = int(rng.integers(2, 4)), int(rng.integers(5, 8))
    turned = rng.random() < 0.5
    site.keep_clear(half + 2)

    def box(along: tuple[int, int], y: tuple[int, int], across: tuple[int, int], name: str) -> None:
        site.put(*((across, y, along) if turned else (along, y, across)), name)

    box((-half, half), (1, tall + 1), (0, 1), "air")
    for side in (-half - 1, half):
        box((side, side + 1), (-4, tall), (0, 1), stone)
    box((-half - 1, half + 1), (tall, tall), (0, 1), stone)
    box((-half, half), (tall + 1, tall + 1), (0, 1), "planks")
    box((-half, -half), (tall - 1, tall - 1), (0, 1), stone)
    box((half - 1, half - 1), (tall - 1, tall - 1), (0, 1), stone)
    box((0, 0), (tall + 2, tall + 2), (0, 0), "lamp")


def _lamp_post(site: Site, biome: int, rng: np.random.Generator) -> None:
    site.keep_clear(1)
    site.put(0, 1, 0, "cobblestone")
    site.put(0, (2, 3), 0, "pine_log" if biome == _SNOW else "log")
    site.put(0, 4, 0, "lamp")


_BUILD = {"hut": _hut, "tower": _tower, "well": _well, "arch": _arch, "lamp_post": _lamp_post}


def _window(ground: np.ndarray, x: int, z: int, reach: int) -> np.ndarray:
    xs = np.arange(x - reach, x + reach + 1) % SIZE_X
    zs = np.arange(z - reach, z + reach + 1) % SIZE_Z
    return ground[np.ix_(xs, zs)]


def _is_apart(x: int, z: int, others: list[tuple[int, int]], spacing: int) -> bool:
    half_x, half_z = SIZE_X // 2, SIZE_Z // 2
    return all(
        max(abs((x - ox + half_x) % SIZE_X - half_x), abs((z - oz + half_z) % SIZE_Z - half_z)) >= spacing
        for ox, oz in others
    )


def _village_centres(ground: np.ndarray, rng: np.random.Generator) -> list[tuple[int, int]]:
    """The flattest dry places among many, far from each other."""
    scored = []
    for x, z in rng.integers(0, SIZE_X, (400, 2)):
        patch = _window(ground, x, z, _VILLAGE_RADIUS)
        if patch.min() > SEA_LEVEL:
            scored.append((float(patch.std()), int(x), int(z)))
    centres: list[tuple[int, int]] = []
    for _, x, z in sorted(scored):
        if len(centres) < _VILLAGES and _is_apart(x, z, centres, _VILLAGE_SPACING):
            centres.append((x, z))
    return centres


def build(
    blocks: np.ndarray, ground: np.ndarray, biome: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[Landmark, ...]]:
    """Puts buildings into `blocks` (in place) on the land `ground` (y, int [256, 256]).

    Returns bool [256, 256], the columns where nothing may grow, and the landmarks with the ground's y.
    """
    taken = np.zeros((SIZE_X, SIZE_Z), bool)
    landmarks: list[Landmark] = []
    places: list[tuple[int, int]] = []

    def place(kind: str, x: int, z: int) -> None:
        x, z = x % SIZE_X, z % SIZE_Z
        y = int(np.median(_window(ground, x, z, 2)))
        _BUILD[kind](Site(blocks, taken, x, y, z), int(biome[x, z]), rng)
        landmarks.append((x, y, z, kind))
        places.append((x, z))

    for x, z in _village_centres(ground, rng):
        landmarks.append((x, int(ground[x, z]), z, "village"))
        place("well", x, z)
        for dx, dz in ((-9, -8), (9, -7), (-8, 9), (9, 9)):
            place("hut", x + dx + int(rng.integers(-1, 2)), z + dz + int(rng.integers(-1, 2)))
        for dx, dz in ((-4, -3), (4, 3)):
            place("lamp_post", x + dx, z + dz)
        place("tower", x + int(rng.integers(-2, 3)), z + 13)
    for kind, count in _ALONE:
        reach = 0 if kind == "lamp_post" else 3
        built = 0
        for x, z in rng.integers(0, SIZE_X, (count * 12, 2)):
            patch = _window(ground, x, z, reach)
            if patch.min() > SEA_LEVEL and np.ptp(patch) <= _ROUGHEST and _is_apart(int(x), int(z), places, 10):
                place(kind, int(x), int(z))
                built += 1
            if built == count:
                break
    return taken, tuple(landmarks)
