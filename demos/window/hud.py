"""What is drawn around and over the picture: the bar, the palette, the brush, messages, and the help page."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pygame

from reverie.demos.window.keymap import HELP
from reverie.demos.window.paint import PALETTE, Colour

BAR_HEIGHT = 44
BAR = (24, 26, 31)
BAR_EDGE = (40, 43, 50)
TEXT = (226, 229, 234)
FAINT = (142, 149, 160)
ACCENT = (120, 190, 255)
RED = (235, 80, 72)
SHADE = (10, 11, 14, 226)
PILL = (10, 11, 14, 214)
TEXT_SIZE, SMALL_SIZE, TITLE_SIZE = 16, 13, 19
MARGIN = 16
ICON = 32
"""Edge of a block's icon in pixels, before it is scaled."""
GAP = 20
WORD_GAP = 5
SWATCH = 24
SWATCH_STEP = 29
CORNER = 5


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that the bar tells."""

    frames_per_second: float
    latency_ms: float | None
    tick: int
    label: str
    recording_seconds: float | None
    paused: bool
    colour: Colour
    slot: int | None
    """Palette entry in use (0-8), None for a picked colour."""
    radius: int
    strength: float


@functools.cache
def font(size: int) -> pygame.font.Font:
    """The interface's typeface (Aileron, which comes with Pillow; pygame's own where Pillow lacks it)."""
    from PIL import ImageFont

    pygame.font.init()
    data = getattr(ImageFont.load_default(size), "font_bytes", None)
    return pygame.font.Font(io.BytesIO(data) if data else None, size)


def text(surface: pygame.Surface, words: str, left: int, middle: int, colour: Colour, size: int = TEXT_SIZE) -> int:
    """Writes a line centred on the height `middle`; gives the x where it ends."""
    drawn = font(size).render(words, True, colour)
    surface.blit(drawn, (left, middle - drawn.get_height() // 2))
    return left + drawn.get_width()


def width_of(words: str, size: int = TEXT_SIZE) -> int:
    """Pixels that a line takes."""
    return font(size).size(words)[0]


@dataclass(frozen=True, slots=True)
class Hotbar:
    """What the nine slots hold, for worlds whose frames do not show it."""

    icons: tuple[pygame.Surface, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, world: Any) -> Hotbar | None:
        """The hotbar of a world, or None if it has none to be drawn over its frames."""
        if not hasattr(world, "hotbar"):
            return None
        names = world.hotbar()
        pictures = [world.icon(name, ICON) for name in names]
        icons = tuple(pygame.image.frombuffer(picture.tobytes(), (ICON, ICON), "RGB") for picture in pictures)
        return cls(icons, names)


def draw_screen_layer(surface: pygame.Surface, bar: Hotbar, slot: int, area: pygame.Rect) -> None:
    """Crosshair and hotbar over the picture in `area`; `slot` (0 to 8) is chosen."""
    arm, x, y = max(4, area.height // 60), *area.center
    for width, colour in ((3, (0, 0, 0)), (1, (255, 255, 255))):
        pygame.draw.line(surface, colour, (x - arm, y), (x + arm, y), width)
        pygame.draw.line(surface, colour, (x, y - arm), (x, y + arm), width)
    edge = max(12, min(area.height // 12, area.width // 14))
    step = edge + 6
    left, top = area.centerx - step * len(bar.icons) // 2, area.bottom - step - 4
    for number, icon in enumerate(bar.icons):
        box = pygame.Rect(left + number * step, top, step, step)
        surface.fill((24, 26, 31), box)
        pygame.draw.rect(surface, (255, 255, 255) if number == slot else (90, 94, 104), box, 2)
        surface.blit(pygame.transform.scale(icon, (edge, edge)), (box.left + 3, box.top + 3))


def draw_bar(surface: pygame.Surface, status: Status) -> None:
    """The bar along the lower edge: figures while playing, tools while paused."""
    width, height = surface.get_size()
    bar = pygame.Rect(0, height - BAR_HEIGHT, width, BAR_HEIGHT)
    surface.fill(BAR, bar)
    surface.fill(BAR_EDGE, (0, bar.top, width, 1))
    middle = bar.centery
    right = width - MARGIN
    if status.recording_seconds is not None:
        right = _draw_recording(surface, status.recording_seconds, right, middle)
    draw_left = _draw_tools if status.paused else _draw_figures
    left = draw_left(surface, status, right, middle)
    hints = ("Enter goes on", "H help") if status.paused else (status.label, "H help")
    _draw_right(surface, hints, left + GAP, right, middle)


def _draw_recording(surface: pygame.Surface, seconds: float, right: int, middle: int) -> int:
    """A red dot and the length so far; gives the x left of it."""
    words = f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
    left = right - width_of(words)
    text(surface, words, left, middle, TEXT)
    pygame.draw.circle(surface, RED, (left - 14, middle), 6)
    return left - 20 - GAP


def _draw_figures(surface: pygame.Surface, status: Status, right: int, middle: int) -> int:
    """Frames a second, latency and tick, as many as fit left of `right`; gives the x where they end."""
    latency = "-" if status.latency_ms is None else f"{status.latency_ms:.0f}"
    x = MARGIN
    for value, unit, widest in (
        (f"{status.frames_per_second:.0f}", "frames/s", "000"),
        (latency, "ms", "0000"),
        (f"{status.tick}", "ticks", "000000"),
    ):
        column = width_of(widest)  # figures keep their place while they change
        if x + column + WORD_GAP + width_of(unit) > right:
            break
        text(surface, value, x + column - width_of(value), middle, TEXT)
        x = text(surface, unit, x + column + WORD_GAP, middle, FAINT) + GAP
    return x - GAP


def _draw_tools(surface: pygame.Surface, status: Status, right: int, middle: int) -> int:
    """Palette, and brush and strength if they fit left of `right`; gives the x where they end."""
    x = text(surface, "Paused", MARGIN, middle, ACCENT) + GAP
    for index, (_, colour) in enumerate(PALETTE):
        _draw_swatch(surface, colour, str(index + 1), x, middle, chosen=index == status.slot)
        x += SWATCH_STEP
    if status.slot is None:
        _draw_swatch(surface, status.colour, "", x, middle, chosen=True)
        x += SWATCH_STEP
    x -= GAP // 2
    for name, value in (("brush", f"{status.radius} px"), ("re-dream", f"{status.strength:.1f}")):
        if x + GAP + width_of(name) + WORD_GAP + width_of(value) > right:
            break
        x = text(surface, name, x + GAP, middle, FAINT) + WORD_GAP
        x = text(surface, value, x, middle, TEXT)
    return x


def _draw_swatch(surface: pygame.Surface, colour: Colour, name: str, left: int, middle: int, *, chosen: bool) -> None:
    rect = pygame.Rect(left, middle - SWATCH // 2, SWATCH, SWATCH)
    pygame.draw.rect(surface, colour, rect, border_radius=CORNER)
    pygame.draw.rect(surface, BAR_EDGE, rect, 1, border_radius=CORNER)
    if chosen:
        pygame.draw.rect(surface, TEXT, rect.inflate(6, 6), 2, border_radius=CORNER + 3)
    drawn = font(SMALL_SIZE).render(name, True, contrast(colour))
    surface.blit(drawn, drawn.get_rect(center=rect.center))


def _draw_right(surface: pygame.Surface, words: Sequence[str], left: int, right: int, middle: int) -> None:
    """Hints, right-aligned, the last one first; those that do not fit are left out."""
    for word in reversed(words):
        start = right - width_of(word)
        if start < left:
            return
        text(surface, word, start, middle, FAINT)
        right = start - GAP


def contrast(colour: Colour) -> Colour:
    """Black or white, whichever reads better on a colour."""
    red, green, blue = colour
    return (16, 17, 20) if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else (240, 242, 245)


def draw_brush(
    surface: pygame.Surface, position: tuple[int, int], radius: int, colour: Colour, picture: pygame.Rect
) -> None:
    """The brush's outline (radius in screen pixels) at the mouse, cut off at the picture's edge."""
    clip = surface.get_clip()
    surface.set_clip(picture)
    pygame.draw.circle(surface, contrast(colour), position, radius + 2, 1)
    pygame.draw.circle(surface, colour, position, radius + 1, 2)
    surface.set_clip(clip)


def draw_message(surface: pygame.Surface, words: str, picture: pygame.Rect) -> None:
    """A passing message, above the lower edge of the picture."""
    size = TEXT_SIZE if width_of(words) + 2 * MARGIN <= picture.width else SMALL_SIZE
    while width_of(words, size) + 2 * MARGIN > picture.width and len(words) > 8:
        words = words[: (len(words) - 2) // 2] + "…" + words[(len(words) - 2) // 2 + 3 :]
    drawn = font(size).render(words, True, TEXT)
    pill = pygame.Surface((drawn.get_width() + 2 * MARGIN, drawn.get_height() + 14), pygame.SRCALPHA)
    pygame.draw.rect(pill, PILL, pill.get_rect(), border_radius=pill.get_height() // 2)
    pill.blit(drawn, drawn.get_rect(center=pill.get_rect().center))
    surface.blit(pill, pill.get_rect(midtop=(picture.centerx, picture.top + MARGIN)))


def draw_help(surface: pygame.Surface, area: pygame.Rect) -> None:
    """The page of keys over the picture, made smaller where it does not fit."""
    shade = pygame.Surface(area.size, pygame.SRCALPHA)
    shade.fill(SHADE)
    surface.blit(shade, area)
    page = _help_page()
    room = area.inflate(-2 * MARGIN, -2 * MARGIN)
    shrink = min(1.0, room.width / page.get_width(), room.height / page.get_height())
    if shrink < 1.0:
        size = (max(1, int(page.get_width() * shrink)), max(1, int(page.get_height() * shrink)))
        page = pygame.transform.smoothscale(page, size)
    surface.blit(page, page.get_rect(center=area.center))


@functools.cache
def _help_page() -> pygame.Surface:
    """The columns of `keymap.HELP`, on nothing."""
    row, title, between, inner = 28, 40, 52, 18
    columns = []
    for _, rows in HELP:
        keys = max(width_of(key) for key, _ in rows)
        deeds = max(width_of(deed) for _, deed in rows)
        columns.append((keys, keys + inner + deeds))
    width = sum(column for _, column in columns) + between * (len(columns) - 1)
    height = title + row * max(len(rows) for _, rows in HELP)
    page = pygame.Surface((width, height), pygame.SRCALPHA)
    x = 0
    for (name, rows), (keys, column) in zip(HELP, columns):
        text(page, name, x, row // 2, ACCENT, TITLE_SIZE)
        for index, (key, deed) in enumerate(rows):
            middle = title + index * row + row // 2
            text(page, key, x, middle, TEXT)
            text(page, deed, x + keys + inner, middle, FAINT)
        x += column + between
    return page
