"""Land ahead of the player: asked for at a tick, part of the map at a fixed later tick, whoever computes it when.

What a background thread has ready is a cache of answers and no part of the state, so that a slow machine, which waits
for an answer that is due, dreams the same land as a fast one.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from reverie.model.cells import CHUNK, HEIGHT, UNKNOWN, Cell, CellMap, Column
from reverie.model.cores import let_others_first
from reverie.model.dream.state import DreamState, Request

RADIUS = 4
"""Chunks about the player's that are wanted."""
INNER = 4
"""Chunks along an edge of the square about the player that is there when a dream starts; those farther off come while
it goes on."""
LEAD = 40
"""Ticks from asking to committing."""
MOST_CHUNKS = 9
"""Chunks asked for at once while walking."""


class WorldModel(Protocol):
    """What invents land; see `model.land.world_model`."""

    facts: Any
    """See `model.land.columns.LandFacts`."""

    def plan_heights(self, heights: Mapping[tuple[int, int], int]) -> Any:
        """A plan in which the ground of columns (x, z) is as high as is said."""

    def propose(
        self, cells: CellMap, low: Cell, shape: Cell, seed: int, plan: Any = None, depth: int | None = 8
    ) -> Any:
        """`tokens` uint8 [shape] and `plan`; nothing more than `depth` below the ground (None: all)."""


