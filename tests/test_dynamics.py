"""Dynamics: the step at play, the walks it is learned from, its facts, and training."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from reverie.model.cells import UNKNOWN, CellMap
from reverie.model.dynamics import features as f
from reverie.model.dynamics import layout as at
from reverie.model.dynamics.chance import chance, choose
from reverie.model.dynamics.config import DynamicsConfig, Facts
from reverie.model.dynamics.dynamics import Dynamics, save_dynamics
from reverie.model.dynamics.runtime import ArrayNetworks
from reverie.model.dynamics.state import Actors, count_body, count_break, count_herd, count_use, make_herd
from reverie.model.dynamics.steps import in_the_way
from reverie.model.errors import ReverieError
from reverie.model.training.walk_data import find_facts, read_walks, walk_files, walk_path
from reverie.simulator.action import IDLE, Action
from reverie.simulator.evaluation import dynamics as judged
from reverie.simulator.evaluation.cells_world import CellsWorld
from reverie.simulator.evaluation.evaluate import Amounts, evaluate
from reverie.simulator.evaluation.parts import is_inside
from reverie.simulator.evaluation.starts import columns_of
from reverie.simulator.voxel import physics
from reverie.simulator.voxel.blocks import BLOCK_ID, BLOCKS, REACH, SOLID, TARGETABLE
from reverie.simulator.voxel.creatures import HALF_WIDTHS, HEIGHTS
from reverie.simulator.voxel.laws import Laws
from reverie.simulator.voxel.walks import record_shard, write_walks
from reverie.simulator.voxel.world import HELD_OUT_SEED, VoxelWorld
from reverie.simulator.world import EVENTS

CONFIG = DynamicsConfig(width=16, hidden=1)
TICKS = 40


@pytest.fixture(scope="module")
def facts() -> Facts:
    """What recordings of the voxel world show, given."""
    return Facts(
        names=tuple(block.name for block in BLOCKS), events=EVENTS, solid=tuple(map(bool, SOLID)),
        targetable=tuple(map(bool, TARGETABLE)), empty=BLOCK_ID["air"], reach=REACH, half=physics.HALF_WIDTH,
        height=physics.HEIGHT, eye=1.62, fall=-0.0784, boxes=((0.45, 0.9), (0.45, 1.3)),
    )  # fmt: skip


def random_dynamics(facts: Facts, seed: int, scale: float = 1.0) -> Dynamics:
    """Networks with random weights, large enough for all sorts of motion."""
    rng = np.random.default_rng(seed)
    arrays = {
        "cells": rng.normal(size=(256, f.CELL_FACTS + CONFIG.cell_channels)).astype(np.float32),
        "targets": rng.normal(size=(256, f.CELL_FACTS + CONFIG.target_channels)).astype(np.float32),
    }
    for name, shape in f.shapes(len(facts.names), len(facts.events)).items():
        sizes = [shape.inputs(CONFIG), CONFIG.width, shape.outputs]
        for k, (a, b) in enumerate(pairwise(sizes)):
            arrays[f"{name}.{k}.weight"] = (rng.normal(size=(a, b)) * scale / np.sqrt(a)).astype(np.float32)
            arrays[f"{name}.{k}.bias"] = (rng.normal(size=b) * 0.3 * scale).astype(np.float32)
    return Dynamics(facts, CONFIG, ArrayNetworks(arrays, len(facts.names), len(facts.events)))


def random_cells(facts: Facts, seed: int) -> CellMap:
    """A floor with a third of the cells above it filled at random, a little of it unknown; free about (0, 10, 0)."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, len(facts.names), (48, 20, 48)).astype(np.uint8)
    tokens[rng.random(tokens.shape) < 0.7] = facts.empty
    tokens[rng.random(tokens.shape) < 0.01] = UNKNOWN
    tokens[:, :10] = facts.names.index("stone")
    tokens[23:26, 10:13, 23:26] = facts.empty
    return CellMap().write((-24, 0, -24), tokens)


def random_actions(count: int, seed: int) -> list[Action]:
    """Keys at random, with turns."""
    rng = np.random.default_rng(seed)
    keys = ("forward", "back", "left", "right", "jump", "sneak", "sprint", "attack", "use", "pickItem")
    return [
        Action(
            camera=(float(rng.normal(0, 8)), float(rng.normal(0, 12))), hotbar=int(rng.integers(10)),
            **{key: bool(rng.random() < 0.4) for key in keys},
        )
        for _ in range(count)
    ]  # fmt: skip


