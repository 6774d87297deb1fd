"""The frame with hands at rest: what a dream comes back to when a swing is over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_shard import write_rows

from reverie.model.actions import ACTION_DIM
from reverie.model.config import preset
from reverie.model.recall import REST_TICKS, STEADY_TICKS, rested
from reverie.model.torch_backend import TorchBackend
from reverie.model.training.data import Batch, KeyViews, ShardSet, resting, ticks_of
from reverie.model.training.rollout import conditions, dream
from reverie.model.world_model import WorldModel
from reverie.simulator import Action
from reverie.simulator.clips import Clip
from reverie.simulator.dream import DreamState, DreamWorld
from reverie.simulator.errors import SaveError

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = preset("test")
HIT, PLACE, CHOOSE, WALK = Action(attack=True), Action(use=True), Action(hotbar=3), Action(forward=True)
ROWS = 60


@pytest.fixture
def world() -> DreamWorld:
    """Of a model none of whose parts is silent, with a hand in its overlay."""
    return DreamWorld(TorchBackend(model()), "test")


def model() -> WorldModel:
    torch.manual_seed(0)
    one = WorldModel(CONFIG).eval().requires_grad_(False)
    for weight in one.parameters():
        weight.add_(torch.randn_like(weight) * 0.05)
    one.overlay[16:, 24:] = 1.0
    return one


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*CONFIG.size, 3), np.uint8)


def script() -> list[Action]:
    """A swing in either episode of the shard, a second one before the first has come to rest, and another item."""
    actions = [WALK] * ROWS
    actions[4], actions[7], actions[20], actions[23], actions[45] = HIT, PLACE, HIT, CHOOSE, PLACE
    return actions


def shards(folder) -> ShardSet:
    """Frames that tell their rows; the second episode begins with row 40."""
    write_rows(folder / "0", CONFIG.size, (action.to_vector() for action in script()), 40)
    return ShardSet([folder], CONFIG)


def test_hands_rest_some_ticks_after_they_did_something() -> None:
    ticks = np.array([STEADY_TICKS, STEADY_TICKS, 3, 3], np.int64)
    vectors = np.stack([action.to_vector() for action in (WALK, HIT, WALK, CHOOSE)])
    later = rested(ticks, vectors)
    assert later.tolist() == [STEADY_TICKS, 0, 4, STEADY_TICKS] and later.dtype == ticks.dtype
    assert rested(ticks, np.zeros((4, ACTION_DIM), np.float32)).max() == STEADY_TICKS, "it does not count for ever"


def test_a_dream_keeps_the_newest_frame_with_hands_at_rest(world: DreamWorld) -> None:
    first = picture()
    state = world.start(Clip(first[None], [WALK]), 0)
    first[:] = 0
    assert np.array_equal(state.rest[0], picture()), "a state is a value: it shares nothing with what it came from"
    for _ in range(2):
        state = world.step(state, WALK)
        assert np.array_equal(state.rest[0], world.frame(state))
    before = world.frame(state)
    state = world.step(state, HIT)
    for _ in range(REST_TICKS - 1):
        state = world.step(state, WALK)
        assert np.array_equal(state.rest[0], before) and not np.array_equal(world.frame(state), before)
    assert np.array_equal((after := world.step(state, WALK)).rest[0], world.frame(after))
    chosen = world.step(state, CHOOSE)
    assert np.array_equal(chosen.rest[0], world.frame(chosen)), "no older frame shows another thing in hand"


def test_a_dream_comes_back_to_it_on_the_screen(world: DreamWorld) -> None:
    state = world.step(world.start(picture(), 0), HIT)
    other = replace(state, rest=picture(1)[None])
    assert state.rested[0] == 0
    one, two = (world.frame(world.step(item, WALK)).astype(int) for item in (state, other))
    changed = np.abs(one - two).max(axis=-1) > 0
    assert changed[16:, 24:].any()


def test_while_hands_rest_the_screen_comes_back_from_the_earlier_view(world: DreamWorld) -> None:
    first = world.start(picture(), 0)
    seen: list[np.ndarray] = []
    run = world._backend.run
    world._backend.run = lambda inputs: (seen.append(inputs["rest"]), run(inputs))[1]
    state = world.step(first, WALK)
    world.step(world.step(state, HIT), WALK)
    assert np.array_equal(seen[1][0], picture()) and not np.array_equal(seen[1], state.rest), "at rest: the first view"
    assert np.array_equal(seen[2], state.rest), "in a swing: the frame before it"
    world.step(replace(state, kept_ages=np.full_like(state.kept_ages, -1.0)), WALK)
    assert np.array_equal(seen[3], state.rest), "no earlier view: the frame before"


def test_an_edit_is_part_of_what_hands_come_back_to(world: DreamWorld) -> None:
    state = world.step(world.start(picture(), 0), HIT)
    mask = np.zeros(CONFIG.size, bool)
    mask[20:28, 30:40] = True
    image = np.where(mask[..., None], 255 - world.frame(state), world.frame(state)).astype(np.uint8)
    edited = world.edit(state, image, mask, 0.0)
    assert np.array_equal(edited.rest[0][mask], image[mask])
    assert np.array_equal(edited.rest[0][~mask], state.rest[0][~mask])


def test_a_save_holds_it(world: DreamWorld) -> None:
    state = world.step(world.start(picture(), 0), HIT)
    meta, arrays = world.pack(state)
    again = world.unpack(meta, arrays)
    assert np.array_equal(world.frame(world.step(again, WALK)), world.frame(world.step(state, WALK)))
    for name, value in (("rest", state.rest[:, :-1]), ("rested", np.array([-1]))):
        with pytest.raises(SaveError):
            world.unpack(meta, {**arrays, name: value})


def test_training_and_play_mean_the_same_by_it(tmp_path, world: DreamWorld) -> None:
    found = shards(tmp_path)
    (shard,) = found.shards.values()
    known = KeyViews(shard, CONFIG.keys).resting
    frames = np.repeat(np.arange(ROWS, dtype=np.uint8), np.prod(CONFIG.size) * 3).reshape(ROWS, *CONFIG.size, 3)
    for first, last in ((0, 40), (40, ROWS)):
        for row in (first, first + 3, first + 5, first + 8, last - 1):
            clip = Clip(frames[first : row + 1], script()[first : row + 1])
            state: DreamState = world.start(clip, 0)
            if row - first <= CONFIG.memory + 1:  # a recording without places is only looked at that far back
                assert int(state.rest[0, 0, 0, 0]) == known[row]
    assert known[[4, 5, 12, 14, 15, 16, 21, 23, 24, 39]].tolist() == [4, 4, 4, 4, 4, 16, 20, 20, 24, 39]
    assert known[[40, 45, 46, 53, 54]].tolist() == [40, 45, 45, 45, 54]


@pytest.mark.slow
def test_windows_hold_it_and_dreams_put_their_own_in_its_place(tmp_path) -> None:
    windows = shards(tmp_path).batch(np.random.default_rng(0), 64, 12, 0.2)
    last = windows.past[:, -13:-1, 0, 0, 0].long()  # the row of the frame before each target
    shown = resting(windows.rest, windows.past[:, -12:], windows.rest_tick)[..., 0, 0, 0].long()
    assert (shown <= last).all() and (shown < last).any() and (windows.rest_tick >= 0).any()
    swings = windows.action[..., -4:-2].amax(-1) > 0  # attack and use are right after swapHands
    first = swings & (shown == last)
    later = torch.nn.functional.pad(first, (1, 0))[:, :-1]
    assert later.any() and (shown[later] == last[later] - 1).all(), "the frame before a swing stays for the tick after"
    assert torch.equal(windows.at_rest, shown == last)
    context = conditions(windows, model(), torch.zeros(64), torch.Generator()).context
    back = windows.at_rest & (windows.way[..., 0] > 0)
    assert back.any() and not back.all()
    assert torch.equal(context.rest[back], context.key[back])
    assert torch.equal(context.rest[~back][:, 0, 0, 0], shown[~back] / 127.5 - 1)

    half = ticks_of(windows, 6, 6)
    whole, part = (conditions(item, model(), torch.zeros(64), torch.Generator()).context for item in (windows, half))
    assert torch.equal(whole.rest[:, 6:], part.rest)

    one = Batch(*(item[:8] for item in windows))
    seen: list[torch.Tensor] = []
    network = model()
    forward = network.forward
    network.forward = lambda *given, **named: (seen.append(given[3].rest[:, 0]), forward(*given, **named))[1]
    dreamed = dream(network, one, 1, torch.Generator().manual_seed(0)).frames
    own = resting(one.rest, dreamed, one.rest_tick)
    expected = torch.where(back[:8, :, None, None, None], one.key, own).movedim(-1, -3).float() / 127.5 - 1
    assert torch.equal(torch.stack(seen, 1), expected)
