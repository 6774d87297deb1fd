"""Whether there is a screen to open a window on."""

from __future__ import annotations

import os
import sys

ASKED_DRIVER = "SDL_VIDEODRIVER"
SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", ASKED_DRIVER)
"""Environment variables of which one is set on a Linux machine with a screen (or that asks for a stand-in)."""
STAND_INS = ("offscreen", "dummy", "evdev")
"""SDL's drivers that show nothing; it falls back on them, without a word, where no screen can be reached."""


def missing_display() -> str | None:
    """Why no window can be opened, or None if one can. A stand-in for a screen counts if the user asks for it."""
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in SCREENS):
        return "there is no display"
    try:
        import pygame

        pygame.display.init()
        driver = pygame.display.get_driver()
        shown = bool(pygame.display.get_desktop_sizes())
    except (ImportError, RuntimeError) as error:  # pygame.error is a RuntimeError
        return f"no window can be opened ({' '.join(str(error).split())})"
    if os.environ.get(ASKED_DRIVER) or (driver not in STAND_INS and shown):
        return None
    pygame.display.quit()
    named = " and ".join(f"{name}={os.environ[name]}" for name in SCREENS if os.environ.get(name))
    return f"the display cannot be reached ({named})" if named else "there is no display"
