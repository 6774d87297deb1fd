"""The caster against the voxel world's own renderer, and against a slow walk of single rays."""

import math

import numpy as np
import pytest

from reverie.model.caster.camera import Camera, camera_basis, camera_rays, project, quarter_of, turn_quarters
from reverie.model.caster.gbuffer import ENTITY_TOKEN, EntityKind, cast
from reverie.model.caster.kernel import NO_FACE
from reverie.model.caster.scene import SceneCache, TokenTables, torus_scene
from reverie.model.cells import CellMap, Vocabulary
from reverie.simulator.voxel.blocks import BLOCKS
from reverie.simulator.voxel.views import CREATURE_ID, record_views

SIZE = (48, 80)
NAMES = tuple(block.name for block in BLOCKS)
HOLES = ("leaves", "pine_leaves")
WORDS = Vocabulary(
    NAMES,
    tuple(block.solid for block in BLOCKS),
    tuple(name in (*HOLES, "water", "glass") for name in NAMES),
    tuple(name == "lamp" for name in NAMES),
    tuple(name in HOLES for name in NAMES),
)
TABLES = TokenTables.of(WORDS)
KINDS = (EntityKind((-0.31, 0, -0.63), (0.31, 0.98, 0.92)), EntityKind((-0.4, 0, -0.77), (0.4, 1.34, 0.86)))


@pytest.fixture(scope="module")
def views():
    return record_views(1_100_003, 8, SIZE)


def gbuffer_of(views, i, entities=True):
    x, y, z, yaw, pitch = views["cameras"][i]
    scene = torus_scene(views["cells"], TABLES, x, z)
    return cast(scene, Camera((x, y, z), yaw, pitch), SIZE, views["entities"][i] if entities else None, KINDS)


@pytest.mark.slow
def test_two_layers_explain_recorded_depth_and_tokens(views):
    explained, named = [], []
    for i in range(len(views["hours"])):
        gbuffer = gbuffer_of(views, i, entities=False)
        yaw, pitch = views["cameras"][i][3:]
        truth = views["depth"][i] * np.linalg.norm(camera_rays(camera_basis(yaw, pitch), SIZE), axis=2)
        land = np.isfinite(truth) & (views["tokens"][i] != CREATURE_ID)
        layers = (
            np.abs(gbuffer.geometry[..., 0] - np.where(land, truth, -9)[..., None]) < 0.01 + 0.002 * truth[..., None]
        )
        layers &= gbuffer.faces != NO_FACE
        explained.append(layers.any(2)[land])
        first = layers[..., 0] & land
        named.append(gbuffer.tokens[..., 0][first] == views["tokens"][i][first])
        sky = np.isinf(truth)
        assert (np.isinf(gbuffer.depth())[sky] | (gbuffer.tokens[..., 0] != 0)[sky]).all()
    assert np.concatenate(explained).mean() > 0.985
    assert np.concatenate(named).mean() > 0.98


@pytest.mark.slow
def test_animals_are_boxes_that_hold_their_pixels(views):
    found = 0
    for i in range(len(views["hours"])):
        animal = views["tokens"][i] == CREATURE_ID
        if animal.sum() < 5:
            continue
        gbuffer = gbuffer_of(views, i)
        found += 1
        assert (gbuffer.owner >= 0).any(2)[animal].mean() > 0.9
        drawn = gbuffer.owner[..., 0] >= 0
        assert (gbuffer.tokens[..., 0][drawn] >= ENTITY_TOKEN).all()
    assert found


def lonely(token: str, cell=(4, 10, 9), under: str | None = None) -> CellMap:
    cells = CellMap().write((-80, 0, -80), np.zeros((160, 64, 160), np.uint8))
    cells = cells.set({cell: WORDS.token(token)})
    return cells if under is None else cells.set({(cell[0], cell[1], cell[2] + 3): WORDS.token(under)})


def ahead(cells: CellMap, position=(4.5, 10.5, 2.25), yaw=0.0, pitch=0.0):
    scene = SceneCache(TABLES).scene(cells, position[0], position[2])
    return cast(scene, Camera(position, yaw, pitch), (16, 16))


def test_a_block_ahead_is_met_where_it_is():
    gbuffer = ahead(lonely("stone"))
    i, j = 8, 8
    assert gbuffer.tokens[i, j, 0] == WORDS.token("stone")
    assert gbuffer.cells[i, j, 0].tolist() == [4, 10, 9]
    assert gbuffer.faces[i, j, 0] == 2 * 2 + 1
    ray = gbuffer.rays[i, j]
    assert gbuffer.geometry[i, j, 0, 0] == pytest.approx(6.75 / ray[2], rel=1e-4)
    assert gbuffer.geometry[i, j, 0, 1] == pytest.approx(0.5 + ray[0] / ray[2] * 6.75, abs=1e-3)
    assert np.isinf(gbuffer.depth()[0, 0])


def test_through_glass_one_sees_what_is_behind_and_through_stone_nothing():
    through = ahead(lonely("glass", under="stone"))
    assert through.tokens[8, 8].tolist() == [WORDS.token("glass"), WORDS.token("stone")]
    assert through.geometry[8, 8, 1, 0] - through.geometry[8, 8, 0, 0] == pytest.approx(3.0, abs=0.05)
    closed = ahead(lonely("stone", under="glass"))
    assert closed.tokens[8, 8].tolist() == [WORDS.token("stone")] * 2


