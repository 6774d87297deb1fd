"""One tick as a line of JSON, in the layout of OpenAI's VPT contractor data, and back.

The reading side takes real VPT files; `https://github.com/openai/Video-Pre-Training` (`data_loader.py`,
`run_inverse_dynamics_model.py`) shows the traps that `actions_of` steps around.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from reverie.simulator.action import BUTTONS, MAX_CAMERA, Action
from reverie.simulator.errors import ClipError
from reverie.simulator.text import raw_lines

DEGREES_PER_PIXEL = 0.15
"""Camera turn for one pixel of mouse motion, unless a recording's yaw tells another (`scale_of`)."""
MAX_LINE_BYTES = 1 << 18
MAX_LINES = 1 << 20
"""About 14 hours."""
SLOTS = 9
KEY_PREFIX = "key.keyboard."
BUTTON_OF_KEY: dict[str, str] = {
    "w": "forward", "s": "back", "a": "left", "d": "right", "space": "jump", "left.shift": "sneak",
    "left.control": "sprint", "q": "drop", "e": "inventory", "f": "swapHands", "escape": "ESC",
}  # fmt: skip
BUTTON_OF_MOUSE: dict[int, str] = {0: "attack", 1: "use", 2: "pickItem"}
KEY_OF_BUTTON = {button: KEY_PREFIX + key for key, button in BUTTON_OF_KEY.items()}
MOUSE_OF_BUTTON = {button: number for number, button in BUTTON_OF_MOUSE.items()}
POSE_FIELDS = ("xpos", "ypos", "zpos", "yaw", "pitch")
TICK_MS = 50.0
"""How long a tick should last."""
FEWEST_TURNS, LARGEST_SPREAD = 40, 0.05
"""The mouse's scale is measured from that many turns or more, if it differs among them by no more than this share."""
SMALLEST_TURN_PIXELS = 4.0
SCALE_LINES, SCALE_TURNS = 6000, 1000
"""It is measured on the first lines of a recording, so many at most, until there are so many turns."""
SCALE_TOLERANCE = 0.05
"""Share by which the measured scale may differ from DEGREES_PER_PIXEL and still count as that."""
LARGEST_NUMBER = float(np.finfo(np.float32).max)
LONGEST_NUMBER = 400
"""Digits of whole numbers that are read as such; Python refuses to convert those with thousands."""


@dataclass(frozen=True, slots=True)
class Line:
    """What one line says, before the traps are dealt with."""

    held: frozenset[str]
    """Names of held buttons, as in `Action`."""
    mouse: tuple[float, float]
    """Motion in pixels: (dy, dx), down and to the right."""
    new_buttons: frozenset[int] | None
    """Mouse buttons pressed in this tick; only VPT files have them."""
    slot: int | None
    """Selected hotbar slot, 0-8."""
    press: int | None
    """`Action.hotbar` as it was given; only our own files have it."""
    pose: tuple[float, ...] | None
    """x, y, z, yaw, pitch; axes as in Minecraft, whoever recorded it."""
    gui_open: bool
    events: tuple[dict[str, Any], ...]
    slot_key: int | None = None
    """Hotbar key (1-9) that was held; what counts where the recorder was too old to tell the slot."""
    tick: int | None = None
    tick_ms: float = TICK_MS
    """How long the tick after the frame lasted."""
    layout: str = "vpt"
    """Whose line it is: reverie, luanti or vpt."""


