"""Which key does what, as data: keys and mouse buttons -> names of action buttons and of the window's commands."""

from __future__ import annotations

import pygame

DEGREES_PER_PIXEL = 0.15
"""Camera turn per pixel of mouse motion, as in the VPT recordings."""

HELD_KEYS: dict[int, str] = {
    pygame.K_w: "forward",
    pygame.K_s: "back",
    pygame.K_a: "left",
    pygame.K_d: "right",
    pygame.K_UP: "forward",
    pygame.K_DOWN: "back",
    pygame.K_LEFT: "left",
    pygame.K_RIGHT: "right",
    pygame.K_SPACE: "jump",
    pygame.K_LSHIFT: "sneak",
    pygame.K_RSHIFT: "sneak",
    pygame.K_LCTRL: "sprint",
    pygame.K_RCTRL: "sprint",
}
"""Count for as long as they are down."""

TAPPED_KEYS: dict[int, str] = {
    pygame.K_q: "drop",
    pygame.K_e: "inventory",
    pygame.K_f: "swapHands",
}
"""Count for one tick each time they go down."""

HELD_MOUSE: dict[int, str] = {pygame.BUTTON_LEFT: "attack", pygame.BUTTON_RIGHT: "use"}
TAPPED_MOUSE: dict[int, str] = {pygame.BUTTON_MIDDLE: "pickItem"}
SLOT_KEYS: dict[int, int] = {pygame.K_1 + index: index + 1 for index in range(9)}
"""Hotbar slots while playing, palette colours while paused."""
PICK_MODIFIERS = (pygame.K_LALT, pygame.K_RALT)
"""Held with a left click while paused, they pick a colour."""

ALWAYS: dict[int, str] = {
    pygame.K_F2: "screenshot",
    pygame.K_F5: "save",
    pygame.K_F9: "load",
    pygame.K_r: "record",
    pygame.K_h: "help",
}
"""Commands at any time."""

WHILE_PLAYING: dict[int, str] = {pygame.K_p: "pause", pygame.K_ESCAPE: "pause"}

WHILE_PAUSED: dict[int, str] = {
    pygame.K_p: "resume",
    pygame.K_RETURN: "resume",
    pygame.K_KP_ENTER: "resume",
    pygame.K_ESCAPE: "resume",
    pygame.K_z: "undo",
    pygame.K_c: "clear",
    pygame.K_LEFTBRACKET: "rewind",
    pygame.K_RIGHTBRACKET: "step",
    pygame.K_b: "bookmark",
    pygame.K_n: "return",
    pygame.K_MINUS: "strength_down",
    pygame.K_EQUALS: "strength_up",
    pygame.K_PLUS: "strength_up",
}

HELP: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Play",
        (
            ("W A S D", "walk"),
            ("mouse", "look"),
            ("Space", "jump, swim up"),
            ("Shift / Ctrl", "sneak / sprint"),
            ("left click", "dig (hold)"),
            ("right click", "place"),
            ("1 - 9, wheel", "hotbar"),
            ("P or Esc", "pause and paint"),
        ),
    ),
    (
        "Paused",
        (
            ("drag", "paint"),
            ("right drag", "wipe paint off"),
            ("1 - 9", "colour"),
            ("wheel", "brush size"),
            ("Alt + click", "pick a colour"),
            ("Z / C", "undo / clear"),
            ("- / +", "re-dream strength"),
            ("Enter or P", "go on from the picture"),
        ),
    ),
    (
        "Time",
        (
            ("[", "back 10 ticks"),
            ("]", "one tick on"),
            ("B / N", "bookmark / return"),
            ("F5 / F9", "save / load"),
            ("R", "record"),
            ("F2", "screenshot"),
            ("H", "this help"),
        ),
    ),
)
"""The help page: columns of (key, what it does)."""
