"""Land that is asked for and committed, what a dig uncovers, and dreams as arrays; with a fake world model."""

from dataclasses import replace
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from reverie.model.cells import CHUNK, HEIGHT, UNKNOWN, CellMap
from reverie.model.dream import packing
from reverie.model.dream.dream import Dream
from reverie.model.dream.land import Landscape, uncover
from reverie.model.dream.paint import Card, Paint, PaintedFace
from reverie.model.dream.state import DreamState
from reverie.model.dynamics.dynamics import DynamicsStep
from reverie.model.errors import ModelError
from reverie.model.land.world_model import Plan

ROCK, GRASS = 1, 2


class Answer(NamedTuple):
    tokens: np.ndarray
    plan: Plan


class Hills:
    """Invents land that depends on the seed, the place, and how much was known when it was asked for."""

    def __init__(self):
        self.asked = []

    def propose(self, cells, low, shape, seed, plan=None, depth=8):
        self.asked.append((low, shape))
        known = cells.window(low, shape)
        x, z = np.arange(low[0], low[0] + shape[0]), np.arange(low[2], low[2] + shape[2])
        height = 8 + (x[:, None] * 7 + z[None] * 3 + seed + len(cells.chunks)) % 5
        y = np.arange(low[1], low[1] + shape[1])[None, :, None]
        tokens = np.where(y < height[:, None], ROCK, np.where(y == height[:, None], GRASS, 0)).astype(np.uint8)
        return Answer(np.where(known == UNKNOWN, tokens, known), plan or Plan())


def actors(x, z, y=20.0):
    return SimpleNamespace(eye=(x, y, z), yaw=0.0, pitch=0.0, crack=None, entities=np.zeros((0, 6)))


class Walk:
    """Walks along x and digs where it is told to."""

    def __init__(self, digs=(), pace=1.0):
        self.digs, self.pace = dict(digs), pace

    def spawn(self, place, yaw, pitch):
        return actors(place[0], place[2])

    def step(self, actor, cells, action, seed, tick):
        x, _, z = actor.eye
        writes = {self.digs[tick]: 0} if tick in self.digs else {}
        return DynamicsStep(actors(x + self.pace, z), writes, ("dig",) if writes else ())


def fresh(seed=3):
    return DreamState(seed, 0, CellMap(), Paint(), actors(0.5, 0.5), 0.5)


def walked(dream, state, ticks):
    for _ in range(ticks):
        state = dream.step(state, None)
    return state


def the_same(one, two):
    return set(one.chunks) == set(two.chunks) and all((one.chunk(c) == two.chunk(c)).all() for c in one)


def dream_of(digs=(), pace=1.0):
    return Dream(SimpleNamespace(), Walk(digs, pace), SimpleNamespace(), Hills())


def test_land_lies_about_the_player_from_the_start_and_ahead_of_a_sprint():
    dream = dream_of(pace=0.3)
    state = dream._surrounded(fresh())
    assert (state.cells.window((-32, 0, -32), (64, HEIGHT, 64)) != UNKNOWN).all() and not state.pending
    state = walked(dream_of(pace=0.0), state, 400)  # the rest comes while one stands
    assert (state.cells.window((-60, 0, -60), (120, HEIGHT, 120)) != UNKNOWN).all()
    for _ in range(5):
        state = walked(dream, state, 60)
        x = int(state.actors.eye[0])
        assert (state.cells.window((x - 45, 0, -45), (90, HEIGHT, 90)) != UNKNOWN).all()


def test_the_same_land_comes_whoever_waits():
    """Two dreams, one of which is asked for its answers late and in another order of work, agree to the byte."""
    one, two = dream_of(), dream_of()
    state_one = walked(one, one._surrounded(fresh()), 150)
    state = two._surrounded(fresh())
    for _ in range(150):
        for request in state.pending:
            two._landscape.answer(request)  # at once
        aside = two.step(state, None)  # a snapshot gone on from, and thrown away
        two.step(aside, None)
        state = two.step(state, None)
    assert the_same(state_one.cells, state.cells)
    other = walked(one, one._surrounded(fresh(seed=4)), 150)
    assert not the_same(state_one.cells, other.cells)


def test_what_is_known_is_never_changed_by_an_answer():
    dream = dream_of()
    state = dream._surrounded(fresh())
    state = walked(dream, state, 20)
    assert state.pending
    low = state.pending[0].low
    marked = (low[0] + 3, 40, low[2] + 3)
    state = dream.set_cells(state, {marked: 7})
    state = walked(dream, state, 60)
    assert state.cells.get(*marked) == 7
    assert state.cells.get(marked[0] + 1, 0, marked[2]) == ROCK


