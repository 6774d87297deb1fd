"""From a G-buffer to the frame model's input: which texels a pixel covers, and plain numbers about its place.

Neural textures are rows of one table. Each token and face has 16 x 16 texels and four coarser levels of them (a
mip-map, Williams 1983); the sky has a map on a plane overhead that repeats, with levels of its own. A pixel reads two
levels, four texels of each, weighted by how much of them its footprint covers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from reverie.model.caster.gbuffer import ENTITY_TOKEN, GBuffer
from reverie.model.caster.kernel import NO_FACE
from reverie.model.compiled import compiled, compiled_exact

EDGE = 16
LEVELS = 5
FACE_TEXELS = sum((EDGE >> level) ** 2 for level in range(LEVELS))
FACES = 6
TAPS = 8
COARSER_FROM, BLEND = 1.5, 4.0
"""Texels across a pixel's footprint at which the next level has half the weight, and how quickly it takes over: one
level after the other with short transitions keeps the detail that a mean of two loses."""
SKY_EDGE = 128
SKY_TEXELS = sum((SKY_EDGE >> level) ** 2 for level in range(LEVELS))
CRACK_ROW = 1
"""First row of the texels of cracks in the table of details; row 0 is nothing."""
BOX_ROW = CRACK_ROW + EDGE * EDGE
BOX_EDGE = 128
"""Cells along the edge of each side of the sky's box, whose cells are directions."""
DETAILS = BOX_ROW + 6 * BOX_EDGE * BOX_EDGE
"""Rows of the table of details."""
NUMBERS = 32
"""Plain numbers of each layer of a pixel."""
HOUR_FEATURES = 4
FARTHEST = 64.0
_NEAREST_SKY = 0.02
"""Smallest rise of a ray that the sky's plane is looked up for."""


@dataclass(frozen=True, slots=True)
class TextureLayout:
    """Where each texture's rows are: tokens first, then kinds of entity, then the sky."""

    tokens: int
    entities: int
    sky_height: float = 96.0
    """Metres of the plane that the sky's map lies on."""
    sky_period: float = 256.0
    """Metres after which it repeats."""

    @property
    def surfaces(self) -> int:
        """Kinds of surface that have faces."""
        return self.tokens + self.entities

    @property
    def sky_row(self) -> int:
        """First row of the sky's map."""
        return self.surfaces * FACES * FACE_TEXELS

    @property
    def rows(self) -> int:
        """Rows of the table of textures."""
        return self.sky_row + SKY_TEXELS

    @property
    def kinds(self) -> int:
        """Rows of the table of kinds: every face of every surface, and the sky."""
        return self.surfaces * FACES + 1


@dataclass(frozen=True, eq=False)
class FrameInput:
    """`texels` int32 [h, w, 2, 8] rows of the texture table, `weights` float32 [h, w, 2, 8] that add up to 1, `kinds`
    int32 [h, w, 2] rows of the table of kinds, `details` int32 [h, w, 2] rows of the table of details, `numbers`
    float32 [h, w, 2, NUMBERS]; `rays` float32 [h, w, 3]; `hour` float32 [4]."""

    texels: np.ndarray
    weights: np.ndarray
    kinds: np.ndarray
    details: np.ndarray
    numbers: np.ndarray
    rays: np.ndarray
    hour: np.ndarray


def hour_features(hour: float) -> np.ndarray:
    """float32 [4]: an hour (0 to 1) on the circle, twice."""
    a = 2 * math.pi * hour
    return np.array([math.sin(a), math.cos(a), math.sin(2 * a), math.cos(2 * a)], np.float32)


def frame_input(
    gbuffer: GBuffer,
    layout: TextureLayout,
    eye: tuple[float, float, float],
    hour: float,
    pixel: float,
    entities: np.ndarray | None = None,
    crack: tuple[int, int, int, float] | None = None,
) -> FrameInput:
    """The frame model's input. `pixel` is the edge of a pixel one metre ahead; `crack` a cell and 0 to 1."""
    h, w = gbuffer.wet.shape
    texels, weights = np.empty((h, w, 2, TAPS), np.int32), np.empty((h, w, 2, TAPS), np.float32)
    kinds, numbers = np.empty((h, w, 2), np.int32), np.empty((h, w, 2, NUMBERS), np.float32)
    details = np.empty((h, w, 2), np.int32)
    phases = np.zeros(0, np.float32) if entities is None else np.asarray(entities[:, 5], np.float32)
    cracked = np.array(crack[:3] if crack is not None else (0, -9, 0), np.int64)
    _fill(
        gbuffer.tokens, gbuffer.faces, gbuffer.geometry, gbuffer.cells, gbuffer.open_sky, gbuffer.lamps, gbuffer.wet,
        gbuffer.dark, gbuffer.owner, gbuffer.rays, phases, cracked, float(crack[3]) if crack is not None else 0.0,
        np.array(eye, np.float64), pixel, layout.tokens, layout.surfaces, layout.sky_row, layout.sky_height,
        layout.sky_period, texels, weights, kinds, details, numbers,
    )  # fmt: skip
    return FrameInput(texels, weights, kinds, details, numbers, gbuffer.rays, hour_features(hour))


