"""The world model: packed worlds, columns, samplers, networks, proposals, training and its evaluation."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.demos import land as command
from reverie.model.cells import CHUNK, UNKNOWN, CellMap, Vocabulary
from reverie.model.cells import HEIGHT as LAYERS
from reverie.model.errors import ModelError
from reverie.model.land.columns import (
    CHANNELS,
    GROUND,
    HEIGHT,
    LEVEL,
    RISE,
    TOP,
    LandFacts,
    columns_of,
    filled,
    outline_of,
    settled,
    survey,
)
from reverie.model.land.config import LandConfig, land_config
from reverie.model.land.export import build, example, export, load_network, save_land
from reverie.model.land.masks import unknown_cells, unknown_columns
from reverie.model.land.networks import base_height
from reverie.model.land.pack import Pack, open_pack, torus_crop, write_pack
from reverie.model.land.sampling import halton_ranks, passes_of, sample_by_confidence, sample_in_order
from reverie.model.land.world_model import (
    PARTS,
    Networks,
    OnnxNetwork,
    Plan,
    SamplerConfig,
    WorldModel,
    load_config,
)
from reverie.model.training import land as training
from reverie.simulator.evaluation import land as evaluation
from reverie.simulator.evaluation.land_sheet import write_land_sheet
from reverie.simulator.voxel.blocks import BLOCK_ID
from reverie.simulator.voxel.lands import HELD_OUT, land_cells, pack_lands, voxel_vocabulary

AIR, STONE, DIRT, GRASS, WATER, LOG, LEAVES = (
    BLOCK_ID[name] for name in ("air", "stone", "dirt", "grass", "water", "log", "leaves")
)
EDGE = 64
CONFIG = land_config(len(voxel_vocabulary()), "test")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks as small as these take far longer on several threads than on one, where the machine is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small_world(seed: int) -> np.ndarray:
    """uint8 [64, 64, 64]: a quarter of a true world's edge; it does not wrap smoothly, which is no matter here."""
    return np.ascontiguousarray(land_cells(seed)[:EDGE, :, :EDGE])


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return voxel_vocabulary()


@pytest.fixture(scope="module")
def facts(vocabulary: Vocabulary) -> LandFacts:
    return survey([land_cells(0)], vocabulary)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory, vocabulary: Vocabulary) -> Pack:
    folder = tmp_path_factory.mktemp("pack")
    write_pack(folder, vocabulary, (EDGE, LAYERS, EDGE), range(3), small_world)
    return open_pack(folder)


def torch_networks(seed: int = 0) -> Networks:
    """Untrained networks of the test size, as the world model calls them."""
    torch.manual_seed(seed)

    def runner(part: str):
        network = build(part, CONFIG).eval().requires_grad_(False)

        def call(*inputs: np.ndarray) -> np.ndarray:
            batch = [torch.from_numpy(np.array(item)).long() for item in inputs]
            return network(*(item if item.ndim == 1 else item[None] for item in batch))[0].numpy()

        return call

    return Networks(*(runner(part) for part in PARTS))


@pytest.fixture(scope="module")
def model(vocabulary: Vocabulary, facts: LandFacts) -> WorldModel:
    sampler = SamplerConfig(outline_passes=2, column_passes=2, buried_passes=1, open_passes=2)
    return WorldModel(CONFIG, vocabulary, facts, torch_networks(), sampler)


# --- packed worlds


def test_a_pack_is_what_was_written_and_goes_on_where_it_stopped(tmp_path: Path, vocabulary: Vocabulary) -> None:
    made: list[int] = []

    def generate(seed: int) -> np.ndarray:
        made.append(seed)
        return np.full((4, LAYERS, 4), seed, np.uint8)

    write_pack(tmp_path, vocabulary, (4, LAYERS, 4), range(2), generate)
    write_pack(tmp_path, vocabulary, (4, LAYERS, 4), range(3), generate)
    assert made == [0, 1, 2]
    pack = open_pack(tmp_path)
    assert pack.seeds == (0, 1, 2) and pack.vocabulary == vocabulary
    assert (pack.world(2) == 2).all()
    (tmp_path / "00000001.npz").write_bytes(b"nothing of use")
    with pytest.raises(ModelError, match="cannot be read"):
        pack.world(1)
    with pytest.raises(ModelError, match="cannot be read"):
        open_pack(tmp_path / "elsewhere")


