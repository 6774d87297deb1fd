"""Keys on keyboards of other layouts: play by place, commands by letter, or by place where no letter is Latin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import pytest
from fake_world import FakeWorld

from reverie.demos.window import hud, keymap
from reverie.demos.window.app import WindowApp
from reverie.simulator import Action, Simulator

ROWS = ("1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./")
"""A US keyboard, from KSCAN_1, KSCAN_Q, ... on."""
PLACES = {
    character: getattr(pygame, f"KSCAN_{name}")
    for character, name in (
        *((letter, letter.upper()) for letter in "abcdefghijklmnopqrstuvwxyz0123456789"),
        ("-", "MINUS"), ("=", "EQUALS"), ("[", "LEFTBRACKET"), ("]", "RIGHTBRACKET"), (";", "SEMICOLON"),
        ("'", "APOSTROPHE"), (",", "COMMA"), (".", "PERIOD"), ("/", "SLASH"),
    )
}  # fmt: skip
LAYOUTS: dict[str, tuple[str, str, str, str]] = {
    "us": ROWS,
    "russian": ("1234567890-=", "йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю."),
    "ukrainian": ("1234567890-=", "йцукенгшщзхї", "фівапролджє", "ячсмитьбю."),
    "greek": ("1234567890-=", ";ςερτυθιοπ[]", "ασδφγηξκλ΄'", "ζχψωβνμ,./"),
    "hebrew": ("1234567890-=", "/'קראטוןםפ][", "שדגכעיחלךף,", "זסבהנמצתץ."),
    "arabic": ("١٢٣٤٥٦٧٨٩٠-=", "ضصثقفغعهخحجد", "شسيبلاتنمكط", "ئءؤرﻻىةوزظ"),
    "thai": ("ๅ/-ภถุึคตจขช", "ๆไำพะัีรนยบล", "ฟหกดเ้่าสวง", "ผปแอิืทมใฝ"),
    "french": ("&é\"'(-è_çà)=", "azertyuiop^$", "qsdfghjklmù", "wxcvbn,;:!"),
    "german": ("1234567890ß´", "qwertzuiopü+", "asdfghjklöä", "yxcvbnm,.-"),
    "czech": ("+ěščřžýáíé=´", "qwertzuiopú)", "asdfghjklů§", "yxcvbnm,.-"),
    "turkish": ("1234567890*-", "qwertyuıopğü", "asdfghjklşi", "zxcvbnmöç."),
    "dvorak": ("1234567890[]", "',.pyfgcrl/=", "aoeuidhtns-", ";qjkxbmwvz"),
    "colemak": ("1234567890-=", "qwfpgjluy;[]", "arstdhneio'", "zxcvbkm,./"),
}
LETTERS = {"p": "pause", "r": "record", "h": "help"}
PAUSED_LETTERS = {"z": "undo", "c": "clear", "b": "bookmark", "n": "return", "p": "resume", "r": "record", "h": "help"}


def pressed(layout: str, place: str, *, mod: int = 0, unicode: str | None = None) -> pygame.event.Event:
    """The event of the key at a US keyboard's `place` of a layout, as SDL makes it."""
    row = next(number for number, row in enumerate(ROWS) if place in row)
    key = LAYOUTS[layout][row][ROWS[row].index(place)]
    return pygame.event.Event(
        pygame.KEYDOWN, key=ord(key), scancode=PLACES[place], mod=mod, unicode=key if unicode is None else unicode
    )


def place_of_letter(layout: str, letter: str) -> str | None:
    """Where a US keyboard has what is `letter` in a layout."""
    found = [us[row.index(letter)] for us, row in zip(ROWS, LAYOUTS[layout], strict=True) if letter in row]
    return found[0] if found else None


