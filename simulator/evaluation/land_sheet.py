"""A contact sheet of dreamed land: maps from above and views, beside true land."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reverie.model.cells import HEIGHT as LAYERS
from reverie.model.cells import UNKNOWN, CellMap
from reverie.model.land.columns import HEIGHT, LandFacts, filled
from reverie.model.land.pack import Pack, torus_crop
from reverie.model.land.world_model import WorldModel
from reverie.model.training.pictures import write_png
from reverie.simulator.evaluation.land import LAND, MAP, columns_below, continued_land, new_land, true_start
from reverie.simulator.voxel.blocks import BLOCK_ID

_KNOWN = 32
"""Columns of true land that are shown before what goes on from it."""
_SHEET_SEED = 17


def map_picture(cells: np.ndarray, facts: LandFacts, scale: int = 2) -> np.ndarray:
    """uint8 [z * scale, x * scale, 3]: land from above, hills shaded from the north-west."""
    from reverie.simulator.voxel.textures import block_colours

    solid_or_wet = cells != facts.air
    top = LAYERS - 1 - solid_or_wet[:, ::-1].argmax(axis=1)
    seen = np.take_along_axis(cells, top[:, None], 1)[:, 0]
    colours = np.zeros((256, 3), np.float32)
    colours[: len(block_colours())] = block_colours()
    colours[UNKNOWN] = (200, 0, 200)
    slope = np.diff(top.astype(np.float32), axis=0, prepend=top[:1]) + np.diff(
        top.astype(np.float32), axis=1, prepend=top[:, :1]
    )
    light = np.clip(1 + 0.07 * slope, 0.6, 1.4)[..., None] * (0.7 + 0.012 * top[..., None])
    picture = np.clip(colours[seen] * light, 0, 255).astype(np.uint8)
    return picture.swapaxes(0, 1).repeat(scale, axis=0).repeat(scale, axis=1)


def view_picture(cells: np.ndarray, facts: LandFacts, size: tuple[int, int] = (192, 320)) -> np.ndarray:
    """uint8 [h, w, 3]: land seen from above its edge, drawn by the voxel world's renderer."""
    from reverie.simulator.voxel.blocks import SIZE_X, SIZE_Z
    from reverie.simulator.voxel.render import View, render
    from reverie.simulator.voxel.terrain import column_heights

    blocks = np.full((SIZE_X, LAYERS, SIZE_Z), facts.air, np.uint8)
    sx, _, sz = cells.shape
    blocks[:sx, :, :sz] = np.where(cells == UNKNOWN, BLOCK_ID["stone"], cells)
    low = int(columns_below(cells, facts)[HEIGHT][sx // 2, :6].max())
    view = View((sx / 2, low + 9.0, -4.0), yaw=0.0, pitch=18.0)
    return render(np.ascontiguousarray(blocks), column_heights(blocks), view, size, hud=False).frame


def write_land_sheet(
    path: Path, model: WorldModel, pack: Pack, lands: int, edge: int = LAND, map_edge: int = MAP
) -> None:
    """Writes a PNG: for each land a row of three maps and three views.

    The maps are a true map, a dreamed one by columns alone, and a land of cells that goes on east of a true one. The
    views are of true land, of land from nothing, and of that which goes on, true in its left part.
    """
    facts = model.facts
    rows = []
    for number in range(lands):
        world = pack.world(number % len(pack))
        x, z = np.random.default_rng([_SHEET_SEED, number]).integers(0, world.shape[0], 2)
        true = torus_crop(world, x, z, (map_edge, map_edge))
        cells, columns = new_land(model, number, edge, map_edge)
        start = true_start(world, x, z)
        more, _ = continued_land(model, start, number, edge)
        joined = CellMap(start.chunks).write((0, 0, 0), more).window((-_KNOWN, 0, 0), (_KNOWN + edge, LAYERS, edge))
        maps = [
            map_picture(true, facts, 2),
            map_picture(filled(columns, facts), facts, 2),
            map_picture(joined, facts, 4)[: 2 * map_edge],
        ]
        views = [view_picture(land, facts) for land in (true[:edge, :, :edge], cells, joined)]
        rows.append(_beside(*maps))
        rows.append(_beside(*views))
    width = max(row.shape[1] for row in rows)
    write_png(path, np.concatenate([np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0))) for row in rows]))


def _beside(*pictures: np.ndarray) -> np.ndarray:
    height = max(len(picture) for picture in pictures)
    return np.concatenate(
        [np.pad(picture, ((0, height - len(picture)), (0, 4), (0, 0))) for picture in pictures], axis=1
    )