@njit(inline="always")
def _box_cell(dx, dy, dz):
    """Which cell of a box of BOX_EDGE cells a side a direction goes through (a cube map, Greene 1986)."""
    ax, ay, az = abs(dx), abs(dy), abs(dz)
    if ay >= ax and ay >= az:
        side, u, v = (0 if dy > 0 else 1), dx / ay, dz / ay
    elif ax >= az:
        side, u, v = (2 if dx > 0 else 3), dy / ax, dz / ax
    else:
        side, u, v = (4 if dz > 0 else 5), dy / az, dx / az
    column = min(int((u * 0.5 + 0.5) * BOX_EDGE), BOX_EDGE - 1)
    row = min(int((v * 0.5 + 0.5) * BOX_EDGE), BOX_EDGE - 1)
    return (side * BOX_EDGE + row) * BOX_EDGE + column


@njit(inline="always")
def _beside(place, wide):
    """(step, share): the neighbour -1 or 1 of a texel that a box `wide` texels about `place` reaches into, how much."""
    half = 0.5 * wide
    if place < half:
        return -1, (half - place) / wide
    if place > 1.0 - half:
        return 1, (place - 1.0 + half) / wide
    return 0, 0.0


@njit(inline="always")
def _four(first, edge, u, v, wide_u, wide_v, share, texels, weights, i, j, layer, slot):
    """Four texels of one level, by the part of the footprint that each covers."""
    x, y = u * edge, v * edge
    column, row = min(int(x), edge - 1), min(int(y), edge - 1)
    next_column, part_u = _beside(x - column, min(max(wide_u, 1e-6), 1.0))
    next_row, part_v = _beside(y - row, min(max(wide_v, 1e-6), 1.0))
    beside, below = (column + next_column) & (edge - 1), (row + next_row) & (edge - 1)
    texels[i, j, layer, slot] = first + row * edge + column
    texels[i, j, layer, slot + 1] = first + row * edge + beside
    texels[i, j, layer, slot + 2] = first + below * edge + column
    texels[i, j, layer, slot + 3] = first + below * edge + beside
    weights[i, j, layer, slot] = share * (1 - part_u) * (1 - part_v)
    weights[i, j, layer, slot + 1] = share * part_u * (1 - part_v)
    weights[i, j, layer, slot + 2] = share * (1 - part_u) * part_v
    weights[i, j, layer, slot + 3] = share * part_u * part_v


