"""The voxel world's land and pictures: textures, terrain, ray caster, HUD."""

from __future__ import annotations

import gc
import importlib
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from reverie.simulator.voxel.blocks import BLOCK_ID, BLOCKS, HOTBAR, SEA_LEVEL, SEE_THROUGH, SIZE_X, SIZE_Y, SIZE_Z
from reverie.simulator.voxel.render import CREATURE_ID, View, camera_basis, cast, pixel_rays, render
from reverie.simulator.voxel.structures import LANDMARKS
from reverie.simulator.voxel.surroundings import surroundings
from reverie.simulator.voxel.terrain import BIOMES, column_heights, generate, update_column
from reverie.simulator.voxel.textures import block_colours, crack_stages, mip_table, texture_atlas

SIZE = (96, 160)
HOTBAR_IDS = np.array([BLOCK_ID[name] for name in HOTBAR], np.uint8)
SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def land():
    terrain = generate(SEEDS[0])
    return terrain, column_heights(terrain.blocks)


@pytest.fixture
def flat():
    """A floor of stone whose top is at y = 20, under an empty sky."""
    blocks = np.zeros((SIZE_X, SIZE_Y, SIZE_Z), np.uint8)
    blocks[:, :20] = BLOCK_ID["stone"]
    return blocks


def views(heights: np.ndarray, count: int, seed: int = 0) -> list[View]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        x, z = rng.uniform(0, SIZE_X), rng.uniform(0, SIZE_Z)
        y = max(float(heights[int(x), int(z)]) + 2.62, SEA_LEVEL + 2.62)
        creatures = np.array([[x + 3, y - 1, z + 3, 40, 0, 1], [x - 3, y - 1, z, 0, 1, 2]], np.float32)
        found.append(
            View(
                (x, y, z),
                yaw=rng.uniform(0, 360),
                pitch=rng.uniform(-40, 60),
                day_time=rng.uniform(),
                hotbar=int(rng.integers(9)),
                hotbar_ids=HOTBAR_IDS,
                creatures=creatures,
                swing=rng.uniform(),
            )
        )
    return found


def picture(blocks: np.ndarray, view: View, size: tuple[int, int] = SIZE, hud: bool = False):
    return render(blocks, column_heights(blocks), view, size, hud=hud)


# compiled code


def test_cached_code_depends_on_every_file_of_the_voxel_world():
    """Numba would otherwise run old copies of functions that live in other files."""
    names = ("animals", "creatures", "hud", "light", "physics", "plants", "render", "sky", "surroundings", "terrain")
    stamps = set()
    for name in names:
        module = importlib.import_module(f"reverie.simulator.voxel.{name}")
        for value in vars(module).values():
            if hasattr(value, "py_func") and value.py_func.__module__.startswith("reverie."):
                stamps.add(value._cache._cache_file._source_stamp)
    assert len(stamps) == 1 and len(stamps.pop()) == 64


# textures


def test_every_kind_has_a_texture_of_its_own():
    atlas = texture_atlas()
    assert atlas.shape == (len(BLOCKS), 3, 16, 16, 4) and atlas.dtype == np.uint8
    sides = {atlas[index, 0].tobytes() for index in range(len(BLOCKS))}
    assert len(sides) == len(BLOCKS)
    for index, block in enumerate(BLOCKS[1:], 1):
        holes = (atlas[index, ..., 3] == 0).any()
        assert holes == (block.see_through and block.name != "water"), block.name
        assert atlas[index, 0, ..., :3].std() > 1.5, block.name


def test_mean_colours_tell_kinds_apart():
    colours = block_colours()
    assert colours.shape == (len(BLOCKS), 3) and colours.dtype == np.float32
    assert colours[BLOCK_ID["red_wool"], 0] > 2 * colours[BLOCK_ID["red_wool"], 1]
    assert colours[BLOCK_ID["leaves"]].argmax() == 1
    assert colours[BLOCK_ID["water"]].argmax() == 2


