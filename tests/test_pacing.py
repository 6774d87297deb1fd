"""The world's thread beside worlds that are slower or faster than its clock, or now the one and now the other."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from fake_world import FakeState, FakeWorld

from reverie.demos.window.controls import Controls
from reverie.demos.window.loop import Runner
from reverie.simulator import Action, Simulator

PERIOD = 0.05
PATIENCE = 10.0


class Clockwork(FakeWorld):
    """A world whose steps take as long as `seconds` says, in turn; it notes when each began, and the actions."""

    def __init__(self, *seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.began: list[float] = []
        self.actions: list[Action] = []

    def step(self, state: FakeState, action: Action) -> FakeState:
        self.began.append(time.perf_counter())
        time.sleep(self.seconds[len(self.actions) % len(self.seconds)])
        self.actions.append(action)
        return super().step(state, action)


def play(world: Clockwork, controls: Controls, ticks: int, hand: Any = None) -> Runner:
    """Runs until so many ticks are over; `hand` is called between looks at the clock."""
    runner = Runner(Simulator(world), lambda sim: controls.take(), ticks_per_second=1 / PERIOD)
    runner.start()
    end = time.perf_counter() + PATIENCE
    try:
        while runner.steps < ticks:
            assert time.perf_counter() < end, "the world stands still"
            if hand is not None:
                hand()
            time.sleep(0.005)
    finally:
        runner.stop()
    assert runner.error is None
    return runner


def test_a_fast_world_is_held_to_even_ticks() -> None:
    world = Clockwork(0.0)
    play(world, Controls(), 21)
    gaps = np.diff(world.began)
    assert np.median(gaps) == pytest.approx(PERIOD, rel=0.2)
    assert world.began[-1] - world.began[0] > 0.9 * PERIOD * (len(world.began) - 1)  # never ahead of its time


def test_a_slow_world_shows_fewer_frames_and_turns_as_far_as_the_hand() -> None:
    world, controls = Clockwork(2.5 * PERIOD), Controls()
    turned = 0

    def hand() -> None:
        nonlocal turned
        turned += 1
        controls.look(0.0, 0.25)

    play(world, controls, 8, hand)
    left = controls.take().action.camera[1]
    assert sum(action.camera[1] for action in world.actions) + left == pytest.approx(0.25 * turned)
    assert max(action.camera[1] for action in world.actions) > 0.5  # several motions in one tick
    assert min(np.diff(world.began)) > 2.4 * PERIOD  # no rush to make up for lost beats


def test_a_key_tapped_during_a_slow_step_counts_once() -> None:
    world, controls = Clockwork(3 * PERIOD), Controls()
    pressed = False

    def hand() -> None:
        nonlocal pressed
        if not pressed and len(world.began) == 2:
            controls.press("forward")
            controls.release("forward")
            pressed = True

    play(world, controls, 5, hand)
    assert [action.forward for action in world.actions].count(True) == 1
    assert world.actions[2].forward  # in the very next tick


def test_one_late_step_is_not_followed_by_a_rush() -> None:
    world = Clockwork(*[0.0] * 5, 6 * PERIOD, *[0.0] * 20)
    play(world, Controls(), 14)
    gaps = np.diff(world.began)
    late = int(gaps.argmax())
    assert gaps[late] > 5.5 * PERIOD
    after = gaps[late + 1 : late + 6]
    assert after.sum() > 3.5 * PERIOD  # one tick may follow at once, the beats missed are gone


def test_the_frame_is_on_show_before_anything_else_is_done_with_it() -> None:
    world, order = Clockwork(0.0), []
    runner = Runner(
        Simulator(world),
        lambda sim: Controls().take(),
        on_step=lambda frame, action, sim: order.append(("rest", runner.shown.tick, sim.tick)),
        on_frame=lambda: order.append(("shown", runner.shown.tick, runner.shown.tick)),
    )
    runner.step_once()
    assert order == [("shown", 1, 1), ("rest", 1, 1)]
