"""The world's thread beside worlds that are slower or faster than its clock, or now the one and now the other.

The clock is counted: steps take what they say, on any machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from clocks import CountedTime
from fake_world import FakeState, FakeWorld

from reverie.demos.window import controls as hands
from reverie.demos.window import loop
from reverie.demos.window.controls import Controls
from reverie.demos.window.loop import Beat, Runner
from reverie.simulator import Action, Simulator

PERIOD = 0.05


class Over(Exception):
    """The world has come to its end, which ends its thread."""


class Clockwork(FakeWorld):
    """A world whose steps take as long as `seconds` says, in turn, up to `ticks` of them.

    It notes when each began, and the actions. `hand(number)` is called in the middle of each step.
    """

    def __init__(self, clock: CountedTime, ticks: int, *seconds: float, hand: Callable[[int], None] | None = None):
        super().__init__()
        self.clock, self.ticks, self.seconds, self.hand = clock, ticks, seconds, hand
        self.began: list[float] = []
        self.actions: list[Action] = []

    def step(self, state: FakeState, action: Action) -> FakeState:
        number = len(self.actions)
        if number == self.ticks:
            raise Over
        self.began.append(self.clock.perf_counter())
        if self.hand is not None:
            self.hand(number)
        self.clock.sleep(self.seconds[number % len(self.seconds)])
        self.actions.append(action)
        return super().step(state, action)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[CountedTime]:
    clock = CountedTime()
    for module in (loop, hands):
        monkeypatch.setattr(module, "time", clock)
    yield clock


def play(world: Clockwork, controls: Controls) -> Runner:
    """Runs the world to its end."""
    runner = Runner(Simulator(world), lambda sim: controls.take(), ticks_per_second=1 / PERIOD)
    runner.start()
    while runner.error is None:
        time.sleep(0.001)
    runner.stop()
    assert isinstance(runner.error, Over)
    return runner


def test_a_fast_world_is_held_to_even_ticks(clock: CountedTime) -> None:
    world = Clockwork(clock, 41, 0.01)
    runner = play(world, Controls())
    assert np.diff(world.began) == pytest.approx(PERIOD)
    assert runner.frames_per_second == pytest.approx(1 / PERIOD)
    assert runner.steps == 41 and list(runner.step_seconds) == pytest.approx([0.01] * 41)


def test_a_slow_world_shows_fewer_frames_and_turns_as_far_as_the_hand(clock: CountedTime) -> None:
    controls = Controls()

    def hand(number: int) -> None:
        for _ in range(10):
            controls.look(0.0, 0.25)

    world = Clockwork(clock, 8, 2.5 * PERIOD, hand=hand)
    play(world, controls)
    turns = [action.camera[1] for action in world.actions]
    assert turns == pytest.approx([0.0] + [2.5] * 7)  # all motions of one step in the next, none lost, none twice
    assert np.diff(world.began) == pytest.approx(2.5 * PERIOD)  # as fast as the world goes, and no catching up


def test_a_key_tapped_during_a_slow_step_counts_once(clock: CountedTime) -> None:
    controls = Controls()

    def hand(number: int) -> None:
        if number == 1:
            controls.press("forward")
            controls.release("forward")

    world = Clockwork(clock, 5, 3 * PERIOD, hand=hand)
    play(world, controls)
    assert [action.forward for action in world.actions] == [False, False, True, False, False]


def test_one_late_step_is_not_followed_by_a_rush(clock: CountedTime) -> None:
    world = Clockwork(clock, 14, *[0.0] * 5, 6 * PERIOD, *[0.0] * 20)
    play(world, Controls())
    gaps = np.diff(world.began) / PERIOD
    assert gaps == pytest.approx([1] * 5 + [6] + [1] * 7)  # the beats missed are gone


def test_a_clock_that_is_late_goes_on_from_now(clock: CountedTime) -> None:
    beat = Beat(0.02)
    beat.wait()
    clock.sleep(0.1)
    late = clock.now
    for count in range(4):
        beat.wait()
        assert clock.now - late == pytest.approx(0.02 * count)


def test_a_held_world_sleeps_from_beat_to_beat(clock: CountedTime) -> None:
    world = Clockwork(clock, 5, 0.0)
    runner = Runner(Simulator(world), lambda sim: Controls().take(), ticks_per_second=1 / PERIOD)
    runner.pause()
    runner.start()
    while len(clock.sleeps) < 20:
        time.sleep(0.001)
    runner.stop()
    assert clock.sleeps[:20] == pytest.approx([PERIOD] * 20)  # a pause that looked more often would spin
    assert runner.steps == 0 and runner.frames_per_second == 0.0


def test_the_frame_is_on_show_before_anything_else_is_done_with_it(clock: CountedTime) -> None:
    order: list[tuple[str, int, int]] = []
    runner = Runner(
        Simulator(Clockwork(clock, 1, 0.0)),
        lambda sim: Controls().take(),
        on_step=lambda frame, action, sim: order.append(("rest", runner.shown.tick, sim.tick)),
        on_frame=lambda: order.append(("shown", runner.shown.tick, runner.shown.tick)),
    )
    runner.step_once()
    assert order == [("shown", 1, 1), ("rest", 1, 1)]
