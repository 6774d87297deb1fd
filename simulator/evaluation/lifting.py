"""How well one picture, or a few, become cells: `lift_*`.

A pair is two views of one place, the second a metre ahead and twenty degrees on. The first is lifted; measured are the
cells that its pixels lie in, and how the first picture's colours look on the lifted cells from the second place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from reverie.model.caster.camera import Camera, camera_basis, camera_rays, project, turn_quarters
from reverie.model.caster.gbuffer import GBuffer, cast
from reverie.model.caster.kernel import NO_FACE
from reverie.model.caster.scene import SceneCache, TokenTables
from reverie.model.cells import CellMap, Vocabulary
from reverie.model.lift.lift import LiftNetwork, PixelAnswers, ask, lift
from reverie.model.lift.pose import read_place, read_rotation
from reverie.model.lift.vote import VoteConfig
from reverie.simulator.voxel.blocks import BLOCK_ID, SIZE_Y, SOLID
from reverie.simulator.voxel.render import CREATURE_ID, render
from reverie.simulator.voxel.world import HELD_OUT_SEED, VoxelWorld, _view

FIRST_SEED = HELD_OUT_SEED + 200_000
PAIRS_EACH = 5
STEP_AHEAD = 1.0
TURN = 20.0
BANDS = ((0.0, 6.0), (6.0, 16.0), (0.0, 16.0))
SAME_PLACE = (0.1, 0.03)
"""Metres, and share of the distance, within which two pictures show the same point."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Two views: frames uint8 [h, w, 3], metres along each ray float64 [h, w] (infinity for sky), tokens uint8 [h, w]
    of the first, and cameras."""

    first: np.ndarray
    first_distance: np.ndarray
    first_tokens: np.ndarray
    first_camera: Camera
    second: np.ndarray
    second_distance: np.ndarray
    second_camera: Camera


def make_pairs(count: int, size: tuple[int, int] = (96, 160), first_seed: int = FIRST_SEED) -> list[Pair]:
    """`count` pairs in held-out worlds, by day, without animals."""
    world = VoxelWorld(size, hud=False)
    rng = np.random.default_rng(first_seed)
    pairs: list[Pair] = []
    seed = first_seed
    while len(pairs) < count:
        state = world.set_time(world.start(None, seed), float(rng.uniform(0.35, 0.65)))
        blocks, solid = state.blocks, SOLID[state.blocks]
        seed, made = seed + 1, 0
        while made < PAIRS_EACH and len(pairs) < count:
            x, z = (int(value) for value in rng.integers(0, 256, 2))
            floors = np.flatnonzero(solid[x, : SIZE_Y - 3, z] & ~solid[x, 1:-2, z] & ~solid[x, 2:-1, z])
            if not len(floors) or blocks[x, floors[-1] + 1, z] != BLOCK_ID["air"]:
                continue
            yaw, pitch = float(rng.uniform(-180, 180)), float(np.clip(rng.normal(8, 12), -40, 50))
            dx, dz = rng.uniform(0.1, 0.9, 2)
            there = world.spawn(state, x + float(dx), int(floors[-1]) + 1, z + float(dz), yaw, pitch)
            view = replace(_view(there), target=None, creatures=there.creatures[:0, :6].astype(np.float32))
            angle = math.radians(yaw)
            ex, ey, ez = view.position
            ahead = (ex - math.sin(angle) * STEP_AHEAD, ey, ez + math.cos(angle) * STEP_AHEAD)
            cell = [math.floor(value) for value in ahead]
            if solid[cell[0] % 256, cell[1], cell[2] % 256] or solid[cell[0] % 256, cell[1] - 1, cell[2] % 256]:
                continue
            one = render(blocks, state.heights, view, size, hud=False)
            if np.median(np.minimum(one.depth, 64)) < 1.5:
                continue
            two = render(blocks, state.heights, replace(view, position=ahead, yaw=yaw + TURN), size, hud=False)
            cameras = Camera(view.position, yaw, pitch), Camera(ahead, yaw + TURN, pitch)
            lengths = [np.linalg.norm(camera_rays(camera_basis(c.yaw, c.pitch), size), axis=2) for c in cameras]
            pairs.append(
                Pair(
                    one.frame,
                    one.depth * lengths[0],
                    one.ids,
                    cameras[0],
                    two.frame,
                    two.depth * lengths[1],
                    cameras[1],
                )
            )
            made += 1
    return pairs


def _cells(camera: Camera, size: tuple[int, int], distance: np.ndarray) -> np.ndarray:
    """int64 [h, w, 3]: the cells that lie just behind points at a distance along each ray."""
    rays = camera_rays(camera_basis(camera.yaw, camera.pitch), size)
    unit = rays / np.linalg.norm(rays, axis=2, keepdims=True)
    reach = np.where(np.isfinite(distance), distance, 0.0) + 1e-3
    return np.floor(np.asarray(camera.position) + unit * reach[..., None]).astype(np.int64)


def _bilinear(image: np.ndarray, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    h, w, _ = image.shape
    x, y = np.clip(column, 0, w - 1.001), np.clip(row, 0, h - 1.001)
    x0, y0 = x.astype(int), y.astype(int)
    a, b = (x - x0)[..., None], (y - y0)[..., None]
    top = image[y0, x0] * (1 - a) + image[y0, x0 + 1] * a
    return top * (1 - b) + (image[y0 + 1, x0] * (1 - a) + image[y0 + 1, x0 + 1] * a) * b


def moved_colours(pair: Pair, distance: np.ndarray) -> np.ndarray:
    """float64 [h, w, 3]: the first picture's colours at what the second camera meets at `distance` (infinity: far)."""
    size = pair.first.shape[:2]
    rays = camera_rays(camera_basis(pair.second_camera.yaw, pair.second_camera.pitch), size)
    unit = rays / np.linalg.norm(rays, axis=2, keepdims=True)
    points = np.asarray(pair.second_camera.position) + unit * np.minimum(distance, 900.0)[..., None]
    camera = pair.first_camera
    at = project(points, np.asarray(camera.position), camera_basis(camera.yaw, camera.pitch), size, camera.fov)
    return _bilinear(pair.first.astype(np.float64), at[..., 0], at[..., 1])