def test_mip_levels_keep_the_mean_colour():
    table, atlas = mip_table(), texture_atlas()
    assert table.shape == (len(BLOCKS), 3, 341, 4)
    stone = BLOCK_ID["stone"]
    np.testing.assert_allclose(table[stone, 0, -1, :3], atlas[stone, 0, ..., :3].mean((0, 1)), atol=0.01)
    leaves = BLOCK_ID["leaves"]
    opaque = atlas[leaves, 0, ..., 3] > 0
    assert abs(table[leaves, 0, -1, :3] - atlas[leaves, 0][opaque][:, :3].mean(0)).max() < 8  # holes do not darken


def test_cracks_grow():
    counts = crack_stages().sum((1, 2))
    assert (np.diff(counts) > 0).all() and counts[0] > 0


# terrain


@pytest.mark.slow
def test_terrain_is_deterministic_and_seeds_differ():
    first = generate(SEEDS[0])
    generate.cache_clear()
    again = generate(SEEDS[0])
    assert again is not first
    assert np.array_equal(first.blocks, again.blocks) and np.array_equal(first.biome, again.biome)
    assert first.landmarks == again.landmarks
    assert (generate(SEEDS[1]).blocks != first.blocks).mean() > 0.05
    assert not first.blocks.flags.writeable


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_terrain_is_rich(seed):
    terrain = generate(seed)
    share = np.bincount(terrain.biome.ravel(), minlength=len(BIOMES)) / terrain.biome.size
    assert share.min() > 0.05
    present = set(np.unique(terrain.blocks).tolist())
    assert len(present) >= 20
    assert (terrain.blocks[:, 0] == BLOCK_ID["bedrock"]).all()
    assert (terrain.blocks[:, 1:] != BLOCK_ID["bedrock"]).all()
    assert (terrain.blocks[:, SIZE_Y - 1] == 0).all()
    heights = column_heights(terrain.blocks)
    assert np.percentile(heights, 95) - np.percentile(heights, 5) >= 8  # hills
    assert (abs(np.diff(heights, axis=0)) >= 5).sum() > 100  # cliffs
    depth = np.arange(SIZE_Y)[None, :, None]
    caves = (terrain.blocks == 0) & (depth < heights[:, None] - 4)
    assert caves.sum() > 2000
    kinds = {kind for *_, kind in terrain.landmarks}
    assert kinds <= set(LANDMARKS) and {"hut", "tower", "lamp_post", "village"} <= kinds
    assert all(0 <= x < SIZE_X and 0 < y < SIZE_Y and 0 <= z < SIZE_Z for x, y, z, _ in terrain.landmarks)


def test_the_torus_has_no_seam():
    steps = {0: [], 1: []}
    seams = {0: [], 1: []}
    for seed in SEEDS:
        heights = column_heights(generate(seed).blocks).astype(int)
        for axis in (0, 1):
            slope = abs(np.diff(heights, axis=axis))
            steps[axis].append(slope.mean())
            seams[axis].append(abs(np.take(heights, 0, axis) - np.take(heights, -1, axis)).mean())
    for axis in (0, 1):
        assert np.mean(seams[axis]) < 2 * np.mean(steps[axis])


def test_column_heights_follow_edits(flat):
    heights = column_heights(flat)
    assert heights.shape == (SIZE_X, SIZE_Z) and (heights == 19).all()
    flat[5, 30, 7] = BLOCK_ID["planks"]
    flat[5, 40, 7] = BLOCK_ID["glass"]  # light goes through
    update_column(heights, flat, 5 - SIZE_X, 7 + 3 * SIZE_Z)
    assert heights[5, 7] == 30
    assert np.array_equal(heights, column_heights(flat))
    flat[9, :, 9] = 0
    update_column(heights, flat, 9, 9)
    assert heights[9, 9] == -1


# pictures


