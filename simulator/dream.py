"""The neural world: a model's dreams behind the protocol of `reverie.simulator.world`, one or many at a time.

Letters: b dreams, h w pixels. Array names and shapes of the model's own inputs are in `reverie.model.signature`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.model import flow, recall
from reverie.model.actions import ACTION_DIM, ACTION_INDEX, CAMERA_SCALE
from reverie.model.errors import ModelError
from reverie.model.signature import Backend, memory_shape
from reverie.model.weights import fingerprint, has_world, load_config, model_folder, open_backend
from reverie.simulator.action import IDLE, Action
from reverie.simulator.clip_rows import clip_edited, clip_travels
from reverie.simulator.errors import SaveError, SceneError
from reverie.simulator.scenes import choose_scene, load_scene, resolve_scene, scene_names
from reverie.simulator.world import EVENTS, Senses

if TYPE_CHECKING:
    from reverie.simulator.clips import Clip

MAX_PITCH = 90.0
MAX_SEED = 2**63
PLACE = EVENTS.index("place")
PITCH = 4
"""Its place in a pose."""
ANOTHER_WORLD = 0.5
"""Share of the pixels beyond which an edit makes all earlier views worthless."""
EDITED_PLACES = 100
"""Sight lines that stand for an edited region."""
REDREAM_STREAM = 1
"""Noise for re-dreaming an edit comes from another stream than the noise of the ticks (stream 0)."""


@dataclass(frozen=True, slots=True, eq=False)
class DreamState:
    """Everything that decides the next frame of b dreams. A value: its arrays are never written to."""

    past: np.ndarray
    """uint8 [b, past, h, w, 3], the newest frame first."""
    keys: np.ndarray
    values: np.ndarray
    ages: np.ndarray
    pose: np.ndarray
    """float32 [b, 5], as in `reverie.model.recall`: where the eye is, as far as the model can tell."""
    last_action: np.ndarray
    """float32 [b, 25]: of the last tick; all zero at a start."""
    rest: np.ndarray
    """uint8 [b, h, w, 3]: the newest frame in which the hands were at rest."""
    rested: np.ndarray
    """int64 [b]: for how many ticks they have not swung, as in `reverie.model.recall.rested`."""
    placed: np.ndarray
    """int64 [b]: ticks since something was placed, as in `reverie.model.recall.placed`."""
    leaned: np.ndarray
    """float32 [b]: degrees that the eye has turned (yaw) since keys to walk by have led nowhere."""
    pace: np.ndarray
    """float32 [b, 4], as in `reverie.model.recall`: how the eye moved in the last tick, by the model."""
    kept: np.ndarray
    """object [b, k]: earlier views, each a uint8 [h, w, 3] that many states share, or None for an empty slot."""
    kept_poses: np.ndarray
    """float32 [b, k, 5]."""
    kept_ages: np.ndarray
    """float32 [b, k]: in ticks; below zero for an empty slot."""
    ticks: np.ndarray
    """int64 [b]."""
    seeds: np.ndarray
    """int64 [b]: with the tick, all there is to the random state."""
    events: np.ndarray
    """float32 [b, len(EVENTS)]: probabilities for the last tick."""


class DreamWorld:
    """Dreams of one model; see `reverie.simulator.world.World`. A state may hold many dreams, stepped in one pass."""

    def __init__(
        self,
        backend: Backend,
        name: str,
        identity: str = "",
        size: tuple[int, int] | None = None,
        steps: int | None = None,
    ) -> None:
        """`size` (h, w) defaults to what the model was trained on, `steps` to what it was distilled to."""
        self._backend, self._name, self._identity = backend, name, identity
        self.config = backend.config
        self._size = size or self.config.size
        self.steps = steps or self.config.steps
        if any(side <= 0 or side % self.config.patch for side in self._size):
            raise SceneError(f"size {self._size}: must be positive multiples of {self.config.patch}")

    @classmethod
    def load(
        cls, model: str = "tiny", backend: str = "auto", device: str = "auto", size: tuple[int, int] | None = None
    ) -> DreamWorld:
        """A bundled model by name, or the one in a folder. Raises ModelError.

        Frames are of the `size` (h, w) that the model was trained on, unless another is asked for: exports are made
        for that one alone, so others run in torch.
        """
        folder = model_folder(model)
        if has_world(folder):
            from reverie.simulator import dream_world  # its caster is compiled

            return dream_world.DreamWorld.load(model, backend, device, size)  # type: ignore[return-value]
        if size is not None and tuple(size) != load_config(folder).size:
            if backend.startswith("onnx"):
                raise ModelError(f"backend {backend}: exports are of one size; frames of {size} need torch")
            backend = "torch" if backend == "auto" else backend
        return cls(open_backend(folder, backend, device), model, fingerprint(folder), size)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of frames."""
        return self._size

    @property
    def backend_name(self) -> str:
        """Such as onnx-cpu."""
        return self._backend.name

    # One dream at a time: the World protocol.

    def start(self, scene: Any = None, seed: int = 0) -> DreamState:
        """The state at tick 0. Without a scene the seed chooses one of the bundled pictures. Raises SceneError."""
        if isinstance(seed, bool) or not 0 <= int(seed) < MAX_SEED:
            raise SceneError(f"seed {seed!r} is not a whole number from 0 to 2**63 - 1")
        names = scene_names()
        found = resolve_scene(scene, self._size, names)
        if found.value is None and not names:
            raise SceneError("no start scenes are bundled; give a picture or a clip")
        if found.clip is not None:
            return self._from_clip(found.clip, seed)
        if found.image is None:
            found = load_scene(found.name or choose_scene(self._name, seed), self._size)
        assert found.image is not None
        return self._from_image(found.image, found.pitch, seed)

    def step(self, state: DreamState, action: Action = IDLE) -> DreamState:
        """The state one tick later."""
        return self.step_batch(state, action.to_vector()[None])

    def frame(self, state: DreamState) -> np.ndarray:
        """What the player sees: uint8 [h, w, 3], read-only."""
        return state.past[0, 0]

    def tick(self, state: DreamState) -> int:
        """Ticks since the start."""
        return int(state.ticks[0])

    def senses(self, state: DreamState) -> Senses:
        """In a dream a scripted player knows the tick and the pitch, no more."""
        return Senses(tick=int(state.ticks[0]), pitch=float(state.pose[0, PITCH]))

    def events(self, state: DreamState) -> np.ndarray:
        """float32 [len(EVENTS)]: the probabilities that the model gives to the last tick's events."""
        return state.events[0]

    def edit(self, state: DreamState, image: np.ndarray, mask: np.ndarray | None, strength: float) -> DreamState:
        """`image` becomes the newest frame where `mask`; the past and the memory stay as they are.

        Earlier views that show what is edited are forgotten, and the edited one is kept, so that the edit lasts.

        With `strength` in 0..1 the picture is first noised to level 1 - strength and dreamed clean again (SDEdit, Meng
        et al., arXiv 2108.01073), so that a rough sketch takes on the look of the world.
        """
        before = self.frame(state)
        covered = np.ones(before.shape[:2], bool) if mask is None else mask
        edited = np.where(covered[..., None], image, before).astype(np.uint8)
        if strength > 0:
            sketch = self._with_newest(state, edited)
            noise = self._noise(sketch, REDREAM_STREAM)
            level = np.float32(1 - min(strength, 1.0))
            z = level * _to_unit(edited)[None] + (1 - level) * noise
            redreamed, _ = self._denoise(sketch, np.zeros((1, ACTION_DIM), np.float32), z, float(level))
            edited = np.where(covered[..., None], redreamed["frame"][0], before)
        return self._edited(state, edited)

    def describe(self) -> dict[str, Any]:
        """JSON that names the model and its weights."""
        return {"world": "dream", "model": self._name, "fingerprint": self._identity, "size": list(self._size)}

    def pack(self, state: DreamState) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The state as plain JSON and named arrays."""
        arrays = {field.name: getattr(state, field.name) for field in dataclasses.fields(DreamState)}
        views = [view for view in arrays["kept"].flat if view is not None]
        arrays["kept"] = np.stack(views) if views else np.zeros((0, *self._size, 3), np.uint8)
        return {}, arrays

    def unpack(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> DreamState:
        """The inverse of `pack`; checks names, types, shapes and values. Raises SaveError."""
        model = self._blank(np.zeros((*self._size, 3), np.uint8), 0.0, 0)
        values = {}
        for field in dataclasses.fields(DreamState):
            expected, array = getattr(model, field.name), arrays.get(field.name)
            if field.name == "kept":
                continue
            if not isinstance(array, np.ndarray) or array.dtype != expected.dtype or array.shape != expected.shape:
                raise SaveError(f"save: the dream's {field.name} is missing or of the wrong shape")
            if array.dtype == np.float32 and not np.isfinite(array).all():
                raise SaveError(f"save: the dream's {field.name} holds numbers that are not finite")
            values[field.name] = array
        values["kept"] = self._unpack_views(arrays.get("kept"), values["kept_ages"] >= 0)
        if set(arrays) != set(values):
            raise SaveError("save: holds arrays that no dream has")
        least = min(values[name][0] for name in ("ticks", "seeds", "rested", "placed"))
        if least < 0 or abs(values["pose"][0, PITCH]) > MAX_PITCH:
            raise SaveError("save: the dream's tick, seed, rest or pitch is out of range")
        return DreamState(**values)

    def _unpack_views(self, views: Any, filled: np.ndarray) -> np.ndarray:
        """Earlier views in their slots: object [1, k], where `filled` [1, k]. Raises SaveError."""
        expected = (int(filled.sum()), *self._size, 3)
        if not isinstance(views, np.ndarray) or views.dtype != np.uint8 or views.shape != expected:
            raise SaveError("save: the dream's earlier views are missing or of the wrong shape")
        kept = np.full(filled.shape, None, object)
        for place, view in zip(np.argwhere(filled), views, strict=True):
            kept[tuple(place)] = view
        return kept

    # Many dreams at once.

    def stack(self, states: list[DreamState]) -> DreamState:
        """One state that holds all the dreams of `states`."""
        return DreamState(
            *(
                np.concatenate([getattr(state, field.name) for state in states])
                for field in dataclasses.fields(DreamState)
            )
        )

    def take(self, state: DreamState, index: int) -> DreamState:
        """Dream number `index` alone."""
        return DreamState(*(getattr(state, field.name)[index : index + 1] for field in dataclasses.fields(DreamState)))

    def put(self, state: DreamState, index: int, one: DreamState) -> DreamState:
        """The state with dream number `index` replaced by the only one in `one`."""
        columns = []
        for field in dataclasses.fields(DreamState):
            column = getattr(state, field.name).copy()
            column[index] = getattr(one, field.name)[0]
            columns.append(column)
        return DreamState(*columns)

    def frames(self, state: DreamState) -> np.ndarray:
        """uint8 [b, h, w, 3]."""
        return state.past[:, 0]

    def events_batch(self, state: DreamState) -> np.ndarray:
        """float32 [b, len(EVENTS)]."""
        return state.events

    def step_batch(self, state: DreamState, actions: np.ndarray) -> DreamState:
        """All dreams one tick later; `actions` float32 [b, 25]. Raises ValueError for another shape."""
        if actions.shape != (len(state.ticks), ACTION_DIM):
            raise ValueError(f"actions: expected shape {(len(state.ticks), ACTION_DIM)}, got {actions.shape}")
        noise = self._noise(state, stream=0)
        actions = actions.astype(np.float32)
        out, turn = self._denoise(state, actions, noise, start=0.0)
        return self._advance(state, actions, out["frame"], out, turn)

    # How it is done.

    def _denoise(
        self, state: DreamState, actions: np.ndarray, z: np.ndarray, start: float
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The last pass's outputs, and the turns [b, 2] that the cameras really make."""
        b, pitch = len(actions), state.pose[:, PITCH]
        turn = self._turn(state, actions)
        key, way = self._recall(state, turn)
        told = np.ones_like(actions)
        told[:, list(recall.WALKS)] = ~self._stuck(state, actions, turn)[:, None]
        comes_back = (way[:, 0] > 0) & (state.rested >= recall.REST_TICKS)
        rest = np.where(comes_back[:, None, None, None], key, state.rest)
        inputs = {
            "past": state.past, "keys": state.keys, "values": state.values, "ages": state.ages,
            "action": actions * told, "last_action": state.last_action * told, "turn": turn, "pitch": pitch,
            "key": key, "way": way, "rest": rest, "pace": state.pace,
        }  # fmt: skip
        out: dict[str, np.ndarray] = {}

        def denoise(z: np.ndarray, level: float, size: float) -> np.ndarray:
            step = {"noised": z, "level": np.full(b, level, np.float32), "size": np.full(b, size, np.float32)}
            out.update(self._backend.run({**inputs, **step}))
            return out["clean"]

        flow.sample(denoise, z.astype(np.float32), self.steps, start)
        return out, turn

    @staticmethod
    def _turn(state: DreamState, actions: np.ndarray) -> np.ndarray:
        """How the cameras turn [b, 2]: as they are told, but not over the zenith."""
        first = ACTION_INDEX["cameraX"]
        turn = actions[:, first : first + 2] * np.float32(CAMERA_SCALE)
        pitch = state.pose[:, PITCH]
        turn[:, 0] = np.clip(pitch + turn[:, 0], -MAX_PITCH, MAX_PITCH) - pitch
        return turn

    @staticmethod
    def _stuck(state: DreamState, actions: np.ndarray, turn: np.ndarray) -> np.ndarray:
        """Who walks against something in vain [b]; the network is not told by which keys, and carries nobody through.

        Until the hands do something, other keys are held, or the eye has turned away from it.
        """
        leaning = np.abs(state.leaned + turn[:, 1]) < recall.LEAN_DEGREES
        at_rest = state.rested >= recall.REST_TICKS
        return leaning & at_rest & recall.in_vain(actions, state.last_action, state.pace)

    def _recall(self, state: DreamState, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each dream the earlier view [b, h, w, 3] that helps with what comes into sight, and the way from it.

        Who stands still with steady hands gets the newest frame itself: what stays is not to be drawn anew.
        """
        rows = np.arange(len(turn))
        field = self.config.field_of_view
        still = recall.stands(turn, np.linalg.norm(state.pace[:, 1:], axis=1))
        ages = recall.trusted(state.kept_ages, state.placed, still)
        slots = recall.choose(state.kept_poses, ages, state.pose, turn, self._size, field)
        stays = still & (state.rested >= recall.STEADY_TICKS)
        older = (slots >= 0) & ~stays
        poses = np.where(stays[:, None], state.pose, state.kept_poses[rows, slots])
        way = recall.way(poses, state.pose) * (stays | older)[:, None]
        views = [state.kept[row, slot] if older[row] else state.past[row, 0] for row, slot in zip(rows, slots)]
        return np.stack(views), way.astype(np.float32)

    def _keep(self, state: DreamState, rows: np.ndarray) -> DreamState:
        """The same with the newest frames of dreams `rows` among their earlier views."""
        if not len(rows):
            return state
        kept, poses, ages = state.kept.copy(), state.kept_poses.copy(), state.kept_ages.copy()
        for row in rows:
            slot = recall.slot_for(poses[row], ages[row], state.pose[row])
            kept[row, slot], poses[row, slot], ages[row, slot] = state.past[row, 0].copy(), state.pose[row], 0.0
        return dataclasses.replace(state, kept=kept, kept_poses=poses, kept_ages=ages)

    def _advance(
        self,
        state: DreamState,
        actions: np.ndarray,
        frames: np.ndarray,
        out: dict[str, np.ndarray],
        turn: np.ndarray,
    ) -> DreamState:
        """The state after `actions` led to `frames` [b, h, w, 3]: they join the past, keys and values the memory."""
        rows = np.arange(len(frames))
        slot = np.where(state.ages < 0, np.inf, state.ages).argmax(axis=1)
        keys, values = state.keys.copy(), state.values.copy()
        keys[rows, :, slot] = out["new_keys"]
        values[rows, :, slot] = out["new_values"]
        ages = np.where(state.ages >= 0, state.ages + 1, state.ages)
        ages[rows, slot] = 1.0
        remembered = dataclasses.replace(
            state, keys=keys, values=values, ages=ages.astype(np.float32), events=out["events"]
        )
        return self._seen(remembered, actions, frames, turn, out["travel"], out["events"][:, PLACE])

    def _seen(
        self,
        state: DreamState,
        actions: np.ndarray,
        frames: np.ndarray,
        turn: np.ndarray,
        travel: np.ndarray,
        placed: np.ndarray | float = 1.0,
    ) -> DreamState:
        """The state whose cameras have turned and travelled to see `frames`, with the same memory.

        `placed` [b] is how likely it is that something was placed, if *use* was pressed.
        """
        rested = recall.rested(state.rested, actions)
        swinging = (rested < recall.REST_TICKS)[:, None, None, None]
        later = dataclasses.replace(
            state,
            past=np.concatenate((frames[:, None], state.past[:, :-1]), axis=1),
            pose=recall.advance(state.pose, turn, travel),
            last_action=actions,
            rest=np.where(swinging, state.rest, frames),
            rested=rested,
            placed=recall.placed(state.placed, actions, placed),
            leaned=np.where(self._stuck(state, actions, turn), state.leaned + turn[:, 1], 0).astype(np.float32),
            pace=recall.pace(turn, travel),
            kept_ages=np.where(state.kept_ages >= 0, state.kept_ages + 1, state.kept_ages),
            ticks=state.ticks + 1,
        )
        wanted = recall.worth_keeping(later.kept_poses, later.kept_ages, later.pose)
        return self._keep(later, np.flatnonzero(wanted))

    def _noise(self, state: DreamState, stream: int) -> np.ndarray:
        """float32 [b, 3, h, w] standard normal, a function of each dream's seed and tick (counter-based, Philox)."""
        grains = [
            np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, 0, tick])).standard_normal(
                (3, *self._size), np.float32
            )
            for seed, tick in zip(state.seeds, state.ticks, strict=True)
        ]
        return np.stack(grains)

    def _blank(self, frame: np.ndarray, pitch: float, seed: int) -> DreamState:
        shape = memory_shape(self.config, 1, self._size)
        slots = self.config.keys
        state = DreamState(
            past=np.repeat(frame[None, None], self.config.past, axis=1),
            keys=np.zeros(shape, np.float32),
            values=np.zeros(shape, np.float32),
            ages=np.full((1, self.config.memory), -1.0, np.float32),
            pose=np.array([[0.0, 0.0, 0.0, 0.0, pitch]], np.float32),
            last_action=np.zeros((1, ACTION_DIM), np.float32),
            rest=frame[None].copy(),
            rested=np.full(1, recall.STEADY_TICKS, np.int64),
            placed=np.full(1, recall.NEVER, np.int64),
            leaned=np.zeros(1, np.float32),
            pace=np.zeros((1, recall.PACE_DIM), np.float32),
            kept=np.full((1, slots), None, object),
            kept_poses=np.zeros((1, slots, recall.POSE_DIM), np.float32),
            kept_ages=np.full((1, slots), -1.0, np.float32),
            ticks=np.zeros(1, np.int64),
            seeds=np.array([seed], np.int64),
            events=np.zeros((1, len(EVENTS)), np.float32),
        )
        return self._keep(state, np.zeros(1, int))

    def _from_image(self, image: np.ndarray, pitch: float | None, seed: int) -> DreamState:
        """A dream that starts cold; where nobody knows the camera's pitch, the model reads it off the picture."""
        state = self._blank(image, pitch or 0.0, seed)
        if pitch is None:
            out, _ = self._denoise(
                state, np.zeros((1, ACTION_DIM), np.float32), self._noise(state, REDREAM_STREAM), 0.0
            )
            state = self._blank(image, float(np.clip(out["seen_pitch"][0], -MAX_PITCH, MAX_PITCH)), seed)
        return state

    def _from_clip(self, clip: Clip, seed: int) -> DreamState:
        """A dream that goes on from a recording's last frame, with its past and, pass by pass, its memory.

        Where the recording knows how far the player went, the dream need not guess it, and keeps views of all that was
        seen on the way, as far as nobody has edited them.
        """
        travels, passes_from = clip_travels(clip), max(0, len(clip) - self.config.memory - 1)
        known = np.isfinite(travels).all(axis=1)
        lost = np.flatnonzero(~known[:passes_from] | clip_edited(clip)[1 : passes_from + 1])
        first = int(lost[-1]) + 1 if len(lost) else 0
        pitch = 0.0 if clip.poses is None else float(clip.poses[first, 4])
        state = self._blank(clip.frames[first], pitch, seed)
        for index in range(first, len(clip) - 1):
            vector, frame = clip.actions[index].to_vector()[None], clip.frames[index + 1][None]
            if index < passes_from:
                state = self._seen(state, vector, frame, self._turn(state, vector), travels[index : index + 1])
                continue
            out, turn = self._denoise(state, vector, self._noise(state, stream=0), start=0.0)
            if known[index]:
                out["travel"] = travels[index : index + 1]
            state = self._advance(state, vector, frame, out, turn)
        return dataclasses.replace(state, ticks=np.zeros(1, np.int64))

    def _edited(self, state: DreamState, frame: np.ndarray) -> DreamState:
        """One dream whose newest frame was replaced: earlier views of the place are forgotten, the new one is kept."""
        changed = (frame != self.frame(state)).any(axis=-1)
        if not changed.any():
            return state
        ages = state.kept_ages.copy()
        if changed.mean() > ANOTHER_WORLD:
            ages[:] = -1.0
        else:
            found = np.argwhere(changed)
            places = found[:: max(1, len(found) // EDITED_PLACES)] + 0.5
            centre = np.array(self._size) / 2
            down = np.tan(np.deg2rad(self.config.field_of_view) / 2)
            offsets = (places - centre) / centre[0] * down
            rays = np.stack((offsets[:, 1], offsets[:, 0], np.ones(len(offsets))), axis=-1)
            gone = recall.stale(state.kept_poses[0], state.pose[0], rays, self._size, self.config.field_of_view)
            ages[0, gone] = -1.0
        kept = state.kept.copy()
        kept[ages < 0] = None
        return self._keep(
            dataclasses.replace(self._with_newest(state, frame), kept=kept, kept_ages=ages), np.zeros(1, int)
        )

    def _with_newest(self, state: DreamState, frame: np.ndarray) -> DreamState:
        past = state.past.copy()
        rest = np.where(frame != past[0, 0], frame, state.rest)
        past[0, 0] = frame
        return dataclasses.replace(state, past=past, rest=rest)


def _to_unit(frame: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3] as float32 [3, h, w] in -1..1."""
    return np.moveaxis(frame, -1, 0).astype(np.float32) / 127.5 - 1
