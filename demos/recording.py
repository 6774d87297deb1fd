"""The recorder of a session: each frame with the action that followed it, as a clip. May be switched on and off."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from reverie.simulator.action import Action
from reverie.simulator.record import event_records


class Recorder:
    """Follows a session for all its length, and writes a clip of the part in which it is switched on.

    Raises ClipError from `start`, `see` and `stop` when the disk is full; what was written until then is kept.
    """

    def __init__(self) -> None:
        self._writer: Any = None
        self._slot = 0
        self._changed = False

    @property
    def frames(self) -> int:
        """Frames in the clip that is being written; 0 without one."""
        return 0 if self._writer is None else self._writer.frames

    @property
    def running(self) -> bool:
        """Whether a clip is being written."""
        return self._writer is not None

    @property
    def path(self) -> Path | None:
        """Of the clip that is being written."""
        return None if self._writer is None else self._writer.path

    def start(self, path: str | os.PathLike[str], size: tuple[int, int]) -> None:
        """Begins a clip of frames of `size` (height, width) at NAME or NAME.mp4."""
        from reverie.simulator.clips import ClipWriter

        self.stop()
        self._writer = ClipWriter(path, size)

    def changed(self) -> None:
        """The next frame is not what the last action led to: it was edited, or fetched from another time."""
        self._changed = True

    def see(self, frame: np.ndarray, pose: np.ndarray | None, action: Action, sim: Any) -> None:
        """Takes a frame (uint8 [h, w, 3]), the pose in it, the action that followed, and the session after that."""
        if self._writer is not None:
            events = event_records(sim.events)
            if self._changed:
                events.insert(0, {"type": "edit"})
            try:
                self._writer.write(frame, action, pose=pose, hotbar=self._slot, events=events)
            except Exception:
                self._writer = None  # it has closed itself, keeping what it had
                raise
        self._changed = False
        if action.hotbar:
            self._slot = action.hotbar - 1

    def stop(self) -> Path | None:
        """Finishes the clip, if there is one, and says where it is."""
        if self._writer is None:
            return None
        writer, self._writer = self._writer, None
        writer.close()
        return writer.path


def pose_of(sim: Any) -> np.ndarray | None:
    """float [5]: where the player stands (x, y, z, yaw, pitch), if the world knows."""
    return sim.pose if hasattr(sim.world, "pose") else None