def seen_before(pair: Pair) -> np.ndarray:
    """bool [h, w]: pixels of the second view that show what the first one shows too, by the truth."""
    size = pair.first.shape[:2]
    rays = camera_rays(camera_basis(pair.second_camera.yaw, pair.second_camera.pitch), size)
    unit = rays / np.linalg.norm(rays, axis=2, keepdims=True)
    points = np.asarray(pair.second_camera.position) + unit * np.minimum(pair.second_distance, 900.0)[..., None]
    camera = pair.first_camera
    at = project(points, np.asarray(camera.position), camera_basis(camera.yaw, camera.pitch), size, camera.fov)
    h, w = size
    column, row = at[..., 0], at[..., 1]
    inside = (at[..., 2] > 0) & (column > -0.5) & (column < w - 0.5) & (row > -0.5) & (row < h - 0.5)
    i, j = np.clip(np.rint(row), 0, h - 1).astype(int), np.clip(np.rint(column), 0, w - 1).astype(int)
    there = pair.first_distance[i, j]
    away = np.linalg.norm(points - np.asarray(camera.position), axis=2)
    close = np.abs(np.minimum(there, 1e6) - away) < SAME_PLACE[0] + SAME_PLACE[1] * away
    return inside & (close | (np.isinf(there) & np.isinf(pair.second_distance)))


def lifted_map(pair: Pair, network: LiftNetwork, config: VoteConfig | None = None) -> tuple[CellMap, PixelAnswers]:
    """The cells that the first picture of a pair gives, and the answers behind them."""
    answers = ask(network, pair.first, pair.first_camera)
    low, tokens = lift(network, [pair.first], [pair.first_camera], config, [answers])
    return CellMap().write(low, tokens), answers