@pytest.fixture(autouse=True)
def display(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame.display.init()
    yield
    pygame.display.quit()


@pytest.fixture
def app(tmp_path: Path) -> WindowApp:
    """A window whose world stands still: nobody starts its thread. It notes commands instead of doing them."""
    sim = Simulator(FakeWorld())
    height, width = sim.frame.shape[:2]
    app = WindowApp(sim, surface=pygame.Surface((4 * width, 4 * height + hud.BAR_HEIGHT)), folder=tmp_path)
    app.done = []  # type: ignore[attr-defined]
    for name in app._commands:
        app._commands[name] = lambda name=name: app.done.append(name)  # type: ignore[attr-defined]
    return app


def released(down: pygame.event.Event, **changed: Any) -> pygame.event.Event:
    return pygame.event.Event(pygame.KEYUP, **{**down.dict, **changed})


def test_the_layouts_are_whole() -> None:
    for rows in LAYOUTS.values():
        assert [len(row) for row in rows] == [len(row) for row in ROWS]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_held_keys_go_by_place(app: WindowApp, layout: str) -> None:
    for place, button in (("w", "forward"), ("a", "left"), ("s", "back"), ("d", "right")):
        down = pressed(layout, place)
        app.handle(down)
        for _ in range(2):
            assert app.controls.take().action == Action(**{button: True})
        app.handle(released(down))
        assert app.controls.take().action == Action()
    assert app.done == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tapped_keys_go_by_place(app: WindowApp, layout: str) -> None:
    for place, button in (("q", "drop"), ("e", "inventory"), ("f", "swapHands")):
        app.handle(pressed(layout, place))
        assert [app.controls.take().action for _ in range(2)] == [Action(**{button: True}), Action()]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_row_of_digits_chooses_slots_and_colours(app: WindowApp, layout: str) -> None:
    for slot in range(1, 10):
        app.handle(pressed(layout, str(slot)))
        assert app.controls.take().action == Action(hotbar=slot)
        app.handle(pressed(layout, str(slot), mod=pygame.KMOD_LSHIFT, unicode=str(slot)))
        assert app.controls.take().action.hotbar == slot
    app.pause()
    for slot in range(1, 10):
        app.handle(pressed(layout, str(slot)))
        assert app._palette_slot == slot - 1
    assert app.done == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_commands_go_by_letter_and_else_by_place(app: WindowApp, layout: str, paused: bool) -> None:
    if paused:
        app.pause()
    latin = any("a" <= letter <= "z" for letter in "".join(LAYOUTS[layout]))
    for letter, command in (PAUSED_LETTERS if paused else LETTERS).items():
        place = place_of_letter(layout, letter) if latin else letter
        assert place is not None
        app.done.clear()  # type: ignore[attr-defined]
        app.handle(pressed(layout, place))
        playing = keymap.HELD_KEYS | keymap.TAPPED_KEYS
        expected = [] if not paused and PLACES[place] in playing else [command]  # hands that play come first
        assert app.done == expected, letter  # type: ignore[attr-defined]


def test_few_letters_are_lost_to_hands_that_play() -> None:
    """Colemak's R lies where S is; it records while paused."""
    playing = keymap.HELD_KEYS | keymap.TAPPED_KEYS
    lost = {
        (layout, letter)
        for layout in LAYOUTS
        for letter in LETTERS
        if (place := place_of_letter(layout, letter)) and PLACES[place] in playing
    }
    assert lost == {("colemak", "r")}


@pytest.mark.parametrize(
    ("layout", "place", "mod", "typed", "command"),
    [
        ("us", "[", 0, None, "rewind"), ("us", "]", 0, None, "step"),
        ("us", "-", 0, None, "strength_down"), ("us", "=", 0, None, "strength_up"),
        ("russian", "[", 0, None, "rewind"), ("russian", "]", 0, None, "step"),
        ("arabic", "[", 0, None, "rewind"), ("thai", "]", 0, None, "step"),
        ("hebrew", "[", 0, None, "step"), ("hebrew", "]", 0, None, "rewind"),  # as is written on them
        ("dvorak", "-", 0, None, "rewind"), ("dvorak", "=", 0, None, "step"), ("dvorak", "'", 0, None, "strength_down"),
        ("german", "/", 0, None, "strength_down"), ("german", "]", 0, None, "strength_up"),
        ("german", "8", pygame.KMOD_MODE, "[", "rewind"), ("german", "9", pygame.KMOD_RALT, "]", "step"),
        ("french", "5", pygame.KMOD_MODE, "[", "rewind"), ("french", "-", pygame.KMOD_RALT, "]", "step"),
        ("french", "[", 0, None, "rewind"), ("french", "]", 0, None, "step"),
    ],
)  # fmt: skip
def test_symbols(app: WindowApp, layout: str, place: str, mod: int, typed: str | None, command: str) -> None:
    app.pause()
    app.handle(pressed(layout, place, mod=mod, unicode=typed))
    assert app.done == [command]  # type: ignore[attr-defined]


def test_the_keypad_changes_the_strength(app: WindowApp) -> None:
    app.pause()
    for key, place in ((pygame.K_KP_MINUS, pygame.KSCAN_KP_MINUS), (pygame.K_KP_PLUS, pygame.KSCAN_KP_PLUS)):
        app.handle(pygame.event.Event(pygame.KEYDOWN, key=key, scancode=place, mod=0, unicode=""))
    assert app.done == ["strength_down", "strength_up"]  # type: ignore[attr-defined]


def test_a_key_is_let_go_though_the_layout_has_changed_meanwhile(app: WindowApp) -> None:
    down = pressed("us", "w")
    app.handle(down)
    app.handle(released(down, key=ord("ц"), unicode="ц"))
    app.controls.take()
    assert app.controls.take().action == Action()


@pytest.mark.parametrize("scancode", [{}, {"scancode": 0}])
def test_a_key_without_a_place_counts_where_a_us_keyboard_has_it(app: WindowApp, scancode: dict[str, int]) -> None:
    for key, action in (
        (pygame.K_w, Action(forward=True)), (pygame.K_UP, Action(forward=True)), (pygame.K_SPACE, Action(jump=True)),
        (pygame.K_LSHIFT, Action(sneak=True)), (pygame.K_LCTRL, Action(sprint=True)), (pygame.K_3, Action(hotbar=3)),
        (pygame.K_q, Action(drop=True)),
    ):  # fmt: skip
        app.handle(pygame.event.Event(pygame.KEYDOWN, key=key, **scancode))
        assert app.controls.take().action == action
        app.handle(pygame.event.Event(pygame.KEYUP, key=key, **scancode))
        app.controls.take()
    app.handle(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_p, **scancode))
    app.handle(pygame.event.Event(pygame.KEYDOWN, key=1094, **scancode))  # a letter of no known place does nothing
    assert app.done == ["pause"] and app.controls.take().action == Action()  # type: ignore[attr-defined]


def test_a_painted_pause_on_a_russian_keyboard(tmp_path: Path) -> None:
    """With nothing stubbed: pause, paint, undo, resume."""
    sim = Simulator(FakeWorld())
    height, width = sim.frame.shape[:2]
    app = WindowApp(sim, surface=pygame.Surface((4 * width, 4 * height + hud.BAR_HEIGHT)), folder=tmp_path)
    app.handle(pressed("russian", "p"))
    assert app.paused and app.canvas is not None
    for kind in (pygame.MOUSEBUTTONDOWN, pygame.MOUSEBUTTONUP):
        app.handle(pygame.event.Event(kind, button=pygame.BUTTON_LEFT, pos=(40, 40)))
    assert np.any(app.canvas.mask)
    app.handle(pressed("russian", "z"))
    assert not np.any(app.canvas.mask)
    app.handle(pressed("russian", "p"))
    assert not app.paused