@pytest.mark.slow
def test_renders_are_equal_also_in_threads(land):
    terrain, heights = land
    todo = views(heights, 6)
    once = [render(terrain.blocks, heights, view, SIZE) for view in todo]
    with ThreadPoolExecutor(3) as pool:
        again = list(pool.map(lambda view: render(terrain.blocks, heights, view, SIZE), todo))
    for a, b in zip(once, again):
        assert np.array_equal(a.frame, b.frame)
        assert np.array_equal(a.depth, b.depth)
        assert np.array_equal(a.ids, b.ids)


@pytest.mark.slow
def test_edges_show_both_sides_by_their_shares(flat):
    """Against a picture of 25 rays a pixel: much nearer than the one ray through the middle of each."""
    flat[120:136, 20:26, 140] = BLOCK_ID["planks"]
    flat[126:130, 20:24, 136] = BLOCK_ID["red_wool"]
    flat[124, 20:29, 137] = BLOCK_ID["bricks"]
    smooth, single = [], []
    for angle in range(6):
        view = View((128.4 + 0.13 * angle, 21.62, 128.5), yaw=5.0 * angle - 14, pitch=3.0 * angle - 10)
        fine = picture(flat, view, (5 * SIZE[0], 5 * SIZE[1])).frame.astype(float)
        true = fine.reshape(SIZE[0], 5, SIZE[1], 5, 3).mean((1, 3))
        edges = picture(flat, view).ids[1:, 1:] != picture(flat, view).ids[:-1, :-1]
        smooth.append(abs(picture(flat, view).frame - true)[1:, 1:][edges].mean())
        single.append(abs(fine[2::5, 2::5] - true)[1:, 1:][edges].mean())
    assert np.mean(smooth) < 0.6 * np.mean(single)


@pytest.mark.slow
def test_what_lies_in_between_moves_smoothly(flat):
    """Turned by half a pixel, a picture is about the mean of both; with one ray a pixel it would be either."""
    flat[120:137, 20:23, 136] = BLOCK_ID["bricks"]
    angle = np.rad2deg(np.arctan(2 * np.tan(np.deg2rad(35)) / SIZE[0]))
    turned = [picture(flat, View((128.5, 21.62, 128.5), yaw=turn * angle)).frame[:, 40:120] for turn in (0, 0.5, 1)]
    first, middle, last = (frame.astype(float) for frame in turned)
    assert abs(middle - (first + last) / 2).mean() < 0.35 * abs(last - first).mean()


@pytest.mark.slow
def test_the_world_repeats(land):
    terrain, heights = land
    view = replace(views(heights, 1)[0], creatures=np.zeros((0, 6), np.float32))
    x, y, z = (round(value * 8) / 8 for value in view.position)  # so that moving it far rounds nothing
    here = render(terrain.blocks, heights, replace(view, position=(x, y, z)), SIZE)
    far = render(terrain.blocks, heights, replace(view, position=(x - 2 * SIZE_X, y, z + 5 * SIZE_Z)), SIZE)
    assert np.array_equal(here.frame, far.frame) and np.array_equal(here.depth, far.depth)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(96, 160), (128, 128), (160, 96), (192, 320), (32, 48), (16, 16)])
@pytest.mark.parametrize("hud", [True, False])
def test_any_multiple_of_16_works(land, size, hud):
    terrain, heights = land
    drawn = render(terrain.blocks, heights, views(heights, 1, seed=4)[0], size, hud=hud)
    assert drawn.frame.shape == (*size, 3) and drawn.frame.dtype == np.uint8
    assert drawn.depth.shape == size and drawn.depth.dtype == np.float32
    assert drawn.ids.shape == size and drawn.ids.dtype == np.uint8