def cast_lifted(cells: CellMap, camera: Camera, size: tuple[int, int], vocabulary: Vocabulary) -> GBuffer:
    """What a camera meets in lifted cells."""
    scene = SceneCache(TokenTables.of(vocabulary)).scene(cells, camera.position[0], camera.position[2])
    return cast(scene, camera, size)


def lift_figures(pairs: list[Pair], network: LiftNetwork, vocabulary: Vocabulary) -> dict[str, float]:
    """`lift_face_0_6` and so on: share of pixels whose very face is found (raw answers); `lift_cell_*`: whose cell is
    right after the votes; `lift_psnr`: the first picture's colours from the second place, in decibels, medians."""
    rows: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        rows.setdefault(name, []).append(value)

    for pair in pairs:
        size = pair.first.shape[:2]
        cells, answers = lifted_map(pair, network)
        truth = pair.first_distance
        usable = np.isfinite(truth) & (pair.first_tokens != CREATURE_ID)
        raw = np.abs(answers.distance - np.where(usable, truth, 0)) < 0.02 + 0.003 * np.where(usable, truth, 0)
        voted = cast_lifted(cells, pair.first_camera, size, vocabulary)
        true_cells = _cells(pair.first_camera, size, truth)
        right = (voted.cells[..., 0, :] == true_cells).all(2) & (voted.faces[..., 0] != NO_FACE)
        right |= (voted.cells[..., 1, :] == true_cells).all(2) & (voted.faces[..., 1] != NO_FACE)
        for low, high in BANDS:
            band = usable & (truth > low) & (truth <= high)
            if band.any():
                note(f"lift_face_{low:.0f}_{high:.0f}", float(raw[band].mean()))
                note(f"lift_cell_{low:.0f}_{high:.0f}", float(right[band].mean()))
        seen = seen_before(pair)
        if seen.sum() < 100:
            continue
        second = cast_lifted(cells, pair.second_camera, size, vocabulary)
        for name, distance in (
            ("lift_psnr", second.depth().astype(np.float64)),
            ("lift_psnr_true_geometry", pair.second_distance),
            ("lift_psnr_turn_alone", np.full(size, 900.0)),
        ):
            error = ((moved_colours(pair, distance) - pair.second) ** 2)[seen].mean()
            note(name, 10 * math.log10(255**2 / max(error, 1e-9)))
    figures = {}
    for name, values in rows.items():
        figures[name] = float(np.mean(values) if "psnr" not in name else np.median(values))
    return figures


def pose_figures(pairs: list[Pair], network: LiftNetwork | None = None) -> dict[str, float]:
    """`pose_*`: what is read of the camera from the first pictures alone, medians in degrees and metres.

    `pose_yaw` within quarter turns, `pose_pitch`, the shares of both within two degrees, and with a network
    `pose_place`, the horizontal distance from the true place, up to whole cells.
    """
    yaws, pitches, places = [], [], []
    for pair in pairs:
        camera = pair.first_camera
        yaw, pitch, _ = read_rotation([pair.first])
        yaws.append(abs((yaw - camera.yaw + 45) % 90 - 45))
        pitches.append(abs(pitch - camera.pitch))
        if network is not None and yaws[-1] < 10:
            quarters = round((camera.yaw - yaw) / 90)
            true = np.mod(turn_quarters(np.asarray(camera.position), quarters % 4), 1.0)
            off = np.abs(read_place(network, pair.first, yaw, pitch) - true)[[0, 2]]
            places.append(float(np.hypot(*np.minimum(off, 1 - off))))
    figures = {
        "pose_yaw": float(np.median(yaws)),
        "pose_pitch": float(np.median(pitches)),
        "pose_yaw_2": float(np.mean(np.array(yaws) < 2)),
        "pose_pitch_2": float(np.mean(np.array(pitches) < 2)),
    }
    return {**figures, "pose_place": float(np.median(places))} if places else figures