class Landscape:
    """Asks for land, and commits it when it is due."""

    def __init__(self, world_model: WorldModel, radius: int = RADIUS, lead: int = LEAD, inner: int = INNER) -> None:
        self._model, self._radius, self._lead, self._inner = world_model, radius, lead, inner
        self._answers: weakref.WeakKeyDictionary[Request, Future[Any]] = weakref.WeakKeyDictionary()
        self._pool: ThreadPoolExecutor | None = None

    def surround(self, state: DreamState) -> DreamState:
        """The state with the land close to the player dreamed at once: for starts."""
        x, _, z = state.actors.eye
        first = [math.floor(value / CHUNK - self._inner / 2 + 0.5) for value in (x, z)]
        near = [(first[0] + i, first[1] + k) for i in range(self._inner) for k in range(self._inner)]
        missing = [chunk for chunk in near if chunk not in state.complete]
        if not missing:
            return state
        low = min(i for i, _ in missing), min(k for _, k in missing)
        shape = max(i for i, _ in missing) - low[0] + 1, max(k for _, k in missing) - low[1] + 1
        return self._commit(state, self._request(state, low, shape, state.tick))

    def footing(self, state: DreamState, reach: int = 24) -> Cell | None:
        """The cell above open ground that is nearest to the player along x and z, within `reach` metres, or None.

        Ground is what the world model's facts call so.
        """
        x, _, z = (math.floor(value) for value in state.actors.eye)
        low = (x - reach, 0, z - reach)
        cells = state.cells.window(low, (2 * reach + 1, HEIGHT, 2 * reach + 1))
        facts = self._model.facts
        something = cells != facts.air
        top = HEIGHT - 1 - something[:, ::-1].argmax(1)
        highest = np.take_along_axis(cells, top[:, None], 1)[:, 0]
        fit = something.any(1) & facts.table(facts.ground)[highest] & facts.table(facts.solid)[highest]
        fit &= top < HEIGHT - 4
        if not fit.any():
            return None
        away = np.abs(np.arange(-reach, reach + 1))
        far = np.where(fit, away[:, None] ** 2 + away[None] ** 2, np.inf)
        i, k = np.unravel_index(int(far.argmin()), far.shape)
        return int(low[0] + i), int(top[i, k]) + 1, int(low[2] + k)

    def advance(self, state: DreamState) -> DreamState:
        """The state with what is due at its tick committed, and what has come into reach asked for."""
        due = [request for request in state.pending if request.due <= state.tick]
        if due:
            pending = tuple(request for request in state.pending if request.due > state.tick)
            state = replace(state, pending=pending, cache={})
            for request in due:
                state = self._commit(state, request)
        if not state.pending:
            wanted = self._next(state)
            if wanted is not None:
                request = self._request(state, *wanted, state.tick + self._lead)
                self._start(request)
                state = replace(state, pending=(request,))
        return state

    def _middle(self, state: DreamState) -> Column:
        x, _, z = state.actors.eye
        return math.floor(x / CHUNK), math.floor(z / CHUNK)

    def _next(self, state: DreamState) -> tuple[Column, Column] | None:
        """(lowest chunk, chunks along x and z) of the strip of missing chunks that is nearest."""
        mx, mz = self._middle(state)
        r = self._radius
        missing = [
            (i, k) for i in range(mx - r, mx + r + 1) for k in range(mz - r, mz + r + 1) if (i, k) not in state.complete
        ]
        if not missing:
            return None
        x, _, z = state.actors.eye
        near = min(
            missing, key=lambda c: ((c[0] + 0.5) * CHUNK - x) ** 2 + ((c[1] + 0.5) * CHUNK - z) ** 2 + 1e-6 * c[0]
        )
        best = (near, (1, 1))
        lacking = set(missing)
        for axis in range(2):  # as long a strip through it as is missing
            first, last = near, near
            while True:
                step = (first[0] - 1, first[1]) if axis == 0 else (first[0], first[1] - 1)
                if step not in lacking:
                    break
                first = step
            while True:
                step = (last[0] + 1, last[1]) if axis == 0 else (last[0], last[1] + 1)
                if step not in lacking:
                    break
                last = step
            shape = (last[0] - first[0] + 1, last[1] - first[1] + 1)
            if shape[0] * shape[1] > best[1][0] * best[1][1] and shape[0] * shape[1] <= MOST_CHUNKS:
                best = (first, shape)
        return best

    def _request(self, state: DreamState, low: Column, shape: Column, due: int) -> Request:
        cells_low = (low[0] * CHUNK, 0, low[1] * CHUNK)
        cells_shape = (shape[0] * CHUNK, HEIGHT, shape[1] * CHUNK)
        return Request(cells_low, cells_shape, due, state.seed, state.cells, state.plan)

    def answer(self, request: Request) -> Any:
        """`tokens` and `plan` of a request, waited for if need be."""
        return request.answer if request.answer is not None else self._start(request).result()

    def _start(self, request: Request) -> Future[Any]:
        future = self._answers.get(request)
        if future is None:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="land", initializer=let_others_first)
            model = self._model
            ask = (request.cells, request.low, request.shape, request.seed, request.plan)
            future = self._pool.submit(lambda: model.propose(*ask))
            self._answers[request] = future
        return future

    def _commit(self, state: DreamState, request: Request) -> DreamState:
        """The map with the answer in all cells that are still unknown."""
        answer = self.answer(request)
        there = state.cells.window(request.low, request.shape)
        where = (there == UNKNOWN) & (answer.tokens != UNKNOWN)
        cells = state.cells.write(request.low, answer.tokens, where)
        fresh = frozenset(
            (request.low[0] // CHUNK + i, request.low[2] // CHUNK + k)
            for i in range(request.shape[0] // CHUNK)
            for k in range(request.shape[2] // CHUNK)
        )
        return replace(state, cells=cells, plan=answer.plan, complete=state.complete | fresh, cache={})


def uncover(world_model: WorldModel, state: DreamState, opened: list[Cell]) -> DreamState:
    """The state with the unknown neighbours of opened cells dreamed, so that a dig shows what was inside."""
    beside = {
        (x + dx, y + dy, z + dz)
        for x, y, z in opened
        for dx, dy, dz in ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))
        if 0 <= y + dy < HEIGHT and state.cells.get(x + dx, y + dy, z + dz) == UNKNOWN
    }
    if not beside:
        return state
    low = tuple(min(cell[axis] for cell in beside) for axis in range(3))
    high = tuple(max(cell[axis] for cell in beside) for axis in range(3))
    shape = (high[0] - low[0] + 1, high[1] - low[1] + 1, high[2] - low[2] + 1)
    answer = world_model.propose(state.cells, (low[0], low[1], low[2]), shape, state.seed, state.plan, None)
    where = np.zeros(shape, bool)
    for cell in beside:
        where[tuple(cell[axis] - low[axis] for axis in range(3))] = True
    where &= answer.tokens != UNKNOWN
    return replace(state, cells=state.cells.write((low[0], low[1], low[2]), answer.tokens, where), cache={})
