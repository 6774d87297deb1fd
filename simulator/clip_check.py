"""`reverie clips check`: what a folder of recordings holds, what is broken in it, and how well films and lines agree.

Nothing is guessed: a file that is not what it should be is named with the reason and left out of every figure.
"""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reverie.model.errors import ReverieError
from reverie.simulator import clip_alignment, clip_lines, video
from reverie.simulator.action import BUTTONS, Action
from reverie.simulator.clip_lines import DEGREES_PER_PIXEL, TICK_MS
from reverie.simulator.clip_names import FILM_SUFFIXES, LINES_SUFFIX, ClipFiles, clip_files, find_clip
from reverie.simulator.clip_rows import LATE_MS
from reverie.simulator.clip_split import seed_of
from reverie.simulator.clips import Clip, check_hidden
from reverie.simulator.errors import ClipError
from reverie.simulator.outputs import writable_folder
from reverie.simulator.text import raw_lines
from reverie.simulator.world import TICKS_PER_SECOND

RATE_TOLERANCE = 0.02
"""Share by which a video's frame rate may differ from 20 a second."""
LENGTH_TOLERANCE = 2
"""Frames by which video and lines may differ: VPT's recorder stops the two at different moments."""
SAMPLED_CLIPS, SAMPLED_TICKS, LATEST_START = 16, 200, 300
"""How much is decoded to measure the alignment, and how deep in a recording it is looked for."""
SHEET_CLIPS, SHEET_FRAMES = 12, 6
PERCENTILES = (50, 75, 90, 95, 99, 99.9)
PITCH_PERCENTILES = (1, 5, 50, 95, 99)
DIGITS = 4
SHEET, REPORT = "sheet.png", "report.json"


@dataclass(frozen=True, slots=True)
class Examined:
    """A recording that can be used."""

    path: Path
    """Its film."""
    frames: int
    size: tuple[int, int]
    rate: float
    layout: str
    actions: list[Action]
    """By `degrees_per_pixel`."""
    durations: np.ndarray
    """float32 [T], milliseconds."""
    poses: np.ndarray | None
    menus: int
    """Frames that show a menu, and are left out by the reader."""
    degrees_per_pixel: float
    """`clip_lines.scale_of` the recording."""
    events: Counter[str] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()


def examine(path: str | os.PathLike[str]) -> Examined:
    """Looks through a recording without decoding more than its first frame. Raises ClipError if it cannot be used."""
    movie, text = find_clip(path)
    for file in (movie, text):
        if not file.is_file() or not file.stat().st_size:
            raise ClipError(f"{movie}: {file.name} {_no_file(file)}")
    facts = video.probe(movie)
    if abs(facts.rate / TICKS_PER_SECOND - 1) > RATE_TOLERANCE:
        raise ClipError(f"{movie}: has {facts.rate:g} frames a second, not {TICKS_PER_SECOND}")
    if facts.promised > facts.frames:
        raise ClipError(f"{movie}: is cut off or damaged after {facts.frames} of {facts.promised} frames")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a last line that was cut off shows in the counts
        lines = clip_lines.read_lines(text)
    if not lines:
        raise ClipError(f"{text}: holds no whole line")
    if facts.hidden:
        check_hidden(movie, facts.hidden, facts.frames, len(lines))
    if abs(len(lines) - facts.frames) > LENGTH_TOLERANCE:
        raise ClipError(f"{movie}: has {facts.frames} frames, its jsonl {len(lines)} lines")
    count = min(len(lines), facts.frames)
    scale = clip_lines.scale_of(lines)
    actions, kept = clip_lines.actions_of(lines, scale)[:count], lines[:count]
    notes = []
    if len(lines) != facts.frames:
        notes.append(f"{movie.name}: {facts.frames} frames and {len(lines)} lines; the shorter one counts")
    if scale != DEGREES_PER_PIXEL:
        notes.append(f"{movie.name}: the mouse turns {scale:.3f} degrees a pixel")
    for name, missing in {
        "place": [line.pose is None for line in kept], "hotbar": [line.slot is None for line in kept]
    }.items():  # fmt: skip
        if any(missing) and not all(missing):
            first = missing.index(True) + 1
            notes.append(f"{movie.name}: line {first} has no {name}, so the clip counts as having none")
    leap = next((k for k in range(1, count) if _leaps(kept[k - 1].tick, kept[k].tick)), None)
    if leap is not None:
        notes.append(f"{movie.name}: ticks leap at line {leap + 1}")
    return Examined(
        path=movie,
        frames=count,
        size=facts.size,
        rate=facts.rate,
        layout=lines[0].layout,
        actions=actions,
        durations=clip_lines.durations_of(kept),
        poses=clip_lines.poses_of(kept),
        menus=sum(line.gui_open for line in kept),
        degrees_per_pixel=scale,
        events=Counter(str(event.get("type")) for line in kept for event in line.events),
        notes=tuple(notes),
    )


