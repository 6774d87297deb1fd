"""Names and shapes of one denoising pass, the border between the network and everything that plays it.

b dreams at once; h, w pixels; p = h/16 * w/16 tokens; l memory layers; m remembered frames; k key width.

    noised   float32 [b, 3, h, w]       the frame on its way from noise
    level    float32 [b]                its noise level: 0 noise, 1 clean
    size     float32 [b]                the step about to be taken
    past     uint8   [b, past, h, w, 3] the newest frame first
    keys     float32 [b, l, m, p, k]    what the memory layers keep of earlier frames, in any order
    values   float32 [b, l, m, p, k]
    ages     float32 [b, m]             their ages in ticks; below zero: an empty place
    action   float32 [b, 25]
    last_action float32 [b, 25]         that of the tick before
    turn     float32 [b, 2]             the camera's (pitch, yaw) change in degrees
    pitch    float32 [b]                its pitch before, degrees
    key      uint8   [b, h, w, 3]       an earlier view that may show what comes into sight
    way      float32 [b, 6]             the way from there to the frame before, as in `reverie.model.recall.way`
    rest     uint8   [b, h, w, 3]       an earlier view of the screen, with hands at rest
    pace     float32 [b, 4]             how the eye moved in the tick before, as in `reverie.model.recall.pace`

    clean      float32 [b, 3, h, w]     the predicted frame, -1..1
    frame      uint8   [b, h, w, 3]     the same, to be shown
    new_keys   float32 [b, l, p, k]     what to remember of this frame
    new_values float32 [b, l, p, k]
    events     float32 [b, e]           probabilities
    travel     float32 [b, 3]           metres right, down, ahead
    seen_pitch float32 [b]              degrees, read off the picture
    depth      float32 [b, h/4, w/4]    metres
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from reverie.model.config import ModelConfig

INPUTS: tuple[str, ...] = (
    "noised", "level", "size", "past", "keys", "values", "ages", "action", "last_action", "turn", "pitch",
    "key", "way", "rest", "pace",
)  # fmt: skip
OUTPUTS: tuple[str, ...] = (
    "clean", "frame", "new_keys", "new_values", "events", "travel", "seen_pitch", "depth",
)  # fmt: skip


class Backend(Protocol):
    """Something that runs the pass."""

    name: str
    config: ModelConfig

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All of `INPUTS` in, all of `OUTPUTS` out."""


def memory_shape(config: ModelConfig, batch: int, size: tuple[int, int]) -> tuple[int, int, int, int, int]:
    """Shape of `keys` and `values` for frames of `size`."""
    tokens = (size[0] // config.patch) * (size[1] // config.patch)
    return batch, len(config.memory_layers), config.memory, tokens, config.memory_heads * config.head_width
