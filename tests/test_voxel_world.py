"""The exact world: physics against Minecraft's published numbers, hands, animals, determinism, edits and saves."""

import hashlib
import json
import math

import numpy as np
import pytest

from reverie.simulator import Action, VoxelWorld
from reverie.simulator.errors import EditError, SaveError, SceneError
from reverie.simulator.voxel import creatures, interact, physics
from reverie.simulator.voxel.blocks import BLOCK_ID, HARDNESS, SIZE_X, SIZE_Y, SIZE_Z, SOLID
from reverie.simulator.voxel.laws import Laws
from reverie.simulator.voxel.spawn import SCENES
from reverie.simulator.voxel.world import VoxelState
from reverie.simulator.world import EVENTS

GROUND = 20


@pytest.fixture(scope="module")
def world():
    return VoxelWorld(size=(48, 80))


@pytest.fixture(scope="module")
def flat():
    blocks = np.zeros((SIZE_X, SIZE_Y, SIZE_Z), np.uint8)
    blocks[:, :GROUND] = BLOCK_ID["stone"]
    return blocks


def run(blocks, body, ticks, forward=0, left=0, jump=False, sneak=False, sprint=False):
    """float64 [ticks, BODY]: the body after each tick."""
    bodies = []
    for _ in range(ticks):
        physics.advance_player(blocks, SOLID, body, forward, left, jump, sneak, sprint, 1.0)
        bodies.append(body.copy())
    return np.array(bodies)


def flattened(world, state):
    """The state on an endless plain of stone, without animals, looking down at the floor ahead."""
    blocks = np.zeros((SIZE_X, SIZE_Y, SIZE_Z), np.uint8)
    blocks[:, :GROUND] = BLOCK_ID["stone"]
    heights = np.full((SIZE_X, SIZE_Z), GROUND - 1, np.int16)
    body = physics.make_body(8.5, GROUND, 8.5, 0.0, 45.0)
    body[physics.ON_GROUND] = 1.0
    none = np.zeros((0, creatures.COLUMNS))
    return VoxelState(
        state.seed, 0, blocks, heights, body, none, interact.IDLE_HANDS, 0.5, np.zeros(len(EVENTS), np.float32)
    )


def digest(state):
    parts = [state.blocks, state.heights, state.body, state.creatures, state.happened]
    text = repr((state.seed, state.tick, state.hands, state.day_time, state.camera))
    return hashlib.sha256(b"".join(part.tobytes() for part in parts) + text.encode()).hexdigest()


def some_actions(count, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Action(
            forward=bool(rng.random() < 0.7),
            left=bool(rng.random() < 0.2),
            jump=bool(rng.random() < 0.2),
            sprint=bool(rng.random() < 0.3),
            attack=bool(rng.random() < 0.5),
            use=bool(rng.random() < 0.2),
            hotbar=int(rng.integers(0, 10)) if rng.random() < 0.05 else 0,
            camera=(float(rng.normal(0.3, 1.0)), float(rng.normal(0.0, 4.0))),
        )
        for _ in range(count)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "metres_per_second"),
    [({}, 4.317), ({"sprint": True}, 5.612), ({"sneak": True}, 1.295)],
)
def test_steady_speeds_are_minecrafts(flat, keys, metres_per_second):
    path = run(flat, physics.make_body(8.5, GROUND, 8.5), 60, forward=1, **keys)
    assert (path[-1] - path[-2])[physics.Z] * 20 == pytest.approx(metres_per_second, abs=2e-3)


def test_right_is_minus_x_at_yaw_zero(flat):
    path = run(flat, physics.make_body(8.5, GROUND, 8.5), 20, left=-1)
    assert path[-1][physics.X] < 6.0
    assert path[-1][physics.Z] == pytest.approx(8.5)


def test_a_jump_reaches_a_metre_and_a_quarter_and_lasts_twelve_ticks(flat):
    path = run(flat, physics.make_body(8.5, GROUND, 8.5), 2)
    body = path[-1].copy()
    up = run(flat, body, 1, jump=True)
    path = np.concatenate([up, run(flat, body, 20)])
    assert path[:, physics.Y].max() - GROUND == pytest.approx(1.2522, abs=1e-3)
    assert int(np.argmax(path[:, physics.ON_GROUND] == 1.0)) + 1 == 12


def test_terminal_speed_and_no_tunnelling(flat):
    blocks = np.zeros_like(flat)
    blocks[:, 40] = BLOCK_ID["glass"]
    body = physics.make_body(8.5, 3000.3, 8.5)
    path = run(blocks, body, 1500)
    assert path[:, physics.VY].min() == pytest.approx(-3.92, abs=1e-2)
    assert path[-1][physics.Y] == 41.0
    assert path[-1][physics.ON_GROUND] == 1.0


