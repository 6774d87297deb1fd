"""Flow matching in a few pure functions. Level 0 is noise and level 1 the clean frame.

The network predicts the clean frame (x-prediction, Dreamer 4, arXiv 2509.24527); everything else follows. All of it is
plain arithmetic, so that the same lines serve torch tensors in training and numpy arrays while dreaming.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Array = Any
"""A torch tensor or a numpy array; frames are [..., c, h, w], levels and sizes [...]."""
Denoise = Callable[[Array, Any, Any], Array]
"""(noised frames, level, step size) -> the predicted clean frames."""


def over_pixels(number: Array) -> Array:
    """A number for each frame [...], shaped [..., 1, 1, 1] to multiply frames with."""
    return number[..., None, None, None]


def noised(clean: Array, noise: Array, level: Array) -> Array:
    """The point at `level` on the straight path from `noise` to `clean`."""
    return over_pixels(level) * clean + over_pixels(1 - level) * noise


def ramp(level: Array) -> Array:
    """Dreamer 4's loss weight: cleaner levels say more about the frame."""
    return 0.9 * level + 0.1


def sample(denoise: Denoise, z: Array, steps: int, start: float = 0.0) -> Array:
    """The clean frame that `steps` equal Euler steps from level `start` arrive at."""
    size = (1 - start) / steps
    for step in range(steps - 1):
        level = start + step * size
        z = z + (denoise(z, level, size) - z) * (size / (1 - level))
    return denoise(z, 1 - size, size)
