"""VoxelWorld: the exact world behind the `World` protocol, with the truth that a dream does not know."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from reverie.simulator.action import IDLE, Action
from reverie.simulator.errors import EditError, SaveError, SceneError
from reverie.simulator.voxel import physics
from reverie.simulator.voxel.blocks import (
    BLOCK_ID,
    BLOCKS,
    REACH,
    SIZE_X,
    SIZE_Y,
    SIZE_Z,
    TARGETABLE,
)
from reverie.simulator.voxel.creatures import (
    COLUMNS,
    CREATURE_COUNT,
    CX,
    CY,
    CYAW,
    CZ,
    KIND,
    KINDS,
    PHASE,
    advance_creatures,
    populate,
)
from reverie.simulator.voxel.interact import (
    HOTBAR_IDS,
    IDLE_HANDS,
    SWING_TICKS,
    Cell,
    Hands,
    Hit,
    block_at,
    eye_in_water,
    needs_target,
    under_water,
    work,
)
from reverie.simulator.voxel.laws import USUAL, Laws
from reverie.simulator.voxel.render import FIELD_OF_VIEW, Rendered, View, cast, pixel_rays, render
from reverie.simulator.voxel.spawn import choose_start
from reverie.simulator.voxel.terrain import column_heights, generate, update_column
from reverie.simulator.voxel.textures import block_colours
from reverie.simulator.world import EVENTS, Senses

HELD_OUT_SEED = 1_000_000
"""Seeds from here on are kept for evaluation: recording and training refuse them."""
DAY_TICKS = 24_000
"""A day of 20 minutes."""
MAX_SEED = 2**62
MAX_COORDINATE = 1e7
MAX_SPEED = 10.0
"""Blocks per tick that a save may claim; falling ends at 3.92."""
PAINTED_SHARE = 0.5
"""Share of a block's visible pixels that an edit has to cover to repaint it."""
PIXEL_MARGIN = 1e-3
"""Metres by which a pixel's ray is prolonged into the block that it shows."""
UNPAINTABLE = ("air", "water", "bedrock")

_VIEW_COLUMNS = np.array([CX, CY, CZ, CYAW, KIND, PHASE])
_QUIET = np.zeros(len(EVENTS), np.float32)
_QUIET.flags.writeable = False


@dataclass(frozen=True, slots=True, eq=False)
class VoxelState:
    """Everything that decides the next frame. A value: its arrays are shared and never written to."""

    seed: int
    tick: int
    blocks: np.ndarray
    """uint8 [SIZE_X, SIZE_Y, SIZE_Z]"""
    heights: np.ndarray
    """int16 [SIZE_X, SIZE_Z], see `terrain.column_heights`"""
    body: np.ndarray
    """float64 [physics.BODY]"""
    creatures: np.ndarray
    """float64 [n, creatures.COLUMNS]"""
    hands: Hands
    day_time: float
    """0 midnight, 0.5 noon."""
    happened: np.ndarray
    """float32 [len(EVENTS)], the events of the last tick"""
    camera: tuple[float, float] = (0.0, 0.0)
    """(pitch, yaw) degrees of the last tick."""
    cache: dict[Any, Any] = field(default_factory=dict, repr=False)
    """What has been computed from this state, such as its frame; no part of the value."""