def test_fast_bodies_do_not_pass_walls(flat):
    blocks = flat.copy()
    blocks[:, :, 12] = BLOCK_ID["stone"]
    body = physics.make_body(8.5, GROUND, 8.5)
    body[physics.VZ] = 9.0
    path = run(blocks, body, 3)
    assert path[-1][physics.Z] == pytest.approx(12 - physics.HALF_WIDTH)
    assert path[0][physics.BUMPED] == 1.0


def test_sliding_along_a_wall_does_not_stick(flat):
    blocks = flat.copy()
    blocks[9, :, :] = BLOCK_ID["stone"]
    body = physics.make_body(8.5, GROUND, 8.5, yaw=-20.0)
    path = run(blocks, body, 100, forward=1)
    assert path[-1][physics.X] == pytest.approx(9 - physics.HALF_WIDTH)
    assert path[-1][physics.Z] > 20.0


def test_sneaking_stops_at_an_edge_and_walking_does_not(flat):
    blocks = flat.copy()
    blocks[:, GROUND - 3 : GROUND, 12:] = BLOCK_ID["air"]
    sneaking = run(blocks, physics.make_body(8.5, GROUND, 10.5), 200, forward=1, sneak=True)
    assert (sneaking[:, physics.Y] == GROUND).all()
    assert 12.0 < sneaking[-1][physics.Z] < 12.0 + physics.HALF_WIDTH
    walking = run(blocks, physics.make_body(8.5, GROUND, 10.5), 40, forward=1)
    assert walking[-1][physics.Y] == GROUND - 3


def test_a_step_is_climbed_only_by_jumping(flat):
    blocks = flat.copy()
    blocks[:, GROUND, 12:] = BLOCK_ID["stone"]
    assert run(blocks, physics.make_body(8.5, GROUND, 10.5), 40, forward=1)[-1][physics.Z] < 12.0
    path = run(blocks, physics.make_body(8.5, GROUND, 10.5), 40, forward=1, jump=True)
    assert path[-1][physics.Y] >= GROUND + 1
    assert path[-1][physics.Z] > 13.0


def test_swimming_floats_sinks_and_is_slow(flat):
    blocks = flat.copy()
    blocks[:, GROUND - 10 : GROUND] = BLOCK_ID["water"]
    body = physics.make_body(8.5, GROUND - 5, 8.5)
    body[physics.IN_WATER] = 1.0
    up = run(blocks, body, 120, jump=True)
    assert abs(up[-1][physics.Y] - (GROUND - 0.5)) < 0.5
    down = run(blocks, body, 200)
    assert down[-1][physics.Y] == GROUND - 10
    path = run(blocks, body, 60, forward=1)
    assert 1.5 < (path[-1] - path[-2])[physics.Z] * 20 < 2.5


def test_a_swimmer_gets_out_onto_the_bank(flat):
    blocks = flat.copy()
    blocks[:, GROUND - 4 : GROUND, :12] = BLOCK_ID["water"]
    body = physics.make_body(8.5, GROUND - 1, 8.5)
    path = run(blocks, body, 200, forward=1, jump=True)
    assert path[-1][physics.Z] > 13.0
    assert path[-1][physics.Y] >= GROUND


@pytest.mark.slow
def test_breaking_takes_the_hardness_in_seconds_and_restarts_on_another_block(world):
    state = flattened(world, world.start(None, 1))
    cell = world.target(state).cell
    ticks = 0
    while world.get_block(state, *cell) == "stone":
        state = world.step(state, Action(attack=True))
        ticks += 1
        assert ticks < 100
    assert ticks == round(HARDNESS[BLOCK_ID["stone"]] * 20)
    assert world.events(state)[EVENTS.index("dig")] == 1.0
    state = world.step(state, Action(attack=True))
    assert state.hands.progress == 0.0
    for _ in range(10):
        state = world.step(state, Action(attack=True))
    progress = state.hands.progress
    assert progress > 0.0
    assert world.step(state, Action(attack=True, camera=(0.0, 60.0))).hands.progress < progress
    assert world.step(state, Action()).hands.progress == 0.0


def test_digging_a_log_counts_twice(world):
    state = flattened(world, world.start(None, 1))
    cell = world.target(state).cell
    state = world.set_block(state, *cell, "log")
    for _ in range(21):
        state = world.step(state, Action(attack=True))
        if world.events(state).any():
            break
    assert world.events(state)[EVENTS.index("dig")] == world.events(state)[EVENTS.index("dig_log")] == 1.0


