"""Small recordings whose frames and lines tell their own numbers, in any container and with any quirk."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from reverie.simulator.action import Action

SIZE = (32, 80)
BITS = 10
PIXELS_A_NUMBER = 1.0
"""The mouse moves so far for each number of a line, so that its action tells the number."""


def numbered(numbers: Sequence[int], size: tuple[int, int] = SIZE) -> np.ndarray:
    """uint8 [n, h, w, 3]: frames with their numbers in stripes, black and white."""
    height, width = size
    bits = (np.asarray(numbers)[:, None] >> np.arange(BITS)) & 1
    rows = np.repeat(bits, width // BITS, axis=1)[:, None, :, None]
    return np.broadcast_to(rows * 220 + 16, (len(bits), height, width, 3)).astype(np.uint8)


def numbers_of(frames: np.ndarray) -> list[int]:
    """The inverse of `numbered`, of frames of any size."""
    n, _, width, _ = frames.shape
    stripe = width // BITS
    means = frames[:, :, : stripe * BITS].reshape(n, frames.shape[1], BITS, stripe, 3).mean((1, 3, 4))
    return ((means > 126) << np.arange(BITS)).sum(1).tolist()


def number_of_action(action: Action, degrees_per_pixel: float = 0.15) -> int:
    """The number of the line that an action was read from."""
    return round(action.camera[1] / degrees_per_pixel / PIXELS_A_NUMBER)


def line(number: int, **changes: Any) -> dict[str, Any]:
    """Tick `number` as VPT's recorder writes it, with fields that nobody reads."""
    mouse = {"x": 1.0, "dx": PIXELS_A_NUMBER * number, "dy": 0.0, "buttons": [], "newButtons": [], "scaledX": 0.5}
    return {
        "mouse": mouse, "keyboard": {"keys": [], "newKeys": [], "chars": ""}, "isGuiOpen": False, "hotbar": 0,
        "tick": number, "milli": 7, "serverTickDurationMs": 1.5, "inventory": [{"type": "oak", "quantity": 1}],
    } | changes  # fmt: skip


def turning(count: int, degrees_per_pixel: float, first: int = 0) -> list[dict[str, Any]]:
    """Ticks that tell the yaw, so that the mouse's scale can be measured."""
    lines, yaw = [], 0.0
    for number in range(first, first + count):
        pixels = 10.0 + number % 7
        pose = {"xpos": 1.0, "ypos": 64.0, "zpos": 1.0, "yaw": (yaw + 180) % 360 - 180, "pitch": 0.0}
        mouse = {"dx": pixels, "dy": 0.0, "buttons": []}
        lines.append(line(number, mouse=mouse, **pose))
        yaw += pixels * degrees_per_pixel
    return lines


def write_lines(path: Path, lines: Sequence[dict[str, Any]], end: str = "\n", encoding: str = "utf-8") -> None:
    """One JSON object a line."""
    path.write_bytes("".join(json.dumps(each) + end for each in lines).encode(encoding))


def write_film(
    path: Path,
    frames: np.ndarray,
    *,
    kind: str | None = None,
    codec: str = "libx264",
    rate: int = 20,
    options: dict[str, str] | None = None,
    edit: tuple[int, int] | None = None,
    matrix: tuple[int, int, int, int] | None = None,
) -> Path:
    """A film of frames (uint8 [n, h, w, 3]). `kind` is the container (None: by the suffix).

    `edit` hides that many frames at either end by the edit list; `matrix` a, b, c, d is that of the display.
    """
    with av.open(str(path), "w", format=kind) as out:
        stream = out.add_stream(codec, rate=rate, options={"g": "30", "crf": "10"} if options is None else options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        out.mux(stream.encode(None))
        base = stream.time_base
    data = bytearray(path.read_bytes())
    if edit is not None:
        at, count = data.find(b"elst") + 12, len(frames)
        length, start, speed = struct.unpack(">IiI", data[at : at + 12])
        shown = length * (count - sum(edit)) // count
        data[at : at + 12] = struct.pack(">IiI", shown, start + edit[0] * round(1 / rate / base), speed)
    if matrix is not None:
        a, b, c, d = (value << 16 for value in matrix)
        at = data.find(b"tkhd") + 44
        data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def recording(folder: Path, name: str = "clip", count: int = 60, first: int = 0, **film: Any) -> Path:
    """A film and its lines, both with the numbers from `first` on; gives the film's path."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = range(first, first + count)
    write_lines(folder / f"{name}.jsonl", [line(number) for number in numbers])
    return write_film(folder / f"{name}.mp4", numbered(numbers), **film)