def test_a_dig_uncovers_what_was_not_dreamed():
    cells = CellMap().write((0, 0, 0), np.full((8, 10, 8), ROCK, np.uint8))
    cells = cells.set({(4, 5, 5): UNKNOWN, (4, 6, 4): UNKNOWN})
    state = replace(fresh(), cells=cells)
    opened = uncover(Hills(), replace(state, cells=cells.set({(4, 5, 4): 0})), [(4, 5, 4)])
    assert opened.cells.get(4, 5, 5) != UNKNOWN and opened.cells.get(4, 6, 4) != UNKNOWN
    assert opened.cells.get(4, 5, 4) == 0 and opened.cells.get(5, 5, 4) == ROCK


def test_a_dig_in_a_step_takes_the_paint_along():
    dream = dream_of({2: (0, 9, 1)})
    face = PaintedFace(np.zeros((16, 16, 4), np.uint8))
    state = dream._surrounded(fresh())
    state = replace(state, paint=Paint().with_faces({(0, 9, 1, 2): face, (1, 9, 1, 2): face}))
    state = walked(dream, state, 2)
    assert len(state.paint.faces) == 2 and state.events == ()
    state = dream.step(state, None)
    assert set(state.paint.faces) == {(1, 9, 1, 2)} and state.events == ("dig",) and state.cells.get(0, 9, 1) == 0


KNOWN = np.zeros(256, bool)
KNOWN[[0, ROCK, GRASS, 7, UNKNOWN]] = True


def packed():
    dream = dream_of()
    state = walked(dream, dream._surrounded(fresh()), 20)
    texels = np.random.default_rng(0).integers(0, 256, (16, 16, 4), np.uint8)
    card = Card(np.zeros((4, 6, 4), np.uint8), np.zeros(3), np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), True)
    paint = Paint().with_faces({(1, 2, 3, 4): PaintedFace(texels, 2.5)}).with_cards((card,))
    state = replace(state, paint=paint)
    meta, arrays = packing.pack_pending(state.pending, dream._landscape.answer)
    return dream, state, meta, {
        **arrays, **packing.pack_cells(state.cells), **packing.pack_paint(state.paint), **packing.pack_plan(state.plan),
    }  # fmt: skip


def test_states_come_back_from_arrays_and_go_on_alike():
    dream, state, meta, arrays = packed()
    assert state.pending
    back = replace(
        state,
        cells=packing.unpack_cells(arrays, KNOWN),
        paint=packing.unpack_paint(arrays),
        plan=packing.unpack_plan(arrays),
        pending=packing.unpack_pending(meta, arrays, KNOWN),
        cache={},
    )
    assert the_same(state.cells, back.cells)
    (key,) = back.paint.faces
    assert (back.paint.faces[key].texels == state.paint.faces[key].texels).all() and back.paint.faces[key].grain == 2.5
    assert back.paint.cards[0].distant and back.paint.cards[0].picture.shape == (4, 6, 4)
    assert the_same(walked(dream, state, 80).cells, walked(dream_of(), back, 80).cells)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda arrays: arrays.pop("cells"),
        lambda arrays: arrays.update(cells=arrays["cells"].astype(np.int16)),
        lambda arrays: arrays.update(cells=arrays["cells"] + np.uint8(90)),
        lambda arrays: arrays.update(cells_places=arrays["cells_places"] * 0),
        lambda arrays: arrays.update(cells_places=arrays["cells_places"] + 2**40),
        lambda arrays: arrays.update(paint_keys=arrays["paint_keys"] + 9),
        lambda arrays: arrays.update(paint_grain=arrays["paint_grain"] * np.nan),
        lambda arrays: arrays.update(card_frames=arrays["card_frames"] * 0),
        lambda arrays: arrays.update(card_0=np.zeros((0, 6, 4), np.uint8)),
        lambda arrays: arrays.update(pending_0=arrays["pending_0"][1:]),
        lambda arrays: arrays.pop("pending_0_columns"),
    ],
)
def test_damaged_arrays_get_one_clear_line(spoil):
    _, _, meta, arrays = packed()
    spoil(arrays)
    with pytest.raises(ModelError, match="save: "):
        packing.unpack_cells(arrays, KNOWN)
        packing.unpack_paint(arrays)
        packing.unpack_pending(meta, arrays, KNOWN)


@pytest.mark.parametrize("meta", [None, [1], [{"low": [0, 0], "shape": [1, 1, 1], "due": 1, "seed": 1}], [{}] * 99])
def test_damaged_requests_get_one_clear_line(meta):
    with pytest.raises(ModelError, match="save: "):
        packing.unpack_pending(meta, {}, KNOWN)


def test_a_strip_of_chunks_is_asked_for_at_once():
    hills = Hills()
    landscape = Landscape(hills)
    state = landscape.surround(fresh())
    state = replace(state, actors=actors(CHUNK + 0.5, 0.5))
    state = landscape.advance(state)
    assert len(state.pending) == 1 and state.pending[0].shape == (CHUNK, HEIGHT, 9 * CHUNK)