def test_use_places_the_held_block_and_repeats_every_four_ticks(world):
    state = flattened(world, world.start(None, 1))
    x, y, z = world.target(state).cell
    state = world.step(state, Action(use=True, hotbar=4))
    assert world.get_block(state, x, y + 1, z) == "bricks"
    placed = [world.events(state)[EVENTS.index("place")]]
    for _ in range(4):
        state = world.step(state, Action(use=True))
        placed.append(world.events(state)[EVENTS.index("place")])
    assert placed[:4] == [1.0, 0.0, 0.0, 0.0]
    assert state.hands.slot == 3


@pytest.mark.slow
def test_blocks_are_not_placed_into_bodies(world):
    state = flattened(world, world.start(None, 1))
    state = world.step(state, Action(camera=(45.0, 0.0)))
    after = world.step(state, Action(use=True))
    assert not world.events(after).any()
    flock = np.zeros((1, creatures.COLUMNS))
    hit = world.target(flattened(world, state))
    flock[0, [creatures.CX, creatures.CY, creatures.CZ]] = hit.cell[0] + 0.5, GROUND, hit.cell[2] + 0.5
    state = flattened(world, state)
    assert interact.can_place(state.blocks, SOLID, state.body, state.creatures, (8, GROUND, 10), 1)
    assert not interact.can_place(state.blocks, SOLID, state.body, flock, (hit.cell[0], GROUND, hit.cell[2]), 1)


def test_a_pillar_is_built_by_jumping_and_placing(world):
    state = flattened(world, world.start(None, 1))
    state = world.step(state, Action(camera=(40.0, 0.0)))
    for _ in range(60):
        state = world.step(state, Action(jump=True, use=True))
    assert world.pose(state)[1] >= GROUND + 3


def test_landing_and_splashing_are_events(world):
    state = flattened(world, world.start(None, 1))
    landed = 0
    for tick in range(20):
        state = world.step(state, Action(jump=tick == 0))
        landed += world.events(state)[EVENTS.index("land")]
    assert landed == 1
    pool = {(x, GROUND - 1, z): "water" for x in range(6, 12) for z in range(6, 12)}
    pool |= {(x, GROUND - 2, z): "water" for x, _, z in list(pool)}
    state, splashes = world.set_blocks(state, pool), 0
    for _ in range(60):
        state = world.step(state, Action())
        splashes += world.events(state)[EVENTS.index("splash")]
    assert splashes == 1


def test_animals_wander_without_leaving_the_ground_or_entering_walls(world):
    state = world.start("plains", 2)
    before = state.creatures.copy()
    for _ in range(400):
        state = world.step(state, Action())
        near = state.creatures[state.creatures[:, creatures.CY] > 0]
        for animal in near:
            kind = int(animal[creatures.KIND])
            assert physics.box_is_free(
                state.blocks,
                SOLID,
                *animal[:3],
                creatures.HALF_WIDTHS[kind] - 1e-6,
                creatures.HEIGHTS[kind] - 1e-6,
            )
    moved = np.hypot(*(state.creatures - before)[:, [creatures.CX, creatures.CZ]].T)
    assert (moved > 1.0).sum() >= 3


def test_animals_left_behind_come_back_near_and_out_of_sight(world):
    state = world.start("plains", 3)
    x, y, z, _, _ = world.pose(state)
    state = world.spawn(state, x + 100.0, y + 20, z, 0.0, 0.0)
    for _ in range(60):
        state = world.step(state, Action())
    offset = state.creatures[:, [creatures.CX, creatures.CZ]] - world.pose(state)[[0, 2]]
    assert (np.hypot(*offset.T) < creatures.FAR).sum() >= creatures.CREATURE_COUNT - 2


def test_animals_push_the_player_softly(flat):
    body = physics.make_body(8.5, GROUND, 8.5)
    flock = np.zeros((1, creatures.COLUMNS))
    flock[0, [creatures.CX, creatures.CY, creatures.CZ]] = 8.5, GROUND, 9.2
    flock[0, creatures.TIMER] = 1000
    heights = np.full((SIZE_X, SIZE_Z), GROUND - 1, np.int16)
    creatures.advance_creatures(flat, SOLID, heights, flock, body, 0, 0, 1.0)
    assert body[physics.VZ] < 0.0 < flock[0, creatures.CVZ]