def test_training_and_held_out_worlds_never_share_a_pack(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="held out"):
        pack_lands(tmp_path, HELD_OUT - 1, 2)


def test_crops_wrap_along_x_and_z() -> None:
    world = np.arange(4 * 2 * 3).reshape(4, 2, 3)
    crop = torus_crop(world, 3, 2, (3, 2))
    assert crop.shape == (3, 2, 2)
    assert (crop[1, :, 1] == world[0, :, 0]).all() and (crop[0, :, 0] == world[3, :, 2]).all()


# --- columns


def test_a_survey_tells_the_ground_from_what_stands_on_it(facts: LandFacts, vocabulary: Vocabulary) -> None:
    ground = {name for name, is_ground in zip(vocabulary.names, facts.ground) if is_ground}
    assert {"grass", "sand", "snow", "stone", "gravel"} <= ground
    assert not {"log", "leaves", "pine_leaves", "planks", "cactus", "ice", "air", "water"} & ground
    assert facts.air == AIR and facts.fluid == WATER and vocabulary.names[facts.floor] == "bedrock"
    assert [vocabulary.names[token] for token in facts.under[GRASS][:5]] == ["grass", "dirt", "dirt", "dirt", "stone"]
    assert LandFacts.from_dict(facts.to_dict()) == facts


def meadow() -> np.ndarray:
    """uint8 [4, 64, 4]: grass at y = 20, a pond at (0, 0), a tree's crown over (2, 2)."""
    cells = np.full((4, LAYERS, 4), AIR, np.uint8)
    cells[:, :18], cells[:, 18:20], cells[:, 20] = STONE, DIRT, GRASS
    cells[0, 19:21, 0] = WATER
    cells[2, 21:24, 2], cells[2, 24, 2] = LOG, LEAVES
    return cells


def test_columns_hold_ground_fluid_and_what_stands(facts: LandFacts) -> None:
    columns = columns_of(meadow(), facts)
    assert columns[:, 1, 1].tolist() == [20, GRASS, 0, 0, AIR]
    assert columns[:, 0, 0].tolist() == [18, DIRT, 20, 0, AIR]
    assert columns[:, 2, 2].tolist() == [20, GRASS, 0, 4, LEAVES]


def test_columns_are_unknown_where_the_cells_leave_them_open(facts: LandFacts) -> None:
    cells = meadow()
    cells[1, 21:, 1] = UNKNOWN  # the ground may go on above
    cells[3, :20, 3] = UNKNOWN  # what is below matters to none of the five
    cells[2, 30:, 2] = UNKNOWN  # a higher top may be there
    cells[0, 21, 0] = UNKNOWN  # the pond's surface was not seen
    columns = columns_of(cells, facts)
    assert (columns[:, 1, 1] == UNKNOWN).all()
    assert columns[:, 3, 3].tolist() == [20, GRASS, 0, 0, AIR]
    assert columns[:, 2, 2].tolist() == [20, GRASS, 0, UNKNOWN, UNKNOWN]
    assert columns[HEIGHT, 0, 0] == 18 and columns[LEVEL, 0, 0] == UNKNOWN


def test_what_columns_settle_is_true_and_the_fill_is_near(facts: LandFacts) -> None:
    world = land_cells(0)
    columns = columns_of(world, facts)
    assert not (columns == UNKNOWN).any()
    sure = settled(columns, facts)
    known = sure != UNKNOWN
    assert (sure == world)[known].mean() > 0.9999
    filling = filled(columns, facts)
    assert not (filling == UNKNOWN).any()
    assert (filling == world).mean() > 0.93
    unknown = np.full_like(columns[:, :4, :4], UNKNOWN)
    assert (filled(unknown, facts) == UNKNOWN).all() and (settled(unknown, facts) == UNKNOWN).all()


def test_an_outline_keeps_what_is_common_and_needs_most_of_the_columns() -> None:
    columns = np.zeros((CHANNELS, 16, 8), np.uint8)
    columns[HEIGHT], columns[GROUND], columns[TOP] = 30, GRASS, AIR
    columns[GROUND, :3, :8] = STONE
    columns[RISE, 8:, :4], columns[TOP, 8:, :4] = 5, LEAVES
    outline = outline_of(columns)
    assert outline[:, 0, 0].tolist() == [30, GRASS, 0, 0, AIR]
    assert outline[[RISE, TOP], 1, 0].tolist() == [8, LEAVES]
    columns[:, 8:12] = UNKNOWN
    assert (outline_of(columns)[:, 1, 0] == UNKNOWN).all()