@compiled_exact
def _fill(
    tokens, faces, geometry, cells, open_sky, lamps, wet, dark, owner, rays, phases, cracked, crack, eye, pixel,
    token_count, surfaces, sky_row, sky_height, sky_period, texels, weights, kinds, details, numbers,
):  # fmt: skip
    h, w = wet.shape
    for i in range(h):
        for j in range(w):
            for layer in range(2):
                face = faces[i, j, layer]
                sky = face == NO_FACE
                t = FARTHEST if sky else geometry[i, j, layer, 0]
                u, v = geometry[i, j, layer, 1], geometry[i, j, layer, 2]
                wide_u, wide_v = geometry[i, j, layer, 3], geometry[i, j, layer, 4]
                if sky:
                    kinds[i, j, layer] = surfaces * FACES
                    details[i, j, layer] = BOX_ROW + _box_cell(rays[i, j, 0], rays[i, j, 1], rays[i, j, 2])
                    rise = rays[i, j, 1]
                    ahead = max(sky_height - eye[1], 1.0) / max(rise, _NEAREST_SKY)
                    su = (eye[0] + rays[i, j, 0] * ahead) / sky_period
                    sv = (eye[2] + rays[i, j, 2] * ahead) / sky_period
                    su, sv = su - math.floor(su), sv - math.floor(sv)
                    # a pixel's length on the plane, across the line of sight and along it
                    wide = pixel * ahead / sky_period * SKY_EDGE
                    long = wide / max(rise, _NEAREST_SKY)
                    size = math.sqrt(wide * long)
                    first, edge0 = sky_row, SKY_EDGE
                    u, v, wide_u, wide_v = su, sv, 0.0, 0.0
                else:
                    token = tokens[i, j, layer]
                    surface = token_count + token - ENTITY_TOKEN if token >= ENTITY_TOKEN else token
                    kinds[i, j, layer] = surface * FACES + face
                    details[i, j, layer] = 0
                    first, edge0 = (surface * FACES + face) * FACE_TEXELS, EDGE
                    size = math.sqrt(max(wide_u, 1e-6) * max(wide_v, 1e-6))
                level = min(max(math.log2(max(size, 1e-6) / COARSER_FROM) + 0.5, 0.0), LEVELS - 1.001)
                low = int(level)
                part = min(max((level - low - 0.5) * BLEND + 0.5, 0.0), 1.0)
                for k in range(2):
                    at = first
                    for coarser in range(low + k):
                        at += (edge0 >> coarser) * (edge0 >> coarser)
                    shrink = 1.0 / (1 << (low + k))
                    box_u = 1.0 if sky else wide_u * shrink
                    box_v = 1.0 if sky else wide_v * shrink
                    _four(
                        at, edge0 >> (low + k), u, v, box_u, box_v, part if k else 1.0 - part,
                        texels, weights, i, j, layer, 4 * k,
                    )  # fmt: skip
                for k in range(13):
                    numbers[i, j, layer, k] = open_sky[i, j, layer, k] / 7.0
                numbers[i, j, layer, 13] = lamps[i, j, layer]
                numbers[i, j, layer, 14] = 0.0 if sky else u - 0.5
                numbers[i, j, layer, 15] = 0.0 if sky else v - 0.5
                numbers[i, j, layer, 16] = 0.25 * math.log2(max(size, 0.06))
                numbers[i, j, layer, 17] = t / 32.0
                numbers[i, j, layer, 18] = (t / FARTHEST) * (t / FARTHEST)
                numbers[i, j, layer, 19] = 0.25 * math.log1p(t)
                numbers[i, j, layer, 20] = math.exp(-t / 20.0)
                numbers[i, j, layer, 21] = 1.0 if sky else 0.0
                numbers[i, j, layer, 22] = 0.0 if sky else min(min(u, 1 - u) * EDGE / max(wide_u, 1e-3), 2.0) * 0.5
                numbers[i, j, layer, 23] = 0.0 if sky else min(min(v, 1 - v) * EDGE / max(wide_v, 1e-3), 2.0) * 0.5
                here = (
                    not sky and cells[i, j, layer, 0] == cracked[0] and cells[i, j, layer, 1] == cracked[1]
                    and cells[i, j, layer, 2] == cracked[2] and owner[i, j, layer] < 0
                )  # fmt: skip
                numbers[i, j, layer, 24] = crack if here else 0.0
                if here:
                    details[i, j, layer] = (
                        CRACK_ROW + min(int(v * EDGE), EDGE - 1) * EDGE + min(int(u * EDGE), EDGE - 1)
                    )
                who = owner[i, j, layer]
                numbers[i, j, layer, 25] = math.sin(phases[who]) if who >= 0 else 0.0
                numbers[i, j, layer, 26] = math.cos(phases[who]) if who >= 0 else 0.0
                numbers[i, j, layer, 27] = min(wet[i, j], 32.0) / 8.0
                numbers[i, j, layer, 28] = math.exp(-wet[i, j] / 8.0)
                behind = 0.0
                if layer == 1 and faces[i, j, 0] != NO_FACE:
                    behind = min(t - geometry[i, j, 0, 0], 32.0)
                numbers[i, j, layer, 29] = behind / 8.0
                numbers[i, j, layer, 30] = math.exp(-behind / 6.0)
                numbers[i, j, layer, 31] = 1.0 if dark[i, j] >= 0.0 and dark[i, j] < t else 0.0


@compiled
def look_up(texels, weights, table, out):
    """Fills out float32 [n, c] with the weighted sums of rows of `table` float32 [m, c]; texels and weights [n, 8]."""
    count, taps = texels.shape
    width = table.shape[1]
    for n in range(count):
        row = out[n]
        for c in range(width):
            row[c] = 0.0
        for k in range(taps):
            weight = weights[n, k]
            if weight > 0.0:
                texel = table[texels[n, k]]
                for c in range(width):
                    row[c] += weight * texel[c]