def test_animals_part_from_each_other(flat):
    flock = np.zeros((2, creatures.COLUMNS))
    flock[:, creatures.CX] = 8.4, 8.6
    flock[:, creatures.CY], flock[:, creatures.CZ], flock[:, creatures.TIMER] = GROUND, 8.5, 1000
    heights = np.full((SIZE_X, SIZE_Z), GROUND - 1, np.int16)
    body = physics.make_body(20.5, GROUND, 20.5)
    for tick in range(60):
        creatures.advance_creatures(flat, SOLID, heights, flock, body, 0, tick, 1.0)
    assert flock[1, creatures.CX] - flock[0, creatures.CX] > 0.85


@pytest.mark.slow
def test_two_runs_are_equal_and_states_are_values(world):
    actions = some_actions(250)
    frames = []
    for _ in range(2):
        state = world.start("plains", 5)
        hashes = hashlib.sha256()
        for action in actions:
            before = digest(state) if state.tick % 8 == 0 or action.use else None
            following = world.step(state, action)
            assert before is None or digest(state) == before
            state = following
            if state.tick % 10 == 0:
                hashes.update(world.frame(state).tobytes())
        frames.append((hashes.hexdigest(), digest(state)))
    assert frames[0] == frames[1]


@pytest.mark.slow
def test_a_packed_state_has_the_same_future(world):
    state = world.start("forest", 6)
    actions = some_actions(120, seed=1)
    for action in actions[:80]:
        state = world.step(state, action)
    meta, arrays = world.pack(state)
    again = VoxelWorld(size=world.size).unpack(json.loads(json.dumps(meta)), arrays)
    assert digest(again) == digest(state)
    for action in actions[80:]:
        state, again = world.step(state, action), world.step(again, action)
        assert (world.frame(state) == world.frame(again)).all()
    assert digest(again) == digest(state)


@pytest.mark.slow
@pytest.mark.parametrize(
    "spoil",
    [
        lambda meta, arrays: meta.pop("seed"),
        lambda meta, arrays: meta.update(seed=-1),
        lambda meta, arrays: meta.update(seed="1"),
        lambda meta, arrays: meta.update(tick=1.5),
        lambda meta, arrays: meta.update(day_time=math.nan),
        lambda meta, arrays: meta.update(camera=[0.0]),
        lambda meta, arrays: meta["hands"].update(slot=9),
        lambda meta, arrays: meta["hands"].update(target=[1, 2]),
        lambda meta, arrays: arrays.pop("body"),
        lambda meta, arrays: arrays["body"].__setitem__(physics.VX, 1e9),
        lambda meta, arrays: arrays["body"].__setitem__(physics.X, math.nan),
        lambda meta, arrays: arrays.update(body=arrays["body"].astype(np.float32)),
        lambda meta, arrays: arrays["creatures"].__setitem__((0, creatures.KIND), 7.0),
        lambda meta, arrays: arrays.update(creatures=np.zeros((10**4, creatures.COLUMNS))),
        lambda meta, arrays: arrays.update(changed_places=np.array([-1], np.int32)),
        lambda meta, arrays: arrays.update(
            changed_places=np.array([5], np.int32), changed_blocks=np.array([255], np.uint8)
        ),
    ],
)
def test_spoilt_saves_are_refused(world, spoil):
    meta, arrays = world.pack(world.step(world.start(None, 1), Action()))
    spoil(meta, arrays)
    with pytest.raises(SaveError):
        world.unpack(meta, arrays)


@pytest.mark.slow
def test_starts_are_dry_free_and_differ_by_scene_and_seed(world):
    places = set()
    for scene in (None, *SCENES):
        for seed in (0, 1):
            state = world.start(scene, seed)
            x, y, z, _, pitch = world.pose(state)
            assert physics.box_is_free(state.blocks, SOLID, x, y, z, physics.HALF_WIDTH, physics.HEIGHT)
            assert not world.senses(state).in_water
            assert world.senses(world.step(state, Action())).on_ground
            assert abs(pitch) < 25
            places.add((x, y, z))
    assert len(places) >= 16
    assert digest(world.start("lake", 4)) == digest(world.start("lake", 4))


@pytest.mark.parametrize("scene", ["atlantis", np.zeros((96, 160, 3), np.uint8), 3])
def test_other_scenes_are_refused(world, scene):
    with pytest.raises(SceneError):
        world.start(scene, 0)


@pytest.mark.parametrize("seed", [-1, "7", 1.5, 2**70])
def test_bad_seeds_are_refused(world, seed):
    with pytest.raises(SceneError):
        world.start(None, seed)


