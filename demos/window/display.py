"""Whether there is a screen to open a window on."""

from __future__ import annotations

import os
import sys

SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
"""Environment variables of which one is set on a Linux machine with a screen (or that asks for a stand-in)."""


def missing_display() -> str | None:
    """Why no window can be opened, or None if one can."""
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in SCREENS):
        return "there is no display"
    try:
        import pygame

        pygame.display.init()
    except (ImportError, RuntimeError) as error:  # pygame.error is a RuntimeError
        return f"no window can be opened ({' '.join(str(error).split())})"
    return None