@pytest.mark.parametrize("yaw, axis, sign", [(0, 2, 1), (90, 0, -1), (180, 2, -1), (270, 0, 1)])
def test_depth_and_ids_of_a_wall(flat, yaw, axis, sign):
    eye = np.array([100.3, 21.62, 77.6])
    wall = int(np.floor(eye[axis])) + sign * 7
    cells: list[slice | int] = [slice(None)] * 3
    cells[axis] = wall
    flat[tuple(cells)] = BLOCK_ID["bricks"]
    drawn = picture(flat, View(tuple(eye), yaw=yaw))
    distance = abs((wall if sign > 0 else wall + 1) - eye[axis])
    seen = drawn.ids == BLOCK_ID["bricks"]
    assert seen[:48].all()
    np.testing.assert_allclose(drawn.depth[seen], distance, atol=1e-3)
    floor = drawn.ids == BLOCK_ID["stone"]
    rays = pixel_rays(View(tuple(eye), yaw=yaw), SIZE)
    height = eye[1] + drawn.depth[floor] * rays[floor][:, 1]
    np.testing.assert_allclose(height, 20.0, atol=1e-3)


def test_sky_is_infinitely_far(flat):
    drawn = picture(flat, View((10.0, 21.6, 10.0), pitch=-60))
    assert np.isinf(drawn.depth).all() and (drawn.ids == 0).all()


def test_ids_match_cast(land):
    """What a pixel shows is what a ray through it meets (where nothing see-through is about)."""
    terrain, heights = land
    compared = 0
    for view in views(heights, 8, seed=2):
        view = replace(view, creatures=np.zeros((0, 6), np.float32))
        drawn = render(terrain.blocks, heights, view, SIZE, hud=False)
        rays = pixel_rays(view, SIZE)
        for i in range(4, 96, 9):
            for j in range(4, 160, 9):
                if SEE_THROUGH[drawn.ids[i, j]] or drawn.depth[i, j] > 40:
                    continue
                length = np.linalg.norm(rays[i, j])
                hit = cast(terrain.blocks, view.position, rays[i, j], 80.0)
                assert hit is not None
                x, y, z, *normal, distance = hit
                block = terrain.blocks[x & 255, y, z & 255]
                if SEE_THROUGH[block]:  # the pixel looks through one of its holes
                    assert distance <= drawn.depth[i, j] * length + 1e-3
                    continue
                assert block == drawn.ids[i, j]
                assert distance == pytest.approx(drawn.depth[i, j] * length, abs=2e-3)
                assert sorted(map(abs, normal)) == [0, 0, 1]
                compared += 1
    assert compared > 200


@pytest.mark.slow
def test_cast_reports_the_face_and_stays_in_reach(flat):
    hit = cast(flat, (300.5, 21.5, -4.5), (0.0, -2.0, 0.0), 4.5)
    assert hit == (300, 19, -5, 0, 1, 0, pytest.approx(1.5))
    assert cast(flat, (300.5, 25.5, -4.5), (0.0, -1.0, 0.0), 4.5) is None
    flat[300 & 255, 20, -5 & 255] = BLOCK_ID["water"]  # not targetable
    assert cast(flat, (300.5, 22.5, -4.5), (0.0, -1.0, 0.0), 4.5)[1] == 19


@pytest.mark.slow
def test_what_is_kept_of_a_world_goes_with_it(flat):
    view = View((128.5, 21.62, 128.5), pitch=-35)
    heights = column_heights(flat)
    flat.setflags(write=False)
    before = render(flat, heights, view, SIZE, hud=False)
    assert surroundings(flat, heights) is surroundings(flat, heights)
    edited = flat.copy()
    edited[127:130, 40, 150] = BLOCK_ID["red_wool"]
    edited.setflags(write=False)
    heights = column_heights(edited)
    fresh = weakref.ref(surroundings(edited, heights).clearance)
    assert (render(edited, heights, view, SIZE, hud=False).ids == BLOCK_ID["red_wool"]).any()
    assert np.array_equal(render(flat, column_heights(flat), view, SIZE, hud=False).frame, before.frame)
    del edited
    gc.collect()
    assert fresh() is None


def test_edits_show_at_once_far_above_the_ground(flat):
    view = View((128.5, 21.62, 128.5), pitch=-35)
    before = picture(flat, view)
    flat[128, 40, 150] = BLOCK_ID["glass"]
    flat[127:130, 40, 150] = BLOCK_ID["red_wool"]
    after = picture(flat, view)
    assert (before.ids == 0).all()
    assert (after.ids == BLOCK_ID["red_wool"]).sum() > 20


