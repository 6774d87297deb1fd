"""How like true land dreamed land is: pure functions over cells, and the two settings in which a model is measured.

Cells are uint8 [x, 64, z], tokens those of the voxel world. UNKNOWN cells count as filled: a dream leaves what lies
deep under the ground for later. *New* lands come from nothing but a seed; *continued* ones have a true half, and only
the other half is measured, beside the same half of the true land.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from reverie.model.cells import CHUNK, UNKNOWN, CellMap
from reverie.model.cells import HEIGHT as LAYERS
from reverie.model.land.columns import (
    CHANNELS,
    GROUND,
    HEIGHT,
    STRIDE,
    LandFacts,
    columns_of,
    filled,
    outline_of,
)
from reverie.model.land.masks import unknown_cells, unknown_columns
from reverie.model.land.pack import Pack, torus_crop
from reverie.model.land.world_model import Networks, Plan, WorldModel
from reverie.simulator.voxel.blocks import BLOCK_ID, LOGS

VARIOGRAM_LAGS = (1, 2, 4, 8, 16, 32)
MAP, LAND = 128, 64
"""Columns along an edge of a measured map, and of a measured land of cells."""
_LEAVES = (BLOCK_ID["leaves"], BLOCK_ID["pine_leaves"])
_CHANNELS = ("height", "ground", "level", "rise", "top")
_CONTEXT = 96
"""Columns of true land around a continued one."""


def floating_parts(cells: np.ndarray, facts: LandFacts) -> float:
    """Parts of filled cells that hang on nothing, per chunk of 16 x 16 columns.

    Cells are neighbours by their faces; the lowest layer and the four sides of the land carry what touches them.
    """
    open_tokens = facts.table(facts.fluids)
    open_tokens[facts.air] = True
    body = ~open_tokens[cells]
    held = np.zeros_like(body)
    held[:, 0] = body[:, 0]
    for side in (held[0], held[-1]):
        side |= True
    held[:, :, 0] = held[:, :, -1] = True
    held &= body
    y_held = _columns_from_below(body)
    held |= y_held
    while True:  # spread along all axes until nothing is added
        before = int(held.sum())
        for axis in range(3):
            for step in (1, -1):
                moved = np.roll(held, step, axis)
                edge: list[Any] = [slice(None)] * 3
                edge[axis] = 0 if step == 1 else -1
                moved[tuple(edge)] = False
                held |= moved & body
        if int(held.sum()) == before:
            break
    loose = {tuple(place) for place in np.argwhere(body & ~held).tolist()}
    parts = 0
    while loose:
        parts += 1
        waiting = deque([loose.pop()])
        while waiting:
            x, y, z = waiting.popleft()
            for near in ((x + 1, y, z), (x - 1, y, z), (x, y + 1, z), (x, y - 1, z), (x, y, z + 1), (x, y, z - 1)):
                if near in loose:
                    loose.remove(near)
                    waiting.append(near)
    return parts * CHUNK * CHUNK / (cells.shape[0] * cells.shape[2])


def _columns_from_below(body: np.ndarray) -> np.ndarray:
    """bool [x, y, z]: the unbroken run of filled cells that begins at the lowest layer."""
    return np.logical_and.accumulate(body, axis=1)


def over_ground(cells: np.ndarray, facts: LandFacts) -> np.ndarray:
    """bool [x, y, z]: cells above the ground of their column."""
    height = columns_of(np.where(cells == UNKNOWN, _any_ground(facts), cells), facts)[HEIGHT]
    return np.arange(cells.shape[1])[None, :, None] > height[:, None]


def _any_ground(facts: LandFacts) -> int:
    return int(np.argmax(facts.ground))


def token_counts(cells: np.ndarray, facts: LandFacts) -> np.ndarray:
    """int64 [tokens]: filled cells above the ground, by token; air counts nowhere."""
    counts = np.bincount(cells[over_ground(cells, facts)], minlength=256)[: len(facts.solid)]
    counts[facts.air] = 0
    return counts


def jensen_shannon(first: np.ndarray, second: np.ndarray) -> float:
    """Nats between two histograms, 0 to ln 2. Of nothing and something it is ln 2."""
    if not first.sum() or not second.sum():
        return 0.0 if first.sum() == second.sum() else math.log(2)
    p, q = first / first.sum(), second / second.sum()
    middle = (p + q) / 2
    return float(sum(0.5 * (part[part > 0] * np.log(part[part > 0] / middle[part > 0])).sum() for part in (p, q)))


def trunks(cells: np.ndarray) -> tuple[int, int]:
    """How many upright logs of two cells or more there are, and how many of them end in the open without leaves.

    Posts of houses and lamps carry something, and are no bare trunks.
    """
    log = np.isin(cells, LOGS)
    leaf = np.pad(np.isin(cells, _LEAVES), 1)
    above = np.zeros_like(log)
    above[:, :-1] = log[:, 1:]
    below = np.zeros_like(log)
    below[:, 1:] = log[:, :-1]
    tops = np.argwhere(log & ~above & below)
    carries = np.zeros_like(log)
    carries[:, :-1] = cells[:, 1:] != BLOCK_ID["air"]
    bare = sum(not carries[x, y, z] and not leaf[x : x + 3, y : y + 3, z : z + 3].any() for x, y, z in tops)
    return len(tops), int(bare)


def variogram(heights: np.ndarray) -> np.ndarray:
    """float64 [6]: half the mean square of the differences of heights [x, z] at 1, 2, 4, 8, 16 and 32 m."""
    heights = heights.astype(np.float64)
    found = []
    for lag in VARIOGRAM_LAGS:
        along = [heights[lag:] - heights[:-lag], heights[:, lag:] - heights[:, :-lag]]
        found.append(np.mean([0.5 * np.square(part).mean() if part.size else np.nan for part in along]))
    return np.array(found)


def patch_metres(columns: np.ndarray) -> float:
    """Mean length in metres of the stretches over which the commonest ground of 8 x 8 columns stays the same."""
    ground = outline_of(columns)[GROUND]
    changes = (ground[1:] != ground[:-1]).sum() + (ground[:, 1:] != ground[:, :-1]).sum()
    lines = ground.shape[0] + ground.shape[1]
    return float(2 * ground.size * STRIDE / (changes + lines))


def measure_map(columns: np.ndarray) -> dict[str, Any]:
    """Figures of a map of columns."""
    return {"variogram": variogram(columns[HEIGHT]), "patch": patch_metres(columns)}


def measure_land(cells: np.ndarray, facts: LandFacts) -> dict[str, Any]:
    """Figures of a land of cells."""
    counts = token_counts(cells, facts)
    stems, bare = trunks(cells)
    return {
        "floating": floating_parts(cells, facts), "counts": counts, "columns": cells.shape[0] * cells.shape[2],
        "trunks": stems, "bare": bare,
    }  # fmt: skip


def summary(lands: list[dict[str, Any]], maps: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums and means over lands and maps."""
    counts = sum((land["counts"] for land in lands), np.zeros_like(lands[0]["counts"]))
    stems, columns = sum(land["trunks"] for land in lands), sum(land["columns"] for land in lands)
    return {
        "floating": float(np.mean([land["floating"] for land in lands])),
        "counts": counts,
        "filled": float(counts.sum() / columns),
        "trunks": stems * CHUNK * CHUNK / columns,
        "bare": sum(land["bare"] for land in lands) / max(stems, 1),
        "variogram": np.mean([found["variogram"] for found in maps], axis=0),
        "patch": float(np.mean([found["patch"] for found in maps])),
    }


