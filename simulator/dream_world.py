"""DreamWorld: the neural world behind the `World` protocol, one dream or many at a time.

A dream's state is `reverie.model.dream.state.DreamState`, a value. A batch is a tuple of such states; each goes on as
it would by itself. Nothing of a recording but its frames, actions and poses reaches a dream.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.model.caster.camera import FIELD_OF_VIEW, Camera
from reverie.model.caster.gbuffer import GBuffer
from reverie.model.cells import HEIGHT, UNKNOWN, Cell, CellMap
from reverie.model.dream import packing
from reverie.model.dream.dream import Dream
from reverie.model.dream.look import player_camera
from reverie.model.dream.model_folder import DreamConfig, fingerprint, open_dream
from reverie.model.dream.paint import Paint
from reverie.model.dream.state import DreamState
from reverie.model.dynamics.dynamics import Dynamics
from reverie.model.dynamics.senses import feel_ahead, find_target, held_tokens
from reverie.model.dynamics.starts import follow, moving
from reverie.model.dynamics.state import Actors
from reverie.model.errors import ModelError
from reverie.model.lift.pose import read_place, read_rotation
from reverie.model.onnx_session import OnnxNetwork
from reverie.model.weights import model_folder
from reverie.simulator.action import IDLE, Action
from reverie.simulator.errors import EditError, SaveError, SceneError
from reverie.simulator.scenes import choose_scene, load_scene, resolve_scene, scene_names
from reverie.simulator.world import EVENTS, Senses

if TYPE_CHECKING:
    from reverie.simulator.clips import Clip
    from reverie.simulator.evaluation.starts import TrueStart

MAX_SEED = 2**63
MAX_PITCH = 90.0
NEW = "new"
"""The scene of a dream that starts from nothing but its seed."""
CLIP_FRAMES, LIFT_STEP = 25, 3
"""So many of a clip's last frames are looked at; of them every third, the last one among them, is lifted."""
TIED, TIED_STEP = 5, 5
"""Frames of a clip without poses that its camera's turn is read from, and the ticks between them."""
LOWEST_FEET, HIGHEST_FEET = 2, 56
"""Heights in metres between which poses of a clip are taken as they are; others are moved up or down."""
NEW_HOURS = (0.35, 0.65)
"""Hours between which a new dream begins."""
SIDE = 16
"""Frames have sides that are multiples of this."""
MAX_SIDE = 4096
ICON_EYE = -0.7
"""Metres before a face at which it fills a picture of `FIELD_OF_VIEW`."""
NAMELESS = "unknown"
"""What `get_block` calls a cell that is not dreamed yet."""
Batch = tuple[DreamState, ...]