# --- samplers


def test_passes_share_the_unknown_places_and_channels_follow() -> None:
    unknown = np.ones((3, 4, 4), bool)
    unknown[:, 0, 0] = False
    unknown[0, 1, 1] = False
    turns = passes_of(halton_ranks(4, np.random.default_rng(0)), unknown, 5, (0, 1, 2))
    assert (turns[:, 0, 0] == -1).all() and turns[0, 1, 1] == -1 and turns[1, 1, 1] >= 1
    counts = np.bincount(turns[2][turns[2] >= 0])
    assert counts.tolist() == [0, 0, 3, 3, 3, 3, 3]


@pytest.mark.parametrize("kind", ["order", "confidence"])
def test_samplers_fill_everything_change_nothing_known_and_repeat(kind: str) -> None:
    table = np.random.default_rng(1).normal(size=(2, 6, 6, 7)).astype(np.float32)
    tokens = np.random.default_rng(2).choice([1, 2, UNKNOWN], size=(2, 6, 6)).astype(np.uint8)

    def draw(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        if kind == "confidence":
            return sample_by_confidence(lambda _: list(table), tokens, 4, 1.0, 0.0, 1.0, rng)
        turns = passes_of(halton_ranks(6, rng), tokens == UNKNOWN, 4, (0, 1))
        return sample_in_order(lambda _: list(table), tokens, turns, 1.0, 0.0, rng)

    first = draw(0)
    assert (first != UNKNOWN).all() and (first[tokens != UNKNOWN] == tokens[tokens != UNKNOWN]).all()
    assert (draw(0) == first).all() and (draw(1) != first).any()


def test_later_passes_see_what_earlier_ones_sampled() -> None:
    seen: list[int] = []

    def predict(tokens: np.ndarray) -> list[np.ndarray]:
        seen.append(int((tokens == UNKNOWN).sum()))
        return [np.zeros((4, 4, 2), np.float32)]

    unknown = np.ones((1, 4, 4), bool)
    turns = passes_of(np.arange(16).reshape(4, 4), unknown, 4)
    sample_in_order(predict, np.full((1, 4, 4), UNKNOWN, np.uint8), turns, 1.0, 0.0, np.random.default_rng(0))
    assert seen == [16, 12, 8, 4]


def test_unlikely_tokens_are_left_out() -> None:
    logits = np.zeros((1, 40, 40, 3), np.float32)
    logits[..., 2] = -2.0
    tokens = np.full((1, 40, 40), UNKNOWN, np.uint8)
    for min_p, values in ((0.0, {0, 1, 2}), (0.2, {0, 1})):
        rng = np.random.default_rng(0)
        drawn = sample_in_order(lambda _: list(logits), tokens, np.zeros_like(tokens, np.int64), 1.0, min_p, rng)
        assert set(np.unique(drawn)) == values


# --- networks


def test_base_heights_come_from_the_nearest_known_columns() -> None:
    height = torch.full((1, 32, 32), UNKNOWN)
    height[:, :16] = 40
    height[:, 28:] = 10
    base = base_height(height, None)[0]
    assert (base[:18] == 40).all() and (base[-4:] == 10).all()
    nothing = torch.full((1, 32, 32), UNKNOWN)
    assert base_height(nothing, None).unique().tolist() == [24]
    assert base_height(nothing, torch.full((1, 32, 32), 33)).unique().tolist() == [33]


def test_masks_are_never_empty_and_spare_what_is_settled(facts: LandFacts) -> None:
    world = land_cells(0)
    low = 12
    crop, below = world[:16, low : low + 16, :16], columns_of(world[:16, :, :16], facts)
    for seed in range(40):
        assert unknown_columns(np.random.default_rng(seed), 16).any()
        unknown = unknown_cells(np.random.default_rng(seed), crop, below, low, facts)
        assert not (unknown & (settled(below, facts)[:, low : low + 16] != UNKNOWN)).any()


@pytest.mark.slow
def test_the_onnx_files_equal_the_networks(tmp_path: Path, vocabulary: Vocabulary, facts: LandFacts) -> None:
    torch.manual_seed(3)
    networks = {part: build(part, CONFIG) for part in PARTS}
    for network in networks.values():  # layers that begin at zero would hide faults
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.2)
    save_land(tmp_path, CONFIG, vocabulary, facts, {part: networks[part].state_dict() for part in PARTS})
    export(tmp_path)
    rng = np.random.default_rng(0)
    for part in PARTS:
        loaded = load_network(tmp_path, part)
        inputs = [rng.choice([1, 2, 10, UNKNOWN], size=item.shape[1:]) for item in example(part, CONFIG)]
        if part == "cells":
            inputs[-1] = np.array([7])
        batch = [torch.from_numpy(item)[None] if item.ndim > 1 else torch.from_numpy(item) for item in inputs]
        with torch.no_grad():
            expected = loaded(*batch)[0].numpy()
        found = OnnxNetwork(tmp_path / f"{part}.onnx")(*inputs)
        np.testing.assert_allclose(found, expected, atol=2e-4)
    world_model = WorldModel.load(tmp_path)
    assert world_model.config == CONFIG and world_model.facts == facts and world_model.vocabulary == vocabulary
    (tmp_path / "cells.onnx").unlink()
    assert (WorldModel.load(tmp_path).propose(CellMap(), (0, 0, 0), (8, LAYERS, 8), 0).tokens[:, -1] != UNKNOWN).all()
    (tmp_path / "columns.onnx").unlink()
    with pytest.raises(ModelError, match=r"columns\.onnx is missing"):
        WorldModel.load(tmp_path)
    (tmp_path / "config.json").write_text("{}", "utf-8")
    with pytest.raises(ModelError, match=r"config\.json: cannot be read"):
        load_config(tmp_path)
    assert LandConfig.from_dict(CONFIG.to_dict()) == CONFIG


