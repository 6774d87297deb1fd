"""Which key does what, as data: keys and mouse buttons -> names of action buttons and of the window's commands."""

from __future__ import annotations

from collections.abc import Container

import pygame

DEGREES_PER_PIXEL = 0.15
"""Camera turn per pixel of mouse motion, as in the VPT recordings."""

HELD_KEYS: dict[int, str] = {
    pygame.KSCAN_W: "forward",
    pygame.KSCAN_S: "back",
    pygame.KSCAN_A: "left",
    pygame.KSCAN_D: "right",
    pygame.KSCAN_UP: "forward",
    pygame.KSCAN_DOWN: "back",
    pygame.KSCAN_LEFT: "left",
    pygame.KSCAN_RIGHT: "right",
    pygame.KSCAN_SPACE: "jump",
    pygame.KSCAN_LSHIFT: "sneak",
    pygame.KSCAN_RSHIFT: "sneak",
    pygame.KSCAN_LCTRL: "sprint",
    pygame.KSCAN_RCTRL: "sprint",
}
"""Count for as long as they are down. By place (the scancode), whatever letter a layout has there."""

TAPPED_KEYS: dict[int, str] = {
    pygame.KSCAN_Q: "drop",
    pygame.KSCAN_E: "inventory",
    pygame.KSCAN_F: "swapHands",
}
"""Count for one tick each time they go down. By place, beside the fingers on `HELD_KEYS`."""

HELD_MOUSE: dict[int, str] = {pygame.BUTTON_LEFT: "attack", pygame.BUTTON_RIGHT: "use"}
TAPPED_MOUSE: dict[int, str] = {pygame.BUTTON_MIDDLE: "pickItem"}
SLOT_KEYS: dict[int, int] = {pygame.KSCAN_1 + index: index + 1 for index in range(9)}
"""Hotbar slots while playing, palette colours while paused. By place: a French row of digits types them with Shift."""
PICK_MODIFIERS = (pygame.KSCAN_LALT, pygame.KSCAN_RALT)
"""By place. Held with a left click while paused, they pick a colour."""

# Commands go by what is written on the key; see `meaning` for keys on which it is no Latin letter.

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
    pygame.K_KP_MINUS: "strength_down",
    pygame.K_KP_PLUS: "strength_up",
}

_PLACES: dict[int, int] = {
    **{pygame.KSCAN_A + index: pygame.K_a + index for index in range(26)},
    **{pygame.KSCAN_1 + index: pygame.K_1 + index for index in range(9)},
    pygame.KSCAN_0: pygame.K_0,
    pygame.KSCAN_LEFTBRACKET: pygame.K_LEFTBRACKET,
    pygame.KSCAN_RIGHTBRACKET: pygame.K_RIGHTBRACKET,
    pygame.KSCAN_MINUS: pygame.K_MINUS,
    pygame.KSCAN_EQUALS: pygame.K_EQUALS,
    pygame.KSCAN_UP: pygame.K_UP,
    pygame.KSCAN_DOWN: pygame.K_DOWN,
    pygame.KSCAN_LEFT: pygame.K_LEFT,
    pygame.KSCAN_RIGHT: pygame.K_RIGHT,
    pygame.KSCAN_SPACE: pygame.K_SPACE,
    pygame.KSCAN_LSHIFT: pygame.K_LSHIFT,
    pygame.KSCAN_RSHIFT: pygame.K_RSHIFT,
    pygame.KSCAN_LCTRL: pygame.K_LCTRL,
    pygame.KSCAN_RCTRL: pygame.K_RCTRL,
    pygame.KSCAN_LALT: pygame.K_LALT,
    pygame.KSCAN_RALT: pygame.K_RALT,
}
"""What a US keyboard has at each place that matters here."""
_SCANCODES = {key: scancode for scancode, key in _PLACES.items()}
_LEVEL_3 = pygame.KMOD_MODE | pygame.KMOD_RALT
"""AltGr, as systems report it: types a key's third symbol, such as the brackets of many European layouts."""


def place_of(event: pygame.event.Event) -> int:
    """The scancode of a key event; of one that has none (a remote desktop's), where a US keyboard has that key."""
    return getattr(event, "scancode", 0) or _SCANCODES.get(event.key, 0)


def meaning(event: pygame.event.Event, commands: Container[int]) -> int:
    """Which of the key codes in `commands` a key event stands for, or 0.

    It is the symbol typed with AltGr, or else what is written on the key, unless that is a digit's key. A key that has
    no Latin letter (a Cyrillic one) or a symbol without a meaning stands for what a US keyboard has in its place.
    """
    place, typed = place_of(event), getattr(event, "unicode", "")
    if len(typed) == 1 and ord(typed) in commands and getattr(event, "mod", 0) & _LEVEL_3:
        return ord(typed)
    if place in SLOT_KEYS:
        return 0
    if event.key in commands:
        return event.key
    latin = pygame.K_a <= event.key <= pygame.K_z
    found = 0 if latin else _PLACES.get(place, 0)
    return found if found in commands else 0


HELP: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Play",
        (
            ("W A S D", "walk (by place)"),
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