def a_herd(facts: Facts, seed: int, count: int = 3) -> np.ndarray:
    """Entities that stand about (0, 10, 0)."""
    rng = np.random.default_rng(seed)
    herd = np.zeros((count, 6))
    herd[:, [0, 2]], herd[:, 1] = rng.uniform(-6, 6, (count, 2)), 10.0
    herd[:, 3], herd[:, 4] = rng.uniform(-180, 180, count), rng.integers(0, 2, count)
    return herd


def same(one: Actors, other: Actors) -> bool:
    """Whether two actors are equal to the bit."""
    return (
        one.body.tobytes() == other.body.tobytes()
        and one.herd.tobytes() == other.herd.tobytes()
        and one.hands == other.hands
    )


def inside(cells: CellMap, facts: Facts, body: np.ndarray) -> bool:
    """Whether a body is in a cell that facts call solid."""
    return is_inside(judged.named(cells, facts), body, np.array(facts.solid))


def roam(dynamics: Dynamics, facts: Facts, seed: int, ticks: int = TICKS) -> tuple[list[Actors], CellMap]:
    """The actors of so many ticks among random cells."""
    actors, cells = dynamics.spawn((0.5, 10.0, 0.5), 30.0, 10.0, a_herd(facts, seed)), random_cells(facts, seed)
    found = [actors]
    for tick, action in enumerate(random_actions(ticks, seed)):
        step = dynamics.step(actors, cells, action, seed, tick)
        actors, cells = step.actors, cells.set(step.writes)
        found.append(actors)
    return found, cells


# -- the step at play ---------------------------------------------------------------------------------------


def test_a_step_is_a_function_of_what_it_is_given(facts: Facts) -> None:
    dynamics = random_dynamics(facts, 1)
    first, second = roam(dynamics, facts, 2), roam(dynamics, facts, 2)
    assert all(same(a, b) for a, b in zip(first[0], second[0], strict=True))
    assert any(not same(a, b) for a, b in zip(first[0][1:], roam(dynamics, facts, 3)[0][1:]))
    before = first[0][5]
    body, herd, hands = before.body.copy(), before.herd.copy(), before.hands
    dynamics.step(before, first[1], Action(forward=True, attack=True), 1, 2)
    assert (before.body == body).all() and (before.herd == herd).all() and before.hands == hands
    with pytest.raises(ValueError):
        before.body[0] = 0.0


@pytest.mark.parametrize("what", ["seed", "tick"])
def test_chance_is_of_seed_and_tick(facts: Facts, what: str) -> None:
    dynamics, cells = random_dynamics(facts, 1), random_cells(facts, 1)
    actors = dynamics.spawn((0.5, 10.0, 0.5), 30.0, 50.0, a_herd(facts, 1, 8))
    ends = {
        dynamics.step(actors, cells, IDLE, k if what == "seed" else 0, k if what == "tick" else 0).actors.herd.tobytes()
        for k in range(8)
    }
    assert len(ends) > 4


def test_a_batch_is_what_each_is_by_itself(facts: Facts) -> None:
    dynamics = random_dynamics(facts, 4)
    counts = (3, 0, 1, 5)
    herds = [a_herd(facts, k, count) for k, count in enumerate(counts)]
    actors = [dynamics.spawn((0.5, 10.0, 0.5), 20.0 * k, 30.0, herd) for k, herd in enumerate(herds)]
    cells = [random_cells(facts, k) for k in range(len(counts))]
    alone, own_cells = list(actors), list(cells)
    for tick in range(20):
        actions = random_actions(len(counts), tick)
        seeds, ticks = [5 * k for k in range(len(counts))], [tick + k for k in range(len(counts))]
        steps = dynamics.step_many(actors, cells, actions, seeds, ticks)
        for k, step in enumerate(steps):
            single = dynamics.step(alone[k], own_cells[k], actions[k], seeds[k], ticks[k])
            assert same(step.actors, single.actors) and step.writes == single.writes and step.events == single.events
            alone[k], own_cells[k] = single.actors, own_cells[k].set(single.writes)
        actors = [step.actors for step in steps]
        cells = [one.set(step.writes) for one, step in zip(cells, steps)]