def test_unknown_cells_are_seen_through_but_noted():
    cells = CellMap().write((0, 0, 0), np.zeros((16, 64, 16), np.uint8))
    gbuffer = ahead(cells)
    assert np.isinf(gbuffer.depth()).all()
    assert gbuffer.dark[8, 8] == pytest.approx(16 - 2.25, rel=0.01)
    assert (ahead(lonely("stone")).dark == -1).mean() > 0.3


def test_open_sky_and_lamps_are_felt():
    roofed = lonely("stone").set({(x, 15, z): WORDS.token("stone") for x in range(0, 9) for z in range(4, 13)})
    in_the_open = ahead(lonely("stone")).open_sky[8, 8, 0]
    assert in_the_open[4] == 0 and in_the_open[5] == 1  # the block itself roofs the column behind the face
    assert ahead(roofed).open_sky[8, 8, 0].min() > 0
    lit = lonely("stone").set({(6, 10, 8): WORDS.token("lamp")})
    assert ahead(lit).lamps[8, 8, 0] > 0.7 and ahead(lonely("stone")).lamps[8, 8, 0] == 0


def test_an_eye_under_water_knows_how_much_of_it_lies_ahead():
    water = np.full((12, 8, 12), WORDS.token("water"), np.uint8)
    cells = lonely("stone").write((0, 6, -3), water).set({(4, 10, 9): WORDS.token("stone")})
    gbuffer = ahead(cells, (4.5, 10.5, 1.5))
    assert gbuffer.wet[8, 8] == pytest.approx(7.5, rel=0.02)
    assert gbuffer.tokens[8, 8, 0] == WORDS.token("stone")


def test_scenes_follow_changes_of_the_map_and_any_place():
    cache = SceneCache(TABLES)
    cells = lonely("stone")
    before = cache.scene(cells, 4.5, 2.0)
    changed = cells.set({(4, 10, 9): 0, (5, 12, 9): WORDS.token("lamp")})
    after = cache.scene(changed, 4.5, 2.0)
    assert (
        before.heights[4 - before.low_x, 9 - before.low_z] == 10
        and after.heights[4 - after.low_x, 9 - after.low_z] == -1
    )
    assert len(before.lamps) == 0 and after.lamps.tolist() == [[5.5, 12.5, 9.5]]
    assert cache.scene(cells, 4.5, 2.0).heights[4 - before.low_x, 9 - before.low_z] == 10


def test_the_same_scene_casts_the_same_bytes(views):
    one, two = gbuffer_of(views, 0), gbuffer_of(views, 0)
    for name in ("tokens", "faces", "geometry", "cells", "open_sky", "lamps", "wet", "dark", "owner", "rays"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes(), name


def test_projection_undoes_rays():
    camera = Camera((3.0, 5.0, -2.0), 37.0, -12.0)
    basis = camera_basis(camera.yaw, camera.pitch)
    points = np.asarray(camera.position) + 4.0 * camera_rays(basis, SIZE)
    at = project(points, np.asarray(camera.position), basis, SIZE, camera.fov)
    assert np.allclose(at[..., 0], np.arange(SIZE[1])[None]) and np.allclose(at[..., 1], np.arange(SIZE[0])[:, None])
    assert np.allclose(at[..., 2], 4.0)


@pytest.mark.parametrize("yaw", [-180.0, -46.0, -44.0, 0.0, 44.9, 45.1, 133.0, 179.0, 300.0])
def test_quarter_turns_bring_the_view_to_the_front(yaw):
    quarters = quarter_of(yaw)
    ahead_of = camera_basis(yaw, 10.0)[2]
    turned = turn_quarters(ahead_of, quarters)
    assert np.allclose(turned, camera_basis(yaw - 90.0 * quarters, 10.0)[2])
    assert abs(math.degrees(math.atan2(-turned[0], turned[2]))) <= 45.0 + 1e-6


def test_views_repeat(views):
    again = record_views(1_100_003, 8, SIZE)
    assert all(again[key].tobytes() == value.tobytes() for key, value in views.items())


@pytest.mark.slow
def test_the_batched_caster_gives_the_same_answers(views):
    import torch

    from reverie.model.caster.torch_caster import BatchScene, cast_batch

    scenes = [torus_scene(views["cells"], TABLES, *views["cameras"][i][[0, 2]]) for i in range(4)]
    low = torch.tensor([[scene.low_x, scene.low_z] for scene in scenes])
    grids = torch.from_numpy(np.stack([scene.grid for scene in scenes]))
    cameras = torch.from_numpy(views["cameras"][:4])
    entities = torch.from_numpy(views["entities"][:4].astype(np.float64))
    batch = cast_batch(
        BatchScene.of(grids, low, TABLES, most_lamps=64), cameras[:, :3], cameras[:, 3], cameras[:, 4], SIZE, 70.0,
        entities, KINDS,
    )  # fmt: skip
    for i in range(4):
        one = gbuffer_of(views, i)
        for name in ("tokens", "faces", "cells", "open_sky", "owner"):
            same = getattr(batch, name)[i].numpy() == getattr(one, name)
            if name in ("cells", "open_sky"):
                same = same[(one.faces != NO_FACE) & (one.owner < 0)]
            assert same.mean() > 0.9995, name
        agree = (batch.faces[i].numpy() == one.faces) & (batch.tokens[i].numpy() == one.tokens)
        assert np.allclose(batch.geometry[i].numpy()[agree], one.geometry[agree], rtol=1e-3, atol=2e-3)
        assert np.allclose(batch.wet[i].numpy(), one.wet, atol=1e-2)
        assert (np.abs(batch.dark[i].numpy() - one.dark) < 1e-2).mean() > 0.999
        assert np.allclose(batch.rays[i].numpy(), one.rays, atol=1e-6)