def compared(dreamed: dict[str, Any], true: dict[str, Any]) -> dict[str, float]:
    """The keys `land_*`, by name: figures of dreamed land, mostly over those of true land."""
    figures = {
        "floating": dreamed["floating"],
        "floating_true": true["floating"],
        "tokens_js": jensen_shannon(dreamed["counts"], true["counts"]),
        "filled_ratio": dreamed["filled"] / max(true["filled"], 1e-9),
        "trunks_ratio": dreamed["trunks"] / max(true["trunks"], 1e-9),
        "bare_trunks": dreamed["bare"],
        "bare_trunks_true": true["bare"],
        "patch_metres": dreamed["patch"],
        "patch_metres_true": true["patch"],
    }
    for lag, found, wanted in zip(VARIOGRAM_LAGS, dreamed["variogram"], true["variogram"]):
        figures[f"variogram_{lag}"] = float(found / max(wanted, 1e-9))
    return {key: round(float(value), 4) for key, value in figures.items()}


def columns_below(cells: np.ndarray, facts: LandFacts) -> np.ndarray:
    """uint8 [5, x, z]: the columns of dreamed land, UNKNOWN cells under the ground taken as filled."""
    return columns_of(np.where(cells == UNKNOWN, _any_ground(facts), cells), facts)


