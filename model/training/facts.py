"""What recordings show about tokens and entities, found without being given it: what can be seen through, what shines,
how large animals are.

A token can be seen through if recorded depth lies behind its cells, or if an eye was inside one and saw something.
"""

from __future__ import annotations

import math

import numpy as np

from reverie.model.caster.camera import Camera, camera_basis, camera_rays
from reverie.model.caster.gbuffer import EntityKind, GBuffer, cast
from reverie.model.caster.kernel import NO_FACE
from reverie.model.caster.scene import TokenTables, torus_scene
from reverie.model.cells import Vocabulary
from reverie.model.training.view_data import View, ViewFile

ENTITY_LABEL = 255
"""Token of an animal's pixels in recordings."""
BEHIND = 0.05
"""Metres by which recorded depth has to lie behind a face to count as seen through it."""
FEW = 0.004
"""Share of a token's pixels below which what is seen behind it is taken for an error."""
FEWEST_PIXELS = 50
FEWEST_INSIDE = 3
"""Views from inside a token's cells that show that it holds nobody."""
NIGHT_HOURS = (0.15, 0.85)
BRIGHT = 2.5
"""How many times brighter than the other surfaces at night a token is that shines."""
OUTLIERS = 0.5
"""Percent of an entity's points on each side that its box leaves out."""


def _cast(view: View, cells: np.ndarray, vocabulary: Vocabulary) -> GBuffer:
    x, y, z, yaw, pitch = (float(value) for value in view.camera)
    scene = torus_scene(cells, TokenTables.of(vocabulary), x, z)
    return cast(scene, Camera((x, y, z), yaw, pitch), view.depth.shape)


def _distance(view: View) -> np.ndarray:
    """float64 [h, w]: recorded metres along each ray, infinity for the sky."""
    yaw, pitch = view.camera[3:]
    return view.depth * np.linalg.norm(camera_rays(camera_basis(yaw, pitch), view.depth.shape), axis=2)


def find_solid(files: list[ViewFile]) -> tuple[bool, ...]:
    """Which tokens keep bodies out: all that no recorded eye was ever inside of."""
    names = files[0].names
    inside = np.zeros(256, np.int64)
    for file in files:
        cells = file.cells()
        for index in range(file.count):
            x, y, z = (math.floor(value) for value in file.view(index).camera[:3])
            if 0 <= y < cells.shape[1]:
                inside[cells[x % cells.shape[0], y, z % cells.shape[2]]] += 1
    return tuple(bool(inside[k] < FEWEST_INSIDE) for k in range(len(names)))


def find_vocabulary(files: list[ViewFile], solid: tuple[bool, ...], views_each: int = 4, seed: int = 0) -> Vocabulary:
    """The vocabulary of recordings. `solid`, which tokens keep bodies out, is found from recorded walks."""
    names = files[0].names
    n = len(names)
    rng = np.random.default_rng(seed)
    chosen = [(file.cells(), file.view(int(i))) for file in files for i in rng.choice(file.count, views_each, False)]
    nothing = (False,) * n
    bare = Vocabulary(names, solid, nothing, nothing, nothing)

    met, behind = np.zeros(256, np.int64), np.zeros(256, np.int64)
    for cells, view in chosen:
        gbuffer, distance = _cast(view, cells, bare), _distance(view)
        usable = (gbuffer.faces[..., 0] != NO_FACE) & (view.tokens != ENTITY_LABEL)
        tokens = gbuffer.tokens[..., 0]
        through = distance > gbuffer.geometry[..., 0, 0] * 1.002 + BEHIND
        met += np.bincount(tokens[usable], minlength=256)
        behind += np.bincount(tokens[usable & through], minlength=256)
        x, y, z = (math.floor(value) for value in view.camera[:3])
        here = int(cells[x % cells.shape[0], min(max(y, 0), cells.shape[1] - 1), z % cells.shape[2]])
        if here and np.isfinite(distance).any() and np.median(distance) > 1.0:  # the eye is inside, and sees
            met[here] += FEWEST_PIXELS
            behind[here] += FEWEST_PIXELS
    see_through = tuple(bool(met[k] >= FEWEST_PIXELS and behind[k] > FEW * met[k]) for k in range(n))

    def explained(inner: tuple[bool, ...]) -> int:
        total = 0
        for cells, view in chosen:
            gbuffer = _cast(view, cells, Vocabulary(names, solid, see_through, nothing, inner))
            distance = np.where(np.isinf(view.depth), 1e9, _distance(view))
            off = np.abs(gbuffer.geometry[..., 0] - distance[..., None])
            total += int(((off < BEHIND).any(2) & (gbuffer.faces[..., 0] != NO_FACE)).sum())
        return total

    without = explained(nothing)
    inner = tuple(see_through[k] and explained(tuple(i == k for i in range(n))) > without for k in range(n))

    bright: list[list[float]] = [[] for _ in range(n)]
    others = []
    for view in (file.view(i) for file in files for i in range(file.count)):
        if NIGHT_HOURS[0] < view.hour < NIGHT_HOURS[1]:
            continue
        near = view.depth < 16
        luma = view.frame.mean(2)
        others += list(luma[near][::17])
        for k in np.unique(view.tokens[near]):
            if k < n:
                bright[k] += list(luma[near & (view.tokens == k)][::5])
    usual = float(np.median(others)) if others else 0.0
    emits = tuple(len(b) >= FEWEST_PIXELS // 5 and float(np.median(b)) > BRIGHT * usual for b in bright)
    return Vocabulary(names, solid, see_through, emits, inner)


def find_entities(files: list[ViewFile], views_each: int = 8) -> tuple[EntityKind, ...]:
    """The boxes that hold the recorded points of each kind of entity."""
    points: dict[int, list[np.ndarray]] = {}
    for file in files:
        for index in range(min(views_each, file.count)):
            view = file.view(index)
            mask = view.tokens == ENTITY_LABEL
            if not mask.any():
                continue
            x, y, z, yaw, pitch = view.camera
            rays = camera_rays(camera_basis(yaw, pitch), view.depth.shape)
            where = np.array([x, y, z]) + rays[mask] * view.depth[mask][:, None]
            off = np.linalg.norm(where[:, None, [0, 2]] - view.entities[None, :, [0, 2]], axis=2)
            owner = off.argmin(1)
            for number in np.unique(owner[off.min(1) < 2.0]):
                entity = view.entities[number]
                angle = math.radians(float(entity[3]))
                turn = np.array(
                    [[-math.cos(angle), 0, -math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]]
                )
                local = (where[owner == number] - entity[:3]) @ turn.T
                points.setdefault(int(entity[4]), []).append(local)
    kinds = []
    for kind in range(max(points, default=-1) + 1):
        cloud = np.concatenate(points.get(kind, [np.zeros((1, 3))]))
        low, high = np.percentile(cloud, [OUTLIERS, 100 - OUTLIERS], axis=0)
        kinds.append(EntityKind(tuple(map(float, low)), tuple(map(float, high))))  # type: ignore[arg-type]
    return tuple(kinds)
