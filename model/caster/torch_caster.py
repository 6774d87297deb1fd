"""The caster for batches on a GPU, in plain torch: the same answers as `gbuffer.cast`, for many cameras at once.

All rays of a batch take a step together; those that have arrived wait. Nothing leaves the device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.model.caster.gbuffer import ENTITY_TOKEN, VIEW_DISTANCE, EntityKind
from reverie.model.caster.kernel import (
    DARK,
    DEEPEST,
    LAMP_REACH,
    NO_FACE,
    OPAQUE,
    OPEN,
    OPEN_COLUMNS,
    SEE_THROUGH,
    TEXELS,
)
from reverie.model.caster.scene import TokenTables
from reverie.model.cells import HEIGHT

_TINY = 1e-9
_FIRST = (2, 0, 0)
_SECOND = (1, 2, 1)
"""Axes of u and v on faces of each axis."""


@dataclass(frozen=True, eq=False)
class BatchScene:
    """Grids of a batch on a device: `grid` uint8 [b, sx, 64, sz], `low` int64 [b, 2] (x, z), `heights` int16
    [b, sx, sz], `lamps` float64 [b, n, 3] (infinity where there are fewer), `kinds`, `inner`, `medium` by token."""

    grid: Tensor
    low: Tensor
    heights: Tensor
    lamps: Tensor
    kinds: Tensor
    inner: Tensor
    medium: Tensor

    @classmethod
    def of(cls, grid: Tensor, low: Tensor, tables: TokenTables, most_lamps: int = 24) -> BatchScene:
        """From grids alone."""
        device = grid.device
        kinds = torch.from_numpy(tables.kinds).to(device)
        opaque = kinds[grid.long()] == OPAQUE
        y = torch.arange(HEIGHT, device=device, dtype=torch.int16)
        heights = torch.where(opaque, y[None, None, :, None], torch.full_like(y, -1)[None, None, :, None]).amax(2)
        shining = torch.from_numpy(tables.emits).to(device)[grid.long()]
        lamps = torch.full((len(grid), most_lamps, 3), torch.inf, dtype=torch.float64, device=device)
        for i in range(len(grid)):
            found = shining[i].nonzero()[:most_lamps].double() + 0.5
            found[:, 0] += low[i, 0]
            found[:, 2] += low[i, 1]
            lamps[i, : len(found)] = found
        inner, medium = (torch.from_numpy(table).to(device) for table in (tables.inner, tables.medium))
        return cls(grid, low, heights, lamps, kinds, inner, medium)


@dataclass(frozen=True, eq=False)
class BatchGBuffer:
    """As `GBuffer`, with a batch in front, on the device."""

    tokens: Tensor
    faces: Tensor
    geometry: Tensor
    cells: Tensor
    open_sky: Tensor
    lamps: Tensor
    wet: Tensor
    dark: Tensor
    owner: Tensor
    rays: Tensor


def camera_bases(yaw: Tensor, pitch: Tensor) -> Tensor:
    """float64 [b, 3, 3]: right, up, forward; angles float64 [b] in degrees."""
    cy, sy = torch.cos(torch.deg2rad(yaw)), torch.sin(torch.deg2rad(yaw))
    cp, sp = torch.cos(torch.deg2rad(pitch)), torch.sin(torch.deg2rad(pitch))
    zero = torch.zeros_like(cy)
    rows = [
        torch.stack([-cy, zero, -sy], 1),
        torch.stack([-sy * sp, cp, cy * sp], 1),
        torch.stack([-sy * cp, -sp, cy * cp], 1),
    ]
    return torch.stack(rows, 1)


def cast_batch(
    scene: BatchScene,
    eye: Tensor,
    yaw: Tensor,
    pitch: Tensor,
    size: tuple[int, int],
    fov: float,
    entities: Tensor | None = None,
    kinds: tuple[EntityKind, ...] = (),
) -> BatchGBuffer:
    """G-buffers of cameras at `eye` float64 [b, 3]; `entities` float64 [b, n, 6] as for `gbuffer.cast`."""
    b, (h, w), device = len(eye), size, eye.device
    basis = camera_bases(yaw, pitch)
    scale = 2.0 * math.tan(math.radians(fov) / 2.0) / h
    across = (torch.arange(w, device=device, dtype=torch.float64) + 0.5 - w / 2) * scale
    up = (h / 2 - torch.arange(h, device=device, dtype=torch.float64) - 0.5) * scale
    rays = basis[:, 2, None, None] + across[None, None, :, None] * basis[:, 0, None, None]
    rays = (rays + up[None, :, None, None] * basis[:, 1, None, None]).reshape(b, h * w, 3)
    trace = _Trace(scene, eye, basis, rays, scale)
    trace.run()
    shape = (b, h, w)
    owner = torch.full((b, h * w, 2), -1, dtype=torch.int16, device=device)
    open_sky, lamps = _light(scene, trace, eye, rays)
    if entities is not None and entities.shape[1] and kinds:
        for kind, number in _far_to_near(entities, eye):
            _draw_box(trace, owner, entities, number, kind, kinds, eye, basis, rays, scale)
    unit = rays / rays.norm(dim=2, keepdim=True)
    return BatchGBuffer(
        trace.tokens.reshape(*shape, 2), trace.faces.reshape(*shape, 2), trace.geometry.float().reshape(*shape, 2, 5),
        trace.cells.int().reshape(*shape, 2, 3), open_sky.reshape(*shape, 2, 13), lamps.float().reshape(*shape, 2),
        trace.wet.float().reshape(shape), trace.dark.float().reshape(shape), owner.reshape(*shape, 2),
        unit.float().reshape(*shape, 3),
    )  # fmt: skip


class _Trace:
    """Rays [b, n, 3] walked through the grids together (Amanatides and Woo 1987)."""

    def __init__(self, scene: BatchScene, eye: Tensor, basis: Tensor, rays: Tensor, scale: float) -> None:
        b, n, _ = rays.shape
        self.scene, self.eye, self.basis, self.scale = scene, eye[:, None], basis, scale
        self.length = rays.norm(dim=2)
        self.rays = torch.where(rays.abs() < _TINY, torch.full_like(rays, _TINY), rays)
        self.tokens = torch.zeros(b, n, 2, dtype=torch.uint8, device=rays.device)
        self.faces = torch.full_like(self.tokens, NO_FACE)
        self.geometry = torch.zeros(b, n, 2, 5, dtype=torch.float64, device=rays.device)
        self.cells = torch.zeros(b, n, 2, 3, dtype=torch.int64, device=rays.device)
        self.wet = torch.zeros(b, n, dtype=torch.float64, device=rays.device)
        self.dark = torch.full((b, n), -1.0, dtype=torch.float64, device=rays.device)

    def _token(self, cell: Tensor) -> tuple[Tensor, Tensor]:
        """(token uint8 [b, n], bool [b, n] inside the grid) of cells int64 [b, n, 3]."""
        grid, low = self.scene.grid, self.scene.low
        b, sx, sy, sz = grid.shape
        x, y, z = cell[..., 0] - low[:, None, 0], cell[..., 1], cell[..., 2] - low[:, None, 1]
        inside = (x >= 0) & (x < sx) & (y >= 0) & (y < sy) & (z >= 0) & (z < sz)
        flat = (x.clamp(0, sx - 1) * sy + y.clamp(0, sy - 1)) * sz + z.clamp(0, sz - 1)
        return grid.reshape(b, -1).gather(1, flat), inside

    def run(self) -> None:
        """Fills all layers."""
        scene, d = self.scene, self.rays
        b, n, _ = d.shape
        step = torch.where(d > 0, 1, -1)
        ahead = (d > 0).long()
        cell = self.eye.floor().long().expand(b, n, 3).clone()
        start, start_inside = self._token(cell)
        start = torch.where(start_inside, start, torch.zeros_like(start))
        in_medium = start_inside & scene.medium[start.long()]
        wide = (1 / d).abs()
        edge = (cell + ahead - self.eye) / d
        end = VIEW_DISTANCE / self.length
        last = start.clone()
        found = torch.zeros(b, n, dtype=torch.int64, device=d.device)
        alive = torch.ones(b, n, dtype=torch.bool, device=d.device)
        wet_until = torch.full_like(self.wet, -1.0)
        self.dark[start_inside & (scene.kinds[start.long()] == DARK)] = 0.0
        t = torch.zeros_like(self.wet)
        while bool(alive.any()):
            first_axis = (edge[..., 0] < edge[..., 1]) & (edge[..., 0] < edge[..., 2])
            axis = torch.where(first_axis, 0, torch.where(edge[..., 1] < edge[..., 2], 1, 2))
            moving = torch.zeros_like(d, dtype=torch.bool).scatter_(2, axis[..., None], True) & alive[..., None]
            t = torch.where(alive, edge.gather(2, axis[..., None])[..., 0], t)
            cell = cell + moving * step
            edge = edge + moving * wide
            alive = alive & (t <= end)
            token, inside = self._token(cell)
            x, y, z = cell[..., 0] - scene.low[:, None, 0], cell[..., 1], cell[..., 2] - scene.low[:, None, 1]
            sx, sz = scene.grid.shape[1], scene.grid.shape[3]
            beside = alive & ((x < 0) | (x >= sx) | (z < 0) | (z >= sz))
            below = alive & ~beside & (y < 0)
            self.dark = torch.where(
                ((beside & (y < HEIGHT)) | below) & (self.dark < 0), t * self.length, self.dark
            )  # fmt: skip
            above = alive & ~beside & (y >= HEIGHT)
            gone = above & (step[..., 1] > 0)
            wet_until = torch.where(gone & in_medium & (wet_until < 0), t * self.length, wet_until)
            last = torch.where(above, torch.zeros_like(last), last)
            alive = alive & ~beside & ~below & ~gone
            here = alive & inside
            kind = scene.kinds[token.long()]
            wet_until = torch.where(here & in_medium & (wet_until < 0) & (token != start), t * self.length, wet_until)
            dark = here & (kind == DARK)
            self.dark = torch.where(dark & (self.dark < 0), t * self.length, self.dark)
            passes = (kind == OPEN) | (kind == DARK)
            same = (kind == SEE_THROUGH) & (token == last) & ~scene.inner[token.long()]
            met = here & ~passes & ~same
            last = torch.where(here & (passes | met), token, last)
            if bool(met.any()):
                self._note(met, found, token, axis, step, t, cell)
            found = found + met
            alive = alive & ~(met & ((kind == OPAQUE) | (found == 2)))
        closed = (found == 1) & (scene.kinds[self.tokens[..., 0].long()] == OPAQUE)
        for value in (self.tokens, self.faces, self.geometry, self.cells):
            value[:, :, 1][closed] = value[:, :, 0][closed]
        reach = torch.minimum(t, end) * self.length
        self.wet = torch.where(in_medium, torch.where(wet_until >= 0, wet_until, reach), self.wet)

    def _note(
        self, met: Tensor, found: Tensor, token: Tensor, axis: Tensor, step: Tensor, t: Tensor, cell: Tensor
    ) -> None:
        row, column = met.nonzero(as_tuple=True)
        layer, a, d = found[row, column], axis[row, column], self.rays[row, column]
        place = self.eye[row, 0] + d * t[row, column, None] - cell[row, column]
        first = torch.tensor(_FIRST, device=d.device)[a]
        second = torch.tensor(_SECOND, device=d.device)[a]
        basis = self.basis[row]

        def along(values: Tensor, which: Tensor) -> Tensor:
            return values.gather(1, which[:, None])[:, 0]

        per_across = along(basis[:, 0], a) / along(d, a)
        per_up = along(basis[:, 1], a) / along(d, a)
        texels = t[row, column] * self.scale * TEXELS

        def spread(which: Tensor) -> Tensor:
            slope = along(d, which)
            return (
                (along(basis[:, 0], which) - slope * per_across).abs()
                + (along(basis[:, 1], which) - slope * per_up).abs()
            ) * texels

        self.tokens[row, column, layer] = token[row, column]
        upward = along(step[row, column], a) > 0
        self.faces[row, column, layer] = (2 * a + upward).to(torch.uint8)
        values = torch.stack(
            [
                t[row, column] * self.length[row, column],
                along(place, first).clamp(0, 0.99999),
                along(place, second).clamp(0, 0.99999),
                spread(first),
                spread(second),
            ],
            1,
        )
        self.geometry[row, column, layer] = values
        self.cells[row, column, layer] = cell[row, column]


def _light(scene: BatchScene, trace: _Trace, eye: Tensor, rays: Tensor) -> tuple[Tensor, Tensor]:
    b, sx, sz = scene.heights.shape
    faces = trace.faces.long()
    axis, side = faces // 2, torch.where(faces % 2 == 1, -1, 1)
    beyond = torch.zeros_like(trace.cells).scatter_(3, axis.clamp(max=2)[..., None], side[..., None])
    before = trace.cells + beyond
    columns = torch.tensor(OPEN_COLUMNS, device=eye.device)
    x = (before[..., 0, None] + columns[:, 0] - scene.low[:, 0, None, None, None]).clamp(0, sx - 1)
    z = (before[..., 2, None] + columns[:, 1] - scene.low[:, 1, None, None, None]).clamp(0, sz - 1)
    heights = scene.heights.reshape(b, -1).gather(1, (x * sz + z).reshape(b, -1)).reshape(x.shape).long()
    seen = faces != NO_FACE
    open_sky = ((heights - before[..., 1, None] + 1).clamp(0, DEEPEST) * seen[..., None]).to(torch.uint8)
    t = trace.geometry[..., 0] / rays.norm(dim=2)[..., None]
    point = eye[:, None, None] + rays[:, :, None] * t[..., None]
    away = (scene.lamps[:, None, None] - point[..., None, :]).square().sum(-1).amin(-1)
    nearness = 1 - away.clamp(max=LAMP_REACH**2).sqrt() / LAMP_REACH
    return open_sky, torch.where(seen, nearness, torch.zeros_like(nearness))


def _far_to_near(entities: Tensor, eye: Tensor) -> list[tuple[Tensor, Tensor]]:
    """(kind [b], number [b]) of the entities of each lane, from the farthest to the nearest."""
    order = (entities[..., :3] - eye[:, None]).norm(dim=2).argsort(dim=1, descending=True, stable=True)
    kinds = entities[..., 4].long().gather(1, order)
    return [(kinds[:, k], order[:, k]) for k in range(order.shape[1])]


def _draw_box(
    trace: _Trace, owner: Tensor, entities: Tensor, number: Tensor, kind: Tensor, kinds: tuple[EntityKind, ...],
    eye: Tensor, basis: Tensor, rays: Tensor, scale: float,
) -> None:  # fmt: skip
    """One oriented box of each lane; see `kernel.box_pixels`."""
    device = eye.device
    lows = torch.tensor([k.low for k in kinds], dtype=torch.float64, device=device)[kind]
    highs = torch.tensor([k.high for k in kinds], dtype=torch.float64, device=device)[kind]
    entity = entities.gather(1, number[:, None, None].expand(-1, 1, 6))[:, 0].double()
    angle = torch.deg2rad(entity[:, 3])
    sin, cos, zero, one = torch.sin(angle), torch.cos(angle), torch.zeros_like(angle), torch.ones_like(angle)
    turn = torch.stack(
        [torch.stack([-cos, zero, -sin], 1), torch.stack([zero, one, zero], 1), torch.stack([-sin, zero, cos], 1)], 1
    )
    center = entity[:, :3] + torch.einsum("bk,bka->ba", (lows + highs) / 2, turn)
    half = (highs - lows) / 2
    local = torch.einsum("bka,ba->bk", turn, eye - center)
    d = torch.einsum("bka,bna->bnk", turn, rays)
    flat = d.abs() < _TINY
    safe = torch.where(flat, torch.full_like(d, _TINY), d)
    one_side, other = (-half[:, None] - local[:, None]) / safe, (half[:, None] - local[:, None]) / safe
    enter = torch.where(flat, torch.full_like(d, -torch.inf), torch.minimum(one_side, other))
    leave = torch.where(flat, torch.full_like(d, torch.inf), torch.maximum(one_side, other))
    outside = (flat & (local.abs() > half)[:, None]).any(2)
    t, axis = enter.max(2)
    near = (entity[:, :3] - eye).norm(dim=1) < VIEW_DISTANCE
    met = (t > 0) & (t < leave.amin(2)) & ~outside & near[:, None]
    distance = t * rays.norm(dim=2)
    first_nearer = (trace.faces[..., 0] != NO_FACE) & (trace.geometry[..., 0, 0] <= distance)
    closed = (trace.scene.kinds[trace.tokens[..., 0].long()] == OPAQUE) & (owner[..., 0] < 0)
    second_nearer = (trace.faces[..., 1] != NO_FACE) & (trace.geometry[..., 1, 0] <= distance)
    met = met & ~(first_nearer & (closed | second_nearer))
    row, column = met.nonzero(as_tuple=True)
    if not len(row):
        return
    layer = first_nearer[row, column].long()
    front = layer == 0
    r, c = row[front], column[front]
    for value in (trace.tokens, trace.faces, trace.geometry, owner):
        value[r, c, 1] = value[r, c, 0]
    a = axis[row, column]
    first = torch.tensor(_FIRST, device=device)[a]
    second = torch.tensor(_SECOND, device=device)[a]
    along_across = torch.einsum("bka,ba->bk", turn, basis[:, 0])[row]
    along_up = torch.einsum("bka,ba->bk", turn, basis[:, 1])[row]
    ray, size, start = d[row, column], half[row], local[row]
    texels = t[row, column] * scale * TEXELS

    def pick(values: Tensor, which: Tensor) -> Tensor:
        return values.gather(1, which[:, None])[:, 0]

    trace.tokens[row, column, layer] = (ENTITY_TOKEN + kind[row]).to(torch.uint8)
    trace.faces[row, column, layer] = (2 * a + (pick(ray, a) > 0)).to(torch.uint8)
    values = [distance[row, column]]
    for which in (first, second):
        place = (pick(start, which) + pick(ray, which) * t[row, column] + pick(size, which)) / (2 * pick(size, which))
        values.append(place.clamp(0, 0.99999))
    for which in (first, second):
        slope = pick(ray, which) / pick(ray, a)
        spread = (pick(along_across, which) - slope * pick(along_across, a)).abs()
        spread = spread + (pick(along_up, which) - slope * pick(along_up, a)).abs()
        values.append(spread * texels / (2 * pick(size, which)))
    trace.geometry[row, column, layer] = torch.stack(values, 1)
    owner[row, column, layer] = number[row].to(torch.int16)