def true_start(world: np.ndarray, x: int, z: int) -> CellMap:
    """The land around the west of a place, as a map whose columns x < 0 are known, 96 to each other side."""
    low = (-_CONTEXT, 0, -_CONTEXT)
    known = torus_crop(world, x - _CONTEXT, z - _CONTEXT, (_CONTEXT, 2 * _CONTEXT + LAND))
    return CellMap().write(low, known)


def new_land(model: WorldModel, seed: int, edge: int = LAND, map_edge: int = MAP) -> tuple[np.ndarray, np.ndarray]:
    """Cells [edge, 64, edge] from nothing, in the middle of a map of columns [5, map_edge, map_edge]."""
    plan = model.plan(CellMap(), (0, 0), (map_edge, map_edge), seed, Plan())
    first = (map_edge - edge) // 2 // CHUNK * CHUNK
    cells = _chunk_by_chunk(model, CellMap(), (first, first), edge, seed, plan)
    return cells, model.known_columns(CellMap(), plan, (0, 0), (map_edge, map_edge))


def continued_land(model: WorldModel, start: CellMap, seed: int, edge: int = LAND) -> tuple[np.ndarray, np.ndarray]:
    """Cells [edge, 64, edge] and their columns, from x = 0 on, east of a known land."""
    plan = model.plan(start, (0, 0), (edge, edge), seed, Plan())
    cells = _chunk_by_chunk(model, start, (0, 0), edge, seed, plan)
    return cells, model.known_columns(start, plan, (0, 0), (edge, edge))


def _chunk_by_chunk(
    model: WorldModel, cells: CellMap, low: tuple[int, int], edge: int, seed: int, plan: Plan
) -> np.ndarray:
    """As play asks for it: one chunk after the other, each given those before."""
    for x in range(low[0], low[0] + edge, CHUNK):
        for z in range(low[1], low[1] + edge, CHUNK):
            proposal = model.propose(cells, (x, 0, z), (CHUNK, LAYERS, CHUNK), seed, plan)
            cells, plan = cells.write((x, 0, z), proposal.tokens), proposal.plan
    return cells.window((low[0], 0, low[1]), (edge, LAYERS, edge))


def evaluate_land(
    model: WorldModel, pack: Pack, lands: int = 8, edge: int = LAND, map_edge: int = MAP,
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, float]:  # fmt: skip
    """`new_*`, `continued_*` and `nats_*` over `lands` held-out worlds. Deterministic."""
    facts = model.facts
    figures: dict[str, float] = {}
    found: dict[str, list[Any]] = {key: [] for key in ("new", "new_true", "cont", "cont_true", "maps", "maps_true")}
    continued_maps: dict[str, list[Any]] = {"dreamed": [], "true": []}
    for number in range(lands):
        world = pack.world(number % len(pack))
        x, z = np.random.default_rng([3, number]).integers(0, world.shape[0], 2)
        cells, columns = new_land(model, number, edge, map_edge)
        found["new"].append(measure_land(cells, facts))
        found["maps"].append(measure_map(columns))
        true_map = torus_crop(world, x, z, (map_edge, map_edge))
        found["maps_true"].append(measure_map(columns_of(true_map, facts)))
        true = torus_crop(world, x, z, (edge, edge))
        found["new_true"].append(measure_land(true, facts))
        cells, columns = continued_land(model, true_start(world, x, z), number, edge)
        found["cont"].append(measure_land(cells, facts))
        found["cont_true"].append(measure_land(true, facts))
        continued_maps["dreamed"].append(measure_map(columns))
        continued_maps["true"].append(measure_map(columns_of(true, facts)))
        progress((number + 1) / lands)
    new = compared(summary(found["new"], found["maps"]), summary(found["new_true"], found["maps_true"]))
    continued = compared(
        summary(found["cont"], continued_maps["dreamed"]), summary(found["cont_true"], continued_maps["true"])
    )
    figures |= {f"new_{key}": value for key, value in new.items()}
    figures |= {f"continued_{key}": value for key, value in continued.items()}
    return figures | land_nats(model._networks, pack, model)


