"""The window, driven by posted events on an in-memory surface, over a small world of our own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import pytest

from reverie.demos.window import hud, keymap
from reverie.demos.window.app import WindowApp
from reverie.demos.window.controls import Controls
from reverie.demos.window.loop import Runner
from reverie.demos.window.paint import PALETTE, Canvas
from reverie.demos.window.view import View, best_scale
from reverie.simulator import Action, Simulator
from reverie.simulator.action import MAX_CAMERA
from reverie.simulator.clips import Clip
from reverie.simulator.errors import EditError
from reverie.simulator.world import EVENTS, Senses

SIZE = (48, 80)
SCALE = 4
WINDOW = (SIZE[1] * SCALE, SIZE[0] * SCALE + hud.BAR_HEIGHT)
PATIENCE = 200.0
"""Seconds after which a test that waits for something gives up; no test passes or fails by how long it took."""


@dataclass(frozen=True)
class ToyState:
    """What a ToyWorld is at: the picture, and what led there."""

    picture: np.ndarray
    ticks: int
    actions: tuple[Action, ...]
    edits: tuple[tuple[np.ndarray, np.ndarray, float], ...] = ()


class ToyWorld:
    """A world whose picture brightens by one a tick; it keeps the actions it was given."""

    size = SIZE

    def __init__(self, error: Exception | None = None, gated: bool = False) -> None:
        """With a gate, each step waits for a release of it."""
        self.error = error
        self.gated = gated
        self.gate = threading.Semaphore(0)
        self.waiting = False

    def start(self, scene: Any, seed: int) -> ToyState:
        return ToyState(np.full((*SIZE, 3), seed, np.uint8), 0, ())

    def step(self, state: ToyState, action: Action) -> ToyState:
        if self.gated:
            self.waiting = True
            self.gate.acquire()
        if self.error is not None:
            raise self.error
        return replace(
            state, picture=state.picture + np.uint8(1), ticks=state.ticks + 1, actions=(*state.actions, action)
        )

    def edit(self, state: ToyState, image: np.ndarray, mask: np.ndarray, strength: float) -> ToyState:
        if strength == 1.0:
            raise EditError("edit: too strong")
        picture = np.where(mask[..., None], image, state.picture)
        return replace(state, picture=picture, edits=(*state.edits, (image, mask, strength)))

    def frame(self, state: ToyState) -> np.ndarray:
        return state.picture

    def tick(self, state: ToyState) -> int:
        return state.ticks

    def senses(self, state: ToyState) -> Senses:
        return Senses(tick=state.ticks)

    def events(self, state: ToyState) -> np.ndarray:
        return np.zeros(len(EVENTS), np.float32)

    def describe(self) -> dict[str, Any]:
        return {"world": "toy"}

    def pack(self, state: ToyState) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"ticks": state.ticks}, {"picture": state.picture}

    def unpack(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> ToyState:
        return ToyState(arrays["picture"], meta["ticks"], ())


@pytest.fixture(scope="module", autouse=True)
def display() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SDL_VIDEODRIVER", "dummy")
        pygame.display.init()
        yield
        pygame.quit()


def make_app(tmp_path: Path, world: ToyWorld | None = None, **options: Any) -> WindowApp:
    pygame.event.clear()
    sim = Simulator(world or ToyWorld(), seed=90)
    return WindowApp(sim, surface=pygame.Surface(WINDOW), folder=tmp_path, **options)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[WindowApp]:
    app = make_app(tmp_path)
    app.runner.start()
    yield app
    app.close()


def post(kind: int, **values: Any) -> None:
    pygame.event.post(pygame.event.Event(kind, **values))


def key(app: WindowApp, *keys: int) -> None:
    for code in keys:
        post(pygame.KEYDOWN, key=code)
        post(pygame.KEYUP, key=code)
        app.turn()


def at(x: float, y: float) -> tuple[int, int]:
    """The middle of a frame pixel on the screen."""
    return int((x + 0.5) * SCALE), int((y + 0.5) * SCALE)


def turn_until(app: WindowApp, done: Callable[[], bool]) -> None:
    end = time.perf_counter() + PATIENCE
    while not done():
        assert time.perf_counter() < end, "nothing happened"
        app.turn(5)


def state_of(app: WindowApp) -> ToyState:
    return app.runner.call(lambda sim: sim.state)


def ticks_more(app: WindowApp, count: int) -> list[Action]:
    """The actions of the next ticks."""
    before = len(state_of(app).actions)
    turn_until(app, lambda: len(state_of(app).actions) >= before + count)
    return list(state_of(app).actions[before:])


def test_held_keys_and_clicks_become_actions(app: WindowApp) -> None:
    post(pygame.KEYDOWN, key=pygame.K_w)
    post(pygame.KEYDOWN, key=pygame.K_LCTRL)
    post(pygame.MOUSEBUTTONDOWN, button=pygame.BUTTON_LEFT, pos=(5, 5))
    app.turn()
    assert ticks_more(app, 3)[-1] == Action(forward=True, sprint=True, attack=True)
    post(pygame.KEYUP, key=pygame.K_w)
    post(pygame.KEYUP, key=pygame.K_LCTRL)
    post(pygame.MOUSEBUTTONUP, button=pygame.BUTTON_LEFT, pos=(5, 5))
    app.turn()
    assert ticks_more(app, 3)[-1] == Action()


def test_a_short_press_counts_for_a_tick_and_a_tap_for_exactly_one(app: WindowApp) -> None:
    app.runner.pause()
    before = len(state_of(app).actions)
    post(pygame.KEYDOWN, key=pygame.K_SPACE)
    post(pygame.KEYUP, key=pygame.K_SPACE)
    post(pygame.KEYDOWN, key=pygame.K_q)
    post(pygame.KEYDOWN, key=pygame.K_4)
    app.turn()
    app.runner.resume()
    ticks_more(app, 3)
    seen = state_of(app).actions[before:]
    assert seen[0] == Action(jump=True, drop=True, hotbar=4)
    assert all(action == Action() for action in seen[1:])


def test_mouse_motion_is_neither_lost_nor_doubled(app: WindowApp) -> None:
    rng = np.random.default_rng(3)
    motions = rng.integers(-40, 41, (200, 2))
    for right, down in motions:
        post(pygame.MOUSEMOTION, rel=(int(right), int(down)), pos=(0, 0), buttons=(0, 0, 0))
        app.turn(1)
    ticks_more(app, 2)
    turned = np.sum([action.camera for action in state_of(app).actions], axis=0)
    expected = motions.sum(axis=0)[::-1] * keymap.DEGREES_PER_PIXEL
    np.testing.assert_allclose(turned, expected, atol=1e-6)


def test_a_turn_beyond_the_limit_is_spread_over_ticks() -> None:
    controls = Controls()
    controls.look(10.0, 2.5 * MAX_CAMERA)
    turns = [controls.take().action.camera for _ in range(4)]
    assert turns == [(10.0, MAX_CAMERA), (0.0, MAX_CAMERA), (0.0, 0.5 * MAX_CAMERA), (0.0, 0.0)]


def test_a_slow_world_does_not_queue_input(tmp_path: Path) -> None:
    world = ToyWorld(gated=True)
    app = make_app(tmp_path, world)
    app.runner.start()
    try:
        turn_until(app, lambda: world.waiting)  # a step is under way
        for _ in range(500):  # far more input than the world can take
            post(pygame.MOUSEMOTION, rel=(1, 0), pos=(0, 0), buttons=(0, 0, 0))
            app.turn()
        post(pygame.KEYDOWN, key=pygame.K_w)
        app.turn()
        for count in (1, 2):
            world.gate.release()
            turn_until(app, lambda count=count: app.runner.steps == count)
        first, second = app._sim.state.actions[:2]
        assert not first.forward and second.forward  # the step that was under way, and the step that takes it
        assert second.camera[1] == pytest.approx(500 * keymap.DEGREES_PER_PIXEL)
    finally:
        world.gate.release(100)
        app.close()


def test_pause_holds_the_world_without_spinning(app: WindowApp, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks_more(app, 2)
    key(app, pygame.K_p)
    assert app.paused
    while pygame.event.poll().type != pygame.NOEVENT:
        pass
    tick, number, waited = app.runner.shown.tick, app.runner.shown.number, []
    monkeypatch.setattr(pygame.event, "wait", lambda ms: waited.append(ms) or pygame.event.Event(pygame.NOEVENT))
    for _ in range(20):
        app.turn(15)
    assert waited == [15] * 20  # each turn sleeps until something happens
    assert (app.runner.shown.tick, app.runner.shown.number) == (tick, number)
    monkeypatch.undo()
    key(app, pygame.K_ESCAPE)
    assert not app.paused
    ticks_more(app, 2)


def test_keys_are_let_go_when_the_focus_is_lost(app: WindowApp) -> None:
    post(pygame.KEYDOWN, key=pygame.K_w)
    app.turn()
    ticks_more(app, 1)
    post(pygame.WINDOWFOCUSLOST)
    app.turn()
    assert app.paused
    key(app, pygame.K_RETURN)
    assert ticks_more(app, 2)[-1] == Action()


def test_painting_reaches_the_world_on_resume(app: WindowApp) -> None:
    ticks_more(app, 2)
    key(app, pygame.K_p, pygame.K_7)
    post(pygame.MOUSEBUTTONDOWN, button=pygame.BUTTON_LEFT, pos=at(20, 20))
    post(pygame.MOUSEMOTION, rel=(80, 0), pos=at(40, 20), buttons=(1, 0, 0))
    post(pygame.MOUSEBUTTONUP, button=pygame.BUTTON_LEFT, pos=at(40, 20))
    app.turn()
    assert state_of(app).edits == ()
    below = app.runner.shown.frame
    key(app, pygame.K_RETURN)
    assert not app.paused
    ((image, mask, strength),) = state_of(app).edits
    red = PALETTE[6][1]
    assert strength == 0.0
    assert mask[20, 20:41].all() and not mask[:, :12].any() and not mask[:10].any()
    assert (image[mask] == red).all()
    assert (image[~mask] == below[~mask]).all()
    ticks_more(app, 2)


def test_paint_is_seen_on_the_screen(app: WindowApp) -> None:
    key(app, pygame.K_p, pygame.K_8)
    post(pygame.MOUSEBUTTONDOWN, button=pygame.BUTTON_LEFT, pos=at(30, 10))
    app.turn()
    assert app._surface.get_at(at(30, 10))[:3] == PALETTE[7][1]


def test_an_unpainted_pause_edits_nothing(app: WindowApp) -> None:
    key(app, pygame.K_p, pygame.K_p)
    assert state_of(app).edits == ()


def test_undo_clear_wipe_and_pick(app: WindowApp) -> None:
    key(app, pygame.K_p, pygame.K_2)
    canvas = app.canvas
    assert canvas is not None
    for x in (10, 60):
        post(pygame.MOUSEBUTTONDOWN, button=pygame.BUTTON_LEFT, pos=at(x, 20))
        post(pygame.MOUSEBUTTONUP, button=pygame.BUTTON_LEFT, pos=at(x, 20))
    app.turn()
    assert canvas.mask[20, 10] and canvas.mask[20, 60]
    key(app, pygame.K_z)
    assert canvas.mask[20, 10] and not canvas.mask[20, 60]
    post(pygame.KEYDOWN, key=pygame.K_LALT)
    post(pygame.MOUSEBUTTONDOWN, button=pygame.BUTTON_LEFT, pos=at(70, 40))
    post(pygame.KEYUP, key=pygame.K_LALT)
    app.turn()
    assert app._colour == tuple(app.runner.shown.frame[40, 70])
    assert canvas.mask.sum() == canvas.mask[:, :30].sum()  # picking does not paint
    post(pygame.MOUSEBUTTONDOWN, button=pygame.BUTTON_RIGHT, pos=at(10, 20))
    post(pygame.MOUSEBUTTONUP, button=pygame.BUTTON_RIGHT, pos=at(10, 20))
    app.turn()
    assert not canvas.touched
    key(app, pygame.K_z)
    assert canvas.touched
    key(app, pygame.K_c)
    assert not canvas.touched


def test_the_wheel_changes_the_brush_or_the_slot(app: WindowApp) -> None:
    app.runner.pause()
    post(pygame.MOUSEWHEEL, y=1)
    app.turn()
    assert app.controls.take().action.hotbar == 9
    key(app, pygame.K_p)
    radius = app._radius
    post(pygame.MOUSEWHEEL, y=2)
    app.turn()
    assert app._radius == radius + 2
    post(pygame.MOUSEWHEEL, y=-1000)
    app.turn()
    assert app._radius == 1


def test_a_refused_edit_keeps_the_paint_and_says_why(app: WindowApp) -> None:
    key(app, pygame.K_p)
    for _ in range(10):
        key(app, pygame.K_EQUALS)
    post(pygame.MOUSEBUTTONDOWN, button=pygame.BUTTON_LEFT, pos=at(30, 10))
    post(pygame.MOUSEBUTTONUP, button=pygame.BUTTON_LEFT, pos=at(30, 10))
    app.turn()
    key(app, pygame.K_RETURN)
    assert app.paused and app.canvas is not None and app.canvas.touched
    assert "too strong" in app._message
    key(app, pygame.K_MINUS, pygame.K_RETURN)
    assert not app.paused and state_of(app).edits[0][2] == 0.9


def test_rewind_step_bookmark_and_return(app: WindowApp) -> None:
    ticks_more(app, 15)
    key(app, pygame.K_p)
    tick = app.runner.shown.tick
    key(app, pygame.K_b, pygame.K_LEFTBRACKET)
    assert app.runner.shown.tick == tick - 10
    assert app.canvas is not None and (app.canvas.image == app.runner.shown.frame).all()
    post(pygame.KEYDOWN, key=pygame.K_d)
    key(app, pygame.K_RIGHTBRACKET)
    assert app.runner.shown.tick == tick - 9
    assert state_of(app).actions[-1] == Action(right=True)
    key(app, pygame.K_n)
    assert app.runner.shown.tick == tick


def test_save_and_load(app: WindowApp, tmp_path: Path) -> None:
    ticks_more(app, 3)
    key(app, pygame.K_p, pygame.K_F9)
    assert "no such file" in app._message
    tick = app.runner.shown.tick
    key(app, pygame.K_F5, pygame.K_RIGHTBRACKET, pygame.K_RIGHTBRACKET)
    assert app.runner.shown.tick == tick + 2
    key(app, pygame.K_F9)
    assert app.runner.shown.tick == tick
    assert [path.suffix for path in tmp_path.iterdir()] == [".reverie"]
    key(app, pygame.K_p)
    ticks_more(app, 2)


def test_screenshots(app: WindowApp, tmp_path: Path) -> None:
    key(app, pygame.K_p, pygame.K_F2, pygame.K_F2)
    shots = sorted(tmp_path.glob("reverie-*.png"))
    assert len(shots) == 2
    picture = pygame.surfarray.array3d(pygame.image.load(shots[0])).transpose(1, 0, 2)
    assert (picture == app.runner.shown.frame).all()


def test_recording_keeps_frames_actions_and_edits(app: WindowApp, tmp_path: Path) -> None:
    ticks_more(app, 1)
    key(app, pygame.K_r)
    post(pygame.KEYDOWN, key=pygame.K_w)
    app.turn()
    ticks_more(app, 5)
    key(app, pygame.K_p)
    post(pygame.MOUSEBUTTONDOWN, button=pygame.BUTTON_LEFT, pos=at(30, 10))
    post(pygame.MOUSEBUTTONUP, button=pygame.BUTTON_LEFT, pos=at(30, 10))
    app.turn()
    key(app, pygame.K_p)
    ticks_more(app, 3)
    key(app, pygame.K_r)
    assert not app.recorder.running
    (path,) = tmp_path.glob("reverie-*.mp4")
    clip = Clip.load(path)
    assert len(clip) >= 8
    assert clip.actions[3].forward
    assert sum({"type": "edit"} in events for events in clip.events) == 1


def test_closing_the_window_finishes_the_recording(tmp_path: Path) -> None:
    def script(sim: Any) -> Action:
        if sim.tick == 5:
            post(pygame.QUIT)
        return Action()

    app = make_app(tmp_path, record=str(tmp_path / "a.mp4"), script=script)
    report = app.run()
    assert report.frames >= 5
    assert len(Clip.load(tmp_path / "a.mp4")) == report.frames
    assert not app.runner._thread.is_alive()


def test_an_error_of_the_world_ends_the_run(tmp_path: Path) -> None:
    app = make_app(tmp_path, ToyWorld(error=EditError("the world is broken")))
    with pytest.raises(EditError, match="broken"):
        app.run()


def test_a_script_plays_in_the_window_until_the_ticks_are_over(tmp_path: Path) -> None:
    app = make_app(tmp_path, script=lambda sim: Action(left=True), max_ticks=4)
    assert app.run().frames >= 4
    assert app._sim.state.actions[0] == Action(left=True)


def test_help_covers_the_picture_and_goes(app: WindowApp) -> None:
    app.turn()
    before = pygame.surfarray.array3d(app._surface)
    key(app, pygame.K_h)
    assert app.show_help
    changed = (pygame.surfarray.array3d(app._surface) != before).any(axis=2)
    assert changed[:, : SIZE[0] * SCALE].all()
    key(app, pygame.K_h)
    assert not app.show_help


def test_a_dropped_picture_covers_the_frame(app: WindowApp, tmp_path: Path) -> None:
    picture = pygame.Surface((33, 71))
    picture.fill((200, 10, 90))
    pygame.image.save(picture, str(tmp_path / "drop.png"))
    post(pygame.DROPFILE, file=str(tmp_path / "drop.png"))
    app.turn()
    assert app.paused
    key(app, pygame.K_RETURN)
    image, mask, _ = state_of(app).edits[0]
    assert mask.all() and (image == (200, 10, 90)).all()
    post(pygame.DROPFILE, file=str(tmp_path / "missing.png"))
    app.turn()
    assert "no such file" in app._message


def test_the_picture_is_scaled_by_a_whole_number_and_letterboxed() -> None:
    view = View((48, 80), (500, 200))
    assert view.scale == 4
    assert view.rect.topleft == (90, 4)
    assert view.to_frame((90, 4)) == (0.0, 0.0) and view.to_frame((94, 12)) == (1.0, 2.0)
    assert not view.inside((89, 10))
    assert View((48, 80), (10, 10)).scale == 1
    surface = pygame.Surface((500, 200))
    frame = np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)
    view.draw(surface, frame)
    drawn = pygame.surfarray.array3d(surface).transpose(1, 0, 2)[4:196, 90:410]
    assert (drawn == frame.repeat(4, 0).repeat(4, 1)).all()
    assert best_scale((96, 160), (1824, 900), 6) == 6 and best_scale((96, 160), (100, 100), 6) == 1


def test_the_frame_below_a_canvas_is_never_written_to() -> None:
    frame = np.zeros((*SIZE, 3), np.uint8)
    frame.flags.writeable = False
    canvas = Canvas(frame)
    canvas.begin()
    canvas.paint((5.0, 5.0), (5.0, 5.0), 1, (255, 255, 255))
    assert canvas.mask[5, 5] or canvas.mask[4, 4]
    assert not frame.any()
    assert canvas.pick((-1.0, 3.0)) is None
    assert canvas.undo() and not canvas.undo()


def test_calls_get_through_to_a_world_that_is_always_late() -> None:
    late, ends = 0.02, round(PATIENCE / 0.02)

    class Late(ToyWorld):
        def step(self, state: ToyState, action: Action) -> ToyState:
            time.sleep(late)
            if state.ticks == ends:
                raise EditError("nobody got through")
            return super().step(state, action)

    runner = Runner(Simulator(Late(), seed=1), lambda _: Controls().take(), ticks_per_second=10 / late)
    runner.start()
    ticks = [runner.call(lambda sim: sim.tick) for _ in range(3)]
    runner.stop()
    assert ticks == sorted(ticks) and runner.error is None