def test_truth_is_told(world):
    state = world.start("plains", 1)
    assert world.pose(state).shape == (5,)
    assert world.depth(state).shape == world.block_ids(state).shape == world.size
    assert world.frame(state).shape == (*world.size, 3)
    assert not world.frame(state).flags.writeable
    x, y, z = (math.floor(value) for value in world.pose(state)[:3])
    assert world.get_block(state, x, y, z) == "air"
    changed = world.set_block(state, x, y + 5, z + 2, "red_wool")
    assert world.get_block(changed, x, y + 5, z + 2) == "red_wool"
    assert world.get_block(changed, x + SIZE_X, y + 5, z + 2 - SIZE_Z) == "red_wool"
    assert world.get_block(state, x, y + 5, z + 2) != "red_wool"
    for bad in ((x, -1, z, "stone"), (x, SIZE_Y, z, "stone"), (x, 5, z, "cheese")):
        with pytest.raises(EditError):
            world.set_block(state, *bad)


def test_time_passes_and_can_be_set(world):
    state = world.set_time(world.start("plains", 1), 0.5)
    later = world.step(state, Action())
    assert later.day_time - state.day_time == pytest.approx(1 / 24000)
    night = world.set_time(state, 0.0)
    assert world.frame(night).mean() < 0.6 * world.frame(state).mean()
    with pytest.raises(EditError):
        world.set_time(state, math.nan)


def test_an_edit_repaints_the_blocks_under_the_mask(world):
    state = flattened(world, world.start(None, 1))
    x, y, z = world.target(state).cell
    height, width = world.size
    state_wall = world.spawn(state, 8.5, GROUND, 8.5, 0.0, 0.0)
    state_wall = world.set_blocks(state_wall, {(8, GROUND + 1, 10): "stone"})
    image = world.frame(state_wall).copy()
    shown = np.zeros(world.size, bool)
    shown[height // 2 - 14 : height // 2 + 6, width // 2 - 10 : width // 2 + 10] = True
    image[shown] = (160, 40, 35)
    edited = world.edit(state_wall, image, shown)
    assert world.get_block(edited, 8, GROUND + 1, 10) == "red_wool"
    assert world.get_block(edited, x + 5, y, z) == "stone"
    assert world.get_block(state_wall, 8, GROUND + 1, 10) == "stone"
    assert world.edit(state_wall, world.frame(state_wall)) is state_wall
    assert world.edit(state_wall, image, np.zeros(world.size, bool)) is state_wall
    with pytest.raises(EditError):
        world.edit(state, image[:-16], None)
    with pytest.raises(EditError):
        world.edit(state, image, np.zeros((3, 3), bool))


@pytest.mark.slow
def test_senses_feel_walls_drops_and_water(world):
    state = world.spawn(flattened(world, world.start(None, 1)), 8.5, GROUND, 8.5, 0.0, 0.0)
    free = world.senses(state)
    assert (free.blocked, free.drop_ahead, free.water_ahead, free.target_block) == (False, 0.0, False, None)
    assert free.target_distance == math.inf
    wall = {(8, GROUND, 9): "stone", (8, GROUND + 1, 9): "planks"}
    felt = world.senses(world.set_blocks(state, wall))
    assert felt.blocked
    assert felt.target_block == "planks"
    assert felt.target_distance == pytest.approx(0.5, abs=1e-3)
    pit = {(8, GROUND - 1 - deep, 10): "air" for deep in range(3)}
    assert world.senses(world.set_blocks(state, pit)).drop_ahead == 3.0
    assert world.senses(world.set_blocks(state, {(8, GROUND - 1, 10): "water"})).water_ahead


def test_sizes_are_checked():
    for size in ((0, 160), (90, 160), (96, -16)):
        with pytest.raises(ValueError, match="multiples of 16"):
            VoxelWorld(size=size)


def test_other_laws_change_only_what_they_name(world, flat):
    half = VoxelWorld(laws=Laws(gravity=0.5, permeable=("planks",)))
    state = half.start("plains", 3)
    x, y, z, _, _ = half.pose(state)
    fast, slow = world.spawn(state, x, y + 8, z), half.spawn(state, x, y + 8, z)
    ticks = [0, 0]
    for number, (laws, falling) in enumerate(((world, fast), (half, slow))):
        while not falling.body[physics.ON_GROUND]:
            falling = laws.step(falling)
            ticks[number] += 1
    assert ticks[1] > ticks[0] * 1.2
    assert not half.laws.solid[BLOCK_ID["planks"]] and half.laws.solid.sum() == SOLID.sum() - 1
    assert half.describe()["laws"] == {"gravity": 0.5, "permeable": ["planks"]} and "laws" not in world.describe()
    with pytest.raises(ValueError, match="no block"):
        Laws(permeable=("cheese",))
