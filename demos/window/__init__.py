"""The window that a player looks through."""

import os

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
