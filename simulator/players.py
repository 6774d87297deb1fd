"""Scripted players: they move as people do, from their senses alone, and so can play a dream as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from reverie.model.errors import ReverieError
from reverie.simulator import behaviours as do
from reverie.simulator.action import Action
from reverie.simulator.mind import LOGS, Mind
from reverie.simulator.world import Senses

BEHAVIOUR_SECONDS = (5.0, 20.0)
"""How long the mixed player stays the same person."""
MIXTURE: dict[str, float] = {"explorer": 0.4, "builder": 0.34, "spinner": 0.12, "idle": 0.09, "random": 0.05}
ODD_ACTIONS = (
    (0.14, do.look_around), (0.12, do.look_away_and_return), (0.05, do.full_turn), (0.1, do.dig),
    (0.12, do.place_block), (0.08, do.select_slot), (0.14, do.sidle),
)  # fmt: skip
"""What an explorer does between two walks, with its probability; most often it just walks on."""
WORKS = (
    (0.2, do.dig), (0.17, do.build_wall), (0.15, do.pillar_and_view), (0.14, do.dig_down),
    (0.06, do.tunnel), (0.24, do.place_block), (0.04, do.sidle),
)  # fmt: skip
"""What a builder does on even ground."""
ROUGH_WORKS = ((0.3, do.dig), (0.1, do.dig_down), (0.15, do.pillar_and_view), (0.15, do.place_block))
"""What it does elsewhere, if it does not walk on."""
TURNS = ((0.4, do.spin), (0.25, do.sweep_look), (0.13, do.sweep_pitch), (0.1, do.full_turn), (0.1, do.sidle))

STUNTS = (
    (0.28, do.strafe), (0.2, do.hop), (0.24, do.dash), (0.09, do.creep), (0.11, do.look_around), (0.08, do.spin),
)  # fmt: skip
"""What an acrobat does, or it walks on."""
FIDGETS = (
    (0.3, do.swing), (0.22, do.try_slots), (0.1, do.place_block), (0.08, do.dig), (0.1, do.look_around),
    (0.06, do.look_away_and_return),
)  # fmt: skip
"""What a fidget does, or it stands still."""


class Player(Protocol):
    """Someone who plays."""

    def act(self, senses: Senses) -> Action:
        """The action of this tick. Senses that are None are unknown."""


class ScriptedPlayer:
    """Runs a script: an endless generator of actions that reads its `Mind`."""

    def __init__(self, script: Callable[[Mind], Iterator[Action]], seed: int) -> None:
        self._mind = Mind(seed)
        self._script = script(self._mind)

    def act(self, senses: Senses) -> Action:
        """The action of this tick; call once a tick."""
        self._mind.perceive(senses)
        return next(self._script)


def idle(mind: Mind) -> Iterator[Action]:
    """Stands and looks; hardly a key is touched."""
    while True:
        yield from do.stand(mind, mind.ticks(10.0, 20.0))


def random(mind: Mind) -> Iterator[Action]:
    """Random held keys, as a baseline."""
    while True:
        yield from do.mash(mind, mind.ticks(5.0, 10.0))


def explorer(mind: Mind) -> Iterator[Action]:
    """Walks through the land and looks at it."""
    while True:
        if mind.chance(0.4):
            yield from _walk_to_log(mind, mind.ticks(3.0, 12.0))
        else:
            yield from do.walk(mind, mind.ticks(3.0, 12.0))
        if mind.target not in LOGS:
            yield from do.turn_from_wall(mind)
        if mind.senses.in_water:
            continue
        if mind.target in LOGS:
            yield from do.chop(mind)
        else:
            yield from _one_of(mind, ODD_ACTIONS)


def builder(mind: Mind) -> Iterator[Action]:
    """Digs, cuts trees, builds pillars, bridges and walls, and checks that they are still there."""
    while True:
        yield from _walk_to_log(mind, mind.ticks(0.5, 3.0))
        if mind.senses.in_water:
            yield from do.walk(mind, mind.ticks(2.0, 4.0))
            continue
        if mind.target in LOGS:
            yield from do.chop(mind)
        elif mind.senses.blocked and mind.chance(0.6):
            yield from do.tunnel(mind)
        else:
            yield from do.turn_from_wall(mind)
            yield from _one_of(mind, WORKS if mind.level else ROUGH_WORKS)
        if mind.chance(0.3):
            yield from do.look_away_and_return(mind)


def spinner(mind: Mind) -> Iterator[Action]:
    """Turns: slow and fast circles, sweeps, looks up and down."""
    while True:
        yield from _one_of(mind, TURNS)
        if mind.chance(0.3):
            yield from do.walk(mind, mind.ticks(0.5, 2.0))
        elif mind.chance(0.4):
            yield from do.rest(mind, mind.ticks(0.2, 1.5))


def acrobat(mind: Mind) -> Iterator[Action]:
    """Strafes, jumps, sprints and sneaks, runs into walls, off edges and into water: what careful walkers seldom do."""
    while True:
        if mind.chance(0.12):
            yield from do.walk(mind, mind.ticks(1.0, 3.0))
            yield from do.turn_from_wall(mind)
        else:
            yield from _one_of(mind, STUNTS)
        if mind.senses.blocked and mind.chance(0.5):
            yield from do.turn_from_wall(mind)
        elif mind.chance(0.2):
            yield from do.rest(mind, mind.ticks(0.1, 0.8))


def fidget(mind: Mind) -> Iterator[Action]:
    """Tries its hands where it stands, and walks on now and then: what someone does who has just sat down to play."""
    while True:
        if mind.chance(0.25):
            yield from do.walk(mind, mind.ticks(0.5, 3.0))
        elif mind.chance(0.2):
            yield from do.rest(mind, mind.ticks(0.3, 2.0))
        else:
            yield from _one_of(mind, FIDGETS)


def stubborn(mind: Mind) -> Iterator[Action]:
    """Walks straight on and leans on whatever is in the way, before it turns or jumps: what careful walkers avoid."""
    while True:
        yield from do.lean(mind)
        if mind.chance(0.3):
            yield from do.rest(mind, mind.ticks(0.1, 0.8))


def mixed(mind: Mind) -> Iterator[Action]:
    """One after the other of the others, 5 to 20 s each: what models are trained on."""
    names, weights = list(MIXTURE), list(MIXTURE.values())
    while True:
        yield from do.turn_from_wall(mind)
        script = SCRIPTS[str(mind.rng.choice(names, p=weights))](mind)
        for _ in range(mind.ticks(*BEHAVIOUR_SECONDS)):
            yield next(script)
        mind.gaze.clear()


def _walk_to_log(mind: Mind, ticks: int) -> Iterator[Action]:
    """Walks until the crosshair meets a tree trunk within reach, and keeps it there."""
    for action in do.walk(mind, ticks):
        yield action
        if mind.target in LOGS:
            mind.gaze.clear()
            return


def _one_of(mind: Mind, choices: tuple[tuple[float, Callable[[Mind], Iterator[Action]]], ...]) -> Iterator[Action]:
    """One of the behaviours, or none with the probability that is left."""
    draw = mind.rng.random()
    for probability, behaviour in choices:
        if draw < probability:
            yield from behaviour(mind)
            return
        draw -= probability


SCRIPTS: dict[str, Callable[[Mind], Iterator[Action]]] = {
    "idle": idle,
    "random": random,
    "explorer": explorer,
    "builder": builder,
    "spinner": spinner,
    "acrobat": acrobat,
    "fidget": fidget,
    "stubborn": stubborn,
    "mixed": mixed,
}
PLAYERS: tuple[str, ...] = tuple(SCRIPTS)


def make_player(name: str, seed: int) -> Player:
    """A scripted player; the same name and seed play the same. Raises ReverieError for an unknown name."""
    if name not in SCRIPTS:
        raise ReverieError(f"there is no player called {name!r}; choose one of {', '.join(PLAYERS)}")
    return ScriptedPlayer(SCRIPTS[name], seed)
