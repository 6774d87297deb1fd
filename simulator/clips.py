"""Recordings in the layout of OpenAI's VPT contractor data: `NAME.mp4` and `NAME.jsonl`, 20 ticks a second.

The two have as many frames as lines. Line k holds the action applied between frame k and frame k+1, and
`events`: what that action did (`dig`, `place`, ...), and `{"type": "edit", ...}` when frame k itself was
changed from outside before the player saw it, so that it is not just the outcome of action k-1.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from reverie.simulator import clip_lines, video
from reverie.simulator.action import Action
from reverie.simulator.clip_names import clip_paths, find_clip
from reverie.simulator.errors import ClipError


class OnlyMenus(ClipError):
    """A part of a recording in which a menu is open all the time."""


@dataclass
class Clip:
    """A recording in memory, or a part of one."""

    frames: np.ndarray
    """uint8 [T, h, w, 3]."""
    actions: list[Action]
    """T of them: actions[k] leads from frames[k] to frames[k + 1]."""
    poses: np.ndarray | None = None
    """float32 [T, 5]: x, y, z of the feet, yaw, pitch at each frame; axes as in Minecraft, whoever recorded it."""
    hotbar: np.ndarray | None = None
    """int8 [T]: selected slot, 0-8."""
    events: list[list[dict[str, Any]]] = field(default_factory=list)
    ticks: np.ndarray | None = None
    """int64 [T]: line number of each frame. It leaps where menu frames were left out."""
    durations: np.ndarray | None = None
    """float32 [T]: milliseconds that the tick after each frame lasted. Engines may be late; it is not saved."""
    layout: str = "reverie"
    """Whose lines they were: reverie, luanti or vpt."""

    def __len__(self) -> int:
        return len(self.frames)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        start: int = 0,
        length: int | None = None,
        *,
        size: tuple[int, int] | None = None,
        degrees_per_pixel: float | None = None,
        keep_menus: bool = False,
    ) -> Clip:
        """Reads ticks `start` to `start + length` (None: to the end) of a recording, ours or a real VPT one.

        `path` is NAME, NAME.mp4 (or another film, `clip_names`) or NAME.jsonl. `size` (height, width) crops to its
        shape and resizes by area averaging. `degrees_per_pixel` is the mouse's scale (None: measured on the
        recording's beginning, as everywhere). Frames with an open menu are left out unless `keep_menus`. Where film
        and lines differ in length (a recorder that was cut off), the shorter one counts, with a warning. Raises
        ClipError, also where the film's edit list hides frames before others and the lines are not just those of the
        others: which line belongs to which frame is not known then.
        """
        if start < 0 or (length is not None and length < 1):
            raise ClipError(f"{path}: cannot read {length} frames from frame {start}")
        film, text = find_clip(path)
        times = None
        if text.is_file():
            facts = video.survey(film)
            if facts.hidden:
                check_hidden(film, facts.hidden, len(facts), clip_lines.count_lines(text))
            times = facts.times
        return cls._read(film, text, start, length, times, size, degrees_per_pixel, keep_menus)

    @classmethod
    def load_end(cls, path: str | os.PathLike[str], length: int, *, size: tuple[int, int] | None = None) -> Clip:
        """Reads the last `length` ticks of a recording (all, if it has fewer), as `load` does.

        Of what comes before, nothing is decoded or kept: memory does not grow with the recording's length. Where all
        of these ticks show menus, more are read. Raises ClipError.
        """
        if length < 1:
            raise ClipError(f"{path}: cannot read the last {length} frames")
        film, text = find_clip(path)
        ticks = clip_lines.count_lines(text)
        times: Sequence[int] | None = video.regular_times(film)
        if times is None or len(times) != ticks:
            facts = video.survey(film)
            if facts.hidden:
                check_hidden(film, facts.hidden, len(facts), ticks)
            times = facts.times
        if len(times) != ticks:
            _warn_of_lengths(film, len(times) < ticks)
        stop = min(ticks, len(times))
        if not stop:
            raise ClipError(f"{film if ticks else text}: holds nothing")
        while True:
            start = max(0, stop - length)
            try:
                return cls._read(film, text, start, stop - start, times, size)
            except OnlyMenus:
                if not start:
                    raise
                length *= 2

    @classmethod
    def _read(
        cls,
        film: Path,
        text: Path,
        start: int,
        length: int | None,
        times: Sequence[int] | None,
        size: tuple[int, int] | None,
        degrees_per_pixel: float | None = None,
        keep_menus: bool = False,
    ) -> Clip:
        """`load` from files; `times` are those of all frames of the film, where they are known."""
        stop = None if length is None else start + length
        lines = clip_lines.read_lines(text, None if stop is None else stop + 1, start)
        stop = start + len(lines) if stop is None else min(stop, start + len(lines))
        if start >= stop:
            raise ClipError(f"{text}: has no more than {start} lines, so none to read from frame {start}")
        if degrees_per_pixel is None:
            degrees_per_pixel = clip_lines.recorded_scale(text)
        actions = clip_lines.actions_of(lines, degrees_per_pixel, clip_lines.attack_stuck(text, start))
        kept = [k for k in range(start, stop) if keep_menus or not lines[k - start].gui_open]
        if not kept:
            raise OnlyMenus(f"{text}: shows nothing but menus from frame {start} to {stop}")
        # One frame more than there are lines tells a film that is longer.
        probe = stop + 1 if length is None else stop
        frames, total = _read_frames(film, kept, start, probe, size, times)
        if total != stop and (length is None or total < stop):
            _warn_of_lengths(film, total < stop)
        kept = kept[: len(frames)]
        if not kept:
            raise ClipError(f"{film}: has no frame {start}")
        lines = [lines[k - start] for k in kept]
        return cls(
            frames=frames,
            actions=[actions[k - start] for k in kept],
            poses=clip_lines.poses_of(lines),
            hotbar=clip_lines.slots_of(lines),
            events=[[dict(event) for event in line.events] for line in lines],
            ticks=np.array(kept, np.int64),
            durations=clip_lines.durations_of(lines),
            layout=lines[0].layout,
        )

    def head(self, count: int) -> Clip:
        """Its first `count` frames, with all that is known of them."""
        columns = (self.poses, self.hotbar, self.ticks, self.durations)
        poses, hotbar, ticks, durations = (None if column is None else column[:count] for column in columns)
        return Clip(
            self.frames[:count], self.actions[:count], poses, hotbar, self.events[:count], ticks, durations, self.layout
        )

    def save(self, path: str | os.PathLike[str], *, lossless: bool = False) -> None:
        """Writes it as a recording. Raises ClipError."""
        with ClipWriter(path, self.frames.shape[1:3], lossless=lossless) as writer:
            for k, (frame, action) in enumerate(zip(self.frames, self.actions)):
                writer.write(
                    frame,
                    action,
                    pose=None if self.poses is None else self.poses[k],
                    hotbar=None if self.hotbar is None else int(self.hotbar[k]),
                    events=self.events[k] if self.events else (),
                )


class ClipWriter:
    """Writes a recording tick by tick, so that what was written stays readable if the program or the disk
    gives up.

    `path` is NAME or NAME.mp4. Files of that name are replaced unless `overwrite` is False. Raises ClipError.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: tuple[int, int],
        *,
        lossless: bool = False,
        overwrite: bool = True,
    ) -> None:
        self.path, self._text_path = clip_paths(path)
        self._size = (int(size[0]), int(size[1]))
        self._slot, self.frames = 0, 0
        self._text: IO[str] | None = None
        self._video: video.VideoWriter | None = None
        if not lossless and (self._size[0] % 2 or self._size[1] % 2):
            raise ClipError(f"{self.path}: frames of {self._size[1]} x {self._size[0]} have an odd side")
        if not overwrite and (self.path.exists() or self._text_path.exists()):
            raise ClipError(f"{self.path}: is there already, and is not overwritten")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._text = self._text_path.open("w", encoding="utf-8", buffering=1)
            self._video = video.VideoWriter(self.path, self._size, lossless=lossless)
        except OSError as error:
            self._abandon(error)

    def write(
        self,
        frame: np.ndarray,
        action: Action,
        pose: Sequence[float] | np.ndarray | None = None,
        hotbar: int | None = None,
        events: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Appends a frame (uint8 [h, w, 3]) and the action taken on seeing it.

        `pose` is x, y, z, yaw, pitch; `hotbar` the slot (0-8) that the frame shows (None: follows from the
        presses).
        """
        if self._text is None or self._video is None:
            raise ClipError(f"{self.path}: is closed")
        if frame.shape != (*self._size, 3) or frame.dtype != np.uint8:
            raise ClipError(f"{self.path}: a frame is {frame.dtype} {list(frame.shape)}, not that of the recording")
        slot = self._slot if hotbar is None else int(hotbar)
        try:
            line = clip_lines.write_line(self.frames, action, slot, pose, events)
        except (TypeError, ValueError) as error:
            raise ClipError(f"{self.path}: tick {self.frames} cannot be written as JSON ({error})") from error
        try:
            self._video.write(frame)
            self._text.write(line)
        except OSError as error:
            self._abandon(error)
        self._slot = action.hotbar - 1 if action.hotbar else slot
        self.frames += 1

    def close(self) -> None:
        """Finishes both files. Calling it again does nothing."""
        if self._video is None or self._text is None:
            return
        try:
            self._video.close()
            self._text.close()
        except OSError as error:
            self._abandon(error)
        self._video = self._text = None

    def __enter__(self) -> ClipWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _abandon(self, error: OSError) -> None:
        """Closes what can be closed, and says how much is safe."""
        for part in (self._video, self._text):
            try:
                if part is not None:
                    part.close()
            except OSError:
                continue  # the disk is still full: what was flushed before is what there is
        self._video = self._text = None
        safe = min(video.count_frames(self.path), _count_lines(self._text_path))
        reason = error.strerror or str(error)
        raise ClipError(f"{self.path}: cannot be written ({reason}); {safe} frames are safe") from error


def check_hidden(film: Path, hidden: int, frames: int, lines: int) -> None:
    """Raises ClipError for a film that hides frames unless there is a line for each of the others."""
    if frames != lines:
        raise ClipError(
            f"{film}: its edit list hides {hidden} frames and shows {frames}, and its jsonl has {lines} lines: "
            "which belong together is not known; encode the film without edits, or remove the lines of hidden frames"
        )


def _warn_of_lengths(film: Path, film_first: bool) -> None:
    first = film.suffix[1:].lower() if film_first else "jsonl"
    kinds = f"{film.suffix[1:].lower()} and jsonl"
    warnings.warn(f"{film}: {kinds} differ in length; the {first} ends first", stacklevel=4)


def _read_frames(
    film: Path,
    kept: Sequence[int],
    start: int,
    probe: int,
    size: tuple[int, int] | None,
    times: Sequence[int] | None = None,
) -> tuple[np.ndarray, int]:
    """The `kept` frames (uint8 [n, h, w, 3]), and where the film ended (at most `probe`)."""
    wanted, index, count = set(kept), start - 1, 0
    frames = np.zeros((0, 0, 0, 3), np.uint8)
    for index, frame in enumerate(video.iterate_video(film, start, probe, size, times), start):
        if index not in wanted:
            continue
        if not count:
            if len(kept) * frame.nbytes > video.MAX_BYTES:
                raise ClipError(f"{film}: too long to read at once; read a part of it, or a smaller size")
            frames = np.empty((len(kept), *frame.shape), np.uint8)
        frames[count] = frame
        count += 1
    return frames[:count], index + 1


def _count_lines(path: Path) -> int:
    """Complete lines of a file, 0 if it cannot be read."""
    try:
        with path.open("rb") as file:
            return sum(line.endswith(b"\n") for line in file)
    except OSError:
        return 0
