"""The map of cells: windows, writing, and being a value."""

import numpy as np
import pytest

from reverie.model.cells import HEIGHT, UNKNOWN, CellMap, Vocabulary


def random_box(rng, shape):
    return rng.integers(0, 9, shape, dtype=np.uint8)


def test_a_box_comes_back_across_chunks_and_below_zero():
    rng = np.random.default_rng(0)
    box = random_box(rng, (37, 20, 41))
    cells = CellMap().write((-20, 5, -33), box)
    assert (cells.window((-20, 5, -33), box.shape) == box).all()
    wide = cells.window((-22, 3, -35), (41, 24, 45))
    assert (wide[2:-2, 2:-2, 2:-2] == box).all()
    wide[2:-2, 2:-2, 2:-2] = UNKNOWN
    assert (wide == UNKNOWN).all()
    assert cells.get(-20, 5, -33) == box[0, 0, 0]
    assert cells.get(-20, -1, -33) == cells.get(-20, HEIGHT, -33) == UNKNOWN


def test_what_lies_outside_of_the_heights_is_left_out():
    cells = CellMap().write((0, -4, 0), np.full((2, HEIGHT + 9, 2), 3, np.uint8))
    assert (cells.window((0, 0, 0), (2, HEIGHT, 2)) == 3).all()
    assert (cells.window((0, -3, 0), (2, 3, 2)) == UNKNOWN).all()
    assert not CellMap().write((0, HEIGHT, 0), np.ones((1, 4, 1), np.uint8)).chunks


def test_maps_are_values_and_share_their_chunks():
    first = CellMap().write((0, 0, 0), np.ones((40, 4, 40), np.uint8))
    where = np.zeros((40, 4, 40), bool)
    where[3, 2, 1] = True
    second = first.write((0, 0, 0), np.full((40, 4, 40), 7, np.uint8), where)
    third = first.set({(20, 1, 20): 5})
    assert first.get(3, 2, 1) == 1 and second.get(3, 2, 1) == 7 and second.get(3, 2, 2) == 1
    assert third.get(20, 1, 20) == 5 and first.get(20, 1, 20) == 1
    assert second.chunk((1, 1)) is first.chunk((1, 1)) and second.chunk((0, 0)) is not first.chunk((0, 0))
    with pytest.raises(ValueError):
        first.chunk((0, 0))[0, 0, 0] = 2
    with pytest.raises(ValueError, match="height"):
        first.set({(0, HEIGHT, 0): 1})


def test_a_vocabulary_goes_through_json_and_refuses_nonsense():
    words = Vocabulary(("air", "rock"), (False, True), (False, False), (False, False))
    assert Vocabulary.from_dict(words.to_dict()) == words and words.token("rock") == 1
    assert words.table(words.solid, unknown=True)[[0, 1, 2, UNKNOWN]].tolist() == [False, True, False, True]
    with pytest.raises(KeyError):
        words.token("sky")
    with pytest.raises(ValueError):
        Vocabulary(("air", "air"), (False,) * 2, (False,) * 2, (False,) * 2)
    with pytest.raises(ValueError):
        Vocabulary(("air",), (False, True), (False,), (False,))