class VoxelWorld:
    """The exact world; see `reverie.simulator.world.World`. Frames are uint8 [h, w, 3] of `size` (h, w).

    `hud` draws the screen layer (hotbar, hand, crosshair, outline of the target) into the frames; `laws` are those of
    bodies.
    """

    def __init__(self, size: tuple[int, int] = (96, 160), hud: bool = True, laws: Laws = USUAL) -> None:
        height, width = (operator.index(side) for side in size)
        if height <= 0 or width <= 0 or height % 16 or width % 16:
            raise ValueError(f"size {size!r}: height and width must be positive multiples of 16")
        self._size = (height, width)
        self._hud = bool(hud)
        self._laws = laws
        self._last: tuple[VoxelState, Rendered] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of frames."""
        return self._size

    @property
    def laws(self) -> Laws:
        """The laws of bodies."""
        return self._laws

    # -- the protocol ---------------------------------------------------------------------------------------

    def start(self, scene: str | None = None, seed: int = 0) -> VoxelState:
        """The state at tick 0: `scene` is None or one of `spawn.SCENES`. Raises SceneError."""
        if scene is not None and not isinstance(scene, str):
            raise SceneError("the voxel world starts from seeds and scene names, not from pictures or clips")
        seed = _checked_seed(seed, SceneError)
        terrain = generate(seed)
        heights = _read_only(column_heights(terrain.blocks))
        start = choose_start(terrain, heights, scene, seed)
        body = physics.make_body(start.x, start.y, start.z, start.yaw, start.pitch, self._laws.gravity)
        body[physics.ON_GROUND] = 1.0
        blocks = _read_only(terrain.blocks)
        if start.lamps:
            blocks, heights = _changed(blocks, heights, [(cell, BLOCK_ID["lamp"]) for cell in start.lamps])
        creatures = np.zeros((CREATURE_COUNT, COLUMNS))
        populate(blocks, self._laws.solid, heights, body, seed, creatures)
        return VoxelState(seed, 0, blocks, heights, body, creatures, IDLE_HANDS, start.day_time, _QUIET)

    def step(self, state: VoxelState, action: Action = IDLE) -> VoxelState:
        """The state one tick later: the head turns, the hands work, animals and the player move."""
        body, creatures = state.body.copy(), state.creatures.copy()
        blocks, heights = state.blocks, state.heights
        camera = (float(action.camera[0]), float(action.camera[1]))
        physics.turn(body, *camera)
        hit = _hit(blocks, body) if needs_target(action) else None
        hands, change = work(blocks, self._laws.solid, body, creatures, state.hands, action, hit)
        happened = _QUIET
        if change is not None:
            blocks, heights = _changed(blocks, heights, [(change.cell, change.block)])
            happened = _counted(happened, "dig" if change.event == "dig_log" else change.event)
            if change.event == "dig_log":
                happened = _counted(happened, "dig_log")
        advance_creatures(
            blocks, self._laws.solid, heights, creatures, body, state.seed, state.tick, self._laws.gravity
        )
        moved = physics.advance_player(
            blocks,
            self._laws.solid,
            body,
            float(action.forward) - float(action.back),
            float(action.left) - float(action.right),
            bool(action.jump),
            bool(action.sneak),
            bool(action.sprint),
            self._laws.gravity,
        )
        if moved & physics.LAND:
            happened = _counted(happened, "land")
        if moved & physics.SPLASH:
            happened = _counted(happened, "splash")
        return VoxelState(
            state.seed,
            state.tick + 1,
            blocks,
            heights,
            body,
            creatures,
            hands,
            (state.day_time + 1.0 / DAY_TICKS) % 1.0,
            happened,
            camera,
        )

    def frame(self, state: VoxelState) -> np.ndarray:
        """What the player sees: uint8 [h, w, 3], read-only."""
        key = (self._size, self._hud)
        frame = state.cache.get(key)
        if frame is None:
            frame = _read_only(self._rendered(state).frame)
            state.cache[key] = frame
        return frame

    def tick(self, state: VoxelState) -> int:
        """Ticks since the start."""
        return state.tick

    def senses(self, state: VoxelState) -> Senses:
        """What a scripted player may know: here, all of it."""
        hit = _cached_hit(state)
        blocked, drop, water = physics.feel_ahead(state.blocks, self._laws.solid, state.body)
        return Senses(
            tick=state.tick,
            pitch=float(state.body[physics.PITCH]),
            target_distance=math.inf if hit is None else hit.distance,
            target_block=None if hit is None else BLOCKS[block_at(state.blocks, *hit.cell)].name,
            blocked=bool(blocked),
            in_water=bool(state.body[physics.IN_WATER]),
            on_ground=bool(state.body[physics.ON_GROUND]),
            drop_ahead=float(drop),
            water_ahead=bool(water),
        )

    def events(self, state: VoxelState) -> np.ndarray:
        """float32 [len(EVENTS)]: counts of what happened in the last tick. A dug log counts as dug, too."""
        return state.happened

    def edit(
        self, state: VoxelState, image: np.ndarray, mask: np.ndarray | None = None, strength: float = 0.0
    ) -> VoxelState:
        """The state with blocks repainted towards `image` (uint8 [h, w, 3]) under `mask` (bool [h, w]).

        A block changes when at least half of its visible pixels are masked (None: all are) and differ from
        the current frame; it becomes the kind whose mean colour is nearest to the image there. The sky stays.
        `strength` is for dreams and has no meaning here. Raises EditError.
        """
        frame = self.frame(state)
        image = np.asarray(image)
        if image.shape != frame.shape or image.dtype != np.uint8:
            raise EditError(f"edit: the image must be uint8 {frame.shape}, not {image.dtype} {image.shape}")
        painted = (image != frame).any(axis=2)
        if mask is not None:
            mask = np.asarray(mask)
            if mask.shape != frame.shape[:2] or mask.dtype != np.bool_:
                raise EditError(f"edit: the mask must be bool {frame.shape[:2]}, not {mask.dtype} {mask.shape}")
            painted &= mask
        changes = self._repainted(state, image, painted)
        if not changes:
            return state
        blocks, heights = _changed(state.blocks, state.heights, changes)
        return replace(state, blocks=blocks, heights=heights, cache={})

    def describe(self) -> dict[str, Any]:
        """JSON enough to build this world again."""
        described: dict[str, Any] = {"world": "voxel", "size": list(self._size)}
        if self._laws != USUAL:
            described["laws"] = self._laws.to_dict()
        return described if self._hud else {**described, "hud": False}

    def pack(self, state: VoxelState) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The state as plain JSON and arrays; blocks as their differences from the generated terrain."""
        original = generate(state.seed).blocks.reshape(-1)
        flat = state.blocks.reshape(-1)
        places = np.flatnonzero(flat != original).astype(np.int32)
        hands = state.hands
        meta = {
            "seed": state.seed,
            "tick": state.tick,
            "day_time": state.day_time,
            "camera": [float(angle) for angle in state.camera],
            "hands": {
                "slot": hands.slot,
                "target": None if hands.target is None else [int(value) for value in hands.target],
                "progress": hands.progress,
                "break_delay": hands.break_delay,
                "place_delay": hands.place_delay,
                "using": hands.using,
                "swing": hands.swing,
            },
        }
        arrays = {
            "body": state.body.copy(),
            "creatures": state.creatures.copy(),
            "happened": state.happened.copy(),
            "changed_places": places,
            "changed_blocks": flat[places].copy(),
        }
        return meta, arrays

    def unpack(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> VoxelState:
        """The inverse of `pack`; everything is checked. Raises SaveError."""
        seed = _checked_seed(_item(meta, "seed", int), SaveError)
        tick = _whole(meta, "tick", 0, 2**53)
        day_time = _real(meta, "day_time", 0.0, 1.0)
        camera = _item(meta, "camera", list)
        if len(camera) != 2:
            raise SaveError("save: 'camera' must be two angles")
        camera = tuple(_real({"camera": angle}, "camera", -180.0, 180.0) for angle in camera)
        hands = _unpack_hands(_item(meta, "hands", dict))
        body = _array(arrays, "body", np.float64, (physics.BODY,))
        if not _body_is_sane(body):
            raise SaveError("save: the player's position or motion is out of range")
        creatures = _array(arrays, "creatures", np.float64, (None, COLUMNS))
        if len(creatures) > 16 * CREATURE_COUNT or not _creatures_are_sane(creatures):
            raise SaveError("save: an animal's position or motion is out of range")
        happened = _array(arrays, "happened", np.float32, (len(EVENTS),))
        if not ((happened >= 0) & (happened <= 1)).all():
            raise SaveError("save: 'happened' is out of range")
        places = _array(arrays, "changed_places", np.int32, (None,))
        kinds = _array(arrays, "changed_blocks", np.uint8, (len(places),))
        if len(places) and not (
            places.min() >= 0 and places.max() < SIZE_X * SIZE_Y * SIZE_Z and kinds.max() < len(BLOCKS)
        ):
            raise SaveError("save: a changed block lies outside the world or is of an unknown kind")
        blocks = generate(seed).blocks
        if len(places):
            blocks = blocks.copy()
            blocks.reshape(-1)[places] = kinds
        heights = _read_only(column_heights(blocks))
        return VoxelState(
            seed,
            tick,
            _read_only(blocks),
            heights,
            body.copy(),
            creatures.copy(),
            hands,
            day_time,
            _read_only(happened.copy()),
            camera,
        )

    # -- the truth ------------------------------------------------------------------------------------------

    def pose(self, state: VoxelState) -> np.ndarray:
        """float64 [5]: x, y, z of the feet in metres, yaw (not wrapped) and pitch in degrees."""
        return state.body[[physics.X, physics.Y, physics.Z, physics.YAW, physics.PITCH]]

    def depth(self, state: VoxelState) -> np.ndarray:
        """float32 [h, w]: metres in front of the camera plane, infinity for the sky."""
        return self._rendered(state).depth

    def block_ids(self, state: VoxelState) -> np.ndarray:
        """uint8 [h, w]: the kind of block that each pixel shows."""
        return self._rendered(state).ids

    def get_block(self, state: VoxelState, x: int, y: int, z: int) -> str:
        """The name of the block at these coordinates."""
        return BLOCKS[block_at(state.blocks, math.floor(x), math.floor(y), math.floor(z))].name

    def set_block(self, state: VoxelState, x: int, y: int, z: int, name: str) -> VoxelState:
        """The state with another block there. Raises EditError for an unknown name or a height outside."""
        if name not in BLOCK_ID:
            raise EditError(f"there is no block called {name!r}")
        return self.set_blocks(state, {(math.floor(x), math.floor(y), math.floor(z)): name})

    def set_blocks(self, state: VoxelState, names: Mapping[Cell, str]) -> VoxelState:
        """The state with many blocks changed at once. Raises EditError."""
        changes = []
        for cell, name in names.items():
            if name not in BLOCK_ID:
                raise EditError(f"there is no block called {name!r}")
            if not 0 <= cell[1] < SIZE_Y:
                raise EditError(f"height {cell[1]} is outside the world (0 to {SIZE_Y - 1})")
            changes.append((cell, BLOCK_ID[name]))
        blocks, heights = _changed(state.blocks, state.heights, changes)
        return replace(state, blocks=blocks, heights=heights, cache={})

    def set_time(self, state: VoxelState, day_time: float) -> VoxelState:
        """The state at another hour: 0 midnight, 0.25 dawn, 0.5 noon, 0.75 dusk. Raises EditError."""
        if not math.isfinite(day_time):
            raise EditError(f"{day_time!r} is not an hour; a day runs from 0 to 1")
        return replace(state, day_time=float(day_time) % 1.0, cache={})

    def entities(self, state: VoxelState) -> np.ndarray:
        """float64 [n, 6]: x, y, z of the feet, yaw in degrees, kind, phase of the walk in radians, of the animals."""
        return state.creatures[:, _VIEW_COLUMNS]

    def slot(self, state: VoxelState) -> int:
        """Selected hotbar slot, 0 to 8."""
        return state.hands.slot

    def view(
        self, state: VoxelState, pose: Sequence[float], size: tuple[int, int], fov: float = FIELD_OF_VIEW
    ) -> np.ndarray:
        """uint8 [h, w, 3]: the standing world from `pose` (x, y, z of the eye, yaw, pitch), without the screen layer.

        Raises EditError for a camera that is out of range; this world has one field of view.
        """
        x, y, z, yaw, pitch = (float(value) for value in pose)
        if not all(map(math.isfinite, (x, y, z, yaw, pitch))) or max(map(abs, (x, y, z))) > MAX_COORDINATE:
            raise EditError("view: the camera is out of range")
        if fov != FIELD_OF_VIEW:
            raise EditError(f"view: the voxel world is drawn with a field of view of {FIELD_OF_VIEW} degrees")
        if any(side <= 0 or side % 16 for side in size):
            raise EditError(f"view: the size must be positive multiples of 16, not {size}")
        wet = under_water(state.blocks, x, y, z)
        view = replace(_view(state), position=(x, y, z), yaw=yaw, pitch=pitch, target=None, eye_in_water=wet)
        return render(state.blocks, state.heights, view, (int(size[0]), int(size[1])), hud=False).frame

    def spawn(
        self, state: VoxelState, x: float, y: float, z: float, yaw: float = 0.0, pitch: float = 0.0
    ) -> VoxelState:
        """The state with the player standing still at (x, y, z). Raises EditError."""
        pitch = min(max(pitch, -physics.MAX_PITCH), physics.MAX_PITCH)
        body = physics.make_body(x, y, z, yaw, pitch, self._laws.gravity)
        if not _body_is_sane(body):
            raise EditError(f"({x}, {y}, {z}) with yaw {yaw} and pitch {pitch} is no place to stand")
        under = block_at(state.blocks, math.floor(x), math.floor(y - 0.01), math.floor(z))
        body[physics.ON_GROUND] = float(self._laws.solid[under])
        return replace(state, body=body, hands=replace(IDLE_HANDS, slot=state.hands.slot), cache={})

    def target(self, state: VoxelState) -> Hit | None:
        """The block under the crosshair within reach."""
        return _cached_hit(state)

    # -- inside ---------------------------------------------------------------------------------------------

    def _rendered(self, state: VoxelState) -> Rendered:
        last = self._last
        if last is not None and last[0] is state:
            return last[1]
        rendered = render(state.blocks, state.heights, _view(state), self._size, hud=self._hud)
        self._last = (state, rendered)
        return rendered

    def _repainted(self, state: VoxelState, image: np.ndarray, painted: np.ndarray) -> list[tuple[Cell, int]]:
        """The blocks that an image repaints, each with its new kind."""
        rendered = self._rendered(state)
        cells = _visible_cells(_view(state), rendered.depth)
        shown = np.isfinite(rendered.depth)
        wrapped = cells % np.array([SIZE_X, 2**31, SIZE_Z])
        inside = shown & (cells[..., 1] >= 0) & (cells[..., 1] < SIZE_Y)
        kind = np.zeros(shown.shape, np.uint8)
        kind[inside] = state.blocks[tuple(wrapped[inside].T)]
        usable = inside & TARGETABLE[kind]
        if not (usable & painted).any():
            return []
        found, index, seen = np.unique(cells[usable], axis=0, return_inverse=True, return_counts=True)
        index = index.reshape(-1)
        covered = painted[usable]
        hits = np.bincount(index, weights=covered, minlength=len(found))
        colours = np.stack(
            [np.bincount(index, weights=image[usable][:, c] * covered, minlength=len(found)) for c in range(3)],
            axis=1,
        )
        candidates = [i for i, block in enumerate(BLOCKS) if block.name not in UNPAINTABLE]
        palette = block_colours()[candidates].astype(np.float64)
        changes = []
        for row in np.flatnonzero((hits > 0) & (hits >= PAINTED_SHARE * seen)):
            distances = ((palette - colours[row] / hits[row]) ** 2).sum(axis=1)
            cell = (int(found[row, 0]), int(found[row, 1]), int(found[row, 2]))
            new = candidates[int(distances.argmin())]
            if new != block_at(state.blocks, *cell):
                changes.append((cell, new))
        return changes


def _read_only(array: np.ndarray) -> np.ndarray:
    array = array.view()
    array.flags.writeable = False
    return array


def _counted(happened: np.ndarray, name: str) -> np.ndarray:
    happened = happened.copy()
    happened[EVENTS.index(name)] += 1.0
    happened.flags.writeable = False
    return happened


def _hit(blocks: np.ndarray, body: np.ndarray) -> Hit | None:
    found = cast(blocks, physics.eye(body), physics.look(body), REACH)
    if found is None:
        return None
    x, y, z, nx, ny, nz, distance = found
    return Hit((int(x), int(y), int(z)), (int(nx), int(ny), int(nz)), float(distance))


def _cached_hit(state: VoxelState) -> Hit | None:
    if "hit" not in state.cache:
        state.cache["hit"] = _hit(state.blocks, state.body)
    return state.cache["hit"]


def _view(state: VoxelState) -> View:
    hit, hands = _cached_hit(state), state.hands
    target = None if hit is None else hit.cell
    return View(
        position=physics.eye(state.body),
        yaw=float(state.body[physics.YAW]),
        pitch=float(state.body[physics.PITCH]),
        day_time=state.day_time,
        hotbar=hands.slot,
        hotbar_ids=HOTBAR_IDS,
        target=target,
        crack=hands.progress if target is not None and target == hands.target else 0.0,
        swing=hands.swing / SWING_TICKS,
        eye_in_water=eye_in_water(state.blocks, state.body),
        creatures=state.creatures[:, _VIEW_COLUMNS].astype(np.float32),
    )


def _changed(blocks: np.ndarray, heights: np.ndarray, changes: list[tuple[Cell, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Copies of blocks and heights with some cells of another kind."""
    blocks, heights = blocks.copy(), heights.copy()
    for (x, y, z), kind in changes:
        blocks[x % SIZE_X, y, z % SIZE_Z] = kind
        update_column(heights, blocks, x % SIZE_X, z % SIZE_Z)
    return _read_only(blocks), _read_only(heights)


def _visible_cells(view: View, depth: np.ndarray) -> np.ndarray:
    """int64 [h, w, 3]: the cell of the block that each pixel shows; meaningless where there is none."""
    rays = pixel_rays(view, depth.shape)
    lengths = np.linalg.norm(rays, axis=2, keepdims=True)
    reached = np.where(np.isfinite(depth), depth, 0.0)[..., None]
    points = np.array(view.position) + rays * (reached + PIXEL_MARGIN / lengths)
    return np.floor(points).astype(np.int64)


def _body_is_sane(body: np.ndarray) -> bool:
    """Whether a body can be simulated: finite, and neither too far nor too fast."""
    return bool(
        np.isfinite(body).all()
        and (np.abs(body[:3]) <= MAX_COORDINATE).all()
        and (np.abs(body[physics.VX : physics.VZ + 1]) <= MAX_SPEED).all()
        and abs(body[physics.PITCH]) <= physics.MAX_PITCH
        and 0.0 <= body[physics.EYE] <= physics.HEIGHT
    )


def _creatures_are_sane(creatures: np.ndarray) -> bool:
    return bool(
        np.isfinite(creatures).all()
        and (np.abs(creatures[:, :3]) <= MAX_COORDINATE).all()
        and (np.abs(creatures[:, 3:6]) <= MAX_SPEED).all()
        and np.isin(creatures[:, KIND], np.arange(KINDS)).all()
    )


def _checked_seed(seed: Any, error: type[Exception]) -> int:
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if not 0 <= number < MAX_SEED:
        raise error(f"seed {seed!r}: expected a whole number from 0 to {MAX_SEED - 1}")
    return number


def _item(meta: Any, name: str, kind: type) -> Any:
    if not isinstance(meta, dict) or not isinstance(meta.get(name), kind) or isinstance(meta[name], bool):
        raise SaveError(f"save: {name!r} is missing or not of the right type")
    return meta[name]


def _whole(meta: dict[str, Any], name: str, low: int, high: int) -> int:
    value = _item(meta, name, int)
    if not low <= value <= high:
        raise SaveError(f"save: {name!r} is {value}, outside {low} to {high}")
    return value


def _real(meta: dict[str, Any], name: str, low: float, high: float) -> float:
    value = meta.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise SaveError(f"save: {name!r} is missing or outside {low:g} to {high:g}")
    return float(value)


def _array(arrays: Mapping[str, np.ndarray], name: str, dtype: type, shape: tuple[int | None, ...]) -> np.ndarray:
    array = arrays.get(name)
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != len(shape):
        raise SaveError(f"save: array {name!r} is missing or not of the right type")
    if any(want is not None and have != want for have, want in zip(array.shape, shape)):
        raise SaveError(f"save: array {name!r} has shape {array.shape}, which does not fit")
    return array


def _unpack_hands(meta: dict[str, Any]) -> Hands:
    target = meta.get("target")
    if target is not None:
        whole = isinstance(target, list) and all(type(value) is int for value in target)
        if not whole or len(target) != 3 or not all(abs(value) <= MAX_COORDINATE for value in target):
            raise SaveError("save: 'target' must be three whole numbers")
        target = tuple(target)
    if not isinstance(meta.get("using"), bool):
        raise SaveError("save: 'using' is missing or not of the right type")
    return Hands(
        _whole(meta, "slot", 0, 8),
        target,
        _real(meta, "progress", 0.0, 1.0),
        _whole(meta, "break_delay", 0, 100),
        _whole(meta, "place_delay", 0, 100),
        meta["using"],
        _whole(meta, "swing", 0, SWING_TICKS - 1),
    )