def test_cracks_change_their_block_only(flat):
    flat[128, 20:23, 131] = BLOCK_ID["planks"]
    view = View((128.5, 21.62, 128.5), pitch=10, target=(128, 20, 131))
    plain, broken = picture(flat, view), picture(flat, replace(view, crack=0.9))
    changed = (plain.frame != broken.frame).any(-1)
    assert changed.sum() > 20
    points = np.array(view.position) + pixel_rays(view, SIZE) * np.minimum(plain.depth, 99)[..., None]
    block = (abs(points - (128.5, 20.5, 131.5)) < 0.501).all(-1)
    assert (changed & block).sum() > 0.9 * changed.sum()
    beside = block.copy()  # its edges are mixed with the pixels next to them
    beside[1:] |= block[:-1]
    beside[:-1] |= block[1:]
    beside[:, 1:] |= block[:, :-1]
    beside[:, :-1] |= block[:, 1:]
    assert not (changed & ~beside).any()
    more = [(picture(flat, replace(view, crack=c)).frame != plain.frame).any(-1).sum() for c in (0.0, 0.1, 0.5, 1.0)]
    assert more[0] == 0 and more[1] < more[2] < more[3]


def test_the_target_is_outlined_across_the_seam(flat):
    view = View((-0.5, 21.62, -0.5), pitch=60)
    aimed = replace(view, target=(255, 19, 256))
    heights = column_heights(flat)
    bare = render(flat, heights, view, SIZE)
    marked = render(flat, heights, aimed, SIZE)
    assert (bare.frame != marked.frame).any(-1).sum() > 20
    without = render(flat, heights, aimed, SIZE, hud=False)  # the outline belongs to the screen layer
    assert np.array_equal(without.frame, render(flat, heights, view, SIZE, hud=False).frame)


def test_the_hours_and_roofs_and_lamps(flat):
    view = View((128.5, 21.62, 128.5), pitch=35)
    noon, dusk, night = (picture(flat, replace(view, day_time=hour)).frame.mean((0, 1)) for hour in (0.5, 0.75, 0.0))
    assert noon.sum() > dusk.sum() > night.sum()
    assert night.sum() < 0.6 * noon.sum()
    assert dusk[0] / dusk[2] > noon[0] / noon[2]  # warmer
    lit = flat.copy()
    lit[131, 20, 131] = BLOCK_ID["lamp"]
    assert picture(lit, replace(view, day_time=0.0)).frame.mean() > 1.2 * night.mean()
    roofed = flat.copy()
    roofed[100:156, 26, 100:156] = BLOCK_ID["stone"]
    assert picture(roofed, view).frame.mean() < 0.7 * noon.mean()
    # soft: it is lighter near the edge of a roof than far from it
    near, far = (
        picture(roofed, replace(view, position=(x, 21.62, 128.5), pitch=80)).frame.mean() for x in (153.5, 128.5)
    )
    assert near > 1.1 * far


def test_water_is_a_surface_that_shows_the_ground(flat):
    flat[:, 17:20] = 0
    flat[:, 16] = BLOCK_ID["sand"]
    dry = picture(flat, View((128.5, 22.0, 128.5), pitch=60))
    flat[:, 17:20] = BLOCK_ID["water"]
    wet = picture(flat, View((128.5, 22.0, 128.5), pitch=60))
    assert (wet.ids == BLOCK_ID["water"]).all() and (dry.ids == BLOCK_ID["sand"]).all()
    assert (wet.depth < dry.depth).all()
    assert wet.frame[..., 2].mean() > wet.frame[..., 0].mean() + 20
    under = picture(flat, View((128.5, 18.5, 128.5), eye_in_water=True))
    assert under.frame[..., 2].mean() > 1.5 * under.frame[..., 0].mean()
    assert (under.ids == BLOCK_ID["sand"]).any()


