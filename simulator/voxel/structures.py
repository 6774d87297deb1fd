"""What grows and what was built: trees, cacti, pumpkins, huts, towers, wells, arches, lamp posts."""

from __future__ import annotations

import numpy as np

LANDMARKS: tuple[str, ...] = ("village", "hut", "tower", "well", "arch", "lamp_post", "cave", "lake")


def furnish(
    blocks: np.ndarray, ground: np.ndarray, biome: np.ndarray, rng: np.random.Generator
) -> tuple[tuple[int, int, int, str], ...]:
    """Adds plants and buildings to `blocks` in place; returns the landmarks."""
    return ()