@pytest.mark.parametrize("seed", range(12))
def test_no_body_enters_a_cell_that_facts_call_solid(facts: Facts, seed: int) -> None:
    dynamics = random_dynamics(facts, seed, scale=1.0 + seed % 3)
    actors, cells = dynamics.spawn((0.5, 10.0, 0.5), 0.0, 0.0), random_cells(facts, seed)
    moved = 0.0
    for tick, action in enumerate(random_actions(TICKS, seed)):
        step = dynamics.step(actors, cells, action, seed, tick)
        changed = cells.set(step.writes)
        covered = inside(changed, facts, actors.body)  # something was put where the body is: it may leave
        if covered:
            break
        moved += float(np.abs(step.actors.body[:3] - actors.body[:3]).sum())
        actors, cells = step.actors, changed
        assert not inside(cells, facts, actors.body), tick
    assert moved > 0.04


def test_the_test_of_being_inside_can_fail(facts: Facts) -> None:
    cells = random_cells(facts, 0)
    body = np.array([0.5, 10.0, 0.5])
    assert not inside(cells, facts, body)
    assert inside(cells, facts, body - (0, 0.1, 0))


def test_without_events_no_cell_changes_and_hands_write_their_target(facts: Facts) -> None:
    dynamics = random_dynamics(facts, 7)
    cells = random_cells(facts, 7)
    actors = dynamics.spawn((0.5, 10.0, 0.5), 0.0, 80.0)
    seen = set()
    for tick in range(200):
        step = dynamics.step(actors, cells, Action(attack=True, use=True), 1, tick)
        names = [name for name in step.events if name in ("dig", "place")]
        assert len(step.writes) == (1 if step.writes else 0)
        for cell, token in step.writes.items():
            assert 0 <= cell[1] < 64 and 0 <= token < len(facts.names) and names
            seen.add(cell)
    assert seen <= {(0, 9, 0), (0, 10, 0), (0, 9, 1), (0, 10, 1)} and seen


def test_entities_in_unknown_cells_stay(facts: Facts) -> None:
    dynamics = random_dynamics(facts, 3)
    herd = np.array([[100.5, 10.0, 100.5, 0.0, 0.0, 0.0]])
    actors = dynamics.spawn((0.5, 10.0, 0.5), 0.0, 0.0, herd)
    after = dynamics.step(actors, random_cells(facts, 3), IDLE, 0, 0).actors
    assert (after.herd[:, :6] == herd).all()


# -- the state ----------------------------------------------------------------------------------------------


def test_actors_pack_and_unpack(facts: Facts) -> None:
    for one in roam(random_dynamics(facts, 5), facts, 6)[0]:
        meta, arrays = one.pack()
        back = Actors.unpack(json.loads(json.dumps(meta)), {name: array.copy() for name, array in arrays.items()})
        assert same(one, back)


@pytest.mark.parametrize(
    "changes",
    [
        {"slot": 9}, {"slot": True}, {"progress": 1.5}, {"target": [0, 0]}, {"target": [0, 0.5, 0]}, {"swing": -1},
        {"use_age": 1000},
    ],
)  # fmt: skip
def test_damaged_hands_are_refused(facts: Facts, changes: dict[str, object]) -> None:
    meta, arrays = random_dynamics(facts, 5).spawn((0.5, 10.0, 0.5), 0.0, 0.0).pack()
    with pytest.raises((ValueError, TypeError)):
        Actors.unpack({**meta, **changes}, arrays)


@pytest.mark.parametrize("entry, value", [(0, np.nan), (at.JUMP_AGE, 0.5), (at.AIR_TICKS, at.MAX_TICKS + 1)])
def test_damaged_bodies_are_refused(facts: Facts, entry: int, value: float) -> None:
    meta, arrays = random_dynamics(facts, 5).spawn((0.5, 10.0, 0.5), 0.0, 0.0).pack()
    body = arrays["body"].copy()
    body[entry] = value
    with pytest.raises(ValueError):
        Actors.unpack(meta, {**arrays, "body": body})
    with pytest.raises(ValueError):
        Actors.unpack(meta, {**arrays, "body": arrays["body"][:-1]})