def _cross_entropy(logits: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Nats [n] of tokens [n] under logits [n, size]."""
    logits = logits.astype(np.float64)
    logits -= logits.max(axis=-1, keepdims=True)
    return np.log(np.exp(logits).sum(axis=-1)) - np.take_along_axis(logits, tokens[:, None].astype(int), -1)[:, 0]


def land_nats(networks: Networks, pack: Pack, model: WorldModel, crops: int = 32) -> dict[str, float]:
    """Nats of masked cells and columns on held-out worlds, over fixed crops and masks.

    `nats_cell` counts what columns settle as certain, as it is for the sampler; `nats_unsettled` is over the rest,
    `nats_above` over the rest above the ground, `nats_columns_*` over masked columns, by channel.
    """
    config, facts = model.config, model.facts
    total, unsettled, masked, above_total, above_count = 0.0, 0, 0, 0.0, 0
    channels = np.zeros((2, CHANNELS))
    margin = config.margin
    for number in range(crops):
        rng = np.random.default_rng([5, number])
        world = pack.world(number % len(pack))
        x, z = rng.integers(0, world.shape[0], 2)
        edge = config.columns.size
        reach = margin * STRIDE
        wide = columns_of(torus_crop(world, x - reach, z - reach, (edge + 2 * reach,) * 2), facts)
        columns = wide[:, reach : reach + edge, reach : reach + edge]
        unknown = unknown_columns(rng, edge)
        logits = networks.columns(np.where(unknown, np.uint8(UNKNOWN), columns), outline_of(wide))
        for channel, part in enumerate(np.split(logits, np.cumsum(config.columns.sizes)[:-1], axis=-1)):
            where = unknown[channel]
            channels[0, channel] += _cross_entropy(part[where], columns[channel][where]).sum()
            channels[1, channel] += where.sum()
        if networks.cells is None:
            continue
        edge = config.cells.size
        below = columns[:, :edge, :edge]
        low = int(np.clip(int(below[HEIGHT, edge // 2, edge // 2]) - rng.integers(edge // 8, edge), 0, LAYERS - edge))
        crop = torus_crop(world[:, low : low + edge], x, z, (edge, edge))
        no_columns = np.full_like(below, UNKNOWN)
        region = unknown_cells(np.random.default_rng([6, number]), crop, no_columns, low, facts)
        hidden = unknown_cells(np.random.default_rng([6, number]), crop, below, low, facts)
        draft = filled(below, facts)[:, low : low + edge]
        logits = networks.cells(np.where(hidden, np.uint8(UNKNOWN), crop), below, draft, np.array([low]))
        nats = _cross_entropy(logits[hidden], crop[hidden])
        over = (np.arange(low, low + edge)[None, :, None] > below[HEIGHT][:, None])[hidden]
        total, unsettled, masked = total + nats.sum(), unsettled + len(nats), masked + max(int(region.sum()), len(nats))
        above_total, above_count = above_total + nats[over].sum(), above_count + int(over.sum())
    figures = {
        f"nats_columns_{name}": channels[0, channel] / max(channels[1, channel], 1)
        for channel, name in enumerate(_CHANNELS)
    }
    if networks.cells is not None:
        figures |= {
            "nats_cell": total / max(masked, 1),
            "nats_unsettled": total / max(unsettled, 1),
            "nats_above": above_total / max(above_count, 1),
        }
    return {key: round(float(value), 5) for key, value in figures.items()}
