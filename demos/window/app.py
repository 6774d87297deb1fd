"""The window: events in, the newest frame out. The world runs in its own thread (`loop.py`)."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pygame

from reverie.demos.recording import Recorder, pose_of
from reverie.demos.window import hud, keymap
from reverie.demos.window.controls import Controls, Taken
from reverie.demos.window.loop import Runner
from reverie.demos.window.paint import LARGEST_BRUSH, PALETTE, SMALLEST_BRUSH, Canvas, Colour
from reverie.demos.window.view import View, best_scale
from reverie.model.errors import ReverieError
from reverie.simulator.action import Action
from reverie.simulator.text import printable
from reverie.simulator.world import TICKS_PER_SECOND

TITLE = "Reverie"
LARGEST_SCALE = 6
SCREEN_SHARE = 0.9
"""Most of the screen that the window takes at first."""
WAIT_MS = 15
"""Longest sleep between two looks at the events."""
REFRESH_SECONDS = 0.25
"""How often the figures are written anew."""
MESSAGE_SECONDS = 3.0
LATENCIES_KEPT = 15
REWIND_TICKS = 10
FIRST_RADIUS = 5
STRENGTH_STEP = 0.1
SLOTS = 9
SAVE_NAME = "reverie-save.reverie"
NEW_FRAME = pygame.event.custom_type()
"""Posted by the world's thread, so that a frame is drawn as soon as it is there."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a session in the window came to."""

    frames: int
    step_seconds: tuple[float, ...]
    latency_ms: float | None
    """From input to screen, median of the last inputs."""
    first_frame_at: float | None
    """When the first stepped frame was on the screen (`time.perf_counter`)."""