def test_the_world_model_runs_without_torch() -> None:
    code = "import sys; import reverie.model.land.world_model; print('torch' in sys.modules, 'numba' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd="/")
    assert out.stdout.split() == ["False", "False"]


# --- proposals


@pytest.mark.slow
def test_a_proposal_keeps_what_is_known_fills_the_rest_and_repeats(model: WorldModel) -> None:
    world = land_cells(1)
    known = CellMap().write((-32, 0, -32), world[:32, :, :64])
    known = known.set({(3, 30, 3): LOG, (5, 2, 5): WATER})
    box = (-8, 0, 0), (24, LAYERS, 16)
    first = model.propose(known, *box, seed=5, depth=None)
    before = known.window(*box)
    assert (first.tokens[before != UNKNOWN] == before[before != UNKNOWN]).all()
    assert not (first.tokens == UNKNOWN).any()
    again = model.propose(known, *box, seed=5, depth=None)
    assert (again.tokens == first.tokens).all()
    other = model.propose(known, *box, seed=6, depth=None)
    assert (other.tokens != first.tokens).any()


def test_only_cells_far_under_the_ground_stay_unknown(model: WorldModel) -> None:
    tokens, plan = model.propose(CellMap(), (0, 0, 0), (CHUNK, LAYERS, CHUNK), seed=0, depth=4)
    height = model.known_columns(CellMap(), plan, (0, 0), (CHUNK, CHUNK))[HEIGHT].astype(int)
    deep = np.arange(LAYERS)[None, :, None] < height[:, None] - 4
    sure = settled(model.known_columns(CellMap(), plan, (0, 0), (CHUNK, CHUNK)), model.facts) != UNKNOWN
    assert ((tokens == UNKNOWN) == (deep & ~sure)).all() and (tokens == UNKNOWN).any()


def test_the_ground_is_as_high_as_a_plan_says(model: WorldModel) -> None:
    plan = model.plan_heights({(3, 5): 20, (-1, 2): 41})
    tokens, fresh = model.propose(CellMap(), (-CHUNK, 0, 0), (2 * CHUNK, LAYERS, CHUNK), seed=0, plan=plan)
    heights = model.known_columns(CellMap(), fresh, (-CHUNK, 0), (2 * CHUNK, CHUNK))[HEIGHT]
    assert (heights[CHUNK + 3, 5], heights[CHUNK - 1, 2]) == (20, 41) and not (heights == UNKNOWN).any()
    assert model.vocabulary.solid[tokens[CHUNK + 3, 20, 5]]