def test_counters() -> None:
    body = np.zeros((1, at.BODY))
    body[0, [at.JUMP_AGE, at.DRY_TICKS]] = at.MAX_JUMP_AGE, at.MAX_TICKS
    yes, no = np.array([True]), np.array([False])
    count_body(body, yes, yes, no, yes)  # leaves the ground upwards with the jump key held
    assert body[0, at.JUMP_AGE] == 0 and body[0, at.AIR_TICKS] == 1
    for tick in range(1, 15):
        count_body(body, yes, no, no, no)
        assert body[0, at.JUMP_AGE] == min(tick, at.MAX_JUMP_AGE)
        assert body[0, at.AIR_TICKS] == min(tick + 1, at.MAX_TICKS)
    body[0, at.JUMP_AGE] = 3
    count_body(body, no, no, no, no)
    assert body[0, at.JUMP_AGE] == at.MAX_JUMP_AGE
    body[0, at.IN_WATER] = 1
    count_body(body, no, no, yes, no)
    assert body[0, at.DRY_TICKS] == 0 and body[0, at.AIR_TICKS] == 0

    assert count_break(3, True, True) == 0 and count_break(3, False, False) == at.MAX_BREAK_AGE
    assert [count_break(age, True, False) for age in (0, 5, 7)] == [1, 6, at.MAX_BREAK_AGE]
    most = at.MAX_USE_AGE
    assert count_use(3, False, True, False) == most and count_use(3, True, False, False) == most
    assert count_use(most, True, True, False) == 0 and count_use(5, True, True, True) == 0
    assert count_use(0, True, True, False) == 1 and count_use(most - 1, True, True, False) == most - 1

    herd = make_herd(np.array([[0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])).copy()
    step, turn = np.array([[0.1, 0.0, 0.0]]), np.array([0.0])
    count_herd(herd, step, turn)
    assert herd[0, at.E_WALK_AGE] == 0 and herd[0, at.E_TURN_AGE] == at.MAX_AGE and herd[0, at.E_DX] == 0.1
    count_herd(herd, step, turn + 4.0)
    assert herd[0, at.E_WALK_AGE] == 1 and herd[0, at.E_TURN_AGE] == 0


def test_the_phase_of_a_held_key_is_seen_at_any_age() -> None:
    age = np.arange(at.MAX_USE_AGE + 1)
    seen = np.concatenate(f._use_ages(age), 1)
    assert (seen[-1, : at.USE_AGES] == np.eye(at.USE_AGES)[-1]).all() and (seen[-1, at.USE_AGES :] == 0).all()
    assert len(np.unique(seen[: at.USE_AGES - 2], axis=0)) == at.USE_AGES - 2
    later = seen[100:200]
    assert np.abs(later[:-4] - later[4:])[:, at.USE_AGES + 2].max() < 1e-5  # a wave of four ticks
    assert (np.abs(later[:-1] - later[1:]).max(1) > 0.5).all()


def test_the_queue_has_dynamics_after_their_walks(tmp_path: Path) -> None:
    from reverie.demos.queue import make_stages

    names = [stage.name for stage in make_stages(tmp_path)]
    assert names.index("walks-held") < names.index("walks") < names.index("dynamics")


def test_chance_is_even_and_choices_follow_it() -> None:
    drawn = np.array([chance(1, tick, 2, index) for tick in range(200) for index in range(10)])
    assert drawn.min() >= 0.0 and drawn.max() < 1.0 and abs(drawn.mean() - 0.5) < 0.03
    assert len(set(drawn.tolist())) == len(drawn)
    logits = np.log(np.tile([0.2, 0.5, 0.3], (len(drawn), 1)))
    shares = np.bincount(choose(logits, drawn), minlength=3) / len(drawn)
    assert np.abs(shares - (0.2, 0.5, 0.3)).max() < 0.04


def test_a_block_is_not_put_into_a_body(facts: Facts) -> None:
    body = np.zeros((1, at.BODY))
    body[0, :3] = 0.5, 10.0, 0.5
    entities = np.array([[[3.5, 10.0, 0.5, 0.0, 0.0], [np.nan] * 5]])

    def way(cell: tuple[int, int, int]) -> list[bool]:
        return in_the_way(facts, body, entities, np.array([cell]))[0].tolist()

    assert way((0, 10, 0)) == [True, False] and way((0, 11, 0)) == [True, False]
    assert way((0, 12, 0)) == [False, False] and way((0, 9, 0)) == [False, False] and way((1, 10, 0)) == [False, False]
    assert way((3, 10, 0)) == [False, True]


def test_files_of_weights(facts: Facts, tmp_path: Path) -> None:
    random = random_dynamics(facts, 1)
    networks = random._networks
    assert isinstance(networks, ArrayNetworks)
    arrays = {"cells": networks._cells, "targets": networks._targets}
    for name, layers in networks._layers.items():
        for k, (weight, bias) in enumerate(layers):
            arrays |= {f"{name}.{k}.weight": weight, f"{name}.{k}.bias": bias}
    save_dynamics(tmp_path / "d", facts, CONFIG, arrays)
    loaded = Dynamics.load(tmp_path / "d")
    assert loaded.facts == facts and loaded.config == CONFIG
    assert all(same(a, b) for a, b in zip(roam(random, facts, 2)[0], roam(loaded, facts, 2)[0], strict=True))
    assert set(load_file(tmp_path / "d" / "dynamics.safetensors")) == set(arrays)
    (tmp_path / "d" / "dynamics.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ReverieError):
        Dynamics.load(tmp_path / "d")
    with pytest.raises(ReverieError):
        Dynamics.load(tmp_path / "nothing")


# -- walks and facts ----------------------------------------------------------------------------------------

ROWS = 1500


@pytest.fixture(scope="module")
def walks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards of walks."""
    folder = tmp_path_factory.mktemp("walks")
    assert write_walks(folder, range(3), rows=ROWS) == 3
    return folder


@pytest.mark.slow
def test_walks_recorded_twice_are_equal(walks_folder: Path, tmp_path: Path) -> None:
    write_walks(tmp_path, range(1, 2), rows=ROWS)
    other, again, one = (
        load_file(walk_path(folder, k)) for folder, k in ((walks_folder, 0), (tmp_path, 1), (walks_folder, 1))
    )
    assert all((one[name] == again[name])[one[name] == one[name]].all() for name in one)
    assert (one["body"] != other["body"]).any()
    assert write_walks(walks_folder, range(3), rows=ROWS) == 0  # nothing is made twice


def test_held_out_worlds_are_for_evaluation_alone() -> None:
    with pytest.raises(ReverieError):
        record_shard(0, 0, 10, lands=range(HELD_OUT_SEED, HELD_OUT_SEED + 2))
    with pytest.raises(ReverieError):
        record_shard(0, 0, 10, lands=range(HELD_OUT_SEED - 1, HELD_OUT_SEED + 2), held_out=True)
    rows = record_shard(0, 0, 10, lands=range(HELD_OUT_SEED, HELD_OUT_SEED + 2), held_out=True)
    assert len(rows["body"]) == 10


@pytest.mark.slow
def test_a_row_follows_from_the_one_before(walks_folder: Path) -> None:
    walks = read_walks(walk_files(walks_folder))
    assert len(walks) == 3 * ROWS and walks.names[BLOCK_ID["stone"]] == "stone" and walks.event_names == EVENTS
    turned = walks.body[:-1, 6] + f.read_actions(walks.action).camera[:-1, 1]
    follows = walks.follows[:-1]
    assert np.abs(turned - walks.body[1:, 6])[follows].max() < 1e-3
    assert np.abs(np.diff(walks.body[:, :3], axis=0))[follows].max() < 4.0
    assert (~walks.follows).sum() == len(np.unique(walks.episode))
    happened = walks.events.sum(0)
    assert happened[EVENTS.index("dig")] > 3 and happened[EVENTS.index("place")] > 3


@pytest.mark.slow
def test_facts_found_from_walks_are_the_worlds(walks_folder: Path) -> None:
    walks = read_walks(walk_files(walks_folder))
    facts = find_facts(walks)
    touched = _touched(walks)
    assert touched.sum() > 10
    assert (np.array(facts.solid)[touched] == SOLID[touched]).all()
    assert facts.names[facts.empty] == "air"
    assert facts.reach == pytest.approx(REACH, abs=0.05)
    assert facts.half == pytest.approx(physics.HALF_WIDTH, abs=0.01)
    assert facts.height == pytest.approx(physics.HEIGHT, abs=0.01)
    assert facts.eye == pytest.approx(1.62, abs=0.01) and facts.fall == pytest.approx(-0.0784, abs=1e-6)
    for (half, height), true_half, true_height in zip(facts.boxes, HALF_WIDTHS, HEIGHTS):
        assert half == pytest.approx(true_half, abs=0.05) and height >= true_height - 0.05
    assert Facts.from_dict(json.loads(json.dumps(facts.to_dict()))) == facts
    solid = facts.solid_table()
    assert solid[UNKNOWN] and not facts.targetable_table()[UNKNOWN]


def _touched(walks: object) -> np.ndarray:
    """bool [tokens]: those that were beside or under bodies often."""
    own = walks.cells[:, 4:7, 6:11, 4:7].reshape(-1)  # type: ignore[attr-defined]
    return np.bincount(own, minlength=256)[: len(BLOCKS)] > 500


@pytest.mark.slow
def test_facts_follow_other_laws() -> None:
    names = [block.name for block in BLOCKS]
    laws = Laws(gravity=0.5, permeable=("leaves",))
    rows = record_shard(0, 1, 6000, laws=laws)
    from reverie.model.training.walk_data import Walks

    follows = ~rows.pop("last")
    facts = find_facts(Walks(tuple(names), EVENTS, follows=follows, **rows))
    assert not facts.solid[BLOCK_ID["leaves"]] and facts.solid[BLOCK_ID["log"]]
    assert facts.fall == pytest.approx(-0.0392, abs=1e-6)


def test_damaged_walks_are_refused(walks_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ReverieError):
        walk_files(tmp_path)
    path = walk_path(tmp_path, 0)
    path.write_bytes(walk_path(walks_folder, 0).read_bytes()[:1000])
    with pytest.raises(ReverieError):
        read_walks([path])


# -- training -----------------------------------------------------------------------------------------------


def _steps(data: Path, out: Path, counts: list[int]) -> dict[str, np.ndarray]:
    """The networks' arrays after runs of so many steps each."""
    from reverie.model.training.dynamics import train
    from reverie.model.training.trainer import TrainerConfig

    for count in counts:
        train(data, out, 60.0, steps=count, config=CONFIG, trainer=TrainerConfig(warmup=2), batch=64)
    return load_file(out / "dynamics.safetensors")


@pytest.mark.slow
def test_training_goes_on_to_the_step(one_thread: None, walks_folder: Path, tmp_path: Path) -> None:
    whole, parts = _steps(walks_folder, tmp_path / "a", [6]), _steps(walks_folder, tmp_path / "b", [4, 2])
    assert set(whole) == set(parts) and all((whole[name] == parts[name]).all() for name in whole)
    fewer = _steps(walks_folder, tmp_path / "c", [4])
    assert any((whole[name] != fewer[name]).any() for name in whole)
    Dynamics.load(tmp_path / "a").spawn((0.5, 10.0, 0.5), 0.0, 0.0)


@pytest.mark.slow
def test_training_learns_to_fall_and_to_walk(one_thread: None, walks_folder: Path, tmp_path: Path) -> None:
    from reverie.model.training.dynamics import DynamicsPart, Lessons
    from reverie.model.training.trainer import TrainerConfig, train_part

    walks = read_walks(walk_files(walks_folder))
    lessons = Lessons(walks, find_facts(walks))
    part = DynamicsPart(lessons, lessons, CONFIG)
    part.batch = 128
    before = part.evaluate(part.network)
    after = train_part(part, tmp_path, 60.0, TrainerConfig(lr=4e-3, warmup=5), steps=60)
    for name in ("held_push", "held_speed", "held_contact", "held_slot", "held_swing", "held_act"):
        assert after[name] < 0.75 * before[name], name


def test_play_and_training_give_the_same_answers(one_thread: None, facts: Facts) -> None:
    import torch

    from reverie.model.dynamics.networks import DynamicsNetworks

    torch.manual_seed(0)
    network = DynamicsNetworks(facts, CONFIG)
    arrays = ArrayNetworks(network.arrays(), len(facts.names), len(facts.events))
    rng = np.random.default_rng(0)
    for name, shape in network.shapes.items():
        numbers = rng.normal(size=(5, shape.numbers)).astype(np.float32)
        tokens = None
        if shape.levels:
            tokens = rng.integers(0, len(facts.names), (5, shape.levels * at.LEVELS, at.COLUMNS)).astype(np.uint8)
        elif shape.targets:
            tokens = rng.integers(0, len(facts.names), (5, shape.targets)).astype(np.uint8)
        wide = None if tokens is None else torch.from_numpy(tokens.astype(np.int64))
        with torch.no_grad():
            wanted = network(name, torch.from_numpy(numbers), wide).numpy()
        assert np.abs(arrays(name, numbers, tokens) - wanted).max() < 1e-4, name


# -- the evaluation -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_truth_is_right_and_the_idle_are_not(facts: Facts) -> None:
    walks = judged.make_walks("ahead", 3, facts) + judged.make_walks("works", 6, facts)
    true = [
        (
            walk,
            judged.PlayedWalk(
                walk.bodies,
                tuple(tuple(name for name, was in zip(EVENTS, row) if was) for row in walk.events),
                walk.changes,
                walk.entities,
                0,
            ),
        )
        for walk in walks
    ]
    figures = judged.body_figures(true) | judged.hand_figures(true) | judged.entity_figures(true)
    assert figures["body_error_32"] == 0.0 and figures["walls_standing"] in (1.0, pytest.approx(np.nan, nan_ok=True))
    assert figures["digs_found"] == figures["places_found"] == 1.0 and figures["digs_false"] == 0.0
    assert figures["entity_far_ks"] == 0.0
    still = [
        (
            walk,
            replace(own, bodies=np.repeat(own.bodies[:1], len(own.bodies), 0), changes=()),
        )
        for walk, own in true
    ]
    worse = judged.body_figures(still) | judged.hand_figures(still)
    assert worse["body_error_32"] > 1.0 and worse["digs_found"] == 0.0 and worse["walls_standing"] > 2.0


def test_walks_are_the_same_each_time_and_start_in_their_cells(facts: Facts) -> None:
    one, two = (judged.make_walks("played", 2, facts)[1] for _ in range(2))
    assert (one.bodies == two.bodies).all() and one.changes == two.changes
    assert not inside(one.cells, facts, one.bodies[0])
    dynamics = random_dynamics(facts, 1)
    first, second = (judged.play_walks(dynamics, [one])[0] for _ in range(2))
    assert (first.bodies == second.bodies).all() and first.bodies.shape == (judged.TICKS + 1, at.BODY)


def test_a_wall_of_a_block_that_holds_nobody_is_walked_through(facts: Facts) -> None:
    through = judged.make_walks("through", 2, facts, Laws(permeable=("leaves",)), "leaves")
    held = judged.make_walks("through", 2, facts, block="leaves")
    past = [np.hypot(*(walk.bodies[-1, [0, 2]] - walk.bodies[0, [0, 2]])) for walk in (*through, *held)]
    assert min(past[:2]) > judged.WALL_AHEAD + 2 and max(past[2:]) < judged.WALL_AHEAD


def test_falls_last_as_long_as_in_the_world(facts: Facts) -> None:
    usual, slow = (judged.make_walks("falls", 4, facts, laws) for laws in (Laws(), Laws(gravity=0.5)))
    ticks = [[judged.landing(walk.bodies) for walk in walks] for walks in (usual, slow)]
    assert all(a < b <= 82 for a, b in zip(*ticks)) and min(ticks[0]) > 5
    world = VoxelWorld(hud=False)
    assert world.laws == Laws()


@pytest.mark.slow
def test_dynamics_alone_are_measured_from_true_cells(facts: Facts, tmp_path: Path) -> None:
    world = CellsWorld(random_dynamics(facts, 2), (48, 80))
    assert columns_of(world) == ("cells",)
    report = evaluate(
        world, tmp_path / "out", runs=tmp_path / "runs", amounts=Amounts(walls=2, task=2), keys=("walls_", "tasks_16"),
        sheets=False,
    )  # fmt: skip
    assert report["cells_walls_inside"] is not None and report["cells_tasks_16"] is not None
    assert report["cells_body_error_8"] > 0.0 and report["runs_done"] == report["runs_planned"] == 4