def write_line(
    tick: int, action: Action, slot: int, pose: Sequence[float] | np.ndarray | None, events: Sequence[Mapping[str, Any]]
) -> str:
    """The line of one tick, newline included. `slot` is the hotbar slot (0-8) that the frame shows."""
    held = [name for name in BUTTONS if getattr(action, name)]
    keys = [KEY_OF_BUTTON[name] for name in held if name in KEY_OF_BUTTON]
    if action.hotbar:
        keys.append(f"{KEY_PREFIX}{action.hotbar}")
    pitch, yaw = (float(angle) for angle in action.camera)
    record: dict[str, Any] = {
        "mouse": {
            "dx": yaw / DEGREES_PER_PIXEL,
            "dy": pitch / DEGREES_PER_PIXEL,
            "buttons": [MOUSE_OF_BUTTON[name] for name in held if name in MOUSE_OF_BUTTON],
        },
        "keyboard": {"keys": keys},
        "hotbar": slot,
        "hotbarPress": int(action.hotbar),
        "tick": tick,
    }
    if pose is not None:
        record.update(zip(POSE_FIELDS, (float(value) for value in pose)))
    record["isGuiOpen"] = False
    record["events"] = [dict(event) for event in events]
    return json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n"


def read_lines(path: Path, stop: int | None = None, start: int = 0) -> list[Line]:
    """Ticks `start` to `stop` (None: to the end) of a file; ticks before `start` are passed over unread.

    Blank lines are no ticks. A last line that was cut off is left out, with a warning. Raises ClipError, naming the
    line, for anything that is not a tick, and for a blank line where a tick may be missing.
    """
    return list(_parsed(path, stop, start))


