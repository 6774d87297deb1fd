"""The sky and the light of each hour: colours of the gradient, sun and moon, stars, clouds."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from reverie.model.compiled import compiled_fast, compiled_inline

CLOUD_HEIGHT = 96.0
"""Metres above the floor of the world."""
CLOUD_CELLS = 32
"""Cells of the cloud map along an edge; it repeats with the world."""
CLOUD_CELL_SIZE = 8.0
CLOUD_COVER = 0.30
_CLOUD_EDGE, _CLOUD_RIM, _CLOUD_RIM_PIXELS = 0.49, 3.5, 1.0

ZENITH, HORIZON, SUNLIGHT, AMBIENT, SUN, GLOW, CLOUD = range(7)
"""Rows of a palette."""
STARS = 7
"""Row whose first entry is how brightly stars shine, and whose second is how much of day there is."""
PALETTE_ROWS = 8

_DAY = ((86, 148, 238), (176, 212, 250), (1.0, 1.0, 0.98), (0.34, 0.37, 0.42), (255, 250, 238))
_DUSK = ((74, 84, 156), (246, 158, 94), (0.86, 0.60, 0.46), (0.28, 0.27, 0.34), (252, 190, 160))
_NIGHT = ((7, 10, 30), (22, 30, 62), (0.26, 0.32, 0.50), (0.19, 0.22, 0.32), (44, 52, 82))
_STAR_CELLS, _STAR_RARITY = 52.0, 61
"""Cells along half an edge of the cube of directions, and how many of them share one star."""
_DUSK_WIDTH = 0.28
"""Height of the sun (sine) at which dusk has given way to full day or night."""


@lru_cache(maxsize=64)
def sky_palette(day_time: float) -> np.ndarray:
    """The colours of an hour: float64 [PALETTE_ROWS, 3].

    `day_time` 0 is midnight, 0.25 sunrise, 0.5 noon, 0.75 sunset. Sky colours are 0-255, lights are factors,
    row SUN is the unit vector towards the sun (the moon stands opposite).
    """
    angle = 2 * math.pi * (day_time - 0.25)
    height = math.sin(angle)
    dusk = math.exp(-((height / _DUSK_WIDTH) ** 2) * 2.0)
    day = min(max(height / (2 * _DUSK_WIDTH) + 0.5, 0.0), 1.0)
    day = day * day * (3 - 2 * day)
    palette = np.zeros((PALETTE_ROWS, 3))
    for row, by_day, by_dusk, by_night in zip((ZENITH, HORIZON, SUNLIGHT, AMBIENT, CLOUD), _DAY, _DUSK, _NIGHT):
        clear = day * np.asarray(by_day) + (1 - day) * np.asarray(by_night)
        palette[row] = (1 - dusk) * clear + dusk * np.asarray(by_dusk)
    sun = np.array([math.cos(angle), height, 0.3])
    palette[SUN] = sun / np.linalg.norm(sun)
    palette[GLOW] = np.array([255.0, 150.0, 70.0]) * dusk * 0.45
    palette[STARS] = (max(0.0, 1 - 2 * day - dusk * 0.5), day, dusk)
    return palette


@lru_cache(maxsize=1)
def cloud_map() -> np.ndarray:
    """float32 [CLOUD_CELLS, CLOUD_CELLS] indexed [x, z]: 1 where there is a cloud. Read-only."""
    rng = np.random.Generator(np.random.PCG64(96))
    field = np.zeros((CLOUD_CELLS, CLOUD_CELLS))
    frequencies = np.fft.fftfreq(CLOUD_CELLS)
    radius = np.hypot(frequencies[:, None], frequencies[None])
    noise = np.fft.fft2(rng.standard_normal((CLOUD_CELLS, CLOUD_CELLS)))
    field = np.fft.ifft2(noise * np.exp(-((radius / 0.12) ** 2))).real
    clouds = (field > np.quantile(field, 1 - CLOUD_COVER)).astype(np.float32)
    clouds.setflags(write=False)
    return clouds


@compiled_inline
def sky_gradient(palette, dy):
    """Colour (r, g, b) of the clear sky along a unit ray that rises by `dy`; also what fog fades to."""
    mix = 1.0 - min(max(dy * 1.9, 0.0), 1.0)
    mix = mix * mix
    return (
        palette[ZENITH, 0] + (palette[HORIZON, 0] - palette[ZENITH, 0]) * mix,
        palette[ZENITH, 1] + (palette[HORIZON, 1] - palette[ZENITH, 1]) * mix,
        palette[ZENITH, 2] + (palette[HORIZON, 2] - palette[ZENITH, 2]) * mix,
    )


@compiled_fast
def sky_colour(palette, clouds, ex, ey, ez, dx, dy, dz, pixel):
    """Colour (r, g, b) of the sky from the eye (ex, ey, ez) along the unit ray (dx, dy, dz).

    `pixel` is the edge of a pixel one metre away, in metres: the rims of clouds are no sharper.
    """
    r, g, b = sky_gradient(palette, dy)
    toward = dx * palette[SUN, 0] + dy * palette[SUN, 1] + dz * palette[SUN, 2]
    if toward > 0.0:
        halo = toward * toward
        halo *= halo
        halo *= halo * (1.0 - 0.7 * min(max(dy, 0.0), 1.0))
        r += palette[GLOW, 0] * halo
        g += palette[GLOW, 1] * halo
        b += palette[GLOW, 2] * halo
    stars = palette[STARS, 0]
    if stars > 0.0 and dy > 0.02:
        # a grid over the cube of directions; the few cells with a large hash hold a star
        ax, ay, az = abs(dx), abs(dy), abs(dz)
        if ay >= ax and ay >= az:
            u, v, side = dx / ay, dz / ay, 1
        elif ax >= az:
            u, v, side = dy / ax, dz / ax, 2 if dx > 0 else 3
        else:
            u, v, side = dy / az, dx / az, 4 if dz > 0 else 5
        cu, cv = math.floor(u * _STAR_CELLS), math.floor(v * _STAR_CELLS)
        h = (cu * 73856093) ^ (cv * 19349663) ^ (side * 83492791)
        h = (h ^ (h >> 13)) * 1274126177 & 0xFFFFFF
        if (h >> 8) % _STAR_RARITY == 0:
            shine = stars * (70.0 + (h & 127)) * min(dy * 5.0, 1.0)
            r += shine
            g += shine
            b += shine
    if toward > 0.9925:  # the sun: a disc of about 7 degrees radius with a soft rim
        rim = min((toward - 0.9925) / 0.0012, 1.0)
        r += (255.0 - r) * rim
        g += (246.0 - g) * rim
        b += (200.0 - 60.0 * palette[STARS, 2] - b) * rim
    elif toward < -0.9955:  # the moon
        rim = min((-toward - 0.9955) / 0.0010, 1.0) * (1.0 - 0.75 * palette[STARS, 1])
        r += (214.0 - r) * rim
        g += (220.0 - g) * rim
        b += (236.0 - b) * rim
    if dy > 0.03 and ey < CLOUD_HEIGHT:
        t = (CLOUD_HEIGHT - ey) / dy
        u = (ex + dx * t) / CLOUD_CELL_SIZE - 0.5
        v = (ez + dz * t) / CLOUD_CELL_SIZE - 0.5
        fu, fv = math.floor(u), math.floor(v)
        iu, iv = int(fu), int(fv)
        fu, fv = u - fu, v - fv
        m = CLOUD_CELLS - 1
        low = clouds[iu & m, iv & m] * (1.0 - fu) + clouds[(iu + 1) & m, iv & m] * fu
        high = clouds[iu & m, (iv + 1) & m] * (1.0 - fu) + clouds[(iu + 1) & m, (iv + 1) & m] * fu
        rim = min(_CLOUD_RIM, _CLOUD_RIM_PIXELS * CLOUD_CELL_SIZE * dy / (pixel * t))
        cover = (low * (1.0 - fv) + high * fv - _CLOUD_EDGE) * rim + 0.5
        if cover > 0.0:
            cover = min(cover, 1.0) * 0.85 * min((dy - 0.03) * 5.0, 1.0)
            r += (palette[CLOUD, 0] - r) * cover
            g += (palette[CLOUD, 1] - g) * cover
            b += (palette[CLOUD, 2] - b) * cover
    return r, g, b
