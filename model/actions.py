"""The layout of an action vector, shared by everything that makes or reads one.

The order is that of open-oasis (https://github.com/etched-ai/open-oasis, `utils.py`), so footage and
models made for it carry over.  `cameraX` is pitch and `cameraY` yaw, in degrees over `CAMERA_SCALE`.
"""

ACTION_KEYS: tuple[str, ...] = (
    "inventory", "ESC",
    "hotbar.1", "hotbar.2", "hotbar.3", "hotbar.4", "hotbar.5", "hotbar.6", "hotbar.7", "hotbar.8", "hotbar.9",
    "forward", "back", "left", "right",
    "cameraX", "cameraY",
    "jump", "sneak", "sprint", "swapHands", "attack", "use", "pickItem", "drop",
)  # fmt: skip
ACTION_DIM = len(ACTION_KEYS)
ACTION_INDEX = {key: index for index, key in enumerate(ACTION_KEYS)}
CAMERA_SCALE = 20.0
"""Degrees of camera motion per tick that an entry of 1.0 stands for."""