def _no_file(path: Path) -> str:
    """What is wrong with a path that should be a file with something in it."""
    if path.is_file():
        return "is empty"
    if path.is_symlink() and not path.exists():
        return "is a link to what is not there"
    return "is a folder" if path.is_dir() else "is not a file" if path.exists() else "is missing"


def _leaps(before: int | None, after: int | None) -> bool:
    return before is not None and after is not None and after != before + 1


def check(folder: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """What `folder` and the folders in it hold, as plain JSON values; `broken` names what cannot be used, and why.

    With `out`, a contact sheet and the report are written there. Raises ClipError where there is nothing to use, and
    OutputError before any work where `out` cannot be written.
    """
    from tqdm import tqdm

    root = Path(folder)
    if not root.is_dir():
        raise ClipError(f"{root}: is no folder")
    if out is not None:
        writable_folder(out)
    clips = [clip for clip in clip_files(root) if clip.film is not None or not _is_index(clip.lines)]
    good: list[Examined] = []
    broken: list[dict[str, str]] = []
    for clip in tqdm(clips, desc="checking", unit="clip", disable=None, leave=False):
        broken += [_complaint(f"{_kept(clip)} has the same name", other, root) for other in clip.others]
        try:
            good.append(examine(clip.film or clip.lines or clip.name))
        except Exception as error:  # whatever is wrong with one recording, the others are looked at
            broken.append(_complaint(reason_of(error), clip.name, root))
    _some(good, broken, root)
    sampled, measured, damaged = _sample(good, root)
    broken += damaged
    lost = {entry["file"] for entry in damaged}
    good = [found for found in good if str(found.path.with_suffix("").relative_to(root)) not in lost]
    _some(good, broken, root)
    report = {"folder": str(root), **summary(good), "broken": broken}
    report["notes"] = [note for found in good for note in found.notes]
    report["alignment"] = measured
    if out is not None:
        target = Path(out)
        try:
            target.mkdir(parents=True, exist_ok=True)
            (target / REPORT).write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", "utf-8")
        except OSError as error:
            raise ClipError(f"{target}: cannot be written ({error.strerror})") from error
        _write_sheet(target / SHEET, sampled)
        report["out"] = str(target)
    return report


def reason_of(error: Exception) -> str:
    """Why a recording cannot be used, in one line; of errors that nobody foresaw, the kind is named too."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ReverieError) else f"cannot be read ({type(error).__name__}: {text})"


def _some(good: Sequence[Examined], broken: Sequence[Mapping[str, str]], root: Path) -> None:
    """Raises ClipError where nothing is left to use."""
    if not good:
        why = f"; {broken[0]['file']}: {broken[0]['reason']}" if broken else ""
        raise ClipError(f"{root}: holds no recording (NAME.mp4 and NAME.jsonl) that can be used{why}")


def _kept(clip: ClipFiles) -> str:
    """The files that are read of several of one name."""
    return " and ".join(path.name for path in (clip.film, clip.lines) if path is not None)


def _is_index(text: Path | None) -> bool:
    """Whether a jsonl without a video is a list of the recordings beside it, not the half of one."""
    if text is None:
        return False
    try:
        first = json.loads(next(raw_lines(text, clip_lines.MAX_LINE_BYTES), b""))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and "file" in first and "mouse" not in first


def _complaint(reason: str, name: Path, root: Path) -> dict[str, str]:
    """What is wrong with recording `name` (a path without its suffix), said without repeating where it is."""
    for suffix in (*FILM_SUFFIXES, LINES_SUFFIX):
        for spelled in (suffix, suffix.upper()):
            for end in (": ", ", "):
                reason = reason.removeprefix(f"{name}{spelled}{end}")
    return {"file": str(name.relative_to(root)), "reason": reason}


def summary(found: Sequence[Examined]) -> dict[str, Any]:
    """Counts and statistics of usable recordings, as plain JSON values."""
    frames = sum(each.frames for each in found)
    seeds = sorted({seed for each in found if (seed := seed_of(each.path)) is not None})
    actions = [action for each in found for action in each.actions]
    camera = np.abs(np.array([action.camera for action in actions], float).reshape(-1, 2))
    durations = np.concatenate([each.durations for each in found])
    poses = [each.poses[:, 4] for each in found if each.poses is not None]
    events = sum((each.events for each in found), Counter())
    return {
        "episodes": len(found),
        "frames": frames,
        "hours": round(frames / TICKS_PER_SECOND / 3600, DIGITS),
        "seeds": len(seeds),
        "seed_list": seeds,
        "sizes": dict(Counter(f"{each.size[1]}x{each.size[0]}" for each in found)),
        "frame_rates": dict(Counter(f"{each.rate:g}" for each in found)),
        "layouts": dict(Counter(each.layout for each in found)),
        "menu_frames": sum(each.menus for each in found),
        "late_ticks": _share(np.abs(durations - TICK_MS) > LATE_MS),
        "events": dict(events),
        "keys": {name: _share([getattr(action, name) for action in actions]) for name in BUTTONS},
        "slot_changes": _share([action.hotbar > 0 for action in actions]),
        "no_input": _share([not action.to_dict() for action in actions]),
        "turning": _share(camera[:, 1] > 0),
        "yaw_per_tick": _percentiles(camera[:, 1], PERCENTILES),
        "pitch_per_tick": _percentiles(camera[:, 0], PERCENTILES),
        "pitch": _percentiles(np.concatenate(poses), PITCH_PERCENTILES) if poses else None,
    }


def _share(of: Any) -> float:
    return round(float(np.mean(of)), DIGITS)


def _percentiles(values: np.ndarray, at: Sequence[float]) -> dict[str, float]:
    return {f"{p:g}": round(float(value), DIGITS) for p, value in zip(at, np.percentile(values, at))}


def _sample(
    good: list[Examined], root: Path
) -> tuple[list[tuple[Examined, np.ndarray]], dict[str, Any] | None, list[dict[str, str]]]:
    """Frames of some recordings (uint8 [n, h, w, 3] each), the alignment measured on them, and what did not decode."""
    from tqdm import tqdm

    sampled, shift, turns, damaged = [], [], [], []
    every = max(1, len(good) // SAMPLED_CLIPS)
    for found in tqdm(good[::every][:SAMPLED_CLIPS], desc="looking", unit="clip", disable=None, leave=False):
        chosen = clip_alignment.turning_ticks(found.actions)
        start = _busiest(chosen, SAMPLED_TICKS)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                clip = Clip.load(
                    found.path, start, SAMPLED_TICKS, size=clip_alignment.FRAME, keep_menus=True,
                    degrees_per_pixel=found.degrees_per_pixel,
                )  # fmt: skip
            if len(clip) < min(SAMPLED_TICKS, found.frames - start):
                raise ClipError(f"{found.path}: cannot be decoded past frame {start + len(clip)}")
        except Exception as error:  # whatever is wrong with one recording, the others are looked at
            damaged.append(_complaint(reason_of(error), found.path.with_suffix(""), root))
            continue
        sampled.append((found, clip.frames))
        yaw = np.array([action.camera[1] for action in clip.actions])
        ticks = 1 + np.flatnonzero(chosen[start + 1 : start + len(clip) - 1])
        shift.append(clip_alignment.shifts(clip.frames, ticks))
        turns.append(np.stack([yaw[ticks + lag] for lag in clip_alignment.LAGS], axis=1))
    measured = clip_alignment.correlate(np.concatenate(shift), np.concatenate(turns)) if sampled else None
    if measured is None:
        return sampled, None, damaged
    earlier, same, later = (round(value, DIGITS) for value in measured.r)
    return (
        sampled,
        {
            "ticks": measured.ticks, "r": same, "r_one_tick_earlier": earlier, "r_one_tick_later": later,
            "best_lag": measured.best_lag, "pixels_per_degree": round(measured.pixels_per_degree, DIGITS),
        },
        damaged,
    )  # fmt: skip


def _busiest(chosen: np.ndarray, length: int) -> int:
    """Where, not too deep in, the window of that length starts that holds the most `chosen` ticks."""
    last = min(LATEST_START, len(chosen) - length)
    if last <= 0:
        return 0
    total = np.concatenate(([0], np.cumsum(chosen)))
    return int(np.argmax(total[length : length + last + 1] - total[: last + 1]))


def _write_sheet(path: Path, sampled: Sequence[tuple[Examined, np.ndarray]]) -> None:
    from reverie.simulator.judge.sheet import Strip, write_sheet

    strips = []
    for found, frames in sampled[:SHEET_CLIPS]:
        shown = np.linspace(0, len(frames) - 1, SHEET_FRAMES).astype(int)
        strips.append(Strip(found.path.stem.replace("-", " "), frames[shown]))
    write_sheet(path, strips)
