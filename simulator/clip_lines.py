"""One tick as a line of JSON, in the layout of OpenAI's VPT contractor data, and back.

The reading side takes real VPT files; `https://github.com/openai/Video-Pre-Training` (`data_loader.py`,
`run_inverse_dynamics_model.py`) shows the traps that `actions_of` steps around.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from reverie.simulator.action import BUTTONS, MAX_CAMERA, Action
from reverie.simulator.errors import ClipError

DEGREES_PER_PIXEL = 0.15
"""Camera turn for one pixel of mouse motion. Some VPT recorder versions differ: a choice of the caller."""
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


@dataclass(frozen=True, slots=True)
class Line:
    """What one line says, before the traps are dealt with."""

    held: frozenset[str]
    """Names of held buttons, as in `Action`."""
    camera: tuple[float, float]
    """(pitch, yaw) in degrees."""
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


def read_lines(path: Path, stop: int | None, degrees_per_pixel: float) -> list[Line]:
    """Lines 0 to `stop` (None: all) of a file. A last line that was cut off is left out, with a warning.

    Raises ClipError, naming the line, for anything that is not a tick.
    """
    lines: list[Line] = []
    try:
        with path.open("rb") as file:
            while stop is None or len(lines) < stop:
                raw = file.readline(MAX_LINE_BYTES + 1)
                if not raw:
                    break
                where = f"{path}, line {len(lines) + 1}"
                if len(raw) > MAX_LINE_BYTES or len(lines) >= MAX_LINES:
                    raise ClipError(f"{where}: too long to be a recording")
                if not raw.endswith(b"\n") and not _is_json(raw):
                    warnings.warn(f"{where}: was cut off and is left out", stacklevel=3)
                    break
                lines.append(parse_line(raw, where, degrees_per_pixel))
    except OSError as error:
        raise ClipError(f"{path}: cannot be read ({error.strerror})") from error
    return lines


def parse_line(raw: bytes, where: str, degrees_per_pixel: float = DEGREES_PER_PIXEL) -> Line:
    """One line of a file. `where` begins the message of the ClipError that is raised if it is no tick."""
    try:
        record = json.loads(raw, parse_constant=_refuse)
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
            camera=(_turn(mouse, "dy", degrees_per_pixel), _turn(mouse, "dx", degrees_per_pixel)),
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
        reason = "is not JSON" if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)) else error
        if isinstance(error, RecursionError):
            reason = "is nested too deeply"
        raise ClipError(f"{where}: {reason}") from error


def actions_of(lines: Sequence[Line]) -> list[Action]:
    """The action of every line but, where there is one more line than wanted, use the rest only to look
    ahead.

    VPT's recorder may report attack as held from the start: it is ignored until it is let go or pressed anew.
    Slot changes are read from the slot shown in the next frame, except in our own files, which keep the
    presses, and in those of recorders too old to tell the slot, where the keys must do.
    """
    actions = []
    stuck = bool(lines) and lines[0].new_buttons == frozenset({0})
    for k, line in enumerate(lines):
        if stuck and k > 0 and ("attack" not in line.held or 0 in (line.new_buttons or ())):
            stuck = False
        held = line.held - {"attack"} if stuck else line.held
        press = line.press
        if press is None:
            after = lines[k + 1].slot if k + 1 < len(lines) else None
            changed = after is not None and line.slot is not None and after != line.slot
            press = after + 1 if changed and after is not None else 0
            if line.slot is None:
                press = line.slot_key or 0
        actions.append(Action(**dict.fromkeys(held, True), hotbar=press, camera=line.camera))
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


def measured_scale(lines: Sequence[Line]) -> float | None:
    """Degrees a pixel, from the yaw that the lines tell, as a multiple of the scale they were read with.

    None where they do not tell it, or where it is not one number. Recorder versions differ in it.
    """
    turns = []
    for line, after in pairwise(lines):
        asked = line.camera[1]
        if line.pose is None or after.pose is None or line.gui_open or after.gui_open:
            continue
        if abs(asked) < SMALLEST_TURN_PIXELS * DEGREES_PER_PIXEL:
            continue
        turns.append(((after.pose[3] - line.pose[3] + 180) % 360 - 180) / asked)
    if len(turns) < FEWEST_TURNS:
        return None
    low, scale, high = np.quantile(turns, (0.25, 0.5, 0.75))
    return float(scale) if scale > 0 and high - low <= LARGEST_SPREAD * scale else None


def _is_json(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(name: str) -> float:
    raise ValueError(f"holds {name}")


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
    return number


def _turn(mouse: Mapping[str, Any], name: str, degrees_per_pixel: float) -> float:
    """Degrees; a leap of over half a turn is a fault of the recorder and counts as none, as in OpenAI's
    loader.
    """
    if name not in mouse:
        raise ValueError(f"mouse has no {name!r}")
    degrees = _finite(mouse[name], f"mouse.{name}") * degrees_per_pixel
    return degrees if abs(degrees) <= MAX_CAMERA else 0.0


def _numbers(values: Any, name: str) -> set[int]:
    if not isinstance(values, list) or not all(isinstance(v, (int, float)) for v in values):
        raise ValueError(f"{name} is not a list of numbers")
    return {int(value) for value in values if math.isfinite(value)}


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