def count_lines(path: Path) -> int:
    """Ticks in a file, none of which is read. Raises ClipError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sum(1 for _ in _ticks(path))


def _parsed(path: Path, stop: int | None, start: int = 0) -> Iterator[Line]:
    """The ticks of `read_lines` one by one."""
    before: Line | None = None
    for index, (number, raw, after_blank) in enumerate(islice(_ticks(path), stop)):
        if index < start:
            continue
        where = f"{path}, line {number}"
        if index - start >= MAX_LINES:
            raise ClipError(f"{where}: too long to be read at once; read a part of it")
        line = parse_line(raw, where)
        if after_blank and before is not None and (before.tick is None or line.tick != before.tick + 1):
            raise ClipError(f"{where}: follows a blank line, and a tick may be missing there")
        before = line
        yield line


def _ticks(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    """The number (from 1), the bytes, and whether blank lines come before, of each line that is not blank."""
    blank = False
    try:
        for number, raw in enumerate(raw_lines(path, MAX_LINE_BYTES), 1):
            if raw.isspace():
                blank = True
                continue
            where = f"{path}, line {number}"
            if len(raw) > MAX_LINE_BYTES:
                raise ClipError(f"{where}: too long to be a recording")
            if not raw.endswith(b"\n") and not _is_json(raw):
                warnings.warn(f"{where}: was cut off and is left out", stacklevel=3)
                return
            yield number, raw, blank
            blank = False
    except OSError as error:
        raise ClipError(f"{path}: cannot be read ({error.strerror})") from error


def parse_line(raw: bytes, where: str) -> Line:
    """One line of a file. `where` begins the message of the ClipError that is raised if it is no tick.

    Only what becomes part of a `Line` has to be right: other fields may hold NaN, or bytes that are not UTF-8.
    """
    try:
        record = _from_json(raw)
        if not isinstance(record, dict):
            raise ValueError("is not an object")
        mouse, keyboard = _object(record, "mouse"), _object(record, "keyboard")
        buttons = _numbers(mouse.get("buttons", []), "mouse.buttons")
        keys = keyboard.get("keys", [])
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise ValueError("keyboard.keys is not a list of names")
        held = {BUTTON_OF_MOUSE[button] for button in buttons if button in BUTTON_OF_MOUSE}
        held |= {BUTTON_OF_KEY[name] for key in keys if (name := key.removeprefix(KEY_PREFIX)) in BUTTON_OF_KEY}
        new = mouse.get("newButtons")
        slots = [number for number in range(1, SLOTS + 1) if f"{KEY_PREFIX}{number}" in keys]
        layout = _layout(record)
        return Line(
            held=frozenset(held),
            mouse=(_moved(mouse, "dy"), _moved(mouse, "dx")),
            new_buttons=None if new is None else frozenset(_numbers(new, "mouse.newButtons")),
            slot=_whole(record.get("hotbar"), "hotbar", SLOTS - 1),
            press=_whole(record.get("hotbarPress"), "hotbarPress", SLOTS),
            pose=_pose(record, layout),
            gui_open=record.get("isGuiOpen") is True,
            events=_events(record),
            slot_key=slots[0] if slots else None,
            tick=record["tick"] if isinstance(record.get("tick"), int) else None,
            tick_ms=TICK_MS if record.get("dt") is None else _finite(record["dt"], "dt"),
            layout=layout,
        )
    except (ValueError, RecursionError) as error:
        reason = "is not JSON" if isinstance(error, json.JSONDecodeError) else error
        if isinstance(error, RecursionError):
            reason = "is nested too deeply"
        raise ClipError(f"{where}: {reason}") from error


def actions_of(
    lines: Sequence[Line], degrees_per_pixel: float = DEGREES_PER_PIXEL, stuck: bool | None = None
) -> list[Action]:
    """The action of every line; where there is one line more than wanted, the last serves to look ahead.

    VPT's recorder may report attack as held from the start: it is ignored until it is let go or pressed anew. `stuck`
    says whether it is ignored just before the first of `lines` (None: that is the recording's first, which tells).
    Slot changes are read from the slot shown in the next frame, except in our own files, which keep the
    presses, and in those of recorders too old to tell the slot, where the keys must do. A leap of the mouse of over
    half a turn is a fault of the recorder and counts as none, as in OpenAI's loader.
    """
    actions = []
    for k, line in enumerate(lines):
        if stuck is None:
            stuck = _begins_stuck(line)
        else:
            stuck = stuck and not _frees_attack(line)
        held = line.held - {"attack"} if stuck else line.held
        press = line.press
        if press is None:
            after = lines[k + 1].slot if k + 1 < len(lines) else None
            changed = after is not None and line.slot is not None and after != line.slot
            press = after + 1 if changed and after is not None else 0
            if line.slot is None:
                press = line.slot_key or 0
        turns = [motion * degrees_per_pixel for motion in line.mouse]
        pitch, yaw = (turn if abs(turn) <= MAX_CAMERA else 0.0 for turn in turns)
        actions.append(Action(**dict.fromkeys(held, True), hotbar=press, camera=(pitch, yaw)))
    return actions


def poses_of(lines: Sequence[Line]) -> np.ndarray | None:
    """float32 [T, 5], or None unless every line has a pose."""
    poses = [line.pose for line in lines if line.pose is not None]
    return np.array(poses, np.float32) if poses and len(poses) == len(lines) else None


def slots_of(lines: Sequence[Line]) -> np.ndarray | None:
    """int8 [T], or None unless every line says which slot was selected."""
    slots = [line.slot for line in lines if line.slot is not None]
    return np.array(slots, np.int8) if slots and len(slots) == len(lines) else None


def durations_of(lines: Sequence[Line]) -> np.ndarray:
    """float32 [T]: milliseconds that the tick after each frame lasted."""
    return np.array([line.tick_ms for line in lines], np.float32)


def attack_stuck(path: Path, start: int) -> bool | None:
    """Whether `actions_of` ignores attack just before tick `start` of a file; None for tick 0. Raises ClipError."""
    stuck: bool | None = None
    for line in _parsed(path, start):
        stuck = _begins_stuck(line) if stuck is None else not _frees_attack(line)
        if not stuck:
            break
    return stuck


def scale_of(lines: Iterable[Line]) -> float:
    """Degrees a pixel of the mouse of a recording whose ticks from the first on are `lines`.

    Recorder versions differ in it. It is measured by the yaw that the lines tell, and DEGREES_PER_PIXEL where they do
    not tell it, where it is not one number, or where it differs too little.
    """
    measured = measured_scale(lines) or 1.0
    return DEGREES_PER_PIXEL * (measured if abs(measured - 1) > SCALE_TOLERANCE else 1.0)


def recorded_scale(path: Path) -> float:
    """`scale_of` a file. Raises ClipError where it cannot be read; lines that are no ticks end the measuring."""

    def good() -> Iterator[Line]:
        try:
            yield from _parsed(path, SCALE_LINES)
        except ClipError:
            return

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return scale_of(good())


def measured_scale(lines: Iterable[Line]) -> float | None:
    """Degrees a pixel, from the yaw that the lines tell, as a multiple of DEGREES_PER_PIXEL.

    None where they do not tell it, or where it is not one number. Looks at the first SCALE_LINES, and SCALE_TURNS.
    """
    turns: list[float] = []
    for line, after in pairwise(islice(lines, SCALE_LINES)):
        asked = line.mouse[1] * DEGREES_PER_PIXEL
        if line.pose is None or after.pose is None or line.gui_open or after.gui_open:
            continue
        if abs(line.mouse[1]) < SMALLEST_TURN_PIXELS or abs(asked) > MAX_CAMERA:
            continue
        turns.append(((after.pose[3] - line.pose[3] + 180) % 360 - 180) / asked)
        if len(turns) == SCALE_TURNS:
            break
    if len(turns) < FEWEST_TURNS:
        return None
    low, scale, high = np.quantile(turns, (0.25, 0.5, 0.75))
    return float(scale) if scale > 0 and high - low <= LARGEST_SPREAD * scale else None


def _begins_stuck(first: Line) -> bool:
    return first.new_buttons == frozenset({0})


def _frees_attack(line: Line) -> bool:
    return "attack" not in line.held or 0 in (line.new_buttons or ())


def _from_json(raw: bytes) -> Any:
    """JSON of one line. Bytes that are not UTF-8, control characters and endless numbers are let through."""
    return json.loads(raw.decode("utf-8", "replace"), strict=False, parse_int=_integer)


def _integer(digits: str) -> float:
    return int(digits) if len(digits) <= LONGEST_NUMBER else math.inf


def _is_json(raw: bytes) -> bool:
    try:
        _from_json(raw)
    except (ValueError, RecursionError):
        return False
    return True


def _object(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = record.get(name)
    if not isinstance(value, dict):
        raise ValueError(f"has no {name!r} object")
    return value


def _finite(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} is not a number")
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError(f"{name} is too large") from error
    if not math.isfinite(number):
        raise ValueError(f"{name} is not a finite number")
    if abs(number) > LARGEST_NUMBER:
        raise ValueError(f"{name} is too large")
    return number


def _moved(mouse: Mapping[str, Any], name: str) -> float:
    """Pixels."""
    if name not in mouse:
        raise ValueError(f"mouse has no {name!r}")
    return _finite(mouse[name], f"mouse.{name}")


def _numbers(values: Any, name: str) -> set[int]:
    if not isinstance(values, list) or not all(isinstance(v, (int, float)) for v in values):
        raise ValueError(f"{name} is not a list of numbers")
    return {int(value) for value in values if isinstance(value, int) or math.isfinite(value)}


def _whole(value: Any, name: str, largest: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= largest:
        raise ValueError(f"{name} is not a whole number from 0 to {largest}")
    return value


def _layout(record: Mapping[str, Any]) -> str:
    if "node_events" in record:
        return "luanti"
    return "reverie" if "hotbarPress" in record else "vpt"


def _pose(record: Mapping[str, Any], layout: str) -> tuple[float, ...] | None:
    """Luanti's axes are those of Minecraft in a mirror: x grows to the other side, and with it, the yaw does not."""
    if any(record.get(name) is None for name in POSE_FIELDS):
        return None
    x, *rest = (_finite(record[name], name) for name in POSE_FIELDS)
    return (-x if layout == "luanti" else x, *rest)


def _events(record: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Our `events`, or the `node_events` of the Luanti recordings."""
    events = record.get("events", record.get("node_events", []))
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise ValueError("events is not a list of objects")
    return tuple(events)