def test_leaves_have_holes_near_by_and_none_far_away(flat):
    for near, z in ((True, 134), (False, 160)):
        blocks = flat.copy()
        blocks[:, 20:60, z] = BLOCK_ID["leaves"]
        ids = picture(blocks, View((128.5, 30.0, 128.5))).ids
        assert ((ids[:40] != BLOCK_ID["leaves"]).mean() > 0.04) == near


def test_animals_are_seen_and_hidden(flat):
    pig = np.array([[128.5, 20, 132.5, 90, 0, 0.5]], np.float32)
    view = View((128.5, 21.62, 128.5), pitch=10, creatures=pig)
    drawn = picture(flat, view)
    body = drawn.ids == CREATURE_ID
    assert body.sum() > 150
    assert drawn.frame[body][:, 0].mean() > drawn.frame[body][:, 1].mean() + 15  # pink
    assert ((drawn.depth[body] > 3.0) & (drawn.depth[body] < 5.0)).all()
    sheep = picture(flat, replace(view, creatures=pig + np.array([0, 0, 0, 0, 1, 0], np.float32)))
    white = sheep.frame[sheep.ids == CREATURE_ID].mean(0)
    assert np.ptp(white) < 40 and white.mean() > 130
    walking = picture(flat, replace(view, creatures=pig + np.array([0, 0, 0, 0, 0, 1.2], np.float32)))
    assert (walking.frame != drawn.frame).any()
    across = picture(flat, replace(view, creatures=pig + np.array([SIZE_X, 0, -SIZE_Z, 0, 0, 0], np.float32)))
    assert np.array_equal(across.ids, drawn.ids)
    flat[126:132, 20:24, 130] = BLOCK_ID["stone"]
    assert not (picture(flat, view).ids == CREATURE_ID).any()


def test_the_hud_shows_slot_and_hand_but_leaves_depth_alone(land):
    terrain, heights = land
    view = replace(views(heights, 1, seed=3)[0], hotbar=0, swing=0.0)
    bare = render(terrain.blocks, heights, view, SIZE, hud=False)
    first = render(terrain.blocks, heights, view, SIZE)
    second = render(terrain.blocks, heights, replace(view, hotbar=5), SIZE)
    assert np.array_equal(bare.depth, first.depth) and np.array_equal(bare.ids, first.ids)
    covered = (bare.frame != first.frame).any(-1)
    assert 0.05 < covered.mean() < 0.25
    changed = (first.frame != second.frame).any(-1)
    assert changed[-16:, 24:136].any() and changed[50:80, 120:].any()
    swung = render(terrain.blocks, heights, replace(view, swing=0.4), SIZE)
    assert (swung.frame[50:82, 110:] != first.frame[50:82, 110:]).any()
    empty = render(terrain.blocks, heights, replace(view, hotbar_ids=np.zeros(9, np.uint8)), SIZE)
    assert np.array_equal(empty.frame[50:80, 120:], bare.frame[50:80, 120:])


def test_camera_axes():
    for yaw, pitch, forward in ((0, 0, (0, 0, 1)), (90, 0, (-1, 0, 0)), (0, 90, (0, -1, 0)), (180, -90, (0, 1, 0))):
        basis = camera_basis(yaw, pitch)
        np.testing.assert_allclose(basis[2], forward, atol=1e-12)
        np.testing.assert_allclose(basis @ basis.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(camera_basis(0, 0)[0], (-1, 0, 0), atol=1e-12)  # facing +z, right is -x
    rays = pixel_rays(View((0.0, 0.0, 0.0)), SIZE)
    assert rays[0, 80, 1] == pytest.approx(np.tan(np.radians(35)) * 95 / 96)


def test_it_is_not_absurdly_slow(land):
    terrain, heights = land
    todo = views(heights, 10, seed=9)
    render(terrain.blocks, heights, todo[0], SIZE)
    start = time.thread_time()
    for view in todo:
        render(terrain.blocks, heights, view, SIZE)
    assert (time.thread_time() - start) / len(todo) < 0.05
