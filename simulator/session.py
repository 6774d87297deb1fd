"""`Simulator`: one player's session in a world. Steps, goes back, branches, edits, saves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.model.errors import ReverieError
from reverie.simulator import edits, saves
from reverie.simulator.action import Action
from reverie.simulator.errors import EditError, SaveError
from reverie.simulator.history import History, HistoryConfig
from reverie.simulator.scenes import resolve_scene
from reverie.simulator.world import Senses, World


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A moment of a session. It is a value: keep it as long as you like, restore it as often as you like."""

    world: dict[str, Any]
    """Description of the world that it is of."""
    state: Any


class Simulator:
    """A session in `world`, started from `scene` (None, a name, a picture, a `Clip`, or a path) with `seed`.

    The same seed and actions give the same frames, bit for bit, before and after `restore`, `rewind` and
    `open`. Raises SceneError for a scene that cannot be used.
    """

    def __init__(
        self, world: World[Any], scene: Any = None, seed: int = 0, *, history: HistoryConfig | None = None
    ) -> None:
        state = world.start(resolve_scene(scene, world.size).value, seed)
        self._take(world, state, history or HistoryConfig())

    @classmethod
    def _at(cls, world: World[Any], state: Any, config: HistoryConfig) -> Simulator:
        """A session that goes on from a state."""
        session = cls.__new__(cls)
        session._take(world, state, config)
        return session

    def _take(self, world: World[Any], state: Any, config: HistoryConfig) -> None:
        self._world, self._state = world, state
        self._past: History[Any] = History(config)
        self._past.begin(world.tick(state), state)

    @property
    def world(self) -> World[Any]:
        """The world that this session is in."""
        return self._world

    @property
    def state(self) -> Any:
        """The world's state: a value, never changed by what the session does next."""
        return self._state

    @property
    def frame(self) -> np.ndarray:
        """What the player sees: uint8 [h, w, 3], not to be written to."""
        return self._world.frame(self._state)

    @property
    def tick(self) -> int:
        """Ticks (1/20 s) since the start."""
        return self._world.tick(self._state)

    @property
    def events(self) -> np.ndarray:
        """float32 [len(EVENTS)]: what happened in the last tick (`reverie.simulator.world.EVENTS`)."""
        return self._world.events(self._state)

    @property
    def senses(self) -> Senses:
        """What a scripted player may know."""
        return self._world.senses(self._state)

    def step(self, action: Action) -> np.ndarray:
        """One tick on: the new frame."""
        self._state = self._world.step(self._state, action)
        self._past.stepped(action, self._state)
        return self.frame

    # Going back

    def snapshot(self) -> Snapshot:
        """This moment, to `restore` later, here or in another session in the same world."""
        return Snapshot(self._world.describe(), self._state)

    def restore(self, snapshot: Snapshot) -> np.ndarray:
        """Goes on from a snapshot; the history begins anew there. Raises SaveError if it is of another
        world.
        """
        if not isinstance(snapshot, Snapshot):
            raise SaveError(f"restore: takes a snapshot, not {type(snapshot).__name__}")
        saves.check_same_world(self._world.describe(), snapshot.world, "the snapshot")
        self._take(self._world, snapshot.state, self._past.config)
        return self.frame

    @property
    def history(self) -> range:
        """The ticks that can be gone back to, oldest first, up to the present one."""
        return self._past.ticks

    def rewind(self, ticks: int = 1) -> np.ndarray:
        """Goes back by so many ticks and forgets what came after. Edits made at the tick reached are kept.

        Raises ReverieError if that is further than `history` goes.
        """
        if isinstance(ticks, bool) or not isinstance(ticks, (int, np.integer)) or ticks < 0:
            raise ReverieError(f"rewind: takes a number of ticks from 0 up, not {ticks!r}")
        wanted = self.tick - int(ticks)
        if wanted not in self.history:
            raise ReverieError(f"rewind: at most {len(self.history) - 1} ticks can be gone back, not {ticks}")
        self._state = self._past.reach(wanted, self._world.step)
        return self.frame

    def branch(self) -> Simulator:
        """An independent session that goes on from here, with the same past."""
        other = self._at(self._world, self._state, self._past.config)
        other._past = self._past.copy()
        return other

    # Changing the world

    def edit(self, image: edits.Picture, mask: edits.Picture | None = None, strength: float = 0.0) -> np.ndarray:
        """Replaces the current frame by `image` where `mask` is set (None: everywhere); gives the new frame.

        Image and mask may have any size and type (`edits.fit_edit`). A `strength` (0 to 1) above 0 lets a
        dream re-imagine the edit, the more the higher. Raises EditError.
        """
        if not isinstance(strength, (int, float)) or not 0 <= strength <= 1:
            raise EditError(f"edit: strength is from 0 to 1, not {strength!r}")
        fitted, fitted_mask = edits.fit_edit(image, mask, self.frame)
        return self._change(self._world.edit(self._state, fitted, fitted_mask, float(strength)))

    def redream(self, mask: edits.Picture, seed: int = 1) -> np.ndarray:
        """Dreams what lies under a mask anew, with another seed; gives the new frame. Each seed is a candidate.

        Raises EditError, and ReverieError where the world does not dream.
        """
        fitted = edits.fit_mask(mask, self._world.size)
        return self._change(self._ability("redream")(self._state, fitted, seed))

    def set_block(self, x: int, y: int, z: int, name: str) -> np.ndarray:
        """Changes one block; gives the new frame. Raises EditError."""
        return self._change(self._ability("set_block")(self._state, x, y, z, name))

    def set_blocks(self, names: Mapping[tuple[int, int, int], str]) -> np.ndarray:
        """Changes many blocks at once, `{(x, y, z): name}`; gives the new frame. Raises EditError."""
        return self._change(self._ability("set_blocks")(self._state, names))

    def set_time(self, day_time: float) -> np.ndarray:
        """Sets the hour (0 to 1, noon at 0.5); gives the new frame. Raises EditError."""
        return self._change(self._ability("set_time")(self._state, day_time))

    def _change(self, state: Any) -> np.ndarray:
        self._state = state
        self._past.changed(state)
        return self.frame

    # What a world knows of itself

    @property
    def pose(self) -> np.ndarray:
        """float [5]: x, y, z of the feet in metres, yaw and pitch in degrees."""
        return self._ability("pose")(self._state)

    @property
    def entities(self) -> np.ndarray:
        """float64 [n, 6]: x, y, z of the feet, yaw in degrees, kind, phase of the walk in radians."""
        return self._ability("entities")(self._state)

    def view(self, pose: Sequence[float], size: tuple[int, int] | None = None, fov: float = 70.0) -> np.ndarray:
        """uint8 [h, w, 3]: the standing world from any camera, beside the player's own.

        `pose` is x, y, z of the eye in metres, yaw and pitch in degrees; `size` (h, w) in multiples of 16, `fov`
        vertical, in degrees. Raises EditError for a camera that is out of range.
        """
        return self._ability("view")(self._state, pose, size or self._world.size, fov)

    def depth(self) -> np.ndarray:
        """float32 [h, w]: metres along the camera's axis, infinite for the sky."""
        return self._ability("depth")(self._state)

    def block_ids(self) -> np.ndarray:
        """uint8 [h, w]: the kind of block that each pixel shows."""
        return self._ability("block_ids")(self._state)

    def get_block(self, x: int, y: int, z: int) -> str:
        """The name of the block at a place."""
        return self._ability("get_block")(self._state, x, y, z)

    def _ability(self, name: str) -> Any:
        """A method that only some worlds have."""
        method = getattr(self._world, name, None)
        if method is None:
            raise ReverieError(f"{name}: a {type(self._world).__name__} has none")
        return method

    # Files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes this moment to a `.reverie` file. Raises SaveError."""
        saves.write_save(path, self._world, self._state)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        world: World[Any] | None = None,
        *,
        history: HistoryConfig | None = None,
    ) -> Simulator:
        """The session that a `.reverie` file holds, in `world`, or in the world that the file describes.

        Without `world` only the voxel world and bundled models are opened. Raises SaveError.
        """
        save = saves.read_save(path)
        world = saves.open_world(save.world) if world is None else world
        return cls._at(world, saves.unpack_save(save, world, path), history or HistoryConfig())