class WindowApp:
    """A session in a window.

    `surface` replaces the window in tests. `script` gives the actions instead of the player's hands. Files go to
    `folder`. The loop ends after `max_ticks`, if given, or when the window is closed.
    """

    def __init__(
        self,
        sim: Any,
        *,
        label: str = "",
        surface: pygame.Surface | None = None,
        folder: Path = Path(),
        script: Callable[[Any], Action] | None = None,
        record: str | None = None,
        max_ticks: int | None = None,
    ) -> None:
        self.controls = Controls()
        self.recorder = Recorder()
        self.canvas: Canvas | None = None
        self.running = True
        self.show_help = False
        self._sim = sim
        self._label = printable(label)
        self._folder = folder
        self._script = script
        self._max_ticks = max_ticks
        self._own_window = surface is None
        self._frame_size: tuple[int, int] = sim.frame.shape[:2]
        self._surface = self._open_window() if surface is None else surface
        self._pose = pose_of(sim)
        self._bar = hud.Hotbar.of(sim.world)
        self._bookmark: Any = None
        self._palette_slot: int | None = 0
        self._colour: Colour = PALETTE[0][1]
        self._radius = FIRST_RADIUS
        self._strength = 0.0
        self._hotbar = 0
        self._alt = False
        self._brush: Colour | None = None
        self._painting = False
        self._mouse = (0, 0)
        self._message = ""
        self._message_until = 0.0
        self._drawn = -1
        self._refreshed = 0.0
        self._stale = True
        self._first_frame_at: float | None = None
        self._latencies: deque[float] = deque(maxlen=LATENCIES_KEPT)
        if record is not None:
            self.recorder.start(record, self._frame_size)
        self.runner = Runner(sim, self._choose, on_step=self._stepped, on_frame=self._announce)
        self._commands: dict[str, Callable[[], None]] = {
            "pause": self.pause,
            "resume": self.resume,
            "screenshot": self._screenshot,
            "save": self._save,
            "load": self._load,
            "record": self._toggle_recording,
            "help": self._toggle_help,
            "undo": self._undo,
            "clear": self._clear,
            "rewind": self._rewind,
            "step": self._step,
            "bookmark": self._set_bookmark,
            "return": self._return,
            "strength_down": lambda: self._change_strength(-STRENGTH_STEP),
            "strength_up": lambda: self._change_strength(STRENGTH_STEP),
        }

    @property
    def paused(self) -> bool:
        """Whether the world is held still, for painting."""
        return self.canvas is not None

    @property
    def view(self) -> View:
        """Where the picture is."""
        width, height = self._surface.get_size()
        return View(self._frame_size, (width, max(1, height - hud.BAR_HEIGHT)))

    def run(self) -> Report:
        """Plays until the window is closed. Raises what ended the world's thread."""
        self._capture(True)
        self.say("W A S D walk, the mouse looks, P pauses, H helps")
        self.runner.start()
        try:
            while self.running:
                self.turn(WAIT_MS)
        finally:
            self.close()
        return Report(self.runner.steps, tuple(self.runner.step_seconds), self._median_latency(), self._first_frame_at)

    def turn(self, wait_ms: int = 0) -> None:
        """One turn of the window's loop: sleeps until something happens, handles it, draws if anything changed."""
        first = pygame.event.wait(wait_ms) if wait_ms else pygame.event.poll()
        if first.type != pygame.NOEVENT:
            self.handle(first)
        for event in pygame.event.get():
            self.handle(event)
        if self.runner.error is not None:
            raise self.runner.error
        if self._max_ticks is not None and self.runner.steps >= self._max_ticks:
            self.running = False
        self._draw_if_changed()

    def close(self) -> None:
        """Ends the world's thread and finishes the recording."""
        self.runner.stop()
        self._capture(False)
        self.recorder.stop()

    def say(self, words: str) -> None:
        """Shows a message for a while."""
        self._message = printable(words)
        self._message_until = time.perf_counter() + MESSAGE_SECONDS
        self._stale = True

    # Events

    def handle(self, event: pygame.event.Event) -> None:
        """Does what one event asks for; a problem that the player can mend becomes a message."""
        if event.type == NEW_FRAME:
            return
        self._stale = True
        try:
            self._dispatch(event)
        except ReverieError as error:
            self.say(" ".join(str(error).split()))

    def _dispatch(self, event: pygame.event.Event) -> None:
        if event.type == pygame.QUIT:
            self.running = False
        elif event.type == pygame.WINDOWFOCUSLOST:
            self._alt = False
            self.controls.let_go()
            if not self.paused and self._script is None:
                self.pause()
        elif event.type == pygame.KEYDOWN:
            self._key_down(event)
        elif event.type == pygame.KEYUP:
            self._key_up(keymap.place_of(event))
        elif event.type == pygame.DROPFILE:
            self._paste(event.file)
        elif self.paused:
            self._paint_with(event)
        else:
            self._play_with(event)

    def _key_down(self, event: pygame.event.Event) -> None:
        commands = keymap.ALWAYS | (keymap.WHILE_PAUSED if self.paused else keymap.WHILE_PLAYING)
        place, key = keymap.place_of(event), keymap.meaning(event, commands)
        if not self.paused and (place in keymap.HELD_KEYS or place in keymap.TAPPED_KEYS):
            key = 0  # hands that play lie on places; on some layouts those have a command's letter
        if key:
            self._commands[commands[key]]()
        elif place in keymap.SLOT_KEYS:
            slot = keymap.SLOT_KEYS[place]
            if self.paused:
                self._choose_colour(slot - 1)
            else:
                self._select(slot - 1)
        elif place in keymap.HELD_KEYS:
            self.controls.press(keymap.HELD_KEYS[place])
        elif place in keymap.TAPPED_KEYS and not self.paused:
            self.controls.tap(keymap.TAPPED_KEYS[place])
        elif place in keymap.PICK_MODIFIERS:
            self._alt = True

    def _key_up(self, place: int) -> None:
        if place in keymap.HELD_KEYS:
            self.controls.release(keymap.HELD_KEYS[place])
        elif place in keymap.PICK_MODIFIERS:
            self._alt = False

    def _play_with(self, event: pygame.event.Event) -> None:
        """The mouse while playing."""
        if event.type == pygame.MOUSEMOTION:
            right, down = event.rel
            self.controls.look(down * keymap.DEGREES_PER_PIXEL, right * keymap.DEGREES_PER_PIXEL)
        elif event.type == pygame.MOUSEBUTTONDOWN:
            if event.button in keymap.HELD_MOUSE:
                self.controls.press(keymap.HELD_MOUSE[event.button])
            elif event.button in keymap.TAPPED_MOUSE:
                self.controls.tap(keymap.TAPPED_MOUSE[event.button])
        elif event.type == pygame.MOUSEBUTTONUP and event.button in keymap.HELD_MOUSE:
            self.controls.release(keymap.HELD_MOUSE[event.button])
        elif event.type == pygame.MOUSEWHEEL and event.y:
            self._select((self._hotbar - event.y) % SLOTS)

    def _paint_with(self, event: pygame.event.Event) -> None:
        """The mouse while paused."""
        if event.type == pygame.MOUSEBUTTONDOWN:
            self._mouse = event.pos
            picks = event.button == pygame.BUTTON_MIDDLE or (event.button == pygame.BUTTON_LEFT and self._alt)
            if picks:
                self._pick(event.pos)
            elif event.button in (pygame.BUTTON_LEFT, pygame.BUTTON_RIGHT) and self.view.inside(event.pos):
                self._brush = self._colour if event.button == pygame.BUTTON_LEFT else None
                self._painting = True
                self._canvas.begin()
                self._stroke(event.pos, event.pos)
        elif event.type == pygame.MOUSEMOTION:
            if self._painting:
                self._stroke(self._mouse, event.pos)
            self._mouse = event.pos
        elif event.type == pygame.MOUSEBUTTONUP:
            self._painting = False
        elif event.type == pygame.MOUSEWHEEL:
            self._radius = max(SMALLEST_BRUSH, min(LARGEST_BRUSH, self._radius + event.y))

    # Pausing and painting

    @property
    def _canvas(self) -> Canvas:
        assert self.canvas is not None
        return self.canvas

    def pause(self) -> None:
        """Holds the world still and frees the mouse."""
        self.runner.pause()
        self.controls.let_go()
        self._fresh_canvas()
        self._capture(False)

    def resume(self) -> None:
        """Puts what was painted into the world, and lets it go on."""
        self._commit()
        self.canvas = None
        self._painting = False
        self.controls.let_go(keep_held=True)
        self._capture(True)
        self.runner.resume()

    def _fresh_canvas(self) -> None:
        self._painting = False
        self.canvas = Canvas(self.runner.shown.frame)

    def _commit(self) -> None:
        """Gives the painted part to the world, if there is any. Raises EditError, and keeps the paint."""
        if self.canvas is None or not self.canvas.touched:
            return
        image, mask = self.canvas.image, self.canvas.mask
        self._change(lambda sim: sim.edit(image, mask, self._strength))
        self._fresh_canvas()

    def _change(self, job: Callable[[Any], Any]) -> None:
        """Does something to the session that no action explains."""
        self.runner.call(job)
        self.recorder.changed()
        self._pose = pose_of(self._sim)

    def _stroke(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        view = self.view
        self._canvas.paint(view.to_frame(start), view.to_frame(end), self._radius, self._brush)

    def _pick(self, position: tuple[int, int]) -> None:
        colour = self._canvas.pick(self.view.to_frame(position))
        if colour is not None:
            self._colour, self._palette_slot = colour, None

    def _choose_colour(self, slot: int) -> None:
        self._palette_slot, self._colour = slot, PALETTE[slot][1]

    def _paste(self, path: str) -> None:
        """A picture dropped onto the window covers the frame."""
        from reverie.simulator.edits import fit_image

        picture = fit_image(path, self._frame_size, crop=True)
        if not self.paused:
            self.pause()
        self._canvas.paste(picture)
        self.say("Enter goes on from this picture")

    def _undo(self) -> None:
        self._painting = False
        if not self._canvas.undo():
            self.say("nothing to undo")

    def _clear(self) -> None:
        self._painting = False
        self._canvas.clear()

    def _change_strength(self, amount: float) -> None:
        self._strength = round(max(0.0, min(1.0, self._strength + amount)), 1)

    # Time

    def _rewind(self) -> None:
        self._change(lambda sim: sim.rewind(min(REWIND_TICKS, len(sim.history) - 1)))
        self._fresh_canvas()

    def _step(self) -> None:
        self._commit()
        self.runner.step_once()
        self.controls.let_go(keep_held=True)
        self._fresh_canvas()

    def _set_bookmark(self) -> None:
        self._commit()
        self._bookmark = self.runner.call(lambda sim: sim.snapshot())
        self.say(f"bookmarked tick {self.runner.shown.tick}; N returns to it")

    def _return(self) -> None:
        if self._bookmark is None:
            self.say("no bookmark yet; B sets one")
            return
        self._change(lambda sim: sim.restore(self._bookmark))
        self._fresh_canvas()

    # Files

    def _screenshot(self) -> None:
        frame = self.canvas.image if self.canvas is not None else self.runner.shown.frame
        path = self._new_name("png")
        height, width, _ = frame.shape
        try:
            pygame.image.save(pygame.image.frombuffer(frame.tobytes(), (width, height), "RGB"), str(path))
        except (OSError, pygame.error) as error:
            raise ReverieError(f"{path}: cannot be written ({error})") from error
        self.say(f"saved {path.name}")

    def _save(self) -> None:
        self._commit()
        path = self._folder / SAVE_NAME
        self.runner.call(lambda sim: sim.save(path))
        self.say(f"saved {path.name}; F9 loads it")

    def _load(self) -> None:
        path = self._folder / SAVE_NAME
        self._sim = type(self._sim).open(path, self._sim.world)
        self.runner.replace(self._sim)
        self.recorder.changed()
        self._pose = pose_of(self._sim)
        if self.paused:
            self._fresh_canvas()
        self.say(f"loaded {path.name}")

    def _toggle_recording(self) -> None:
        finished = self.runner.call(lambda _: self.recorder.stop())
        if finished is not None:
            self.say(f"recorded {finished.name}")
            return
        path = self._new_name("mp4")
        self.runner.call(lambda _: self.recorder.start(path, self._frame_size))
        self.say(f"recording {path.name}")

    def _new_name(self, kind: str) -> Path:
        """A file of this second that does not exist yet."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        path, copy = self._folder / f"reverie-{stamp}.{kind}", 1
        while path.exists():
            copy += 1
            path = self._folder / f"reverie-{stamp}-{copy}.{kind}"
        return path

    # The world's thread

    def _choose(self, sim: Any) -> Taken:
        if self._script is not None:
            return Taken(self._script(sim), None)
        return self.controls.take()

    def _stepped(self, before: np.ndarray, action: Action, sim: Any) -> None:
        pose, self._pose = self._pose, pose_of(sim)
        try:
            self.recorder.see(before, pose, action, sim)
        except ReverieError as error:
            self.say(" ".join(str(error).split()))

    def _announce(self) -> None:
        if pygame.display.get_init():
            pygame.event.post(pygame.event.Event(NEW_FRAME))

    # Drawing

    def _draw_if_changed(self) -> None:
        now = time.perf_counter()
        shown = self.runner.shown
        if self._message and now >= self._message_until:
            self._message, self._stale = "", True
        if shown.number == self._drawn and not self._stale and now - self._refreshed < REFRESH_SECONDS:
            return
        is_new = shown.number != self._drawn
        self._drawn, self._stale = shown.number, False
        self.draw(self.canvas.image if self.canvas is not None else shown.frame)
        if is_new and shown.since is not None:
            self._latencies.append((time.perf_counter() - shown.since) * 1000)
        if self._first_frame_at is None and self.runner.steps:
            self._first_frame_at = time.perf_counter()

    def draw(self, frame: np.ndarray) -> None:
        """Draws a frame (uint8 [h, w, 3]) and everything around it."""
        self._refreshed = time.perf_counter()
        view, surface = self.view, self._surface
        view.draw(surface, frame)
        if self._bar is not None and not self.paused:
            hud.draw_screen_layer(surface, self._bar, self._hotbar, view.rect)
        if self.paused and not self.show_help and view.inside(self._mouse):
            hud.draw_brush(surface, self._mouse, self._radius * view.scale, self._colour, view.rect)
        if self.show_help:
            hud.draw_help(surface, pygame.Rect((0, 0), view.area))
        elif self._message:
            hud.draw_message(surface, self._message, view.rect.clip(pygame.Rect((0, 0), view.area)))
        hud.draw_bar(surface, self._status())
        if self._own_window:
            pygame.display.flip()

    def _status(self) -> hud.Status:
        return hud.Status(
            frames_per_second=self.runner.frames_per_second,
            latency_ms=self._median_latency(),
            tick=self.runner.shown.tick,
            label=self._label,
            recording_seconds=self.recorder.frames / TICKS_PER_SECOND if self.recorder.running else None,
            paused=self.paused,
            colour=self._colour,
            slot=self._palette_slot,
            radius=self._radius,
            strength=self._strength,
        )

    def _median_latency(self) -> float | None:
        latencies = sorted(self._latencies)
        return latencies[len(latencies) // 2] if latencies else None

    def _toggle_help(self) -> None:
        self.show_help = not self.show_help

    def _select(self, slot: int) -> None:
        self._hotbar = slot
        self.controls.select(slot + 1)

    def _open_window(self) -> pygame.Surface:
        """Raises ReverieError where the screen does not take it."""
        height, width = self._frame_size
        try:
            pygame.display.init()
            pygame.display.set_caption(f"{TITLE} - {self._label}" if self._label else TITLE)
            screen_width, screen_height = pygame.display.get_desktop_sizes()[0]
            room = (int(screen_width * SCREEN_SHARE), int(screen_height * SCREEN_SHARE) - hud.BAR_HEIGHT)
            scale = best_scale(self._frame_size, room, LARGEST_SCALE)
            size = (width * scale, height * scale + hud.BAR_HEIGHT)
            return pygame.display.set_mode(size, pygame.RESIZABLE)
        except pygame.error as error:
            raise ReverieError(f"the window cannot be opened ({error}); --headless plays without one") from error

    def _capture(self, captured: bool) -> None:
        """Takes the mouse for looking about, or gives it back for painting."""
        if not pygame.display.get_init() or pygame.display.get_surface() is None:
            return
        captured = captured and self._script is None
        pygame.event.set_grab(captured)
        pygame.mouse.set_visible(not captured)
        if captured:
            pygame.mouse.get_rel()
        else:
            self._mouse = self.view.rect.center
            pygame.mouse.set_pos(self._mouse)