def test_land_is_the_same_however_a_box_is_placed_on_y(model: WorldModel) -> None:
    tall = model.propose(CellMap(), (0, -3, 0), (CHUNK, LAYERS + 6, CHUNK), seed=0, depth=None).tokens
    assert (tall[:, :3] == UNKNOWN).all() and (tall[:, -3:] == UNKNOWN).all()
    assert not (tall[:, 3:-3] == UNKNOWN).any()


def test_a_plan_is_kept_and_far_land_is_its_columns(model: WorldModel, facts: LandFacts) -> None:
    plan = model.plan(CellMap(), (16, -16), (32, 16), 3, Plan())
    columns = model.known_columns(CellMap(), plan, (16, -16), (32, 16))
    assert not (columns == UNKNOWN).any()
    assert model.plan(CellMap(), (16, -16), (32, 16), 4, plan) is plan
    proposal = model.propose(CellMap(), (16, 0, -16), (16, LAYERS, 16), 9, plan)
    sure = settled(columns[:, :16, :16], facts)
    known = (sure != UNKNOWN) & (proposal.tokens != UNKNOWN)
    assert (proposal.tokens == sure)[known].all()  # nothing stands where nothing was planned
    plain = WorldModel(model.config, model.vocabulary, facts, model._networks._replace(cells=None))
    far = plain.propose(CellMap(), (16, 0, -16), (16, LAYERS, 16), 9, plan, depth=None).tokens
    assert (far == filled(columns[:, :16, :16], facts)).mean() > 0.99


def test_a_dig_opens_cells_of_its_columns_ground(model: WorldModel, facts: LandFacts) -> None:
    plain = WorldModel(model.config, model.vocabulary, facts, model._networks._replace(cells=None))
    cells = np.full((16, LAYERS, 16), AIR, np.uint8)
    cells[:, :17] = UNKNOWN
    cells[:, 17:21] = GRASS
    opened = plain.propose(CellMap().write((0, 0, 0), cells), (4, 10, 4), (3, 6, 3), 0, depth=None).tokens
    assert set(np.unique(opened)) <= {DIRT, STONE}


@pytest.mark.parametrize("cells", ["bottom-up", "confidence", "random"])
def test_every_sampler_of_cells_gives_whole_land(model: WorldModel, cells: str) -> None:
    sampled = WorldModel(
        model.config, model.vocabulary, model.facts, model._networks, replace(model.sampler, cells=cells)
    )
    tokens = sampled.propose(CellMap(), (0, 0, 0), (CHUNK, LAYERS, CHUNK), seed=0, depth=None).tokens
    assert not (tokens == UNKNOWN).any()


def test_an_unknown_sampler_is_refused(model: WorldModel) -> None:
    with pytest.raises(ValueError, match="unknown sampler"):
        WorldModel(model.config, model.vocabulary, model.facts, model._networks, SamplerConfig(cells="top-down"))


# --- training

LOOP = training.LoopConfig(batch=2, resident=2, stay=2, warm_up=2, evaluation_batches=1)


@pytest.mark.parametrize("part", PARTS)
def test_a_run_that_was_killed_ends_as_one_that_was_not(part: str, pack: Pack, tmp_path: Path) -> None:
    train = training.TRAIN[part]

    def weights(folder: str, *ends: int) -> dict[str, torch.Tensor]:
        for end in ends:
            network = train(pack.folder, tmp_path / folder, 5.0, preset="test", loop=LOOP, max_steps=end)
        return network.state_dict()

    whole, parts = weights("whole", 5), weights("parts", 2, 3, 5)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    cooled = train(pack.folder, tmp_path / "whole", 5.0, preset="test", loop=LOOP, cool_steps=2)
    assert (tmp_path / "whole" / "cooled.safetensors").is_file()
    assert any(not torch.equal(whole[name], weight) for name, weight in cooled.state_dict().items())
    state = torch.load(tmp_path / "whole" / training.CHECKPOINT, weights_only=True)
    assert state["step"] == 5  # the run itself goes on from where it was


