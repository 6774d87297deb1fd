"""A session's past in bounded memory: recent states, sparser ones further back, and the actions in between.

Any tick of the range is reached by taking the nearest kept state before it and replaying the actions since,
which is exact because worlds are deterministic. What no action explains (an edit) is kept as a state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic

from reverie.model.errors import ReverieError
from reverie.simulator.action import Action
from reverie.simulator.world import State


@dataclass(frozen=True, slots=True)
class HistoryConfig:
    """How much is kept. A dream's state is about 2 to 3 MB, so the defaults stay under about 150 MB."""

    dense: int = 20
    """So many of the newest states are kept as they are: going back within them costs nothing."""
    every: int = 40
    """Ticks between the states kept further back, so also the most ticks ever replayed."""
    span: int = 1200
    """Ticks that can be gone back at least, if there are no more edits than `keyframes` allows (60 s)."""
    keyframes: int = 40
    """Most states kept further back; the oldest give way to new ones."""

    def __post_init__(self) -> None:
        if min(self.dense, self.every, self.keyframes) < 1 or self.span < 0:
            raise ReverieError(f"history: {self} keeps nothing to go back to")


@dataclass
class History(Generic[State]):
    """The ticks that can be gone back to. States and actions are values, so copies of a history share
    them.
    """

    config: HistoryConfig = field(default_factory=HistoryConfig)
    _newest: int = 0
    _recent: dict[int, State] = field(default_factory=dict)
    _keyframes: dict[int, State] = field(default_factory=dict)
    _actions: dict[int, Action] = field(default_factory=dict)

    @property
    def ticks(self) -> range:
        """Every tick that `reach` can return to, oldest first; the last is the present one."""
        return range(min(self._keyframes), self._newest + 1)

    @property
    def kept(self) -> int:
        """How many states are held."""
        return len(self._recent.keys() | self._keyframes.keys())

    def begin(self, tick: int, state: State) -> None:
        """Forgets everything; `state` at `tick` is all there is."""
        self._newest = tick
        self._recent, self._keyframes, self._actions = {tick: state}, {tick: state}, {}

    def stepped(self, action: Action, state: State) -> None:
        """`action` led from the present to `state`, one tick on."""
        self._actions[self._newest] = action
        self._newest += 1
        self._recent[self._newest] = state
        if self._newest - max(self._keyframes) >= self.config.every:
            self._keyframes[self._newest] = state
        self._trim()

    def changed(self, state: State) -> None:
        """The present was changed to `state` by something that is not an action."""
        self._recent[self._newest] = self._keyframes[self._newest] = state
        self._trim()

    def reach(self, tick: int, step: Callable[[State, Action], State]) -> State:
        """The state at `tick` (one of `ticks`), as it was when that tick was left. Forgets what came
        later.
        """
        if tick in self._recent:
            state = self._recent[tick]
        else:
            base = max(kept for kept in self._keyframes if kept <= tick)
            state = self._keyframes[base]
            for replayed in range(base, tick):
                state = step(state, self._actions[replayed])
        self._newest = tick
        for entries in (self._recent, self._keyframes):
            for later in [kept for kept in entries if kept > tick]:
                del entries[later]
        for later in [acted for acted in self._actions if acted >= tick]:
            del self._actions[later]
        self._recent[tick] = state
        return state

    def copy(self) -> History[State]:
        """An independent history of the same past."""
        return History(self.config, self._newest, dict(self._recent), dict(self._keyframes), dict(self._actions))

    def _trim(self) -> None:
        """Drops what is beyond the limits. Dictionaries keep the order of insertion, oldest first."""
        while len(self._recent) > self.config.dense:
            del self._recent[next(iter(self._recent))]
        order = sorted(self._keyframes)
        reach = self._newest - self.config.span
        while len(order) > self.config.keyframes or (len(order) > 1 and order[1] <= reach):
            del self._keyframes[order.pop(0)]
        for acted in list(self._actions):
            if acted >= order[0]:
                break
            del self._actions[acted]