class DreamWorld:
    """Dreams of one model; see `reverie.simulator.world.World`. Frames are uint8 [h, w, 3] of `size` (h, w)."""

    def __init__(
        self, dream: Dream, config: DreamConfig, name: str, identity: str = "", size: tuple[int, int] | None = None
    ) -> None:
        """`size` defaults to that of the model's training pictures. Raises SceneError for one that cannot be drawn."""
        self._dream, self.config, self._name, self._identity = dream, config, name, identity
        if not isinstance(dream.dynamics, Dynamics):
            raise TypeError(f"dynamics: {type(dream.dynamics).__name__} has no facts of bodies")
        self._dynamics = dream.dynamics
        self._size = (int(size[0]), int(size[1])) if size is not None else config.size
        if any(side <= 0 or side % SIDE or side > MAX_SIDE for side in self._size):
            raise SceneError(f"size {self._size}: must be positive multiples of {SIDE}, up to {MAX_SIDE}")
        self._tokens = {name: token for token, name in enumerate(config.vocabulary.names)}

    @classmethod
    def load(
        cls, model: str = "tiny", backend: str = "auto", device: str = "auto", size: tuple[int, int] | None = None
    ) -> DreamWorld:
        """A bundled model by name, or the one in a folder. Raises ModelError.

        `backend` is auto or onnx: dreams are played by ONNX Runtime and compiled code alone.
        """
        if backend not in ("auto", "onnx"):
            raise ModelError(f"backend {backend}: this model is played by onnx")
        folder = Path(model_folder(model))
        dream, config = open_dream(folder, device)
        return cls(dream, config, model, fingerprint(folder), size)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of frames."""
        return self._size

    @property
    def backend_name(self) -> str:
        """Such as onnx-cpu."""
        return self._dream.painter.frames.backend_name

    @property
    def _backend(self) -> OnnxNetwork:
        """The network that draws every frame."""
        return self._dream.painter.frames.network

    @property
    def block_names(self) -> tuple[str, ...]:
        """Names of all blocks."""
        return self.config.vocabulary.names

    # -- starts ---------------------------------------------------------------------------------------------

    def start(self, scene: Any = None, seed: int = 0) -> DreamState:
        """The state at tick 0. Without a scene the seed chooses one of the bundled pictures; the scene "new" is land
        that nobody has seen. Raises SceneError.
        """
        seed = _checked_seed(seed)
        names = (*scene_names(), NEW)
        found = resolve_scene(scene, self._size, names)
        if found.name == NEW:
            hour = float(np.random.default_rng([seed, 0]).uniform(*NEW_HOURS))
            return self._dream.start_new(seed, hour, self.config.ground)
        if found.clip is not None:
            return self._from_clip(found.clip, seed)
        if found.image is None:
            found = load_scene(found.name or choose_scene(self._name, seed), self._size)
        assert found.image is not None
        if found.pose is not None:
            return self._from_poses([found.image], np.array([found.pose]), seed)
        return self._from_picture(found.image, found.pitch, seed)

    def start_true(self, start: TrueStart, seed: int) -> DreamState:
        """The state of a dream in cells that are given: for evaluation alone. Raises SceneError."""
        tokens = np.array([self._tokens.get(name, UNKNOWN) for name in start.names], np.uint8)
        cells = CellMap().write(start.low, tokens[start.tokens])
        body = start.body
        actors = self._dynamics.spawn(body.place, body.yaw, body.pitch, start.entities)
        actors = moving(actors, body.velocity, body.eye_height, body.on_ground, body.in_water, start.slot)
        return self._dream.start_from_cells(cells, actors, start.hour, _checked_seed(seed))

    def _from_picture(self, image: np.ndarray, pitch: float | None, seed: int) -> DreamState:
        """A dream that begins with a picture; where it was taken from is read off it."""
        image = self._lifted_size(image)
        camera, feet = self._read_camera([image], np.zeros((1, 2)), pitch)
        return self._dream.start([image], [camera], feet, seed)

    def _from_clip(self, clip: Clip, seed: int) -> DreamState:
        """A dream that goes on from a recording's last frame."""
        first = max(0, len(clip) - CLIP_FRAMES)
        poses = None if clip.poses is None else np.asarray(clip.poses[first:], np.float64)
        if poses is None or not np.isfinite(poses).all():
            camera, feet = self._read_camera(*self._tied(clip, first))
            return self._dream.start([self._lifted_size(clip.frames[-1])], [camera], feet, seed)
        poses = self._within_the_world(poses)
        lifted = range((len(poses) - 1) % LIFT_STEP, len(poses), LIFT_STEP)
        level = np.flatnonzero(np.diff(poses[:, 1]) == 0) + 1  # neither rising nor falling
        stood = [(x, y, z) for x, y, z in poses[level, :3].tolist()]
        state = self._from_poses([clip.frames[first + k] for k in lifted], poses[list(lifted)], seed, stood)
        actions = [action.to_vector() for action in clip.actions[first:]]
        actors = follow(self._dynamics, state.cells, state.actors, poses, actions, seed)
        return replace(state, actors=actors, cache={})

    def _from_poses(
        self,
        frames: Sequence[np.ndarray],
        poses: np.ndarray,
        seed: int,
        stood: Sequence[tuple[float, float, float]] = (),
    ) -> DreamState:
        """A dream that goes on from the last of several frames with poses float [n, 5]; see `Dream.start`."""
        poses = self._within_the_world(poses)
        eye = self._dynamics.facts.eye
        images = [self._lifted_size(frame) for frame in frames]
        cameras = [Camera((x, y + eye, z), yaw, pitch) for x, y, z, yaw, pitch in poses.tolist()]
        x, y, z = poses[-1, :3].tolist()
        return self._dream.start(images, cameras, (x, y, z), seed, stood)

    def _within_the_world(self, poses: np.ndarray) -> np.ndarray:
        """Poses float [n, 5] moved up or down by whole metres if the last one is above or below the world."""
        moved = poses.copy()
        if not LOWEST_FEET <= poses[-1, 1] <= HIGHEST_FEET:
            moved[:, 1] += self.config.ground - math.floor(poses[-1, 1])
        return moved

    def _tied(self, clip: Clip, first: int) -> tuple[list[np.ndarray], np.ndarray]:
        """Frames of a clip's end and the (pitch, yaw) of their cameras over that of the last one, as actions tell."""
        turned = np.array([action.camera for action in clip.actions[first:]], np.float64).reshape(-1, 2)
        since = np.cumsum(turned[:-1][::-1], axis=0)[::-1]  # from each frame to the last one
        numbers = sorted({len(turned) - 1 - k * TIED_STEP for k in range(TIED) if k * TIED_STEP < len(turned)})
        images = [self._lifted_size(clip.frames[first + number]) for number in numbers]
        return images, np.array([-since[number] if number < len(since) else np.zeros(2) for number in numbers])

    def _read_camera(
        self, images: list[np.ndarray], turns: np.ndarray, pitch: float | None = None
    ) -> tuple[Camera, tuple[float, float, float]]:
        """The camera of the last of several pictures, and the feet of whoever holds it; see `read_rotation`."""
        yaw, read, _ = read_rotation(images, turns)
        pitch = read if pitch is None else pitch
        x, y, z = read_place(self._dream.lifter, images[-1], yaw, pitch).tolist()
        eye = self._dynamics.facts.eye
        feet = (x, float(self.config.ground), z)
        return Camera((x, math.floor(feet[1] + eye) + y, z), yaw, pitch), feet

    def _lifted_size(self, image: np.ndarray) -> np.ndarray:
        """A picture in the size that the lifter was trained on."""
        from reverie.simulator import edits

        return image if image.shape[:2] == self.config.size else edits.fit_image(image, self.config.size, crop=True)

    # -- the protocol ---------------------------------------------------------------------------------------

    def step(self, state: DreamState, action: Action = IDLE) -> DreamState:
        """The state one tick later."""
        return self._dream.step(state, action.to_vector())

    def frame(self, state: DreamState) -> np.ndarray:
        """What the player sees: uint8 [h, w, 3], read-only."""
        return self._dream.frame(state, self._size)

    def tick(self, state: DreamState) -> int:
        """Ticks since the start."""
        return state.tick

    def senses(self, state: DreamState) -> Senses:
        """What a scripted player may know, by the dream's own cells."""
        facts, actors = self._dynamics.facts, state.actors
        target = find_target(facts, actors, state.cells)
        ahead = feel_ahead(facts, actors, state.cells)
        return Senses(
            tick=state.tick,
            pitch=actors.pitch,
            target_distance=math.inf if target is None else target.distance,
            target_block=None if target is None else self.get_block(state, *target.cell),
            blocked=ahead.blocked,
            in_water=actors.in_water,
            on_ground=actors.on_ground,
            drop_ahead=ahead.drop,
            water_ahead=ahead.water,
        )

    def events(self, state: DreamState) -> np.ndarray:
        """float32 [len(EVENTS)]: what happened in the last tick."""
        return np.array([event in state.events for event in EVENTS], np.float32)

    def edit(
        self, state: DreamState, image: np.ndarray, mask: np.ndarray | None = None, strength: float = 0.0
    ) -> DreamState:
        """The state painted with `image` uint8 [h, w, 3] where `mask` bool [h, w] (None: wherever it differs).

        With a `strength` above 0 what the sketch shows becomes cells, which look as the model draws them; its colours
        stay on them the fainter the higher `strength` is. Raises EditError.
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
            painted = mask if strength > 0 else painted & mask
        if not painted.any():
            return state
        if strength > 0 and self._size == self.config.size:
            return self._dream.sketch(state, image, painted, float(strength))
        return self._dream.paint_over(state, image, painted)

    def redream(self, state: DreamState, mask: np.ndarray, seed: int = 1) -> DreamState:
        """The state with what lies under `mask` bool [h, w] dreamed anew with another seed. Raises EditError."""
        mask = np.asarray(mask)
        if mask.shape != self._size or mask.dtype != np.bool_:
            raise EditError(f"redream: the mask must be bool {self._size}, not {mask.dtype} {mask.shape}")
        return self._dream.redream(state, mask, _checked_seed(seed))

    def describe(self) -> dict[str, Any]:
        """JSON that names the model and its weights."""
        return {"world": "dream", "model": self._name, "fingerprint": self._identity, "size": list(self._size)}

    def pack(self, state: DreamState) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The state as plain JSON and named arrays. Land that was asked for is waited for."""
        landscape = self._dream.landscape
        pending, arrays = packing.pack_pending(state.pending, landscape.answer) if landscape else ([], {})
        actors, bodies = state.actors.pack()
        meta = {
            "seed": state.seed, "tick": state.tick, "hour": state.hour, "events": list(state.events), "actors": actors,
            "pending": pending,
        }  # fmt: skip
        arrays |= packing.pack_cells(state.cells) | packing.pack_paint(state.paint) | packing.pack_plan(state.plan)
        arrays |= {f"actors_{name}": array for name, array in bodies.items()}
        arrays["complete"] = np.array(sorted(state.complete), np.int64).reshape(-1, 2)
        return meta, arrays

    def unpack(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> DreamState:
        """The inverse of `pack`; everything is checked. Raises SaveError."""
        try:
            seed, tick, hour = meta["seed"], meta["tick"], meta["hour"]
            if type(seed) is not int or type(tick) is not int or not (0 <= seed < MAX_SEED and 0 <= tick < 2**53):
                raise SaveError("save: seed or tick is out of range")
            if not isinstance(hour, (int, float)) or isinstance(hour, bool) or not 0 <= hour < 1:
                raise SaveError("save: the hour is out of range")
            events = meta["events"]
            if not isinstance(events, list) or any(event not in EVENTS for event in events):
                raise SaveError("save: what happened last makes no sense")
            known = np.zeros(256, np.bool_)
            known[: len(self.block_names)] = known[UNKNOWN] = True
            bodies = {name.removeprefix("actors_"): arrays[name] for name in arrays if name.startswith("actors_")}
            actors = Actors.unpack(meta["actors"], bodies)
            complete = packing.take(arrays, "complete", np.int64, (None, 2))
            return DreamState(
                seed, tick, packing.unpack_cells(arrays, known), packing.unpack_paint(arrays), actors, float(hour),
                packing.unpack_plan(arrays), frozenset((int(x), int(z)) for x, z in complete),
                packing.unpack_pending(meta["pending"], arrays, known), tuple(events),
            )  # fmt: skip
        except (ModelError, KeyError, TypeError, ValueError) as error:
            raise SaveError(f"save: {' '.join(str(error).split()).removeprefix('save: ')}") from error

    # -- what a dream knows ---------------------------------------------------------------------------------

    def pose(self, state: DreamState) -> np.ndarray:
        """float64 [5]: x, y, z of the feet in metres, yaw (not wrapped) and pitch in degrees."""
        return np.array([*state.actors.place, state.actors.yaw, state.actors.pitch])

    def entities(self, state: DreamState) -> np.ndarray:
        """float64 [n, 6]: x, y, z of the feet, yaw in degrees, kind, phase of the walk in radians."""
        return np.array(state.actors.entities)

    def slot(self, state: DreamState) -> int:
        """Selected hotbar slot, 0 to 8."""
        return int(state.actors.hands.slot)

    def depth(self, state: DreamState) -> np.ndarray:
        """float32 [h, w]: metres in front of the camera plane, infinity for the sky."""
        gbuffer = self._gbuffer(state)
        h, w = self._size
        ahead = gbuffer.rays.reshape(h, w, 3) @ _axis(player_camera(state))
        return (gbuffer.depth() * ahead).astype(np.float32)

    def block_ids(self, state: DreamState) -> np.ndarray:
        """uint8 [h, w]: the block that each pixel shows, an index into `block_names`; 192 and more: entities."""
        return self._gbuffer(state).tokens[..., 0]

    def _gbuffer(self, state: DreamState) -> GBuffer:
        return self._dream.painter.gbuffer(state, player_camera(state), self._size)

    def get_block(self, state: DreamState, x: int, y: int, z: int) -> str:
        """The name of the block at these coordinates; "unknown" where nothing is dreamed yet."""
        token = state.cells.get(math.floor(x), math.floor(y), math.floor(z))
        return NAMELESS if token == UNKNOWN else self.block_names[token]

    def set_block(self, state: DreamState, x: int, y: int, z: int, name: str) -> DreamState:
        """The state with another block there. Raises EditError for an unknown name or a height outside."""
        return self.set_blocks(state, {(math.floor(x), math.floor(y), math.floor(z)): name})

    def set_blocks(self, state: DreamState, names: Mapping[Cell, str]) -> DreamState:
        """The state with many blocks changed at once. Raises EditError."""
        writes: dict[Cell, int] = {}
        for (x, y, z), name in names.items():
            if name not in self._tokens:
                raise EditError(f"there is no block called {name!r}")
            if not 0 <= y < HEIGHT:
                raise EditError(f"height {y} is outside the world (0 to {HEIGHT - 1})")
            writes[int(x), int(y), int(z)] = self._tokens[name]
        return self._dream.set_cells(state, writes) if writes else state

    def set_time(self, state: DreamState, day_time: float) -> DreamState:
        """The state at another hour: 0 midnight, 0.25 dawn, 0.5 noon, 0.75 dusk. Raises EditError."""
        if not math.isfinite(day_time):
            raise EditError(f"{day_time!r} is not an hour; a day runs from 0 to 1")
        return replace(state, hour=float(day_time) % 1.0, cache={})

    def view(
        self, state: DreamState, pose: Sequence[float], size: tuple[int, int], fov: float = FIELD_OF_VIEW
    ) -> np.ndarray:
        """uint8 [h, w, 3]: the standing world from `pose` (x, y, z of the eye, yaw, pitch). Raises EditError."""
        x, y, z, yaw, pitch = (float(value) for value in pose)
        if not all(map(math.isfinite, (x, y, z, yaw, pitch))) or not 1 <= fov <= 150:
            raise EditError("view: the camera is out of range")
        if any(side <= 0 or side % SIDE or side > MAX_SIDE for side in size):
            raise EditError(f"view: the size must be positive multiples of {SIDE}, not {size}")
        return self._dream.painter.picture(state, Camera((x, y, z), yaw, pitch, fov), (int(size[0]), int(size[1])))

    def hotbar(self) -> tuple[str, ...]:
        """Names of the blocks that the nine slots place, as the dynamics learned it."""
        held = held_tokens(self._dynamics.facts, self._dynamics.networks)
        return tuple(self.block_names[token] for token in held)

    def icon(self, name: str, edge: int = 32) -> np.ndarray:
        """uint8 [edge, edge, 3]: a side of a block as the frame model draws it at noon; `edge` a multiple of 16.

        Raises EditError for an unknown name.
        """
        if name not in self._tokens:
            raise EditError(f"there is no block called {name!r}")
        cells = CellMap().write((-4, 20, -4), np.zeros((9, 24, 9), np.uint8)).set({(0, 32, 0): self._tokens[name]})
        nobody = self._dynamics.spawn((0.0, 60.0, 0.0), 0.0, 0.0)
        alone = DreamState(0, 0, cells, Paint(), nobody, 0.5)
        return self._dream.painter.picture(alone, Camera((0.5, 32.5, ICON_EYE), 0.0, 0.0), (edge, edge))

    # -- many dreams at once --------------------------------------------------------------------------------

    def stack(self, states: Sequence[DreamState]) -> Batch:
        """Many dreams as one."""
        return tuple(states)

    def take(self, batch: Batch, index: int) -> DreamState:
        """Dream number `index` alone."""
        return batch[index]

    def put(self, batch: Batch, index: int, one: DreamState) -> Batch:
        """The batch with dream number `index` replaced."""
        return (*batch[:index], one, *batch[index + 1 :])

    def step_batch(self, batch: Batch, actions: np.ndarray) -> Batch:
        """All dreams one tick later; `actions` float32 [b, 25]. Raises ValueError for another shape."""
        if actions.ndim != 2 or len(actions) != len(batch):
            raise ValueError(f"actions: expected {len(batch)} rows, got shape {actions.shape}")
        return tuple(self._dream.step_many(batch, list(actions.astype(np.float32))))

    def frames(self, batch: Batch) -> np.ndarray:
        """uint8 [b, h, w, 3]."""
        return np.stack([self.frame(state) for state in batch])

    def events_batch(self, batch: Batch) -> np.ndarray:
        """float32 [b, len(EVENTS)]."""
        return np.stack([self.events(state) for state in batch])


def _checked_seed(seed: Any) -> int:
    if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)) or not 0 <= int(seed) < MAX_SEED:
        raise SceneError(f"seed {seed!r} is not a whole number from 0 to 2**63 - 1")
    return int(seed)


def _axis(camera: Camera) -> np.ndarray:
    """float64 [3]: where a camera looks."""
    yaw, pitch = math.radians(camera.yaw), math.radians(camera.pitch)
    return np.array([-math.sin(yaw) * math.cos(pitch), -math.sin(pitch), math.cos(yaw) * math.cos(pitch)])