@pytest.mark.slow
def test_training_lowers_the_losses(pack: Pack, tmp_path: Path) -> None:
    loop = replace(LOOP, batch=4)
    with_seed = training.TRAIN["columns"](pack.folder, tmp_path / "run", 5.0, preset="test", loop=loop, max_steps=30)
    lines = (tmp_path / "run" / training.LOG).read_text("utf-8").splitlines()
    assert "held_out" in lines[-1]
    batch = training.column_batch(
        training.WorldPool(pack, load_config(tmp_path / "run")[2], 2, 1, False).at(0),
        np.random.default_rng(0), 8, CONFIG.columns,
    )  # fmt: skip
    torch.manual_seed(0)
    fresh = build("columns", CONFIG)
    with torch.no_grad():
        before, after = (
            sum(float(loss) for loss in training.column_losses(network, *batch).values())
            for network in (fresh, with_seed)
        )
    assert after < 0.8 * before


def test_a_run_of_another_network_is_refused(pack: Pack, tmp_path: Path) -> None:
    training.prepare(pack.folder, tmp_path, "test")
    with pytest.raises(ModelError, match="another network"):
        training.prepare(pack.folder, tmp_path, "tiny")


# --- evaluation


def test_floating_parts_are_counted_whatever_they_are(facts: LandFacts) -> None:
    cells = np.full((16, LAYERS, 16), AIR, np.uint8)
    cells[:, :20] = STONE
    cells[8, 20:24, 8] = LOG
    cells[8, 24:, 8][:3] = LEAVES
    assert evaluation.floating_parts(cells, facts) == 0
    cells[3, 30, 3] = LEAVES
    cells[5, 30, 5:7] = LEAVES
    cells[6, 31, 6] = LEAVES  # touches the last by an edge only
    assert evaluation.floating_parts(cells, facts) == 3
    cells[0, 40, 5] = LEAVES  # goes on beyond the side, for all one knows
    assert evaluation.floating_parts(cells, facts) == 3


def test_bare_trunks_and_histograms_notice_lost_crowns(facts: LandFacts) -> None:
    world = np.ascontiguousarray(land_cells(2)[:64, :, :64])
    stems, bare = evaluation.trunks(world)
    assert stems > 10 and bare < 0.2 * stems
    shorn = np.where(np.isin(world, evaluation._LEAVES), AIR, world).astype(np.uint8)
    assert evaluation.trunks(shorn)[1] > bare + 5
    true, lost = evaluation.token_counts(world, facts), evaluation.token_counts(shorn, facts)
    assert evaluation.jensen_shannon(true, lost) > 0.1
    assert evaluation.jensen_shannon(true, true) == 0 and evaluation.jensen_shannon(true, true * 0) > 0.6


def test_rough_heights_and_small_patches_are_noticed(facts: LandFacts) -> None:
    columns = columns_of(land_cells(2), facts)
    rough = columns.copy()
    rough[HEIGHT] += np.random.default_rng(0).integers(0, 4, rough[HEIGHT].shape).astype(np.uint8)
    assert evaluation.variogram(rough[HEIGHT])[0] > 1.5 * evaluation.variogram(columns[HEIGHT])[0]
    rough[GROUND] = np.random.default_rng(0).choice([GRASS, STONE], rough[GROUND].shape)
    assert evaluation.patch_metres(rough) < 0.7 * evaluation.patch_metres(columns)
    whole = np.full_like(columns, GRASS)
    assert evaluation.patch_metres(whole) == pytest.approx(columns.shape[1], rel=0.01)


@pytest.mark.slow
def test_an_evaluation_has_its_keys_and_repeats(model: WorldModel, pack: Pack, tmp_path: Path) -> None:
    shares: list[float] = []
    figures = evaluation.evaluate_land(model, pack, 1, edge=16, map_edge=32, progress=shares.append)
    assert {"new_floating", "continued_tokens_js", "new_variogram_32", "nats_cell", "nats_columns_height"} <= set(
        figures
    )
    assert shares == [1.0]
    again = evaluation.evaluate_land(model, pack, 1, edge=16, map_edge=32)
    np.testing.assert_equal(again, figures)
    assert 2.0 < figures["nats_columns_height"] < 6.0 and 0 < figures["nats_cell"] <= figures["nats_unsettled"]
    write_land_sheet(tmp_path / "sheet.png", model, pack, 1, edge=16, map_edge=32)
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_the_command_packs_and_reports_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["pack", "--data", str(tmp_path / "data"), "--first", "7", "--count", "1"]) == 0
    assert open_pack(tmp_path / "data").seeds == (7,)
    model = ["evaluate", "--model", str(tmp_path), "--held-out", str(tmp_path / "data")]
    assert command.main(model) == 2
    assert capsys.readouterr().err.startswith("reverie: ")
